"""Positions of every key: written-out cases, and every path of generated documents."""

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.spec import locate


def paths(value: Any, path: locate.Path = ()) -> list[locate.Path]:
    """Every path of a parsed document, tables and elements included."""
    found: list[locate.Path] = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += paths(inner, (*path, index))
    return found


@pytest.mark.parametrize(
    ("text", "path", "place"),
    [
        pytest.param("a = 1\nb = 2", ("b",), (2, 1), id="plain key"),
        pytest.param("[t]\n  x = 1", ("t", "x"), (2, 3), id="indented key in a table"),
        pytest.param("[ a . b ]\nx = 1", ("a", "b"), (1, 7), id="header with blanks"),
        pytest.param("a.b.c = 1", ("a", "b", "c"), (1, 5), id="dotted key"),
        pytest.param("a.b.c = 1", ("a",), (1, 1), id="first part of a dotted key"),
        pytest.param('"x.y" = 1', ("x.y",), (1, 1), id="quoted key with a dot"),
        pytest.param("'a\"b'.c = 1", ('a"b', "c"), (1, 7), id="literal key"),
        pytest.param('"caf\\u00e9" = 1', ("café",), (1, 1), id="escaped key"),
        pytest.param("k = { a = 1, b = { c = 2 } }", ("k", "b", "c"), (1, 20), id="inline tables"),
        pytest.param("t = [\n  { a = 1 }, # one\n  { a = 2 },\n]", ("t", 1, "a"), (3, 5), id="array over lines"),
        pytest.param("t = [\n  # two ] brackets\n  1, 2,\n]", ("t", 1), (3, 6), id="comment in an array"),
        pytest.param("[[s]]\na = 1\n[[s]]\na = 2", ("s", 1, "a"), (4, 1), id="array of tables"),
        pytest.param(
            "[[s]]\n[[s.t]]\nx=1\n[[s.t]]\nx=2\n[[s]]\n[[s.t]]\nx=3", ("s", 1, "t", 0, "x"), (8, 1), id="nested arrays"
        ),
        pytest.param("[[s]]\n[s.sub]\nx = 1", ("s", 0, "sub", "x"), (3, 1), id="table in an array of tables"),
        pytest.param('a = """\nb = 1\n"""\nc = 2', ("c",), (4, 1), id="multi-line string"),
        pytest.param('a = """x\\""""" # "\nc = 2', ("c",), (2, 1), id="quotes at the end of a string"),
        pytest.param("a = '''\n''\n'''''\nc = 2", ("c",), (4, 1), id="literal multi-line string"),
        pytest.param('a = "# no \\" comment" # b = 1\nc = 2', ("c",), (2, 1), id="hash in a string"),
        pytest.param("a = 2026-01-01 00:00:00 # x\r\nb = 1\r\n", ("b",), (2, 1), id="carriage returns"),
    ],
)
def test_a_key_is_found_where_it_stands(text: str, path: locate.Path, place: tuple[int, int]) -> None:
    assert locate.places(text)[path] == place
    assert sorted(map(str, locate.places(text))) == sorted(map(str, paths(tomllib.loads(text))))


NAMES = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=4),
)
SCALARS = st.sampled_from(
    [
        "1",
        "-2.5",
        "true",
        '"a"',
        "'b # ]'",
        '"""\nx = 1\n"""',
        "'''\n[t]\n'''",
        "2026-01-01",
        "1979-05-27 07:32:00",
        '"\\"}"',
        '""',
        "0x1F",
    ]
)


def quote(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@st.composite
def values(draw: st.DrawFn, depth: int = 0) -> str:
    """A value as text, with blanks, lines and comments where TOML allows them."""
    kind = draw(st.sampled_from(["scalar", "scalar", "array", "inline"] if depth < 3 else ["scalar"]))
    if kind == "array":
        gap = draw(st.sampled_from(["", " ", "\n", " # ,]\n  "]))
        members = draw(st.lists(values(depth=depth + 1), max_size=3))
        comma = draw(st.sampled_from(["", ","])) if members else ""
        return "[" + gap + ("," + gap).join(members) + comma + gap + "]"
    if kind == "inline":
        keys = draw(st.lists(NAMES, max_size=3, unique=True))
        return "{ " + ", ".join(f"{quote(key)} = {draw(values(depth=depth + 1))}" for key in keys) + " }"
    return draw(SCALARS)


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines: list[str] = []
    for index, header in enumerate(draw(st.lists(NAMES, max_size=4))):
        name = f"{quote(header)}.n{index}" if draw(st.booleans()) else quote(f"{header}{index}")
        if draw(st.booleans()):
            repeats = draw(st.integers(1, 3))
            for _ in range(repeats):
                lines.append(f"[[ {name} ]] # element")
                lines += [f"{quote(key)} = {draw(values())}" for key in draw(st.lists(NAMES, max_size=2, unique=True))]
        else:
            lines.append(f"[{name}]")
            for key in draw(st.lists(NAMES, max_size=3, unique=True)):
                dotted = draw(st.sampled_from([quote(key), f"{quote(key)}.x", f"  {quote(key)} . 'y'.z "]))
                lines.append(f"{dotted}={draw(values())}  # end")
    return "\n".join(lines)


@settings(max_examples=150, deadline=None)
@given(documents())
def test_every_path_of_a_document_is_found_and_no_other(text: str) -> None:
    parsed = tomllib.loads(text)
    found = locate.places(text)
    assert set(found) == set(paths(parsed))
    lines = text.split("\n")
    for path, place in found.items():
        rest = lines[place.line - 1][place.column - 1 :]
        if isinstance(path[-1], str):
            # The key itself stands there: parsing it alone gives its name back.
            bare = (
                locate.places(rest.split("=", 1)[0].split("]", 1)[0] + "= 1")
                if "]" not in path[-1] and "=" not in path[-1]
                else None
            )
            assert bare is None or next(iter(bare))[0] == path[-1]


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(".".join(["a"] * 20_000) + " = 1", id="dotted key"),
        pytest.param("[" + ".".join(["a"] * 20_000) + "]", id="header"),
        pytest.param("a = " + "[" * 20_000 + "]" * 20_000, id="nested arrays"),
        pytest.param("a = " + "{a=" * 10_000 + "1" + "}" * 10_000, id="nested inline tables"),
        pytest.param("a = {" + ".".join(["b"] * 20_000) + " = 1}", id="dotted key in an inline table"),
    ],
)
def test_a_deep_document_is_refused_before_it_is_parsed(bomb: str) -> None:
    with pytest.raises(locate.DepthError):
        locate.places(bomb)


@pytest.mark.parametrize("text", ["= 1", "a 1", "[a", 'a = "x', "a = [1,", "a = {", "[[a]", "\x00"])
def test_what_is_not_toml_ends_in_a_plain_error(text: str) -> None:
    with pytest.raises(ValueError):
        locate.places(text)
