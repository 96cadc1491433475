"""The judge of the journal: every write has its rows before it, and every row comes to an end (I14)."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from syncd.simulate.case import Case, Violation, plain
from syncd.simulate.judges.effects import attributes_changed, broken, cells_changed, clock_was_set, forgotten, is_create
from syncd.simulate.truth import norm


def journal(case: Case) -> Iterator[Violation]:
    """I14: every changing request has its rows before it, and every row comes to an end."""
    written: Counter[tuple[str, str, str]] = Counter()
    for effect in (*cells_changed(case), *attributes_changed(case)):
        if not forgotten(case, effect):
            written[(*effect.place, repr(norm(effect.change.after)))] += 1
    rows: Counter[tuple[str, str, str]] = Counter()
    for row in case.rows:
        if row.sequence > case.journal_before and row.state != "seen":
            rows[row.object, row.field, repr(plain(row.after))] += 1
    for key, times in sorted(written.items()):
        if times > rows[key] and case.rows_of((key[0], key[1])):
            yield broken(
                "I14", f"{key[0]} {key[1]} was set to {key[2]} {times} time(s), and the journal has {rows[key]} row(s)"
            )
    for row in case.rows:
        if row.state in ("planned", "sent", "unknown"):
            yield broken(
                "I14", f"row {row.sequence} ({row.place} of {row.record}) never came to an end: {row.state}", row.at
            )
    if case.unfinished:
        yield broken("I14", f"{case.unfinished} operation(s) never came to an end")
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
            yield broken(
                "I14", f"row {row.sequence} says that {row.place} of {row.record} was written, and it never was", row.at
            )


def _before(case: Case) -> Iterator[Violation]:
    """The row is there before the request is: without jumps of our clock their stamps can be compared."""
    if clock_was_set(case):
        return
    for effect in (*cells_changed(case), *attributes_changed(case)):
        if forgotten(case, effect):
            continue
        stamps = [row.at for row in case.rows_of(effect.place) if plain(row.after) == norm(effect.change.after)]
        if stamps and min(stamps) > effect.entry.at + timedelta(milliseconds=1):
            yield broken(
                "I14", f"{effect.change.object} {effect.change.attribute} was written before its row", effect.entry.at
            )


def _creates(case: Case) -> Iterator[Violation]:
    """What syncd made has a row that says so, from before the request."""
    exact = not clock_was_set(case)
    for effect in case.effects:
        made = effect.change.kind == "branch" or effect.change.attribute == "source_branch"
        if not (effect.own and made and is_create(effect) and effect.change.before is None) or forgotten(case, effect):
            continue
        if effect.change.kind == "branch":
            rows = [row for row in case.rows if row.kind == "create branch" and row.object == effect.place[0]]
        else:
            begins = f"{effect.place[0].partition('#')[0]}:{effect.change.after} → "
            rows = [row for row in case.rows if row.kind == "create pull request" and row.object.startswith(begins)]
        if not any(not exact or row.at <= effect.entry.at for row in rows):
            yield broken("I14", f"{effect.change.object} was made without a row before it", effect.entry.at)
