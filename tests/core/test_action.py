"""What is made once per record: where, under which name, what is looked for first, what it waits for."""

from dataclasses import replace
from typing import Any

import pytest

from syncd.core import action, link, scoping
from syncd.core.action import Verdict
from syncd.model.change import CreateBranch, CreatePullRequest
from syncd.model.situation import Made, Situation
from syncd.model.work import List
from syncd.spec.expression import parse, parse_template
from syncd.spec.rules import CreateIn, SyncRules
from tests.build import (
    API,
    OTHER,
    RECORD,
    WEB,
    a_branch,
    a_key,
    a_pull_request,
    a_record,
    a_situation,
    at,
    spec_actions,
    sync_rules,
)

RULES = sync_rules()
CUT, OPEN = spec_actions()
ALWAYS_CUT = replace(CUT, when=parse("true"))
ALWAYS_OPEN = replace(OPEN, when=parse("true"))
READY: dict[str, Any] = {"Status": "Ready", "Repo": "Web"}


def decide(rule: Any, situation: Situation, rules: SyncRules = RULES) -> Verdict:
    linked = link.linked(situation, rules)
    return action.decide(rule, situation, linked, scoping.Scope(situation, linked, rules), rules)


def made(rule: Any, object: str, *, intended: bool = False) -> dict[str, Made]:
    return {rule.key: Made(rule=rule.key, object=object, intended=intended)}


# ------------------------------------------------------------------------------------------- branches


def test_a_branch_is_made_where_create_in_says_under_the_templates_name() -> None:
    found = decide(CUT, a_situation(RULES, record=a_record(**READY))).action
    assert isinstance(found, CreateBranch)
    assert (found.repository, found.name, found.start) == (WEB, f"feature/{RECORD}-login", "main")
    assert found.reason == f"holds: {CUT.when.source}"


def test_a_branch_begins_at_the_main_branch_when_the_rule_names_none() -> None:
    repositories = tuple(replace(known, main_branch="trunk") for known in RULES.repositories)
    rules = sync_rules(repositories=repositories)
    found = decide(replace(CUT, start=""), a_situation(rules, record=a_record(**READY)), rules).action
    assert isinstance(found, CreateBranch)
    assert found.start == "trunk"


WAITS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("create_in is empty", {"Status": "Ready"}, {}, '"Repo" is empty'),
    ("create_in is not mapped", {"Status": "Ready", "Repo": "Docs"}, {}, '"Repo" is "Docs"'),
    ("no create_in and two repositories", READY, {"create_in": None}, "in which repository"),
    ("a repository that cannot be seen", READY, {"repositories": ()}, "cannot be seen"),
]


@pytest.mark.parametrize(("cells", "more", "told"), [row[1:] for row in WAITS], ids=[row[0] for row in WAITS])
def test_a_branch_waits_for_a_person_when(cells: dict[str, Any], more: dict[str, Any], told: str) -> None:
    rules = sync_rules(**more)
    verdict = decide(CUT, a_situation(rules, record=a_record(**cells)), rules)
    assert told in verdict.pending
    assert verdict.person
    assert verdict.action is None


def test_an_empty_repository_waits_for_a_person() -> None:
    """BB17."""
    rules = sync_rules(repositories=tuple(replace(known, main_branch="") for known in RULES.repositories))
    verdict = decide(replace(CUT, start=""), a_situation(rules, record=a_record(**READY)), rules)
    assert "empty" in verdict.pending


def test_without_create_in_the_only_repository_is_it() -> None:
    rules = sync_rules(create_in=None, repositories=RULES.repositories[:1])
    found = decide(CUT, a_situation(rules, record=a_record(**READY)), rules).action
    assert isinstance(found, CreateBranch)
    assert found.repository == API


def test_create_in_may_name_one_repository_for_all() -> None:
    rules = sync_rules(create_in=CreateIn(field=None, choices={}, only=API))
    found = decide(CUT, a_situation(rules, record=a_record(**READY)), rules).action
    assert isinstance(found, CreateBranch)
    assert found.repository == API


def test_a_branch_that_holds_the_record_id_is_taken_for_the_made_one() -> None:
    """BB15: looked for by record id, never by full name."""
    existing = a_branch(f"someone/{RECORD}-another-name")
    verdict = decide(ALWAYS_CUT, a_situation(RULES, existing, record=a_record(**READY)))
    assert verdict == Verdict(found=action.object_of_branch(WEB, existing.name))


def test_a_branch_that_was_made_once_is_not_made_again() -> None:
    """BB16."""
    situation = a_situation(RULES, record=a_record(**READY), made=made(CUT, "x"))
    verdict = decide(CUT, situation)
    assert verdict.action is None
    assert "not made again" in verdict.refusal


def test_a_branch_that_is_gone_is_not_missed_when_its_condition_is_over() -> None:
    situation = a_situation(RULES, record=a_record(Status="Merged", Repo="Web"), made=made(CUT, "x"))
    assert decide(CUT, situation) == Verdict()


def test_an_intended_branch_is_looked_up_first() -> None:
    situation = a_situation(RULES, record=a_record(**READY), made=made(CUT, "", intended=True))
    verdict = decide(CUT, situation)
    assert verdict.pending
    assert verdict.action is None


