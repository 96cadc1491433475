"""
The guard's standing refusal of a sync: which plan, why, and when it is looked at again. While it stands the sync sends nothing.

It is durable, so that no restart and no later edit lets a refused plan out in slices.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from syncd.flow.context import Context
from syncd.model.ids import RecordId

# No look is put off for longer; a time further ahead is of a clock that was set back (reliability.md I33).
_LATEST = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """
    Args:
        digest: the refused plan's name, by which a person accepts it.
        reason: what the guard said.
        records: what the plan was of, sorted.
        tries: how often it was refused in a row.
        again: when it is looked at again; until then everything due waits.
        accepting: a person's `apply` was refused, which accepts rules in adoption with it; else a pass of the daemon.
        spec: the spec's hash that it was refused under; another one is looked at at once.
    """

    digest: str
    reason: str
    records: tuple[RecordId, ...]
    tries: int
    again: datetime
    accepting: bool
    spec: str


def key(context: Context) -> str:
    """Where the state keeps it."""
    return f"refused:{context.name}"


def standing(context: Context) -> Refusal | None:
    """The refusal that stands, or None."""
    text = context.store.load_text(key(context))
    if not text:
        return None
    row = json.loads(text)
    return Refusal(
        digest=row["digest"],
        reason=row["reason"],
        records=tuple(RecordId(record) for record in row["records"]),
        tries=row["tries"],
        again=datetime.fromisoformat(row["again"]),
        accepting=row["accepting"],
        spec=row["spec"],
    )


def save(context: Context, refusal: Refusal) -> None:
    """Let it stand."""
    row = {**asdict(refusal), "again": refusal.again.isoformat()}
    context.store.save_text(key(context), json.dumps(row))


def lift(context: Context) -> None:
    """It stands no more."""
    if context.store.load_text(key(context)):
        context.store.save_text(key(context), "")


def is_due(context: Context, refusal: Refusal, now: datetime) -> bool:
    """Whether to look at the whole again."""
    waits = refusal.again - now
    return refusal.spec != context.rules.spec_hash or not timedelta(0) < waits <= _LATEST
