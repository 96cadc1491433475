"""The state file itself: who may open it, what is refused, what a crash leaves."""

import os
import random
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlite_utils import Database

from syncd import errors
from syncd.model.ids import EndpointId, RecordId, SyncName
from syncd.ports import Arrived, Lane
from syncd.store import columns, database, migrations
from syncd.store.sqlite import SqliteStore
from tests.shared import ROOT

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state of syncd#1.db"


def arrived(number: int, bulk: int = 0) -> Arrived:
    body = f"{number}:".encode() + b"x" * bulk
    return Arrived(endpoint=EndpointId("e"), received_at=NOW, headers={}, body=body)


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# ---------------------------------------------------------------------------------------------------------- opening


def test_a_new_file_gets_the_whole_schema_and_the_settings_that_make_it_durable(file: Path) -> None:
    store = SqliteStore.open(file)
    connection = store._connection
    settings = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in (
        "journal_mode", "synchronous", "foreign_keys", "secure_delete", "application_id", "wal_autocheckpoint"
    )}  # fmt: skip
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "application_id": migrations.APPLICATION_ID,
        "wal_autocheckpoint": database.CHECKPOINT_PAGES,
    }
    assert migrations.applied(connection) == migrations.NAMES
    assert connection.isolation_level is None
    store.close()


