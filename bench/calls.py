"""
API calls: what a burst of deliveries costs, counted in the logs of both emulated services.

Every pull request gets the same number of deliveries, shuffled, within some seconds. From half of them something follows
(a review and a build move cells of the record), from the other half nothing does (comments): reads for those decide nothing.
"""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.figure import Bound, Figure
from syncd.sandbox.wire import Delivery, LogEntry
from tests.flow.house import Lab

PULL_REQUESTS = 200
DELIVERIES_EACH = 5
# Two hundred a second for five seconds is what the receiver must take (reference/reliability.md "Receiver, 2 cores").
TOGETHER = 10
BETWEEN = timedelta(milliseconds=50)
# Records of one Airtable write request (reference/airtable.md 3.3).
BATCH = 10
_REPOSITORIES = {"web": "Web", "api": "API"}
_LIMITS = {
    # Neither budgets nor the guard are what is measured here; setting the pull requests up takes more than an hour's calls.
    "budget    = { hour = 1000,": "budget    = { hour = 1000000,",
    "floor   = 10 ": "floor   = 100000 ",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """One record's pull request. `head` has 40 characters; `busy`: its deliveries change something."""

    record: str
    repository: str
    number: int
    head: str
    busy: bool


def run(pull_requests: int = PULL_REQUESTS) -> list[Figure]:
    """Both figures of the row "API calls"."""
    with tempfile.TemporaryDirectory() as folder:
        lab = _CountingLab(Path(folder), edit=_lift)
        made = _fill(lab, pull_requests)
        lab.run(timedelta(minutes=1))
        lab.apply()
        # Right behind a full compare: the next one is a quarter of an hour away and not part of the burst.
        lab.run(timedelta(minutes=15))
        airtable, bitbucket = len(lab.airtable.inner.log), len(lab.bitbucket.inner.log)
        deliveries = _burst(lab, made)
        return figures(made, deliveries, lab.airtable.inner.log[airtable:], lab.bitbucket.inner.log[bitbucket:])


def figures(
    made: Sequence[Linked], deliveries: int, airtable: Sequence[LogEntry], bitbucket: Sequence[LogEntry]
) -> list[Figure]:
    """Count in the logs of the burst."""
    writes = [entry for entry in airtable if entry.method in ("PATCH", "PUT")]
    changed = {change.object for entry in writes for change in entry.changes if change.kind == "record"}
    least = -(-sum(one.busy for one in made) // BATCH)
    reads = [entry.path for entry in bitbucket if entry.method == "GET"]
    deciding = [path for path in reads if any(_names(path, one) for one in made if one.busy)]
    idle = len(reads) - len(deciding)
    burst = f"{deliveries:,} deliveries over {len(made)} pull requests"
    return [
        Figure(
            name="API calls: Airtable writes / least possible",
            measured=len(writes) / least,
            bound=Bound.AT_MOST,
            limit=1.05,
            note=f"{len(writes)} requests changed {len(changed)} records; {burst}",
        ),
        Figure(
            name="API calls: Bitbucket reads without a decision / delivery",
            measured=idle / deliveries,
            bound=Bound.AT_MOST,
            limit=0.05,
            note=f"{idle} of {len(reads)} reads; every page of a list counts as one",
        ),
    ]


def _names(path: str, one: Linked) -> bool:
    """Whether a read is about this pull request alone."""
    return f"/pullrequests/{one.number}/" in f"{path}/" or one.head[:12] in path


class _CountingLab(Lab):
    """Counts the Bitbucket deliveries that were taken."""

    taken = 0

    def _receive(self, provider: str, delivery: Delivery) -> int:
        status = super()._receive(provider, delivery)
        self.taken += provider == "bitbucket" and status == 200
        return status


def _lift(text: str) -> str:
    for line, wanted in _LIMITS.items():
        if line not in text:
            raise ValueError(f"config/syncd.toml has no {line!r} any more: set bench.calls._LIMITS right")
        text = text.replace(line, wanted)
    return text


def _fill(lab: Lab, pull_requests: int) -> list[Linked]:
    """Records with a branch and an open pull request each; every other one will be busy."""
    now = lab.clock.now()
    lab.bitbucket.control("hourly_limit", {"limit": 1_000_000}, now)
    found = []
    for place in range(pull_requests):
        name, repository = f"Feature {place}", tuple(_REPOSITORIES)[place % len(_REPOSITORIES)]
        cells = {"Name": name, "Status": "Ready", "Repo": _REPOSITORIES[repository]}
        asked = {"table": lab.world.table, "cells": cells, "user": "ada@acme.dev"}
        record = lab.airtable.control("create", asked, now)["id"]
        branch = f"feature/{record}-feature-{place}"
        head = lab.work("push", repository=repository, branch=branch, commits=[f"{name}\n"])["hash"]
        made = lab.work(
            "create_pull_request",
            repository=repository,
            source=branch,
            title=f"[Airtable: {record}] {name}",
            description=f"What {name} is about.",
        )
        busy = place // len(_REPOSITORIES) % 2 == 0
        found.append(Linked(record=record, repository=repository, number=made["id"], head=head, busy=busy))
    return found


def _burst(lab: _CountingLab, made: Sequence[Linked]) -> int:
    """Let people and a build server work; how many deliveries came of it."""
    before = lab.taken
    acts: list[tuple[str, dict[str, Any]]] = []
    for one in made:
        where = {"repository": one.repository, "id": one.number}
        if one.busy:
            acts.append(("approve", {**where, "user": "grace"}))
            built = {"commit": one.head, "key": "ci", "state": "SUCCESSFUL"}
            acts.append(("set_status", {"repository": one.repository, **built}))
        remarks = DELIVERIES_EACH - 2 * one.busy
        acts += [("comment", {**where, "text": f"Remark {number}", "user": "ada"}) for number in range(remarks)]
    random.Random(1).shuffle(acts)
    for place, (verb, arguments) in enumerate(acts, 1):
        lab.work(verb, **arguments)
        if place % TOGETHER == 0:
            lab.run(BETWEEN)
    # The longest that quiet may put a key off (SPEC section 2, `quiet`), and the looks after it.
    lab.run(timedelta(minutes=2))
    return lab.taken - before
