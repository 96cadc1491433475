"""Expressions and templates: what they use, what they refuse, what they give, and when the clock changes it."""

import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.model.work import List
from syncd.spec import expression
from syncd.spec.attributes import ATTRIBUTES, PRIMARIES, empty_element

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PLAIN_NOW = NOW.replace(tzinfo=None)


def a_pull_request(**attributes: Any) -> dict[str, Any]:
    return {**empty_element(List.PULL_REQUESTS), "state": "OPEN", **attributes}


def a_scope(**names: Any) -> dict[str, Any]:
    scope: dict[str, Any] = {
        "record": {"Approved": False, "Due": None, "A b": "x"},
        "record_id": "rec00000000000001",
        "name": "Login",
        "status": "Ready",
        "today": "2026-11-21",
        "now": "2026-11-21T12:00:00.000Z",
    }
    for primary, members in PRIMARIES.items():
        elements = names.get(members.value, [])
        scope[members.value] = elements
        scope[primary] = elements[0] if elements else empty_element(members)
    return scope | names


OPEN, DRAFT, MERGED = a_pull_request(), a_pull_request(draft=True), a_pull_request(state="MERGED", approvals=2)


@pytest.mark.parametrize(
    ("source", "prs", "outcome"),
    [
        pytest.param('any(prs, state="OPEN", draft=false)', [MERGED, OPEN], True, id="any finds one"),
        pytest.param(
            'any(prs, state="OPEN", draft=false)', [MERGED, DRAFT], False, id="both conditions on one element"
        ),
        pytest.param("any(prs)", [], False, id="any of none"),
        pytest.param("not any(prs)", [], True, id="not any of none"),
        pytest.param('all(prs, state="OPEN")', [OPEN, DRAFT], True, id="all"),
        pytest.param('all(prs, state="OPEN")', [OPEN, MERGED], False, id="not all"),
        pytest.param('all(prs, state="OPEN")', [], False, id="all of none is false"),
        pytest.param('count(prs, state=["OPEN", "MERGED"])', [OPEN, DRAFT, MERGED], 3, id="any of a list"),
        pytest.param('count(where(prs, state="OPEN"), draft=true)', [OPEN, DRAFT, MERGED], 1, id="where narrows"),
        pytest.param('any(prs, reviewers="{ada}")', [a_pull_request(reviewers=["{ada}"])], True, id="a list holds it"),
        pytest.param(
            'any(prs, reviewers=["{bob}"])', [a_pull_request(reviewers=["{ada}"])], False, id="a list lacks it"
        ),
        pytest.param("60 if pr.approvals >= 2 else 30 * pr.approvals", [MERGED], 60, id="primary"),
        pytest.param("30 * pr.approvals", [], 0, id="a missing primary has numbers 0"),
        pytest.param("pr.draft", [], False, id="a missing primary has booleans false"),
        pytest.param("pr.reviewers | length", [], 0, id="a missing primary has empty lists"),
        pytest.param("pr.title is none", [], True, id="a missing primary has the rest null"),
        pytest.param("prs | map(attribute='state') | join(',')", [OPEN, MERGED], "OPEN,MERGED", id="map and join"),
    ],
)
def test_an_expression_asks_about_the_set_of_work(source: str, prs: list[dict[str, Any]], outcome: Any) -> None:
    assert expression.parse(source).evaluate(a_scope(prs=prs)) == outcome


