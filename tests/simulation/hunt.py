"""
The hunt for planted bugs: the ordinary campaign's scenarios are played with a bug in the product until a promise breaks.

What counts: a promise that the bug names, broken in a scenario in which the sound product keeps it.
"""

import argparse
import functools
import inspect
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from syncd.simulate import generate, play, setting
from syncd.simulate.case import own_columns
from syncd.simulate.scenario import Scenario
from tests.simulation import homes

CPU_S = 60.0
FOUND_SHARE = 0.95
FIRST_SEED = 100_000


class DeadPatch(Exception):
    """A patch that changes nothing any more: the product moved away from under it."""


class Patches:
    """Attributes that are replaced for a while, and how often each stand-in was called."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self._kept: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, fresh: Any) -> None:
        """Replace one. Raises DeadPatch when there is nothing of that name, or nothing that the stand-in fits."""
        place = f"{owner.__name__}.{name}"
        # An inherited method would be replaced for everybody else's class, too.
        old = owner.__dict__.get(name, _ABSENT)
        if old is _ABSENT:
            raise DeadPatch(f"{place} is not there any more")
        if callable(old):
            _must_fit(place, old, fresh)
            self.calls[place] = 0
            fresh = self._counted(place, fresh)
        elif old == fresh:
            raise DeadPatch(f"{place} is {old!r} already")
        self._kept.append((owner, name, old))
        setattr(owner, name, fresh)

    def wrap(self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Replace one by what `make` makes of it."""
        if not hasattr(owner, name):
            raise DeadPatch(f"{owner.__name__}.{name} is not there any more")
        self.set(owner, name, make(getattr(owner, name)))

    def places(self) -> list[tuple[Any, str, Any]]:
        """What is replaced: its owner, its name, and what was there."""
        return list(self._kept)

    def undo(self) -> None:
        """Put everything back."""
        while self._kept:
            owner, name, old = self._kept.pop()
            setattr(owner, name, old)

    def _counted(self, place: str, fresh: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fresh)
        def called(*given: Any, **named: Any) -> Any:
            self.calls[place] += 1
            return fresh(*given, **named)

        return called


_ABSENT = object()


def _must_fit(place: str, old: Callable[..., Any], fresh: Callable[..., Any]) -> None:
    """Whether the stand-in can be called with all that the product's own can be called with."""
    positional: list[None] = []
    named: dict[str, None] = {}
    for one in inspect.signature(old).parameters.values():
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD):
            positional.append(None)
        elif one.kind is one.KEYWORD_ONLY:
            named[one.name] = None
    try:
        inspect.signature(fresh).bind(*positional, **named)
    except TypeError as error:
        raise DeadPatch(f"{place} takes {inspect.signature(old)} now: {error}") from error


