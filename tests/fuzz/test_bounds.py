"""
The largest inputs that are let in, built to cost the most: CPU and memory stay within what is declared.

Each of these took seconds, or ended in an error that nobody declared, before it was found here (SP08, SP13, DA10, I36).
"""

import asyncio
import tracemalloc
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd import errors
from syncd.bitbucket import delivery
from syncd.spec import circles, document, expression, load, nearest
from syncd.web import hooks
from tests.fuzz import guided, on_spec, target
from tests.spec import world
from tests.web import listening

HEAD = world.HEAD + world.SYNC
STATUS = '[sync.features.status]\nfield = "S"\ninitial = "s0"\n'
FIELDS = "[sync.features.fields]\n"


def many(count: int, pattern: str, between: str = ",") -> str:
    """A pattern so many times; `@` is the number, `#` the next one."""
    return between.join(pattern.replace("@", f"{at:x}").replace("#", f"{at + 1:x}") for at in range(count))


# By name: a spec of 48 to 64 KiB.
SPECS = {
    "unknown keys": "version = 1\n" + many(8000, "k@=1", "\n"),
    "unknown states among thousands": HEAD
    + STATUS
    + "states = ["
    + many(3500, "'s@'")
    + "]\ntransitions = [{ to = 's0', owner = 'airtable', from = ["
    + many(3500, "'t@'")
    + "] }]\n",
    "a long chain of states": HEAD
    + STATUS
    + "states = ["
    + many(1200, "'s@'")
    + "]\ntransitions = ["
    + many(1100, "{from='s@',to='s#',owner='airtable'}")
    + "]\n",
    "repositories that are not there": world.HEAD.replace('["web"]', "[" + many(3000, "'r@'") + "]")
    + world.SYNC
    + "[sync.features.create_in]\nfield = 'x'\nmap = {"
    + many(2000, "'@'='q@'")
    + "}\n",
    "a long chain of fields": HEAD + FIELDS + many(2100, "f@.value='record.f#'", "\n"),
    "a wide circle of fields": HEAD + FIELDS + many(2100, "f@.value='record.f#'", "\n") + "\nf834.value='record.f0'",
    "unknown names": HEAD + FIELDS + "\n".join(f"f{n}.value='{many(2700, f'n{n}@', '+')}'" for n in range(4)),
    "sources of one repository": world.HEAD
    + many(900, "[[bitbucket.acme.sources]]\nrepositories='r@'\nsecret={env='A'}", "\n"),
    "syncs without anything": world.HEAD + many(4600, "[sync.s@]", "\n"),
    "a dotted key": "a." * 20_000 + "b = 1",
    "nested arrays": "a = " + "[" * 30_000,
    "tables inside tables": "[a"
    + ".a" * 14
    + "]\nb"
    + ".b" * 14
    + "="
    + ("{c" + ".c" * 14 + "=") * 15
    + "1"
    + "}" * 15,
    "texts that never end": 'a = """' + '\\"' * 30_000,
}
# By name: an expression of nearly the longest that is read.
EXPRESSIONS = {
    "attributes": 'record["a"]' + ".b" * 3900,
    "sums": "1" + "+1" * 3900,
    "negations": "not " * 1900 + "name",
    "signs": "-" * 7900 + "1",
    "parentheses": "(" * 3900 + "1" + ")" * 3900,
    "lists": "[" * 3900 + "1" + "]" * 3900,
    "powers": "2" + "**2" * 2500,
    "filters": "name" + "|trim" * 1500,
    "unknown names": many(1500, "n@", "+"),
    "unknown filters": "1" + many(1300, "|f@", ""),
    "impossible states": "pr.state in [" + many(1100, "'@'") + "]",
    "questions in questions": "any(prs, draft=" * 100 + "1" + ")" * 100,
    "escapes": '"' + "\\n" * 3900 + '"',
    "blanks": " " * 7900 + "1",
    "quotes": "'" * 7900,
}


@pytest.fixture(autouse=True, scope="module")
def _closed() -> Iterator[None]:
    yield
    guided.close()


@pytest.mark.parametrize("text", SPECS.values(), ids=list(SPECS))
def test_a_spec_of_the_largest_size_is_read_within_two_seconds(text: str) -> None:
    assert len(text.encode()) <= document.BYTES_MAX
    # `run_spec` reads it up to three times.
    target.timed(guided.TARGETS["spec"], text.encode())


@pytest.mark.parametrize("name", ["unknown keys"])
def test_a_spec_of_the_largest_size_takes_little_memory(name: str) -> None:
    target.measured(guided.TARGETS["spec"], SPECS[name].encode())


@pytest.mark.parametrize("source", EXPRESSIONS.values(), ids=list(EXPRESSIONS))
def test_an_expression_of_the_largest_size_is_read_within_a_second(source: str) -> None:
    assert len(source) <= expression.EXPRESSION_CHARACTERS_MAX
    target.timed(guided.TARGETS["expression"], source.encode())
    target.timed(guided.TARGETS["template"], f"{{{{ {source} }}}}".encode() * 2)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * delivery.BODY_BYTES_MAX, id="deep"),
        pytest.param(b"[" + b"[]," * 349_000 + b"[]]", id="wide"),
        pytest.param(b'{"a":' + b"9" * 1_000_000 + b"}", id="a long number"),
        pytest.param(b"[" + b"9e9," * 262_000 + b"1]", id="many numbers"),
        pytest.param(b'"' + b"\\u00e9" * 170_000 + b'"', id="escapes"),
        pytest.param(
            b'{"push":{"changes":[' + b'{"new":{"type":"branch","name":"a"}},' * 28_000 + b"{}]}}", id="changes"
        ),
    ],
)
def test_a_delivery_of_the_largest_size_is_read_in_a_second_and_little_memory(body: bytes) -> None:
    # The headers' byte chooses repo:push.
    made = guided.TARGETS["bitbucket-delivery"]
    target.timed(made, b"\0" + body)
    target.measured(made, b"\0" + body)


