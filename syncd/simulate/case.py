"""
What a finished scenario left behind, as its judges read it: both services' logs of what truly happened, the journal and the
other durable tables. Nothing of the daemon itself.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from syncd.model import value
from syncd.model.change import Owner, Side
from syncd.ports import JournalEntry
from syncd.sandbox.wire import Change, LogEntry
from syncd.simulate.oracle import Moves
from syncd.simulate.scenario import Scenario
from syncd.simulate.stage import Evidence
from syncd.simulate.truth import norm
from syncd.spec.rules import ForeignEditRule, Rules, SyncRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A promise that was broken: which, when, and in words."""

    invariant: str
    text: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """
    One attribute that truly changed.

    Args:
        place: (object, attribute) as the journal names them.
        own: syncd did it.
        here: since the scenario began.
    """

    service: str
    entry: LogEntry
    change: Change
    place: tuple[str, str]
    own: bool
    here: bool


@dataclass(slots=True, kw_only=True)
class Case:
    """
    Args:
        logs: everything that ever happened, by service, adoption included.
        begun: how many entries of each there were when the scenario began.
        rows: the journal, oldest first; `journal_before` is the last number from before the scenario.
        spans: which rules were in force from when on.
        marks: instants by name: "begun", "healed", "settled", "end".
        conflicts, unfinished, known, links: durable tables at the end, by sync.
        image: the state's bytes.
        strangers_before, strangers: what is nobody's business, at the start and at the end; see `truth.strangers`.
    """

    scenario: Scenario
    logs: Mapping[str, Sequence[LogEntry]]
    begun: Mapping[str, int]
    rows: Sequence[JournalEntry]
    journal_before: int
    spans: Sequence[tuple[datetime, Rules]]
    marks: Mapping[str, datetime]
    evidence: Evidence
    actors: Mapping[str, str]
    repositories: Mapping[str, str]
    truths: Mapping[str, Any]
    conflicts: Mapping[str, Sequence[Any]]
    unfinished: int
    known: Mapping[Any, Mapping[Any, Any]]
    links: Mapping[Any, Mapping[Any, frozenset[tuple[Any, int]]]]
    inbox: int
    image: bytes
    status: Mapping[str, Any]
    secrets: Sequence[str]
    contended: bool
    commits_failed: Sequence[datetime] = ()
    disk_struck: Sequence[datetime] = ()
    disk_full: Sequence[tuple[datetime, datetime | None]] = ()
    strangers_before: Mapping[str, Any] = field(default_factory=dict)
    strangers: Mapping[str, Any] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)
    history: dict[tuple[str, str], list[Effect]] = field(default_factory=lambda: defaultdict(list))
    _own: Mapping[str, list[Effect]] = field(init=False, default_factory=dict)
    _requests: Mapping[str, Sequence[LogEntry]] = field(init=False, default_factory=dict)
    _rows: Mapping[tuple[str, str], Sequence[JournalEntry]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for service, log in self.logs.items():
            actor, begun = self.actors[service], self.begun[service]
            for number, entry in enumerate(log):
                if not entry.changes:
                    continue
                own = entry.method != "CONTROL" and entry.actor == actor
                for change in entry.changes:
                    made = Effect(
                        service=service,
                        entry=entry,
                        change=change,
                        place=self.place(change),
                        own=own,
                        here=number >= begun,
                    )
                    self.history[made.place].append(made)
                    if made.here:
                        self.effects.append(made)
        self.effects.sort(key=lambda one: (one.entry.at, one.service, one.entry.sequence))

    def index(self) -> None:
        """Sort out once what the judges ask for again and again: `own`, `requests` and `rows_of` are as of now."""
        own: dict[str, list[Effect]] = defaultdict(list)
        for effect in self.effects:
            if effect.own and effect.change.before != effect.change.after:
                own[effect.change.kind].append(effect)
        rows: dict[tuple[str, str], list[JournalEntry]] = defaultdict(list)
        for row in self.rows:
            rows[row.object, row.field].append(row)
        self._own, self._rows = own, rows
        self._requests = {
            service: [
                one
                for one in log[self.begun[service] :]
                if one.method != "CONTROL" and one.actor == self.actors[service]
            ]
            for service, log in self.logs.items()
        }

    def object(self, change: Change) -> str:
        """The object's name in the journal: the repository by its id."""
        for mark in ("#", ":"):
            place, found, rest = change.object.partition(mark)
            if found and place in self.repositories:
                return f"{self.repositories[place]}{mark}{rest}"
        return change.object

    def place(self, change: Change) -> tuple[str, str]:
        """Where it was, as the journal names it."""
        return self.object(change), change.attribute

    def requests(self, service: str) -> Sequence[LogEntry]:
        """The daemon's own requests during the scenario."""
        return self._requests[service]

    def own(self, kind: str) -> Sequence[Effect]:
        """What syncd truly changed, of one kind."""
        return self._own.get(kind, ())

    def rules_at(self, at: datetime) -> Rules:
        """The spec in force."""
        found = self.spans[0][1]
        for since, rules in self.spans:
            if since <= at:
                found = rules
        return found

    def syncs(self, rules: Rules | None = None) -> Sequence[SyncRules]:
        """The syncs of a spec; the last one's unless another is given."""
        return tuple((rules or self.spans[-1][1]).syncs.values())

    def before(self, effect: Effect) -> Effect | None:
        """The change of the same place before this one."""
        every, sequence = reversed(self.history[effect.place]), effect.entry.sequence
        return next((one for one in every if one.entry.sequence < sequence), None)

    def value_at(self, place: tuple[str, str], at: datetime) -> Any:
        """What a place truly held."""
        held = None
        for one in self.history.get(place, ()):
            if one.entry.at <= at:
                held = one.change.after
        return held

    def outside_between(self, since: datetime, until: datetime) -> bool:
        """Whether anybody but syncd changed anything."""
        return any(not one.own and since < one.entry.at <= until for one in self.effects)

    def rows_of(self, place: tuple[str, str]) -> Sequence[JournalEntry]:
        """The journal's rows about a place."""
        return self._rows.get(place, ())

    def moves(self) -> Moves:
        """For the oracle: when people last moved each place."""
        made = Moves(
            tolerant={
                rule.field.id
                for _, rules in self.spans
                for sync in self.syncs(rules)
                for rule in sync.fields
                if rule.foreign_edit is not ForeignEditRule.REVERT
            }
        )
        records, names = self._records(), defaultdict[str, list[str]](list)
        restored = max(self.evidence.restored_at, default=self.marks["begun"] - timedelta(days=1))
        for name, id in self.repositories.items():
            names[id].append(name)
        for place, every in self.history.items():
            moves = _without_restores(every)
            people = [one for one in moves if not one.own]
            # With an old state in its place, what was agreed before is not known any more.
            if any(one.own and one.entry.at > restored for one in moves):
                made.wrote.add(place)
            if people:
                uuid, found, number = place[0].partition("#")
                for shown in [f"{name}#{number}" for name in names[uuid]] if found else [place[0]]:
                    made.at[(shown, place[1])] = people[-1].entry.at
            change = every[0].change
            if change.kind == "branch":
                made.had_branch |= {record for record in records if record in place[0]}
            if change.attribute == "source_branch":
                made.had_pull_request |= {record for record in records if record in str(change.after)}
        return made

    def _records(self) -> set[str]:
        return {record for truth in self.truths.values() for record in truth.records()}


def _without_restores(every: Sequence[Effect]) -> list[Effect]:
    """A record that was deleted and restored holds what it held: nobody moved its cells."""
    if len(every) == 1:
        return list(every)
    found: list[Effect] = []
    for one in every:
        gone = found[-1] if found and found[-1].change.after is None else None
        again = one.change.before is None and one.change.after is not None
        if gone is not None and again and one.change.after == gone.change.before:
            found.pop()
        elif not (found and again and one.change.after == found[-1].change.after):
            found.append(one)
    return found


@lru_cache(maxsize=10_000)
def plain(line: str) -> Any:
    """A journal value, comparable with what a service's log holds."""
    return None if line == '"unknown"' else norm(value.plain(value.parse(line)))


def writable_fields(sync: SyncRules) -> set[str]:
    """Field ids into which syncd may write."""
    found: set[str] = {rule.field.id for rule in sync.fields if rule.owner is not Owner.AIRTABLE or rule.adopt}
    found |= own_columns(sync)
    if sync.status is not None:
        found.add(sync.status.field.id)
    return found


def own_columns(sync: SyncRules) -> set[str]:
    """The columns about syncd itself, and the link field."""
    columns = sync.columns
    found: set[str] = {one.id for one in (columns.run_id, columns.state, columns.note) if one is not None}
    return found | ({sync.link.url} if sync.link.url is not None else set())


def writable_attributes(sync: SyncRules) -> set[str]:
    """Attributes of pull requests that syncd may write."""
    return {
        (rule.attribute or "").partition(".")[2]
        for rule in sync.fields
        if rule.writable and rule.owner in (Owner.AIRTABLE, Owner.BOTH)
    }


__all__ = ["Case", "Effect", "Side", "Violation"]
