"""A repository that was renamed is called by its new name everywhere, without a restart (reliability.md BB13)."""

from datetime import timedelta
from pathlib import Path

import pytest

from syncd import errors
from syncd.flow import endpoints
from syncd.model.ids import SyncName
from syncd.sandbox.fault import Fault, FaultKind
from tests.flow.house import Lab


def test_a_link_with_the_new_name_of_a_repository_is_understood(tmp_path: Path) -> None:
    """Found by the simulator: until a restart the new address named no repository of the spec."""
    lab = Lab(tmp_path)
    lab.adopt()
    lab.work("rename_repository", repository="web", name="site")
    lab.control.compare("features")
    lab.run(timedelta(minutes=2))
    assert "site" in {one.slug for one in lab.crew.workers[0].context.sync.repositories}


def test_names_that_are_resolved_again_to_the_same_compare_nothing(tmp_path: Path) -> None:
    """What is gone is looked for each quarter of an hour, for weeks if need be: that must not cost a full compare each time."""
    lab = Lab(tmp_path, edit=lambda text: text.replace('"15m"', '"2d"'))
    lab.adopt()
    lab.run(timedelta(minutes=2))
    before = lab.status()["syncs"]["features"]["last_compare"]
    assert lab.reload() == ""
    lab.run(timedelta(minutes=2))
    assert lab.status()["syncs"]["features"]["last_compare"] == before


def test_a_repository_that_is_listed_again_is_no_trouble_any_more_once_it_was_compared(tmp_path: Path) -> None:
    """Found by the simulator: it was read and written for up to a quarter of an hour, and the status said that it was gone."""
    lab = Lab(tmp_path)
    lab.adopt()
    lab.work("hide_repository", repository="web")
    lab.restart()
    lab.run(timedelta(minutes=1))
    assert any("as it was last seen" in reason for reason in lab.status()["reasons"])
    lab.work("show_repository", repository="web")
    lab.control.compare("features")
    lab.run(timedelta(minutes=1))
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_a_renamed_repository_keeps_its_webhook_and_its_secret(tmp_path: Path) -> None:
    """Found by the simulator: no source named it any more, and each of its deliveries was refused with 401 for ever."""
    lab = Lab(tmp_path)
    lab.adopt()
    lab.work("rename_repository", repository="web", name="site")
    lab.control.compare("features")
    lab.run(timedelta(minutes=2))
    context = lab.crew.workers[0].context
    assert endpoints.source_of(context, "site") is not None
    assert lab.house.hook_secrets(context, "site") != []


def test_a_reload_that_met_an_unreachable_service_is_repeated_by_itself(tmp_path: Path) -> None:
    lab = Lab(tmp_path, edit=lambda text: text.replace('"15m"', '"2d"'))
    lab.adopt()
    lab.run(timedelta(minutes=2))
    lab.work("rename_repository", repository="web", name="site")
    lab.bitbucket.arm(Fault(kind=FaultKind.REFUSE, route="/2.0/repositories/acme", count=1, status=503))
    assert "cannot be resolved" in lab.reload()
    lab.run(timedelta(minutes=3))
    assert "site" in {one.slug for one in lab.house.rules.syncs[SyncName("features")].repositories}


def test_a_reload_that_met_a_state_that_could_not_be_written_is_repeated_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path, edit=lambda text: text.replace('"15m"', '"2d"'))
    lab.adopt()
    lab.run(timedelta(minutes=2))
    lab.work("rename_repository", repository="web", name="site")
    with monkeypatch.context() as full:
        full.setattr(lab.store, "save_text", _full)
        assert "cannot be written" in lab.reload()
    lab.run(timedelta(minutes=3))
    assert "site" in {one.slug for one in lab.house.rules.syncs[SyncName("features")].repositories}


def _full(*_: object) -> None:
    raise errors.StoreError("the disk is full")