Plant = Callable[[Patches], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """
    One planted bug.

    Args:
        breaks: promises by which it counts as found as intended.
    """

    name: str
    breaks: tuple[str, ...]
    plant: Plant


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunted:
    """
    What came of the hunt for one bug.

    Args:
        by: the promises that it broke, the intended ones only when there is one; empty when none was broken.
        played: scenarios; `seed` the one that showed it.
        unreached: stand-ins that were never called.
        suspect: seeds in which the sound product breaks a promise, too.
    """

    name: str
    breaks: tuple[str, ...]
    by: tuple[str, ...]
    cpu_s: float
    played: int
    seed: int = 0
    unreached: tuple[str, ...] = ()
    suspect: tuple[int, ...] = ()

    @property
    def as_intended(self) -> bool:
        """Whether it counts as found."""
        return bool(set(self.by) & set(self.breaks))


@contextmanager
def planted(one: Bug) -> Iterator[Patches]:
    """With the bug in the product, in this process."""
    patches = Patches()
    try:
        one.plant(patches)
        yield patches
    finally:
        patches.undo()


def find(home: setting.Setting, one: Bug, cpu_s: float = CPU_S) -> Hunted:
    """Play one scenario after the other with the bug in the product."""
    begun, played, seed = time.process_time(), 0, FIRST_SEED
    others: set[str] = set()
    reached: set[str] = set()
    places: set[str] = set()
    suspect: list[int] = []
    while time.process_time() - begun < cpu_s:
        seed += 1
        scenario = generate.scenario(home, seed)
        # Worlds are synced by the sound daemon.
        home.start(scenario)
        with planted(one) as patches:
            found = blamed(home, one, scenario)
        played += 1
        places |= set(patches.calls)
        reached |= {place for place, calls in patches.calls.items() if calls}
        if found and (sound := blamed(home, replace(one, plant=_sound), scenario)):
            suspect.append(seed)
            found -= sound
        if intended := found & set(one.breaks):
            others = intended
            break
        others |= found
    return Hunted(
        name=one.name,
        breaks=one.breaks,
        by=tuple(sorted(others)),
        cpu_s=round(time.process_time() - begun, 1),
        played=played,
        seed=seed,
        unreached=tuple(sorted(places - reached)),
        suspect=tuple(suspect),
    )


# Promises about one kind of trouble: with it something else breaks, and without it nothing does.
_ABOUT: Mapping[str, frozenset[str]] = {
    "I17": frozenset({"BW01", "BW02", "BW04", "BW07", "AW07"}),
    "I23": frozenset({"AT12", "AT13", "AT14", "BB10", "BB11", "BB12"}),
    "I28": frozenset({"DA01", "DA02", "DA05", "DA06", "DA07", "DA09", "DA12"}),
    "I33": frozenset({"CL01", "CL02", "CL03"}),
}


def blamed(home: setting.Setting, one: Bug, scenario: Scenario) -> set[str]:
    """The promises that are broken, and those about one kind of trouble whose breach goes when the trouble does."""
    found = broken(home, scenario)
    for name in one.breaks:
        if name == "I34" and _trace(home, scenario) != _trace(home, scenario):
            found.add(name)
        if name == "I25" and "ST11" in _faults(scenario) and _believed(home, scenario):
            found.add(name)
        faults = _ABOUT.get(name, frozenset())
        if found and faults & _faults(scenario) and not broken(home, _without(scenario, faults)):
            found.add(name)
    return found


def _faults(scenario: Scenario) -> set[str]:
    return {one.fault for one in scenario.ops} | {one.fault for one in scenario.troubles}


def _without(scenario: Scenario, faults: frozenset[str]) -> Scenario:
    return replace(
        scenario,
        ops=tuple(op for op in scenario.ops if op.fault not in faults),
        troubles=tuple(trouble for trouble in scenario.troubles if trouble.fault not in faults),
    )


def _believed(home: setting.Setting, scenario: Scenario) -> bool:
    """Whether a state that lacks writes of ours was let at work before a person applied its plan."""
    case = play.play(home, scenario, keep=True).case
    assert case is not None
    columns = {field for sync in case.syncs() for field in own_columns(sync)}
    ours = [one for one in case.effects if one.own and one.change.kind in ("record", "pull_request", "branch")]
    for restored in case.evidence.restored_at:
        backups = [
            at for at, verb, _, done in case.evidence.told if verb == "remember_state" and done and at < restored
        ]
        lacks = [
            one for one in ours if one.service == "airtable" and backups and max(backups) < one.entry.at < restored
        ]
        until = min((at for at in case.evidence.applies if at > restored), default=case.marks["end"])
        if lacks and any(restored < one.entry.at < until and one.change.attribute not in columns for one in ours):
            return True
    return False


def _trace(home: setting.Setting, scenario: Scenario) -> str:
    return play.play(home, scenario).trace


def _sound(_: Patches) -> None:
    """No bug."""


def broken(home: setting.Setting, scenario: Scenario) -> set[str]:
    """The promises that are broken in a scenario."""
    try:
        return {each.invariant for each in play.play(home, scenario).violations}
    except (AssertionError, KeyError, ValueError) as error:
        return {f"I31 ({type(error).__name__})"}


# -------------------------------------------------------------------------------------------------- the table


def main(bugs: Sequence[Bug], elsewhere: Mapping[str, str]) -> int:
    """
    Hunt and print the table.

    Args:
        elsewhere: promises without a planted bug, and why.

    Returns:
        1 when fewer than 95 % were found as intended, or a patch changes nothing; else 0.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--cpu-seconds", type=float, default=CPU_S, help="for each bug")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--progress", type=Path, help="results are kept here, and what stands here is not hunted again")
    parser.add_argument("--markdown", action="store_true", help="the table as it stands in README.md")
    given = parser.parse_args()
    chosen = [one for one in bugs if not given.names or one.name in given.names]
    known = _known(given.progress)
    open_ones = [one.name for one in chosen if one.name not in known]
    if open_ones:
        homes.home().prepare()
        # Forked, so that all share the synced worlds; patches are closures, so the list is looked up by name there.
        with multiprocessing.get_context("fork").Pool(given.jobs, _employ, ({one.name: one for one in bugs},)) as pool:
            for hunted in pool.imap_unordered(functools.partial(_hunt, cpu_s=given.cpu_seconds), open_ones):
                known[hunted.name] = hunted
                print(line(hunted), flush=True)
                if given.progress is not None:
                    with given.progress.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(hunted)) + "\n")
    hunts = [known[one.name] for one in chosen]
    found = [one for one in hunts if one.as_intended]
    dead = [one for one in hunts if not one.as_intended and one.unreached]
    print("\n" + "\n".join([_HEAD, *map(line, hunts)] if not given.markdown else [_MARKDOWN, *map(row, hunts)]))
    print(f"\n{len(found)} of {len(hunts)} found by an intended promise within {given.cpu_seconds:.0f} CPU-s each")
    for name, why in elsewhere.items():
        print(f"{name} has no planted bug: {why}")
    for one in dead:
        print(f"{one.name}: never called in {one.played} scenarios: {', '.join(one.unreached)}")
    for one in hunts:
        if one.suspect:
            print(f"{one.name}: the sound product breaks a promise with seeds {', '.join(map(str, one.suspect))}")
    return int(len(found) < FOUND_SHARE * len(hunts) or bool(dead))


_HEAD = f"{'bug':<46} {'breaks':<16} {'CPU-s':>6} {'played':>6}  found by"


def line(one: Hunted) -> str:
    """One line of the table."""
    verdict = ", ".join(one.by) or "NOT FOUND"
    return (
        f"{one.name.replace('_', ' '):<46} {' '.join(one.breaks):<16} {one.cpu_s:>6.1f} {one.played:>6}  {verdict}"
        f"{'' if one.as_intended or not one.by else ' (not intended)'}"
    )


_MARKDOWN = "| bug | intended | found by | CPU-s | scenarios |\n|---|---|---|---|---|"


def row(one: Hunted) -> str:
    """The same line in Markdown."""
    verdict = (", ".join(one.by) or "nothing") + ("" if one.as_intended else " (not as intended)")
    return f"| {one.name.replace('_', ' ')} | {', '.join(one.breaks)} | {verdict} | {one.cpu_s:.1f} | {one.played} |"


_bugs: dict[str, Bug] = {}


def _employ(bugs: Mapping[str, Bug]) -> None:
    _bugs.update(bugs)


def _hunt(name: str, cpu_s: float) -> Hunted:
    return find(homes.home(), _bugs[name], cpu_s)


def _known(progress: Path | None) -> dict[str, Hunted]:
    if progress is None or not progress.exists():
        return {}
    kept = {}
    for text in progress.read_text(encoding="utf-8").splitlines():
        raw: dict[str, Any] = json.loads(text)
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()
        }
        kept[given["name"]] = Hunted(**given)
    return kept
