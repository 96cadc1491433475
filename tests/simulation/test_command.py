"""`syncd simulate` as users call it."""

import json
from pathlib import Path

from click.testing import CliRunner

from syncd.commands import main
from syncd.simulate import play, setting, tell
from syncd.simulate.case import Violation
from syncd.simulate.scenario import Op, Scenario
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


def test_a_world_is_made_for_another_spec(tmp_path: Path) -> None:
    text = (shared.ROOT / "config" / "syncd.toml").read_text(encoding="utf-8")
    (tmp_path / "templates").mkdir()
    for template in (shared.ROOT / "config" / "templates").iterdir():
        (tmp_path / "templates" / template.name).write_text(template.read_text())
    text = (
        text.replace("Features", "Tasks")
        .replace('"Status"', '"Stage"')
        .replace("acme", "umbrella")
        .replace('"web"', '"site"')
    )
    (tmp_path / "syncd.toml").write_text(text, encoding="utf-8")
    arguments = ["simulate", "--config", str(tmp_path), "--scenarios", "1", "--seed", "5"]
    result = CliRunner().invoke(main.cli, arguments, standalone_mode=False)
    assert result.return_value == 0, result.output


def test_a_failure_is_told_as_a_timeline(home: setting.Setting) -> None:
    op = Op(at_s=10, verb="edit", arguments={"record": 0, "cells": {"Status": "Ready"}, "user": "ada"})
    played = play.play(home, Scenario(ops=(op,), minutes=2), keep=True)
    assert played.case is not None
    broken = Violation(invariant="I10", text="two branches", at=played.case.marks["healed"])
    story = tell.story(played.case, [broken])
    assert "0:10  ada: edit record 0, Status := 'Ready'" in story
    assert "syncd: acme/web:feature/" in story
    assert "✗ two branches" in story
    assert tell.verdict([broken]) == "I10 (nothing is made twice): two branches"
