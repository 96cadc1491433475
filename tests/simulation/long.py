"""
`make simulate`: as many scenarios as fit into a budget of CPU, with what was measured; ends with 1 when a promise was broken.

Usage: python -m tests.simulation.long [--cpu-seconds 60] [--seed 1] [--exhaustive]
"""

import argparse
import os
import sys
import time
from pathlib import Path

from syncd.simulate import campaign, generate, play, scenario, stage, tell
from tests.simulation import homes


def main() -> int:
    """Play until the budget is spent."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpu-seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--exhaustive", action="store_true", help="also die at every port call of some scenarios")
    parser.add_argument("--keep", type=Path, help="write shrunk failures here")
    given = parser.parse_args()
    home, tally = homes.home(), campaign.Tally()
    begun, seed = time.process_time(), given.seed
    while time.process_time() - begun < given.cpu_seconds:
        campaign.one(home, generate.scenario(home, seed), tally)
        seed += 1
    spent = time.process_time() - begun
    print(
        f"{tally.played} scenarios in {spent:.1f} CPU-s: {tally.played / spent * 60:.0f} per CPU-minute on {os.cpu_count()} cores' machine"
    )
    print(f"requests per scenario, median: {tally.median_requests}; simulated minutes, least: {min(tally.minutes):.1f}")
    print(
        f"deaths and restarts: {tally.deaths}; faults that struck: {sum(tally.hits.values())}; blocked by schema: {tally.blocked}"
    )
    print(f"never struck: {', '.join(tally.never_struck) or 'none'}")
    print(f"never seen: {', '.join(tally.never_seen) or 'none'}")
    for failed, violations in tally.failed[:10]:
        small = campaign.smallest(home, failed, violations[0].invariant, 80)
        again = play.play(home, small, keep=True)
        assert again.case is not None
        print(
            f"\n{tell.summary(small)}\n{scenario.dump(small)}{tell.story(again.case, again.violations)}\n{tell.verdict(again.violations)}"
        )
        if given.keep is not None:
            given.keep.mkdir(parents=True, exist_ok=True)
            (given.keep / f"{violations[0].invariant}-{failed.seed}.json").write_text(scenario.dump(small))
    print(f"broken: {dict(sorted(tally.broken.items())) or 'nothing'} in {len(tally.failed)} scenario(s)")
    return int(bool(tally.failed) or (given.exhaustive and exhaustive(given.seed)))


def exhaustive(seed: int, scenarios: int = 10) -> bool:
    """Die at every port call of some scenarios in turn. Returns whether a promise was broken."""
    home, broken, played = homes.home(), 0, 0
    for number in range(seed, seed + scenarios):
        try:
            for one in campaign.every_death(home, generate.scenario(home, number)):
                played += 1
                if one.violations:
                    broken += 1
                    print(f"seed {number}: {homes.told(one)[:3]}")
        except stage.Blocked:
            continue
    print(f"{played} deaths at every port call of {scenarios} scenarios: {broken} broke a promise")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
