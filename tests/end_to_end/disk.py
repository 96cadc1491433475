"""A disk that fails on command under a real process: `faulty_disk.c`, compiled when it is first needed."""

import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from tests.end_to_end.running import House

SOURCE = Path(__file__).with_name("faulty_disk.c")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """A call that was made to fail: `call` is the kernel's name, `file` the last part of its path."""

    at: datetime
    call: str
    file: str


class Disk:
    """
    The disk under a house's state. Every process that the house starts from now on stands on it.

    Use `fail`, then `heal`.
    """

    def __init__(self, house: House) -> None:
        self._control = house.folder / "disk"
        self._struck = house.folder / "disk.struck"
        self._serial = 0
        house.variables.update(
            LD_PRELOAD=str(_library()),
            FAULTY_DISK_FILES=str(house.folder / "state"),
            FAULTY_DISK_CONTROL=str(self._control),
            FAULTY_DISK_STRUCK=str(self._struck),
        )

    def fail(self, mode: str, *, after: int = 0, count: int = 0) -> None:
        """
        From now on calls fail.

        Args:
            mode: "full", "fsync", "write", "read", "kill" or "count"; see `faulty_disk.c`.
            after: so many pass first.
            count: so many fail then; 0: all.
        """
        self._struck.unlink(missing_ok=True)
        self._serial += 1
        self._say(f"{mode} {after} {count} #{self._serial}")

    def heal(self) -> None:
        """Everything passes again."""
        self._say("")

    def struck(self) -> list[Struck]:
        """What failed since the last `fail`."""
        if not self._struck.exists():
            return []
        lines = self._struck.read_text(encoding="utf-8").splitlines(keepends=True)
        parts = [line.split(" ", 2) for line in lines if line.endswith("\n")]
        return [
            Struck(at=EPOCH + timedelta(microseconds=int(at)), call=call, file=path.rstrip("\n").rpartition("/")[2])
            for at, call, path in parts
        ]

    def _say(self, line: str) -> None:
        # By a rename: the process must never read half a line.
        part = self._control.with_name("disk.part")
        part.write_text(line, encoding="utf-8")
        part.replace(self._control)


@functools.cache
def _library() -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no C compiler: cc is needed to make a disk that fails")
        pytest.skip("no C compiler: cc is needed to make a disk that fails")
    made = Path(tempfile.mkdtemp(prefix="syncd-disk-")) / "faulty_disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, SOURCE, "-ldl"], check=True, timeout=60)
    return made


def until(condition: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
    """Wait for a condition that may hold after the daemon ended, too."""
    deadline = time.perf_counter() + within_s
    while not condition():
        assert time.perf_counter() < deadline, f"not within {within_s:.0f} s: {what}"
        Event().wait(0.05)
