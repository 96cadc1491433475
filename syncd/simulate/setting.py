"""
What every scenario of a campaign shares: the spec under test in its variants, and synced worlds to start from, made once each.
"""

import gc
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from syncd.sandbox import choices
from syncd.sandbox.airtable.machine import AirtableMachine
from syncd.sandbox.bitbucket.machine import BitbucketMachine
from syncd.sandbox.fault import Fault, FaultKind, FaultyMachine
from syncd.simulate import table
from syncd.simulate import world as worlds
from syncd.simulate.scenario import Net, Scenario
from syncd.simulate.world import Image, World
from syncd.spec import lint, load, resolve, schema

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


def _fields(sync: schema.Sync, change: Callable[[schema.MappedField], Mapping[str, Any]]) -> Mapping[str, Any]:
    changed = {name: rule.model_copy(update=dict(change(rule))) for name, rule in sync.fields.items()}
    return {"fields": changed}


def _for_both(rule: schema.MappedField) -> Mapping[str, Any]:
    if rule.bitbucket not in ("pr.title", "pr.description") or rule.owner != "airtable":
        return {}
    # One of each kind: a title is asked about, of two descriptions the newest stands.
    conflict = "newest" if rule.bitbucket == "pr.description" else None
    return {"owner": "both", "conflict": conflict, "foreign_edit": None, "adopt": False, "each": None}


def _for_each(rule: schema.MappedField) -> Mapping[str, Any]:
    mine = rule.bitbucket == "pr.description" and rule.owner == "airtable"
    return {"each": "open", "foreign_edit": None} if mine else {}


def _for_bitbucket(rule: schema.MappedField) -> Mapping[str, Any]:
    mine = rule.bitbucket == "pr.description" and rule.owner != "bitbucket"
    usual = {"conflict": None, "tolerance": None, "foreign_edit": None, "each": None, "adopt": False}
    return {"owner": "bitbucket", **usual} if mine else {}


# Changes of a spec that bring rules into play which it has not. One that changes nothing of the spec under test, or that `check`
# would not let pass, is left out.
VARIANTS: Mapping[str, Callable[[schema.Sync], Mapping[str, Any]]] = {
    "both": lambda sync: _fields(sync, _for_both),
    "revert": lambda sync: _fields(sync, lambda _: {"foreign_edit": None}),
    "each": lambda sync: _fields(sync, _for_each),
    "bitbucket": lambda sync: _fields(sync, _for_bitbucket),
    "no-columns": lambda sync: {"record": sync.record.model_copy(update={"run_id": None, "note": None})},
    "tight": lambda sync: {"guard": sync.guard.model_copy(update={"floor": min(sync.guard.floor, 2)})},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A world, the state that goes with it and the last number of its journal, and what stands beside the state."""

    world: Image
    state: bytes | None
    witness: str | None = None
    journal: int = 0
    at: datetime


class Setting:
    """
    Args:
        config: the spec under test, file or directory. Raises SpecError when it is invalid.
    """

    def __init__(self, config: Path, environment: str = "") -> None:
        self._loaded = load.load(config, environment)
        self._specs: dict[tuple[str, Net, bool], load.Spec] = {}
        self._starts: dict[tuple[str, Net, bool, int, bool], Start] = {}
        self._filled_in: dict[tuple[int, str], Mapping[str, tuple[Any, ...]]] = {}
        self._resolved: dict[int, list[tuple[tuple[Any, ...], resolve.Resolved]]] = {}
        self.variants: list[str] = ["", *(name for name in VARIANTS if _changed(self._loaded, name) is not None)]

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
        The spec of a variant, with the daemon's table as the net wants it. Raises KeyError when it has no such variant.

        Args:
            narrow: of each workspace's repositories only the first.
        """
        known = self._specs.get((variant, net, narrow))
        if known is not None:
            return known
        made = _changed(self._loaded, variant) if variant else self._loaded
        if made is None:
            raise KeyError(variant)
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

    def require(self, scenario: Scenario) -> None:
        """Raises ValueError when a scenario that came from a file cannot be played with this spec."""
        from syncd.simulate import people, stage

        if scenario.variant not in self.variants:
            known = ", ".join(repr(name) for name in self.variants)
            raise ValueError(f"variant {scenario.variant!r} is none of this spec's: {known}")
        numbers: list[Any] = [scenario.minutes, scenario.latency_ms, scenario.seed, scenario.choices]
        numbers += [op.at_s for op in scenario.ops] + [one.at_s for one in scenario.troubles]
        if not all(isinstance(one, int | float) and abs(one) < 1e12 for one in numbers):
            raise ValueError("times and numbers must be numbers")
        if scenario.minutes < 1 or scenario.latency_ms < 0:
            raise ValueError("minutes must be at least 1, latency_ms at least 0")
        for op in scenario.ops:
            if op.verb not in people.VERBS:
                raise ValueError(f"nobody can {op.verb!r}; acts: {', '.join(sorted(people.VERBS))}")
            if not isinstance(op.arguments, Mapping):
                raise ValueError(f"the arguments of {op.verb!r} must be an object")
        for trouble in scenario.troubles:
            if trouble.kind in stage.NETWORK:
                continue
            try:
                re.compile(trouble.route)
                Fault(kind=FaultKind(trouble.kind), service=trouble.service, **trouble.more)
            except (TypeError, re.error) as error:
                raise ValueError(f"the trouble {trouble.fault!r}: {error}") from error

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
        # They stay for good: from now on the collector looks at what a scenario makes, and not at them again and again.
        gc.collect()
        gc.freeze()
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
            journal=max((row.sequence for row in adopting.store.load_journal(limit=1, newest=True)), default=0),
            at=adopting.clock.moment,
        )


def _changed(spec: load.Spec, variant: str) -> load.Spec | None:
    """The spec in a variant; None when that is no other spec, or an invalid one."""
    change = VARIANTS[variant]
    syncs = {name: sync.model_copy(update=dict(change(sync))) for name, sync in spec.file.sync.items()}
    file = spec.file.model_copy(update={"sync": syncs})
    known = {(problem.key, problem.expected) for problem in spec.warnings}
    problems = lint.check(file, spec.document, spec.templates)
    if file == spec.file or any(not one.warning and (one.key, one.expected) not in known for one in problems):
        return None
    return replace(spec, file=file, hash=hashlib.sha256(f"{spec.hash} {variant}".encode()).hexdigest())


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
