"""
The promises of reliability.md as judges: each reads a `Case` and names what was broken. Pure; a judge that finds nothing to
judge in a scenario says nothing.
"""

import itertools
import math
import re
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote, unquote

from syncd.model.change import Kind, Owner, Side
from syncd.sandbox.wire import Change, LogEntry
from syncd.simulate import oracle
from syncd.simulate.case import Case, Effect, Violation, own_columns, plain, writable_attributes, writable_fields
from syncd.simulate.scenario import Net
from syncd.simulate.truth import norm
from syncd.simulate.world import CANARY, PEOPLE_AT
from syncd.spec.rules import ConflictRule, StatusRules
from syncd.store.columns import sqlite3

_RECORD = re.compile(r"rec[A-Za-z0-9]{14}")
_RUN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_PEOPLE_S = 60.0
Judge = Callable[[Case], Iterator[Violation]]


def _broken(invariant: str, text: str, at: datetime | None = None) -> Violation:
    return Violation(invariant=invariant, text=text, at=at)


def _is_create(effect: Effect) -> bool:
    """Whether it came with a new branch or pull request; merging, declining and approving are POSTs, too."""
    return effect.entry.method == "POST" and effect.entry.path.split("?")[0].endswith(
        ("/pullrequests", "/refs/branches")
    )


def _cells(case: Case) -> list[Effect]:
    """Cells that syncd changed, without the id of the run that rides along."""
    riding = _riding(case)
    return [one for one in case.own("record") if one.change.attribute not in riding]


def _riding(case: Case) -> set[str]:
    return {
        sync.columns.run_id.id
        for _, rules in case.spans
        for sync in rules.syncs.values()
        if sync.columns.run_id is not None
    }


def _attributes(case: Case) -> list[Effect]:
    return [one for one in case.own("pull_request") if not _is_create(one)]


# ----------------------------------------------------------------------------------------- the end of the story


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
            yield _broken(one.invariant, text, case.marks["settled"])
            if alone is not None:
                yield _broken(alone, f"with the net “{case.scenario.net.value}” alone: {text}", case.marks["settled"])


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
                if all(excuses.cover(each) for each in one.changes if each.attribute not in _riding(case)):
                    continue
                changed = ", ".join(f"{each.object} {each.attribute}" for each in one.changes[:3])
                yield _broken("I02", f"a further pass wrote again: {one.method} {changed}", one.at)
    counted: Counter[tuple[str, str]] = Counter()
    columns = {field for sync in case.syncs() for field in own_columns(sync)}
    for effect in (*_cells(case), *_attributes(case)):
        late = effect.entry.at > case.marks["healed"] and effect.change.attribute not in columns
        if late and not _meant_before(case, effect, case.marks["healed"]):
            counted[effect.place] += 1
    status = {sync.status.field.id for sync in case.syncs() if sync.status is not None}
    for place, times in sorted(counted.items()):
        often = 2 if place[1] in status else 1
        if times > often and not _others_after_heal(case, place):
            yield _broken("I02", f"{place[0]} {place[1]} was written {times} times after everything had healed")


def _meant_before(case: Case, effect: Effect, at: datetime) -> bool:
    """Whether it was planned and tried already, of what was read then: what people did after that read comes on top."""
    return any(row.at < at and plain(row.after) == norm(effect.change.after) for row in case.rows_of(effect.place))


# SPEC has a refusal stand until something changes; what only the service knows of is tried rarely (OPERATIONS.md).
_PATIENCE = timedelta(minutes=15)


def _later_tries(case: Case) -> dict[str, set[tuple[str, str]]]:
    """By record: the places of standing refusals that are old enough for one more try (BB29)."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    skewed = _clock_was_set(case)
    for row in case.rows:
        if row.state == "refused" and row.sequence > case.journal_before:
            if skewed or row.at <= case.marks["end"] - _PATIENCE:
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
            and status in _REFUSALS
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


_REFUSALS = (400, 422)


def _clock_was_set(case: Case) -> bool:
    return any(verb in ("jump", "suspend") for _, verb, _, _ in case.evidence.told)


def _others_after_heal(case: Case, place: tuple[str, str]) -> bool:
    return any(not one.own and one.entry.at > case.marks["healed"] for one in case.history[place])


# -------------------------------------------------------------------------------------------- who may write what


def owners(case: Case) -> Iterator[Violation]:
    """I03: the owner's side of a field is never written; I27: nothing of the schema is."""
    for effect in _cells(case):
        rules = case.rules_at(effect.entry.at)
        if not any(effect.change.attribute in writable_fields(sync) for sync in rules.syncs.values()):
            owned = any(
                rule.field.id == effect.change.attribute for sync in rules.syncs.values() for rule in sync.fields
            )
            name = _field_name(case, effect.change.attribute)
            yield _broken("I03" if owned else "I04", f"{effect.change.object}: {name} was written", effect.entry.at)
    for effect in _attributes(case):
        rules = case.rules_at(effect.entry.at)
        allowed = {name for sync in rules.syncs.values() for name in writable_attributes(sync)}
        if effect.change.attribute not in allowed and case.rows_of(effect.place):
            yield _broken("I03", f"{effect.change.object}: {effect.change.attribute} was written", effect.entry.at)
    for effect in case.own("schema"):
        yield _broken(
            "I27", f"syncd changed the schema: {effect.change.object} {effect.change.attribute}", effect.entry.at
        )


