"""Webhooks that we registered: their cursors, their secrets in a table of their own, and which were pinged."""

from collections.abc import Sequence

from syncd.model.event import Endpoint
from syncd.model.ids import EndpointId, HookId
from syncd.store import columns
from syncd.store.columns import Connection


def save(db: Connection, endpoint: Endpoint, secret: str | None) -> None:
    """
    As `ports.Store.save_endpoint`.

    Two threads may hold the same endpoint, so what one of them learnt stays: the later delivery, and of one hook the
    later cursor.
    """
    row = {
        "id": endpoint.id,
        "provider": endpoint.provider,
        "connection": endpoint.connection,
        "subject": endpoint.subject,
        "hook": endpoint.hook,
        "active": int(endpoint.active),
        "cursor": endpoint.cursor,
        "expires": columns.moment_or_none(endpoint.expires),
        "last_delivery": columns.moment_or_none(endpoint.last_delivery),
        "created_at": columns.moment_or_none(endpoint.created_at),
        "secret": secret,
    }
    db.execute(
        "INSERT INTO endpoint"
        " (id, provider, connection, subject, hook, active, cursor, expires, last_delivery, created_at)"
        " VALUES (:id, :provider, :connection, :subject, :hook, :active, :cursor, :expires, :last_delivery, :created_at)"
        " ON CONFLICT (id) DO UPDATE SET provider = excluded.provider, connection = excluded.connection,"
        " subject = excluded.subject, active = excluded.active, expires = excluded.expires,"
        " created_at = excluded.created_at, hook = excluded.hook,"
        " cursor = CASE WHEN hook = excluded.hook THEN max(cursor, excluded.cursor) ELSE excluded.cursor END,"
        " last_delivery = max(coalesce(last_delivery, excluded.last_delivery),"
        "  coalesce(excluded.last_delivery, last_delivery))",
        row,
    )
    if secret is not None:
        db.execute(
            "INSERT INTO endpoint_secret (endpoint, secret) VALUES (:id, :secret)"
            " ON CONFLICT (endpoint) DO UPDATE SET secret = excluded.secret",
            row,
        )


def load(db: Connection) -> tuple[Endpoint, ...]:
    """As `ports.Store.load_endpoints`, ordered by id."""
    rows = db.execute(
        "SELECT id, provider, connection, subject, hook, active, cursor, expires, last_delivery, created_at"
        " FROM endpoint ORDER BY id"
    )
    return tuple(
        Endpoint(
            id=EndpointId(id),
            provider=provider,
            connection=connection,
            subject=subject,
            hook=HookId(hook),
            active=bool(active),
            cursor=cursor,
            expires=columns.at_or_none(expires),
            last_delivery=columns.at_or_none(last_delivery),
            created_at=columns.at_or_none(created_at),
        )
        for id, provider, connection, subject, hook, active, cursor, expires, last_delivery, created_at in rows.fetchall()
    )


def load_secret(db: Connection, endpoint: EndpointId) -> str:
    """As `ports.Store.load_secret`."""
    row = db.execute("SELECT secret FROM endpoint_secret WHERE endpoint = :id", {"id": endpoint}).fetchone()
    return "" if row is None else str(row[0])


def save_cursor(db: Connection, endpoint: EndpointId, cursor: int) -> None:
    """How far its payloads were taken."""
    db.execute("UPDATE endpoint SET cursor = :cursor WHERE id = :id", {"id": endpoint, "cursor": cursor})


def save_pinged(db: Connection, pinged: Sequence[EndpointId]) -> None:
    """Pings that were received."""
    db.executemany("UPDATE endpoint SET pinged = 1 WHERE id = :id", [{"id": id} for id in sorted(set(pinged))])


def has_pinged(db: Connection) -> bool:
    """Whether `take_pinged` would find any."""
    return db.execute("SELECT 1 FROM endpoint WHERE pinged = 1 LIMIT 1").fetchone() is not None


def take_pinged(db: Connection) -> frozenset[EndpointId]:
    """As `ports.Store.take_pinged`."""
    rows = db.execute("UPDATE endpoint SET pinged = 0 WHERE pinged = 1 RETURNING id").fetchall()
    return frozenset(EndpointId(id) for (id,) in rows)
