"""Records as the last pass left them: state and note, links, what actions made, refusals they wait on."""

from collections.abc import Mapping, Sequence

from syncd.model.change import NewLink
from syncd.model.ids import PullRequestKey, RecordId, RepositoryId, SyncName
from syncd.model.situation import Made
from syncd.ports import KnownRecord, RecordCommit, Remembered
from syncd.store import agreed, columns, holds
from syncd.store.columns import Connection


def load_remembered(db: Connection, sync: SyncName, records: Sequence[RecordId]) -> Mapping[RecordId, Remembered]:
    """As `ports.Store.load_remembered`: one statement per table, however many records."""
    asked = {"sync": sync, "records": columns.array(records)}
    some = "WHERE sync = :sync AND record IN (SELECT value FROM json_each(:records))"
    links: dict[RecordId, set[PullRequestKey]] = {}
    for record, repository, number in db.execute(
        f"SELECT record, repository, number FROM link {some}", asked
    ).fetchall():
        links.setdefault(RecordId(record), set()).add(PullRequestKey(RepositoryId(repository), number))
    made: dict[RecordId, dict[str, Made]] = {}
    rows = db.execute(f"SELECT record, rule, object, intended FROM made {some}", asked)
    for record, rule, object, intended in rows.fetchall():
        made.setdefault(RecordId(record), {})[rule] = Made(rule=rule, object=object, intended=bool(intended))
    refusals = db.execute(f"SELECT record, parked, parked_for FROM record {some} AND parked <> ''", asked).fetchall()
    parked = {RecordId(record): (reason, cause) for record, reason, cause in refusals}
    values = agreed.load(db, "agreed", sync, records)
    tolerated = agreed.load(db, "tolerated", sync, records)
    edited = agreed.load_edits(db, sync, records)
    conflicts = holds.load_open(db, sync, records)
    held = holds.load(db, sync, records)
    return {
        record: Remembered(
            links=frozenset(links.get(record, ())),
            agreed=values.get(record, {}),
            tolerated=tolerated.get(record, {}),
            conflicts=conflicts.get(record, {}),
            holds=tuple(hold for hold in held if hold.record == record) if held else (),
            made=made.get(record, {}),
            edited=edited.get(record, {}),
            parked=parked.get(record, ("", ""))[0],
            parked_for=parked.get(record, ("", ""))[1],
        )
        for record in records
    }


def load_known(db: Connection, sync: SyncName, records: Sequence[RecordId] | None) -> Mapping[RecordId, KnownRecord]:
    """As `ports.Store.load_known`."""
    some = "" if records is None else " AND record IN (SELECT value FROM json_each(:records))"
    rows = db.execute(
        f"SELECT record, seen, state, note, status, linked, absent FROM record WHERE sync = :sync{some} ORDER BY record",
        {"sync": sync, "records": columns.array(records or ())},
    )
    return {
        RecordId(record): KnownRecord(
            record=RecordId(record),
            seen=seen,
            state=state,
            note=note,
            status=status,
            linked=bool(linked),
            absent=absent,
        )
        for record, seen, state, note, status, linked, absent in rows.fetchall()
    }


def load_linked(db: Connection, sync: SyncName) -> tuple[RecordId, ...]:
    """Known records that work was linked to when they were last planned, in order."""
    rows = db.execute(
        "SELECT record FROM record INDEXED BY record_linked WHERE sync = :sync AND linked = 1 ORDER BY record",
        {"sync": sync},
    )
    return tuple(RecordId(record) for (record,) in rows.fetchall())


def load_waiting(db: Connection, sync: SyncName) -> tuple[RecordId, ...]:
    """
    Known records whose plan was not carried out in full, in order.

    Whatever their state: a refused edit or a conflict waits for a list as much as one that is only pending.
    """
    rows = db.execute(
        "SELECT record FROM record INDEXED BY record_waiting WHERE sync = :sync AND seen = '' ORDER BY record",
        {"sync": sync},
    )
    return tuple(RecordId(record) for (record,) in rows.fetchall())


