"""What the guards refuse: nothing of it happens, nothing else stops for ever, and a person's word lets exactly that pass."""

from pathlib import Path
from typing import Any

import pytest

from syncd import errors, ports
from tests.flow import stories
from tests.flow.house import MINUTE, Lab


def crowded(folder: Path, count: int = 30) -> tuple[Lab, list[str]]:
    """A lab at rest with that many more features, each with a pull request in the API repository; the window is over."""
    lab = Lab(folder)
    names = [f"Feature {number}" for number in range(count)]
    for name in names:
        record = lab.create(name, Status="Ready", Repo="API", Details=f"{name}.")
        lab.work("push", repository="api", branch=f"feature/{record}", commits=[f"{name}\n"])
        lab.work("create_pull_request", repository="api", source=f"feature/{record}", title=name, draft=True)
    stories.adopted(lab)
    lab.run(70 * MINUTE)
    return lab, names


# --------------------------------------------------------------------------------------------------- emptied sides


def test_records_missing_all_at_once_are_kept_and_everything_else_goes_on(tmp_path: Path) -> None:
    lab, names = crowded(tmp_path)
    known = lab.status()["syncs"]["features"]["records"]
    lab.person("delete", records=[lab.records[name] for name in names[:20]], user="ada@acme.dev")
    lab.run(60 * MINUTE)
    health = lab.status()
    assert health["state"] == "halted"
    assert health["syncs"]["features"]["records"] == known
    assert lab.clock.now().isoformat() > health["syncs"]["features"]["last_compare"] > "2026-11-02T10:5"
    lab.apply()
    lab.run(5 * MINUTE)
    assert lab.status()["syncs"]["features"]["records"] == known, "an apply says nothing about what is missing"
    lab.airtable.arm(stories.no_delivery())
    lab.edit("Rate limits", Name="Rates")
    lab.run(20 * MINUTE)
    assert lab.pull_request("api", 1)["title"].endswith("] Rates"), "the compare finds what no delivery told"


def test_a_person_lets_exactly_the_missing_records_go(tmp_path: Path) -> None:
    lab, names = crowded(tmp_path)
    known = lab.status()["syncs"]["features"]["records"]
    lab.person("delete", records=[lab.records[name] for name in names[:15]], user="ada@acme.dev")
    lab.run(20 * MINUTE)
    first = lab.status()["syncs"]["features"]["refused_plan"]
    assert f"syncd apply {first} --accept mass-change" in lab.status()["reasons"][0]
    lab.person("delete", records=[lab.records[name] for name in names[15:20]], user="ada@acme.dev")
    lab.control.apply(None, first, ["mass-change"])
    lab.run(40 * MINUTE)
    assert lab.status()["syncs"]["features"]["records"] == known, "it was said of fewer records"
    second = lab.status()["syncs"]["features"]["refused_plan"]
    assert second != first
    lab.control.apply(None, second, ["mass-change"])
    lab.run(40 * MINUTE)
    assert lab.status()["syncs"]["features"]["records"] == known - 20
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_records_that_come_back_need_nobodys_word(tmp_path: Path) -> None:
    lab, names = crowded(tmp_path)
    gone = [lab.records[name] for name in names]
    lab.person("delete", records=gone, user="ada@acme.dev")
    lab.run(20 * MINUTE)
    assert lab.status()["state"] == "halted"
    for record in gone:
        lab.person("restore", record=record)
    lab.run(20 * MINUTE)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


# ------------------------------------------------------------------------------------------------- a standing refusal


def rename(lab: Lab, names: list[str], suffix: str) -> None:
    """All of them at once, in one action."""
    rows = {lab.records[name]: {"Name": f"{name} {suffix}"} for name in names}
    lab.person("edit", records=rows, user="ada@acme.dev")


def titled(lab: Lab, names: list[str], suffix: str) -> int:
    """How many of their pull requests have that title."""
    return sum(one["title"].endswith(f" {suffix}") for name in names for _, one in lab.pull_requests(name))


