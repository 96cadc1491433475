import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "syncd.service"


def _directives() -> list[tuple[str, str]]:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), allow_no_value=False)
    parser.optionxform = str  # type: ignore[method-assign, assignment]  # keep the case of the names
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    return [(key, value) for section in parser.sections() for key, value in parser.items(section)]


def test_the_unit_is_exposed_at_most_1_2_of_10() -> None:
    """reliability.md, "Figures to reach"."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        if os.environ.get("CI") == "true":
            pytest.fail("systemd-analyze is missing; CI installs the package systemd")
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        [analyze, "security", "--no-pager", "--offline=yes", "--threshold=12", str(UNIT)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr


def test_the_unit_fits_what_the_daemon_does() -> None:
    directives = dict(_directives())
    assert directives["Type"] == "notify"
    assert directives["NotifyAccess"] == "main"
    assert "HUP" in directives["ExecReload"]
    assert directives["RestartPreventExitStatus"] == "2"
    assert int(directives["TimeoutStopSec"].removesuffix("s")) > 20


def test_every_setting_stands_under_a_reason() -> None:
    """A block of settings starts with a comment; the unit is read by people who must decide whether to trust it."""
    blocks = [block.splitlines() for block in UNIT.read_text(encoding="utf-8").split("\n\n")]
    for block in blocks:
        commented = False
        for line in block:
            commented = commented or line.startswith("#")
            assert commented or line.startswith(("[", "Description=", "WantedBy=")) or not line, line
