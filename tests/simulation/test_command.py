"""`syncd simulate` as users call it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from syncd import errors
from syncd.commands import main
from syncd.simulate import generate, invariants, play, setting, tell
from syncd.simulate.case import Case, Violation
from syncd.simulate.scenario import Net, Op, Scenario
from tests import shared

CONFIG = str(shared.ROOT / "config")


def test_a_spec_that_keeps_every_promise_ends_with_0() -> None:
    result = CliRunner().invoke(
        main.cli, ["simulate", "--config", CONFIG, "--scenarios", "2", "--seed", "5"], standalone_mode=False
    )
    assert result.return_value == 0, result.output
    assert "every promise was kept" in result.output


def test_it_says_in_json_what_struck() -> None:
    arguments = ["simulate", "--config", CONFIG, "--scenarios", "2", "--seed", "5", "--json"]
    told = json.loads(CliRunner().invoke(main.cli, arguments, standalone_mode=False).output)
    assert told["scenarios"] == 2
    assert told["broken"] == {}
    assert told["failed"] == []


AIRTABLE = '[airtable.{name}]\nbase = "{base}"\ntoken = {{ env = "{token}" }}\n'
BITBUCKET = """[bitbucket.{name}]
workspace = "{name}"
token = {{ env = "{token}" }}
{more}
[[bitbucket.{name}.sources]]
repositories = {repositories}
secret = {{ env = "SECRET" }}
"""
SYNC = """[sync.{name}]
airtable = {{ base = "{base}", table = "{table}"{scope} }}
bitbucket = "{bitbucket}"
{more}
[sync.{name}.link]
branch = "{name}/{{{{ record_id }}}}"
[sync.{name}.fields]
"Name" = {{ bitbucket = "pr.title", owner = "airtable" }}
"""
ACTIONS = """[sync.{name}.actions."cut"]
when = '{when}'
create_branch = {{ from = "develop" }}
[sync.{name}.actions."open"]
when = 'any(branches, ahead=true) and not any(prs)'
create_pull_request = {{ description_file = "text.md" }}
"""
MAIN = AIRTABLE.format(name="main", base="appMAIN0000000001", token="A")


def bitbucket(name: str = "acme", token: str = "B", more: str = "", repositories: str = '["web"]') -> str:
    return BITBUCKET.format(name=name, token=token, more=more, repositories=repositories)


def sync(
    name: str, table: str = "Features", base: str = "main", to: str = "acme", scope: str = "", more: str = ""
) -> str:
    return SYNC.format(name=name, base=base, table=table, bitbucket=to, scope=scope, more=more)


SPECS = {
    "fields that only a template reads": MAIN
    + bitbucket()
    + sync("a")
    + ACTIONS.format(name="a", when='record["Team"] == "Core" and record["Points"] * 2 > 3'),
    "a scope by a field that nobody else names": MAIN
    + bitbucket()
    + sync("a", scope=""", where = 'record["Due"] > "2026"' """),
    "two tables": MAIN + bitbucket() + sync("b") + sync("a", table="Bugs"),
    "two bases": MAIN
    + AIRTABLE.format(name="other", base="appOTHER000000001", token="A2")
    + bitbucket()
    + sync("a")
    + sync("b", base="other"),
    "two workspaces with a repository of one name": MAIN
    + bitbucket()
    + bitbucket("beta", "B2")
    + sync("a")
    + sync("b", table="Bugs", to="beta"),
    "one API token for two workspaces": MAIN
    + bitbucket(more='user = "bot@acme.dev"')
    + bitbucket("beta", more='user = "bot@acme.dev"')
    + sync("a")
    + sync("b", table="Bugs", to="beta"),
    "every repository": MAIN + bitbucket(repositories='"*"') + sync("a"),
    "ids for names": MAIN + bitbucket() + sync("a", table="tblABCDEFGHIJKLMN", scope=', view = "viwABCDEFGHIJKLMN" '),
    "a sync that only shows": MAIN + bitbucket() + sync("a", more='mode = "plan"'),
    "attributes of every kind": MAIN
    + bitbucket()
    + sync("a")
    + "".join(
        f'"{name}" = {{ bitbucket = "{name}", owner = "bitbucket" }}\n'
        for name in ("pr.approved_by", "branch.target_commit", "commit.hash", "deployment.commit", "build.updated_on")
    ),
}


def _written(folder: Path, text: str) -> str:
    (folder / "text.md").write_text('{{ record["Acceptance"] }} {{ record["Kind"] | slug }}')
    (folder / "spec.toml").write_text(f"version = 1\n{text}", encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize("text", SPECS.values(), ids=SPECS)
def test_every_valid_spec_can_be_lived(text: str, tmp_path: Path) -> None:
    arguments = ["simulate", "--config", _written(tmp_path, text), "--scenarios", "1", "--seed", "7"]
    result = CliRunner().invoke(main.cli, arguments, standalone_mode=False)
    assert result.return_value == 0, result.output


def test_people_act_in_every_sync(tmp_path: Path) -> None:
    there = setting.Setting(Path(_written(tmp_path, SPECS["two bases"])))
    told = set()
    for seed in range(1, 40):
        for op in generate.scenario(there, seed).ops:
            if op.verb == "edit":
                told.add(op.arguments.get("sync", 0))
    assert told == {0, 1}


def test_people_fill_in_what_a_condition_reads(tmp_path: Path) -> None:
    there = setting.Setting(Path(_written(tmp_path, SPECS["fields that only a template reads"])))
    assert there.filled_in(there.spec("", Net.ALL), "a") == {
        "Acceptance": ("Some words", ""),
        "Kind": ("Some words", ""),
        "Points": (3.0, 2.0, 1.0),
        "Team": ("Core", "Something else"),
    }


def test_a_field_computed_from_what_syncd_wrote_follows_it(tmp_path: Path) -> None:
    """Found by living another spec than the sample: the record kept the title from before until something else moved (I01)."""
    computed = '"Shown" = { value = \'pr.title if any(prs) else "none"\' }\n'
    there = setting.Setting(Path(_written(tmp_path, MAIN + bitbucket() + sync("a") + computed)))
    op = Op(at_s=90, verb="edit", arguments={"record": 3, "cells": {"Name": "Another title"}})
    assert play.play(there, Scenario(ops=(op,), minutes=3)).violations == []


def test_one_access_token_for_two_workspaces_is_refused(tmp_path: Path) -> None:
    text = MAIN + bitbucket() + bitbucket("beta") + sync("a") + sync("b", table="Bugs", to="beta")
    with pytest.raises(errors.UsageError, match="reaches one workspace"):
        CliRunner().invoke(
            main.cli,
            ["simulate", "--config", _written(tmp_path, text), "--scenarios", "1"],
            standalone_mode=False,
            catch_exceptions=False,
        )


def test_a_name_that_no_record_makes_a_branch_of_is_a_problem_of_the_spec(tmp_path: Path) -> None:
    """Without `slug` a title with a blank makes no branch: the start says so, and so does the simulation."""
    text = (MAIN + bitbucket() + sync("a")).replace("a/{{ record_id }}", "a/{{ record_id }}-{{ name }}")
    with pytest.raises(errors.SpecError):
        CliRunner().invoke(
            main.cli,
            ["simulate", "--config", _written(tmp_path, text), "--scenarios", "1"],
            standalone_mode=False,
            catch_exceptions=False,
        )


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"unknown": 1}',
        '{"variant": "nobody knows it"}',
        '{"minutes": "3"}',
        '{"ops": [{"at_s": 1, "verb": "fly"}]}',
        '{"ops": [{"at_s": "soon", "verb": "edit"}]}',
        '{"troubles": [{"fault": "AT01", "kind": "magic"}]}',
        '{"troubles": [{"fault": "AT01", "kind": "refuse", "route": "("}]}',
        '{"troubles": [{"fault": "AT01", "kind": "refuse", "more": {"strength": 3}}]}',
    ],
)
def test_a_file_that_is_no_scenario_is_told_so(text: str, tmp_path: Path) -> None:
    file = tmp_path / "scenario.json"
    file.write_text(text)
    with pytest.raises(errors.UsageError, match="no scenario that can be played"):
        CliRunner().invoke(
            main.cli,
            ["simulate", "--config", CONFIG, "--replay", str(file)],
            standalone_mode=False,
            catch_exceptions=False,
        )


def test_a_mistake_of_the_simulator_is_no_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumbles(*_: object, **__: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(play, "gather", stumbles)
    result = CliRunner().invoke(
        main.cli, ["simulate", "--config", CONFIG, "--scenarios", "1"], standalone_mode=False, catch_exceptions=False
    )
    assert result.return_value == 3
    assert "the simulation itself failed: RuntimeError: out of order" in result.stderr
    assert "--scenarios 1 --seed 1" in result.stderr


def test_a_failure_is_shrunk_told_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def judged(case: Case) -> list[Violation]:
        edits = [at for at, verb, _, done in case.evidence.told if verb == "edit" and done]
        return [Violation(invariant="I10", text="two of rec00000000000000", at=at) for at in edits[:1]]

    monkeypatch.setattr(invariants, "judge", judged)
    arguments = ["simulate", "--config", CONFIG, "--scenarios", "4", "--keep", str(tmp_path)]
    result = CliRunner().invoke(main.cli, arguments, standalone_mode=False, catch_exceptions=False)
    assert result.return_value == 1
    assert "1. A promise was broken: nothing is made twice (I10)." in result.output
    assert "The smallest case: 1 event in" in result.output
    kept = min(tmp_path.iterdir())
    assert f"--replay {kept}" in result.output
    again = CliRunner().invoke(
        main.cli,
        ["simulate", "--config", CONFIG, "--replay", str(kept), "--json", "--keep", str(tmp_path / "more")],
        standalone_mode=False,
    )
    told = json.loads(again.output)
    assert told["broken"] == {"I10": 1}
    assert Path(told["failed"][0]["kept"]).exists()


def test_a_failure_is_told_as_a_timeline(home: setting.Setting) -> None:
    ops = (
        Op(at_s=10, verb="edit", arguments={"record": 0, "cells": {"Status": "Ready"}, "user": "ada"}),
        Op(at_s=40, verb="merge", arguments={"pull_request": 0}),
        Op(at_s=50, verb="token", arguments={"service": "bitbucket", "valid": False}),
        Op(at_s=55, verb="merge", arguments={"pull_request": 0}),
    )
    played = play.play(home, Scenario(ops=ops, minutes=2), keep=True)
    assert played.case is not None
    case = played.case
    record = next(effect.change.object for effect in case.effects if effect.change.kind == "record")
    status = next(sync.status.field.id for sync in case.syncs() if sync.status is not None)
    broken = Violation(invariant="I10", text=f"{record} {status} has two branches", at=case.marks["healed"])
    story = tell.story(case, [broken], width=1000)
    assert "0:10  Ada changes Status of “Login page” from “Planned” to “Ready”" in story
    assert "syncd makes the branch of “Login page” in web" in story
    assert "0:40  Grace merges pull request web#2 of “Rate limits”" in story
    assert "0:50  the token for Bitbucket is revoked" in story
    assert "0:55" not in story, "what the world refused is no act"
    assert "✗ “Login page” Status has two branches" in story
    assert tell.verdict([broken], case) == "I10 (nothing is made twice): “Login page” Status has two branches"


def test_a_line_is_no_longer_than_the_terminal(home: setting.Setting) -> None:
    op = Op(at_s=10, verb="edit", arguments={"record": 0, "cells": {"Details": "word " * 50}, "user": "ada"})
    played = play.play(home, Scenario(ops=(op,), minutes=2), keep=True)
    assert played.case is not None
    assert max(map(len, tell.story(played.case, [], width=60).splitlines())) <= 60
