"""Files, directories, overlays, hashes; what is wrong with them is in `test_broken`."""

from pathlib import Path

import pytest

from syncd import errors
from syncd.spec import load
from tests.spec import world

SPLIT = {
    "connections.toml": world.HEAD,
    "features.toml": f"version = 1\n{world.SYNC}",
    "bugs.toml": f"version = 1\n{world.SYNC}".replace("features", "bugs").replace("Features", "Bugs"),
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def problems(path: Path, environment: str = "") -> tuple[errors.Problem, ...]:
    with pytest.raises(errors.SpecError) as caught:
        load.load(path, environment)
    return caught.value.problems


def test_the_example_spec_loads_without_a_warning() -> None:
    spec = load.load(world.ROOT / "config")
    assert spec.warnings == ()
    assert spec.templates["features", "open the draft"].record_fields == {"Details"}
    assert load.load(world.ROOT / "config/syncd.toml").hash == spec.hash


def test_the_files_of_a_directory_are_one_spec(tmp_path: Path) -> None:
    spec = load.load(write(tmp_path, SPLIT))
    assert list(spec.file.sync) == ["bugs", "features"]
    assert spec.folder == tmp_path
    found = spec.document.problem(("sync", "bugs", "airtable", "table"), "")
    assert (found.file, found.line, found.got) == (str(tmp_path / "bugs.toml"), 3, '"Bugs"')


def test_a_lock_file_is_no_part_of_the_spec(tmp_path: Path) -> None:
    write(tmp_path, {**SPLIT, "syncd.lock.toml": "generated = true"})
    assert len(load.load(tmp_path).file.sync) == 2


def test_the_hash_changes_with_the_meaning_and_not_with_comments(tmp_path: Path) -> None:
    before = load.load(write(tmp_path, SPLIT)).hash
    write(tmp_path, {"bugs.toml": "# a comment\n" + SPLIT["bugs.toml"]})
    assert load.load(tmp_path).hash == before
    write(tmp_path, {"bugs.toml": SPLIT["bugs.toml"].replace("Bugs", "Errors")})
    assert load.load(tmp_path).hash != before


def test_the_hash_covers_templates(tmp_path: Path) -> None:
    action = (
        '[sync.features.actions."pr"]\nwhen = "any(branches)"\ncreate_pull_request = { description_file = "pr.md" }\n'
    )
    write(tmp_path, {"syncd.toml": world.HEAD + world.SYNC + action, "pr.md": "one"})
    before = load.load(tmp_path).hash
    write(tmp_path, {"pr.md": "two"})
    assert load.load(tmp_path).hash != before


OVERLAY = """[airtable.roadmap]
base = "appSTAGE000000001"
token = { file = "stage-token" }
url = "http://127.0.0.1:9001"
[[bitbucket.acme.sources]]
repositories = ["stage"]
secret = { env = "STAGE_SECRET" }
[sync.features.airtable]
table = "Stage"
"""


def test_an_overlay_changes_connections_tables_and_secrets(tmp_path: Path) -> None:
    write(tmp_path, {**SPLIT, "stage.toml": OVERLAY})
    plain, stage = load.load(tmp_path), load.load(tmp_path, "stage")
    assert plain.file.airtable["roadmap"].base == "appROADMAP0000001"
    assert stage.file.airtable["roadmap"].base == "appSTAGE000000001"
    assert stage.file.airtable["roadmap"].token == ("file", "stage-token")
    assert stage.file.bitbucket["acme"].sources[0].repositories == ["stage"]
    assert (stage.file.sync["features"].airtable.table, stage.file.sync["bugs"].airtable.table) == ("Stage", "Bugs")
    assert stage.hash != plain.hash
    found = stage.document.problem(("sync", "features", "airtable", "table"), "")
    assert found.file == str(tmp_path / "stage.toml")


def test_the_overlay_of_another_environment_changes_nothing(tmp_path: Path) -> None:
    before = load.load(write(tmp_path, SPLIT)).hash
    spec = load.load(write(tmp_path, {"stage.toml": OVERLAY}))
    assert spec.hash == before
    assert spec.document.overlays == (str(tmp_path / "stage.toml"),)


def test_a_missing_overlay_is_told_with_those_that_exist(tmp_path: Path) -> None:
    write(tmp_path, {**SPLIT, "stage.toml": OVERLAY})
    (problem,) = problems(tmp_path, "stag")
    assert 'Did you mean "stage"?' in problem.expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("# " + "x" * 70_000, "at most 64 KiB", id="too large"),
        pytest.param(".".join(["a"] * 20_000) + " = 1", "at most 16 levels", id="dotted key"),
        pytest.param("a = " + "[" * 30_000, "at most 16 levels", id="nested arrays"),
        pytest.param("\ufeffversion = 1\nx = {", "valid TOML", id="byte order mark"),
        pytest.param("a = [\n" * 10 + "1", "valid TOML", id="end of document"),
    ],
)
def test_a_bomb_is_one_problem(tmp_path: Path, text: str, told: str) -> None:
    write(tmp_path, {"syncd.toml": text})
    (problem,) = problems(tmp_path / "syncd.toml")
    assert told in problem.expected


def test_a_missing_file_is_told_with_the_next_step(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / "none.toml")
    assert "syncd init" in problem.expected


def test_problems_of_all_kinds_and_places_are_told_at_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a.toml": world.HEAD.replace('"acme"', "7"),
            "b.toml": f"version = 1\n{world.SYNC}quiet = 1\n[sync.features.fields]\nA = {{ bitbucket = 'pr.titel', owner = 'airtable' }}\n",
            "c.toml": "not toml",
        },
    )
    assert [(Path(found.file).name, found.key) for found in problems(tmp_path)] == [
        ("a.toml", "bitbucket.acme.workspace"),
        ("b.toml", "sync.features.link.quiet"),
        ("b.toml", 'sync.features.fields."A".bitbucket'),
        ("c.toml", ""),
    ]


def test_only_the_words_of_the_contract_are_keys(tmp_path: Path) -> None:
    """Our own names for `from` and `to` must not become a second language."""
    edge = '{ sources = "Planned", target = "Ready", owner = "airtable" }'
    status = f'[sync.features.status]\nfield = "S"\nstates = ["Planned", "Ready"]\ninitial = "Planned"\ntransitions = [{edge}]\n'
    write(tmp_path, {"syncd.toml": world.HEAD + world.SYNC + status})
    keys = {found.key.rpartition(".")[2] for found in problems(tmp_path)}
    assert keys == {"from", "to", "sources", "target"}
