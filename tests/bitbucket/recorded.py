"""The recorded material of Bitbucket, as the tests of this room use it."""

import json
import re
from typing import Any

from tests import shared

FOLDER = "fixtures/bitbucket"

DELIVERIES = [
    name
    for name in shared.names(FOLDER)
    if not name.startswith("api--") and name not in {"signature-vectors.json", "delivery-headers.json"}
]


def body(name: str) -> bytes:
    """The bytes of one recorded delivery or answer."""
    return shared.path(f"{FOLDER}/{name}").read_bytes()


def answer(name: str) -> Any:
    """One recorded answer, parsed."""
    return shared.load(f"{FOLDER}/{name}")


def values(name: str) -> list[dict[str, Any]]:
    """The objects of a recorded answer, whether it is a page, a bare list or one object."""
    loaded = answer(name)
    if isinstance(loaded, dict):
        loaded = loaded.get("values", [loaded])
    found: list[dict[str, Any]] = loaded
    return found


def event_key(name: str) -> str:
    """The event key of a delivery, out of its file name: `:` and `_` were turned into `-` there."""
    subject, _, rest = name.partition("--")[0].partition("-")
    return f"{subject}:{re.sub('-', '_', rest)}"


def headers(name: str) -> dict[str, str]:
    """What the service sends along with a delivery."""
    return {"X-Event-Key": event_key(name), "X-Request-UUID": "a", "X-Hook-UUID": "b", "X-Attempt-Number": "1"}


def dumped(value: Any) -> bytes:
    """A body as the service writes one."""
    return json.dumps(value).encode()
