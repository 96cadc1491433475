"""
What `GET /status` says (SPEC section 5). Healthy means complete and fresh, not merely connected (I35).

Every reason is a sentence for people; OPERATIONS.md says what to type for each.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from syncd import ports
from syncd.flow import full_compare, generation, refusal
from syncd.flow.context import Context
from syncd.flow.effort import Effort
from syncd.model.change import RecordState
from syncd.model.event import Endpoint
from syncd.spec.rules import Rules

BACKLOG_MAX = timedelta(minutes=5)
EXPIRES_SOON = timedelta(hours=48)
# Of the deliveries that could not be read, so many are told one by one.
QUARANTINED_TOLD_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Vital:
    """
    What health is computed from.

    Args:
        failed: why the state cannot be written; "" when it can.
        spec_problem: why a newer spec was not taken over; "" when there is none.
        repair_times: T per sync, for people with its arithmetic.
        poll_periods: per sync, how far apart polls of its base lie for the budget.
    """

    rules: Rules
    contexts: Sequence[Context]
    efforts: Sequence[Effort]
    paused: Mapping[str, str]
    budgets: Mapping[str, Mapping[str, Any]]
    now: datetime
    version: str
    failed: str = ""
    spec_problem: str = ""
    repair_times: Mapping[str, timedelta] | None = None
    poll_periods: Mapping[str, timedelta] | None = None


def status(vital: Vital) -> dict[str, Any]:
    """The whole answer, JSON-ready."""
    if vital.failed:
        return {
            "state": "halted",
            "reasons": [vital.failed],
            "version": vital.version,
            "spec_hash": vital.rules.spec_hash,
            "syncs": {},
            "queue": {},
            "quarantine": {},
            "endpoints": {},
            "budgets": dict(vital.budgets),
        }
    store = vital.contexts[0].store if vital.contexts else None
    syncs = {str(context.name): _sync(context, vital) for context in vital.contexts}
    counts = store.counts() if store is not None else ports.QueueCounts(inbox=0, dirty=0, parked=0)
    endpoints = store.load_endpoints() if store is not None else ()
    halted = [f"{name}: {sync['refused']}" for name, sync in syncs.items() if sync["refused"]]
    degraded = [*_reasons(vital, counts, endpoints), *_waiting(syncs)]
    paused = [f"paused ({scope}): {reason}" for scope, reason in sorted(vital.paused.items())]
    if halted:
        state = "halted"
    elif paused:
        state = "paused"
    else:
        state = "degraded" if degraded else "ok"
    return {
        "state": state,
        "reasons": [*halted, *paused, *degraded],
        "version": vital.version,
        "spec_hash": vital.rules.spec_hash,
        "syncs": syncs,
        "queue": {"inbox": counts.inbox, "dirty": counts.dirty, "parked": counts.parked},
        "quarantine": _quarantine(store),
        "endpoints": {str(one.id): _endpoint(one) for one in endpoints if one.active},
        "budgets": dict(vital.budgets),
    }


def _sync(context: Context, vital: Vital) -> dict[str, Any]:
    store, now = context.store, vital.now
    states = store.states(context.name)
    runs = store.load_runs(context.name, 1)
    compared = full_compare.last(context)
    oldest = store.counts(context.name).oldest_dirty
    accepted = store.load_accepted(context.name)
    repair = (vital.repair_times or {}).get(context.name)
    poll = (vital.poll_periods or {}).get(context.name, context.rules.daemon.poll)
    plan, _, reason = (store.load_text(full_compare.emptied_key(context.name)) or "").partition("\n")
    standing = refusal.standing(context)
    refused = [(standing.digest, standing.reason)] if standing is not None else []
    refused += [(plan, reason)] if plan else []
    return {
        "adoption": not context.sync.accepts() <= accepted,
        "records": sum(count for state, count in states.items() if state != "linked"),
        "linked": states.get("linked", 0),
        "in_sync": states.get(RecordState.OK.value, 0),
        "pending": states.get(RecordState.PENDING.value, 0),
        "held": states.get(RecordState.HELD.value, 0),
        "refused_edits": states.get(RecordState.REFUSED.value, 0),
        "conflicts": len(store.load_conflicts(context.name)),
        "errors": states.get(RecordState.ERROR.value, 0),
        "out_of_scope": states.get(RecordState.OUT_OF_SCOPE.value, 0),
        "last_compare": compared.isoformat() if compared is not None else None,
        "last_run": (runs[0].ended_at or runs[0].started_at).isoformat() if runs else None,
        "lag_seconds": max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0,
        "repair_time_seconds": repair.total_seconds() if repair is not None else None,
        "poll_seconds": poll.total_seconds(),
        "refused": "; ".join(f"{why}; look, then: syncd apply {name} --accept mass-change" for name, why in refused),
        "refused_plan": refused[0][0] if refused else "",
    }


def _quarantine(store: ports.Store | None) -> dict[str, Any]:
    """
    Deliveries that could not be read (I16, BW10), never their bodies.

    They take nothing from completeness, and so from the state: what each may have been about is read as a whole.
    """
    count, newest = (0, ()) if store is None else store.load_quarantined(QUARANTINED_TOLD_MAX)
    return {
        "count": count,
        "newest": [
            {
                "delivery": one.sequence,
                "endpoint": one.endpoint,
                "received_at": one.received_at.isoformat(),
                "event": one.event_key,
                "reason": one.reason,
            }
            for one in newest
        ],
    }


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "provider": endpoint.provider,
        "subject": endpoint.subject,
        "active": endpoint.active,
        "last_delivery": endpoint.last_delivery.isoformat() if endpoint.last_delivery else None,
        "expires": endpoint.expires.isoformat() if endpoint.expires else None,
        "score": 1.0 if endpoint.active else 0.0,
    }


def _reasons(vital: Vital, counts: ports.QueueCounts, endpoints: Sequence[Endpoint]) -> list[str]:
    reasons = [effort.trouble for effort in vital.efforts if effort.trouble]
    if vital.spec_problem:
        reasons.append(f"the spec on disk was not taken over: {vital.spec_problem}")
    if counts.oldest_dirty is not None and vital.now - counts.oldest_dirty > BACKLOG_MAX:
        minutes = int((vital.now - counts.oldest_dirty).total_seconds() // 60)
        reasons.append(f"{counts.dirty} record(s) wait, the oldest for {minutes} minutes")
    reasons.extend(vital.rules.blocked)
    for context in vital.contexts:
        reasons.extend(f"{context.name}: {reason}" for reason in context.sync.blocked)
        if doubt := context.store.load_text(generation.doubt_key(context.name)):
            reasons.append(f"{context.name}: {doubt}. Nothing is written before `syncd plan` and `syncd apply`")
        reasons.extend(_stale(context, vital))
        for view in context.store.load_repositories(context.repository_ids):
            reasons.extend(f"{context.name}: {reason}" for reason in (view.trouble, *view.parked) if reason)
        reasons.extend(_hooks(context, vital, endpoints))
    return reasons


def _stale(context: Context, vital: Vital) -> Iterable[str]:
    compared = full_compare.last(context)
    repair = (vital.repair_times or {}).get(context.name) or context.rules.daemon.compare_every
    if compared is None:
        yield f"{context.name}: both sides were not compared in full yet"
    elif vital.now - compared > 2 * repair + context.rules.daemon.compare_every:
        yield f"{context.name}: the last full compare was at {compared.isoformat(timespec='seconds')}"


def _hooks(context: Context, vital: Vital, endpoints: Sequence[Endpoint]) -> Iterable[str]:
    subjects = {one.subject: one for one in endpoints if one.active}
    expected: list[str] = [context.sync.base]
    if context.rules.daemon.public_url:
        expected += [str(id) for id in context.repository_ids]
    for subject in expected:
        endpoint = subjects.get(subject)
        if endpoint is None:
            yield f"{context.name}: no webhook on {subject}"
        elif endpoint.expires is not None and endpoint.expires - vital.now < EXPIRES_SOON:
            yield f"{context.name}: the webhook on {subject} expires at {endpoint.expires.isoformat(timespec='seconds')}"


def _waiting(syncs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"{name}: rules wait for acceptance; see `syncd plan`, then `syncd apply`"
        for name, sync in syncs.items()
        if sync["adoption"]
    ]
