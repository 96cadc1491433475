"""What must hold after any number of deaths, from both services' logs and the state (I01, I10, I14, I16)."""

import sqlite3
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

from syncd.sandbox.wire import LogEntry
from tests.end_to_end.people import REPOSITORIES
from tests.end_to_end.running import RUN_COLUMN, House, is_write

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
ENDED = {"applied", "refused", "retry", "moved"}


def every_acknowledged_delivery_is_processed(house: House) -> int:
    """I16. Returns how many there were."""
    kept = {(row["endpoint"], row["body"]): row["disposition"] for row in house.rows("SELECT * FROM inbox")}
    acknowledged = [one for witness in house.witnesses for one in witness.sent if one.status == 200]
    for one in acknowledged:
        key = (one.delivery.url.rpartition("/")[2], one.delivery.body)
        assert kept.get(key) is not None, one.delivery.id
    return len(acknowledged)


def every_operation_ended(house: House) -> int:
    """Nothing is left half done. Returns how many operations there were."""
    states = [str(row["state"]) for row in house.rows("SELECT state FROM operation")]
    assert set(states) <= ENDED
    assert house.rows("SELECT 1 FROM operation WHERE ended_at IS NULL") == []
    open_rows = house.rows("SELECT DISTINCT state FROM journal")
    assert {str(row["state"]) for row in open_rows} <= {*ENDED, "seen"}
    return len(states)


def every_changing_request_has_one_operation(house: House) -> int:
    """
    Each request belongs to the operation that was marked as sent last before it came; no operation has two. Returns how many.

    One thread sends, one request at a time, so the moments tell which belongs to which; what it is about is compared too.
    """
    operations = house.rows("SELECT * FROM operation WHERE sent_at IS NOT NULL ORDER BY sent_at, sequence")
    requests = house.writes()
    taken: set[str] = set()
    for entry in requests:
        before = [row for row in operations if _moment(row["sent_at"]) <= entry.at]
        assert before, f"{entry.method} {entry.path} was sent without an operation"
        operation = before[-1]
        assert operation["id"] not in taken, f"{operation['kind']} was sent twice: {entry.path}"
        taken.add(operation["id"])
        _is_about(house, entry, operation)
    return len(requests)


def _is_about(house: House, entry: LogEntry, operation: sqlite3.Row) -> None:
    """Whether the journal rows of an operation tell of what the request was to change."""
    rows = house.rows("SELECT record, object FROM journal WHERE operation = ?", operation["id"])
    path = unquote(entry.path)
    match operation["kind"]:
        case "cells":
            assert entry.method == "PATCH"
            assert {change.object for change in entry.changes} <= {row["record"] for row in rows}
        case "attributes":
            assert entry.method == "PUT"
            assert {row["object"].rpartition("#")[2] for row in rows} == {path.rpartition("/")[2]}
        case kind:
            ending = "/refs/branches" if kind == "branch" else "/pullrequests"
            assert (entry.method, path.endswith(ending)) == ("POST", True)
            assert rows[0]["object"].partition(":")[0] in path
            told = [f"{one.object} {one.after}" for one in entry.changes]
            assert not told or any(rows[0]["record"] in text for text in told)


def no_cell_is_written_twice_with_the_same_value(house: House) -> int:
    """
    Between two writes of one value to one cell or attribute somebody else changed it. Returns how many values were written.

    The log holds true changes only, so a write without one wrote what was there already.
    """
    written = 0
    for entry in house.writes():
        if entry.status >= 300:
            continue
        run_column = _field(house, RUN_COLUMN)
        changed = [change for change in entry.changes if change.attribute != run_column]
        assert changed, f"{entry.method} {entry.path} changed nothing"
        written += len(changed)
    for kind, objects in _histories(house).items():
        for name, history in objects.items():
            for (value, by_daemon), (after, by_daemon_too) in pairwise(history):
                assert not (by_daemon and by_daemon_too and value == after), (kind, name, value)
    _applied_cells_were_changes(house)
    return written


