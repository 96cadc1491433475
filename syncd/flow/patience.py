"""
Refusals that stand are tried once more now and then: what a service refused for a cause of its own side may fit by now.

A full compare lets each have at most one try, and waits twice as long for the next (reliability.md I22, BB29).
"""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from syncd import ports
from syncd.core import retry
from syncd.flow import fault
from syncd.flow.context import Context
from syncd.model.ids import RecordId

FIRST = timedelta(minutes=15)


def renew(context: Context, candidates: Iterable[RecordId], now: datetime) -> int:
    """
    Mark the records whose refusal has stood long enough, so that their next plan is sent once.

    Args:
        candidates: every record that may stand refused; of others nothing is remembered.

    Returns:
        How many were marked.
    """
    store, place = context.store, f"patience:{context.name}"
    text = store.load_text(place)
    wanted = sorted(candidates)
    # One that trips a fault of ours is told, and tried again, by the passes that read it (PR10).
    parts = fault.apart(wanted, lambda some: store.load_remembered(context.name, some), lambda *_: None)
    refused = {record: memory.parked for part in parts for record, memory in part.items() if memory.parked}
    if not refused and not text:
        return 0
    kept = json.loads(text) if text else {}
    waits: dict[str, tuple[int, str]] = {}
    due = []
    for record in refused:
        tries, since = kept.get(record, (0, now.isoformat()))
        waited = now - datetime.fromisoformat(since)
        # A clock that was set back does not put it off for ever.
        if not timedelta(0) <= waited < retry.patience(tries, FIRST):
            due.append(record)
            tries, since = tries + 1, now.isoformat()
        waits[record] = (tries, since)
    # First: after a crash in between a try is missed, and none is made twice.
    store.save_text(place, json.dumps(waits) if waits else "")
    if due:
        # It stays shown as refused; only its cause is forgotten, and that is what keeps it back.
        commits = [
            ports.RecordCommit(record=record, done=None, state=None, parked=refused[record], parked_for="")
            for record in due
        ]
        store.commit(context.name, commits, (), now)
        store.mark_records(context.name, due, ports.Lane.COMPARE, now, now)
    return len(due)
