"""Two syncs over the same repositories: the mirror is one, records and evidence are each sync's own."""

from pathlib import Path
from typing import Any

from syncd.commands import world as worlds
from tests.flow import stories
from tests.flow.house import MINUTE, Lab

TRACKER = "appTRACKER0000001"
BUGS = """
[airtable.tracker]
base  = "appTRACKER0000001"
token = { env = "SYNCD_AIRTABLE_TOKEN" }

[sync.bugs]
airtable  = { base = "tracker", table = "Bugs" }
bitbucket = "acme"

[sync.bugs.link]
branch = "fix/{{ record_id }}"
title  = "[Bug: {{ record_id }}]"

[sync.bugs.fields]
"PR state"   = { bitbucket = "pr.state", owner = "bitbucket" }
"PR title"   = { bitbucket = "pr.title", owner = "bitbucket" }
"""


def add_bugs(lab: Lab) -> str:
    """A second base with one bug in it, and a second sync for it; the bug's id."""
    fields = [{"name": name, "type": "singleLineText"} for name in ("Name", "PR state", "PR title")]
    table = {"name": "Bugs", "fields": fields, "records": [{"fields": {"Name": "Crash at start"}}]}
    roles = {"syncd@acme.dev": "create", "ada@acme.dev": "owner"}
    base = lab.person("add_base", id=TRACKER, name="Tracker", tables=[table], roles=roles)
    (bug,) = base["tables"]["Bugs"]["records"]
    lab.records["Crash at start"] = bug
    return str(bug)


def with_bugs(text: str) -> str:
    """The sample spec and the second sync."""
    return text + BUGS.replace("token =", f'url = "{_airtable_url(text)}"\ntoken =')


def _airtable_url(text: str) -> str:
    line = next(line for line in text.splitlines() if line.startswith('url  = "'))
    return line.split('"')[1]


def shown(lab: Lab, name: str, base: str, *columns: str) -> tuple[Any, ...]:
    """What these columns of a record show."""
    cells = lab.person("record", record=lab.records[name], base=base)["fields"]
    return tuple(cells.get(column) for column in columns)


def bug_shows(lab: Lab) -> tuple[Any, ...]:
    """The state and title that the bug's columns show."""
    return shown(lab, "Crash at start", TRACKER, "PR state", "PR title")


def test_a_sync_that_is_added_finds_the_work_that_was_read_before(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    bug = add_bugs(lab)
    branch = lab.work("push", repository="web", branch="plain", commits=["Look\n"])["branch"]
    made = lab.work("create_pull_request", repository="web", source=branch, title=f"[Bug: {bug}] Do not crash")
    lab.run(20 * MINUTE)
    linked = lab.status()["syncs"]["features"]["linked"]
    assert lab.reload(with_bugs) == ""
    lab.adopt()
    assert bug_shows(lab) == ("OPEN", "Do not crash")
    assert lab.status()["syncs"]["features"]["linked"] == linked

    # One worker reads it for both; whichever that is, the other's record follows.
    lab.work("merge", repository="web", id=made["id"])
    lab.run(MINUTE)
    assert bug_shows(lab) == ("MERGED", "Do not crash")


def test_work_that_two_syncs_share_moves_the_records_of_both(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    bug = add_bugs(lab)
    assert lab.reload(with_bugs) == ""
    lab.adopt()
    assert bug_shows(lab) == (None, None)

    feature = lab.records["Login page"]
    branch = f"feature/{feature}-{bug}"
    lab.work("push", repository="web", branch=branch, commits=["Sign in\n"])
    made = lab.work("create_pull_request", repository="web", source=branch, title=f"[Bug: {bug}] Sign in")
    lab.run(MINUTE)
    assert bug_shows(lab) == ("OPEN", "Sign in")
    assert shown(lab, "Login page", worlds.BASE, "PR state") == ("Open",)
    lab.work("decline", repository="web", id=made["id"])
    lab.run(MINUTE)
    assert bug_shows(lab) == ("DECLINED", "Sign in")
    assert shown(lab, "Login page", worlds.BASE, "PR state") == ("Declined",)
