"""Every case that once broke a promise, shrunk, for ever."""

from pathlib import Path

import pytest

from syncd.simulate import play, scenario, setting
from tests.simulation import homes

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.json"))


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_what_once_broke_a_promise_keeps_it(file: Path, home: setting.Setting) -> None:
    played = play.play(home, scenario.load(file.read_text(encoding="utf-8")))
    assert homes.told(played) == []
