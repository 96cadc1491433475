"""OPERATIONS.md says what is true: its commands exist with their options, and it explains every reason of `GET /status`."""

import re
import shlex
from pathlib import Path

import pytest

from syncd.commands import main as commands

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "OPERATIONS.md").read_text(encoding="utf-8")
# In code spans and code blocks: "syncd", a word, and what follows up to the end of the span, line or comment.
COMMANDS = sorted({match.strip() for match in re.findall(r"(?:^|`)(syncd [a-z]+[^`\n#]*)", TEXT, re.MULTILINE)})


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_manual_is_one(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    parent = commands.cli.make_context("syncd", [], resilient_parsing=True)
    command = commands.cli.get_command(parent, name)
    assert command is not None, line
    if arguments:
        # Parsing alone: files need not exist, nothing runs.
        command.make_context(name, arguments, parent=parent)


@pytest.mark.parametrize(
    "reason",
    [
        "rules wait for acceptance",
        "both sides were not compared in full yet",
        "the last full compare was at",
        "no webhook on",
        "the webhook on",
        "record(s) wait, the oldest for",
        "the spec on disk was not taken over",
        "paused (",
        "reading and writing records",
        "comparing both sides in full",
        "reading Bitbucket",
        "looking up what a lost answer did",
        "keeping the webhooks",
        "reading Airtable's payloads",
    ],
)
def test_every_reason_of_the_status_is_explained(reason: str) -> None:
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "syncd" / "flow").glob("*.py"))
    assert reason in sources, "the daemon does not say this any more"
    assert reason in TEXT


def test_the_manual_names_every_status_code_of_the_public_listener() -> None:
    source = (ROOT / "syncd" / "web" / "hooks.py").read_text(encoding="utf-8")
    codes = set(re.findall(r"_Answered\((\d{3})", source)) | {"200", "401"}
    assert codes == {"200", "401", "404", "408", "413", "503"}
    assert all(f"{code} " in TEXT for code in codes)
