"""
The smallest scenario that still breaks the same promise: fewer events first, then an earlier end, plainer values, rounder times.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from syncd.simulate.scenario import Net, Op, Scenario

RUNS_MAX = 200
_USUAL = Scenario()
# Given a scenario: the invariants that it breaks.
Breaks = Callable[[Scenario], frozenset[str]]


class _Spent(Exception):
    """No more runs."""


class _Search:
    def __init__(self, breaks: Breaks, invariant: str, runs_max: int) -> None:
        self._breaks = breaks
        self._invariant = invariant
        self._left = runs_max
        self.runs = 0
        self.best: Scenario | None = None

    def still(self, candidate: Scenario) -> bool:
        if self.runs >= self._left:
            raise _Spent
        self.runs += 1
        if self._invariant not in self._breaks(candidate):
            return False
        self.best = candidate
        return True


def shrink(scenario: Scenario, invariant: str, breaks: Breaks, runs_max: int = RUNS_MAX) -> Scenario:
    """
    Make it smaller while it breaks the same invariant.

    Args:
        breaks: plays a candidate.
    """
    search, best = _Search(breaks, invariant, runs_max), scenario
    try:
        while True:
            smaller = _round(best, search)
            if smaller == best:
                return best
            best = smaller
    except _Spent:
        return search.best or best


def _round(best: Scenario, search: _Search) -> Scenario:
    events = [(part, one) for part in ("ops", "troubles", "deaths", "store") for one in getattr(best, part)]

    def with_events(kept: Sequence[tuple[str, Any]]) -> Scenario:
        parts: dict[str, Any] = {
            part: tuple(one for name, one in kept if name == part) for part in ("ops", "troubles", "deaths", "store")
        }
        return replace(best, **parts)

    kept = _fewer(events, lambda tried: search.still(with_events(tried)))
    best = with_events(kept)
    for plainer in _plainer(best):
        if search.still(plainer(best)):
            best = plainer(best)
    for index in range(len(best.ops)):
        for op in _plainer_op(best.ops[index]):
            candidate = replace(best, ops=(*best.ops[:index], op, *best.ops[index + 1 :]))
            if search.still(candidate):
                best = candidate
    return best


def _fewer(events: list[tuple[str, Any]], still: Callable[[Sequence[tuple[str, Any]]], bool]) -> list[tuple[str, Any]]:
    """Delta debugging (Zeller): leave out ever smaller pieces."""
    pieces = 2
    while events:
        size = max(1, len(events) // pieces)
        for start in range(0, len(events), size):
            rest = events[:start] + events[start + size :]
            if still(rest):
                events, pieces = rest, max(2, pieces - 1)
                break
        else:
            if size == 1:
                break
            pieces = min(len(events), pieces * 2)
    return events


def _plainer(best: Scenario) -> list[Callable[[Scenario], Scenario]]:
    steps: list[Callable[[Scenario], Scenario]] = []
    last_s = max([op.at_s for op in best.ops] + [one.at_s for one in best.troubles], default=0.0)
    for minutes in sorted({int(last_s // 60) + 1, int(last_s // 60) + 2}):
        if minutes < best.minutes:
            steps.append(lambda one, minutes=minutes: replace(one, minutes=min(one.minutes, minutes)))  # type: ignore[misc]
    if best.choices:
        steps.append(lambda one: replace(one, choices=0))
    if best.variant:
        steps.append(lambda one: replace(one, variant=""))
    if best.net is not Net.ALL:
        steps.append(lambda one: replace(one, net=Net.ALL))
    if best.latency_ms != _USUAL.latency_ms:
        steps.append(lambda one: replace(one, latency_ms=_USUAL.latency_ms))
    if best.fresh:
        steps.append(lambda one: replace(one, fresh=False))
    if best.troubles:
        steps.append(
            lambda one: replace(one, troubles=tuple(replace(each, after=0, until_s=None) for each in one.troubles))
        )
    return [step for step in steps if step(best) != best]


def _plainer_op(op: Op) -> list[Op]:
    found = []
    if op.at_s != round(op.at_s, -1):
        found.append(replace(op, at_s=round(op.at_s, -1)))
    if op.arguments.get("record"):
        found.append(replace(op, arguments={**op.arguments, "record": 0}))
    if op.during is not None and op.during.after:
        found.append(replace(op, during=replace(op.during, after=0)))
    return found
