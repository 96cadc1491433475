"""The simulator's judges over a real run: both services' logs of what truly happened, and the journal."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from syncd import wiring
from syncd.commands import world as worlds
from syncd.settings import Settings
from syncd.simulate import invariants
from syncd.simulate.case import Case, Violation
from syncd.simulate.judges import deciding, ending, journalling, keeping, writing
from syncd.simulate.scenario import Scenario
from syncd.simulate.stage import Evidence
from syncd.simulate.truth import Truth
from syncd.spec.rules import Rules
from syncd.store import sqlite
from tests.end_to_end.running import House

# What can be judged without the simulator's own record of ports, clocks and statuses.
JUDGES = (
    ending.convergence,
    writing.owners,
    writing.foreign,
    writing.other_fields,
    writing.overwritten,
    writing.once,
    deciding.graph,
    writing.absence,
    journalling.journal,
    keeping.processed,
    keeping.secrets,
    writing.one_lead,
)


def violations(house: House, begun: dict[str, int], since: int, began_at: datetime) -> list[Violation]:
    """
    Every promise that was broken. No process may run.

    Args:
        begun: how many entries the log of each service had when people began.
        since: the last number of the journal at that moment.
        began_at: that moment.
    """
    store = sqlite.SqliteStore.open(house.state, lock=False)
    try:
        case = _case(house, store, _rules(house), begun, since, began_at)
    finally:
        store.close()
    return invariants.judge(case, JUDGES)


def _rules(house: House) -> Rules:
    clock = wiring.SystemClock()
    given = wiring.Outside(clock=clock, ids=wiring.SystemIds(clock), environment=house.environment)
    resolved = wiring.House(given, house.config, "", Settings(), sqlite.SqliteStore.in_memory())
    try:
        return resolved.rules
    finally:
        resolved.close()


def _case(
    house: House, store: sqlite.SqliteStore, rules: Rules, begun: dict[str, int], since: int, began_at: datetime
) -> Case:
    airtable: Any = house.airtable.inner.world  # type: ignore[attr-defined]  # the machines' own truth
    bitbucket: Any = house.bitbucket.inner.world  # type: ignore[attr-defined]  # as above
    syncs, now = list(rules.syncs.values()), house.clock()
    known = {sync.name: store.load_known(sync.name) for sync in syncs}
    links = {
        sync.name: {
            record: frozenset((key.repository, key.number) for key in memory.links)
            for record, memory in store.load_remembered(sync.name, sorted(known[sync.name])).items()
        }
        for sync in syncs
    }
    repositories = {
        f"{workspace.slug}/{one.slug}": one.uuid
        for workspace in bitbucket.workspaces.values()
        for one in workspace.repositories.values()
    }
    logs: dict[str, Sequence[Any]] = {"airtable": house.airtable.log, "bitbucket": house.bitbucket.log}
    secrets = [worlds.AIRTABLE_TOKEN, worlds.BITBUCKET_TOKEN, worlds.HOOK_SECRET]
    return Case(
        scenario=Scenario(),
        logs=logs,
        begun=begun,
        rows=store.load_journal(limit=1_000_000),
        journal_before=since,
        spans=[(began_at, rules)],
        marks={"begun": began_at, "healed": now, "settled": now, "again": now, "end": now},
        evidence=Evidence(log=(house.folder / "daemon.log").read_text(encoding="utf-8").splitlines()),
        actors={
            "airtable": next(one.id for one in airtable.users.values() if one.email == "syncd@acme.dev"),
            "bitbucket": "syncd",
        },
        repositories=repositories,
        truths={
            sync.name: Truth(sync, airtable, bitbucket, logs["bitbucket"], links[sync.name], repositories, now)
            for sync in syncs
        },
        conflicts={sync.name: store.load_conflicts(sync.name) for sync in syncs},
        unfinished=sum(len(store.load_unfinished(sync.name)) for sync in syncs),
        known=known,
        links=links,
        inbox=store.counts().inbox,
        image=house.state.read_bytes(),
        status={},
        secrets=secrets,
        contended=False,
    )