def _histories(house: House) -> dict[str, dict[tuple[str, str], list[tuple[Any, bool]]]]:
    """The values that each attribute took, and whether syncd made it so."""
    found: dict[str, dict[tuple[str, str], list[tuple[Any, bool]]]] = {}
    for witness in house.witnesses:
        for entry in witness.log:
            for change in entry.changes:
                history = found.setdefault(change.kind, {}).setdefault((change.object, change.attribute), [])
                history.append((change.after, is_write(entry)))
    return found


def _applied_cells_were_changes(house: House) -> None:
    """Every cell of an applied batch truly changed in it: people never write a value that syncd would write."""
    run_column = _field(house, RUN_COLUMN)
    changed = {
        (change.object, change.attribute, run)
        for entry in house.writes()
        for run in _runs_of(entry, run_column)
        for change in entry.changes
    }
    applied = "SELECT record, field, run FROM journal WHERE side = 'airtable' AND state = 'applied'"
    for row in house.rows(applied):
        assert (row["record"], row["field"], row["run"]) in changed, tuple(row)


def _runs_of(entry: LogEntry, run_column: str) -> set[str]:
    return {str(change.after) for change in entry.changes if change.attribute == run_column}


def nothing_is_made_twice(house: House, record: str) -> None:
    """I10: at most one branch and one pull request per record, ever."""
    made = {"branch": 0, "pull_request": 0}
    for entry in house.writes():
        for change in entry.changes:
            if entry.method == "POST" and change.before is None and record in f"{change.object} {change.after}":
                made["branch"] += change.kind == "branch" and change.attribute == "target"
                made["pull_request"] += change.kind == "pull_request" and change.attribute == "title"
    assert made["branch"] <= 1, record
    assert made["pull_request"] <= 1, record
    assert len(house.branches(record)) <= 1
    assert len(house.pull_requests(record)) <= 1


def the_cells_follow_their_owners(house: House, record: str) -> None:
    """What the sample spec says, worked out from the true state of both sides without any code of syncd's."""
    cells, found = house.cells(record), house.pull_requests(record)
    slug = REPOSITORIES[cells["Repo"]]
    branches = {name: one for name, one in house.in_bitbucket("branches", repository=slug).items() if record in name}
    assert (cells.get("Sync note") or '"Status" was put back').startswith('"Status" was put back'), cells
    if not found:
        assert cells["Status"] in {"Planned", "Ready"}
        assert not any(one["ahead"] for one in branches.values())
        return
    (pr,) = found
    statuses = list(pr["statuses"].values())
    build = next((state for state in ("FAILED", "STOPPED", "INPROGRESS", "SUCCESSFUL") if state in statuses), None)
    approvals = sum(1 for user, verdict in pr["verdicts"] if verdict == "approved" and user != pr["author"])
    confidence = (60 if approvals >= 2 else 30 * approvals) + (40 if build == "SUCCESSFUL" else 0)
    status = "Merged" if pr["state"] == "MERGED" else "In Progress" if pr["draft"] else "In Review"
    assert cells["Status"] == status, record
    assert cells["PR state"] == {"OPEN": "Open", "MERGED": "Merged"}[pr["state"]]
    assert cells["Last commit"] == pr["source_commit"][:12]
    assert cells.get("Build") == build, record
    assert cells["Confidence"] == confidence, record
    assert cells["PR URL"].endswith(f"/{slug}/pull-requests/{pr['id']}")
    assert bool(cells.get("Merged at")) is (pr["state"] == "MERGED")
    if pr["state"] == "OPEN":
        assert pr["title"] == f"[Airtable: {record}] {cells['Name']}"
        assert pr["description"] == cells.get("Details", "")


def _field(house: House, name: str) -> str:
    for table in house.in_airtable("schema")["tables"]:
        for one in table["fields"]:
            if one["name"] == name:
                return str(one["id"])
    raise LookupError(name)


def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
