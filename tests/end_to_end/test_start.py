"""Starting, stopping and reloading the real process; what is wrong is said once, with the next step, and costs no state."""

import hashlib
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import pytest

from syncd.sandbox.server import SandboxServer
from tests.end_to_end.running import House

STOP_MAX_S = 20.0


def fingerprint(house: House) -> str:
    """Everything that the state holds, as a hash; what is in the log beside the file counts too."""
    dumped = house.rows("SELECT name, sql FROM sqlite_master ORDER BY name")
    tables = [str(row["name"]) for row in dumped if str(row["sql"] or "").startswith("CREATE TABLE")]
    # Budgets count requests, also those of a start that fails; everything else must stay as it was.
    kept = [[tuple(row) for row in house.rows(f"SELECT * FROM {table}")] for table in tables if table != "ledger"]
    return hashlib.sha256(repr(kept).encode()).hexdigest()


@pytest.fixture
def stopped(own_house: House) -> House:
    """An adopted house whose daemon was told to end, and did."""
    own_house.lift_limits()
    own_house.start()
    own_house.adopt()
    assert own_house.end() == 0
    return own_house


def one_message(ended: subprocess.CompletedProcess[str]) -> str:
    """What a failed command said beside log lines; never a traceback."""
    assert "Traceback" not in ended.stderr, ended.stderr
    told = [line for line in ended.stderr.splitlines() if line and not line.startswith("{")]
    assert told, ended
    return "\n".join(told)


# ------------------------------------------------------------------------------------------------- bad input


def _break_syntax(house: House) -> None:
    house.spec_file.write_text(house.spec_file.read_text() + "\n[sync.features\n")


def _misspell_key(house: House) -> None:
    house.change_line("quiet ", 'quite = "1s"')


def _misspell_field(house: House) -> None:
    house.change_line('"Build" ', '"Biuld" = { bitbucket = "build.state", owner = "bitbucket" }')


def _misspell_state(house: House) -> None:
    text = house.spec_file.read_text()
    house.spec_file.write_text(text.replace('to = "Ready", owner', 'to = "Raedy", owner', 1))


def _forget_secret(house: House) -> None:
    house.change_line("secret ", 'secret = { env = "NOT_SET_ANYWHERE" }')
    house.change_line('token  = { env = "SYNCD_AIRTABLE', 'token = { env = "NOT_SET_EITHER" }')


@pytest.mark.slow
def test_every_mistake_has_one_message_and_its_exit_code_and_leaves_the_state_alone(stopped: House) -> None:
    house = stopped
    before, spec = fingerprint(house), house.spec_file.read_text()
    cases = {
        "broken syntax": (_break_syntax, 2, "syncd.toml"),
        "unknown key": (_misspell_key, 2, "quiet"),
        "unknown field": (_misspell_field, 2, "Build"),
        "unknown state": (_misspell_state, 2, "Ready"),
        "a secret that is not there": (_forget_secret, 2, "NOT_SET_EITHER"),
    }
    for name, (spoil, status, named) in cases.items():
        spoil(house)
        ended = house.syncd("run")
        assert ended.returncode == status, (name, ended)
        assert named in one_message(ended), name
        house.spec_file.write_text(spec)
        assert fingerprint(house) == before, name
    for variable, named in (("SYNCD_AIRTABLE_TOKEN", "irtable"), ("SYNCD_BITBUCKET_TOKEN", "itbucket")):
        ended = house.syncd("run", **{variable: "wrong"})
        assert ended.returncode == 1, ended
        assert named in one_message(ended)
        assert fingerprint(house) == before
    assert house.start() < 10


def test_an_unknown_field_is_refused_with_its_place_and_the_nearest_name(own_house: House) -> None:
    _misspell_field(own_house)
    ended = own_house.syncd("run")
    assert ended.returncode == 2
    told = one_message(ended)
    assert re.search(r"syncd\.toml:\d+", told), told
    assert '"Biuld"' in told
    assert "Build" in told
    assert "syncd check" in told


def test_a_wrong_token_is_told_with_the_service_that_refused_it(own_house: House) -> None:
    ended = own_house.syncd("run", SYNCD_BITBUCKET_TOKEN="wrong")
    assert ended.returncode == 1
    told = one_message(ended)
    assert "itbucket" in told
    assert "401" in told
    assert "wrong" not in told.replace("is wrong", "")


def test_a_service_that_cannot_be_reached_is_named(own_house: House) -> None:
    service = own_house.services[0]
    port = int(service.url.rpartition(":")[2])
    service.stop()
    ended = own_house.syncd("run")
    # The port is served again, so that the house can be taken down as it was.
    own_house.services = (
        SandboxServer(service.machine, "127.0.0.1", port, service.clock).start(),
        own_house.services[1],
    )
    assert ended.returncode == 1
    assert "irtable" in one_message(ended)


@pytest.mark.parametrize("listener", ["admin", "hooks"])
def test_a_port_that_is_in_use_is_named(own_house: House, listener: str) -> None:
    address = getattr(own_house, listener)
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        ended = own_house.syncd("run")
    assert ended.returncode == 2, ended
    assert address in one_message(ended)


def test_a_state_folder_that_cannot_be_used_is_named(own_house: House) -> None:
    ended = own_house.syncd("run", STATE_DIRECTORY=str(own_house.spec_file / "state"))
    assert ended.returncode == 1
    assert "syncd.toml/state" in one_message(ended)