def _field_name(case: Case, field: str) -> str:
    return next(
        (known.name for sync in case.syncs() for known in sync.table_fields.values() if known.id == field), field
    )


# What only people decide: no rule writes it.
_DECIDED = frozenset({"state", "merge_commit", "closed_by", "reason", "queued", "verdicts"})


def foreign(case: Case) -> Iterator[Violation]:
    """I04: only PATCH, of mapped tables; only pull requests that belong to a record; nothing is deleted."""
    tables = {sync.table for _, rules in case.spans for sync in rules.syncs.values()}
    for one in case.requests("airtable"):
        path = one.path.split("?")[0]
        if "/webhooks" in path or one.method == "GET" or path.endswith("/listRecords"):
            continue
        if one.method != "PATCH":
            yield _broken("I04", f"{one.method} {path}", one.at)
        elif not any(table in path for table in tables):
            yield _broken("I04", f"a table that no sync names was written: {path}", one.at)
    for one in case.requests("bitbucket"):
        if one.method == "DELETE" and "/hooks" not in one.path:
            yield _broken("I04", f"DELETE {one.path}", one.at)
    linked = {
        f"{repository}#{number}"
        for links in case.links.values()
        for keys in links.values()
        for repository, number in keys
    }
    for truth in case.truths.values():
        linked |= {f"{pr.repository.uuid}#{pr.id}" for work in truth.work.values() for pr in work.pull_requests}
    for place, every in case.history.items():
        # A record that is gone by now had its work, too.
        if place[1] in ("title", "source_branch") and any(_RECORD.search(str(one.change.after)) for one in every):
            linked.add(place[0])
    for effect in case.own("pull_request"):
        if not _is_create(effect) and effect.place[0] not in linked:
            yield _broken("I04", f"{effect.change.object} belongs to no record and was written", effect.entry.at)
        if not _is_create(effect) and effect.change.attribute in _DECIDED:
            text = (
                f"{effect.change.object}: {effect.change.attribute} became {effect.change.after!r} by a request of ours"
            )
            yield _broken("I04", text, effect.entry.at)
    for effect in case.own("branch"):
        if effect.change.before is not None or effect.change.after is None:
            yield _broken("I04", f"the branch {effect.change.object} was moved or removed", effect.entry.at)
    for what, before in case.strangers_before.items():
        if what in case.strangers and case.strangers[what] != before:
            yield _broken("I04", f"{what} is nobody's business, and is not as it was", case.marks["end"])
    for kind in ("comment", "task", "build", "deployment", "tag"):
        for effect in case.own(kind):
            yield _broken("I04", f"a {kind} was made: {effect.change.object}", effect.entry.at)


def other_fields(case: Case) -> Iterator[Violation]:
    """I05: what a write did not mean to change, it did not change."""
    for effect in (*_cells(case), *_attributes(case)):
        if not case.rows_of(effect.place) and not _forgotten(case, effect):
            text = f"{effect.change.object}: {effect.change.attribute} went from {effect.change.before!r} to {effect.change.after!r}"
            yield _broken("I05", f"{text} in a write that was about something else", effect.entry.at)


# --------------------------------------------------------------------------------------------- the journal


def journal(case: Case) -> Iterator[Violation]:
    """I14: every changing request has its rows before it, and every row comes to an end."""
    written: Counter[tuple[str, str, str]] = Counter()
    for effect in (*_cells(case), *_attributes(case)):
        if not _forgotten(case, effect):
            written[(*effect.place, repr(norm(effect.change.after)))] += 1
    rows: Counter[tuple[str, str, str]] = Counter()
    for row in case.rows:
        if row.sequence > case.journal_before and row.state != "seen":
            rows[row.object, row.field, repr(plain(row.after))] += 1
    for key, times in sorted(written.items()):
        if times > rows[key] and case.rows_of((key[0], key[1])):
            yield _broken(
                "I14", f"{key[0]} {key[1]} was set to {key[2]} {times} time(s), and the journal has {rows[key]} row(s)"
            )
    for row in case.rows:
        if row.state in ("planned", "sent", "unknown"):
            yield _broken(
                "I14", f"row {row.sequence} ({row.place} of {row.record}) never came to an end: {row.state}", row.at
            )
    if case.unfinished:
        yield _broken("I14", f"{case.unfinished} operation(s) never came to an end")
    yield from _applied(case)
    yield from _before(case)
    yield from _creates(case)


