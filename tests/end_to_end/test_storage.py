"""
The disk under the real process fails: no acknowledgement and no changing request after a commit that failed (I32, ST01-ST04).

The way back of every situation is in OPERATIONS.md; `test_damage.py` has the files that cannot be trusted.
"""

import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from syncd import errors
from syncd.sandbox.wire import LogEntry
from tests.end_to_end.burst import Client, posting
from tests.end_to_end.disk import EPOCH, Disk, until
from tests.end_to_end.running import CHANGING, House

RECORD = "Audit log"


@pytest.fixture
def stood(tmp_path: Path) -> Iterator[tuple[House, Disk]]:
    """An adopted house that stands on a disk which fails when it is told to."""
    house = House(tmp_path.resolve() / "house", spec={"floor": "1000"})
    disk = Disk(house)
    house.lift_limits()
    with house.open():
        house.start()
        house.adopt()
        yield house, disk


def client_of(house: House, name: str) -> Client:
    return Client(house=house, endpoint=house.endpoint("bitbucket", house.repository("web")), name=name)


def details(house: House) -> str:
    """What the pull request of the record that the tests edit says."""
    slug, number = house.world.pull_requests[RECORD]
    return str(house.in_bitbucket("pull_request", repository=slug, id=number)["description"])


def edit(house: House, text: str) -> None:
    house.edit(house.world.records[RECORD], Details=text)


def changing(house: House, since: datetime) -> list[LogEntry]:
    """Every request of the daemon that changes something, webhooks included, that arrived later."""
    found = [entry for service in (0, 1) for entry in house.calls(service)]
    return [
        entry
        for entry in found
        if entry.at > since and entry.method in CHANGING and not entry.path.endswith("/listRecords")
    ]


def nothing_left_after(house: House, at: datetime) -> None:
    """
    I32: no changing request started after the moment, but for those that were under way.

    Such a one has an operation that was durably marked as sent before; one thread sends, so there is one at most.
    """
    late = changing(house, at)
    microseconds = (at - EPOCH) // timedelta(microseconds=1)
    under_way = house.rows("SELECT kind FROM operation WHERE state = 'sent' AND sent_at <= ?", microseconds)
    assert len(late) <= len(under_way) <= 1, (late, [tuple(row) for row in under_way])


def sound(house: House) -> bool:
    return [row[0] for row in house.rows("PRAGMA integrity_check")] == ["ok"]


# -------------------------------------------------------------------------------------------------------- full


def test_a_full_disk_refuses_and_says_so_and_goes_on_by_itself_when_there_is_room(stood: tuple[House, Disk]) -> None:
    house, disk = stood
    client = client_of(house, "full")
    disk.fail("full")
    began = house.clock()
    _refuses_while_full(house, client, began)
    assert disk.struck()
    disk.heal()
    _goes_on(house, client)


def _refuses_while_full(house: House, client: Client, began: datetime) -> None:
    edit(house, "This must wait.")
    assert [client.post() for _ in range(3)] == [503] * 3
    house.wait_for(lambda: house.control.status()["state"] != "ok", "the status says so")
    # What the worker does meanwhile needs no disk as long as it finds nothing to do; that must not look like recovery.
    house.never(lambda: house.control.status()["state"] == "ok", 12.0)
    (reason,) = [one for one in house.control.status()["reasons"] if "cannot be written" in one]
    assert "no space is left" in reason
    ready, why = house.control.ready()
    assert (ready, "no space is left" in why) == (False, True)
    assert client.post() == 503
    # Reading the spec again looks at the webhooks, too, and remembers names in the state: it must not end the daemon.
    loaded = len(house.log_lines("spec.loaded")) + len(house.log_lines("spec.rejected"))
    house.hang_up()
    house.wait_for(
        lambda: len(house.log_lines("spec.loaded")) + len(house.log_lines("spec.rejected")) > loaded, "it is read again"
    )
    house.never(lambda: house.control.status()["state"] == "ok", 3.0)
    assert changing(house, began) == []
    assert house.exit_status is None


def _goes_on(house: House, client: Client) -> None:
    house.wait_for(lambda: details(house) == "This must wait.", "the edit is written after all")
    house.hang_up()
    house.wait_for(lambda: house.control.status()["state"] == "ok", "the status is ok again")
    assert house.control.ready() == (True, "")
    assert client.post() == 200
    house.settle()
    assert client.require_kept() == 1
    assert sound(house)


