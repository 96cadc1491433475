"""
Many scenarios: how many were played, what they broke, which faults struck, and what never happened.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from syncd.simulate import generate, play, setting, shrink, stage
from syncd.simulate.case import Violation
from syncd.simulate.fault import FaultId
from syncd.simulate.play import Played
from syncd.simulate.scenario import Scenario

# Every branch of the daemon's life that a long campaign must have gone through.
MARKERS = (
    "row: status", "row: first contact", "row: copy", "row: illegal edit", "row: link", "row: column", "row: create branch",
    "row: create pull request", "row: foreign edit", "row: lost race", "row ended: applied", "row ended: refused", "row ended: retry",
    "row ended: moved", "record: ok", "record: pending", "record: held", "record: refused", "record: error", "record: conflict",
    "conflict open", "died", "could not start",
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a campaign came to."""

    played: int = 0
    deaths: int = 0
    requests: list[int] = field(default_factory=list)
    minutes: list[float] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    sometimes: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[Scenario, list[Violation]]] = field(default_factory=list)

    def add(self, played: Played) -> None:
        """One more scenario."""
        self.played += 1
        self.deaths += played.deaths
        self.requests.append(played.requests)
        self.minutes.append(played.minutes)
        self.hits += played.hits
        self.sometimes += played.sometimes
        if played.violations:
            self.broken.update({one.invariant for one in played.violations})
            self.failed.append((played.scenario, played.violations))

    def merge(self, other: "Tally") -> None:
        """What another process counted."""
        self.played += other.played
        self.deaths += other.deaths
        self.requests += other.requests
        self.minutes += other.minutes
        self.hits += other.hits
        self.sometimes += other.sometimes
        self.broken += other.broken
        self.failed += other.failed

    @property
    def never_struck(self) -> list[str]:
        """Faults that struck nowhere."""
        return [one.name for one in FaultId if not self.hits[one.name]]

    @property
    def never_seen(self) -> list[str]:
        """Branches that nothing went through."""
        return [one for one in MARKERS if not self.sometimes[one]]

    @property
    def median_requests(self) -> int:
        """Of all scenarios."""
        return int(_median(self.requests))

    @property
    def median_minutes(self) -> float:
        """Simulated minutes of a scenario."""
        return _median(self.minutes)


def _median(numbers: Sequence[float]) -> float:
    return sorted(numbers)[len(numbers) // 2] if numbers else 0


def run(home: setting.Setting, first: int, count: int, each: Callable[[int], bool] = lambda _: True) -> Tally:
    """
    Play the scenarios of the seeds from `first` on.

    Args:
        each: told how many are done; False ends the campaign.
    """
    tally = Tally()
    for seed in range(first, first + count):
        one(home, generate.scenario(home, seed), tally)
        if not each(seed - first + 1):
            break
    return tally


def one(home: setting.Setting, scenario: Scenario, tally: Tally, cut: stage.Cut = stage.Cut.CLIENTS) -> Played:
    """Play one and count it."""
    played = play.play(home, scenario, cut=cut)
    tally.add(played)
    return played


def smallest(
    home: setting.Setting,
    scenario: Scenario,
    invariant: str,
    runs_max: int = shrink.RUNS_MAX,
    each: Callable[[], object] = lambda: None,
) -> Scenario:
    """
    The smallest scenario that breaks the same promise.

    Args:
        each: told of every scenario that is tried.
    """

    def breaks(candidate: Scenario) -> frozenset[str]:
        each()
        return frozenset(found.invariant for found in play.play(home, candidate).violations)

    return shrink.shrink(scenario, invariant, breaks, runs_max)


def every_death(home: setting.Setting, scenario: Scenario, step: int = 1) -> Iterator[Played]:
    """The exhaustive mode: the same scenario, dying once at each point in turn; `step` takes every n-th."""
    points = play.play(home, scenario).points
    for point in range(1, points + 1, step):
        yield play.play(home, scenario, death_at=point)


def reordered(scenario: Scenario) -> Iterator[Scenario]:
    """The same with every delivery doubled, late or in another order (I17)."""
    from syncd.simulate.scenario import Trouble

    for fault, kind, count, more in (
        ("BW01", "duplicate_delivery", None, {}),
        ("BW02", "delay_delivery", None, {"delay_s": 40.0}),
        ("BW04", "swap_deliveries", 3, {"delay_s": 30.0}),
    ):
        trouble = Trouble(fault=fault, kind=kind, service="bitbucket", count=count, more=more)
        yield replace(scenario, troubles=(*scenario.troubles, trouble))
