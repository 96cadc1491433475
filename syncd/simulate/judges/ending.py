"""Judges of the end: both sides agree, and a further pass writes nothing (I01, I02, I11, I16, I18, I19)."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from syncd.sandbox.wire import Change, LogEntry
from syncd.simulate import oracle
from syncd.simulate.case import Case, Effect, Violation, own_columns, plain
from syncd.simulate.judges.effects import (
    PATIENCE,
    REFUSALS,
    attributes_changed,
    broken,
    cells_changed,
    clock_was_set,
    riding,
)
from syncd.simulate.scenario import Net
from syncd.simulate.truth import norm


def convergence(case: Case) -> Iterator[Violation]:
    """I01 and I11, with the oracle; the same again under the name of the only net that was stretched."""
    alone = {Net.HOOKS: "I16", Net.SWEEP: "I18", Net.POLLING: "I19"}.get(case.scenario.net)
    moves = case.moves()
    for sync in case.syncs():
        truth = case.truths[sync.name]
        conflicts = frozenset((one.record, one.field) for one in case.conflicts[sync.name])
        # An option that was deleted empties its cells, which is nobody's edit: syncd says so and waits (SD05).
        emptied = _option_gone(case) and sync.status is not None and sync.status.field.name
        for one in oracle.differences(truth, moves, excused(case, sync.name), conflicts):
            if one.what == emptied and one.found is None:
                continue
            text = f"{sync.name}, {one.record}: {one.what} is {one.found!r}, and must be {one.expected!r}"
            yield broken(one.invariant, text, case.marks["settled"])
            if alone is not None:
                yield broken(alone, f"with the net “{case.scenario.net.value}” alone: {text}", case.marks["settled"])


def excused(case: Case, sync: str) -> frozenset[str]:
    """Records and fields about which nothing can be said: what was refused is parked with a reason that people see."""
    found: set[str] = set()
    drifted = any(str(act).endswith("_choice") for act in _schema_acts(case))
    poisoned = any(one.kind == "refuse" and one.more.get("status") in (400, 422) for one in case.scenario.troubles)
    for record, known in case.known[sync].items():
        if (drifted or poisoned) and known.state in ("error", "held", "pending", "refused"):
            found.add(record)
    # A rule whose field is gone, or has another type, parks; the others go on (SD02, SD03, SD08).
    parked = {
        given["field"]
        for _, verb, given, done in case.evidence.told
        if verb == "schema" and done and given.get("act") in ("delete_field", "retype_field")
    }
    found |= {f"{record}/{name}" for record in case.known[sync] for name in parked}
    return frozenset(found)


def _schema_acts(case: Case) -> list[Any]:
    return [given.get("act") for _, verb, given, done in case.evidence.told if verb == "schema" and done]


def _option_gone(case: Case) -> bool:
    return any(act in ("delete_choice", "rename_choice") for act in _schema_acts(case))


def quiescence(case: Case) -> Iterator[Violation]:
    """I02: after everything is in step, a further full pass, or a restart, sends no changing request."""
    if case.scenario.seed % 2 == 0 and _option_gone(case):
        # Only the start reads the schema without being told to: it blocks rules that the last process still had.
        return
    excuses = _Excuses(case)
    for service in case.logs:
        for one in case.requests(service):
            if one.at > case.marks["settled"] and one.changes and one.changes[0].kind != "hook":
                if all(excuses.cover(each) for each in one.changes if each.attribute not in riding(case)):
                    continue
                changed = ", ".join(f"{each.object} {each.attribute}" for each in one.changes[:3])
                yield broken("I02", f"a further pass wrote again: {one.method} {changed}", one.at)
    counted: Counter[tuple[str, str]] = Counter()
    columns = {field for sync in case.syncs() for field in own_columns(sync)}
    for effect in (*cells_changed(case), *attributes_changed(case)):
        late = effect.entry.at > case.marks["healed"] and effect.change.attribute not in columns
        if late and not _meant_before(case, effect, case.marks["healed"]):
            counted[effect.place] += 1
    status = {sync.status.field.id for sync in case.syncs() if sync.status is not None}
    for place, times in sorted(counted.items()):
        often = 2 if place[1] in status else 1
        if times > often and not _others_after_heal(case, place):
            yield broken("I02", f"{place[0]} {place[1]} was written {times} times after everything had healed")


def _meant_before(case: Case, effect: Effect, at: datetime) -> bool:
    """Whether it was planned and tried already, of what was read then: what people did after that read comes on top."""
    return any(row.at < at and plain(row.after) == norm(effect.change.after) for row in case.rows_of(effect.place))


def _later_tries(case: Case) -> dict[str, set[tuple[str, str]]]:
    """By record: the places of standing refusals that are old enough for one more try (BB29)."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    skewed = clock_was_set(case)
    for row in case.rows:
        if row.state == "refused" and row.sequence > case.journal_before:
            if skewed or row.at <= case.marks["end"] - PATIENCE:
                found[row.record].add((row.object, row.field))
            else:
                found[row.record].discard((row.object, row.field))
    return found


class _Excuses:
    """What a pass after the last may still write: one try of each refusal that stands long enough, and what came of it."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._tries = _later_tries(case)
        self._columns = {field for sync in case.syncs() for field in own_columns(sync)}
        self._used: Counter[tuple[str, str]] = Counter()
        # What tells of a refusal may be refused as well.
        self._untold = {(row.object, row.field) for row in case.rows if row.state == "refused"}
        since = case.marks["settled"]
        tried = {case.place(change) for one in self._late(since) for change in one.changes}
        self._tried = {
            record for record, places in self._tries.items() if places & tried or self._refused_again(record)
        }

    def _late(self, since: datetime) -> Iterator[LogEntry]:
        for service in self._case.logs:
            yield from (one for one in self._case.requests(service) if one.at > since)

    def _refused_again(self, record: str) -> bool:
        """Whether the service refused the one more try, too: its log has no change of that."""
        numbers = {place[0].rpartition("#")[2] for place in self._tries[record] if "#" in place[0]}
        return any(
            at > self._case.marks["settled"]
            and status in REFUSALS
            and (record in str(body) or any(path.endswith(f"/pullrequests/{number}") for number in numbers))
            for at, _, _, path, body, status in self._case.evidence.sent
        )

    def cover(self, change: Change) -> bool:
        """Whether this one may be; each only once, a column twice: cleared for the try, and told again."""
        place = self._case.place(change)
        self._used[place] += 1
        if change.attribute in self._columns:
            most = 2 if change.object in self._tried else 1 if place in self._untold else 0
            return self._used[place] <= most
        return self._used[place] == 1 and any(place in places for places in self._tries.values())


def _others_after_heal(case: Case, place: tuple[str, str]) -> bool:
    return any(not one.own and one.entry.at > case.marks["healed"] for one in case.history[place])
