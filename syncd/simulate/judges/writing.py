"""Judges of each write: whose it was to make, whether it was meant, how often it was made (I03 to I10, I13, I37)."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from syncd.model.change import Owner, Side
from syncd.simulate.case import Case, Effect, Violation, own_columns, plain, writable_attributes, writable_fields
from syncd.simulate.judges.effects import (
    attributes_changed,
    broken,
    cells_changed,
    clock_was_set,
    field_name,
    forgotten,
    is_create,
)
from syncd.simulate.scenario import Net
from syncd.simulate.truth import norm
from syncd.spec.rules import ConflictRule

_RECORD = re.compile(r"rec[A-Za-z0-9]{14}")


def owners(case: Case) -> Iterator[Violation]:
    """I03: the owner's side of a field is never written; I27: nothing of the schema is."""
    for effect in cells_changed(case):
        rules = case.rules_at(effect.entry.at)
        if not any(effect.change.attribute in writable_fields(sync) for sync in rules.syncs.values()):
            owned = any(
                rule.field.id == effect.change.attribute for sync in rules.syncs.values() for rule in sync.fields
            )
            name = field_name(case, effect.change.attribute)
            yield broken("I03" if owned else "I04", f"{effect.change.object}: {name} was written", effect.entry.at)
    for effect in attributes_changed(case):
        rules = case.rules_at(effect.entry.at)
        allowed = {name for sync in rules.syncs.values() for name in writable_attributes(sync)}
        if effect.change.attribute not in allowed and case.rows_of(effect.place):
            yield broken("I03", f"{effect.change.object}: {effect.change.attribute} was written", effect.entry.at)
    for effect in case.own("schema"):
        yield broken(
            "I27", f"syncd changed the schema: {effect.change.object} {effect.change.attribute}", effect.entry.at
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
            yield broken("I04", f"{one.method} {path}", one.at)
        elif not any(table in path for table in tables):
            yield broken("I04", f"a table that no sync names was written: {path}", one.at)
    for one in case.requests("bitbucket"):
        if one.method == "DELETE" and "/hooks" not in one.path:
            yield broken("I04", f"DELETE {one.path}", one.at)
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
        if not is_create(effect) and effect.place[0] not in linked:
            yield broken("I04", f"{effect.change.object} belongs to no record and was written", effect.entry.at)
        if not is_create(effect) and effect.change.attribute in _DECIDED:
            text = (
                f"{effect.change.object}: {effect.change.attribute} became {effect.change.after!r} by a request of ours"
            )
            yield broken("I04", text, effect.entry.at)
    for effect in case.own("branch"):
        if effect.change.before is not None or effect.change.after is None:
            yield broken("I04", f"the branch {effect.change.object} was moved or removed", effect.entry.at)
    for what, before in case.strangers_before.items():
        if what in case.strangers and case.strangers[what] != before:
            yield broken("I04", f"{what} is nobody's business, and is not as it was", case.marks["end"])
    for kind in ("comment", "task", "build", "deployment", "tag"):
        for effect in case.own(kind):
            yield broken("I04", f"a {kind} was made: {effect.change.object}", effect.entry.at)


def other_fields(case: Case) -> Iterator[Violation]:
    """I05: what a write did not mean to change, it did not change."""
    for effect in (*cells_changed(case), *attributes_changed(case)):
        if not case.rows_of(effect.place) and not forgotten(case, effect):
            text = f"{effect.change.object}: {effect.change.attribute} went from {effect.change.before!r} to {effect.change.after!r}"
            yield broken("I05", f"{text} in a write that was about something else", effect.entry.at)


def overwritten(case: Case) -> Iterator[Violation]:
    """I07 and I08: a person's value that we overwrote stands in the journal."""
    columns = {field for sync in case.syncs() for field in own_columns(sync)}
    for effect in (*cells_changed(case), *attributes_changed(case)):
        lost = case.before(effect)
        if (
            lost is None
            or forgotten(case, effect)
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
        if planned is not None and clock_was_set(case):
            # The journal's times and the services' cannot be compared.
            planned = effect.entry.at
        raced = planned is not None and lost.entry.at >= planned - timedelta(seconds=30)
        if raced and (
            case.scenario.net is Net.SWEEP
            or effect.service == "bitbucket"
            or _without_payloads(case, effect)
            or _hook_looked_ended(case, effect)
        ):
            # Nothing tells: no payload is read without polls and pings, and Bitbucket's PUT answers no value before.
            continue
        text = f"{effect.change.object} {field_name(case, effect.change.attribute)}: {effect.change.before!r} was overwritten"
        yield broken("I07" if raced else "I08", f"{text}, and the journal does not say so", effect.entry.at)


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


def _hook_looked_ended(case: Case, effect: Effect) -> bool:
    """Whether a clock that is days ahead had the webhook made anew, before its payload of that was read."""
    replaced = (one.at for one in case.requests("airtable") if one.method == "DELETE" and "/webhooks/" in one.path)
    return clock_was_set(case) and any(timedelta(0) <= at - effect.entry.at <= timedelta(seconds=60) for at in replaced)


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
    for effect in (*cells_changed(case), *attributes_changed(case)):
        before = last.get(effect.place)
        last[effect.place] = effect
        if before is None or effect.change.attribute in columns or forgotten(case, before):
            continue
        since = before.entry.at - _TOLD_WITHIN[case.scenario.net]
        if not case.outside_between(since, effect.entry.at) and not _troubled(case, since, effect.entry.at):
            text = f"{effect.change.object} {field_name(case, effect.change.attribute)}"
            yield broken(
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
                yield broken("I10", f"{record} has more than one {what} of ours: {', '.join(sorted(made_ones))}")


def absence(case: Case) -> Iterator[Violation]:
    """I13: nothing is emptied because something could not be seen."""
    told = {
        one.id
        for sync in case.syncs()
        for one in (sync.columns.run_id, sync.columns.state, sync.columns.note)
        if one is not None
    }
    # Of every spec that was in force: a rule that is blocked at the end may have written before.
    fields = {
        (rule.attribute or "").partition(".")[2]: rule.field.id
        for _, rules in case.spans
        for sync in case.syncs(rules)
        for rule in sync.fields
    }
    for effect in (*cells_changed(case), *attributes_changed(case)):
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
                yield broken(
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
            name = field_name(case, effect.change.attribute)
            yield broken(
                "I13",
                f"{effect.change.object}: {name} was emptied and filled again, and nothing had happened",
                effect.entry.at,
            )


def one_lead(case: Case) -> Iterator[Violation]:
    """I37: no attribute of a pull request is written for two records."""
    wrote: dict[tuple[str, str], list[tuple[datetime, str]]] = defaultdict(list)
    for row in case.rows:
        if row.side is Side.BITBUCKET and row.field and row.state == "applied" and row.sequence > case.journal_before:
            wrote[row.object, row.field].append((row.at, row.record))
    for (place, attribute), rows in wrote.items():
        for (first, one), (second, other) in itertools.pairwise(rows):
            if one != other and abs(second - first) <= timedelta(seconds=5):
                yield broken("I37", f"{place} {attribute} was written for {one} and for {other}", second)


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
            if left.own or right.own or not left.here or is_create(right) or not right.here:
                continue
            gap = (left.entry.at - right.entry.at).total_seconds()
            # At the very same instant no pass can have run between the two.
            if gap != 0 or str(norm(left.change.after)) in str(norm(right.change.after)) or right.change.before is None:
                continue
            if str(norm(left.change.before)) not in str(norm(right.change.before)):
                continue
            after = [one for place in (here, there) for one in case.history[place] if one.entry.at > left.entry.at]
            after.sort(key=lambda one: one.entry.at)
            if not after or not _asks(case, after[0].entry.at, here[1]):
                continue
            if after[0].own and not any(left.entry.at < at <= after[0].entry.at for at in decided):
                yield broken(
                    "I06",
                    f"{name} of {here[0]} was changed on both sides, and syncd wrote without asking",
                    after[0].entry.at,
                )


def _asks(case: Case, at: datetime, field: str) -> bool:
    """Whether the spec that was in force asks about this field."""
    rules = [rule for sync in case.syncs(case.rules_at(at)) for rule in sync.fields if rule.field.id == field]
    return any(rule.owner is Owner.BOTH and rule.conflict is ConflictRule.ASK for rule in rules)
