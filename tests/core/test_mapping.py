"""A rule applied: attributes and outcomes as values, values as attributes, and what expressions see."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from syncd.core import attribute, link, mapping, scoping
from syncd.core.mapping import Unfit
from syncd.core.scoping import Scope
from syncd.model.change import Owner
from syncd.model.value import NOTHING, Day, Text, Unknown
from syncd.model.work import List
from syncd.spec.attributes import ATTRIBUTES, BY_LIST, PRIMARIES
from syncd.spec.expression import parse
from syncd.spec.rules import SyncRules
from tests.build import (
    ADA,
    API,
    BEN,
    BOT,
    NOW,
    RECORD,
    a_branch,
    a_build,
    a_commit,
    a_deployment,
    a_field,
    a_pull_request,
    a_record,
    a_rule,
    a_situation,
    at,
    sync_rules,
    val,
)

RULES = sync_rules()
B = Owner.BITBUCKET


def shown(name: str, *found: Any, kind: str = "singleLineText", rules: SyncRules = RULES, **more: Any) -> Any:
    """An attribute of the primary as a field of that kind shows it."""
    rule = a_rule("Field", name, B, field=a_field("Field", kind, **more.pop("field", {})), **more)
    linked = link.linked(a_situation(rules, *found), rules)
    return mapping.attribute_value(rule, attribute.source(name, linked), rules)


ATTRIBUTE_ROWS: list[tuple[str, str, dict[str, Any], str, Any]] = [
    ("title without prefix", "pr.title", {}, "singleLineText", "Login"),
    ("title is one line", "pr.title", {"title": "a\n b"}, "multilineText", "a b"),
    ("description keeps its lines", "pr.description", {"description": "a\r\nb"}, "multilineText", "a\nb"),
    ("description in a one-line field", "pr.description", {"description": "a \n b"}, "singleLineText", "a b"),
    ("empty description", "pr.description", {"description": " \n"}, "multilineText", None),
    ("number", "pr.id", {}, "number", 1),
    ("number as text", "pr.id", {}, "singleLineText", "1"),
    ("nought is a number", "pr.open_tasks", {}, "number", 0),
    ("truth", "pr.draft", {"draft": True}, "checkbox", True),
    ("untruth is empty", "pr.draft", {}, "checkbox", None),
    ("instant", "pr.merged_on", {"state": "MERGED", "merged_on": at(3)}, "dateTime", at(3)),
    ("not merged", "pr.merged_on", {}, "dateTime", None),
    ("list as options", "pr.reviewers", {"reviewers": (BEN, ADA)}, "multipleSelects", [ADA, BEN]),
    ("list as text, in order", "pr.reviewers", {"reviewers": (BEN, ADA)}, "singleLineText", f"{ADA}, {BEN}"),
    ("approvals without author and bots", "pr.approvals", {"approved_by": (ADA, BEN, BOT)}, "number", 1),
    ("who approves, likewise", "pr.approved_by", {"approved_by": (ADA, BEN, BOT)}, "multipleSelects", [BEN]),
    ("repository by its slug", "pr.repository", {"repository": API}, "singleLineText", "api"),
    ("no merge commit yet", "pr.merge_commit", {}, "singleLineText", None),
]


@pytest.mark.parametrize(
    ("attribute", "more", "kind", "expected"),
    [row[1:] for row in ATTRIBUTE_ROWS],
    ids=[row[0] for row in ATTRIBUTE_ROWS],
)
def test_attribute_of_a_pull_request(attribute: str, more: dict[str, Any], kind: str, expected: Any) -> None:
    assert shown(attribute, a_pull_request(**more), kind=kind) == val(expected)


def test_a_moment_in_a_date_field_is_its_day_in_utc() -> None:
    late = datetime(2026, 11, 20, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    assert shown("pr.created_on", a_pull_request(created_on=late), kind="date") == Day(
        datetime(2026, 11, 21, tzinfo=UTC).date()
    )


def test_map_names_the_option() -> None:
    names = {"OPEN": "Open", "MERGED": "Done"}
    assert shown("pr.state", a_pull_request(state="MERGED"), kind="singleSelect", map=names) == val("Done")


def test_a_state_that_the_map_does_not_know_is_never_guessed() -> None:
    """SD13."""
    assert isinstance(shown("pr.state", a_pull_request(state="DECLINED"), map={"OPEN": "Open"}), Unfit)


def test_an_option_that_the_field_lacks_is_refused_with_those_it_has() -> None:
    found = shown("pr.state", a_pull_request(), kind="singleSelect", field={"choices": ("Open", "Merged")})
    assert isinstance(found, Unfit)
    assert "Open, Merged" in found.reason


def test_the_time_of_a_merge_that_was_not_asked_for_is_unknown() -> None:
    assert isinstance(shown("pr.merged_on", a_pull_request(state="MERGED", merged_on=None), kind="dateTime"), Unknown)


@pytest.mark.parametrize("attribute", sorted(ATTRIBUTES))
def test_every_attribute_of_missing_work_is_empty(attribute: str) -> None:
    assert shown(attribute) is NOTHING


@pytest.mark.parametrize("attribute", sorted(ATTRIBUTES))
def test_every_attribute_can_be_shown_as_text(attribute: str) -> None:
    found = (a_pull_request(), a_branch(), a_commit(), a_build(), a_deployment())
    assert not isinstance(shown(attribute, *found), Unfit)


BUILDS = [
    ("one failed", ("SUCCESSFUL", "FAILED", "INPROGRESS"), "FAILED"),
    ("one stopped", ("SUCCESSFUL", "STOPPED", "INPROGRESS"), "STOPPED"),
    ("one runs", ("SUCCESSFUL", "INPROGRESS"), "INPROGRESS"),
    ("all went well", ("SUCCESSFUL", "SUCCESSFUL"), "SUCCESSFUL"),
    ("a state nobody knows is no success", ("SUCCESSFUL", "ODD"), "ODD"),
]


@pytest.mark.parametrize(("states", "worst"), [row[1:] for row in BUILDS], ids=[row[0] for row in BUILDS])
def test_build_is_the_worst_over_the_primarys_keys(states: tuple[str, ...], worst: str) -> None:
    builds = [a_build(state, f"key{number}") for number, state in enumerate(states)]
    assert shown("build.state", a_pull_request(), *builds) == val(worst)


def test_builds_of_another_pull_request_are_not_the_primarys() -> None:
    other = a_pull_request(1, source_commit="0123456789ab", state="MERGED")
    broken = a_build("FAILED", commit="0123456789ab" + "0" * 28)
    assert shown("build.state", a_pull_request(2), other, broken, a_build()) == val("SUCCESSFUL")


def test_branch_is_the_source_of_the_primary_else_the_newest() -> None:
    old, new = a_branch(target_on=at(1)), a_branch(f"fix/{RECORD}", target_on=at(9))
    assert shown("branch.name", a_pull_request(), old, new) == val(old.name)
    assert shown("branch.name", old, new) == val(new.name)


FITS: list[tuple[str, Any, str, dict[str, Any], Any]] = [
    ("number to precision", 1.005, "number", {"precision": 1}, 1),
    ("number as text", "12.50", "number", {"precision": 2}, 12.5),
    ("float noise", 0.1 + 0.2, "number", {"precision": 2}, 0.3),
    ("percent keeps what it is given", 0.123, "percent", {}, 0.123),
    ("checkbox", True, "checkbox", {}, True),
    ("text", "a", "singleLineText", {}, "a"),
    ("number in a text", 3, "multilineText", {}, "3"),
    ("option", "Open", "singleSelect", {"choices": ("Open",)}, "Open"),
    ("options", ["b", "a"], "multipleSelects", {"choices": ("a", "b")}, ["a", "b"]),
    ("one option of many", "a", "multipleSelects", {"choices": ("a", "b")}, ["a"]),
    ("moment", "2026-11-21T12:00:00Z", "dateTime", {}, NOW),
    ("moment in another zone", "2026-11-21T13:00:00+01:00", "dateTime", {}, NOW),
    ("nothing", None, "number", {}, None),
    ("empty text", "", "singleSelect", {}, None),
    ("empty list", [], "multipleSelects", {}, None),
]


@pytest.mark.parametrize(("raw", "kind", "more", "expected"), [row[1:] for row in FITS], ids=[row[0] for row in FITS])
def test_an_outcome_fits_by_the_fields_type(raw: Any, kind: str, more: dict[str, Any], expected: Any) -> None:
    more.setdefault("precision", None)
    assert mapping.fit(raw, a_field("Field", kind, **more)) == val(expected)


def test_a_day_is_a_day() -> None:
    assert mapping.fit("2026-11-21", a_field("Due")) == Day(NOW.date())


MISFITS: list[tuple[str, Any, str]] = [
    ("text in a number", "many", "number"),
    ("not a number", float("nan"), "number"),
    ("truth in a number", True, "number"),
    ("number in a checkbox", 1, "checkbox"),
    ("text in a checkbox", "yes", "checkbox"),
    ("truth in an option", True, "singleSelect"),
    ("numbers in options", [1], "multipleSelects"),
    ("mapping in a text", {"a": 1}, "singleLineText"),
    ("text in a moment", "soon", "dateTime"),
    ("a moment without a zone", "2026-11-21T12:00:00", "dateTime"),
    ("number in a day", 3, "date"),
    ("anything in a formula", "x", "formula"),
]


@pytest.mark.parametrize(("raw", "kind"), [row[1:] for row in MISFITS], ids=[row[0] for row in MISFITS])
def test_what_does_not_fit_is_refused_in_words(raw: Any, kind: str) -> None:
    found = mapping.fit(raw, a_field("Field", kind))
    assert isinstance(found, Unfit)
    assert '"Field"' in found.reason


def test_a_cell_is_compared_in_the_form_that_a_title_can_hold() -> None:
    rule = a_rule("Name", "pr.title")
    cell = mapping.cell_value(rule, val("a \n b" + "x" * 400), RULES)
    assert isinstance(cell, Text)
    titled = a_pull_request(title=link.title_with_prefix(RECORD, str(cell.raw), RULES))
    assert mapping.attribute_value(rule, titled, RULES) == cell


def test_a_number_cell_is_compared_at_the_fields_precision() -> None:
    rule = a_rule("Confidence", "pr.open_tasks", B)
    assert mapping.cell_value(rule, val(2.4), RULES) == val(2)


def test_writing_undoes_the_map() -> None:
    rule = a_rule("Draft", "pr.draft", field=a_field("Stage", "singleSelect"), map={"true": "Draft", "false": "Ready"})
    assert mapping.written_value(rule, val("Draft")) == val(True)
    assert mapping.written_value(rule, val("Ready")) is NOTHING
    assert mapping.attribute_value(rule, a_pull_request(draft=True), RULES) == val("Draft")
    assert mapping.attribute_value(rule, a_pull_request(), RULES) == val("Ready")


def test_writing_refuses_what_the_map_does_not_lead_back_to() -> None:
    rule = a_rule("Details", "pr.destination_branch", map={"main": "Main", "master": "Main", "dev": "Dev"})
    assert mapping.written_value(rule, val("Dev")) == val("dev")
    assert isinstance(mapping.written_value(rule, val("Main")), Unfit)
    assert isinstance(mapping.written_value(rule, val("Elsewhere")), Unfit)


def test_a_long_text_that_is_known_by_its_hash_only_is_never_written() -> None:
    remembered = Text(val("x" * 500).key, None)  # type: ignore[union-attr]  # a long text is a Text
    assert isinstance(mapping.written_value(a_rule("Details", "pr.description"), remembered), Unfit)


# ------------------------------------------------------------------------------------------- what expressions see


def evaluate(source: str, *found: Any, **cells: Any) -> Any:
    situation = a_situation(RULES, *found, record=a_record(**cells))
    return parse(source).evaluate(Scope(situation, link.linked(situation, RULES), RULES))


SEEN: list[tuple[str, str, Any]] = [
    ("the record by field name", 'record["Details"]', "text"),
    ("an unticked checkbox", 'record["Approved"]', False),
    ("a ticked checkbox", 'record["Hold sync"]', True),
    ("an empty cell", 'record["Due"]', None),
    ("the record's id", "record_id", RECORD),
    ("the primary field", "name", "Login"),
    ("the status", "status", "Ready"),
    ("today", "today", "2026-11-21"),
    ("a list", 'count(prs, state="OPEN")', 2),
    ("the primary", "pr.id", 2),
    ("a moment", "pr.created_on", "2026-11-21T11:02:00.000Z"),
    ("the worst build", "build.state", "FAILED"),
    ("an instant of the present", 'now >= "2026-11-21T12:00:00.000Z"', True),
    ("a missing branch", "branch.ahead", False),
    ("a missing deployment", "deployment.state", None),
    ("an attribute that is a list", "pr.reviewers | length", 1),
]


@pytest.mark.parametrize(("source", "expected"), [row[1:] for row in SEEN], ids=[row[0] for row in SEEN])
def test_expressions_see(source: str, expected: Any) -> None:
    found = (a_pull_request(1), a_pull_request(2, reviewers=(BEN,)), a_build(), a_build("FAILED", "lint"))
    assert evaluate(source, *found, Details="text", Hold_sync=True, Status="Ready") == expected


@pytest.mark.parametrize("primary", sorted(PRIMARIES))
def test_every_attribute_has_a_place_in_scope(primary: str) -> None:
    situation = a_situation(RULES, a_pull_request(), a_branch(), a_commit(), a_build(), a_deployment())
    scope = Scope(situation, link.linked(situation, RULES), RULES)
    assert scope[primary].keys() == BY_LIST[PRIMARIES[primary]].keys()
    assert scope[PRIMARIES[primary].value] == [scope[primary]]


@pytest.mark.parametrize("primary", sorted(PRIMARIES))
def test_every_name_exists_without_any_work(primary: str) -> None:
    situation = a_situation(RULES)
    scope = Scope(situation, link.linked(situation, RULES), RULES)
    assert scope[primary].keys() == BY_LIST[PRIMARIES[primary]].keys()
    assert scope[PRIMARIES[primary].value] == []


UNREAD: list[tuple[str, str, dict[List, str], dict[str, Any], str]] = [
    ("a complete list", "any(prs)", {List.BUILDS: "x"}, {}, ""),
    ("an incomplete list", "any(prs)", {List.PULL_REQUESTS: "web could not be read"}, {}, "web could not be read"),
    ("the primary's builds need the pull requests", "build.state", {List.PULL_REQUESTS: "x"}, {}, "prs"),
    ("a cell in error", 'record["Details"]', {}, {"Details": Unknown("#ERROR")}, "#ERROR"),
    ("a cell in error that is not read", 'record["Name"]', {}, {"Details": Unknown("#ERROR")}, ""),
]


@pytest.mark.parametrize(
    ("source", "missing", "cells", "told"), [row[1:] for row in UNREAD], ids=[row[0] for row in UNREAD]
)
def test_unread_tells_what_is_not_known(
    source: str, missing: dict[List, str], cells: dict[str, Any], told: str
) -> None:
    situation = a_situation(RULES, record=a_record(**cells), incomplete=missing)
    reason = scoping.unread(parse(source), situation, link.linked(situation, RULES), RULES)
    assert told in reason
    assert bool(reason) is bool(told)


def test_a_branch_that_was_not_asked_about_makes_ahead_unknown() -> None:
    situation = a_situation(RULES, a_branch(ahead=None))
    linked = link.linked(situation, RULES)
    assert scoping.unread(parse("any(branches, ahead=true)"), situation, linked, RULES)
    assert not scoping.unread(parse("any(branches)"), situation, linked, RULES)
