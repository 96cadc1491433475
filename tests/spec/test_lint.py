"""Warnings, and what is allowed; errors are in `test_broken`."""

from pathlib import Path

import pytest

from tests.spec import world

STATUS = """[sync.features.status]
field = "Status"
states = ["Planned", "Ready", "Merged"]
initial = "Planned"
transitions = [
"""
DOWN = "{ from = 'Planned', to = 'Ready', owner = 'airtable' },\n"


def warnings(folder: Path, text: str) -> list[tuple[str, str]]:
    spec = world.loaded(folder, world.HEAD + world.SYNC + text)
    return [(found.key.removeprefix("sync.features."), found.expected) for found in spec.warnings]


@pytest.mark.parametrize(
    ("edges", "told"),
    [
        pytest.param(DOWN, "a path of transitions", id="unreachable state"),
        pytest.param(
            DOWN
            + "{ from = 'Ready', to = 'Merged', owner = 'bitbucket', when = 'any(prs)' },\n"
            + "{ from = 'Merged', to = 'Ready', owner = 'release', when = 'any(builds)' },\n",
            "form a circle through",
            id="circle of two",
        ),
        pytest.param(
            "{ from = 'Planned', to = 'Ready', owner = 'bitbucket', when = 'any(prs)' },\n"
            + "{ from = 'Ready', to = 'Merged', owner = 'bitbucket', when = 'any(prs)' },\n"
            + "{ from = ['Merged', 'Ready'], to = 'Planned', owner = 'bitbucket', when = 'any(builds) and any(prs) or not any(prs)' },\n",
            "form a circle through",
            id="circle of three with or",
        ),
    ],
)
def test_a_status_machine_that_looks_wrong_is_warned_about(tmp_path: Path, edges: str, told: str) -> None:
    assert any(told in expected for _, expected in warnings(tmp_path, STATUS + edges + "]\n"))


@pytest.mark.parametrize(
    "edges",
    [
        pytest.param(
            DOWN
            + "{ from = 'Ready', to = 'Merged', owner = 'bitbucket', when = 'any(prs, state=\"MERGED\")' },\n"
            + "{ from = 'Merged', to = 'Ready', owner = 'bitbucket', when = 'any(prs) and not any(prs,state=\"MERGED\")' },\n",
            id="one denies what the other demands",
        ),
        pytest.param(
            DOWN
            + "{ from = 'Ready', to = 'Merged', owner = 'bitbucket', when = 'any(prs)' },\n"
            + "{ from = 'Merged', to = 'Ready', owner = 'airtable' },\n"
            + "{ from = 'Merged', to = 'Planned', owner = 'release' },\n",
            id="people take part in the circle",
        ),
    ],
)
def test_a_circle_that_cannot_run_by_itself_is_fine(tmp_path: Path, edges: str) -> None:
    assert warnings(tmp_path, STATUS + edges + "]\n") == []


@pytest.mark.parametrize(
    ("text", "key", "told"),
    [
        pytest.param(
            '[sync.features.fields]\n"Build" = { bitbucket = "build.state", owner = "bitbucket" }\n'
            '"Confidence" = { value = \'1 if record["Build"] else 0\' }\n',
            'fields."Confidence".value',
            '"Build" is one',
            id="a value that reads a field syncd writes",
        ),
        pytest.param(
            STATUS
            + "{ from = ['Planned', 'Ready'], to = 'Merged', owner = 'airtable', when = 'record[\"Sync note\"]' },\n"
            "{ from = 'Planned', to = 'Ready', owner = 'airtable' },\n]\n[sync.features.record]\nnote = \"Sync note\"\n",
            "status.transitions[0].when",
            "a transition to read no field that syncd writes",
            id="a transition that reads the note",
        ),
        pytest.param(
            '[sync.features.fields]\n"PR state" = { bitbucket = "pr.state", owner = "bitbucket", map = { OPEN = "Open" } }\n',
            'fields."PR state".map',
            "missing: MERGED, DECLINED, SUPERSEDED",
            id="a map with holes",
        ),
        pytest.param('[daemon]\nrepair_within = "5m"\n', "daemon.repair_within", "no less than", id="hasty repair"),
    ],
)
def test_what_is_allowed_and_looks_wrong_is_a_warning(tmp_path: Path, text: str, key: str, told: str) -> None:
    found = warnings(tmp_path, text)
    assert [one for one, _ in found] == [key]
    assert told in found[0][1]


def test_a_scope_that_reads_what_syncd_writes_is_warned_about(tmp_path: Path) -> None:
    text = (world.HEAD + world.SYNC).replace('table = "Features"', 'table = "Features", where = \'status != "Ready"\'')
    states = STATUS.replace(', "Merged"', "") + DOWN + "]\n"
    (problem,) = world.loaded(tmp_path, text + states).warnings
    assert "the scope to read no field that syncd writes" in problem.expected


def test_retired_events_are_warned_about_and_not_asked_for(tmp_path: Path) -> None:
    text = world.HEAD.replace('repositories = ["web"]', 'repositories = ["web"]\nevents = ["push", "issue:created"]')
    spec = world.loaded(tmp_path, text + world.SYNC)
    assert "removed its issue tracker" in spec.warnings[0].expected
    assert world.resolved(spec).rules.bitbucket["acme"].sources[0].events == ("repo:push",)


def test_two_syncs_may_share_a_table_when_their_records_differ(tmp_path: Path) -> None:
    columns = '[sync.features.record]\nrun_id = "Sync run"\n'
    other = (
        (world.SYNC + columns).replace("sync.features", "sync.bugs").replace('"Features"', '"Features", view = "Bugs"')
    )
    (problem,) = world.loaded(tmp_path, world.HEAD + world.SYNC + columns + other).warnings
    assert problem.warning
    assert "no record may be in both" in problem.expected