@pytest.mark.parametrize(
    ("source", "names", "lists"),
    [
        pytest.param("any(prs)", {"prs"}, {List.PULL_REQUESTS}, id="list"),
        pytest.param("pr.approvals > 1", {"pr.approvals"}, {List.PULL_REQUESTS}, id="primary counts as its list"),
        pytest.param("pr['approvals'] > 1", {"pr.approvals"}, {List.PULL_REQUESTS}, id="primary by subscript"),
        pytest.param("build.state", {"build.state"}, {List.BUILDS, List.PULL_REQUESTS}, id="builds of the primary"),
        pytest.param("branch.ahead", {"branch.ahead"}, {List.BRANCHES, List.PULL_REQUESTS}, id="branch of the primary"),
        pytest.param("deployment.state", {"deployment.state"}, {List.DEPLOYMENTS}, id="deployment"),
        pytest.param(
            'record["A b"] and record.Approved', {"record.A b", "record.Approved"}, set(), id="record both ways"
        ),
        pytest.param('record["Caf\\u00e9"]', {"record.Café"}, set(), id="escapes in a field's name"),
        pytest.param("status == 'any(prs)'", {"status"}, set(), id="names inside a text are none"),
        pytest.param("today > '2026-01-01'", {"today"}, set(), id="clock"),
        pytest.param("any(where(commits, author='x'))", {"commits"}, {List.COMMITS}, id="nested"),
    ],
)
def test_what_an_expression_reads_is_known_without_running_it(source: str, names: set[str], lists: set[List]) -> None:
    made = expression.parse(source)
    assert made.names == names
    assert made.lists == lists
    assert made.record_fields == {name.removeprefix("record.") for name in names if name.startswith("record.")}
    assert made.reads_clock == ("today" in names)


@pytest.mark.parametrize(
    ("source", "states"),
    [
        ('status == "Ready"', {"Ready"}),
        ('"Ready" != status', {"Ready"}),
        ('status in ["Ready", "Merged"]', {"Ready", "Merged"}),
        ('status not in ("Ready",)', {"Ready"}),
        ('name == "Ready"', set()),
    ],
)
def test_the_states_that_an_expression_names_are_known(source: str, states: set[str]) -> None:
    assert expression.parse(source).states == states


@pytest.mark.parametrize(
    ("source", "told"),
    [
        pytest.param("1 +", "unexpected end", id="syntax"),
        pytest.param("", "empty", id="empty"),
        pytest.param("1 }} {{ 2", "unexpected", id="closing the braces"),
        pytest.param("1) + (2", "unexpected", id="closing the parenthesis"),
        pytest.param("x", "no name `x`", id="unknown name"),
        pytest.param("commit.hash", "no name `commit`", id="there is no primary commit"),
        pytest.param("issue.state", "retired", id="issues"),
        pytest.param("pr.aprovals", 'Did you mean "approvals"?', id="unknown attribute"),
        pytest.param("pr", "always exists", id="whole primary"),
        pytest.param("record", "written out", id="whole record"),
        pytest.param("record[name]", "written out", id="computed field name"),
        pytest.param("prs.state", "is a list", id="attribute of a list"),
        pytest.param("status.upper", "has no attributes", id="attribute of a text"),
        pytest.param("pr.title.__class__", "a value has no attributes", id="attribute of an attribute"),
        pytest.param("prs.clear()", "methods cannot be called", id="method of a list"),
        pytest.param("prs[0].pop('state')", "methods cannot be called", id="method of an element"),
        pytest.param("prs[0].stat", 'Did you mean "state"?', id="attribute of an element"),
        pytest.param("prs[0]['clear']()", "cannot be called", id="called by subscript"),
        pytest.param("(pr.title)()", "cannot be called", id="called outcome"),
        pytest.param("debug()", "no function", id="debug"),
        pytest.param("range(10)", "no function", id="range"),
        pytest.param("in_view('x')", "not yet supported", id="in_view"),
        pytest.param("pr.source_commit_full", "not yet supported", id="later attribute"),
        pytest.param("name | attr('x')", "no filter", id="filter"),
        pytest.param("name | sulg", 'Did you mean "slug"?', id="mistyped filter"),
        pytest.param("name is mapping", "no test", id="test"),
        pytest.param("any", "a question about a list", id="quantifier without call"),
        pytest.param("any(pr)", "one of the lists", id="quantifier over a primary"),
        pytest.param("any(prs, 'OPEN')", "needs an attribute", id="value without keyword"),
        pytest.param("any(prs, stat='OPEN')", 'Did you mean "state"?', id="unknown keyword"),
        pytest.param("any(prs, state='OPNE')", 'Did you mean "OPEN"?', id="impossible state"),
        pytest.param("pr.state == 'OPNE'", 'Did you mean "OPEN"?', id="impossible comparison"),
        pytest.param("any(prs, draft='yes')", "of type boolean", id="wrong type"),
        pytest.param("any(prs, state=true)", "of type text", id="boolean for a text"),
        pytest.param("prs | map(attribute='titel')", 'Did you mean "title"?', id="attribute in a filter"),
        pytest.param("now | date", "compare `now` plainly", id="clock that cannot be told"),
        pytest.param("now > 'soon'", "is no instant", id="no instant"),
        pytest.param("a" * 20_000, "longer than", id="too long"),
    ],
)
def test_what_is_outside_of_the_language_is_refused_when_it_is_parsed(source: str, told: str) -> None:
    with pytest.raises(expression.ExpressionError) as caught:
        expression.parse(source)
    assert any(told in problem for problem in caught.value.problems), caught.value.problems


