"""What one sync's worker works with: its rules, both sides, the state, and the ports of time, ids and the kill switch."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from syncd import ports
from syncd.model.ids import BaseId, RepositoryId, SyncName
from syncd.model.schema import Field, Repository
from syncd.spec.rules import AirtableConnection, BitbucketConnection, Rules, SyncRules


def schema_key(base: BaseId) -> str:
    """Where the state keeps a text that changes whenever the base tells of a change of its schema."""
    return f"schema:{base}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """
    One sync under one immutable spec snapshot. A reload makes a new one.

    Args:
        advance: counts one more generation of the state, before anything is sent (`flow.generation`).
    """

    rules: Rules
    sync: SyncRules
    store: ports.Store
    catalogue: ports.Catalogue
    changelog: ports.ChangeLog
    clock: ports.Clock
    ids: ports.Ids
    switch: ports.Switch
    advance: Callable[[], None] = lambda: None
    schema: str = field(init=False, default="")

    def __post_init__(self) -> None:
        """Sum up once what the fields of the table can hold: a record that could not be written may fit another schema."""
        changed = self.store.load_text(schema_key(self.sync.base)) or ""
        shown = "\x1f".join([changed, *(repr(one) for one in self.fields())])
        object.__setattr__(self, "schema", hashlib.blake2b(shown.encode(), digest_size=12).hexdigest())

    @property
    def name(self) -> SyncName:
        """The sync's name."""
        return self.sync.name

    @property
    def airtable(self) -> AirtableConnection:
        """The sync's Airtable connection."""
        return self.rules.airtable[self.sync.airtable]

    @property
    def bitbucket(self) -> BitbucketConnection:
        """The sync's Bitbucket connection."""
        return self.rules.bitbucket[self.sync.bitbucket]

    @property
    def repository_ids(self) -> tuple[RepositoryId, ...]:
        """The ids of every source repository."""
        return tuple(repository.id for repository in self.sync.repositories)

    def sharing(self, id: RepositoryId) -> tuple[SyncRules, ...]:
        """Every sync of the spec that reads this repository: what one of them reads changes the plans of all."""
        return tuple(
            sync for sync in self.rules.syncs.values() if any(repository.id == id for repository in sync.repositories)
        )

    def repository(self, id: RepositoryId) -> Repository:
        """The repository of this id. Raises KeyError for one that is no source."""
        for repository in self.sync.repositories:
            if repository.id == id:
                return repository
        raise KeyError(id)

    def fields(self) -> tuple[Field, ...]:
        """The fields to read for a plan, in the order of the rules."""
        by_id = {one.id: one for one in self.sync.table_fields.values()}
        return tuple(by_id[id] for id in self.sync.fetch)

    def with_repositories(self, repositories: tuple[Repository, ...]) -> "Context":
        """The same with fresher repositories, after a rename."""
        return replace(self, sync=replace(self.sync, repositories=repositories))
