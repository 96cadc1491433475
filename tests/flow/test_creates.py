"""Branches and pull requests that syncd makes: looked for before, looked up after, never made twice or taken from others."""

from pathlib import Path

from tests.flow.house import MINUTE, Lab


def started(folder: Path) -> tuple[Lab, str, str]:
    """A lab with a record that has a branch: its repository and name."""
    lab = Lab(folder)
    lab.adopt()
    lab.edit("Login page", Status="Ready")
    lab.run(2 * MINUTE)
    ((repository, branch),) = lab.branches("Login page")
    return lab, repository, branch


def test_a_pull_request_from_a_fork_is_not_taken_for_the_records_own(tmp_path: Path) -> None:
    lab, repository, branch = started(tmp_path)
    lab.work("fork", repository=repository, name="contrib")
    lab.work("push", repository="contrib", branch=branch, commits=["Theirs\n"], user="grace")
    foreign = lab.work(
        "create_pull_request", repository=repository, source=branch, fork="contrib", title="Contribution", user="grace"
    )["id"]
    lab.run(3 * MINUTE)
    lab.work("push", repository=repository, branch=branch, commits=["Sign in\n"], user="grace")
    lab.run(5 * MINUTE)
    assert lab.pull_request(repository, foreign)["title"] == "Contribution"
    own = [one for _, one in lab.pull_requests("Login page") if one["id"] != foreign]
    assert [one["title"] for one in own] == [f"[Airtable: {lab.records['Login page']}] Login page"]
    assert lab.cells("Login page")["PR URL"].endswith(f"/{own[0]['id']}")