def test_every_problem_of_an_expression_is_told_at_once() -> None:
    with pytest.raises(expression.ExpressionError) as caught:
        expression.parse("pr.aprovals + x + debug()")
    assert len(caught.value.problems) == 3


def test_an_expression_cannot_change_what_it_is_given() -> None:
    """MiniJinja reaches Python's own methods; the closed grammar is what keeps `prs.clear()` out."""
    attempts = (
        "prs.clear()",
        "prs[0].clear()",
        "prs.0.clear()",
        "prs[0]['clear']()",
        "(prs).clear()",
        "prs | first.clear()",
        "[prs][0].clear()",
        "{'a': prs}.a.clear()",
        "{'a': prs.clear}['a']()",
        "1.clear()",
        "'x'()",
    )
    for attempt in attempts:
        with pytest.raises(expression.ExpressionError):
            expression.parse(attempt)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("record['Due'] | length", id="length of nothing"),
        pytest.param("prs[0].state == 'OPEN'", id="element of an empty list"),
        pytest.param("1 // 0", id="division"),
        pytest.param("record['Gone'] == 1", id="a field that the record lacks"),
        pytest.param("name | truncate_bytes", id="missing argument"),
        pytest.param("status | date", id="no date"),
    ],
)
def test_a_failing_expression_says_which_and_why_without_values(source: str) -> None:
    with pytest.raises(expression.ExpressionError) as caught:
        expression.parse(source).evaluate(a_scope())
    assert caught.value.source == source
    assert "Ready" not in str(caught.value)


def test_fuel_ends_a_template_that_runs_on() -> None:
    source = "{% for a in prs %}{% for b in prs %}{% for c in prs %}{% for d in prs %}.{% endfor %}{% endfor %}{% endfor %}{% endfor %}"
    with pytest.raises(expression.ExpressionError, match="fuel"):
        expression.parse_template(source).render(a_scope(prs=[OPEN] * 40))


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        ("'Ünïcode Näme!' | slug", "unicode-name"),
        ("'日本' | slug", ""),
        ("none | slug", ""),
        ("'a b c' | slug(3)", "a-b"),
        ("0x10 + 1_0 + 0b11", 29),
        ("1.5e2 | int", 150),
        ("'añb' | truncate_bytes(2)", "a"),
        ("'añb' | truncate_bytes(3)", "añ"),
        ("now | date == '2026-11-21' or true", None),
        ("'2026-11-21T23:30:00-05:00' | date", "2026-11-22"),
        ("'2026-11-21' | date('%d.%m.%Y')", "21.11.2026"),
        ("none | date", ""),
        ("'[x] title' | strip_prefix('[x] ')", "title"),
    ],
)
def test_our_filters(source: str, outcome: str | int | None) -> None:
    if outcome is None:
        with pytest.raises(expression.ExpressionError):
            expression.parse(source)
    else:
        assert expression.parse(source).evaluate(a_scope()) == outcome