def _applied(case: Case) -> Iterator[Violation]:
    for row in case.rows:
        if row.state != "applied" or row.sequence <= case.journal_before or not row.field:
            continue
        if "may have been done" in row.error:
            continue  # looked up too late to tell, and told so
        ever = {repr(norm(one.change.after)) for one in case.history.get((row.object, row.field), ())}
        if repr(plain(row.after)) not in ever and plain(row.after) is not None:
            yield _broken(
                "I14", f"row {row.sequence} says that {row.place} of {row.record} was written, and it never was", row.at
            )


def _before(case: Case) -> Iterator[Violation]:
    """The row is there before the request is: without jumps of our clock their stamps can be compared."""
    if _clock_was_set(case):
        return
    for effect in (*_cells(case), *_attributes(case)):
        if _forgotten(case, effect):
            continue
        stamps = [row.at for row in case.rows_of(effect.place) if plain(row.after) == norm(effect.change.after)]
        if stamps and min(stamps) > effect.entry.at + timedelta(milliseconds=1):
            yield _broken(
                "I14", f"{effect.change.object} {effect.change.attribute} was written before its row", effect.entry.at
            )


def _creates(case: Case) -> Iterator[Violation]:
    """What syncd made has a row that says so, from before the request."""
    exact = not _clock_was_set(case)
    for effect in case.effects:
        made = effect.change.kind == "branch" or effect.change.attribute == "source_branch"
        if not (effect.own and made and _is_create(effect) and effect.change.before is None) or _forgotten(
            case, effect
        ):
            continue
        if effect.change.kind == "branch":
            rows = [row for row in case.rows if row.kind == "create branch" and row.object == effect.place[0]]
        else:
            begins = f"{effect.place[0].partition('#')[0]}:{effect.change.after} → "
            rows = [row for row in case.rows if row.kind == "create pull request" and row.object.startswith(begins)]
        if not any(not exact or row.at <= effect.entry.at for row in rows):
            yield _broken("I14", f"{effect.change.object} was made without a row before it", effect.entry.at)


def _forgotten(case: Case, effect: Effect) -> bool:
    """Whether it came after the backup that was put in the state's place later: the rows of it went with the state."""
    for restored in case.evidence.restored_at:
        kept = [at for at, verb, _, done in case.evidence.told if verb == "remember_state" and done and at < restored]
        if kept and max(kept) <= effect.entry.at <= restored:
            return True
    return False


def overwritten(case: Case) -> Iterator[Violation]:
    """I07 and I08: a person's value that we overwrote stands in the journal."""
    columns = {field for sync in case.syncs() for field in own_columns(sync)}
    for effect in (*_cells(case), *_attributes(case)):
        lost = case.before(effect)
        if (
            lost is None
            or _forgotten(case, effect)
            or lost.own
            or norm(effect.change.before) is None
            or effect.change.attribute in columns
        ):
            continue
        rows = case.rows_of(effect.place)
        if any(plain(row.before) == norm(effect.change.before) for row in rows):
            continue
        if effect.change.attribute == "title" and any(
            str(norm(effect.change.before)) in str(plain(row.before)) for row in rows
        ):
            continue
        planned = max((row.at for row in rows if plain(row.after) == norm(effect.change.after)), default=None)
        raced = planned is not None and lost.entry.at >= planned - timedelta(seconds=30)
        if raced and (
            case.scenario.net is Net.SWEEP or effect.service == "bitbucket" or _without_payloads(case, effect)
        ):
            # Nothing tells: no payload is read without polls and pings, and Bitbucket's PUT answers no value before.
            continue
        text = f"{effect.change.object} {_field_name(case, effect.change.attribute)}: {effect.change.before!r} was overwritten"
        yield _broken("I07" if raced else "I08", f"{text}, and the journal does not say so", effect.entry.at)


def _without_payloads(case: Case, effect: Effect) -> bool:
    """Whether Airtable's webhook had expired, and no new one was made before: then no payload was ever written (AW01)."""
    begun = case.marks["begun"]
    expired = [
        at
        for op in case.scenario.ops
        if op.arguments.get("act") == "expire_hook" and (at := begun + timedelta(seconds=op.at_s)) <= effect.entry.at
    ]
    made = [one.at for one in case.requests("airtable") if one.method == "POST" and one.path.endswith("/webhooks")]
    return bool(expired) and not any(max(expired) < at <= effect.entry.at for at in made)


