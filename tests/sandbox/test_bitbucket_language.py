"""The filter language, order, pages and partial answers (reference/bitbucket.md section 8)."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from syncd.sandbox.bitbucket import partial, query
from syncd.sandbox.bitbucket.errors import ApiError
from tests.sandbox.bitbucket_setup import HOST, WEB, Company

THINGS: tuple[dict[str, Any], ...] = (
    {
        "id": 1,
        "title": "Alpha One",
        "state": "OPEN",
        "draft": False,
        "on": query.instant("2026-11-01T10:00:00+00:00"),
        "who": ("a", "b"),
        "none": None,
    },
    {
        "id": 2,
        "title": "beta two",
        "state": "MERGED",
        "draft": True,
        "on": query.instant("2026-11-02T10:00:00+01:00"),
        "who": (),
        "none": 5,
    },
    {
        "id": 3,
        "title": 'say "hi" (now)',
        "state": "OPEN",
        "draft": False,
        "on": query.instant("2026-11-03"),
        "who": ("c",),
        "none": None,
    },
)
GETTERS: query.Getters = {
    "id": lambda one: one["id"],
    "title": lambda one: one["title"],
    "state": lambda one: one["state"],
    "draft": lambda one: one["draft"],
    "updated_on": lambda one: one["on"],
    "reviewers.uuid": lambda one: one["who"],
    "merge_commit.hash": lambda one: one["none"],
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [1, 2, 3]),
        ('state = "OPEN"', [1, 3]),
        ('state != "OPEN"', [2]),
        ('title ~ "BETA"', [2]),
        ('title !~ "beta"', [1, 3]),
        (r'title = "say \"hi\" (now)"', [3]),
        ("id > 1", [2, 3]),
        ("id >= 2 AND id < 3", [2]),
        ("id <= 1 OR id = 3", [1, 3]),
        ('state = "OPEN" AND id = 1 OR id = 2', [1, 2]),
        ('state = "OPEN" AND (id = 1 OR id = 2)', [1]),
        ('state IN ("MERGED", "DECLINED")', [2]),
        ('state NOT IN ("MERGED")', [1, 3]),
        ('state not in ("MERGED") and id = 1', [1]),
        ("draft = true", [2]),
        ("draft=false", [1, 3]),
        ("merge_commit.hash = null", [1, 3]),
        ("merge_commit.hash != null", [2]),
        ("updated_on > 2026-11-01T10:00:00+00:00", [2, 3]),
        ("updated_on >= 2026-11-01T10:00:00.000000+00:00", [1, 2, 3]),
        ("updated_on = 2026-11-02T09:00:00Z", [2]),
        ('updated_on > "2026-11-02T12:00:00+00:00"', [3]),
        ("updated_on < 2026-11-02", [1]),
        ('reviewers.uuid = "b"', [1]),
        ("reviewers.uuid = null", [2]),
    ],
    ids=str,
)
def test_q_finds(text: str, found: list[int]) -> None:
    chosen = [one["id"] for one in THINGS if not text or query.compile_filter(text, GETTERS)(one)]
    assert chosen == found


@pytest.mark.parametrize(
    "text",
    [
        "nonsense = 1",
        "id",
        "id =",
        "id = 1 AND",
        "(id = 1",
        "id = 1)",
        "id ?? 1",
        'id = "open',
        "id IN 1",
        "id = banana",
        "updated_on > 2026-99-99",
        "= 1",
    ],
    ids=str,
)
def test_a_wrong_q_is_a_400(text: str) -> None:
    with pytest.raises(ApiError) as raised:
        query.compile_filter(text, GETTERS)
    assert raised.value.status == 400
    assert Company().call("GET", f"{WEB}/refs/branches", q=text).status == 400


def test_sort_is_natural_by_name_and_descending_with_a_minus() -> None:
    company = Company()
    for name in ("b10", "b9", "B1"):
        company.later()
        company.control("push", repository="web", branch=name)
    names = [one["name"] for one in company.get("/refs/branches", sort="name")["values"]]
    assert names == ["B1", "b9", "b10", "main"]
    newest = [one["name"] for one in company.get("/refs/branches", sort="-target.date")["values"]]
    assert newest == ["B1", "b9", "b10", "main"]
    assert company.call("GET", f"{WEB}/refs/branches", sort="color").status == 400


def test_a_search_over_branch_names_is_case_insensitive() -> None:
    company = Company()
    company.control("push", repository="web", branch="feature/recABC")
    assert [one["name"] for one in company.get("/refs/branches", q='name ~ "RECabc"')["values"]] == ["feature/recABC"]


def follow(company: Company, path: str, **parameters: Any) -> list[Any]:
    found, pages = [], 0
    body = company.get(path, **parameters)
    while True:
        pages += 1
        assert pages < 50
        found += body["values"]
        if "next" not in body:
            return found
        parts = urlsplit(body["next"])
        assert (parts.scheme, parts.netloc) == ("http", HOST)
        answer = company.call("GET", parts.path, query=tuple(parse_qsl(parts.query)))
        assert answer.status == 200
        body = answer.body


def test_next_leads_through_every_page_and_keeps_the_question() -> None:
    company = Company()
    for number in range(23):
        company.control("push", repository="web", branch=f"b{number:02}")
    assert len(follow(company, "/refs/branches")) == 24
    found = follow(company, "/refs/branches", q='name ~ "b1"', sort="-name", pagelen="3")
    assert [one["name"] for one in found] == [f"b1{digit}" for digit in range(9, -1, -1)]


def test_numbered_lists_have_page_and_size_and_iterators_do_not() -> None:
    company = Company()
    company.work()
    company.control("push", repository="web", branch="long", commits=15)
    numbered = company.get("/refs/branches", pagelen="2")
    assert {"page", "size", "pagelen", "values", "next"} == set(numbered)
    for path in ("/commits", "/pullrequests/1/activity", "/pullrequests/activity", "/pullrequests/1/commits"):
        assert set(company.get(path)) <= {"pagelen", "values", "next"}
    assert len(follow(company, "/commits", pagelen="4")) == 18


def test_an_iterator_does_not_shift_when_something_new_comes() -> None:
    company = Company()
    company.work()
    for number in range(5):
        company.later()
        company.control("comment", repository="web", id=1, text=str(number))
    first = company.get("/pullrequests/1/activity", pagelen="2")
    company.control("comment", repository="web", id=1, text="new")
    rest = company.call("GET", f"{WEB}/pullrequests/1/activity", query=tuple(parse_qsl(urlsplit(first["next"]).query)))
    texts = [one["comment"]["content"]["raw"] for one in [*first["values"], *rest.body["values"]]]
    assert texts == ["4", "3", "2", "1"]


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/pullrequests", 50),
        ("/refs/branches", 100),
        ("/commits", 100),
        ("/hooks", 100),
        ("/pullrequests/1/tasks", 100),
    ],
    ids=str,
)
def test_pagelen_above_the_limit_is_a_400(path: str, limit: int) -> None:
    company = Company()
    company.work()
    assert company.call("GET", WEB + path, pagelen=str(limit)).status == 200
    for wrong in (str(limit + 1), "0", "-1", "x"):
        assert company.call("GET", WEB + path, pagelen=wrong).status == 400


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, {1}),
        ({"state": "MERGED"}, {2}),
        ({"q": 'state = "DECLINED"'}, {3}),
        ({"q": 'source.branch.name = "feature/rec1"'}, {1}),
        ({"query": (("state", "OPEN"), ("state", "MERGED"))}, {1, 2}),
        ({"query": (("state", "MERGED"), ("state", "DECLINED")), "q": "id > 2"}, {3}),
    ],
    ids=str,
)
def test_the_list_shows_open_ones_unless_a_state_is_asked_for(asked: dict[str, Any], found: set[int]) -> None:
    company = Company()
    for name in ("feature/rec1", "b", "c"):
        company.work(branch=name)
    company.control("merge", repository="web", id=2)
    company.control("decline", repository="web", id=3)
    assert {one["id"] for one in company.get("/pullrequests", **asked)["values"]} == found
    assert company.call("GET", f"{WEB}/pullrequests", state="NOPE").status == 400


def test_reviewers_can_be_searched_for() -> None:
    company = Company()
    company.work()
    assert company.get("/pullrequests", q=f'reviewers.uuid = "{company.uuid("cy")}"')["size"] == 1
    assert company.get("/pullrequests", q=f'reviewers.uuid = "{company.uuid("ada")}"')["size"] == 0


NARROW = {"values": [{"id": 1, "links": {"self": 1, "html": 2}, "who": None}], "next": "n"}
WIDE = {
    "values": [{"id": 1, "links": {"self": 1, "html": 2}, "who": {"name": "x"}, "more": {"a": 1, "b": 2}}],
    "next": "n",
}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ("values.id", {"values": [{"id": 1}]}),
        ("values.id,next", {"values": [{"id": 1}], "next": "n"}),
        ("values.links.html", {"values": [{"links": {"html": 2}}]}),
        ("values.*", {"values": [{"id": 1, "links": {"self": 1, "html": 2}, "who": None}]}),
        ("values.links.*,next", {"values": [{"links": {"self": 1, "html": 2}}], "next": "n"}),
        ("-values.links", {"values": [{"id": 1, "who": None}], "next": "n"}),
        ("-values.links.self,-next", {"values": [{"id": 1, "links": {"html": 2}, "who": None}]}),
        ("+values.more", {"values": [{**NARROW["values"][0], "more": {"a": 1, "b": 2}}], "next": "n"}),  # type: ignore[dict-item]  # a dict
        ("+values.more.a", {"values": [{**NARROW["values"][0], "more": {"a": 1}}], "next": "n"}),  # type: ignore[dict-item]  # a dict
        ("values.id,+values.more.b", {"values": [{"id": 1, "more": {"b": 2}}]}),
        ("values.more.a", {"values": [{"more": {"a": 1}}]}),
        ("values.nothing", {"values": [{}]}),
        ("nothing", {}),
    ],
    ids=str,
)
def test_fields_choose(fields: str, found: Any) -> None:
    assert partial.select(NARROW, WIDE, fields) == found


def test_fields_reach_the_merge_commits_date_and_a_deployments_names() -> None:
    company = Company()
    company.work()
    company.control("merge", repository="web", id=1)
    item = company.get("/pullrequests", state="MERGED", fields="+values.merge_commit.date")["values"][0]
    assert item["merge_commit"]["date"] == "2026-11-02T09:00:02+00:00"
    assert len(item["merge_commit"]["hash"]) == 12
    company.control("add_environment", repository="web", name="Live", type="Production")
    company.control("deploy", repository="web", environment="Live", status="SUCCESSFUL")
    plain = company.get("/deployments")["values"][0]
    assert "name" not in plain["environment"]
    wanted = "+values.environment.name,+values.environment.environment_type.name,+values.state.status.name"
    asked = company.get("/deployments", fields=wanted)["values"][0]
    assert (asked["environment"]["name"], asked["environment"]["environment_type"]["name"]) == ("Live", "Production")
    assert asked["state"]["status"]["name"] == "SUCCESSFUL"
