"""Whatever a spec holds, it is read or refused with places; nothing else comes out of it."""

import shutil
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncd import errors
from syncd.spec import locate
from tests import shared
from tests.spec import world

EXAMPLE = (world.ROOT / "config/syncd.toml").read_text(encoding="utf-8")
LINES = EXAMPLE.splitlines()
PATHS = sorted(locate.places(EXAMPLE), key=str)
ODD = [
    "1",
    "-0.5",
    "true",
    "[]",
    "{}",
    '""',
    '"x"',
    "[[1]]",
    "2026-01-01",
    '{ env = "X" }',
    '"{{ }}"',
    '["a", 1]',
    '"pr.title"',
    '"any(prs)"',
]


def outcome(text: str) -> tuple[errors.Problem, ...]:
    """The problems of a spec; () when it loads, and then it resolves or says why not, too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(world.ROOT / "config/templates", folder / "templates")
        try:
            world.resolved(world.loaded(folder, text))
        except errors.SpecError as exc:
            return exc.problems
    return ()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, len(LINES) - 1),
    st.integers(0, 200),
    st.sampled_from(["", '"', "]", "}", "=", ".", "'", "\\", "é", "#", "\x00"]),
)
def test_a_slip_of_the_pen_is_a_spec_error_or_nothing(line: int, column: int, slip: str) -> None:
    lines = list(LINES)
    lines[line] = lines[line][:column] + slip + lines[line][column + 1 :]
    for problem in outcome("\n".join(lines)):
        assert problem.expected
        assert problem.line <= len(lines)


@settings(max_examples=60, deadline=None)
@example(("bitbucket",), "1")
@given(st.sampled_from(PATHS), st.sampled_from(ODD))
def test_a_value_of_another_type_is_told_where_it_stands(path: locate.Path, odd: str) -> None:
    tree = tomllib.loads(EXAMPLE)
    parent: Any = tree
    for part in path[:-1]:
        parent = parent[part]
    parent[path[-1]] = tomllib.loads(f"x = {odd}")["x"]
    for problem in outcome(_written(tree)):
        assert problem.expected
        assert problem.key == "" or problem.line > 0 or problem.key in ("version",)


def _written(value: Any, top: bool = True) -> str:
    """The document as TOML again, every table below the first level inline."""
    if isinstance(value, dict):
        pairs = [f"{world.quoted(key)} = {_written(inner, top=False)}" for key, inner in value.items()]
        return "\n".join(pairs) if top else "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_written(inner, top=False) for inner in value) + "]"
    if isinstance(value, str):
        return world.quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def test_the_contract_s_own_example_is_refused_only_for_what_comes_later() -> None:
    """SPEC section 2 shows the whole language; this version says of each part that it lacks that it is not supported yet."""
    text = shared.path("SPEC.md").read_text(encoding="utf-8").split("```toml\n", 1)[1].split("```", 1)[0]
    found = outcome(text)
    assert {problem.key for problem in found} == {
        'sync.features.fields."Reviewers".owner',
        'sync.features.fields."Reviewers".people',
        'sync.features.actions."open the draft".create_pull_request.tasks_from',
        'sync.features.actions."product sign-off".build_status',
        "people",
        "notify",
    }
    assert all("not yet supported" in problem.expected for problem in found)