@given(st.text(max_size=200))
def test_a_slug_is_a_valid_part_of_a_branch_name(text: str) -> None:
    made = expression.parse("name | slug").evaluate(a_scope(name=text))
    assert len(made) <= 60
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not made.startswith("-")
    assert not made.endswith("-")


@pytest.mark.parametrize(
    ("source", "names", "wakes"),
    [
        pytest.param(
            "now >= pr.merged_on", {"pr": {"merged_on": "2026-11-21T13:00:00.000Z"}}, "2026-11-21T13:00:00", id="at it"
        ),
        pytest.param(
            "pr.merged_on < now",
            {"pr": {"merged_on": "2026-11-21T12:00:00.000Z"}},
            "2026-11-21T12:00:00.001",
            id="just after",
        ),
        pytest.param("now > pr.merged_on", {"pr": {"merged_on": "2026-11-20T12:00:00.000Z"}}, None, id="past"),
        pytest.param("now > pr.merged_on", {"pr": {"merged_on": None}}, None, id="empty"),
        pytest.param('today >= record["Due"]', {"record": {"Due": "2026-12-24"}}, "2026-12-24T00:00:00", id="day"),
        pytest.param("record.Due < today", {"record": {"Due": "2026-11-21"}}, "2026-11-22T00:00:00", id="day after"),
        pytest.param('now > "2027-01-01" or any(prs)', {}, "2027-01-01T00:00:00", id="written out"),
        pytest.param('today | date("%d") == "24"', {}, "2026-11-22T00:00:00", id="any other use of today: midnight"),
        pytest.param("any(prs)", {}, None, id="no clock"),
    ],
)
def test_a_condition_on_the_clock_tells_when_it_may_change(
    source: str, names: dict[str, Any], wakes: str | None
) -> None:
    found = expression.parse(source).wakes_at(a_scope(**names), NOW)
    assert found == (None if wakes is None else datetime.fromisoformat(wakes).replace(tzinfo=UTC))


@given(
    st.sampled_from(
        ["now {} record['Due']", "record['Due'] {} now", "today {} record['Due']", "record['Due'] {} today"]
    ),
    st.sampled_from(["<", "<=", ">", ">="]),
    st.datetimes(PLAIN_NOW - timedelta(days=2), PLAIN_NOW + timedelta(days=2)),
    st.booleans(),
    st.integers(0, 3 * 86_400_000),
)
def test_before_a_condition_wakes_time_changes_nothing(
    form: str, sign: str, due: datetime, is_day: bool, later_ms: int
) -> None:
    def at(moment: datetime) -> dict[str, Any]:
        shown = due.date().isoformat() if is_day else due.isoformat(timespec="milliseconds") + "Z"
        text = moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
        return a_scope(record={"Due": shown}, now=text, today=text[:10])

    made = expression.parse(form.format(sign))
    wakes = made.wakes_at(at(NOW), NOW)
    later = datetime.fromtimestamp(NOW.timestamp() + later_ms / 1000, UTC)
    if wakes is None or later < wakes:
        assert made.evaluate(at(later)) == made.evaluate(at(NOW))


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        pytest.param("feature/{{ record_id }}-{{ name | slug }}", "feature/rec00000000000001-login", id="branch"),
        pytest.param("{{ record['Due'] }}|{{ record['A b'] }}\n", "|x\n", id="empty is written as nothing"),
        pytest.param("{% for p in prs if p.draft %}{{ p.state }}{{ loop.index }} {% endfor %}", "OPEN1 ", id="loop"),
        pytest.param("{% if status == 'Ready' %}yes{% else %}no{% endif %}{# a } comment }} #}", "yes", id="branching"),
        pytest.param(
            "{% set short = name | truncate_bytes(2) %}{{ short }} & <b>", "Lo & <b>", id="set, and no escaping"
        ),
        pytest.param("{{ '}}' }}{{ \"{% raw %}\" }}", "}}{% raw %}", id="braces in a text"),
    ],
)
def test_a_template_is_text_with_expressions(source: str, outcome: str) -> None:
    assert expression.parse_template(source).render(a_scope(prs=[DRAFT])) == outcome