# What people did reaches syncd within this: two edits of one round may come in two writes.
_TOLD_WITHIN = {
    Net.ALL: timedelta(seconds=90),
    Net.HOOKS: timedelta(seconds=90),
    Net.POLLING: timedelta(minutes=4),
    Net.SWEEP: timedelta(minutes=6),
}


def echoes(case: Case) -> Iterator[Violation]:
    """I09: without anything happening outside, a place that syncd wrote is not written again with something else."""
    columns = {field for sync in case.syncs() for field in own_columns(sync)}
    last: dict[tuple[str, str], Effect] = {}
    for effect in (*_cells(case), *_attributes(case)):
        before = last.get(effect.place)
        last[effect.place] = effect
        if before is None or effect.change.attribute in columns or _forgotten(case, before):
            continue
        since = before.entry.at - _TOLD_WITHIN[case.scenario.net]
        if not case.outside_between(since, effect.entry.at) and not _troubled(case, since, effect.entry.at):
            text = f"{effect.change.object} {_field_name(case, effect.change.attribute)}"
            yield _broken(
                "I09",
                f"{text} was written twice for one cause: {before.change.after!r}, {effect.change.after!r}",
                effect.entry.at,
            )


def _troubled(case: Case, since: datetime, until: datetime) -> bool:
    """Whether requests failed or the process died meanwhile: then a step may come in two parts."""
    struck = (*case.evidence.struck, *case.disk_struck)
    # A retry waits, and a delivery that was held back comes, minutes later.
    spans = [(at, at + timedelta(seconds=300)) for at in struck]
    spans += [(at - timedelta(seconds=1), at + timedelta(seconds=60)) for at, _ in case.evidence.deaths]
    spans += [(at, at + timedelta(seconds=900)) for at, _, _ in case.evidence.outages]
    return any(start <= until and end >= since for start, end in spans)


def once(case: Case) -> Iterator[Violation]:
    """I10: at most one branch and one pull request per record is ever made by syncd."""
    branches: dict[str, set[str]] = defaultdict(set)
    pull_requests: dict[str, set[str]] = defaultdict(set)
    for place, every in case.history.items():
        made = every[0]
        if not made.own or made.entry.method != "POST":
            continue
        if made.change.kind == "branch":
            for record in _RECORD.findall(place[0]):
                branches[record].add(place[0])
        elif made.change.attribute == "source_branch":
            for record in _RECORD.findall(str(made.change.after)):
                pull_requests[record].add(place[0])
    for what, found in (("branch", branches), ("pull request", pull_requests)):
        for record, made_ones in sorted(found.items()):
            if len(made_ones) > 1:
                yield _broken("I10", f"{record} has more than one {what} of ours: {', '.join(sorted(made_ones))}")


# ----------------------------------------------------------------------------------------------- the status


def _closure(status: StatusRules, starts: set[str], owner: tuple[Owner, ...]) -> set[str]:
    found = set(starts)
    while True:
        more = {edge.target for edge in status.transitions if edge.owner in owner and found & set(edge.sources)} - found
        if not more:
            return found
        found |= more


_SYSTEM = (Owner.BITBUCKET, Owner.RELEASE)


def graph(case: Case) -> Iterator[Violation]:
    """I12: the status moves along the spec's edges only, and a legal edit of a person is not taken back."""
    for sync in case.syncs():
        status = sync.status
        if status is None:
            continue
        for place, every in case.history.items():
            if place[1] != status.field.id:
                continue
            for effect in every:
                if effect.own and effect.here and not _forgotten(case, effect):
                    yield from _step(
                        case, status, effect, [one for one in every if one.entry.sequence < effect.entry.sequence]
                    )


