"""Deliveries: durable before they are acknowledged, each once, until they were processed and retention takes them."""

import hashlib
import json
from collections.abc import Sequence

from syncd.model.event import Delivery
from syncd.model.ids import EndpointId
from syncd.ports import Arrived, Disposition
from syncd.store import columns
from syncd.store.columns import Connection

# Bitbucket's id of one event, the same on each attempt (reference/bitbucket.md "Webhooks").
REQUEST_HEADER = "x-request-uuid"

_INSERT = """
INSERT INTO inbox (endpoint, request, digest, received_at, headers, body)
VALUES (:endpoint, :request, :digest, :received_at, :headers, :body)
ON CONFLICT (endpoint, request, digest) DO NOTHING
RETURNING sequence
"""
_OLD = "SELECT sequence FROM inbox WHERE endpoint = :endpoint AND request = :request AND digest = :digest"
_DELIVERED = """
UPDATE endpoint SET last_delivery = max(coalesce(last_delivery, :received_at), :received_at) WHERE id = :endpoint
"""


def save(db: Connection, arrived: Sequence[Arrived]) -> tuple[int, ...]:
    """Store a group. The same body under the same request id is the same delivery; another body is another one."""
    numbers = []
    for one in arrived:
        row = {
            "endpoint": columns.text(one.endpoint),
            "request": columns.text(one.headers.get(REQUEST_HEADER, "")),
            "digest": hashlib.sha256(one.body).digest(),
            "received_at": columns.moment(one.received_at),
            "headers": json.dumps(dict(one.headers)),
            "body": one.body,
        }
        found = db.execute(_INSERT, row).fetchall() or db.execute(_OLD, row).fetchall()
        numbers.append(int(found[0][0]))
    newest = {one.endpoint: columns.moment(one.received_at) for one in sorted(arrived, key=lambda one: one.received_at)}
    db.executemany(_DELIVERED, [{"endpoint": columns.text(id), "received_at": when} for id, when in newest.items()])
    return tuple(numbers)


def load(db: Connection, limit: int) -> tuple[Delivery, ...]:
    """The oldest that wait."""
    rows = db.execute(
        "SELECT sequence, endpoint, received_at, headers, body FROM inbox"
        " WHERE disposition IS NULL ORDER BY sequence LIMIT :limit",
        {"limit": limit},
    )
    return tuple(
        Delivery(
            sequence=sequence,
            endpoint=EndpointId(endpoint),
            received_at=columns.at(received_at),
            headers=json.loads(headers),
            body=body,
        )
        for sequence, endpoint, received_at, headers, body in rows.fetchall()
    )


def process(db: Connection, processed: Sequence[tuple[int, Disposition, str]]) -> None:
    """Say what became of deliveries."""
    db.executemany(
        "UPDATE inbox SET disposition = :disposition, reason = :reason WHERE sequence = :sequence",
        [
            {"sequence": number, "disposition": disposition.value, "reason": columns.text(reason)}
            for number, disposition, reason in processed
        ],
    )


def count(db: Connection) -> int:
    """How many wait."""
    (waiting,) = db.execute("SELECT count(*) FROM inbox WHERE disposition IS NULL").fetchone()
    return int(waiting)


def purge(db: Connection, before: int, limit: int) -> int:
    """Delete old processed deliveries, oldest first. What waits stays, however old (reliability.md I16)."""
    return db.execute(
        "DELETE FROM inbox WHERE sequence IN (SELECT sequence FROM inbox"
        " WHERE disposition IS NOT NULL AND received_at < :before ORDER BY received_at LIMIT :limit)",
        {"before": before, "limit": limit},
    ).rowcount