@pytest.mark.parametrize(
    ("source", "told"),
    [
        pytest.param("{% include 'x' %}", "statement `include`", id="include"),
        pytest.param("{% raw %}{{{% endraw %}", "statement `raw`", id="raw"),
        pytest.param("{% macro f() %}{% endmacro %}", "statement `macro`", id="macro"),
        pytest.param("{% set prs = 1 %}", "has a meaning already", id="shadowing by set"),
        pytest.param("{% for record in prs %}{% endfor %}", "has a meaning already", id="shadowing by for"),
        pytest.param("{% for p in prs %}{{ p.titel }}{% endfor %}", 'Did you mean "title"?', id="element of a loop"),
        pytest.param(
            "{% for p in prs %}{{ p.clear() }}{% endfor %}", "methods cannot be called", id="method in a loop"
        ),
        pytest.param("{{ name", "unexpected end", id="unclosed"),
        pytest.param("{{ nmae }}", 'Did you mean "name"?', id="unknown name"),
    ],
)
def test_a_template_outside_of_the_language_is_refused(source: str, told: str) -> None:
    with pytest.raises(expression.ExpressionError) as caught:
        expression.parse_template(source)
    assert any(told in problem for problem in caught.value.problems), caught.value.problems


def test_a_template_uses_only_the_names_it_is_given() -> None:
    with pytest.raises(expression.ExpressionError, match="`pr` is not known here"):
        expression.parse_template("{{ pr.title }}", ("record_id",))


def test_every_attribute_can_be_read_and_asked_for() -> None:
    for entry in ATTRIBUTES.values():
        if entry.primary != "commit":
            expression.parse(entry.name).evaluate(a_scope())
        members = PRIMARIES[entry.primary].value
        expression.parse(f"any(where({members}, {entry.key}=record['A b']))").evaluate(a_scope())


LONG = "x'\\" * 30_000


@pytest.mark.parametrize(
    "source",
    [
        *("name * 100000000", "100000000 * name", '"a" * pr.approvals', "[1] * 9", "(name) * 2", "prs * pr.approvals"),
        *(
            "(name if any(prs) else 1) * 3",
            "pr.title * 2",
            "(1, 2) * 3",
            "name | upper * 3",
            "- name * 3",
            "(1 + name) * 3",
        ),
        *("pr.approvals * prs | list", "3 * (2 * name)", "prs[0].title * 3", "(prs | sum ~ name) * 2", "2 * [name][0]"),
    ],
)
def test_a_text_or_list_is_not_repeated(source: str) -> None:
    """SP08: a cell could be the number of times."""
    with pytest.raises(expression.ExpressionError, match="multiplies numbers only"):
        expression.parse(source)


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        ("30 * pr.approvals", 60),
        ("(pr.approvals + 1) * (10 if any(prs, state='MERGED') else 2)", 30),
        ("count(prs) * 3 * any(prs)", 3),
        ("record['Points'] * -2.5 + record.Points", -6),
        ("prs | length * 2", 2),
        ("2 * (name | length)", 10),
        ("2 ** 3 * pr['approvals'] % 5", 1),
        ("((1 + 2) * 3 - 1) * 2", 16),
    ],
)
def test_numbers_are_multiplied(source: str, outcome: float) -> None:
    made = expression.parse(source)
    assert made.evaluate(a_scope(prs=[MERGED], record={"Points": 4})) == outcome
    assert made.factors == ({"Points"} if "Points" in source else set())


