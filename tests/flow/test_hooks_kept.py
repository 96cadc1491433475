"""Webhooks of many repositories: what one of them refuses takes nothing from the others (BB11, I22)."""

from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest

from syncd import errors
from syncd.flow import endpoints
from syncd.sandbox.fault import Fault, FaultKind
from tests.flow.house import MINUTE, REPOSITORIES, Lab


def _refuse_hooks(lab: Lab, repository: str) -> None:
    uuid = quote(lab.work("repository", repository=repository)["uuid"], safe="")
    lab.bitbucket.arm(Fault(kind=FaultKind.REFUSE, route=f"{uuid}/hooks", count=None, status=403))


def _looks_at_hooks(lab: Lab) -> int:
    return sum("/hooks" in entry.path for entry in lab.bitbucket.inner.log if entry.method == "GET")


@pytest.mark.parametrize("refusing", REPOSITORIES)
def test_a_repository_whose_hooks_are_refused_does_not_cost_the_others_their_deliveries(
    tmp_path: Path, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path)
    _refuse_hooks(lab, refusing)
    answered: Counter[int] = Counter()
    receive = lab._receive

    def counted(provider: str, delivery: object) -> int:
        status = receive(provider, delivery)  # type: ignore[arg-type]
        answered[status] += 1
        return status

    monkeypatch.setattr(lab, "_receive", counted)
    lab.adopt()
    (other,) = set(REPOSITORIES) - {refusing}
    number = next(number for repository, number in lab.world.pull_requests.values() if repository == other)
    lab.edit("Login page", Status="Ready")
    lab.work("comment", repository=other, id=number, text="x", user="ada")
    lab.run(5 * MINUTE)
    assert answered[200]
    assert set(answered) == {200}
    reasons = lab.status()["reasons"]
    assert any("keeping the webhooks" in one and refusing in one for one in reasons), reasons
    asked = _looks_at_hooks(lab)
    lab.run(60 * MINUTE)
    assert _looks_at_hooks(lab) - asked < 20, "what stays refused is asked for ever more rarely, and it alone"
    lab.bitbucket.control("clear_faults", {}, lab.clock.now())
    lab.run(20 * MINUTE)
    assert lab.status()["state"] == "ok"


def test_a_missing_hook_secret_is_told_and_stops_nothing_else(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    secret = lab.outside.environment["SYNCD_HOOK_SECRET"]
    environment = dict(lab.outside.environment)
    del environment["SYNCD_HOOK_SECRET"]
    object.__setattr__(lab.outside, "environment", environment)
    lab.adopt()
    lab.edit("Rate limits", Name="Rates")
    lab.run(3 * MINUTE)
    assert lab.pull_request("api", 1)["title"].endswith("] Rates")
    assert any("SYNCD_HOOK_SECRET is not set" in one for one in lab.status()["reasons"])
    environment["SYNCD_HOOK_SECRET"] = secret
    lab.run(20 * MINUTE)
    assert lab.status()["state"] == "ok"


def test_pings_that_were_switched_off_are_switched_on_again_on_the_same_hook(tmp_path: Path) -> None:
    """AW03. Its payloads are all there: nothing is lost, and nothing is compared for it."""
    lab = Lab(tmp_path)
    lab.adopt()
    (hook,) = lab.airtable.inner.world.bases[lab.world.base].hooks.values()  # type: ignore[attr-defined]  # the machine's own truth
    hook.notifies = False
    lab.run(70 * MINUTE)
    assert hook.notifies
    assert list(lab.airtable.inner.world.bases[lab.world.base].hooks.values()) == [hook]  # type: ignore[attr-defined]
    lab.edit("Rate limits", Name="Rates")
    lab.run(MINUTE)
    assert lab.pull_request("api", 1)["title"].endswith("] Rates")


@pytest.mark.parametrize(
    ("statuses", "each_minute"), [((401,), True), ((401, 401), True), ((401, 403), False), ((403,), False)]
)
def test_a_refused_credential_is_tried_each_minute_and_a_forbidden_place_is_not(
    statuses: tuple[int, ...], each_minute: bool
) -> None:
    """AT12, BB11."""
    problems = {
        f"place {number}": errors.Unauthorised("no", service="airtable", request="GET /x", status=status)
        for number, status in enumerate(statuses)
    }
    problem = endpoints.Ensured(missed=False, problems=problems).problem
    assert isinstance(problem, errors.Unauthorised) is each_minute
    assert "place 0: no" in str(problem)
