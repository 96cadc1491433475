"""
What every scenario of a campaign shares: the spec under test in its variants, and synced worlds to start from, made once each.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from syncd import errors
from syncd.sandbox import choices
from syncd.sandbox.airtable.machine import AirtableMachine
from syncd.sandbox.bitbucket.machine import BitbucketMachine
from syncd.sandbox.fault import FaultyMachine
from syncd.simulate import table
from syncd.simulate import world as worlds
from syncd.simulate.scenario import Net, Scenario
from syncd.simulate.world import World
from syncd.spec import load, resolve, schema

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
PUBLIC_URL = "https://sync.example.com"
_NEVER = timedelta(days=2)
# By net: whether deliveries can reach us, how often payloads are asked for, how often both sides are compared.
_NETS: Mapping[Net, tuple[bool, timedelta, timedelta]] = {
    Net.ALL: (True, timedelta(minutes=5), timedelta(minutes=10)),
    Net.HOOKS: (True, _NEVER, _NEVER),
    Net.POLLING: (False, timedelta(minutes=2), _NEVER),
    Net.SWEEP: (True, _NEVER, timedelta(minutes=5)),
}
CHOICES_DRAWN = 4
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
    """A world, the state that goes with it, and what stands beside the state."""

    world: bytes
    state: bytes | None
    witness: str | None = None
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
        self._specs: dict[tuple[str, Net, bool], load.Spec] = {}
        self._starts: dict[tuple[str, Net, bool, int, bool], Start] = {}
        self._filled_in: dict[tuple[int, str], Mapping[str, tuple[Any, ...]]] = {}
        self._resolved: dict[int, list[tuple[tuple[Any, ...], resolve.Resolved]]] = {}
        self.variants: list[str] = [""]
        plain = self.spec("", Net.ALL)
        for name in VARIANTS:
            try:
                changed = self.spec(name, Net.ALL)
            except errors.SpecError:
                continue
            if changed.hash != plain.hash:
                self.variants.append(name)

    def resolve(self, spec: load.Spec, *found: Any) -> resolve.Resolved:
        """As `spec.resolve.resolve`, which is pure, and asked the same at every start of every scenario."""
        known = self._resolved.setdefault(id(spec), [])
        for before, resolved in known:
            if before == found:
                return resolved
        made = resolve.resolve(spec, *found)
        known.append((found, made))
        return made

    def filled_in(self, spec: load.Spec, sync: str) -> Mapping[str, tuple[Any, ...]]:
        """As `table.filled_in`, which is asked the same for every scenario."""
        key = (id(spec), sync)
        if key not in self._filled_in:
            self._filled_in[key] = table.filled_in(spec, sync)
        return self._filled_in[key]

    def spec(self, variant: str, net: Net, narrow: bool = False) -> load.Spec:
        """
        The spec of a variant, with the daemon's table as the net wants it. Raises SpecError.

        Args:
            narrow: of each workspace's repositories only the first.
        """
        known = self._specs.get((variant, net, narrow))
        if known is not None:
            return known
        made = load.load(self._changed(variant), self._environment)
        if narrow:
            made = replace(made, file=_narrowed(made.file))
        hooks, poll, compare = _NETS[net]
        daemon = made.file.daemon.model_copy(
            update={"public_url": PUBLIC_URL if hooks else None, "poll": poll, "compare_every": compare}
        )
        # A sync that only shows is lived as one that writes: what it would do is what people want to know.
        syncs = {name: sync.model_copy(update={"mode": None}) for name, sync in made.file.sync.items()}
        made = replace(made, file=made.file.model_copy(update={"daemon": daemon, "sync": syncs}))
        self._specs[variant, net, narrow] = made
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

    def prepare(self) -> int:
        """Make every synced world that a generated scenario may begin in; how many there are."""
        found = [
            (variant, narrow, 0) for variant in self.variants for narrow in ((True,) if variant else (True, False))
        ]
        found += [("", narrow, drawn) for drawn in range(1, CHOICES_DRAWN + 1) for narrow in (True, False)]
        for variant, narrow, drawn in found:
            for net in Net:
                self.start(Scenario(variant=variant, net=net, narrow=narrow, choices=drawn))
        return len(self._starts)

    def start(self, scenario: Scenario) -> Start:
        """Where a scenario begins."""
        drawn = scenario.choices % (CHOICES_DRAWN + 1)
        key = (scenario.variant, scenario.net, scenario.narrow, drawn, scenario.fresh)
        known = self._starts.get(key)
        if known is None:
            known = self._starts[key] = self._make(*key)
        return known

    def _make(self, variant: str, net: Net, narrow: bool, drawn: int, fresh: bool) -> Start:
        world = self.world(self.spec(variant, net, narrow), drawn)
        before = Start(world=world.image(), state=None, at=START)
        if fresh:
            return before
        from syncd.simulate import stage

        adopting = stage.Stage(self, Scenario(variant=variant, net=net, narrow=narrow, choices=drawn), before)
        adopting.adopt()
        return Start(
            world=adopting.world.image(),
            state=adopting.image(),
            witness=adopting.witness.text,
            at=adopting.clock.moment,
        )


def _narrowed(file: schema.File) -> schema.File:
    """The same work in one repository per workspace: a world in which a full compare costs half as many requests."""
    kept = {}
    for name, bitbucket in file.bitbucket.items():
        source = bitbucket.sources[0]
        only = source.model_copy(update={"repositories": source.repositories[:1]})
        kept[name] = bitbucket.model_copy(update={"sources": [only]})
    syncs = {}
    for name, sync in file.sync.items():
        slug = kept[sync.bitbucket].sources[0].repositories[0]
        chosen = sync.create_in
        if chosen is not None and slug != "*":
            by_value = {value: place for value, place in chosen.map.items() if place == slug}
            chosen = chosen.model_copy(update={"map": by_value}) if by_value else None
        syncs[name] = sync.model_copy(update={"create_in": chosen})
    return file.model_copy(update={"bitbucket": kept, "sync": syncs})
