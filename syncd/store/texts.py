"""Small remembered texts, and the budgets' ledgers, so that a restart forgets no spent request (reliability.md I21)."""

import json
from collections.abc import Mapping
from typing import Any

from syncd.store import columns
from syncd.store.columns import Connection


def load(db: Connection, key: str) -> str | None:
    """As `ports.Store.load_text`."""
    row = db.execute("SELECT text FROM text WHERE key = :key", {"key": columns.text(key)}).fetchone()
    return None if row is None else str(row[0])


def save(db: Connection, key: str, text: str) -> None:
    """As `ports.Store.save_text`."""
    db.execute(
        "INSERT INTO text (key, text) VALUES (:key, :text) ON CONFLICT (key) DO UPDATE SET text = excluded.text",
        {"key": columns.text(key), "text": columns.text(text)},
    )


def load_ledger(db: Connection, budget: str) -> Mapping[str, Any] | None:
    """As `ports.Store.load_ledger`."""
    row = db.execute("SELECT body FROM ledger WHERE budget = :budget", {"budget": budget}).fetchone()
    if row is None:
        return None
    body: Mapping[str, Any] = json.loads(row[0])
    return body


def save_ledgers(db: Connection, budgets: Mapping[str, Mapping[str, Any]]) -> None:
    """As `ports.Store.save_ledgers`."""
    db.executemany(
        "INSERT INTO ledger (budget, body) VALUES (:budget, :body) ON CONFLICT (budget) DO UPDATE SET body = excluded.body",
        [{"budget": budget, "body": json.dumps(dict(body))} for budget, body in sorted(budgets.items())],
    )