def _step(case: Case, status: StatusRules, effect: Effect, earlier: list[Effect]) -> Iterator[Violation]:
    rows = [row for row in case.rows_of(effect.place) if plain(row.after) == norm(effect.change.after)]
    had = {str(one.change.after) for one in earlier if one.change.after is not None}
    target = str(effect.change.after)
    where = f"{effect.change.object}: {effect.change.before} → {effect.change.after}"
    if not any(row.kind == Kind.ILLEGAL_EDIT.value for row in rows):
        sources = {
            str(effect.change.before or status.initial),
            *(str(plain(row.before) or status.initial) for row in rows),
        }
        if target not in _closure(status, sources, _SYSTEM):
            yield _broken("I12", f"{where} is no path of the spec", effect.entry.at)
        return
    if target not in _closure(status, had or {status.initial}, _SYSTEM):
        yield _broken("I12", f"{where} puts back a state that it never had", effect.entry.at)
    people = [one for one in earlier if not one.own]
    if not people or people[-1] is not earlier[-1] or len(earlier) < 2:
        return
    edit, before = people[-1], earlier[-2]
    if case.evidence.applies and not before.own and before.entry.at >= case.marks["begun"]:
        return  # while a plan waited for a person, an illegal edit before this one was not put back yet
    if (edit.entry.at - before.entry.at).total_seconds() < 6 * _PEOPLE_S:
        return
    legal = any(
        edge.owner is Owner.AIRTABLE
        and edge.when is None
        and edit.change.before in edge.sources
        and edge.target == edit.change.after
        for edge in status.transitions
    )
    if legal and _closure(status, {str(edit.change.before)}, _SYSTEM) == {str(edit.change.before)}:
        yield _broken("I12", f"{where} takes back a legal edit", effect.entry.at)


# ------------------------------------------------------------------------------------------------- safety


def absence(case: Case) -> Iterator[Violation]:
    """I13: nothing is emptied because something could not be seen."""
    told = {
        one.id
        for sync in case.syncs()
        for one in (sync.columns.run_id, sync.columns.state, sync.columns.note)
        if one is not None
    }
    fields = {(rule.attribute or "").partition(".")[2]: rule.field.id for sync in case.syncs() for rule in sync.fields}
    for effect in (*_cells(case), *_attributes(case)):
        if (
            norm(effect.change.after) is not None
            or norm(effect.change.before) is None
            or effect.change.attribute in told
        ):
            continue
        if effect.service == "bitbucket":
            records = {row.record for row in case.rows_of(effect.place)}
            cell = fields.get(effect.change.attribute, "")
            since = effect.entry.at - timedelta(seconds=120)
            held = [case.value_at((record, cell), at) for record in records for at in (since, effect.entry.at)]
            if records and all(norm(one) is not None for one in held):
                yield _broken(
                    "I13",
                    f"{effect.change.object}: {effect.change.attribute} was emptied, and the cell is not empty",
                    effect.entry.at,
                )
            continue
        later = [one for one in case.history[effect.place] if one.own and one.entry.at > effect.entry.at]
        if (
            later
            and later[0].change.after == effect.change.before
            and not case.outside_between(effect.entry.at - timedelta(seconds=2), later[0].entry.at)
        ):
            name = _field_name(case, effect.change.attribute)
            yield _broken(
                "I13",
                f"{effect.change.object}: {name} was emptied and filled again, and nothing had happened",
                effect.entry.at,
            )


def processed(case: Case) -> Iterator[Violation]:
    """I16: what was acknowledged is processed."""
    if case.inbox:
        yield _broken("I16", f"{case.inbox} acknowledged delivery(ies) were never processed")
    for status in case.evidence.forged:
        if status not in (401, 404, 503):
            yield _broken("I16", f"a forged delivery was answered with {status}")


def switch(case: Case) -> Iterator[Violation]:
    """I20: two seconds after the kill switch no changing request starts."""
    for begin, end, scope, _ in _spans(case):
        for service in case.logs:
            if (scope == "to-airtable" and service != "airtable") or (
                scope == "to-bitbucket" and service != "bitbucket"
            ):
                continue
            for one in case.requests(service):
                changing = one.method not in ("GET",) and not one.path.split("?")[0].endswith("/listRecords")
                hooks = "/hooks" in one.path or "/webhooks" in one.path
                if changing and begin + timedelta(seconds=2) < one.at < end and not (hooks and scope != "all"):
                    yield _broken(
                        "I20", f"{one.method} {one.path} although {scope} was paused at {begin:%H:%M:%S}", one.at
                    )


def _spans(case: Case) -> Iterator[tuple[datetime, datetime, str, int]]:
    """When each scope was paused, and how many statuses had been seen when it was released."""
    open_since: dict[str, datetime] = {}
    for at, scope, on, seen in case.evidence.pauses:
        if on:
            open_since.setdefault(scope, at)
        elif scope in open_since:
            yield open_since.pop(scope), at, scope, seen
    for scope, at in open_since.items():
        yield at, case.marks["end"], scope, len(case.evidence.statuses)


