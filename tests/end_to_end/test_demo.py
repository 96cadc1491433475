"""`syncd demo` as a process: what it tells is what the journal holds, and a seed decides what it is about."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import shared

# A test run in the background may have been told to ignore Ctrl-C, and that is inherited.
PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from syncd.commands.main import main; main(sys.argv[1:])"
)
ROW = re.compile(r"^ +run ([0-9a-f-]{36}) row +(\d+)  (airtable|bitbucket) +(.+?): (.+)$", re.MULTILINE)
TITLE = re.compile(r"^\d+\. (.+)$", re.MULTILINE)


@contextmanager
def demo(seed: int, folder: Path) -> Iterator[str]:
    """What the demo prints until its story ends; its daemon runs on meanwhile, as with `--keep`. Ctrl-C must end it well."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "demo", "--keep", "--seed", str(seed), "--folder", str(folder)],
        cwd=shared.ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        text = "".join(lines)
        assert "Ctrl-C" in text, text
        yield text
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(30) == 0
        assert "exit status 0" in rest
    finally:
        process.stdout.close()
        if process.poll() is None:
            process.kill()
            process.wait()
            # The demo could not end its daemon any more; the lock file says who that is.
            os.kill(int((folder / "state" / "syncd.db.lock").read_text()), signal.SIGKILL)


def journal(folder: Path) -> list[dict[str, object]]:
    """What `syncd journal` shows in another terminal."""
    ended = subprocess.run(
        [sys.executable, "-m", "syncd", "journal", "--json", "--limit", "1000", "--config", str(folder / "config")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended
    rows: list[dict[str, object]] = json.loads(ended.stdout)["rows"]
    return rows


def require_told_is_held(text: str, folder: Path) -> None:
    """Every row that was told is in the journal, with the same run, side and place; and it told of most."""
    told = ROW.findall(text)
    held = {row["sequence"]: row for row in journal(folder)}
    assert len(told) > 12
    for run, number, side, place, _ in told:
        row = held[int(number)]
        assert (row["run"], row["side"], row["place"]) == (run, side, place)
    # Everything that the demo's own daemon wrote came to an end.
    assert {row["state"] for row in held.values()} <= {"applied", "retry", "moved"}
    assert f"holds {len(held)} rows" in text


def test_every_row_that_the_demo_tells_is_in_the_journal(tmp_path: Path) -> None:
    with demo(1, tmp_path) as text:
        require_told_is_held(text, tmp_path)
    assert "a new plan holds 0 writes and 0 actions" in text
    assert "state: ok" in text
    assert "requests that changed something so far: 0" in text
    assert "nothing was made twice: 1 branch, 1 pull request for this record" in text


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_seed_changes_names_order_and_faults(tmp_path: Path) -> None:
    texts = {}
    for seed in (1, 2, 3):
        with demo(seed, tmp_path / str(seed)) as text:
            require_told_is_held(text, tmp_path / str(seed))
        texts[seed] = text
    names = {re.search(r'A product manager adds "(.+?)"', text)[1] for text in texts.values()}  # type: ignore[index]  # always told
    orders = {tuple(TITLE.findall(text)[5:8]) for text in texts.values()}
    builds = {re.search(r"the build says (\w+)", text)[1] for text in texts.values()}  # type: ignore[index]  # always told
    assert len(names) > 1
    assert len(orders) > 1
    assert len(builds) > 1
    with demo(2, tmp_path / "again") as again:
        assert TITLE.findall(again) == TITLE.findall(texts[2])
