"""The state file is damaged, cut, too new, deleted or replaced (ST05-ST07, ST10), and the ways back that OPERATIONS.md has."""

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from syncd.store import migrations
from tests import shared
from tests.end_to_end.burst import Client
from tests.end_to_end.disk import until
from tests.end_to_end.running import House

RECORD = "Audit log"


@contextmanager
def killed_house(folder: Path) -> Iterator[House]:
    """An adopted house whose daemon was killed: a file with everything of before, and a log with the last commits. A copy is kept."""
    house = House(folder, spec={"floor": "1000"})
    house.lift_limits()
    with house.open():
        house.start()
        house.adopt()
        assert house.end() == 0
        house.start()
        house.edit(house.world.records[RECORD], Details="In the log alone.")
        house.wait_for(lambda: details(house) == "In the log alone.", "it is at work")
        house.settle()
        house.kill()
        shutil.copytree(house.state.parent, house.folder / "kept")
        yield house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """One of its own: records that another daemon wrote to since would make the state an old one (I25)."""
    with killed_house(tmp_path.resolve() / "house") as house:
        yield house


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with killed_house(tmp_path_factory.mktemp("damage").resolve() / "house") as house:
        yield house


@pytest.fixture
def refusing(killed: House) -> House:
    """One for all whose daemon must not come to work; its state as it was."""
    shutil.rmtree(killed.state.parent)
    shutil.copytree(killed.folder / "kept", killed.state.parent)
    return killed


def details(house: House) -> str:
    slug, number = house.world.pull_requests[RECORD]
    return str(house.in_bitbucket("pull_request", repository=slug, id=number)["description"])


def wal(house: House) -> Path:
    return house.state.with_name("syncd.db-wal")


def files(house: House) -> dict[str, bytes]:
    """The file and its log, byte for byte; an empty log is none."""
    return {one.name: one.read_bytes() for one in (house.state, wal(house)) if one.exists() and one.stat().st_size}


def spoil(file: Path, at: int, size: int) -> None:
    pages = bytearray(file.read_bytes())
    pages[at : at + size] = bytes(byte ^ 0xFF for byte in pages[at : at + size])
    file.write_bytes(pages)


