"""Read both sides and the state together: for each dirty record one situation, or why there is none."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from syncd import log, ports
from syncd.core import link, plan
from syncd.flow import completeness, fault
from syncd.flow.context import Context
from syncd.model import value
from syncd.model.ids import FieldId, PullRequestKey, RecordId
from syncd.model.record import Record
from syncd.model.situation import Situation
from syncd.model.work import List, PullRequest, Work

_log = log.logger("flow.collect")

# Above this many records one complete listing costs fewer calls than asking by id (100 ids a call, 100 rows a page).
BY_ID_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """
    What was read.

    Args:
        situations: of the records that are there, in order of id.
        missing: records that were asked for and are not there.
        seen: for each record the fingerprint of what its plan is made from on the Airtable side.
        unsure: why it cannot be told whether a record is in scope; it counts as out of it, and waits.
        faults: records that tripped a fault of our own, and what it was; they have no situation.
        unread: records that are there and cannot be read, and why; they have no situation either.
    """

    situations: tuple[Situation, ...]
    missing: tuple[RecordId, ...]
    seen: Mapping[RecordId, str] = field(default_factory=dict)
    unsure: Mapping[RecordId, str] = field(default_factory=dict)
    faults: Mapping[RecordId, str] = field(default_factory=dict)
    unread: Mapping[RecordId, str] = field(default_factory=dict)


def joined(parts: Sequence[Collected]) -> Collected:
    """What was read in several goes as if it had been one."""
    return Collected(
        situations=tuple(
            sorted((one for part in parts for one in part.situations), key=lambda situation: situation.record.id)
        ),
        missing=tuple(sorted(record for part in parts for record in part.missing)),
        seen={record: seen for part in parts for record, seen in part.seen.items()},
        unsure={record: why for part in parts for record, why in part.unsure.items()},
        faults={record: why for part in parts for record, why in part.faults.items()},
        unread={record: why for part in parts for record, why in part.unread.items()},
    )


def fingerprint(context: Context, record: Record) -> str:
    """A short text that changes with any cell, the scope, the spec or the table's schema: an unchanged one needs no new plan."""
    return _digest(context, record, context.sync.fetch)


def _digest(context: Context, record: Record, fields: Sequence[FieldId]) -> str:
    parts = [context.rules.spec_hash, context.schema, "1" if record.in_view else "0"]
    for id in fields:
        cell = record.cells.get(id, value.NOTHING)
        if isinstance(cell, value.Text):
            # Most cells are texts, and this runs for every record of a full compare: by its length no text needs escaping.
            parts.append(f"{len(cell.key)} {cell.key}")
        else:
            parts.append("?" + cell.reason if isinstance(cell, value.Unknown) else value.dump(cell))
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def collect(context: Context, ids: Sequence[RecordId], now: datetime, *, again: bool = False) -> Collected:
    """
    Read these records and everything that decides about them.

    Args:
        again: a person wants what was refused to be tried again, whether or not anything changed.

    Raises:
        ServiceError: Airtable could not be read; no record was believed missing.
    """
    unread: dict[RecordId, str] = {}
    records = _fetch(context, ids, unread)
    present = sorted(records)
    views = {view.repository.id: view for view in context.store.load_repositories(context.repository_ids)}
    unknown = completeness.incomplete(context, views)
    for repository in completeness.unknown(context, views):
        # Said before anything waits for it: the read that makes it known marks what waits.
        context.store.save_text(ports.waiting_key(context.name, repository), "yes")
    accepted = context.store.load_accepted(context.name)
    faults: dict[RecordId, str] = {}

    def trip(record: RecordId, error: Exception) -> None:
        faults[record] = fault.told(error)
        _log.error(
            "record.failed", sync=context.name, record=record, kind=type(error).__name__, trace=fault.trace(error)
        )

    parts = fault.apart(
        present,
        lambda some: _situations(context, {id: records[id] for id in some}, unknown, accepted, now, again=again),
        trip,
    )
    return replace(
        joined(parts),
        missing=tuple(sorted(set(ids) - records.keys() - unread.keys())),
        faults=dict(sorted(faults.items())),
        unread=dict(sorted(unread.items())),
    )