@pytest.mark.slow
def test_a_small_file_system_without_room_is_the_same(tmp_path: Path) -> None:
    house = House(tmp_path.resolve() / "house", spec={"floor": "1000"})
    house.lift_limits()
    with house.open(), _small_disk(house.folder / "state") as inside:
        house.spawn(*inside)
        house.wait_for(house.answers, "the daemon is ready")
        house.control.apply(None, None, [])
        client = Client(house=house, endpoint=_hook(house), name="small")
        house.wait_for(lambda: house.control.status()["state"] == "ok", "it is at work")
        ballast = house.folder / "state" / "ballast"
        filled = subprocess.run([*inside, "sh", "-c", f"cat /dev/zero > {ballast}"], capture_output=True, check=False)
        assert b"No space left" in filled.stderr
        # Room that the log had already does not help for long.
        until(lambda: client.post() != 200, "a delivery is refused", 30)
        assert client.posted[-1].status == 503
        _refuses_while_full(house, client, house.clock())
        refused = len(client.posted)
        subprocess.run([*inside, "rm", str(ballast)], check=True)
        house.wait_for(lambda: details(house) == "This must wait.", "the edit is written after all")
        house.hang_up()
        house.wait_for(lambda: house.control.status()["state"] == "ok", "the status is ok again")
        assert client.post() == 200
        assert refused < len(client.posted)
        assert house.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize("after", [225, 262])
def test_no_webhook_is_made_or_removed_while_the_state_takes_no_commit(own_house: House, after: int) -> None:
    """A webhook that cannot be remembered would be made again, and the one before removed, every few seconds."""
    house = own_house
    disk = Disk(house)
    house.lift_limits()
    disk.fail("full", after=after)
    # It is not ready as long as the disk is full: it takes no work.
    house.spawn()
    house.wait_for(lambda: bool(disk.struck()) and house.control.answers(), "the disk is full, and the daemon there")
    strike = disk.struck()[0].at
    # One may be under way; whoever failed tries again every five seconds.
    until(lambda: len(house.log_lines("store.failed")) >= 8, "it was tried again", 60)
    assert len(changing(house, strike)) <= 1
    assert house.control.status()["state"] != "ok"
    disk.heal()
    house.wait_for(lambda: not any("webhook" in one for one in house.control.status()["reasons"]), "they are made")
    assert [len(house.in_bitbucket("hooks", repository=slug)) for slug in ("web", "api")] == [1, 1]


def _hook(house: House) -> str:
    """An active endpoint of Bitbucket, by the address that was registered there."""
    house.wait_for(lambda: bool(house.in_bitbucket("hooks", repository="web")), "the webhook is made")
    (hook,) = house.in_bitbucket("hooks", repository="web").values()
    return str(hook["url"]).rpartition("/")[2]


@contextmanager
def _small_disk(place: Path) -> Iterator[list[str]]:
    """A file system of a few megabytes at a folder, for those who enter: the words that let a command do so."""
    holder = subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
         f"mount -t tmpfs -o size=3m none {place} && echo mounted && exec sleep 600"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "mounted\n":
            pytest.skip("this machine lets nobody but root mount a file system")
        yield ["nsenter", "--user", "--mount", "--preserve-credentials", "--target", str(holder.pid), "--"]
    finally:
        holder.kill()
        holder.communicate()


# ------------------------------------------------------------------------------------------------ a failing disk


@pytest.mark.parametrize("mode", ["fsync", pytest.param("write", marks=pytest.mark.slow)])
def test_a_disk_that_fails_ends_the_process_and_the_next_start_goes_on(stood: tuple[House, Disk], mode: str) -> None:
    house, disk = stood
    client = client_of(house, mode)
    disk.fail(mode)
    edit(house, "This must wait.")
    assert client.post() in {503, None}
    until(lambda: house.exit_status is not None, "the daemon ends", 30)
    assert house.exit_status == 1
    (first, *more) = disk.struck()
    assert (first.file, more) == ("syncd.db-wal", []), "nothing is tried on that disk again"
    nothing_left_after(house, first.at)
    assert house.log_lines("store.failed")
    stopped = house.log_lines("daemon.stopped")[-1]
    assert "disk I/O error" in stopped["failure"]

    # As long as the disk fails no start gets anywhere, and each says why.
    assert house.spawn().wait(30) == 1
    assert "disk I/O error" in house.told() or house.log_lines("daemon.stopped")[-1]["failure"]
    assert "Traceback" not in house.told()
    disk.heal()
    house.start()
    house.wait_for(lambda: details(house) == "This must wait.", "the edit is written after all")
    house.settle()
    client.require_kept()
    assert sound(house)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["full", "fsync", "write"])
