"""
Broken specs and what people are told about them, word for word: `tests/data/specs/broken/`.

A case is a file, or a directory (with `stage.toml` in it: laid over). A spec that loads is resolved against the table of
`world`. After a wanted change of words: SYNCD_WRITE_GOLDEN=1 pytest tests/spec/test_broken.py, and read the difference.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from syncd import errors
from syncd.model.ids import FieldId
from syncd.spec import load
from tests.spec import world

FOLDER = world.ROOT / "tests/data/specs/broken"
CASES = sorted(entry for entry in FOLDER.iterdir() if entry.suffix == ".toml" or entry.is_dir())


def told(case: Path) -> str:
    """Everything that is wrong with one case."""
    environment = "stage" if (case / "stage.toml").exists() else ""
    try:
        spec = load.load(case, environment)
        twin = world.field("Twin", "singleLineText")
        world.resolved(spec, tables=(world.table(extra=(twin, replace(twin, id=FieldId("fldTwin2")))),))
    except errors.SpecError as exc:
        return world.shown(exc.problems, FOLDER)
    return "nothing is wrong\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_broken_spec_is_told_every_problem_with_its_place(case: Path) -> None:
    golden = FOLDER / f"{case.stem}.golden.txt"
    text = told(case)
    if os.environ.get("SYNCD_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert "SECRET" not in text
    assert "hunter2" not in text


def test_there_are_enough_cases_and_no_golden_answer_without_one() -> None:
    assert len(CASES) >= 40
    assert {golden.name.removesuffix(".golden.txt") for golden in FOLDER.glob("*.golden.txt")} == {
        case.stem for case in CASES
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_no_case_is_without_a_problem(case: Path) -> None:
    assert told(case) != "nothing is wrong\n"
