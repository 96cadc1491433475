"""`syncd demo` as a process: what it tells is what the journal holds, and a seed decides what it is about."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import shared

ROW = re.compile(r"^ +run ([0-9a-f-]{36}) row +(\d+)  (airtable|bitbucket) +(.+?): (.+)$", re.MULTILINE)
TITLE = re.compile(r"^\d+\. (.+)$", re.MULTILINE)


def demo(seed: int, folder: Path) -> str:
    """What the demo prints; it must end by itself, well."""
    ended = subprocess.run(
        [sys.executable, "-m", "syncd", "demo", "--seed", str(seed), "--folder", str(folder)],
        cwd=shared.ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended
    return ended.stdout


def journal(folder: Path) -> list[dict[str, object]]:
    """What `syncd journal` shows afterwards, without a daemon and without the services."""
    ended = subprocess.run(
        [sys.executable, "-m", "syncd", "journal", "--json", "--limit", "1000", "--config", str(folder / "config")],
        env={
            **os.environ,
            "STATE_DIRECTORY": str(folder / "state"),
            **dict.fromkeys(("SYNCD_AIRTABLE_TOKEN", "SYNCD_BITBUCKET_TOKEN", "SYNCD_HOOK_SECRET"), "none"),
        },
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
    text = demo(1, tmp_path)
    require_told_is_held(text, tmp_path)
    assert "a new plan holds 0 writes and 0 actions" in text
    assert "state: ok" in text
    assert "requests that changed something so far: 0" in text
    assert "nothing was made twice: 1 branch, 1 pull request for this record" in text


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_seed_changes_names_order_and_faults(tmp_path: Path) -> None:
    texts = {seed: demo(seed, tmp_path / str(seed)) for seed in (1, 2, 3)}
    for seed, text in texts.items():
        require_told_is_held(text, tmp_path / str(seed))
    names = {re.search(r'A product manager adds "(.+?)"', text)[1] for text in texts.values()}  # type: ignore[index]  # always told
    orders = {tuple(TITLE.findall(text)[5:8]) for text in texts.values()}
    builds = {re.search(r"the build says (\w+)", text)[1] for text in texts.values()}  # type: ignore[index]  # always told
    assert len(names) > 1
    assert len(orders) > 1
    assert len(builds) > 1
    again = demo(2, tmp_path / "again")
    assert TITLE.findall(again) == TITLE.findall(texts[2])
