"""Storage trouble: what was not committed is undone, and after a failed commit nothing is believed (I32, ST01-ST04)."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd import errors
from syncd.model.change import AgreedKey, Agreement
from syncd.model.ids import FieldId, RecordId, SyncName
from syncd.model.value import text
from syncd.ports import Lane, RecordCommit
from syncd.store import database
from syncd.store.sqlite import SqliteStore
from tests.build import NOW, RECORD
from tests.store.test_database import arrived
from tests.store.wrapped import BUSY, CORRUPT, FULL, IOERR_FSYNC, Bench, failure

SYNC = SyncName("features")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def store(bench: Bench, tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "syncd.db", connect=bench.connect)
    yield opened
    bench.heal()
    opened.close()


def test_a_full_disk_refuses_and_recovers_when_space_returns(store: SqliteStore) -> None:
    store.save_deliveries([arrived(1)])
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}").fetchone()
    with pytest.raises(errors.StoreError, match="no space") as caught:
        store.save_deliveries([arrived(number, 3000) for number in range(2, 30)])
    assert "by itself" in caught.value.next_step
    assert store.failed == ""
    assert len(store.load_deliveries(99)) == 1

    store._connection.execute("PRAGMA max_page_count = 100000").fetchone()
    assert len(store.save_deliveries([arrived(number, 3000) for number in range(2, 30)])) == 28


def test_a_disk_that_is_full_at_the_commit_recovers_too(store: SqliteStore, bench: Bench) -> None:
    bench.fail("COMMIT", failure(FULL, "database or disk is full"))
    with pytest.raises(errors.StoreError, match="no space"):
        store.save_text("a", "b")
    bench.heal()
    assert store.load_text("a") is None
    store.save_text("a", "c")
    assert store.load_text("a") == "c"


def test_closing_on_a_full_disk_loses_nothing(bench: Bench, tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "syncd.db", connect=bench.connect)
    store.save_text("a", "b")
    bench.fail("PRAGMA wal_checkpoint", failure(FULL, "full"))
    store.close()
    bench.heal()
    opened = SqliteStore.open(tmp_path / "syncd.db")
    assert opened.load_text("a") == "b"
    opened.close()


@pytest.mark.parametrize("code", [IOERR_FSYNC, BUSY, 1], ids=["fsync", "busy", "any other"])
def test_after_a_failed_commit_nothing_is_believed_until_the_file_is_opened_again(
    store: SqliteStore, bench: Bench, tmp_path: Path, code: int
) -> None:
    store.save_text("a", "old")
    bench.fail("COMMIT", failure(code, "disk I/O error"))
    with pytest.raises(errors.StoreError, match="cannot be trusted"):
        store.save_text("a", "new")
    bench.heal()
    with pytest.raises(errors.StoreError, match="a commit failed"):
        store.save_text("a", "x")
    with pytest.raises(errors.StoreError, match="a commit failed"):
        store.load_text("a")
    with pytest.raises(errors.StoreError, match="a commit failed"):
        store.backup(tmp_path / "copy.db")
    assert "a commit failed" in store.failed
    store.close()

    opened = SqliteStore.open(tmp_path / "syncd.db")
    assert (opened.load_text("a"), opened.failed) == ("old", "")
    opened.close()


def test_after_a_failed_commit_closing_writes_nothing_more(store: SqliteStore, bench: Bench, tmp_path: Path) -> None:
    """SQLite folds the log into the file when the last connection closes, with an fsync that nobody may believe (ST03)."""
    store.save_text("a", "b")
    files = [tmp_path / "syncd.db", tmp_path / "syncd.db-wal"]
    bench.fail("COMMIT", failure(IOERR_FSYNC, "disk I/O error"))
    with pytest.raises(errors.StoreError):
        store.save_text("a", "c")
    before = [file.read_bytes() for file in files]
    store.close()
    assert [file.read_bytes() for file in files] == before
    opened = SqliteStore.open(tmp_path / "syncd.db")
    assert opened.load_text("a") == "b"
    opened.close()


@pytest.mark.parametrize("name", ["syncd.db", "syncd.db-wal"])
@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
def test_nothing_is_acknowledged_into_a_file_that_is_not_there_any_more(
    store: SqliteStore, tmp_path: Path, name: str, *, replaced: bool
) -> None:
    store.save_deliveries([arrived(1)])
    kept = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if replaced:
        (tmp_path / "other").write_bytes(kept)
        (tmp_path / "other").rename(tmp_path / name)
    with pytest.raises(errors.StoreError, match="deleted or replaced"):
        store.save_deliveries([arrived(2)])
    assert "deleted or replaced" in store.failed
    store.close()
    if replaced:
        assert (tmp_path / name).read_bytes() == kept
    if name == "syncd.db":
        assert (tmp_path / name).exists() is replaced
    elif not replaced:
        # The process held the last copy of the log, and saved what had been acknowledged.
        opened = SqliteStore.open(tmp_path / "syncd.db")
        assert len(opened.load_deliveries(9)) == 1
        opened.close()


def test_trouble_is_told_until_something_was_truly_written(store: SqliteStore, bench: Bench) -> None:
    store.mark_records(SYNC, [RECORD], Lane.EDIT, NOW, NOW)
    store.save_text("old", "as it was")
    assert store.trouble() == ""
    bench.fail("COMMIT", failure(FULL, "database or disk is full"))
    with pytest.raises(errors.StoreError, match="no space"):
        store.save_text("a", "b")
    bench.heal()
    assert "no space" in store.trouble()
    # Reading, claiming and finding nothing to do need no disk.
    assert store.load_text("a") is None
    assert store.claim_records(SYNC, NOW, 10)
    store.free_claims(SYNC, [])
    assert store.purge(NOW, NOW, 10) == 0
    store.save_text("old", "as it was")
    assert "no space" in store.trouble()
    store.save_text("a", "b")
    assert store.trouble() == ""


def test_a_damaged_file_fails_the_store_at_the_first_statement_that_notices(store: SqliteStore, bench: Bench) -> None:
    bench.fail("SELECT text", failure(CORRUPT, "database disk image is malformed"))
    with pytest.raises(errors.StoreError, match="malformed"):
        store.load_text("a")
    bench.heal()
    with pytest.raises(errors.StoreError, match="malformed"):
        store.load_text("a")


def test_a_rollback_that_fails_fails_the_store(store: SqliteStore, bench: Bench) -> None:
    bench.fail("INSERT INTO text", failure(FULL, "full"))
    bench.fail("ROLLBACK", failure(1, "no"))
    with pytest.raises(errors.StoreError):
        store.save_text("a", "b")
    assert "could not be undone" in store.failed


def test_a_foreign_writer_is_waited_for_and_then_named_as_the_reason(
    store: SqliteStore, bench: Bench, tmp_path: Path
) -> None:
    foreign = bench.connect(str(tmp_path / "syncd.db"))
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(errors.StoreError, match="locked by another program"):
        store.save_text("a", "b")
    foreign.execute("ROLLBACK")
    foreign.close()
    store.save_text("a", "b")
    assert store.load_text("a") == "b"


def test_only_the_first_call_waits_for_a_foreign_lock_that_lasts(tmp_path: Path) -> None:
    """All calls share one connection: each one's wait would be added up for the next, and the listeners' too (ST04)."""
    store = SqliteStore.open(tmp_path / "syncd.db")
    foreign = database.connect(str(tmp_path / "syncd.db"))
    foreign.execute("BEGIN IMMEDIATE")
    patience = []
    for _ in range(3):
        with pytest.raises(errors.StoreError, match="locked by another program"):
            store.save_text("a", "b")
        patience.append(store._connection.execute("PRAGMA busy_timeout").fetchone()[0])
    assert patience == [100] * 3
    foreign.execute("ROLLBACK")
    foreign.close()
    store.save_text("a", "b")
    assert store._connection.execute("PRAGMA busy_timeout").fetchone()[0] == database.BUSY_TIMEOUT_S * 1000
    store.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "syncd.db")
    store.close()
    with pytest.raises(errors.StoreError, match="closed"):
        store.load_text("a")


def test_a_commit_that_fails_at_any_statement_leaves_nothing_behind(bench: Bench) -> None:
    """Fault on the n-th storage call, for all n."""
    first = SqliteStore.in_memory()
    first.mark_records(SYNC, [RECORD], Lane.EDIT, NOW, NOW)
    image = first.image()
    first.close()
    agreement = Agreement(key=AgreedKey(FieldId("fld")), value=text("x"))
    points = 0
    while True:
        store = SqliteStore.in_memory(image, connect=bench.connect)
        (key,) = store.claim_records(SYNC, NOW, 1)
        before = store.image()
        bench.statements.clear()
        left = points

        def count_down(_: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise failure(FULL, "full")

        store._connection.before = count_down  # type: ignore[attr-defined]  # it is a Wrapped
        one = RecordCommit(record=RECORD, done=key.mark, state="ok", seen="x", agreements=(agreement,))
        try:
            store.commit(SYNC, [one], [], NOW)
        except errors.StoreError:
            store._connection.before = lambda _: None  # type: ignore[attr-defined]  # as above
            if not store.failed:
                assert store.image() == before
            points += 1
            store.close()
            continue
        store._connection.before = lambda _: None  # type: ignore[attr-defined]  # as above
        assert store.next_due(SYNC, []) is None
        store.close()
        break
    assert points >= 5


def test_threads_share_one_store(store: SqliteStore) -> None:
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                store.save_deliveries([arrived(number * 100 + turn)])
                store.mark_records(SYNC, [RecordId(f"rec{number}-{turn}")], Lane.EDIT, NOW, NOW)
                store.load_text("a")
        except errors.StoreError as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(store.load_deliveries(1000)) == 80
    assert len(store.claim_records(SYNC, NOW, 1000)) == 80
