"""`kill -9` at random moments, while people work on both sides: nothing is lost, nothing is doubled (I10, I16, I31)."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import unquote

import pytest

from syncd.sandbox.wire import LogEntry
from tests.end_to_end.running import RUN_COLUMN, House, is_write

READY_MAX_S = 10.0
REPOSITORIES = {"Web": "web", "API": "api"}
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
ENDED = {"applied", "refused", "retry", "moved"}


@pytest.fixture
def busy_house(tmp_path: Path) -> Iterator[House]:
    """Services without limits and a guard that lets any number of changes pass: this is about crashes, not about pace."""
    made = House(tmp_path / "busy", spec={"floor": "100000"})
    made.lift_limits()
    with made.open():
        made.start()
        made.adopt()
        yield made


@pytest.mark.slow
def test_a_few_kills_lose_nothing_and_double_nothing(busy_house: House) -> None:
    # Nothing is made here: a creation whose answer was lost is looked for during a minute before it is tried again.
    _prove(busy_house, kills=4, seed=11, features=0)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("seed", [1, 2])
def test_fifty_kills_lose_nothing_and_double_nothing(busy_house: House, seed: int) -> None:
    _prove(busy_house, kills=50, seed=seed, features=15)


@pytest.mark.slow
def test_what_one_request_of_a_record_agreed_on_outlives_a_kill_in_the_next(busy_house: House) -> None:
    """Cells are written and answered, then the pull request's title hangs, then comes the kill."""
    house = busy_house
    record = house.new_record("Offline mode")
    house.wait_for(lambda: bool(house.branches(record)), "the branch is made")
    (branch,) = house.branches(record)
    house.settle()
    house.in_bitbucket("set_fault", kind="hang", method="PUT", count=None)
    # All of it is new to syncd at once: cells to write, and a title to put right.
    house.in_bitbucket("push", repository="web", branch=branch, commits=1, user="grace")
    title = f"[Airtable: {record}] mine"
    made = house.in_bitbucket("create_pull_request", repository="web", source=branch, title=title, user="grace")
    house.in_bitbucket("set_status", repository="web", commit=branch, key="ci", state="INPROGRESS", user="grace")
    house.wait_for(lambda: house.cells(record).get("Build") == "INPROGRESS", "the cells are written")
    house.wait_for(lambda: house.in_bitbucket("fault_hits").get("hang", 0) > 0, "the title hangs")
    house.kill()
    house.in_bitbucket("clear_faults")
    # The new head has no build: the cell must be emptied, for Bitbucket owns it and both sides had agreed on it.
    house.in_bitbucket("push", repository="web", branch=branch, commits=1, user="grace")
    house.start()
    house.control.compare(None)
    house.settle(within_s=150)
    head = house.in_bitbucket("pull_request", repository="web", id=made["id"])["source_commit"]
    assert house.cells(record)["Last commit"] == head[:12]
    assert "Build" not in house.cells(record)
    the_cells_follow_their_owners(house, record)


def _prove(house: House, *, kills: int, seed: int, features: int) -> None:
    moments, ready = random.Random(seed), []
    for number, witness in enumerate(house.witnesses):
        witness.slowness = _slowness(seed + number)
    with _people(house, seed, features) as people:
        for _ in range(kills):
            Event().wait(moments.uniform(0.05, 1.5))
            house.kill()
            ready.append(house.start())
    for witness in house.witnesses:
        witness.slowness = None
    # A creation whose answer was lost is looked for during a minute before it counts as not made.
    house.settle(within_s=150)
    # Bitbucket never repeats a delivery that nobody answered: what came while the daemon was down, a full compare finds.
    ended = len(house.log_lines("compare.finished"))
    house.control.compare(None)
    house.wait_for(lambda: len(house.log_lines("compare.finished")) > ended, "both sides are compared")
    house.settle(within_s=150)
    (plan,) = house.control.plan(None)["plans"]
    assert (plan["totals"]["writes"], plan["totals"]["actions"]) == (0, 0), plan
    assert house.log_lines("worker.failed") == []
    assert max(ready) <= READY_MAX_S

    records = sorted({*people.made, *house.world.records.values()})
    figures = {
        "kills": kills,
        "slowest start s": round(max(ready), 2),
        "acts of people": people.acts,
        "records": len(records),
        "acknowledged deliveries": every_acknowledged_delivery_is_processed(house),
        "changing requests": every_changing_request_has_one_operation(house),
        "operations ended": every_operation_ended(house),
        "answers lost and looked up": len(house.log_lines("write.resolved")),
        "cells written": no_cell_is_written_twice_with_the_same_value(house),
    }
    print(figures)
    if kills >= 50:
        # Else no kill came between a request and its answer, and nothing was proved about that.
        assert figures["answers lost and looked up"] > 0
    for record in records:
        nothing_is_made_twice(house, record)
        the_cells_follow_their_owners(house, record)
    (checked,) = house.rows("PRAGMA integrity_check")
    assert checked[0] == "ok"


