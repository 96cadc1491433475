"""What a newcomer types, in a clone that holds nothing but what is committed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import shared

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_make_demo_works_from_a_fresh_clone(tmp_path: Path) -> None:
    """`make demo` needs Python, git and make; it makes its own environment from the locked requirements."""
    if shutil.which("git") is None or not (shared.ROOT / ".git").exists():
        pytest.skip("this copy of the project is no git repository")
    clone = tmp_path / "syncd"
    subprocess.run(["git", "clone", "--quiet", str(shared.ROOT), str(clone)], check=True, timeout=60)
    # As in a newcomer's shell: nothing of this test run's environment.
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "PYTEST", "SYNCD"))
    }
    ended = subprocess.run(
        ["make", "demo", "ARGS=--seed 3"],
        cwd=clone,
        env=inherited,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    if "pip" in ended.stderr and "No matching distribution" in ended.stderr:
        pytest.skip("the packages cannot be fetched here")
    assert ended.returncode == 0, (ended.stdout[-2000:], ended.stderr[-2000:])
    assert "a new plan holds 0 writes and 0 actions" in ended.stdout
    assert "state: ok" in ended.stdout
    left = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True, timeout=60
    )
    assert left.stdout == ""
