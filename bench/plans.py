"""Plans per second and core, over SPEC's example of a sync, as a ratio to the stated limit."""

import time

from syncd.core import plan
from syncd.model.situation import Situation
from syncd.spec.rules import SyncRules
from tests.build import (
    API,
    BEN,
    a_branch,
    a_build,
    a_pull_request,
    a_record,
    a_situation,
    applied,
    sync_rules,
)

PLANS_PER_SECOND_MIN = 5_000
_ROUNDS = 5
_PLANS = 2_000


def run() -> list[tuple[str, float, float, str]]:
    """
    Measure on one core.

    Returns:
        Rows of (name, measured, limit, unit); at or above the limit is good. The best of five rounds counts: what else
        runs on the machine only ever makes a round slower.
    """
    rules = sync_rules()
    settled = a_settled_record(rules)
    return [("plans of a settled record", _per_second(settled, rules), PLANS_PER_SECOND_MIN, "plans/s")]


def a_settled_record(rules: SyncRules) -> Situation:
    """Three pull requests in two repositories, a branch and a build, everything in step: what a full compare meets."""
    found = (
        a_pull_request(1, state="DECLINED"),
        a_pull_request(2, repository=API, state="MERGED"),
        a_pull_request(3, approved_by=(BEN,), description="What and why"),
    )
    situation = a_situation(
        rules, *found, a_branch(), a_build(), record=a_record(Status="In Review", Details="What and why")
    )
    return applied(situation, plan.plan_record(situation, rules), rules)


def _per_second(situation: Situation, rules: SyncRules) -> float:
    best = 0.0
    for _ in range(_ROUNDS):
        started = time.process_time()
        for _ in range(_PLANS):
            plan.plan_record(situation, rules)
        best = max(best, _PLANS / (time.process_time() - started))
    return best


if __name__ == "__main__":
    for name, measured, limit, unit in run():
        print(f"{name}: {measured:,.0f} {unit}, {measured / limit:.2f} × the limit of {limit:,.0f}")
