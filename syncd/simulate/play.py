"""
One scenario from its first second to the verdict: build, disturb, heal, settle, check, extra pass, restart, check.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from syncd.simulate import invariants, mortal, overhear, people, setting, truth, world
from syncd.simulate.case import Case, Violation
from syncd.simulate.judges import ending
from syncd.simulate.scenario import Net, Scenario
from syncd.simulate.stage import Cut, Stage

# After everything is well: the longest wait of a retry, and one more full compare.
_SETTLE = timedelta(minutes=40)
_PASS = {
    Net.ALL: timedelta(minutes=11),
    Net.HOOKS: timedelta(minutes=2),
    Net.POLLING: timedelta(minutes=5),
    Net.SWEEP: timedelta(minutes=6),
}


@dataclass(slots=True, kw_only=True)
class Played:
    """What came of a scenario. `points` is how many port calls it had, twice each; `trace` the same for the same scenario."""

    scenario: Scenario
    violations: list[Violation]
    requests: int
    points: int
    trace: str
    minutes: float
    deaths: int
    hits: Counter[str]
    sometimes: Counter[str]
    case: Case | None = field(default=None, repr=False)
    end: Any = None


def play(
    home: setting.Setting, scenario: Scenario, *, death_at: int = 0, keep: bool = False, cut: Cut = Cut.CLIENTS
) -> Played:
    """
    Play it and judge it.

    Args:
        death_at: also die at that point.
        keep: give the case and the end state along.
        cut: where the real program ends; the trace is the same at both.
    """
    with overhear.overheard() as lines:
        return _played(home, scenario, death_at=death_at, keep=keep, cut=cut, lines=lines)


def _played(
    home: setting.Setting, scenario: Scenario, *, death_at: int, keep: bool, cut: Cut, lines: list[str]
) -> Played:
    stage = Stage(home, scenario, death_at=death_at, cut=cut)
    stage.evidence.log = lines
    marks = {"begun": stage.begun_at}
    spans = [(stage.begun_at, stage.rules)]
    stage.on_reload = lambda: spans.append((stage.clock.moment, stage.rules))
    try:
        violations = _live(stage, marks, spans)
    except mortal.Spins as spins:
        at = stage.clock.moment
        marks = {name: marks.get(name, at) for name in ("begun", "healed", "settled", "end")}
        violations = [Violation(invariant="I36", text=f"it is busy without end: {spins}", at=at)]
    case = gather(stage, marks, spans)
    violations += [one for one in invariants.judge(case) if one not in violations]
    return Played(
        scenario=scenario,
        violations=violations,
        requests=stage.fate.requests,
        points=stage.fate.passed,
        trace=stage.fate.trace,
        minutes=(stage.clock.moment - stage.begun_at).total_seconds() / 60,
        deaths=len(stage.evidence.deaths),
        hits=stage.evidence.hits + stage.disk.hits,
        sometimes=sometimes(case),
        case=case if keep else None,
        end=end_state(case) if keep else None,
    )


def _live(stage: Stage, marks: dict[str, datetime], spans: list[tuple[datetime, Any]]) -> list[Violation]:
    """Disturb, heal, settle, one more pass; what broke before that pass, whose full compare would repair it."""
    scenario = stage.scenario
    stage.run(timedelta(minutes=scenario.minutes))
    stage.heal()
    marks["healed"] = stage.clock.moment
    settled = _settle(stage)
    marks["settled"] = marks["end"] = stage.clock.moment
    violations = list(ending.convergence(gather(stage, marks, spans, whole=False)))
    if not settled:
        violations.append(Violation(invariant="I01", text="it does not come to rest", at=marks["settled"]))
    # One more full pass: of this process, or of the next one, which begins with it.
    if scenario.seed % 2:
        stage.want_compare()
    else:
        stage.want_restart()
    stage.run(timedelta(seconds=90))
    marks["end"] = stage.clock.moment
    return violations


def _settle(stage: Stage) -> bool:
    """Until nothing waits any more, and one full round of the only net there is has passed."""
    net = stage.scenario.net
    stage.run(_PASS[net] - timedelta(minutes=1) if net is not Net.HOOKS else timedelta(minutes=3, seconds=30))
    if not stage.run(_SETTLE, lambda: stage.quiet() or _asks(stage)):
        return False
    status = stage.control.status()
    for _ in range(5):
        if not any(sync["refused"] or sync["adoption"] for sync in status["syncs"].values()):
            break
        # A person looks at the plan that waits, and lets it pass.
        people.do(stage, "apply", {"accept": True})
        # What was made by it may show in lists only later (BB27): one more round of the net.
        stage.run(_PASS[net])
        if not stage.run(_SETTLE, lambda: stage.quiet() or _asks(stage)):
            return False
        status = stage.control.status()
    stage.run(timedelta(seconds=40))
    return stage.run(_SETTLE, stage.quiet)


def _asks(stage: Stage) -> bool:
    return any(sync["refused"] for sync in stage.control.status()["syncs"].values())


def gather(stage: Stage, marks: dict[str, datetime], spans: list[tuple[datetime, Any]], *, whole: bool = True) -> Case:
    """
    Everything that the judges read.

    Args:
        whole: also the journal, the state's bytes and the status, for which convergence does not ask.
    """
    rules = stage.rules
    airtable, bitbucket = stage.world.airtable.inner.world, stage.world.bitbucket.inner.world  # type: ignore[attr-defined]  # the machines' own truth
    syncs = list(rules.syncs.values())
    known = {sync.name: stage.store.load_known(sync.name) for sync in syncs}
    links = {
        sync.name: {
            record: frozenset((key.repository, key.number) for key in memory.links)
            for record, memory in stage.store.load_remembered(sync.name, sorted(known[sync.name])).items()
        }
        for sync in syncs
    }
    repositories = {
        name: one.uuid
        for workspace in bitbucket.workspaces.values()
        for one in workspace.repositories.values()
        for name in {one.full_name, *(old for old, new in stage.renamed.items() if new == one.full_name)}
    }
    logs = {machine.service: machine.log for machine in stage.machines}
    return Case(
        scenario=stage.scenario,
        logs=logs,
        begun=stage.logged_before,
        rows=stage.store.load_journal(limit=1_000_000) if whole else (),
        journal_before=stage.journal_before,
        spans=spans,
        marks=marks,
        evidence=stage.evidence,
        actors={
            "airtable": next(one.id for one in airtable.users.values() if one.email == "syncd@acme.dev"),
            "bitbucket": "syncd",
        },
        repositories=repositories,
        truths={
            sync.name: truth.Truth(
                sync, airtable, bitbucket, logs["bitbucket"], links[sync.name], repositories, stage.clock.moment
            )
            for sync in syncs
        },
        conflicts={sync.name: stage.store.load_conflicts(sync.name) for sync in syncs},
        unfinished=sum(len(stage.store.load_unfinished(sync.name)) for sync in syncs),
        known=known,
        links=links,
        inbox=stage.store.counts().inbox,
        image=stage.image() if whole else b"",
        status=stage.control.status() if whole else {},
        secrets=[*chain(*world.tokens(stage.spec()).values()), *_hook_secrets(stage)],
        commits_failed=stage.disk.failed_at,
        disk_struck=stage.disk.struck_at,
        disk_full=stage.disk.full,
        strangers_before=stage.strangers_before,
        strangers=truth.strangers(airtable, bitbucket),
        contended=bool(stage.contended_at) or any(one.kind == "throttle" for one in stage.scenario.troubles),
    )


def _hook_secrets(stage: Stage) -> list[str]:
    spec = stage.spec()
    return [
        world.secret_of(*one)
        for bitbucket in spec.file.bitbucket.values()
        for source in bitbucket.sources
        for one in source.secret
    ]


def sometimes(case: Case) -> Counter[str]:
    """Branches of the daemon's life that this scenario went through: a marker that never comes names a world never made."""
    found: Counter[str] = Counter()
    for row in case.rows:
        if row.sequence > case.journal_before:
            found[f"row: {row.kind}"] += 1
            found[f"row ended: {row.state}"] += 1
    for known in case.known.values():
        for one in known.values():
            found[f"record: {one.state}"] += 1
    found["conflict open"] += sum(len(one) for one in case.conflicts.values())
    found["died"] += len(case.evidence.deaths)
    found["could not start"] += len(case.evidence.failed_starts)
    return +found


def end_state(case: Case) -> dict[str, Any]:
    """All that people see at the end, without what depends on the instant: run ids and hashes."""
    found: dict[str, Any] = {}
    for sync in case.syncs():
        truth = case.truths[sync.name]
        run_id = sync.columns.run_id.name if sync.columns.run_id is not None else ""
        names = [known.name for known in sync.table_fields.values() if known.name != run_id]
        for record, work in truth.work.items():
            cells = truth.cells(record)
            found[record] = {
                "cells": {name: cells.get(name) for name in names if not _instant(cells.get(name))},
                "pull requests": sorted((pr.title, pr.description, pr.state, pr.draft) for pr in work.pull_requests),
                "branches": sorted(name for _, name in work.branches),
            }
    return found


def _instant(shown: Any) -> bool:
    text = str(shown)
    hashed = len(text) in (12, 40) and all(character in "0123456789abcdef" for character in text)
    return hashed or (text.endswith("Z") and "T" in text)