def budgets(case: Case) -> Iterator[Violation]:
    """I21: no 429 of our own making, no request into a penalty, and never more than our share of a second."""
    for service in case.logs:
        throttled = [one for one in case.requests(service) if one.status == 429]
        if throttled and not case.contended:
            yield _broken("I21", f"{len(throttled)} answer(s) of 429 that nobody else caused", throttled[0].at)
    # As syncd was told it: a fault may have spoilt the answer.
    for first, service in case.evidence.throttled:
        for one in case.requests(service):
            meta = "/meta/" in one.path
            if (
                timedelta(milliseconds=200) < one.at - first < timedelta(seconds=29)
                and not meta
                and not _restart_after(case, first)
            ):
                yield _broken("I21", f"{one.method} {one.path} while {service} asked us to wait", one.at)
                return
    for base in case.spans[-1][1].airtable.values():
        most = max(1, math.ceil(5 * base.share))
        times = [one.at for one in case.requests("airtable") if f"/{base.base}" in one.path and one.status != 429]
        for index in range(len(times) - most):
            if times[index + most] - times[index] < timedelta(milliseconds=990):
                yield _broken(
                    "I21", f"{most + 1} requests to {base.base} within a second; {most} are ours", times[index]
                )
                return


def _restart_after(case: Case, at: datetime) -> bool:
    return any(timedelta(0) <= one - at < timedelta(seconds=30) for one in case.evidence.starts)


def stubborn(case: Case) -> Iterator[Violation]:
    """I22: what is refused for ever is tried a few times, not for ever, and rarely while nothing changes."""
    yield from _impatient(case)
    counted: Counter[tuple[str, str]] = Counter()
    for _, service, method, path, _, status in case.evidence.sent:
        if status in (400, 422) and service == "bitbucket":
            counted[method, path] += 1
    outside = sum(1 for one in case.effects if not one.own)
    for (method, path), times in counted.items():
        if times > 6 + outside:
            yield _broken("I22", f"{method} {path} was refused {times} times")


def _impatient(case: Case) -> Iterator[Violation]:
    """The same request again, soon after it was refused, although nothing changed meanwhile."""
    if _clock_was_set(case):
        return
    # What we wrote ourselves is news, too; what only tells of the refusal is none.
    silent = _riding(case) | {field for sync in case.syncs() for field in own_columns(sync)}
    told = [one.entry.at for one in case.effects if not (one.own and one.change.attribute in silent)]
    refused: dict[tuple[str, str, str], datetime] = {}
    for at, service, method, path, body, status in case.evidence.sent:
        if "hooks" in path:
            continue
        asked = (method, path, _without_run(case, body))
        before = refused.pop(asked, None)
        moved = before is not None and (
            any(before - timedelta(seconds=60) < one <= at for one in told)
            or any(
                before <= one <= at for one in (*case.evidence.applies, *(one for one, _, _ in case.evidence.reloads))
            )
            # What could not be kept is not known.
            or any(before <= one <= at for one in case.disk_struck)
        )
        if before is not None and at - before < _PATIENCE and not moved:
            waited = int((at - before).total_seconds())
            yield _broken("I22", f"{method} {path} to {service} again {waited} s after it was refused, for nothing", at)
        if status in _REFUSALS:
            refused[asked] = at


def _without_run(case: Case, body: bytes) -> str:
    text = body.decode("utf-8", "backslashreplace")
    return _RUN.sub("", text) if _riding(case) else text


def secrets(case: Case) -> Iterator[Violation]:
    """I29 and I30: no secret and nothing of unmapped fields in the state, in status or in the log."""
    shown = repr(case.status) + "\n".join(case.evidence.log)
    for secret in case.secrets:
        if any(form.encode() in case.image for form in _forms(secret)):
            yield _broken("I29", "a token or webhook secret stands in the state")
        if any(form in shown for form in _forms(secret)):
            yield _broken("I29", "a token or webhook secret stands in the status or the log")
    for address in _addresses(case.image):
        yield _broken("I30", f"an address of a person stands in the state, {address}")
    if PEOPLE_AT in shown:
        yield _broken("I30", "an address of a person stands in the status or the log")
    if f"{CANARY} cell".encode() in case.image:
        yield _broken("I30", "a cell that no rule names stands in the state")
    if f"{CANARY} cell" in shown or f"{CANARY} stranger" in shown:
        yield _broken("I30", "a cell that no rule names stands in the status or the log")


@cache
def _forms(secret: str) -> tuple[str, ...]:
    """A secret as it is, in hex, as a part of a URL, and in base64 wherever it begins in what was encoded."""
    raw = secret.encode()
    found = [secret, raw.hex(), quote(secret, safe="")]
    for before in range(3):
        # What stands around it changes the first and the last letters only.
        text = b64encode(b"\0" * before + raw).decode()
        found.append(text[4 if before else 0 : len(text) - 4])
    return tuple(found)


