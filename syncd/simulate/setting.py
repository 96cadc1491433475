"""
What every scenario of a campaign shares: the spec under test in its variants, and synced worlds to start from, made once each.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from syncd import errors
from syncd.sandbox import choices
from syncd.sandbox.airtable.machine import AirtableMachine
from syncd.sandbox.bitbucket.machine import BitbucketMachine
from syncd.sandbox.fault import FaultyMachine
from syncd.simulate import world as worlds
from syncd.simulate.scenario import Net
from syncd.simulate.world import World
from syncd.spec import load

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
PUBLIC_URL = "https://sync.example.com"
_NEVER = timedelta(days=2)
# By net: whether deliveries can reach us, how often payloads are asked for, how often both sides are compared.
_NETS: Mapping[Net, tuple[bool, timedelta, timedelta]] = {
    Net.ALL: (True, timedelta(minutes=2), timedelta(minutes=5)),
    Net.HOOKS: (True, _NEVER, _NEVER),
    Net.POLLING: (False, timedelta(minutes=2), _NEVER),
    Net.SWEEP: (True, _NEVER, timedelta(minutes=5)),
}
CHOICES_DRAWN = 8
"""How many worlds of drawn service behaviour there are: each is built and synced once per process."""

# Changes of the sample spec's text; one that does not fit the spec under test is left out.
VARIANTS: Mapping[str, Sequence[tuple[str, str]]] = {
    "both": (
        ('"pr.title",          owner = "airtable"', '"pr.title",          owner = "both"'),
        (
            '"Name"        = { bitbucket = "pr.title", owner = "airtable" }',
            '"Name"        = { bitbucket = "pr.title", owner = "both" }',
        ),
        (
            '"Details"     = { bitbucket = "pr.description", owner = "airtable", foreign_edit = "alert" }',
            '"Details"     = { bitbucket = "pr.description", owner = "both", conflict = "newest" }',
        ),
    ),
    "revert": ((', foreign_edit = "alert" }', " }"),),
    "each": (
        (
            '"Details"     = { bitbucket = "pr.description", owner = "airtable", foreign_edit = "alert" }',
            '"Details"     = { bitbucket = "pr.description", owner = "airtable", each = "open" }',
        ),
    ),
    "bitbucket": (
        (
            '"Details"     = { bitbucket = "pr.description", owner = "airtable", foreign_edit = "alert" }',
            '"Details"     = { bitbucket = "pr.description", owner = "bitbucket" }',
        ),
    ),
    "no-columns": (('run_id = "Sync run"', "# run_id"), ('note   = "Sync note"', "# note")),
    "tight": (("floor   = 10", "floor   = 2"),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A world and the state that goes with it."""

    world: bytes
    state: bytes | None
    at: datetime


class Setting:
    """
    Args:
        config: the spec under test, file or directory.
        folder: for changed copies of it.
    """

    def __init__(self, config: Path, folder: Path, environment: str = "") -> None:
        self.config = config
        self._folder = folder
        self._environment = environment
        self._specs: dict[tuple[str, Net], load.Spec] = {}
        self._starts: dict[tuple[str, Net, int, bool], Start] = {}
        self.variants: list[str] = [""]
        plain = self.spec("", Net.ALL)
        for name in VARIANTS:
            try:
                changed = self.spec(name, Net.ALL)
            except errors.SpecError:
                continue
            if changed.hash != plain.hash:
                self.variants.append(name)

    def spec(self, variant: str, net: Net) -> load.Spec:
        """The spec of a variant, with the daemon's table as the net wants it. Raises SpecError."""
        known = self._specs.get((variant, net))
        if known is not None:
            return known
        made = load.load(self._changed(variant), self._environment)
        hooks, poll, compare = _NETS[net]
        daemon = made.file.daemon.model_copy(
            update={"public_url": PUBLIC_URL if hooks else None, "poll": poll, "compare_every": compare}
        )
        made = replace(made, file=made.file.model_copy(update={"daemon": daemon}))
        self._specs[variant, net] = made
        return made

    def _changed(self, variant: str) -> Path:
        if not variant:
            return self.config
        source = self.config if self.config.is_dir() else self.config.parent
        target = self._folder / variant
        if not target.exists():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*"))
            for file in sorted(target.glob("*.toml")):
                text = file.read_text(encoding="utf-8")
                for old, new in VARIANTS[variant]:
                    text = text.replace(old, new)
                file.write_text(text, encoding="utf-8")
        return target if self.config.is_dir() else target / self.config.name

    def world(self, spec: load.Spec, drawn: int) -> World:
        """A world that fits the spec, before syncd ever saw it."""
        import random

        answers = choices.draw(random.Random(drawn)) if drawn else choices.Choices()
        url = next((one.url for one in spec.file.bitbucket.values()), "")
        made = World(
            airtable=FaultyMachine(AirtableMachine(drawn + 1, answers), "airtable"),
            bitbucket=FaultyMachine(BitbucketMachine(drawn + 1, answers, url=url), "bitbucket"),
            at=START,
        )
        worlds.fill(made, spec)
        return made

    def start(self, variant: str, net: Net, drawn: int, fresh: bool) -> Start:
        """Where a scenario begins."""
        key = (variant, net, drawn % (CHOICES_DRAWN + 1), fresh)
        known = self._starts.get(key)
        if known is None:
            known = self._starts[key] = self._make(*key)
        return known

    def _make(self, variant: str, net: Net, drawn: int, fresh: bool) -> Start:
        world = self.world(self.spec(variant, net), drawn)
        if fresh:
            return Start(world=world.image(), state=None, at=START)
        from syncd.simulate import stage
        from syncd.simulate.scenario import Scenario

        adopting = stage.Stage(
            self,
            Scenario(variant=variant, net=net, choices=drawn),
            Start(world=world.image(), state=None, at=START),
        )
        adopting.adopt()
        return Start(world=adopting.world.image(), state=adopting.image(), at=adopting.clock.moment)
