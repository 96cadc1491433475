"""
`make simulate`: as many scenarios as fit into a budget of CPU, or so many, with what was measured; ends with 1 when a promise
was broken.

Usage: python -m tests.simulation.long [--cpu-seconds 60 | --scenarios 10000] [--seed 1] [--cut clients|http] [--jobs 2] [--exhaustive]
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from random import Random

from syncd.simulate import campaign, fault, generate, play, scenario, setting, stage, tell
from syncd.simulate.campaign import Tally
from syncd.simulate.scenario import Scenario, StoreTrouble
from tests.simulation import homes

# One scenario in so many is played at both cuts: the trace must be the same.
BOTH_CUTS_EVERY = 100
# Of a life of each fault: it dies at every so many port calls, and so far the statements go of which one fails.
FAULT_STEP = 9
FAILURES_MAX = 300


@dataclass(slots=True, kw_only=True)
class Part:
    """What one process came to. `apart` are seeds whose life was another one at the other cut."""

    tally: Tally = field(default_factory=Tally)
    spent_s: float = 0.0
    compared: int = 0
    apart: list[int] = field(default_factory=list)


def main() -> int:
    """Play until the budget is spent."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpu-seconds", type=float, default=60.0)
    parser.add_argument("--scenarios", type=int, help="so many, instead of a budget of CPU")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cut", choices=[one.value for one in stage.Cut], default=stage.Cut.CLIENTS.value)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--exhaustive", action="store_true", help="also die at every port call of some scenarios")
    parser.add_argument("--keep", type=Path, help="write shrunk failures here")
    given = parser.parse_args()
    before = time.process_time()
    worlds = homes.home().prepare()
    prepared_s = time.process_time() - before
    # Forked, so that all share the synced worlds.
    with multiprocessing.get_context("fork").Pool(given.jobs) as pool:
        parts = pool.starmap(_play, [(given, number) for number in range(given.jobs)])
    tally = Tally()
    for part in parts:
        tally.merge(part.tally)
    print(f"{worlds} worlds synced in {prepared_s:.0f} CPU-s")
    _tell(given, parts, tally)
    return int(bool(tally.failed) or any(part.apart for part in parts) or (given.exhaustive and exhaustive(given.seed)))


def _play(given: argparse.Namespace, number: int) -> Part:
    """The share of one process: every n-th seed."""
    home, part = homes.home(), Part()
    begun, seed, cut = time.process_time(), given.seed + number, stage.Cut(given.cut)
    share_s = given.cpu_seconds / given.jobs
    while seed < given.seed + given.scenarios if given.scenarios else time.process_time() - begun < share_s:
        made = generate.scenario(home, seed)
        played = campaign.one(home, made, part.tally, cut)
        if seed % BOTH_CUTS_EVERY == 0:
            (other,) = {*stage.Cut} - {cut}
            part.compared += 1
            if play.play(home, made, cut=other).trace != played.trace:
                part.apart.append(seed)
        seed += given.jobs
    part.spent_s = time.process_time() - begun
    return part


def _tell(given: argparse.Namespace, parts: list[Part], tally: Tally) -> None:
    home, spent = homes.home(), sum(part.spent_s for part in parts)
    print(
        f"{tally.played} scenarios in {spent:.0f} CPU-s at the cut {given.cut!r}: {tally.played / spent * 60:.0f} per CPU-minute"
    )
    print(
        f"requests per scenario, median: {tally.median_requests}; simulated minutes, median: {tally.median_minutes:.1f}, "
        f"least: {min(tally.minutes, default=0):.1f}; simulated hours: {sum(tally.minutes) / 60:.0f}"
    )
    print(f"deaths and restarts: {tally.deaths}; faults that struck: {sum(tally.hits.values())}")
    rare = [f"{name} {tally.hits[name]}" for name in sorted(tally.hits) if tally.hits[name] < 10]
    print(f"never struck: {', '.join(tally.never_struck) or 'none'}; less than ten times: {', '.join(rare) or 'none'}")
    print(f"never seen: {', '.join(tally.never_seen) or 'none'}")
    print(f"met by every life, not counted: {', '.join(fault.ALWAYS)}")
    print("not made here:", *(f"{name}: {why}" for name, why in fault.MISSING.items()), sep="\n  ")
    apart = sorted(seed for part in parts for seed in part.apart)
    print(
        f"lived the same life at both cuts: {sum(part.compared for part in parts) - len(apart)}; another: {apart or 'none'}"
    )
    for failed, violations in sorted(tally.failed, key=lambda one: one[0].seed)[:10]:
        small = campaign.smallest(home, failed, violations[0].invariant, 80)
        again = play.play(home, small, keep=True)
        assert again.case is not None
        print(
            f"\nseed {failed.seed}: {tell.summary(small)}\n{scenario.dump(small)}{tell.story(again.case, again.violations)}\n{tell.verdict(again.violations)}"
        )
        if given.keep is not None:
            given.keep.mkdir(parents=True, exist_ok=True)
            (given.keep / f"{violations[0].invariant}-{failed.seed}.json").write_text(scenario.dump(small))
    print(f"broken: {dict(sorted(tally.broken.items())) or 'nothing'} in {len(tally.failed)} scenario(s)")


def exhaustive(seed: int, scenarios: int = 10) -> bool:
    """
    Die at every port call of some scenarios in turn; and of a life of each fault at every few calls, and with a disk that fails
    there for a while. Returns whether a promise was broken.
    """
    home, broken, played = homes.home(), 0, 0
    for what, one in chain(_whole_days(home, seed, scenarios), _each_fault(home, seed)):
        played += 1
        if one.violations:
            broken += 1
            print(f"{what}, seed {one.scenario.seed}: {homes.told(one)[:3]}\n{scenario.dump(one.scenario)}")
    print(
        f"{played} deaths and failures at the port calls of {scenarios} days and of a life of each fault: {broken} broke a promise"
    )
    return bool(broken)


def _whole_days(home: setting.Setting, seed: int, scenarios: int) -> Iterator[tuple[str, play.Played]]:
    for number in range(seed, seed + scenarios):
        for played in campaign.every_death(home, generate.scenario(home, number)):
            yield "a day", played


def _each_fault(home: setting.Setting, seed: int) -> Iterator[tuple[str, play.Played]]:
    for one in fault.FaultId:
        made = _life_of(home, one, seed)
        for played in campaign.every_death(home, made, step=FAULT_STEP):
            yield one.name, played
        chances = Random(f"{seed}: {one.name}")
        for after in range(0, FAILURES_MAX, FAULT_STEP):
            failing = StoreTrouble(
                fault="ST04",
                statement=chances.choice(("BEGIN IMMEDIATE", "COMMIT", "INSERT", "UPDATE")),
                after=after + chances.randrange(FAULT_STEP),
                count=chances.choice((1, 3, 20)),
            )
            yield one.name, play.play(home, replace(made, store=(*made.store, failing)))


def _life_of(home: setting.Setting, one: fault.FaultId, seed: int) -> Scenario:
    """The first life from that seed on in which this fault strikes."""
    for number in range(seed, seed + 200):
        made = generate.scenario(home, number, [one])
        if play.play(home, made).hits[one.name]:
            return made
    raise AssertionError(f"{one.name} strikes in no life from seed {seed} on")


if __name__ == "__main__":
    sys.exit(main())
