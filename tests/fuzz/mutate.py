"""
Mutations of bytes, of JSON and of texts with a vocabulary. Everything is drawn from the `random.Random` that is handed in.

Hypothesis hands in one whose draws it records and shrinks; the guided driver one with a seed.
"""

import copy
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

BYTES_MAX = 64 * 1024
Mutator = Callable[[bytes, Random], bytes]

ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**53 + 1,
    2**63,
    10**30,
    10**400,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "NaN",
    "\x00",
    "\ud800",
    "a\udfffb",
    "../..",
    "%2e%2e/",
    "\u202e\u200b",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-14:00",
    "2026-02-30T00:00:00Z",
    "٢٠٢٦-٠١-٠١T٠٠:٠٠:٠٠Z",
    "x" * 5000,
    [],
    {},
    [[]],
    [None],
    {"": {}},
    {"error": "#ERROR!"},
    {"specialValue": "NaN"},
)
ODD_BYTES = (
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\\ud800",
    b"NaN",
    b"Infinity",
    b"1e999",
    b"9" * 5000,
    b"-0",
    b"[" * 2000,
    b'{"a":' * 1000,
    b"\r\n",
    b"\x1f\x8b\x08",
    b'"',
    b"\\",
    b"}",
    b"]",
    b",",
)


def of_bytes(data: bytes, random: Random) -> bytes:
    """One to four small accidents: bits, bytes, pieces that go, come twice or move."""
    made = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(made))
        end = min(len(made), at + random.choice((1, 1, 2, 4, 16, 200)))
        match random.randint(0, 6):
            case 0 if at < len(made):
                made[at] ^= 1 << random.randint(0, 7)
            case 1 if at < len(made):
                made[at] = random.randint(0, 255)
            case 2:
                del made[at:end]
            case 3:
                made[at:at] = made[at:end]
            case 4:
                made[at:end] = random.choice(ODD_BYTES)
            case 5:
                made[at:at] = bytes(random.randint(0, 255) for _ in range(random.randint(1, 4)))
            case _:
                other = random.randint(0, len(made))
                made[at:at] = made[other : other + 32]
    return bytes(made[:BYTES_MAX])


def of_json(value: Any, random: Random) -> Any:
    """A copy with one to four changes of structure: keys dropped, values of another kind, nesting, things twice."""
    made = [copy.deepcopy(value)]
    for _ in range(random.randint(1, 4)):
        holder, key = random.choice(places(made))
        here = holder[key]
        match random.randint(0, 8):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(here, list):
                here.extend(copy.deepcopy(here[:8]))
            case 2 if isinstance(here, dict) and here:
                here[random.choice(sorted(here)) + "\ud800"[: random.randint(0, 1)]] = random.choice(ODD_VALUES)
            case 3:
                holder[key] = nested(here, random.choice((1, 2, 40, 300)), random)
            case 4:
                other, name = random.choice(places(made))
                holder[key] = copy.deepcopy(other[name]) if other is not made else here
            case 5 if isinstance(here, list | dict):
                here.clear()
            case 6 if isinstance(here, str):
                at = random.randint(0, len(here))
                holder[key] = here[:at] + random.choice(("\ud800", "\x00", "é", "{", "/", " ", "😀")) + here[at:]
            case _:
                holder[key] = copy.deepcopy(random.choice(ODD_VALUES))
    return made[0]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (holder, key) inside a list or an object, breadth first; the first thousand."""
    found: list[tuple[Any, Any]] = []
    ahead = [value]
    for holder in ahead:
        inside = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, inner in inside:
            found.append((holder, key))
            if isinstance(inner, list | dict):
                ahead.append(inner)
        if len(found) > 1000:
            break
    return found


def nested(value: Any, depth: int, random: Random) -> Any:
    """The value that deep inside lists or objects."""
    for _ in range(depth):
        value = [value] if random.randint(0, 1) else {"a": value}
    return value


def dumped(value: Any) -> bytes:
    """JSON as careless writers make it: NaN and lone surrogates included."""
    try:
        return json.dumps(value).encode("ascii")
    except (RecursionError, ValueError):
        return b"[" * 5000


def of_json_bytes(data: bytes, random: Random, *, head: int = 0) -> bytes:
    """As `of_json` when the bytes behind `head` are JSON, else as `of_bytes`; now and then a key twice."""
    try:
        made = dumped(of_json(json.loads(data[head:]), random))
    except (ValueError, RecursionError):
        return of_bytes(data, random)
    if random.randint(0, 9) == 0 and made.startswith(b"{") and len(made) > 2:
        made = made[:-1] + b"," + made[1:]
    return (data[:head] + made)[:BYTES_MAX]


def of_words(data: bytes, random: Random, words: Sequence[str]) -> bytes:
    """One to four words that come, go or change places."""
    text = data.decode("utf-8", "replace")
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(text))
        end = min(len(text), at + random.choice((0, 0, 1, 3, 12)))
        piece = random.choice(words) * random.choice((1, 1, 1, 1, 2, 30))
        match random.randint(0, 3):
            case 0:
                text = text[:at] + text[end:]
            case 1:
                begin = random.randint(0, len(text))
                text = text[:at] + text[begin : begin + 40] + text[end:]
            case _:
                text = text[:at] + piece + text[end:]
    return text.encode("utf-8", "replace")[:BYTES_MAX]