@pytest.mark.parametrize(
    "source",
    [
        *(
            "{% set a = name ~ name %}",
            "{% set a = name + name %}",
            "{% set a = [name, name] %}",
            "{% set a = (name, name) %}",
        ),
        *("{% for a in [name ~ name] %}{% endfor %}", "{% for a in [name] %}{% endfor %}", "{% set a = {'a': name} %}"),
        "{% set a = name | default([name, name]) %}",
    ],
)
def test_what_gets_a_name_is_picked_and_not_put_together(source: str) -> None:
    with pytest.raises(expression.ExpressionError, match="names what is there already"):
        expression.parse_template(source)


@pytest.mark.parametrize(
    "source",
    [
        "{% set a = prs | map(attribute='title') | join(', ') %}{{ a ~ a }}",
        "{% for p in where(prs, state=['OPEN', 'MERGED']) if p.title ~ '' != 'x' %}{{ (p.id | int) * 2 }}{% endfor %}",
        "{% for part in record['A b'] | split(',') %}{{ part | trim }}{% endfor %}",
        "{% set first = prs[0].title %}{{ first }}",
    ],
)
def test_names_for_what_is_there_are_part_of_the_language(source: str) -> None:
    assert isinstance(expression.parse_template(source).render(a_scope(prs=[OPEN])), str)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        pytest.param("name" + " ~ name" * 101, "more than 100 times", id="joined"),
        pytest.param("[" + "name," * 201 + "]", "more than 200 names", id="names"),
        pytest.param("[[{'a': [name]}]]", "more than 3 lists", id="lists"),
        pytest.param("((((name,),),),)", "more than 3 lists", id="tuples"),
        pytest.param("prs | map('upper')", "takes an attribute", id="a filter by name"),
    ],
)
def test_what_could_grow_is_counted_when_it_is_parsed(source: str, told: str) -> None:
    with pytest.raises(expression.ExpressionError, match=told):
        expression.parse(source)


@pytest.mark.parametrize(
    "source",
    [
        *("{{ name ~ name ~ name }}", "{{ name }}{{ name }}{{ name }}", "{{ name | replace('x', name) | length }}"),
        *("{{ name | replace('', name) }}", "{{ name | join(name) }}", "{{ name | list | join(name) }}"),
        "{% for a in name | list %}{{ name }}{% endfor %}",
        "{% set a = name | list | string %}{% set a = a | list | string %}{{ a | list | string }}",
        "{{ name | sort | string | sort | string }}",
        "{{ name | split('z') | string | split('z') | string | split('z') | string }}",
    ],
)
def test_a_text_that_grows_too_long_ends_the_evaluation_at_once(source: str) -> None:
    before_s = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(expression.ExpressionError, match="more than 200000 characters"):
            expression.parse_template(source).render(a_scope(name=LONG))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.process_time() - before_s < 2
    assert peak < 64 * 1024 * 1024


def test_the_bound_counts_anew_for_every_text() -> None:
    made = expression.parse_template("{{ name }}")
    assert [len(made.render(a_scope(name=LONG))) for _ in range(5)] == [len(LONG)] * 5
    with pytest.raises(expression.ExpressionError, match="more than 200000"):
        expression.parse("name ~ name ~ name").evaluate(a_scope(name=LONG))


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        ("['a', 1, none, true, 0.5] | join('-')", "a-1-none-true-0.5"),
        ("'abc' | join('-')", "a-b-c"),
        ("none | join", ""),
        ("'aXbX' | replace('X', '')", "ab"),
        ("5 | replace('5', 6)", "6"),
        ("'a b  c' | split", ["a", "b", "c"]),
        ("'a,b,c' | split(',', 1)", ["a", "b,c"]),
        ("[3, 1, 2] | sort(reverse=true)", [3, 2, 1]),
        ("prs | sort(attribute='approvals') | map(attribute='approvals') | list", [0, 2]),
        ("[1, 1, 2] | unique", [1, 2]),
    ],
)
def test_bounded_filters_give_what_they_gave(source: str, outcome: object) -> None:
    assert expression.parse(source).evaluate(a_scope(prs=[MERGED, OPEN])) == outcome