def _slowness(seed: int) -> Callable[[], tuple[float, float]]:
    """Services that take their time before or after they make a change: a kill then finds requests without an answer."""
    dice = random.Random(seed)

    def waits() -> tuple[float, float]:
        wait = dice.uniform(0.0, 0.2)
        return (wait, 0.0) if dice.random() < 0.5 else (0.0, wait)

    return waits


# ---------------------------------------------------------------------------------------------------------- people


@dataclass
class People:
    """Product managers in Airtable and developers in Bitbucket, each with a thread and a seed of their own."""

    house: House
    seed: int
    features: int
    made: list[str] = field(default_factory=list)
    old: list[str] = field(default_factory=list)
    acts: int = 0
    problems: list[BaseException] = field(default_factory=list)
    stopping: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        """Records that were agreed on long ago, and have a pull request."""
        self.old = [self.house.world.records[name] for name in ("Rate limits", "Audit log")]

    def manage(self) -> None:
        """Add features, change names and details, and sometimes a status that is not theirs to change."""
        dice, house, number = random.Random(self.seed), self.house, 0
        while not self.stopping.wait(dice.uniform(0.02, 0.25)):
            number += 1
            self.acts += 1
            drawn = dice.random()
            if len(self.made) < self.features and drawn < 0.2:
                self.made.append(house.new_record(f"Feature {number}", dice.choice(sorted(REPOSITORIES))))
            elif drawn < 0.5:
                house.edit(dice.choice([*self.old, *self.made]), Name=f"Feature {number}")
            elif drawn < 0.9:
                house.edit(dice.choice([*self.old, *self.made]), Details=f"Version {number}.")
            else:
                # A state that syncd never saw otherwise would be taken as it stands: only of the old ones.
                house.edit(dice.choice(self.old), Status="Released")

    def develop(self) -> None:
        """Push to the branches that syncd made, open what it drafted, build, approve, retitle and merge."""
        dice, house = random.Random(self.seed + 1000), self.house
        while not self.stopping.wait(dice.uniform(0.02, 0.25)):
            record = dice.choice([*self.old, *self.made])
            slug = REPOSITORIES[house.cells(record)["Repo"]]
            branches, found = house.branches(record), house.pull_requests(record)
            if not branches:
                continue
            self.acts += 1
            if not found or dice.random() < 0.3:
                house.in_bitbucket("push", repository=slug, branch=branches[0], commits=1, user="grace")
            elif found[0]["state"] == "OPEN":
                self._review(dice, slug, found[0])

    def _review(self, dice: random.Random, slug: str, found: dict[str, Any]) -> None:
        def act(verb: str, user: str, **arguments: Any) -> None:
            self.house.in_bitbucket(verb, repository=slug, user=user, **arguments)

        match dice.randrange(6):
            case 0:
                act("edit_pull_request", "grace", id=found["id"], draft=not found["draft"])
            case 1:
                act("edit_pull_request", "grace", id=found["id"], title=f"mine {dice.random()}")
            case 2:
                state = dice.choice(["SUCCESSFUL", "FAILED", "INPROGRESS"])
                act("set_status", "grace", commit=found["source_commit"], key="ci", state=state)
            case 3:
                act("approve", "ada", id=found["id"])
            case 4:
                act("unapprove" if found["verdicts"] else "approve", "ada", id=found["id"])
            case _:
                if not found["draft"] and dice.random() < 0.25:
                    act("merge", "ada", id=found["id"])

    def run(self, work: Any) -> None:
        """A thread's top: what goes wrong there fails the test."""
        try:
            work()
        except BaseException as error:
            self.problems.append(error)
            raise


@contextmanager
def _people(house: House, seed: int, features: int) -> Iterator[People]:
    people = People(house, seed, features)
    threads = [Thread(target=people.run, args=(work,)) for work in (people.manage, people.develop)]
    for thread in threads:
        thread.start()
    try:
        yield people
    finally:
        people.stopping.set()
        for thread in threads:
            thread.join()
    assert people.problems == []


# ------------------------------------------------------------------------- what must hold, from logs and the state


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
