"""What is written down is true: commands, log events, the unit, the floors."""

import re
from pathlib import Path

import pytest

from syncd import log
from syncd.commands.main import COMMANDS
from tests import shared

ROOT = shared.ROOT
SOURCES = sorted((ROOT / "syncd").rglob("*.py"))
_LOGGED = re.compile(r"_log\.(debug|info|warning|error|critical|exception)\(\s*\"([^\"]+)\"", re.DOTALL)


def logged() -> dict[str, set[str]]:
    """Every event name in the sources, with the levels it is logged at."""
    found: dict[str, set[str]] = {}
    for source in SOURCES:
        for level, event in _LOGGED.findall(source.read_text(encoding="utf-8")):
            found.setdefault(event, set()).add("error" if level == "exception" else level)
    return found


def test_every_logged_event_is_in_the_table_at_its_level() -> None:
    wrong = {
        event: levels
        for event, levels in logged().items()
        if event not in log.EVENTS or levels != {log.EVENTS[event][0]}
    }
    assert not wrong


def test_every_event_of_the_table_is_logged_somewhere() -> None:
    assert set(log.EVENTS) == set(logged())


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in COMMANDS if f"`{name}`" not in text and f"syncd {name}" not in text]
    assert not missing


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "OPERATIONS.md", "CHANGELOG.md"])
def test_every_local_link_of_a_page_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(
        re.findall(
            r"`make ([a-z-]+)|^\$ make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
        )
    )
    assert {first or second for first, second in named} <= targets


def test_no_page_or_source_names_a_place_of_one_machine() -> None:
    places = re.compile(r"/(?:root|home|opt/pypi)/")
    files = [*SOURCES, *(ROOT / "tests").rglob("*.py"), *ROOT.glob("*.md"), *ROOT.glob("*.toml"), ROOT / "Makefile"]
    assert [str(file) for file in files if file != Path(__file__) and places.search(file.read_text("utf-8"))] == []
