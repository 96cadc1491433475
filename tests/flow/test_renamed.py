"""A repository that was renamed is called by its new name everywhere, without a restart (reliability.md BB13)."""

from datetime import timedelta
from pathlib import Path

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
