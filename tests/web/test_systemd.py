import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from syncd import systemd


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_message_reaches_the_manager(tmp_path: Path, kind: str) -> None:
    name = str(tmp_path / "notify") if kind == "path" else f"@syncd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0", 1) if kind == "abstract" else name)
        assert systemd.notify(name, "READY=1\nSTATUS=takes work")
        assert manager.recv(1_000) == b"READY=1\nSTATUS=takes work"


def test_without_a_manager_nothing_is_sent_and_nothing_breaks(tmp_path: Path) -> None:
    assert not systemd.notify("", "READY=1")
    assert not systemd.notify(str(tmp_path / "nobody"), "READY=1")


def test_sockets_for_another_process_are_not_ours() -> None:
    assert systemd.inherited({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, 2) == {}
    assert systemd.inherited({}, 2) == {}


def test_a_bound_socket_is_taken_over_by_its_name() -> None:
    """In a process of its own, because descriptor 3 here belongs to somebody else."""
    program = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); from syncd import systemd;"
        "found = systemd.inherited({'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1', 'LISTEN_FDNAMES': 'hooks'}, os.getpid());"
        "print(found['hooks'].getsockname()[1], os.get_inheritable(3))"
    )
    with socket.create_server(("127.0.0.1", 0)) as bound:
        number = bound.fileno()
        done = subprocess.run(
            [sys.executable, "-c", program, str(number)],
            pass_fds=[number],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert done.stdout.split() == [str(bound.getsockname()[1]), "False"]
