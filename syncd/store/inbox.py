"""Deliveries: durable before they are acknowledged, each once, until they were processed and retention takes them."""

import hashlib
import json
from collections.abc import Sequence

from syncd.model.event import Delivery
from syncd.model.ids import EndpointId
from syncd.ports import Arrived, Disposition, Quarantined
from syncd.store import columns
from syncd.store.columns import Connection

# Bitbucket's id of one event, the same on each attempt (reference/bitbucket.md "Webhooks").
REQUEST_HEADER = "x-request-uuid"
# What the event is called, in Bitbucket's deliveries only.
KEY_HEADER = "x-event-key"
# From 2048 on hashlib lets go of the interpreter.
_PIECE_BYTES = 2047

# One step each for any number of rows: SQLite lets go of the interpreter at every step, and while the listener is busy
# each of them would wait its turn to get it back.
_INSERT = """
INSERT INTO inbox (endpoint, request, digest, received_at, headers, body)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), substr(:digests, 1 + key * :digest_bytes, :digest_bytes),
  json_extract(value, '$[2]'), json_extract(value, '$[3]'),
  substr(:bodies, 1 + json_extract(value, '$[4]'), json_extract(value, '$[5]'))
FROM json_each(:rows) WHERE true
ON CONFLICT (endpoint, request, digest) DO NOTHING
"""
_NUMBERS = """
SELECT json_group_array(sequence) FROM (
  SELECT inbox.sequence FROM json_each(:rows) AS asked CROSS JOIN inbox
  ON inbox.endpoint = json_extract(asked.value, '$[0]') AND inbox.request = json_extract(asked.value, '$[1]')
    AND inbox.digest = substr(:digests, 1 + asked.key * :digest_bytes, :digest_bytes)
  ORDER BY asked.key)
"""
_DELIVERED = """
UPDATE endpoint SET last_delivery = max(coalesce(last_delivery, :received_at), :received_at) WHERE id = :endpoint
"""


def save(db: Connection, arrived: Sequence[Arrived]) -> tuple[int, ...]:
    """Store a group. The same event key and body under the same request id are the same delivery; others are another one."""
    if not arrived:
        return ()
    rows, start = [], 0
    for one in arrived:
        request, headers = one.headers.get(REQUEST_HEADER, ""), json.dumps(dict(one.headers))
        received_at = columns.moment(one.received_at)
        rows.append((columns.text(one.endpoint), columns.text(request), received_at, headers, start, len(one.body)))
        start += len(one.body)
    group = {
        "rows": columns.array(rows),
        "digests": b"".join(_digest(one) for one in arrived),
        "digest_bytes": hashlib.sha256().digest_size,
        # A byte more: of an empty blob `substr` makes NULL.
        "bodies": b"".join((*(one.body for one in arrived), b"\0")),
    }
    db.execute(_INSERT, group)
    ((numbers,),) = db.execute(_NUMBERS, group).fetchall()
    newest = {one.endpoint: columns.moment(one.received_at) for one in sorted(arrived, key=lambda one: one.received_at)}
    db.executemany(_DELIVERED, [{"endpoint": columns.text(id), "received_at": when} for id, when in newest.items()])
    return tuple(json.loads(numbers))


def _digest(one: Arrived) -> bytes:
    """
    SHA-256 of event key and body (BW17); no header holds the zero byte between them.

    In pieces so small that hashlib keeps the interpreter: to get it back costs more than the pieces do.
    """
    key = one.headers.get(KEY_HEADER, "").encode("utf-8", "backslashreplace")
    digest, whole = hashlib.sha256(), memoryview(b"\0".join((key, one.body)))
    for start in range(0, len(whole), _PIECE_BYTES):
        digest.update(whole[start : start + _PIECE_BYTES])
    return digest.digest()


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


def load_quarantined(db: Connection, limit: int) -> tuple[int, tuple[Quarantined, ...]]:
    """How many of those that are kept could not be read, and the newest of them."""
    (count,) = db.execute("SELECT count(*) FROM inbox WHERE disposition = 'quarantined'").fetchone()
    rows = db.execute(
        "SELECT sequence, endpoint, received_at, headers, reason FROM inbox"
        " WHERE disposition = 'quarantined' ORDER BY sequence DESC LIMIT :limit",
        {"limit": limit},
    )
    return int(count), tuple(
        Quarantined(
            sequence=sequence,
            endpoint=EndpointId(endpoint),
            received_at=columns.at(received_at),
            event_key=json.loads(headers).get(KEY_HEADER, ""),
            reason=reason,
        )
        for sequence, endpoint, received_at, headers, reason in rows.fetchall()
    )


def purge(db: Connection, before: int, limit: int) -> int:
    """Delete old processed deliveries, oldest first. What waits stays, however old (reliability.md I16)."""
    return db.execute(
        "DELETE FROM inbox WHERE sequence IN (SELECT sequence FROM inbox"
        " WHERE disposition IS NOT NULL AND received_at < :before ORDER BY received_at LIMIT :limit)",
        {"before": before, "limit": limit},
    ).rowcount