def test_a_second_daemon_on_the_same_state_refuses_to_start(own_house: House) -> None:
    house = own_house
    house.start()
    ports = {"admin": '"127.0.0.1:1"', "hooks": '"127.0.0.1:2"'}
    second = Path(house.folder) / "second.toml"
    text = house.spec_file.read_text()
    for key, wanted in ports.items():
        text = re.sub(rf"(?m)^{key} = .*$", f"{key} = {wanted}", text)
    text = text.replace('"templates/', f'"{house.config}/templates/')
    second.write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", "syncd", "run", "--config", str(second)],
        env={**os.environ, **house.environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert "syncd.db" in one_message(ended) or "state" in one_message(ended)
    assert house.control.ready() == (True, "")


# ------------------------------------------------------------------------------------------------- full disk


@pytest.mark.slow
def test_a_disk_that_takes_no_more_ends_the_daemon_before_it_says_or_sends_anything(own_house: House) -> None:
    """The process may write no file any further, which is what a full disk looks like from inside (ST03, I32)."""
    house = own_house
    house.lift_limits()
    house.start()
    house.adopt()
    record, endpoint = house.world.records["Audit log"], house.endpoint("bitbucket", house.repository("web"))
    written = len(house.writes())
    log_bytes = (house.folder / "daemon.log").stat().st_size
    resource.prlimit(house.pid, resource.RLIMIT_FSIZE, (log_bytes, log_bytes))
    house.edit(record, Details="This must wait.")
    try:
        status = house.deliver(endpoint, b"{}", "repo:push", "while full")
    except OSError:
        status = 503  # it has ended already
    assert status == 503
    house.wait_for(lambda: house.exit_status is not None, "the daemon ends")
    assert house.exit_status == 1
    assert len(house.writes()) == written
    assert house.rows("SELECT 1 FROM inbox WHERE request = 'while full'") == []
    assert [row[0] for row in house.rows("PRAGMA integrity_check")] == ["ok"]

    # There is room again: the next start needs no help.
    house.start()
    _, number = house.world.pull_requests["Audit log"]
    house.wait_for(
        lambda: house.in_bitbucket("pull_request", repository="api", id=number)["description"] == "This must wait.",
        "the edit is written after all",
    )


def test_a_start_on_a_full_disk_says_so(own_house: House) -> None:
    ended = subprocess.run(
        [
            "sh",
            "-c",
            'ulimit -f 0; exec "$@"',
            "sh",
            sys.executable,
            "-m",
            "syncd",
            "run",
            "--config",
            str(own_house.config),
        ],
        env={**os.environ, **own_house.environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1, ended
    assert "syncd.db" in one_message(ended)


# --------------------------------------------------------------------------------------------------- signals


def test_sigterm_in_the_middle_of_work_ends_cleanly(own_house: House) -> None:
    house = own_house
    house.change_spec("floor", "1000")
    house.lift_limits()
    house.start()
    house.adopt()
    records = [house.new_record(f"Feature {number}") for number in range(3)]
    house.wait_for(lambda: bool(house.rows("SELECT 1 FROM operation WHERE kind = 'branch'")), "the first is begun")
    began = time.perf_counter()
    assert house.end() == 0
    assert time.perf_counter() - began < STOP_MAX_S
    assert house.rows("SELECT 1 FROM operation WHERE state IN ('planned', 'sent')") == []
    assert house.log_lines("daemon.stopped")
    house.start()
    house.wait_for(lambda: all(house.branches(record) for record in records), "the rest is made")
    house.settle()
    assert [len(house.branches(record)) for record in records] == [1] * 3


def test_sighup_takes_over_a_valid_spec_and_keeps_the_old_one_otherwise(own_house: House) -> None:
    house = own_house
    house.lift_limits()
    house.start()
    house.adopt()
    first = house.control.status()["spec_hash"]
    house.change_line('"Build" ', '"Biuld" = { bitbucket = "build.state", owner = "bitbucket" }')
    house.hang_up()
    house.wait_for(lambda: house.control.status()["state"] == "degraded", "the status says so")
    status = house.control.status()
    assert status["spec_hash"] == first
    (reason,) = [reason for reason in status["reasons"] if "not taken over" in reason]
    assert "Biuld" in reason

    # It goes on working with the old one.
    record = house.world.records["Audit log"]
    _, number = house.world.pull_requests["Audit log"]
    house.edit(record, Details="Still at work.")
    house.wait_for(
        lambda: house.in_bitbucket("pull_request", repository="api", id=number)["description"] == "Still at work.",
        "the old spec is followed",
    )
    house.change_line('"Biuld" ', '"Build" = { value = \'build.state or "none"\' }')
    house.hang_up()
    house.wait_for(lambda: house.control.status()["spec_hash"] != first, "the new one is taken over")
    house.wait_for(lambda: not any("not taken over" in reason for reason in house.control.status()["reasons"]), "told")
    assert house.exit_status is None
    house.adopt()
    house.wait_for(lambda: house.cells(record).get("Build") == "SUCCESSFUL", "the new rule is followed")
    assert house.cells(house.world.records["Rate limits"])["Build"] == "none"


def test_signals_while_it_starts_end_it_too(own_house: House) -> None:
    """systemd may stop a unit at any time."""
    process = subprocess.Popen(
        [sys.executable, "-m", "syncd", "run", "--config", str(own_house.config)],
        env={**os.environ, **own_house.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.perf_counter() + STOP_MAX_S
    while not own_house.state.exists():
        assert time.perf_counter() < deadline
        Event().wait(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP_MAX_S) in {0, -signal.SIGTERM, 130}
