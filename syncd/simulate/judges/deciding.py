"""Judges of decisions: the status follows its graph, and a new rule writes nothing before it is accepted (I12, I26)."""

from collections.abc import Iterator

from syncd.model.change import Kind, Owner
from syncd.simulate.case import Case, Effect, Violation, plain
from syncd.simulate.judges.effects import attributes_changed, broken, cells_changed, field_name, forgotten
from syncd.simulate.truth import norm
from syncd.spec.rules import StatusRules

_PEOPLE_S = 60.0


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
                if effect.own and effect.here and not forgotten(case, effect):
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
            yield broken("I12", f"{where} is no path of the spec", effect.entry.at)
        return
    if target not in _closure(status, had or {status.initial}, _SYSTEM):
        yield broken("I12", f"{where} puts back a state that it never had", effect.entry.at)
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
        yield broken("I12", f"{where} takes back a legal edit", effect.entry.at)


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
            for effect in (*cells_changed(case), *attributes_changed(case)):
                about = effect.change.attribute in changed or (
                    effect.service == "bitbucket" and effect.change.attribute in attributes
                )
                if about and since < effect.entry.at < until:
                    name = field_name(case, effect.change.attribute)
                    yield broken(
                        "I26",
                        f"{effect.change.object} {name} was written before its new rule was accepted",
                        effect.entry.at,
                    )