def test_every_table_is_strict(file: Path) -> None:
    store = SqliteStore.open(file)
    loose = store._connection.execute(
        "SELECT name FROM pragma_table_list WHERE type = 'table' AND strict = 0 AND schema = 'main' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    store.close()
    assert loose == []


def test_opening_again_changes_nothing(file: Path) -> None:
    SqliteStore.open(file).close()
    before = file.read_bytes()
    SqliteStore.open(file).close()
    assert file.read_bytes() == before


def test_the_file_and_its_log_are_the_owner_s_alone(file: Path) -> None:
    file.touch(mode=0o644)
    store = SqliteStore.open(file)
    store.save_text("a", "b")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    store.close()
    assert modes == dict.fromkeys([file.name + end for end in ("", "-wal", "-shm", ".lock")], 0o600)


def test_a_file_that_cannot_be_made_is_named_with_its_folder(file: Path) -> None:
    with pytest.raises(errors.StoreError, match="cannot be opened") as caught:
        database.open_file(file.parent / "missing" / "syncd.db", database.connect)
    assert "missing" in caught.value.next_step


def test_a_crash_before_the_first_step_leaves_a_file_that_opens(file: Path) -> None:
    connection = database.connect(str(file))
    migrations.MIGRATIONS.ensure_migrations_table(Database(connection))
    connection.close()
    SqliteStore.open(file).close()


# ---------------------------------------------------------------------------------------------------------- refusals


def test_a_second_process_is_refused_with_the_pid_of_the_first(file: Path) -> None:
    store = SqliteStore.open(file)
    code = (
        "import sys\nfrom syncd import errors\nfrom syncd.store.sqlite import SqliteStore\n"
        "try: SqliteStore.open(sys.argv[1])\n"
        "except errors.StateInUse as error: print(error.message, '|', error.next_step); sys.exit(error.exit_status)\n"
    )
    second = run_python(code, str(file))
    said, _ = second.communicate(timeout=20)
    store.close()
    assert second.returncode == 1
    assert f"process {os.getpid()}" in said
    assert str(file) in said


def test_the_lock_is_free_when_its_holder_closed_or_could_not_open(file: Path) -> None:
    store = SqliteStore.open(file)
    with pytest.raises(errors.StateInUse):
        SqliteStore.open(file)
    store.close()
    store.close()
    file.write_bytes(b"no database at all" * 400)
    for _ in range(2):
        with pytest.raises(errors.StoreError, match="cannot be read"):
            SqliteStore.open(file)


def test_a_corrupt_page_is_refused_at_start_and_nothing_is_deleted(file: Path) -> None:
    store = SqliteStore.open(file)
    store.save_deliveries([arrived(number, 3000) for number in range(50)])
    store.close()
    pages = bytearray(file.read_bytes())
    pages[4096 * 3 : 4096 * 5] = b"\xa5" * 8192
    file.write_bytes(pages)

    with pytest.raises(errors.StoreError, match="cannot be read") as caught:
        SqliteStore.open(file)
    assert "backup" in caught.value.next_step
    assert "OPERATIONS.md" in caught.value.next_step
    assert file.read_bytes() == pages


@pytest.mark.parametrize("logged", [False, True], ids=["closed", "killed"])
@pytest.mark.parametrize("damage", ["table", "index", "cut", "newer"])
def test_a_refused_file_and_its_log_are_left_as_they_are(file: Path, damage: str, *, logged: bool) -> None:
    """After a `kill -9` the last commits are in the log alone; SQLite would fold it in when the check ends (ST05)."""
    good = file.with_name("good.db")
    store = SqliteStore.open(good)
    store.save_deliveries([arrived(number, 3000) for number in range(50)])
    store.mark_records(
        SyncName("features"), [RecordId(f"rec{number:014}") for number in range(500)], Lane.EDIT, NOW, NOW
    )
    if damage == "newer":
        table = migrations.MIGRATIONS.migrations_table
        newer = f"INSERT INTO {table} (migration_set, name, applied_at) VALUES ('syncd', 'm999_future', '')"
        store._connection.execute(newer)
    store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    store.save_text("a", "b")
    (root,) = store._connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = :name",
        {"name": "dirty_record_by_lane" if damage == "index" else "inbox"},
    ).fetchone()
    file.write_bytes(good.read_bytes())
    log = file.with_name(file.name + "-wal")
    if logged:
        log.write_bytes(good.with_name("good.db-wal").read_bytes())
    store.close()
    pages = bytearray(file.read_bytes())
    match damage:
        case "table":
            pages[4096 * (root - 1) : 4096 * root] = b"\xa5" * 4096
        case "index":
            # One key of the page turns into another one, which no structure contradicts.
            at = pages.index(b"rec0", 4096 * (root - 1), 4096 * root)
            pages[at + 3 : at + 4] = b"9"
        case "cut":
            del pages[len(pages) // 2 :]
    file.write_bytes(pages)
    before = {one.name: one.read_bytes() for one in (file, log) if one.exists()}

    for _ in range(2):
        with pytest.raises(errors.StoreError) as caught:
            SqliteStore.open(file)
        assert caught.value.next_step
    assert {one.name: one.read_bytes() for one in (file, log) if one.exists()} == before


@pytest.mark.parametrize("empty", [False, True], ids=["deleted", "emptied"])
def test_the_log_of_a_file_that_is_gone_is_kept_aside(file: Path, *, empty: bool) -> None:
    """ST07: a new state begins, and SQLite would delete what is left of the old one."""
    good = file.with_name("good.db")
    store = SqliteStore.open(good)
    store.save_text("a", "b")
    left = good.with_name("good.db-wal").read_bytes()
    store.close()
    for number in (1, 2):
        file.unlink(missing_ok=True)
        if empty:
            file.touch()
        file.with_name(file.name + "-wal").write_bytes(left)
        fresh = SqliteStore.open(file)
        assert fresh.load_text("a") is None
        fresh.close()
        assert file.with_name(f"{file.name}-wal.orphan-{number}").read_bytes() == left


def test_a_file_that_is_locked_as_it_is_opened_is_not_called_damaged(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that a shell has open for writing: its journal is not a log yet, so that nobody else may read."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    store = SqliteStore.open(file)
    store.close()
    foreign = database.connect(str(file))
    foreign.execute("PRAGMA journal_mode = DELETE").fetchone()
    foreign.execute("BEGIN EXCLUSIVE")
    with pytest.raises(errors.StoreError, match="locked by another program") as caught:
        SqliteStore.open(file)
    assert "fuser" in caught.value.next_step
    foreign.execute("ROLLBACK")
    foreign.close()
    SqliteStore.open(file).close()


def test_a_newer_schema_is_refused_by_name(file: Path) -> None:
    store = SqliteStore.open(file)
    store._connection.execute(
        f"INSERT INTO {migrations.MIGRATIONS.migrations_table} (migration_set, name, applied_at)"
        " VALUES ('syncd', 'm999_future', '')"
    )
    store.close()
    with pytest.raises(errors.StoreError, match="m999_future"):
        SqliteStore.open(file)
    with pytest.raises(errors.StoreError, match="m999_future"):
        SqliteStore.open(file, lock=False)


@pytest.mark.parametrize("pragma", ["application_id = 7", "user_version = 0"])
def test_another_program_s_file_is_refused(file: Path, pragma: str) -> None:
    connection = database.connect(str(file))
    connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    with pytest.raises(errors.StoreError, match="not a state file"):
        SqliteStore.open(file)


def test_an_older_sqlite_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SQLITE_MIN", (99, 0, 0))
    with pytest.raises(errors.StoreError, match="too old"):
        SqliteStore.open(file)


# ---------------------------------------------------------------------------------------------------------- readers


def test_a_reader_sees_what_is_committed_and_writes_nothing(file: Path) -> None:
    store = SqliteStore.open(file)
    reader = SqliteStore.open(file, lock=False)
    store.save_text("a", "b")
    assert reader.load_text("a") == "b"
    with pytest.raises(errors.StoreError, match="for reading only"):
        reader.save_text("a", "c")
    assert reader.failed == ""
    store.close()
    reader.close()
    late = SqliteStore.open(file, lock=False)
    assert late.load_text("a") == "b"
    late.close()


def test_a_reader_needs_a_file(file: Path) -> None:
    with pytest.raises(errors.StoreError, match="cannot be read"):
        SqliteStore.open(file, lock=False)


# ---------------------------------------------------------------------------------------------------- copies, crashes


def test_a_backup_opens_and_holds_what_was_committed(file: Path) -> None:
    store = SqliteStore.open(file)
    store.save_text("a", "b")
    copy = file.with_name("copy.db")
    copy.write_text("an older backup")
    store.backup(copy)
    store.save_text("a", "later")
    store.close()

    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not copy.with_name("copy.db.part").exists()
    restored = SqliteStore.open(copy)
    assert restored.load_text("a") == "b"
    restored.close()


def test_a_backup_that_cannot_be_written_says_so_and_stops_nothing(file: Path) -> None:
    store = SqliteStore.open(file)
    with pytest.raises(errors.StoreError, match="backup"):
        store.backup(file.parent / "missing" / "copy.db")
    store.save_text("a", "b")
    store.close()


def test_an_image_is_the_whole_state(file: Path) -> None:
    store = SqliteStore.in_memory()
    store.save_text("a", "b")
    image = store.image()
    store.save_text("a", "later")
    older = SqliteStore.in_memory(image)
    assert older.load_text("a") == "b"
    older.save_text("a", "own")
    assert store.load_text("a") == "later"
    older.close()
    store.close()


def test_a_log_that_was_cut_leaves_the_last_whole_commit(file: Path) -> None:
    store = SqliteStore.open(file)
    numbers = [store.save_deliveries([arrived(number, 500)])[0] for number in range(20)]
    copy = file.with_name("cut.db")
    copy.write_bytes(file.read_bytes())
    log = file.with_name(file.name + "-wal").read_bytes()
    copy.with_name("cut.db-wal").write_bytes(log[:-2000] + b"\x00garbage" * 50)
    store.close()

    restored = SqliteStore.open(copy)
    kept = [one.sequence for one in restored.load_deliveries(100)]
    restored.close()
    assert kept == numbers[: len(kept)]
    assert len(kept) >= 18


WRITER = """
import sys
from datetime import UTC, datetime
from syncd.model.ids import EndpointId, RecordId, SyncName
from syncd.ports import Arrived, Lane
from syncd.store.sqlite import SqliteStore
store, first = SqliteStore.open(sys.argv[1]), int(sys.argv[2])
for number in range(first, first + 100000, 3):
    group = [Arrived(endpoint=EndpointId("e"), received_at=datetime(2026, 1, 1, tzinfo=UTC), headers={},
                     body=f"{one}:".encode() + b"x" * 2000) for one in range(number, number + 3)]
    store.save_deliveries(group)
    print(number + 2, flush=True)
"""


@pytest.mark.parametrize("cycles", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_no_acknowledged_delivery_is_lost_when_the_process_is_killed(file: Path, cycles: int) -> None:
    draw = random.Random(7)
    first = 0
    for _ in range(cycles):
        writer = run_python(WRITER, str(file), str(first))
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(draw.randrange(5, 120))]
        writer.send_signal(signal.SIGKILL)
        said += writer.stdout.readlines()
        writer.communicate()
        # The last line may be cut; every whole one was acknowledged.
        acknowledged = max(int(line) for line in said if line.endswith("\n"))

        store = SqliteStore.open(file)
        kept = [int(one.body.partition(b":")[0]) for one in store.load_deliveries(1_000_000)]
        store.close()
        assert kept == list(range(len(kept)))
        assert len(kept) > acknowledged >= first
        assert len(kept) % 3 == 0, "a group is stored as a whole"
        first = len(kept)


def test_what_retention_deletes_is_overwritten_in_the_file(file: Path) -> None:
    store = SqliteStore.open(file)
    (number,) = store.save_deliveries(
        [Arrived(endpoint=EndpointId("e"), received_at=NOW, headers={}, body=b"Ada Lovelace" * 99)]
    )
    store._connection.execute("UPDATE inbox SET disposition = 'marked' WHERE sequence = :n", {"n": number})
    store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert b"Ada Lovelace" in file.read_bytes()
    store.purge(columns.at(columns.moment(NOW) + 1), NOW, 10)
    store.close()
    assert b"Ada Lovelace" not in file.read_bytes()
