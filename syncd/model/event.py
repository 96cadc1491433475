"""A delivery, normalised: what happened, and which keys it makes dirty. It never carries a value to be written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from syncd.model.ids import EndpointId, FieldId, RecordId, RepositoryId, TableId
from syncd.model.value import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """
    One webhook request as it arrived, verified and durable.

    Args:
        sequence: position in the inbox, from 1.
        headers: only those that carry meaning (event key, hook, request id, attempt), lower case.
    """

    sequence: int
    endpoint: EndpointId
    received_at: datetime
    headers: Mapping[str, str]
    body: bytes


class Dirt(Enum):
    """What of a repository an event may have changed."""

    PULL_REQUEST = "pull request"
    BRANCH = "branch"
    COMMIT = "commit"
    REPOSITORY = "repository"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirtyWork:
    """
    One object of a repository that may have changed.

    Args:
        name: the pull request's number, the branch's name, the commit's 40-character hash, or "" for the whole repository.
    """

    repository: RepositoryId
    dirt: Dirt
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """
    A Bitbucket delivery, normalised.

    Args:
        kind: the event key, e.g. `pullrequest:updated`.
        repository: the destination repository's UUID; None when the body names none.
        dirty: what it may have changed.
        happened_at: the newest time that the body states; a read that shows an older one is repeated later (BW18).
        retired: an event that the service no longer sends (`issue:*`).
        problem: why parts of the body could not be read; "" when all was.
    """

    kind: str
    repository: RepositoryId | None
    dirty: tuple[DirtyWork, ...]
    happened_at: datetime | None = None
    retired: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellChange:
    """One changed cell of a payload, as far as it says so: what it held and holds, since when, and whether we did it."""

    record: RecordId
    field: FieldId
    previous: Value | None
    present: Value | None
    at: datetime
    own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """
    One page of an Airtable webhook's payloads, normalised (reference/airtable.md 5.5, 5.6).

    Args:
        table_records: per table: records that were created, changed, destroyed, or entered or left a view.
        schema_changed: a field, view or table changed; the schema is read again.
        next_cursor: number after the last payload of the page.
        more: list again at once.
        gap: payloads are missing between the cursor asked for and the page: a full compare must follow.
        broken: an error payload says that nothing more will come (`INVALID_FILTERS`, `INVALID_HOOK`): recreate the hook.
        cells: changed cells with their previous values, oldest first, for races and "newest".
        skipped: payload parts of an unknown form that were passed over.
    """

    table_records: Mapping[TableId, tuple[RecordId, ...]] = field(default_factory=dict)
    schema_changed: bool = False
    next_cursor: int = 1
    more: bool = False
    gap: bool = False
    broken: str = ""
    cells: tuple[CellChange, ...] = ()
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """
    A webhook that we registered, as the state remembers it.

    Args:
        provider: "airtable" or "bitbucket".
        connection: the connection's name in the spec.
        subject: the base id, or the repository's UUID.
        hook: the service's id; "" before it is known.
        cursor: of Airtable: number of the next payload wanted.
        expires: when the service forgets it; None: never.
    """

    id: EndpointId
    provider: str
    connection: str
    subject: str
    hook: str
    active: bool
    cursor: int = 1
    expires: datetime | None = None
    last_delivery: datetime | None = None
    created_at: datetime | None = None
