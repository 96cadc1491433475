"""The kill switch is asked last, in the transport: within two seconds nothing changing leaves, whoever sends it (I20)."""

from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.wire import Request
from tests.flow import stories
from tests.flow.house import MINUTE, Lab


def changing(lab: Lab) -> list[tuple[str, str]]:
    """Every changing request that a service saw, webhooks too."""
    return [
        (entry.method, entry.path)
        for machine in (lab.airtable, lab.bitbucket)
        for entry in machine.inner.log
        if entry.method in {"PUT", "POST", "PATCH", "DELETE"} and not entry.path.endswith("/listRecords")
    ]


def paused_while_reading(lab: Lab, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """A person stops everything while one slow read is under way that a write waits for."""
    handle = lab.bitbucket.inner.handle
    slowed: list[str] = []

    def slow(request: Request, *rest: Any) -> Any:
        if request.method == "GET" and request.path.endswith(ending) and not slowed:
            slowed.append(request.path)
            lab.control.pause("all", "stop")
            lab.clock.wait(20)
        return handle(request, *rest)

    monkeypatch.setattr(lab.bitbucket.inner, "handle", slow)


@pytest.mark.parametrize("what", ["attributes", "branch"])
def test_nothing_is_sent_when_the_switch_is_thrown_between_the_look_and_the_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    lab = Lab(tmp_path)
    stories.adopted(lab)
    if what == "attributes":
        lab.edit("Rate limits", Name="Rates")
        paused_while_reading(lab, monkeypatch, "/pullrequests/1")
    else:
        lab.edit("Login page", Status="Ready")
        paused_while_reading(lab, monkeypatch, "/refs/branches")
    before = changing(lab)
    lab.run(10 * MINUTE)
    assert lab.status()["state"] == "paused"
    late = changing(lab)[len(before) :]
    # What was sent before the slow read may be among them: nothing of the kind that waited is.
    assert not [path for method, path in late if method == "PUT" or path.endswith("/refs/branches")]
    told = [row["error"] for row in lab.journal() if row["error"]]
    assert told == ["paused: stop; nothing was sent"]
    lab.control.resume("all")
    lab.run(10 * MINUTE)
    assert lab.pull_request("api", 1)["title"].endswith("] Rates" if what == "attributes" else "] Rate limits")
    assert len(lab.branches("Login page")) == (0 if what == "attributes" else 1)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


@pytest.mark.parametrize("scopes", [("all",), ("sync.features",), ("to-airtable", "to-bitbucket")])
def test_no_webhook_is_registered_while_paused_and_all_are_soon_after(tmp_path: Path, scopes: tuple[str, ...]) -> None:
    lab = Lab(tmp_path)
    for scope in scopes:
        lab.control.pause(scope, "not yet")
    lab.run(5 * MINUTE)
    assert changing(lab) == []
    assert not any("webhook" in reason and "cannot" in reason for reason in lab.status()["reasons"])
    for scope in scopes:
        lab.control.resume(scope)
    lab.run(2 * MINUTE)
    assert len([path for method, path in changing(lab) if method == "POST"]) == 3
