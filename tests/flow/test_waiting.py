"""Records that wait are looked at again when what they wait for is known, and not at every read."""

from pathlib import Path

from tests.flow.house import MINUTE, Lab


def test_a_read_that_changes_nothing_for_them_leaves_pending_records_alone(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.adopt()
    lab.work("hide_repository", repository="web")
    lab.control.compare("features")
    lab.run(MINUTE)
    assert lab.status()["syncs"]["features"]["pending"] > 0, "what another repository may hold is not known"
    lab.work("push", repository="api", branch="tidy-up", commits=["Tidy up\n"], user="grace")
    number = lab.work("create_pull_request", repository="api", source="tidy-up", title="Tidy up", user="grace")["id"]
    lab.run(20 * MINUTE)
    before = lab.requests()["airtable"]
    for _ in range(5):
        lab.work("comment", repository="api", id=number, text="look")
        lab.run(MINUTE)
    spent = lab.requests()["airtable"] - before
    assert spent <= 5, "a poll or a compare may fall into this time, nothing else"


def test_a_record_edited_while_a_repository_is_away_is_carried_out_when_it_is_back(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.adopt()
    lab.work("hide_repository", repository="web")
    lab.control.compare("features")
    lab.run(MINUTE)
    lab.edit("Login page", Status="Ready")
    lab.run(2 * MINUTE)
    assert lab.branches("Login page") == []
    lab.work("show_repository", repository="web")
    # The read that is tried again after the failure, not the next compare.
    lab.run(4 * MINUTE)
    assert len(lab.branches("Login page")) == 1
