"""Strict shapes of answers: an answer of another shape is a failed call, never an empty one (AT07)."""

import re
from datetime import UTC, datetime
from typing import Any

# What the state store takes.
NUMBER_MAX = 2**63 - 1

_ID = re.compile(r"[a-z]{3}[A-Za-z0-9]{1,64}")


class ShapeError(ValueError):
    """An answer is not what it must be. The text names the place, never the value."""


def mapping(raw: Any, place: str) -> dict[str, Any]:
    """An object. Raises ShapeError."""
    if not isinstance(raw, dict):
        raise ShapeError(f"{place} is no object")
    return raw


def sequence(raw: Any, key: str, place: str) -> list[Any]:
    """The list under `key` of an object. Raises ShapeError when it is missing: there is no empty default."""
    found = mapping(raw, place).get(key)
    if not isinstance(found, list):
        raise ShapeError(f"{place} has no list {key!r}")
    return found


def text(raw: Any, key: str, place: str) -> str:
    """The text under `key` of an object, not empty. Raises ShapeError."""
    found = mapping(raw, place).get(key)
    if not isinstance(found, str) or not found:
        raise ShapeError(f"{place} has no text {key!r}")
    return found


def identity(raw: Any, key: str, prefix: str, place: str) -> str:
    """The id under `key` of an object, with its three-letter prefix (reference/airtable.md 1). Raises ShapeError."""
    found = text(raw, key, place)
    if not is_id(found, prefix):
        raise ShapeError(f"{place} has no id {prefix}… under {key!r}")
    return found


def is_id(raw: object, prefix: str) -> bool:
    """Whether it is an id that may stand in a path or formula: prefix, letters and digits, nothing else (DA15)."""
    return isinstance(raw, str) and raw.startswith(prefix) and _ID.fullmatch(raw) is not None


def moment(raw: Any) -> datetime | None:
    """An ISO 8601 moment with a zone, in UTC; None for anything else."""
    if not isinstance(raw, str):
        return None
    try:
        found = datetime.fromisoformat(raw)
        return None if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        # The second: next to the year 1 or 9999 a zone leads out of the calendar.
        return None


def name(raw: Any, key: str, place: str) -> str:
    """As `text`, for what people named: half characters, which no store takes, become U+FFFD (DA04)."""
    return sound(text(raw, key, place))


def sound(found: str) -> str:
    """A text that any store takes. One odd name must not cost the whole schema."""
    return found if found.isascii() else found.encode("utf-8", "replace").decode("utf-8")