def _addresses(image: bytes) -> list[str]:
    """Where the state holds a person's address: anywhere but in deliveries, which are kept as they came for a while."""
    if PEOPLE_AT.encode() not in image:
        return []
    opened = sqlite3.connect(":memory:")
    opened.deserialize(image)
    found = []
    for (table,) in opened.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        for column in [row[1] for row in opened.execute(f'PRAGMA table_info("{table}")')]:
            where = f'instr(CAST("{column}" AS TEXT), ?)'
            held = opened.execute(f'SELECT 1 FROM "{table}" WHERE {where} LIMIT 1', (PEOPLE_AT,)).fetchone()
            if held and (table, column) != ("inbox", "body"):
                found.append(f"{table}.{column}")
    opened.close()
    return found


def fail_stop(case: Case) -> Iterator[Violation]:
    """I32: after a commit that failed nothing is acknowledged and nothing is sent before a new start."""
    spans: list[tuple[datetime, datetime | None]] = [(at, None) for at in case.commits_failed]
    # What had left already is answered after the commit that the listener could not make meanwhile.
    latency = timedelta(milliseconds=case.scenario.latency_ms)
    for at, good in (*spans, *case.disk_full):
        again = min(
            (*(one for one in case.evidence.starts if one > at), *((good,) if good is not None else ())),
            default=case.marks["end"],
        )
        for _, service, method, path, _, _ in (one for one in case.evidence.sent if at + latency < one[0] < again):
            yield _broken("I32", f"{method} {path} to {service} after a commit had failed", at)
        if any(at < one[0] < again for one in case.evidence.acks):
            yield _broken("I32", "a delivery was acknowledged after a commit had failed", at)


def health(case: Case) -> Iterator[Violation]:
    """I35: the status leaves `ok` within a minute of trouble, and is `ok` when there is none."""
    for begin, _, scope, count in _spans(case):
        for at, status in case.evidence.statuses[:count]:
            if begin + timedelta(seconds=60) < at and status["state"] not in ("paused", "halted"):
                yield _broken("I35", f"{scope} is paused, and the state is {status['state']}", at)
    for first, at, service, status in case.evidence.away:
        if status["state"] == "ok" and not any(first <= one <= at and why for one, _, why in case.evidence.reloads):
            # (What a reload met in vain, the daemon's own status tells.)
            yield _broken(
                "I35", f"every request to {service} has failed since {first:%H:%M:%S}, and the state is ok", at
            )
    begun: dict[str, datetime] = {}
    for at, what, over in case.evidence.outages:
        if not over:
            begun.setdefault(what, at)
            continue
        since = _met(case, what, begun.pop(what, None), at)
        if since is None or at - since < timedelta(seconds=60):
            continue
        seen = [status for moment, status in case.evidence.statuses if moment == at]
        if seen and seen[-1]["state"] == "ok":
            yield _broken("I35", f"{what}: out of reach since {since:%H:%M:%S}, and the state is ok", at)
    skewed = any(verb == "jump" for _, verb, _, _ in case.evidence.told)
    if case.status["state"] == "ok" or skewed or any(sync["refused"] for sync in case.status["syncs"].values()):
        # With a wrong clock a webhook looks as if it ended soon; a refused plan waits for a person.
        return
    reasons = case.status["reasons"]
    expected = any(verb in ("schema", "delete_many") for _, verb, _, _ in case.evidence.told) or any(
        rule[1] for rule in case.evidence.reloads
    )
    if not expected and not case.evidence.restored_at:
        yield _broken(
            "I35", f"nothing is wrong any more, and the state is {case.status['state']}: {'; '.join(reasons)}"
        )


def _met(case: Case, what: str, since: datetime | None, until: datetime) -> datetime | None:
    """When the first request met an outage: what is asked nothing is not known to be away."""
    if since is None:
        return None
    service, _, name = what.partition(" ")
    if service == "repository":
        names = {
            known for place, id in case.repositories.items() for known in (place, id) if place.endswith(f"/{name}")
        }
        asked = [one for one in case.requests("bitbucket") if any(known in unquote(one.path) for known in names)]
    else:
        # A credential that is refused names nobody: whoever asks in this world is syncd.
        asked = [one for one in case.logs[service][case.begun[service] :] if one.method != "CONTROL"]
    return next((one.at for one in asked if since <= one.at < until and one.status in (401, 403, 404)), None)


