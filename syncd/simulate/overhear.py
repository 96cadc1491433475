"""What a life writes to its log, at every level: kept for the judges, written nowhere."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from syncd import log


class _Lines(io.StringIO):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def write(self, text: str) -> int:
        self._lines.append(text)
        return len(text)


@contextmanager
def overheard() -> Iterator[list[str]]:
    """All that is logged meanwhile, as the daemon would write it at its most talkative; afterwards everything is as it was."""
    lines: list[str] = []
    root, before = logging.root, structlog.get_config()
    handlers, level = list(root.handlers), root.level
    # Out of the way: `configure` closes the handlers that it finds.
    root.handlers = []
    log.configure("debug", _Lines(lines))
    try:
        yield lines
    finally:
        structlog.configure(**before)
        root.handlers, root.level = handlers, level
