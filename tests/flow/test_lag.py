"""A list that lags behind an event is not believed instead of it (reliability.md BB27, I16)."""

from datetime import timedelta
from pathlib import Path

from syncd.sandbox.choices import Choices, ListLag
from tests.flow.house import Lab


def test_a_branch_that_a_full_compare_does_not_see_yet_is_read_by_its_event(tmp_path: Path) -> None:
    """Found by the simulator with deliveries as the only net: the compare's list answered the event, and showed nothing."""
    lab = Lab(tmp_path, choices=Choices(list_lag=ListLag.UP_TO_30_S), edit=lambda text: text.replace('"15m"', '"2d"'))
    lab.adopt()
    lab.run(timedelta(minutes=2))
    record = lab.records["Login page"]
    branch = f"feature/{record}-by-hand"
    lab.work("push", repository="web", branch=branch, commits=["Begin\n"])
    lab.crew.workers[0].want_compare()
    lab.run(timedelta(minutes=2))
    known = [one for id in lab.crew.workers[0].context.repository_ids for one in lab.store.load_branches(id)]
    assert branch in {one.name for one in known}


def test_a_branch_that_a_list_does_not_show_yet_is_not_gone(tmp_path: Path) -> None:
    """Found by the simulator: made, read singly, and gone again with a restart's compare two seconds later, until the next one."""
    lab = Lab(tmp_path, choices=Choices(list_lag=ListLag.UP_TO_30_S), edit=lambda text: text.replace('"15m"', '"2d"'))
    lab.adopt()
    lab.run(timedelta(minutes=2))
    lab.edit("Login page", Status="Ready")
    lab.run(timedelta(seconds=8))
    assert len(lab.branches("Login page")) == 1
    lab.restart()
    lab.run(timedelta(minutes=2))
    assert [row["after"] for row in lab.journal() if row["place"] == "Sync note" and "is gone" in row["after"]] == []