def one_lead(case: Case) -> Iterator[Violation]:
    """I37: no attribute of a pull request is written for two records."""
    wrote: dict[tuple[str, str], list[tuple[datetime, str]]] = defaultdict(list)
    for row in case.rows:
        if row.side is Side.BITBUCKET and row.field and row.state == "applied" and row.sequence > case.journal_before:
            wrote[row.object, row.field].append((row.at, row.record))
    for (place, attribute), rows in wrote.items():
        for (first, one), (second, other) in itertools.pairwise(rows):
            if one != other and abs(second - first) <= timedelta(seconds=5):
                yield _broken("I37", f"{place} {attribute} was written for {one} and for {other}", second)


def collisions(case: Case) -> Iterator[Violation]:
    """I06: when both sides of a field with `conflict = "ask"` moved at once, nothing is written before somebody decides."""
    decided = [
        at
        for at, verb, _, done in case.evidence.told
        if verb in ("resolve", "apply", "reload", "restore_state") and done
    ]
    for sync in case.syncs():
        for rule in sync.fields:
            if rule.owner is not Owner.BOTH or rule.conflict is not ConflictRule.ASK:
                continue
            attribute = (rule.attribute or "").partition(".")[2]
            links = case.links[sync.name]
            for record, keys in links.items():
                for repository, number in keys:
                    here, there = (record, rule.field.id), (f"{repository}#{number}", attribute)
                    yield from _collision(case, here, there, decided, rule.field.name)


def _collision(
    case: Case, here: tuple[str, str], there: tuple[str, str], decided: list[datetime], name: str
) -> Iterator[Violation]:
    for left in case.history.get(here, ()):
        for right in case.history.get(there, ()):
            if left.own or right.own or not left.here or _is_create(right) or not right.here:
                continue
            gap = (left.entry.at - right.entry.at).total_seconds()
            # At the very same instant no pass can have run between the two.
            if gap != 0 or str(norm(left.change.after)) in str(norm(right.change.after)) or right.change.before is None:
                continue
            if str(norm(left.change.before)) not in str(norm(right.change.before)):
                continue
            after = [one for place in (here, there) for one in case.history[place] if one.entry.at > left.entry.at]
            after.sort(key=lambda one: one.entry.at)
            if after and after[0].own and not any(left.entry.at < at <= after[0].entry.at for at in decided):
                yield _broken(
                    "I06",
                    f"{name} of {here[0]} was changed on both sides, and syncd wrote without asking",
                    after[0].entry.at,
                )


def confirmed(case: Case) -> Iterator[Violation]:
    """I26: after a change of the spec, what it is about is not written before somebody accepts it."""
    for index in range(1, len(case.spans)):
        since, rules = case.spans[index]
        until = min(
            [at for at in case.evidence.applies if at > since]
            + [at for at, _ in case.spans[index + 1 :]]
            + [case.marks["end"]]
        )
        for sync in rules.syncs.values():
            old = case.spans[index - 1][1].syncs.get(sync.name)
            before = {} if old is None else {rule.field.id: rule.fingerprint for rule in old.fields}
            changed = {rule.field.id: rule for rule in sync.fields if before.get(rule.field.id) != rule.fingerprint}
            attributes = {(rule.attribute or "").partition(".")[2] for rule in changed.values()}
            for effect in (*_cells(case), *_attributes(case)):
                about = effect.change.attribute in changed or (
                    effect.service == "bitbucket" and effect.change.attribute in attributes
                )
                if about and since < effect.entry.at < until:
                    name = _field_name(case, effect.change.attribute)
                    yield _broken(
                        "I26",
                        f"{effect.change.object} {name} was written before its new rule was accepted",
                        effect.entry.at,
                    )


def sound(case: Case) -> Iterator[Violation]:
    """I31: the process never needs a person, and never fails by a mistake of its own."""
    for at, text in case.evidence.internal:
        yield _broken("I31", f"a mistake of syncd's own: {text}", at)
    for at, text in case.evidence.failed_starts:
        if at > case.marks["healed"]:
            yield _broken("I31", f"it could not start: {text}", at)


JUDGES: Mapping[str, Judge] = {
    "convergence": convergence,
    "quiescence": quiescence,
    "owners": owners,
    "foreign": foreign,
    "other fields": other_fields,
    "collisions": collisions,
    "overwritten": overwritten,
    "echoes": echoes,
    "once": once,
    "graph": graph,
    "absence": absence,
    "journal": journal,
    "processed": processed,
    "switch": switch,
    "budgets": budgets,
    "stubborn": stubborn,
    "secrets": secrets,
    "fail stop": fail_stop,
    "health": health,
    "one lead": one_lead,
    "confirmed": confirmed,
    "sound": sound,
}


def judge(case: Case, judges: Iterable[Judge] = tuple(JUDGES.values())) -> list[Violation]:
    """Every promise that was broken, in the order of the judges."""
    case.index()
    return [found for one in judges for found in one(case)]
