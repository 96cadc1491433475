import json
import signal
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from syncd.commands import world
from syncd.sandbox.airtable.machine import AirtableMachine
from syncd.sandbox.bitbucket.machine import BitbucketMachine

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def _made() -> tuple[AirtableMachine, BitbucketMachine, world.World]:
    airtable, bitbucket = AirtableMachine(7), BitbucketMachine(7)
    return airtable, bitbucket, world.features_world(airtable, bitbucket, NOW)


def test_the_world_is_the_same_for_the_same_seed() -> None:
    assert _made()[2] == _made()[2]


def test_the_world_has_a_feature_in_every_stage_of_work() -> None:
    _, bitbucket, made = _made()
    found = {
        name: bitbucket.control("pull_request", {"repository": repository, "id": number}, NOW)
        for name, (repository, number) in made.pull_requests.items()
    }
    assert {name: (pr["state"], pr["draft"]) for name, pr in found.items()} == {
        "Rate limits": ("OPEN", True),
        "Audit log": ("OPEN", False),
        "Dark mode": ("MERGED", False),
    }
    assert found["Audit log"]["statuses"] == {"ci": "SUCCESSFUL"}
    assert all(made.records[name] in pr["title"] for name, pr in found.items())
    assert set(made.records) - set(found) == {"Login page", "Password reset"}


@pytest.fixture
def sandbox(tmp_path: Path) -> Any:
    """A running `syncd sandbox`, what it printed, and the overlay that it wrote."""
    overlay = tmp_path / "sandbox.toml"
    program = "from syncd.commands.main import main; main()"
    arguments = ["sandbox", "--port-airtable", "0", "--port-bitbucket", "0", "--json", "--overlay", str(overlay)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        while lines[-1] != "}\n":
            lines.append(process.stdout.readline())
            assert lines[-1], "the sandbox ended"
        yield process, json.loads("".join(lines)), overlay
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, "")


def _get(url: str, token: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def test_the_sandbox_answers_as_both_services_and_ends_on_a_signal(sandbox: Any) -> None:
    _, told, overlay = sandbox
    airtable, bitbucket = told["airtable"], told["bitbucket"]
    listed = _get(f"{airtable['url']}/v0/{airtable['base']}/{airtable['table']}", airtable["token"])
    assert {row["fields"]["Name"] for row in listed["records"]} == set(told["records"])
    found = _get(f"{bitbucket['url']}/repositories/{bitbucket['workspace']}", bitbucket["token"])
    assert sorted(one["slug"] for one in found["values"]) == ["api", "web"]
    assert airtable["url"] in overlay.read_text()
    assert bitbucket["url"] in overlay.read_text()
    edit = {"record": told["records"]["Login page"], "cells": {"Status": "Ready"}}
    request = urllib.request.Request(f"{airtable['url']}/_sandbox/edit", data=json.dumps(edit).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