def test_an_endless_body_is_refused_while_little_of_it_is_held() -> None:
    """A megabyte is read, and not a piece more (BW09)."""
    app = hooks.build(listening.FakeReceiver(), listening.StillClock())
    pieces, sent = list[int](), list[int]()

    async def receive() -> dict[str, Any]:
        pieces.append(1)
        return {"type": "http.request", "body": bytes(16_384), "more_body": True}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message.get("status", 0))

    scope = {"type": "http", "method": "POST", "path": "/hooks/bitbucket/e1", "headers": []}
    tracemalloc.start()
    try:
        asyncio.run(app(scope, receive, send))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        app.close()
    assert sent[0] == 413
    assert len(pieces) == hooks.BODY_BYTES_MAX // 16_384 + 1
    assert peak < 2 * hooks.BODY_BYTES_MAX


def test_after_very_many_problems_the_loader_says_that_it_stopped(tmp_path: Path) -> None:
    with pytest.raises(errors.SpecError) as refused:
        world.loaded(tmp_path, SPECS["unknown keys"])
    assert len(refused.value.problems) == document.PROBLEMS_MAX + 1
    assert "no further" in refused.value.problems[-1].expected


def test_an_overlay_of_many_keys_is_laid_in_a_moment() -> None:
    keys = "[airtable.roadmap]\n" + many(7500, "a@=1", "\n")
    syncs = many(2100, "[sync.t@.airtable]\nbase='a'", "\n")
    for overlay in (keys, syncs):
        data = on_spec.SEPARATOR.join((on_spec.MIDDLE, overlay.encode()))
        target.timed(guided.TARGETS["spec-directory"], data)


def test_all_files_of_a_spec_together_are_bounded(tmp_path: Path) -> None:
    for index in range(8):
        (tmp_path / f"{index}.toml").write_text("# \n" * 20_000, encoding="utf-8")
    with pytest.raises(errors.SpecError) as refused:
        load.load(tmp_path)
    assert "256 KiB in all files together" in "".join(problem.expected for problem in refused.value.problems)


@pytest.mark.parametrize("environment", ["", "x" * 400])
def test_a_path_that_no_system_takes_is_a_problem_of_the_spec(tmp_path: Path, environment: str) -> None:
    (tmp_path / "a.toml").write_text(HEAD, encoding="utf-8")
    with pytest.raises(errors.SpecError) as refused:
        load.load(tmp_path if environment else Path("x" * 400), environment)
    assert "file name too long" in refused.value.problems[0].expected


def test_a_number_that_no_store_takes_is_told_where_it_stands(tmp_path: Path) -> None:
    text = world.HEAD.replace('workspace = "acme"', 'workspace = "acme"\nbudget = { hour = 0x8000000000000000 }')
    with pytest.raises(errors.SpecError) as refused:
        world.loaded(tmp_path, text)
    (problem,) = refused.value.problems
    assert (problem.key, problem.line) == ("bitbucket.acme.budget.hour", 7)
    assert "63 bits" in problem.expected


@pytest.mark.parametrize(
    "source",
    [
        '{{ record_id }}{{ {"a": {}} ~ secrets }}',
        '{{ record["Name"] }}{{ {"a": {}} ~ record.clear() }}',
        '{% if {"a": {}} and prs.clear() %}{% endif %}',
        '{{ {"}}": "{{"} ~ prs.clear() }}',
    ],
)
def test_a_bracket_hides_nothing_from_the_check_of_a_template(source: str) -> None:
    """MiniJinja ends `{{ … }}` outside of brackets only; what it evaluates is what is checked (SP13)."""
    with pytest.raises(expression.ExpressionError):
        expression.parse_template(source)


@pytest.mark.parametrize(
    "source", ['{{ {"a": {}} }}', "{{- name -}}", '{% if {"a": 1} -%} {{ "}}" }} {%- endif %}', "{# {{ x #}"]
)
def test_brackets_and_signs_at_the_ends_are_part_of_the_language(source: str) -> None:
    assert expression.parse_template(source).source == source


def test_a_comparison_with_the_end_of_the_calendar_never_wakes() -> None:
    made = expression.parse('now < record["Due"] or today < "9999-12-31"')
    now = datetime(2026, 11, 21, tzinfo=UTC)
    assert made.wakes_at({"record": {"Due": "9999-12-31T23:59:59.9999Z"}}, now) is None


def test_a_name_among_very_many_gets_no_suggestion_and_a_very_long_one_is_cut() -> None:
    assert nearest.nearest("s1x", [f"s{at}" for at in range(nearest.COMPARED_MAX)]) is not None
    assert nearest.nearest("s1x", [f"s{at}" for at in range(nearest.COMPARED_MAX + 1)]) is None
    assert len(nearest.listed("Names", "x", ["y" * 60_000])) < 200


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.sets(st.sampled_from("abcdefghi"), max_size=3)))
def test_circles_are_found_as_by_following_every_way(after: dict[str, set[str]]) -> None:
    def reached(start: str) -> set[str]:
        found, ahead = set[str](), set(after.get(start, ()))
        while ahead:
            found |= ahead
            ahead = {node for here in ahead for node in after.get(here, ())} - found
        return found

    assert circles.on_circles(after) == {node for node in after if node in reached(node)}