def test_nothing_is_said_or_sent_after_the_nth_call_to_the_disk_failed(stood: tuple[House, Disk], mode: str) -> None:
    house, disk = stood
    numbers = [0, 1, 2, 3, 5, 8, 12, 17, 23, 30] if mode == "full" else [0, 1, 3, 6, 11, 20]
    failed, wrote = 0, len(house.writes())
    for turn, number in enumerate(numbers):
        client = client_of(house, f"{mode}-{number}")
        # Odd ones fail for good, even ones once: a failed fsync ends the process although the next one would succeed.
        disk.fail(mode, after=number, count=0 if turn % 2 else 1)
        with posting(client, 0.05):
            edit(house, f"{mode} {number}")
            house.edit(house.world.records["Rate limits"], Details=f"{mode} {number}")
            until(lambda: bool(disk.struck()), "a call fails", 60)
            strike = disk.struck()[0]
            if mode != "full" and "-wal" in strike.file:
                until(lambda: house.exit_status is not None, "the daemon ends", 30)
        if mode == "full" or "-wal" not in strike.file:
            assert house.exit_status is None or mode != "full"
        if house.exit_status is not None:
            failed += 1
            assert house.exit_status == 1
            nothing_left_after(house, strike.at)
            assert [one for one in client.acknowledged() if one.at > strike.at] == []
            assert sound(house)
        disk.heal()
        if house.exit_status is not None:
            house.start()
        house.wait_for(lambda: details(house) == f"{mode} {number}", "the edit is written after all")  # noqa: B023 - at once
        house.settle(within_s=120)
        client.require_kept()
    assert sound(house)
    assert (failed > 0) is (mode != "full")
    # Each edit was written once, to each of the two pull requests.
    written = [entry for entry in house.writes()[wrote:] if entry.status < 300 and entry.method == "PUT"]
    assert len(written) == 2 * len(numbers)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["full", "fsync", "write", "read"])
def test_a_start_on_a_failing_disk_says_so_and_does_nothing(stood: tuple[House, Disk], mode: str) -> None:
    house, disk = stood
    house.kill()
    for fresh in (False, True):
        if fresh:
            for file in house.state.parent.glob("syncd.db*"):
                file.unlink()
        for number in (0, 1, 2, 4, 8):
            began, said = house.clock(), (house.folder / "daemon.log").stat().st_size
            disk.fail(mode, after=number)
            process = house.spawn()
            until(lambda: process.poll() is not None or house.answers(), "it ends or it works", 30)  # noqa: B023 - at once
            if process.poll() is None and disk.struck():
                assert _unwell(house)
            if process.poll() is not None:
                # Before it was ready as a command does, after that in the log.
                words = (house.folder / "daemon.log").read_bytes()[said:].decode()
                assert process.returncode == 1
                assert re.search(r"syncd\.db.*(no space|cannot be|disk I/O error)|no space.*syncd\.db", words), words
            assert "Traceback" not in house.told()
            assert [entry for entry in changing(house, began) if "hooks" not in entry.path] == []
            disk.heal()
            house.kill()
    house.start()
    assert sound(house)


def _unwell(house: House) -> bool:
    """Whether the status says so. A daemon that is ending answers with the reason alone, or not any more."""
    try:
        return bool(house.control.status()["state"] != "ok")
    except errors.SyncdError:
        return True


# ------------------------------------------------------------------------------------------------------ locked


@pytest.mark.slow
def test_a_lock_that_lasts_is_waited_out_without_an_acknowledgement_or_a_write(stood: tuple[House, Disk]) -> None:
    """ST04: another program holds the file for longer than the busy time-out."""
    house, _ = stood
    client = client_of(house, "locked")
    ping = house.endpoint("airtable")
    with closing(sqlite3.connect(house.state, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = house.clock()
        edit(house, "This must wait.")
        assert client.post() == 503
        # A ping needs its secret from the state: it, too, gets an answer before Airtable gives up.
        asked = house.clock()
        assert house.post(ping, b"{}", {}, provider="airtable").status_code in {401, 503}
        assert house.clock() - asked < timedelta(seconds=9)
        house.wait_for(lambda: house.control.status()["state"] == "degraded", "the status says so")
        reasons = " ".join(house.control.status()["reasons"])
        assert "locked by another program" in reasons
        assert client.post() == 503
        assert changing(house, began) == []
        other.execute("ROLLBACK")
    house.wait_for(lambda: details(house) == "This must wait.", "the edit is written after all")
    house.wait_for(lambda: house.control.status()["state"] == "ok", "the status is ok again")
    assert house.exit_status is None
    assert client.post() == 200
    house.settle()
    client.require_kept()
    assert sound(house)
