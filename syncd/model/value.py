"""
The one value space of both sides, in which `==` means "agrees".

A codec (`airtable.translate`, `bitbucket.translate`) brings what a service says into this space; what it writes reads
back as an equal value, or it refuses. Empty is always `NOTHING`: absent, null, "", [] and an unticked box are one
(reference/airtable.md 4.3).
"""

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import assert_never

# Longer texts are remembered by their hash only: the state holds little data (I30).
TEXT_KEPT_MAX = 200

_BULLET = re.compile(r"^([^\S\n]*)[*+] ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Not read, not readable, or never agreed: unknown is not empty. `reason` is for people."""

    reason: str = field(default="", compare=False)


UNKNOWN = Unknown()


class Nothing(Enum):
    """The empty value of every type."""

    NOTHING = "nothing"


NOTHING = Nothing.NOTHING


@dataclass(frozen=True, slots=True)
class Text:
    """
    A text. Equality is decided by `key`, its canonical form or the hash of that; `raw` is what is written.

    `raw` is None on a text that was loaded from the state and is remembered by its hash only.
    """

    key: str
    raw: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Number:
    """An exact decimal, so that neither float noise nor a trailing zero is a difference."""

    number: Decimal


@dataclass(frozen=True, slots=True)
class Boolean:
    """Only ever true: an unticked box and a false attribute read `NOTHING`, as Airtable cannot tell them apart."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment in UTC, cut to milliseconds: the finest that both services keep."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Day:
    """A calendar day without a zone."""

    day: date


@dataclass(frozen=True, slots=True)
class Options:
    """A set of option names; order means nothing."""

    names: frozenset[str]


Value = Nothing | Text | Number | Boolean | Instant | Day | Options
TRUE = Boolean()


def canonical_text(raw: str) -> str:
    """
    The form in which texts are compared: one kind of line end, NFC, no blanks at line ends, no U+200C, no blank edges.

    Both services rewrite texts in these ways (reference/bitbucket.md 6.3, reference/airtable.md 4.2).
    """
    if raw.isascii() and raw.isprintable():
        # Of all the ways only blank edges are left.
        return raw.strip()
    plain = unicodedata.normalize("NFC", raw.replace("\r\n", "\n").replace("\r", "\n").replace("\u200c", ""))
    return "\n".join(line.rstrip() for line in plain.split("\n")).strip()


def text(raw: str) -> Value:
    """A text as a value; `NOTHING` when nothing but blanks is left of it."""
    canonical = canonical_text(raw)
    if not canonical:
        return NOTHING
    if len(canonical) > TEXT_KEPT_MAX:
        return Text("sha256:" + hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest(), raw)
    return Text(canonical, raw)


def rich_text(raw: str) -> Value:
    """A rich text cell as a value: bullets are `-`, as Airtable rewrites them when it stores (reference/airtable.md 4.2)."""
    return text(_BULLET.sub(r"\1- ", raw.replace("\r\n", "\n").replace("\r", "\n")))


def number(raw: int | float | str | Decimal, precision: int | None = None) -> Number:
    """A number, rounded to `precision` digits behind the point when one is given. Raises ValueError when not finite."""
    exact = Decimal(str(raw))
    if not exact.is_finite():
        raise ValueError(f"{raw!r} is not a finite number")
    if precision is not None:
        exact = round(exact, precision)
    return Number(exact.normalize())


def boolean(raw: bool) -> Value:
    """A truth as a value: `TRUE`, or `NOTHING` for false."""
    return TRUE if raw else NOTHING


def instant(raw: datetime) -> Instant:
    """A moment as a value. Raises ValueError without a zone."""
    if raw.tzinfo is None:
        raise ValueError(f"{raw!r} has no time zone")
    moment = raw.astimezone(UTC)
    return Instant(moment.replace(microsecond=moment.microsecond // 1000 * 1000))


def options(names: frozenset[str] | tuple[str, ...] | list[str]) -> Value:
    """A set of names as a value; `NOTHING` when it is empty."""
    chosen = frozenset(names)
    return Options(chosen) if chosen else NOTHING


def plain(value: Value) -> str | int | float | bool | list[str] | None:
    """The value as expressions, journals and people see it: text, number, true, ISO time, sorted list, or None."""
    match value:
        case Nothing():
            return None
        case Text():
            return value.key if value.raw is None else value.raw
        case Number():
            return int(value.number) if value.number == value.number.to_integral_value() else float(value.number)
        case Boolean():
            return True
        case Instant():
            return format_instant(value.at)
        case Day():
            return value.day.isoformat()
        case Options():
            return sorted(value.names)
        case _:
            assert_never(value)


def format_instant(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and `Z`, as Airtable writes it."""
    moment = at if at.tzinfo is UTC else at.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def dump(value: Value, *, whole: bool = False) -> str:
    """
    The value as a line of JSON for the state store.

    Args:
        value: any value.
        whole: keep long texts whole (the journal needs them for a rollback) instead of by hash.
    """
    match value:
        case Nothing():
            return "null"
        case Text():
            kept = value.raw if whole and value.raw is not None else value.key
            return json.dumps({"text": kept} if kept != value.key or not kept.startswith("sha256:") else {"hash": kept})
        case Number():
            return json.dumps({"number": str(value.number)})
        case Boolean():
            return "true"
        case Instant():
            return json.dumps({"instant": format_instant(value.at)})
        case Day():
            return json.dumps({"day": value.day.isoformat()})
        case Options():
            return json.dumps({"options": sorted(value.names)})
        case _:
            assert_never(value)


def parse(line: str) -> Value:
    """What `dump` wrote. Raises ValueError on anything else."""
    loaded = json.loads(line)
    if loaded is None:
        return NOTHING
    if loaded is True:
        return TRUE
    match loaded:
        case {"hash": str(key)}:
            return Text(key, None)
        case {"text": str(raw)}:
            return text(raw)
        case {"number": str(digits)}:
            return Number(Decimal(digits))
        case {"instant": str(at)}:
            return Instant(datetime.fromisoformat(at))
        case {"day": str(day)}:
            return Day(date.fromisoformat(day))
        case {"options": list(names)}:
            return Options(frozenset(names))
    raise ValueError(f"not a value of the state store: {line[:80]!r}")
