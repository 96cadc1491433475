"""What the guards refuse: nothing of it happens, nothing else stops for ever, and a person's word lets exactly that pass."""

from pathlib import Path

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