def _situations(
    context: Context,
    records: Mapping[RecordId, Record],
    unknown: Mapping[List, str],
    accepted: frozenset[str],
    now: datetime,
    *,
    again: bool,
) -> Collected:
    present = list(records)
    remembered = context.store.load_remembered(context.name, present)
    linked = context.store.load_work(context.name, present, context.repository_ids)
    situations = []
    unsure: dict[RecordId, str] = {}
    for id, record in records.items():
        memory = remembered.get(id, ports.Remembered())
        own = _with_link_command(context, record, linked.get(id, ports.LinkedWork()))
        situation = Situation(
            sync=context.name,
            record=record,
            work=Work(
                branches=own.branches,
                pull_requests=own.pull_requests,
                commits=own.commits,
                builds=own.builds,
                deployments=own.deployments,
                incomplete=unknown or completeness.unread_of(own),
            ),
            now=now,
            records_of=own.records_of,
            remembered=memory.links,
            agreed=memory.agreed,
            tolerated=memory.tolerated,
            conflicts=memory.conflicts,
            holds=tuple(hold for hold in memory.holds if hold.until is None or hold.until > now),
            made=memory.made,
            accepted=accepted,
            edited=memory.edited,
            # A refusal stands until the record's cells or its work are other than those it was for.
            parked=memory.parked
            if memory.parked and not again and memory.parked_for == _cause(context, record, own)
            else "",
        )
        scope = plan.in_scope(situation, context.sync)
        if isinstance(scope, value.Unknown):
            unsure[id] = scope.reason
        situations.append(replace(situation, in_scope=scope is True))
    return Collected(
        situations=tuple(situations),
        missing=(),
        seen={id: fingerprint(context, record) for id, record in records.items()},
        unsure=unsure,
    )


def cause(context: Context, situation: Situation) -> str:
    """
    What a refusal was for: the record's cells and the state of its work.

    Without the columns about syncd itself: to tell a refusal in the note must not be a reason to try again.
    """
    return _cause(context, situation.record, situation.work)


def _cause(context: Context, record: Record, own: ports.LinkedWork | Work) -> str:
    columns = context.sync.columns
    told = {one.id for one in (columns.run_id, columns.state, columns.note) if one is not None}
    parts = [_digest(context, record, [id for id in context.sync.fetch if id not in told])]
    parts += [f"{one.key}@{one.updated_on.isoformat()}" for one in own.pull_requests]
    parts += [f"{one.repository}:{one.name}@{one.target_commit}" for one in own.branches]
    parts += [f"{one.commit}:{one.key}={one.state}" for one in own.builds]
    parts += [f"{one.id}={one.state}" for one in own.deployments]
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _fetch(context: Context, ids: Sequence[RecordId], unread: dict[RecordId, str]) -> Mapping[RecordId, Record]:
    sync = context.sync
    asked = frozenset(ids)

    def odd(one: ports.Odd) -> None:
        if one.name in asked:
            unread[RecordId(one.name)] = f"Airtable's answer for this record cannot be read: {one.reason}"

    if len(ids) > BY_ID_MAX:
        listed = {
            record.id: record
            for record in context.catalogue.fetch_listing(sync.table, sync.view, context.fields(), odd)
        }
        found = {id: listed[id] for id in ids if id in listed}
        rest = [id for id in ids if id not in listed and id not in unread]
    else:
        found, rest = {}, list(ids)
    for start in range(0, len(rest), 100):
        found.update(
            context.catalogue.fetch_records(sync.table, sync.view, context.fields(), rest[start : start + 100], odd)
        )
    return found


def _with_link_command(context: Context, record: Record, own: ports.LinkedWork) -> ports.LinkedWork:
    """A pull request's URL in the link field names work that no evidence links yet: bring it along, core decides."""
    if context.sync.link.url is None:
        return own
    cell = record.cells.get(context.sync.link.url)
    if not isinstance(cell, value.Text) or cell.raw is None:
        return own
    reference = link.url_reference(cell.raw, context.sync.repositories)
    if reference is None:
        return own
    repository, number = reference
    key = PullRequestKey(repository, number)
    if any(one.key == key for one in own.pull_requests):
        return own
    found = _pull_request(context, key)
    if found is None:
        return own
    others = tuple(sorted(link.evidence(found, context.sync)))
    return replace(
        own,
        pull_requests=tuple(sorted((*own.pull_requests, found), key=lambda one: one.created_on, reverse=True)),
        records_of={**own.records_of, key: others},
    )


def _pull_request(context: Context, key: PullRequestKey) -> PullRequest | None:
    known = context.store.load_pull_requests(key.repository, [key.number])
    return known[0] if known else None