@pytest.mark.parametrize("missing", [List.BRANCHES, List.PULL_REQUESTS])
def test_nothing_is_made_while_what_it_looks_for_is_incomplete(missing: List) -> None:
    situation = a_situation(RULES, record=a_record(**READY), incomplete={missing: "web could not be read"})
    verdict = decide(ALWAYS_CUT, situation)
    assert verdict.action is None
    assert "web could not be read" in verdict.pending


def test_a_condition_that_fails_is_refused_in_words() -> None:
    broken = replace(CUT, when=parse('record["Details"] / 0 > 1'))
    assert "condition fails" in decide(broken, a_situation(RULES, record=a_record(**READY))).refusal


NAMES = [
    ("plain", f"feature/{RECORD}-login", f"feature/{RECORD}-login"),
    ("blanks and signs that git refuses", f"a b~c^d:e?f*g[h\\i/{RECORD}", f"a-b-c-d-e-f-g-h-i/{RECORD}"),
    ("dots and locks", f"..a../{RECORD}.lock", f"a/{RECORD}"),
    ("leading hyphen and empty parts", f"-//x//{RECORD}-", f"x/{RECORD}"),
    ("a reflog form", f"x@{{1}}{RECORD}", f"x-1}}{RECORD}"),
    ("bidi and zero width", f"a\u202eb\u200b{RECORD}", f"a-b-{RECORD}"),
    ("without the id", "login", f"{RECORD}-login"),
    ("with folders but without the id", "feature/login", f"feature/login/{RECORD}"),
    ("empty", "", RECORD),
    ("a lone at sign", f"@/{RECORD}", RECORD),
    ("much too long", f"feature/{RECORD}-{'x' * 400}", f"feature/{RECORD}-{'x' * 174}"),
    ("the id far behind", f"{'x' * 400}{RECORD}", f"feature/{RECORD}"),
]


@pytest.mark.parametrize(("rendered", "expected"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES])
def test_a_branch_name_is_one_that_git_takes(rendered: str, expected: str) -> None:
    assert action.branch_name(rendered, RECORD) == expected


# ------------------------------------------------------------------------------------------- pull requests


def test_a_pull_request_is_opened_from_the_branch_that_is_ahead() -> None:
    record = a_record(Details="What and why")
    behind = a_branch(f"old/{RECORD}", ahead=False, target_on=at(50))
    found = decide(OPEN, a_situation(RULES, behind, a_branch(repository=API), record=record)).action
    assert isinstance(found, CreatePullRequest)
    assert (found.repository, found.source, found.destination) == (API, f"feature/{RECORD}-login", "main")
    assert (found.title, found.description, found.draft) == (f"[Airtable: {RECORD}] Login", "What and why", True)


def test_a_pull_request_on_a_branch_without_commits_waits() -> None:
    verdict = decide(ALWAYS_OPEN, a_situation(RULES, a_branch(ahead=False)))
    assert "no commits yet" in verdict.pending
    assert verdict.action is None


def test_a_pull_request_waits_for_a_name() -> None:
    verdict = decide(ALWAYS_OPEN, a_situation(RULES, a_branch(), record=a_record(Name=None)))
    assert "name" in verdict.pending
    assert verdict.person


@pytest.mark.parametrize("state", ["OPEN", "MERGED", "DECLINED", "SUPERSEDED"])
def test_a_pull_request_of_the_branch_in_any_state_is_not_made_again(state: str) -> None:
    """BB18, also when it is not linked (its branch is)."""
    existing = a_pull_request(7, state=state, title="Fix")
    verdict = decide(ALWAYS_OPEN, a_situation(RULES, existing, a_branch(), remembered=frozenset()))
    assert verdict == Verdict(found=action.object_of_pull_request(a_key(7)))


def test_a_declined_pull_request_is_reported_and_not_made_again() -> None:
    situation = a_situation(RULES, a_pull_request(7, state="DECLINED"), a_branch(), made=made(OPEN, str(a_key(7))))
    verdict = decide(OPEN, situation)
    assert verdict.action is None
    assert "#7 was declined" in verdict.refusal


def test_a_declined_pull_request_is_not_reported_once_there_is_a_better_one() -> None:
    declined, opened = a_pull_request(7, state="DECLINED"), a_pull_request(8)
    situation = a_situation(RULES, declined, opened, a_branch(), made=made(OPEN, declined.url))
    assert decide(OPEN, situation) == Verdict()


def test_a_vanished_pull_request_is_reported_and_not_made_again() -> None:
    verdict = decide(OPEN, a_situation(RULES, a_branch(), made=made(OPEN, str(a_key(7)))))
    assert verdict.action is None
    assert "not made again" in verdict.refusal


def test_a_pull_request_into_its_own_branch_waits() -> None:
    rule = replace(ALWAYS_OPEN, into=f"feature/{RECORD}-login")
    assert decide(rule, a_situation(RULES, a_branch())).person


def test_a_description_that_fails_is_refused_in_words() -> None:
    rule = replace(ALWAYS_OPEN, description=parse_template("{{ record['Details'] / 0 }}"))
    assert "description fails" in decide(rule, a_situation(RULES, a_branch())).refusal


def test_the_branch_of_another_record_is_none_of_ours() -> None:
    assert decide(ALWAYS_OPEN, a_situation(RULES, a_branch(f"feature/{OTHER}"))).action is None
