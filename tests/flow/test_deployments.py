"""Deployments have no event: every read of a repository looks for new ones, and only a full compare lists them all."""

from pathlib import Path

from tests.flow import stories
from tests.flow.house import MINUTE, Lab


def status(lab: Lab) -> str:
    """The Status of the merged feature."""
    return str(lab.cells("Dark mode")["Status"])


def deploy(lab: Lab, state: str | None = None, **more: str) -> str:
    """Deploy the main branch of `web`, where the feature was merged; the deployment's id."""
    ended = {} if state is None else {"status": state}
    made = lab.work("deploy", repository="web", environment="Production", commit="main", **ended, **more)
    return str(made["uuid"])


def at_rest(folder: Path) -> Lab:
    """A lab without hooks, between two full compares: what is seen now, a poll saw."""
    lab = Lab(folder, hooks=False)
    stories.adopted(lab, 5 * MINUTE)
    assert status(lab) == "Merged"
    return lab


def test_a_deployment_is_seen_by_the_next_poll(tmp_path: Path) -> None:
    lab = at_rest(tmp_path)
    deploy(lab, "SUCCESSFUL")
    lab.run(4 * MINUTE)
    assert status(lab) == "Released"


def test_one_that_ends_behind_a_page_of_finished_ones_is_seen_too(tmp_path: Path) -> None:
    """The list is newest first, by when they started, and a hundred to a page."""
    lab = at_rest(tmp_path)
    slow = deploy(lab)
    lab.run(MINUTE)
    for _ in range(101):
        deploy(lab, "FAILED")
    lab.run(6 * MINUTE)
    assert status(lab) == "Merged"
    lab.work("finish_deployment", repository="web", uuid=slow)
    lab.run(4 * MINUTE)
    assert status(lab) == "Released"


def test_what_was_deployed_before_it_was_linked_counts(tmp_path: Path) -> None:
    lab = Lab(tmp_path, hooks=False)
    deploy(lab, "SUCCESSFUL")
    stories.adopted(lab, 5 * MINUTE)
    assert status(lab) == "Released"