def test_a_single_edit_does_not_pass_while_a_refusal_stands(tmp_path: Path) -> None:
    lab, names = crowded(tmp_path)
    before, asked = len(lab.writes()), lab.requests()
    lab.run(60 * MINUTE)
    calm = sum((lab.requests() - asked).values())
    rename(lab, names[:25], "2.0")
    lab.run(MINUTE / 3)
    assert lab.status()["state"] == "halted"
    for name in names[25:28]:
        rename(lab, [name], "2.0")
        lab.run(3 * MINUTE)
        assert lab.status()["state"] == "halted"
    lab.restart()
    lab.run(70 * MINUTE)
    assert lab.status()["state"] == "halted"
    assert len(lab.writes()) == before
    asked = lab.requests()
    lab.run(60 * MINUTE)
    assert sum((lab.requests() - asked).values()) < calm + 30, "a standing refusal asks rarely"


def test_a_refusal_ends_when_what_caused_it_is_put_right_and_what_waited_is_sent(tmp_path: Path) -> None:
    lab, names = crowded(tmp_path)
    rename(lab, names[:25], "2.0")
    lab.run(2 * MINUTE)
    lab.edit("Rate limits", Name="Rates")
    lab.person("edit", records={lab.records[name]: {"Name": name} for name in names[:25]}, user="ada@acme.dev")
    lab.run(20 * MINUTE)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]
    assert lab.pull_request("api", 1)["title"].endswith("] Rates")
    assert titled(lab, names, "2.0") == 0


def test_a_refused_plan_is_accepted_by_its_name_as_it_was(tmp_path: Path) -> None:
    lab, names = crowded(tmp_path)
    rename(lab, names[:25], "2.0")
    lab.run(2 * MINUTE)
    first = lab.status()["syncs"]["features"]["refused_plan"]
    rename(lab, names[25:26], "2.0")
    with pytest.raises(errors.Refused, match="records would be changed"):
        lab.control.apply(None, first, [])
    with pytest.raises(errors.Refused, match="both sides changed"):
        lab.control.apply(None, "0" * 12, ["mass-change"])
    applied = lab.control.apply(None, first, ["mass-change"])["runs"][0]
    assert titled(lab, names, "2.0") == 25
    assert applied["unknown"] == applied["refused"] == 0
    lab.run(2 * MINUTE)
    assert titled(lab, names, "2.0") == 26, "what waited behind it goes on at once"
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_an_edit_after_the_plan_was_seen_is_not_sent_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path)
    lab.run(2 * MINUTE)
    seen = lab.plan()["digest"]
    handle = lab.airtable.inner.handle
    listings = []

    def edited(request: Any, *rest: Any) -> Any:
        answer = handle(request, *rest)
        if "listRecords" in request.path:
            listings.append(request)
            if len(listings) == 1:
                lab.edit("Rate limits", Name="Edited in between")
        return answer

    monkeypatch.setattr(lab.airtable.inner, "handle", edited)
    with pytest.raises(errors.Refused, match="both sides changed"):
        lab.control.apply(None, seen, [])
    assert not lab.writes()
    assert lab.status()["syncs"]["features"]["adoption"]
    fresh = lab.plan()["digest"]
    assert lab.control.apply(None, fresh, [])["runs"][0]["applied"]
    assert lab.pull_request("api", 1)["title"].endswith("] Edited in between")


def test_an_apply_ends_between_two_requests_when_the_process_does(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.run(2 * MINUTE)
    lab.stop = "the process was told to stop"
    lab.apply()
    assert not lab.writes()


def test_work_that_is_gone_all_at_once_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab, names = crowded(tmp_path)
    before, cells = len(lab.writes()), lab.cells(names[0])
    context = lab.crew.workers[0].context
    records = sorted(context.store.load_known(context.name))
    with monkeypatch.context() as patched:
        patched.setattr(lab.store, "load_work", lambda *_: {})
        patched.setattr(lab.store, "load_pull_requests", lambda *_: ())
        lab.store.mark_records(context.name, records, ports.Lane.COMPARE, lab.clock.now(), lab.clock.now())
        lab.run(10 * MINUTE)
        assert "records with work are missing" in lab.status()["reasons"][0]
        assert len(lab.writes()) == before
        assert lab.cells(names[0]) == cells
    lab.run(30 * MINUTE)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]
    rename(lab, names[:1], "2.0")
    lab.run(3 * MINUTE)
    assert titled(lab, names, "2.0") == 1, "what was linked is linked still"
