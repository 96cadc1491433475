"""How moments, ids, texts and values stand in columns."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from syncd.model.change import AgreedKey
from syncd.model.ids import FieldId, PullRequestKey, RepositoryId

if TYPE_CHECKING:
    import sqlite3 as sqlite3  # noqa: PLC0414  # other files of this room take it from here
else:
    # sqlite-utils takes `pysqlite3` when it is installed; exceptions are then of that module, so the module must be its.
    from sqlite_utils.utils import sqlite3

# What every function of this room works on: the one writing connection (or a reader's), inside a transaction.
Connection = sqlite3.Connection

# SQLite's primary result codes, by what they mean for us (sqlite.org/rescode.html).
FULL = 13
BUSY = frozenset({5, 6})

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# JSON in one line without blanks. One encoder for all: `json.dumps` makes a new one for every call with other separators.
compact = json.JSONEncoder(separators=(",", ":")).encode


def moment(at: datetime) -> int:
    """A moment as whole microseconds since 1970 in UTC: exact, sortable, and SQL can add to it."""
    return (at - _EPOCH) // _MICROSECOND


def moment_or_none(at: datetime | None) -> int | None:
    """Likewise; None stays None."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


def at(microseconds: int) -> datetime:
    """The moment that `moment` wrote."""
    return _EPOCH + timedelta(microseconds=microseconds)


def at_or_none(microseconds: int | None) -> datetime | None:
    """Likewise; None stays None."""
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def text(raw: str) -> str:
    """A text that SQLite can take: half of a surrogate pair, which JSON from outside may hold, is spelt out."""
    return raw if raw.isascii() else raw.encode("utf-8", "backslashreplace").decode("utf-8")


def array(members: Iterable[Any]) -> str:
    """Ids, or tuples of them, as one parameter for `json_each`: a statement then serves any number of them."""
    return compact(list(members))


def place(key: AgreedKey) -> dict[str, str | int]:
    """The columns of an agreed key; no pull request is `''` and 0, because NULL never equals NULL in a primary key."""
    pull_request = key.pull_request
    return {
        "field": key.field,
        "repository": "" if pull_request is None else pull_request.repository,
        "number": 0 if pull_request is None else pull_request.number,
    }


def key(field: str, repository: str, number: int) -> AgreedKey:
    """The agreed key of those columns."""
    pull_request = PullRequestKey(RepositoryId(repository), number) if repository else None
    return AgreedKey(FieldId(field), pull_request)