def _only_the_file(house: House) -> None:
    """As after a clean end: the log is folded in."""
    with closing(sqlite3.connect(house.state)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    wal(house).unlink(missing_ok=True)


def _page(house: House, table: str) -> int:
    with closing(sqlite3.connect(f"{house.state.as_uri()}?mode=ro", uri=True)) as database:
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return 4096 * (int(root) - 1)


def _flip_table(house: House) -> None:
    """In the file alone; the log, with pages of its own, stays good."""
    spoil(house.state, _page(house, "journal"), 64)


def _flip_index(house: House) -> None:
    _only_the_file(house)
    spoil(house.state, _page(house, "journal_by_record") + 4000, 40)


def _garbage_header(house: House) -> None:
    _only_the_file(house)
    spoil(house.state, 0, 100)


def _truncate(house: House) -> None:
    os.truncate(house.state, house.state.stat().st_size // 2 + 100)


def _newer(house: House) -> None:
    with closing(sqlite3.connect(house.state, isolation_level=None)) as database:
        table = migrations.MIGRATIONS.migrations_table
        database.execute(f"INSERT INTO {table} (migration_set, name, applied_at) VALUES ('syncd', 'm999_future', '')")


def _other_program(house: House) -> None:
    _only_the_file(house)
    house.state.write_bytes(b"A shopping list.\n" * 400)


REFUSED: dict[str, tuple[Callable[[House], None], str]] = {
    "a table's page": (_flip_table, "cannot be read"),
    "an index's page": (_flip_index, "cannot be read"),
    "the header": (_garbage_header, "cannot be read"),
    "cut in the middle": (_truncate, "cannot be read"),
    "a newer state": (_newer, "newer syncd"),
    "not a database": (_other_program, "cannot be read"),
}


@pytest.mark.parametrize("damage", REFUSED)
def test_a_file_that_cannot_be_trusted_is_refused_with_one_message_and_left_alone(refusing: House, damage: str) -> None:
    house = refusing
    spoilt, said = REFUSED[damage]
    spoilt(house)
    before, wrote = files(house), len(house.writes())
    for command in ("run", "plan"):
        ended = house.syncd(command)
        assert ended.returncode == 1, ended
        told = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
        assert [line.partition(":")[0] for line in told] == ["error", "next"], told
        assert said in told[0]
        assert "syncd.db" in told[0]
    assert files(house) == before
    assert len(house.writes()) == wrote


@pytest.mark.slow
@pytest.mark.parametrize("tail", ["cut", "garbage", "flipped"])
def test_of_a_log_with_a_bad_end_the_last_whole_commit_is_used(house: House, tail: str) -> None:
    """ST06. What was lost is found again by the full compare, and nothing is written twice."""
    match tail:
        case "cut":
            os.truncate(wal(house), wal(house).stat().st_size - 3000)
        case "garbage":
            with wal(house).open("ab") as log:
                log.write(os.urandom(6000))
        case "flipped":
            spoil(wal(house), wal(house).stat().st_size - 3000, 100)
    wrote = len(house.writes())
    house.start()
    house.settle()
    assert house.control.status()["state"] == "ok"
    assert len(house.writes()) == wrote
    assert [row[0] for row in house.rows("PRAGMA integrity_check")] == ["ok"]
    assert details(house) == "In the log alone."


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["everything", "the file"])
def test_without_its_file_it_starts_in_adoption_and_writes_nothing_before_a_person_agrees(
    house: House, missing: str
) -> None:
    """ST07."""
    left = wal(house).read_bytes()
    house.state.unlink()
    if missing == "everything":
        for file in house.state.parent.glob("syncd.db*"):
            file.unlink()
    slug, number = house.world.pull_requests[RECORD]
    wrote = len(house.writes())
    house.edit(house.world.records[RECORD], Details="In the log alone.", Name=f"Audit log, {missing}")
    house.start()
    house.wait_for(lambda: house.control.status()["syncs"]["features"]["last_compare"] is not None, "both are compared")
    assert house.control.status()["syncs"]["features"]["adoption"]
    assert len(house.writes()) == wrote
    if missing == "the file":
        # The log of the lost file is kept for whoever can read it.
        (aside,) = house.state.parent.glob("syncd.db-wal.orphan-*")
        assert aside.read_bytes() == left
    house.adopt()
    title = house.in_bitbucket("pull_request", repository=slug, id=number)["title"]
    assert title.endswith(f"Audit log, {missing}")
    # Nothing that was there already was made again.
    assert [entry for entry in house.writes()[wrote:] if entry.method == "POST"] == []


@pytest.mark.slow
@pytest.mark.parametrize("how", ["deleted", "replaced", "log deleted"])
def test_a_file_that_is_taken_away_under_the_daemon_ends_it_before_it_acknowledges(house: House, how: str) -> None:
    house.start()
    house.settle()
    client = Client(house=house, endpoint=house.endpoint("bitbucket", house.repository("web")), name=how)
    assert client.post() == 200
    house.settle()
    match how:
        case "deleted":
            house.state.unlink()
        case "replaced":
            for file in ("syncd.db", "syncd.db-wal"):
                shutil.copy(house.folder / "kept" / file, house.state.with_name(f"{file}.new"))
                house.state.with_name(f"{file}.new").replace(house.state.with_name(file))
        case "log deleted":
            wal(house).unlink()
    before = files(house)
    began = len(house.writes())
    assert client.post() in {503, None}
    until(lambda: house.exit_status is not None, "the daemon ends", 30)
    assert house.exit_status == 1
    assert "deleted or replaced" in house.log_lines("daemon.stopped")[-1]["failure"]
    assert len(house.writes()) == began
    if how == "replaced":
        assert files(house) == before
    house.start()
    house.settle()
    if how == "log deleted":
        # The process held the last copy of it, and folded it into the file as it ended.
        assert client.require_kept() == 1
    house.wait_for(lambda: bool(house.control.status()["syncs"]), "it is at work")
    # A copy that was put in its place is older than what was at work: it is not believed either (I25).
    assert house.control.status()["syncs"]["features"]["adoption"] is (how in ("deleted", "replaced"))


# ------------------------------------------------------------------------------- the ways back, as they are written


def steps(section: str) -> list[str]:
    """The lines of all `sh` blocks of a section of OPERATIONS.md, without their comments."""
    text = (shared.ROOT / "OPERATIONS.md").read_text(encoding="utf-8")
    (body,) = re.findall(rf"(?ms)^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text)
    blocks = re.findall(r"(?ms)^ *```sh\n(.*?)^ *```", body)
    lines = [re.sub(r"\s+# .*", "", line).strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def carry_out(house: House, lines: list[str]) -> None:
    """Do what the page says, with the house's folders in place of the service's."""
    (house.folder / "backup").mkdir(exist_ok=True)
    for line in lines:
        match line.split():
            case ["systemctl", "stop", _]:
                house.end()
            case ["systemctl", "start", _]:
                house.start()
            case ["systemctl", "reset-failed", _]:
                pass
            case ["syncd", *arguments]:
                ended = house.syncd(*(one.replace("plan.json", str(house.folder / "plan.json")) for one in arguments))
                assert ended.returncode == 0, (line, ended)
            case _:
                here = line.replace("/var/lib/syncd", str(house.state.parent)).replace(
                    "/backup", str(house.folder / "backup")
                )
                assert subprocess.run(["sh", "-ec", here], check=False).returncode == 0, here


@pytest.mark.slow
def test_the_steps_of_backup_and_restore_bring_a_state_back(house: House) -> None:
    house.start()
    house.settle()
    carry_out(house, steps("Back up the state"))
    assert house.answers()
    house.edit(house.world.records[RECORD], Details="After the backup.")
    house.wait_for(lambda: details(house) == "After the backup.", "it is written")
    house.settle()
    house.kill()
    _truncate(house)
    assert house.spawn().wait(30) == 1
    wrote = len(house.writes())
    carry_out(house, steps("Restore a backup"))
    house.settle()
    assert house.control.status()["state"] == "ok"
    assert details(house) == "After the backup."
    assert len(house.writes()) == wrote


@pytest.mark.slow
def test_the_steps_without_a_backup_bring_the_links_back_and_write_nothing_unasked(house: House) -> None:
    _garbage_header(house)
    assert house.spawn().wait(30) == 1
    damaged = files(house)
    wrote = len(house.writes())
    house.edit(house.world.records[RECORD], Details="While nothing ran.")
    carry_out(house, steps("The state file is lost or damaged"))
    house.wait_for(lambda: details(house) == "While nothing ran.", "the plan is carried out")
    house.settle()
    assert house.control.status()["state"] == "ok"
    assert [entry for entry in house.writes()[wrote:] if entry.method == "POST"] == []
    kept = house.folder / "state.damaged"
    assert {name: (kept / name).read_bytes() for name in damaged} == damaged