def save(db: Connection, sync: SyncName, commits: Sequence[RecordCommit]) -> None:
    """What a pass learnt about records: how they stand, or (no state) only whether a refusal is remembered."""
    rows = [
        {
            "sync": sync,
            "record": one.record,
            "seen": one.seen,
            "state": one.state,
            "note": columns.text(one.note),
            "status": None if one.status is None else columns.text(one.status),
            "linked": int(one.linked),
            "parked": None if one.parked is None else columns.text(one.parked),
            "parked_for": one.parked_for if one.parked else "",
        }
        for one in commits
        if not one.gone
    ]
    standing = [row for row in rows if row["state"] is not None]
    refused = [row for row in rows if row["state"] is None and row["parked"] is not None]
    if standing:
        db.executemany(
            "INSERT INTO record (sync, record, seen, state, note, status, linked, parked, parked_for)"
            " VALUES (:sync, :record, :seen, :state, :note, :status, :linked, coalesce(:parked, ''), :parked_for)"
            " ON CONFLICT (sync, record) DO UPDATE SET seen = excluded.seen, state = excluded.state,"
            " note = excluded.note, status = excluded.status, linked = excluded.linked,"
            " parked = coalesce(:parked, parked),"
            " parked_for = CASE WHEN :parked IS NULL THEN parked_for ELSE :parked_for END",
            standing,
        )
    if refused:
        db.executemany(
            "UPDATE record SET parked = :parked, parked_for = :parked_for WHERE sync = :sync AND record = :record",
            refused,
        )


def save_links(db: Connection, sync: SyncName, links: Sequence[NewLink]) -> None:
    """Links to be remembered."""
    db.executemany(
        "INSERT INTO link (sync, record, repository, number, evidence)"
        " VALUES (:sync, :record, :repository, :number, :evidence)"
        " ON CONFLICT (sync, record, repository, number) DO UPDATE SET evidence = excluded.evidence",
        [
            {
                "sync": sync,
                "record": one.record,
                "repository": one.pull_request.repository,
                "number": one.pull_request.number,
                "evidence": one.evidence,
            }
            for one in links
        ],
    )


def save_made(db: Connection, sync: SyncName, made: Sequence[tuple[RecordId, Made]]) -> None:
    """What actions made or are about to; one that names nothing and intends nothing is forgotten."""
    last = {(record, one.rule): one for record, one in made}
    kept: list[dict[str, str | int]] = []
    forgotten: list[dict[str, str | int]] = []
    for (record, rule), one in last.items():
        row: dict[str, str | int] = {
            "sync": sync,
            "record": record,
            "rule": rule,
            "object": columns.text(one.object),
            "intended": int(one.intended),
        }
        (kept if one.object or one.intended else forgotten).append(row)
    if kept:
        db.executemany(
            "INSERT INTO made (sync, record, rule, object, intended) VALUES (:sync, :record, :rule, :object, :intended)"
            " ON CONFLICT (sync, record, rule) DO UPDATE SET object = excluded.object, intended = excluded.intended",
            kept,
        )
    if forgotten:
        db.executemany("DELETE FROM made WHERE sync = :sync AND record = :record AND rule = :rule", forgotten)


def forget(db: Connection, sync: SyncName, records: Sequence[RecordId]) -> None:
    """
    Records that are gone drop their links and agreed values.

    What was made for them stays: a record that a person restores keeps its id and must not make it again. Holds stay,
    because people set them.
    """
    asked = {"sync": sync, "records": columns.array(records)}
    for table in ("record", "link", "agreed", "tolerated", "edited", "conflict"):
        db.execute(
            f"DELETE FROM {table} WHERE sync = :sync AND record IN (SELECT value FROM json_each(:records))", asked
        )


def save_absent(db: Connection, sync: SyncName, missing: Sequence[RecordId], present: Sequence[RecordId]) -> None:
    """As `ports.Store.save_absent`."""
    some = "WHERE sync = :sync AND record IN (SELECT value FROM json_each(:records))"
    db.execute(f"UPDATE record SET absent = absent + 1 {some}", {"sync": sync, "records": columns.array(missing)})
    db.execute(
        f"UPDATE record SET absent = 0 {some} AND absent <> 0", {"sync": sync, "records": columns.array(present)}
    )


def states(db: Connection, sync: SyncName) -> Mapping[str, int]:
    """As `ports.Store.states`."""
    rows = db.execute(
        "SELECT state, count(*), sum(linked) FROM record WHERE sync = :sync GROUP BY state ORDER BY state",
        {"sync": sync},
    ).fetchall()
    return {**{state: count for state, count, _ in rows}, "linked": sum(linked for _, _, linked in rows)}
