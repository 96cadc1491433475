"""Which work belongs to which record, by all conventions."""

from dataclasses import replace
from typing import Any

import pytest

from syncd.core import link
from syncd.model.ids import RecordId
from syncd.spec.expression import parse_template
from tests.build import (
    API,
    OTHER,
    RECORD,
    REPOSITORIES,
    WEB,
    a_branch,
    a_build,
    a_commit,
    a_deployment,
    a_key,
    a_pull_request,
    a_situation,
    at,
    sync_rules,
)

RULES = sync_rules()
THIRD = RecordId("recCCCCCCCCCCCCCC")
PLAIN: dict[str, Any] = {"title": "Fix", "source_branch": "fix"}

IDS = [
    ("none", "feature/login", ()),
    ("in a branch name", f"feature/{RECORD}-login", (RECORD,)),
    ("without any boundary", f"x{RECORD}", (RECORD,)),
    ("several, in order, once", f"{OTHER} and {RECORD} and {OTHER}", (OTHER, RECORD)),
    ("behind something that looks like a start", f"rec{RECORD}", (RecordId("recrecAAAAAAAAAAA"), RECORD)),
    ("too short", "recAAAAAAAAAAAAA", ()),
    ("the wrong letters", "rec-AAAAAAAAAAAAA-", ()),
    ("upper case is no prefix", "RECAAAAAAAAAAAAAA", ()),
    ("in a message", f"Close {RECORD}.\n\nText", (RECORD,)),
]


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in IDS], ids=[row[0] for row in IDS])
def test_record_ids_are_found_anywhere(text: str, expected: tuple[RecordId, ...]) -> None:
    assert link.record_ids(text) == expected


EVIDENCE = [
    ("branch", {"title": "Fix", "source_branch": f"feature/{RECORD}"}, {RECORD: "branch"}),
    (
        "title that starts with the prefix",
        {"title": f"[Airtable: {RECORD}] Fix", "source_branch": "fix"},
        {RECORD: "title"},
    ),
    ("title that only mentions the prefix", {"title": f"Revert [Airtable: {RECORD}]", "source_branch": "fix"}, {}),
    ("title that only mentions the id", {"title": f"{RECORD} Fix", "source_branch": "fix"}, {}),
    ("commit message", PLAIN | {"commit_records": (RECORD,)}, {RECORD: "commit"}),
    ("nothing", PLAIN, {}),
    (
        "several records, each by its own",
        {"title": f"[Airtable: {OTHER}] Fix", "source_branch": f"f/{RECORD}", "commit_records": (THIRD, RECORD)},
        {RECORD: "branch", OTHER: "title", THIRD: "commit"},
    ),
    ("a fork", {"source_repository": "{fork}"}, {}),
    ("a fork that is gone", {"source_repository": None}, {}),
]


@pytest.mark.parametrize(("more", "expected"), [row[1:] for row in EVIDENCE], ids=[row[0] for row in EVIDENCE])
def test_evidence_links_by_every_convention(more: dict[str, Any], expected: dict[RecordId, str]) -> None:
    assert link.evidence(a_pull_request(**more), RULES) == expected


def test_forks_link_when_the_spec_says_so() -> None:
    rules = sync_rules(link=replace(RULES.link, forks=True))
    assert link.evidence(a_pull_request(source_repository="{fork}"), rules) == {RECORD: "branch"}


def test_a_branch_belongs_by_name_and_by_commits() -> None:
    assert link.of_branch(a_branch(f"x/{RECORD}", commit_records=(OTHER, RECORD))) == (RECORD, OTHER)


LEADS = [
    ("the title prefix", {"title": f"[Airtable: {OTHER}] x"}, OTHER),
    ("else the branch name", {"title": "x", "source_branch": f"f/{RECORD}"}, RECORD),
    ("else nobody", {"title": "x", "source_branch": "f", "commit_records": (RECORD, OTHER)}, None),
    ("two in the branch name: nobody", {"title": "x", "source_branch": f"{RECORD}-{OTHER}"}, None),
]


@pytest.mark.parametrize(("more", "expected"), [row[1:] for row in LEADS], ids=[row[0] for row in LEADS])
def test_lead_of_a_shared_pull_request(more: dict[str, Any], expected: RecordId | None) -> None:
    assert link.lead(a_pull_request(**more), RULES) == expected


PRIMARIES = [
    ("the newest open one", (("OPEN", 1), ("OPEN", 2), ("MERGED", 3)), 2),
    ("else the newest merged", (("MERGED", 1), ("MERGED", 2), ("DECLINED", 3)), 2),
    ("else the newest", (("DECLINED", 1), ("SUPERSEDED", 2)), 2),
    ("none without any", (), None),
]


@pytest.mark.parametrize(("states", "expected"), [row[1:] for row in PRIMARIES], ids=[row[0] for row in PRIMARIES])
def test_primary_is(states: tuple[tuple[str, int], ...], expected: int | None) -> None:
    found = link.primary(a_pull_request(number, state=state) for state, number in states)
    assert (found and found.key.number) == expected


def test_a_comment_does_not_make_an_older_pull_request_primary() -> None:
    older, newer = a_pull_request(1, updated_on=at(59)), a_pull_request(2, updated_on=at(2))
    assert link.primary([older, newer]) is newer


