"""The hot path costs a fixed number of statements, however many records travel together."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from syncd.model.change import AgreedKey, Agreement, NewLink, Side
from syncd.model.ids import FieldId, OperationId, RecordId, RunId, SyncName
from syncd.model.outcome import Result
from syncd.model.value import text
from syncd.ports import Ended, JournalEntry, Lane, Marking, Operation, RecordCommit, RunRow
from syncd.store.sqlite import SqliteStore
from tests.build import NOW, WEB, a_branch, a_build, a_commit, a_key, a_pull_request
from tests.store.wrapped import Bench

SYNC = SyncName("features")
MARKING = Marking(syncs=(SYNC,), lane=Lane.COMPARE, now=NOW)


def a_pass(store: SqliteStore, count: int, measure: Callable[[str], None] = lambda _: None) -> None:
    """What one pass over this many linked records asks of the store, a request for ten of them each."""
    ids = [RecordId(f"rec{number:014}") for number in range(count)]
    run, now = RunId(f"run-{count}"), NOW + timedelta(seconds=5)
    keys = store.claim_records(SYNC, now, count)
    measure("claim")
    store.load_remembered(SYNC, ids)
    measure("remembered")
    store.load_work(SYNC, ids, [WEB])
    measure("work")
    operations, entries = [], []
    for start in range(0, count, 10):
        operation = OperationId(f"{run}-{start}")
        operations.append(
            Operation(id=operation, sync=SYNC, run=run, side=Side.AIRTABLE, kind="cells", request={}, at=now)
        )
        entries += [_entry(run, operation, record) for record in ids[start : start + 10]]
    row = RunRow(run=run, sync=SYNC, spec_hash="x", started_at=now, changes=count, clears=0)
    store.save_intents(row, operations, entries)
    measure("intents")
    commits = [
        RecordCommit(
            record=key.record,
            done=key.mark,
            state="ok",
            seen="x",
            agreements=(Agreement(key=AgreedKey(FieldId("fld")), value=text("b")),),
            links=(NewLink(record=key.record, pull_request=a_key(1), evidence="branch"),),
        )
        for key in keys
    ]
    ended = [Ended(operation=one.id, result=Result.APPLIED, at=now) for one in operations]
    store.commit(SYNC, commits, ended, now)
    measure("commit")


def _entry(run: RunId, operation: OperationId, record: RecordId) -> JournalEntry:
    return JournalEntry(
        sync=SYNC,
        run=run,
        operation=operation,
        spec_hash="x",
        record=record,
        side=Side.AIRTABLE,
        kind="copy",
        object=record,
        field="fld",
        place="Name",
        before="null",
        after='{"text": "b"}',
        owner="bitbucket",
        rule="r",
        reason="moved",
        at=NOW,
    )


def fill(store: SqliteStore, count: int) -> None:
    """This many dirty records, each with a pull request, a branch, a commit and a build of its own."""
    ids = [RecordId(f"rec{number:014}") for number in range(count)]
    pull_requests, branches, commits, builds, links = [], [], {}, {}, {}
    for number, record in enumerate(ids):
        head = f"{number:040}"[::-1]
        pull_requests.append(a_pull_request(number, source_commit=head[:12], source_branch=f"b{number}"))
        branches.append(a_branch(f"b{number}", target_commit=head))
        commits[f"branch:b{number}"] = [a_commit(head)]
        builds[head] = [a_build(commit=head)]
        links[f"pr:{number}"] = links[f"branch:b{number}"] = [record]
    store.save_work(
        WEB,
        pull_requests=pull_requests,
        branches=branches,
        commits=commits,
        builds=builds,
        links={SYNC: links},
        listed_at=NOW,
        marking=MARKING,
    )
    store.mark_records(SYNC, ids, Lane.EDIT, NOW, NOW)


# With BEGIN and COMMIT of each of the five calls.
LIMITS = {"claim": 4, "remembered": 10, "work": 10, "intents": 5, "commit": 12}


@pytest.mark.parametrize("count", [1, 10, 100])
def test_a_pass_costs_the_same_statements_for_any_number_of_records(count: int) -> None:
    bench = Bench()
    store = SqliteStore.in_memory(connect=bench.connect)
    fill(store, count)
    spent: dict[str, int] = {}

    def measure(what: str) -> None:
        spent[what] = len(bench.statements)
        bench.statements.clear()

    bench.statements.clear()
    a_pass(store, count, measure)
    assert store.counts(SYNC).dirty == 0
    store.close()
    assert {what: number for what, number in spent.items() if number > LIMITS[what]} == {}


FREQUENT: dict[str, Callable[[SqliteStore], object]] = {
    "counts": lambda store: store.counts(SYNC),
    "states": lambda store: store.states(SYNC),
    "next_due": lambda store: store.next_due(SYNC, [WEB]),
    "a pass": lambda store: a_pass(store, 10),
    "load_quarantined": lambda store: store.load_quarantined(5),
    "load_deliveries": lambda store: store.load_deliveries(10),
    "load_unfinished": lambda store: store.load_unfinished(SYNC),
    "load_recent_changes": lambda store: store.load_recent_changes(SYNC, NOW),
    "load_journal of a sync": lambda store: store.load_journal(sync=SYNC, newest=True),
    "load_journal of a record": lambda store: store.load_journal(sync=SYNC, record=RecordId("rec1"), newest=True),
    "load_journal of a run": lambda store: store.load_journal(run=RunId("1")),
    "load_runs": lambda store: store.load_runs(SYNC, 1),
    "save_work": lambda store: fill(store, 3),
    "save_trouble": lambda store: store.save_trouble(WEB, "", MARKING),
    "load_known of some": lambda store: store.load_known(SYNC, [RecordId("rec1")]),
    "save_sent": lambda store: store.save_sent([OperationId("1")], NOW),
    "purge": lambda store: store.purge(NOW, NOW, 10),
}
# Steps over what the call is asked about, over what waits, or over a result.
_FINE = ("json_each", "inbox_waiting", "inbox_quarantined", "subquery", "CONSTANT", "SCAN o ")


class _AnyParameters(dict[str, None]):
    def __missing__(self, name: str) -> None:
        return None


@pytest.mark.parametrize("call", FREQUENT.values(), ids=list(FREQUENT))
def test_no_frequent_call_walks_a_whole_table(call: Callable[[SqliteStore], object]) -> None:
    bench = Bench()
    store = SqliteStore.in_memory(connect=bench.connect)
    fill(store, 50)
    bench.statements.clear()
    call(store)
    asked = [sql for sql in bench.statements if sql.split()[0] in ("SELECT", "UPDATE", "DELETE", "INSERT")]
    assert asked
    walks = []
    for sql in asked:
        for *_, step in store._connection.execute(f"EXPLAIN QUERY PLAN {sql}", _AnyParameters()).fetchall():
            if step.startswith("SCAN") and not any(fine in step for fine in _FINE):
                walks.append((step, sql))
    store.close()
    assert walks == []
