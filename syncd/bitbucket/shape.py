"""
The shapes that answers and deliveries of Bitbucket are made of: dates, UUIDs, hashes, and keys that must hold a certain type.

What has another shape raises `Malformed`, whose text names the place and never a value.
"""

import re
from datetime import UTC, datetime
from typing import Any, TypeGuard

SHORT_HASH_LENGTH = 12
FULL_HASH_LENGTH = 40
# What the state store takes; the service's own numbers have at most ten digits.
NUMBER_MAX = 2**63 - 1

_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_HASH = re.compile(r"[0-9a-f]{7,40}")
_UUID = re.compile(r"\{?([0-9A-Za-z-]{1,64})\}?")

Json = dict[str, Any]


class Malformed(Exception):
    """An answer has another form than the service is known to give. `where` is a path of keys; no value is quoted."""

    code = "MALFORMED"

    def __init__(self, where: str, expected: str) -> None:
        super().__init__(f"{where}: expected {expected}")


class UnknownState(Malformed):
    """A state that did not exist when this was written: its record parks, it is never guessed (SD13)."""

    code = "UNKNOWN_STATE"


def instant(raw: Any, where: str) -> datetime:
    """Any of the service's date formats as UTC, cut to microseconds (reference/bitbucket.md 1)."""
    parsed = instant_or_none(raw)
    if parsed is None:
        raise Malformed(where, "a date and time with its offset")
    return parsed


def instant_or_none(raw: Any) -> datetime | None:
    """As `instant`; None for what is no such date."""
    found = _INSTANT.fullmatch(raw) if isinstance(raw, str) else None
    if found is None:
        return None
    second, fraction, offset = found.groups()
    try:
        # Webhook subscriptions have nine digits, pipelines cut their trailing zeros.
        local = datetime.fromisoformat(f"{second}.{(fraction or '')[:6]:0<6}{'+00:00' if offset == 'Z' else offset}")
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def uuid_or_none(raw: Any) -> str | None:
    """A UUID in braces and lower case, however it was written: headers leave the braces out (reference/bitbucket.md 4)."""
    found = _UUID.fullmatch(raw) if isinstance(raw, str) else None
    return None if found is None else "{" + found[1].lower() + "}"


def uuid(raw: Any, where: str) -> str:
    """A UUID in braces and lower case."""
    found = uuid_or_none(raw)
    if found is None:
        raise Malformed(where, "a UUID")
    return found


def is_full_hash(raw: Any) -> TypeGuard[str]:
    """Whether it is the hash of a commit in all its 40 characters."""
    return isinstance(raw, str) and len(raw) == FULL_HASH_LENGTH and _HASH.fullmatch(raw) is not None


def full_hash(body: Json, where: str) -> str:
    """The value of `hash` in all its 40 characters."""
    found = body.get("hash")
    if not is_full_hash(found):
        raise Malformed(where, "40 hexadecimal digits")
    return found


def short_hash(raw: Any, where: str) -> str:
    """The first twelve characters of a commit's hash; "" for null."""
    if raw is None:
        return ""
    found = an_object(raw, where).get("hash")
    if not isinstance(found, str) or _HASH.fullmatch(found) is None:
        raise Malformed(f"{where}.hash", "hexadecimal digits")
    return found[:SHORT_HASH_LENGTH]


def an_object(raw: Any, where: str) -> Json:
    """The value as an object."""
    if not isinstance(raw, dict):
        raise Malformed(where, "an object")
    return raw


def objects(body: Json, key: str) -> list[Json]:
    """The value of a key as a list of objects."""
    found = body.get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Malformed(key, "a list of objects")
    return found


def text(body: Json, key: str) -> str:
    """The value of a key as a text that a store takes."""
    found = body.get(key)
    if not isinstance(found, str):
        raise Malformed(key, "a text")
    if not is_unicode(found):
        raise Malformed(key, "a text in Unicode")
    return found


def is_unicode(found: str) -> bool:
    """Whether a store takes it: escapes of JSON can make half characters (lone surrogates, DA04)."""
    try:
        found.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def text_or_empty(body: Json, key: str, *, required: bool = False) -> str:
    """As `text`; null, and absent unless `required`, is ""."""
    if required and key not in body:
        raise Malformed(key, "a text or null")
    return "" if body.get(key) is None else text(body, key)


def truth(body: Json, key: str) -> bool:
    """The value of a key as a truth; absent or null is false: reference/bitbucket.md 6.3."""
    found = body.get(key)
    if found is not None and not isinstance(found, bool):
        raise Malformed(key, "true or false")
    return found is True


def number(body: Json, key: str) -> int:
    """The value of a key as a number from 1."""
    found = body.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= NUMBER_MAX:
        raise Malformed(key, "a positive number")
    return found


def count(body: Json, key: str) -> int:
    """The value of a key as a number from 0; absent is 0."""
    found = body.get(key, 0)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= NUMBER_MAX:
        raise Malformed(key, "a number")
    return found


def html(body: Json) -> str:
    """The address of an object's page, "" when partial answers left it out or when it is none."""
    links = body.get("links")
    link = links.get("html") if isinstance(links, dict) else None
    href = link.get("href") if isinstance(link, dict) else None
    return href if isinstance(href, str) and is_unicode(href) else ""
