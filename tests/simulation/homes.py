"""The sample spec as every simulation test uses it: worlds are synced once per process."""

from functools import cache

from syncd import log
from syncd.simulate import setting
from syncd.simulate.play import Played
from tests import shared


@cache
def home() -> setting.Setting:
    """The setting of `config/`."""
    log.silence()
    return setting.Setting(shared.ROOT / "config")


def told(played: Played) -> list[str]:
    """Broken promises as text."""
    return [f"{one.invariant}: {one.text}" for one in played.violations]
