import json
from typing import Any

import pytest

from syncd import errors
from syncd.commands import escape, markdown, render
from tests.commands.calling import golden
from tests.web import controlling

PLANS: dict[str, dict[str, Any]] = {
    "plan": controlling.PLAN,
    "plan-empty": controlling.EMPTY_PLAN,
    "plan-refused": controlling.REFUSED_PLAN,
    "plan-adoption": controlling.ADOPTION_PLAN,
}
# A cell of somebody who wants to move the cursor, turn the line around, close the code span and mention everybody.
NASTY = 'a\x1b[2J\u202eb\x00\nc`` <b> | @all\u200b #1 \ud800 "q" \x9b'


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_reads_as_it_did(name: str) -> None:
    golden(f"{name}.txt", render.plans({"plans": [PLANS[name]]}))
    golden(f"{name}.md", markdown.plans({"plans": [PLANS[name]]}))


def test_status_journal_conflicts_and_runs_read_as_they_did() -> None:
    golden("status.txt", render.status(controlling.STATUS))
    golden("journal.txt", render.journal(controlling.JOURNAL))
    golden("conflicts.txt", render.conflicts(controlling.CONFLICTS))
    golden("runs.txt", render.runs(controlling.RUNS))


def test_nothing_is_said_in_words() -> None:
    assert render.plans({"plans": []}) == "No sync in this spec.\n"
    assert render.journal({"rows": []}) == "No journal rows.\n"
    assert render.conflicts({"conflicts": []}) == "No conflicts.\n"
    assert render.runs({"runs": [], "plans_left": 0}) == "Nothing to do.\n"
    assert render.paused({}) == "Nothing is paused.\n"


def test_several_plans_stand_one_after_the_other() -> None:
    both = render.plans({"plans": [controlling.PLAN, {**controlling.EMPTY_PLAN, "sync": "bugs"}]})
    assert both.index("features:") < both.index("bugs:")
    assert both.endswith("0 records, nothing to do.\n")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (None, "(empty)"),
        ("", "(empty)"),
        ([], "(empty)"),
        ("x", '"x"'),
        (True, "true"),
        (0, "0"),
        (1.5, "1.5"),
        (["a", "b"], '"a", "b"'),
        ({"k": "\u202e"}, '{"k": "\\u202e"}'),
        ("a\nb\tc\r", '"a\\nb\\tc\\r"'),
        ("zero\u200bwidth", '"zero\\u200bwidth"'),
        ("rtl\u202e", '"rtl\\u202e"'),
        ("\x1b[31m", '"\\x1b[31m"'),
        ("\u2028", '"\\u2028"'),
        ("\ud800", '"\\ud800"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("ümläut → 漢字 🎉", '"ümläut → 漢字 🎉"'),
        ("x" * 61, '"' + "x" * 60 + '"… (61 characters)'),
    ],
)
def test_a_value_is_shown_without_hidden_characters(raw: object, shown: str) -> None:
    assert escape.value(raw) == shown


def test_two_long_texts_are_shown_where_they_begin_to_differ() -> None:
    before, after = "x" * 500 + "old" + "y" * 500, "x" * 500 + "new" + "y" * 500
    shown = escape.change(before, after)
    assert "old" in shown
    assert "new" in shown
    assert len(shown) < 300


def _plan_of(text: str) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(json.dumps(controlling.PLAN))
    for record in plan["records"]:
        record["name"] = record["note"] = text
        record["pending"] = record["held"] = [text]
        for kind in ("changes", "actions", "conflicts", "refusals"):
            for one in record[kind]:
                one.update({key: text for key, value in one.items() if isinstance(value, str) and key != "side"})
    return {"plans": [plan]}


@pytest.mark.parametrize(
    "shown", [render.plans(_plan_of(NASTY)), render.as_json(_plan_of(NASTY))], ids=["text", "json"]
)
def test_no_value_can_do_anything_to_a_terminal(shown: str) -> None:
    """DA02, DA03: of all characters that have an effect only our own line ends are there."""
    hidden = {character for character in shown if escape.text(character) != character}
    assert hidden == {"\n"}
    assert "a\\x1b[2J\\u202eb" in shown or "a\\u001b[2J\\u202eb" in shown


def test_no_value_can_forge_a_line_of_a_plan() -> None:
    assert render.plans(_plan_of(NASTY)).count("\n") == render.plans(_plan_of("harmless")).count("\n")


def test_no_value_can_add_markup() -> None:
    """DA07: no mention, no tag, no issue reference outside a code span."""
    shown = markdown.plans(_plan_of(NASTY))
    for line in shown.splitlines():
        outside = "".join(part for number, part in enumerate(line.split("```")) if number % 2 == 0)
        for markup in ("<b>", " @all", " #1", "\u202e"):
            assert markup not in outside


@pytest.mark.parametrize("text", ["plain", "`", "``", "a `b` c", "a```", "```a"])
def test_a_code_span_holds_any_text(text: str) -> None:
    span = markdown.code(text)
    fence = span[: len(span) - len(span.lstrip("`"))]
    inner = span.removeprefix(fence).removesuffix(fence)
    assert inner.strip(" ") == text
    assert fence not in inner.strip(" ").split(" ")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (errors.UsageError("no such sync", next_step="syncd status"), "error: no such sync\nnext: syncd status\n"),
        (errors.StoreError("disk \x1b full"), "error: disk \\x1b full\n"),
        (
            errors.Refused(
                "41 records", next_step="syncd apply abc --accept mass-change", largest=tuple("abcdefghijkl")
            ),
            "error: 41 records\n"
            + "".join(f"    {one}\n" for one in "abcdefghij")
            + "next: syncd apply abc --accept mass-change\n",
        ),
    ],
)
def test_an_error_says_what_is_wrong_and_what_to_type(error: errors.SyncdError, shown: str) -> None:
    assert render.error(error) == shown


def test_problems_of_a_spec_stand_with_their_place() -> None:
    found = (
        errors.Problem(
            file="config/a.toml",
            line=31,
            column=14,
            key="sync.features.status.transitions[2].to",
            got='"In Reveiw"',
            expected='no such state. States: Planned, In Review. Did you mean "In Review"?',
        ),
        errors.Problem(file="config/a.toml", line=0, column=0, key="sync.features", got="", expected="x", warning=True),
    )
    golden("problems.txt", render.error(errors.SpecError(found)))
    assert render.problems(found[1:]).endswith("The spec is valid, with 1 warning.\n")
    assert render.problems(()) == "The spec is valid.\n"