URLS = [
    ("as Bitbucket shows it", "https://bitbucket.org/acme/web/pull-requests/12", (WEB, 12)),
    ("with more path", "https://bitbucket.org/acme/api/pull-requests/7/diff", (API, 7)),
    ("with query and fragment", "https://bitbucket.org/acme/web/pull-requests/12?w=1#c", (WEB, 12)),
    ("with blanks around it", " https://bitbucket.org/acme/web/pull-requests/12\n", (WEB, 12)),
    ("in upper case", "https://Bitbucket.org/Acme/Web/pull-requests/12", (WEB, 12)),
    ("on the sandbox's host", "http://127.0.0.1:9002/acme/web/pull-requests/3", (WEB, 3)),
    ("of a repository of nobody here", "https://bitbucket.org/acme/docs/pull-requests/12", None),
    ("of another workspace", "https://bitbucket.org/evil/web/pull-requests/12", None),
    ("a path below ours", "https://bitbucket.org/x/acme/web/pull-requests/12", None),
    ("number nought", "https://bitbucket.org/acme/web/pull-requests/0", None),
    ("not a number", "https://bitbucket.org/acme/web/pull-requests/new", None),
    ("another scheme", "ftp://bitbucket.org/acme/web/pull-requests/12", None),
    ("no URL", "PR 12", None),
    ("a broken URL", "https://[bitbucket.org/acme/web/pull-requests/12", None),
]


@pytest.mark.parametrize(("url", "expected"), [row[1:] for row in URLS], ids=[row[0] for row in URLS])
def test_url_reference_reads(url: str, expected: object) -> None:
    assert link.url_reference(url, REPOSITORIES) == expected


def test_url_reference_follows_the_repositorys_own_url() -> None:
    moved = (replace(REPOSITORIES[1], url="https://git.acme.dev/base/web"),)
    assert link.url_reference("https://git.acme.dev/base/web/pull-requests/4", moved) == (WEB, 4)


def test_prefix_is_put_on_and_taken_off() -> None:
    title = link.title_with_prefix(RECORD, "Login", RULES)
    assert title == f"[Airtable: {RECORD}] Login"
    assert link.title_without_prefix(title, RULES) == "Login"
    assert link.title_without_prefix("Login", RULES) == "Login"


def test_without_a_prefix_titles_stay_as_they_are() -> None:
    rules = sync_rules(link=replace(RULES.link, title=None))
    assert link.title_with_prefix(RECORD, "Login", rules) == "Login"
    assert link.evidence(a_pull_request(title=f"[Airtable: {RECORD}] x", source_branch="x"), rules) == {}


def test_a_prefix_with_signs_of_its_own_is_taken_literally() -> None:
    rules = sync_rules(link=replace(RULES.link, title=parse_template("({{ record_id }}.*+) ({{ record_id }})")))
    title = link.title_with_prefix(RECORD, "Login", rules)
    assert link.title_without_prefix(title, rules) == "Login"
    assert link.lead(a_pull_request(title=title, source_branch="x"), rules) == RECORD
    assert link.lead(a_pull_request(title=f"({RECORD}.*+) ({OTHER}) Login", source_branch="x"), rules) is None


def test_a_long_name_is_cut_with_an_ellipsis_to_what_a_title_holds() -> None:
    title = link.title_with_prefix(RECORD, link.title_line("x" * 400, RULES), RULES)
    assert len(title) == link.TITLE_CHARACTERS_MAX
    assert title.endswith("…")


def test_linked_keeps_what_is_remembered_evident_or_typed() -> None:
    remembered = a_pull_request(1, **PLAIN)
    evident, typed, foreign = a_pull_request(2), a_pull_request(3, **PLAIN), a_pull_request(4, **PLAIN)
    situation = a_situation(RULES, remembered, evident, typed, foreign, remembered=frozenset({a_key(1)}))
    found = link.linked(situation, RULES, a_key(3))
    assert [pr.key.number for pr in found.pull_requests] == [3, 2, 1]
    assert found.evidence == {a_key(2): "branch"}


def test_linked_keeps_branches_by_name_commits_and_pull_request() -> None:
    by_name, by_commit = a_branch(f"a/{RECORD}"), a_branch("b", commit_records=(RECORD,))
    by_source, foreign = a_branch("c"), a_branch("d")
    situation = a_situation(RULES, a_pull_request(source_branch="c"), by_name, by_commit, by_source, foreign)
    assert {branch.name for branch in link.linked(situation, RULES).branches} == {f"a/{RECORD}", "b", "c"}


def test_builds_of_a_foreign_pull_request_do_not_count() -> None:
    foreign = a_pull_request(2, **PLAIN, source_commit="0123456789ab")
    ours, theirs = a_build(), a_build(key="theirs", commit="0123456789ab" + "0" * 28)
    situation = a_situation(RULES, a_pull_request(), foreign, ours, theirs, remembered=frozenset({a_key(1)}))
    assert link.linked(situation, RULES).builds == (ours,)


def test_lists_are_newest_first_in_whatever_order_they_come() -> None:
    found = (
        a_commit("a" * 40, date=at(1)),
        a_commit("b" * 40, date=at(2)),
        a_deployment(id="{old}", completed_on=at(1)),
        a_deployment(id="{running}", completed_on=None),
        a_deployment(id="{new}", completed_on=at(2)),
    )
    for order in (found, found[::-1]):
        linked = link.linked(a_situation(RULES, *order), RULES)
        assert [commit.hash[0] for commit in linked.commits] == ["b", "a"]
        assert [one.id for one in linked.deployments] == ["{running}", "{new}", "{old}"]
