"""Structured logs: the table of event names, and the one place that sets structlog up."""

import contextlib
import io
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

# name -> (level, meaning). A test fails on an event that is logged but not listed here.
EVENTS: dict[str, tuple[str, str]] = {
    "daemon.started": ("info", "the process has its configuration and opens the state"),
    "daemon.ready": ("info", "listeners answer and work is taken"),
    "daemon.stopping": ("info", "a signal came; running work is finished"),
    "daemon.stopped": ("info", "clean end"),
    "worker.failed": ("error", "a step raised something unexpected; it is tried again with backoff"),
    "job.failed": ("error", "a periodic job failed"),
    "spec.loaded": ("info", "a spec was accepted; its hash"),
    "spec.warned": ("warning", "something in the spec is allowed and still looks wrong"),
    "spec.rejected": ("warning", "a new spec is invalid; the old one stays"),
    "delivery.accepted": ("debug", "a webhook request is durable"),
    "delivery.rejected": ("warning", "a webhook request was refused; why"),
    "event.skipped": ("debug", "a delivery does not concern this spec"),
    "event.quarantined": ("warning", "a delivery could not be read; it is kept and shown"),
    "record.failed": ("error", "a record trips a fault of syncd's own; it alone is set apart, and tried again later"),
    "work.failed": ("error", "an object of Bitbucket trips a fault of syncd's own; only its records wait for it"),
    "run.started": ("info", "a plan begins to be applied"),
    "run.finished": ("info", "one line per run: counts, calls, duration"),
    "plan.refused": ("warning", "a guard refused the plan; nothing was written"),
    "write.parked": ("warning", "one write was refused by the service; its record waits for a change"),
    "write.unclear": ("warning", "an answer was lost; the outcome is looked up"),
    "write.resolved": ("info", "the outcome of a lost answer is known"),
    "conflict.found": ("warning", "both sides changed; a person decides"),
    "foreign_edit.reverted": ("info", "an edit on the side that does not own the field was put right"),
    "race.lost": ("warning", "an edit between our read and our write was overwritten; its value is in the journal"),
    "hold.set": ("info", "something is not written to for now"),
    "hold.released": ("info", "a hold ended"),
    "side.throttled": ("warning", "a service asks us to wait"),
    "side.lost": ("error", "a service cannot be reached or refuses us; said once"),
    "side.recovered": ("info", "the service answers again; said once"),
    "endpoint.created": ("info", "a webhook was registered"),
    "endpoint.adopted": ("info", "an existing webhook of ours was taken over"),
    "endpoint.renewed": ("info", "a webhook's life was extended"),
    "endpoint.lost": ("warning", "a webhook is gone, expired or switched off; it is made again"),
    "schema.changed": (
        "warning",
        "fields are not as the rules know them; records with a cell that became empty wait for that",
    ),
    "cursor.gap": ("warning", "payloads are missing; a full compare follows"),
    "compare.finished": ("info", "a full compare ended: counts, duration"),
    "state.doubted": ("error", "the state is older than what was at work here; every sync of it waits for a person"),
    "store.failed": ("critical", "the state cannot be written; nothing is acknowledged or sent"),
}

# What a secret looks like when it slips into a text: bearer and basic headers, query tokens, Airtable tokens.
_SECRETS = re.compile(
    r"(?i)(bearer\s+|basic\s+|token=|secret=|authorization['\"]?\s*[:=]\s*['\"]?)[A-Za-z0-9._~+/=-]{6,}|pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"
)


def redact(text: str) -> str:
    """Replace what looks like a credential in a text by `[redacted]`."""
    return _SECRETS.sub(lambda match: (match.group(1) or "") + "[redacted]", text)


def _redact_event(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redact(value)
    return event


class _Patient:
    """A log that takes no more (a full disk, a closed pipe) stops no work: the line is lost, not the thread that wrote it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As the stream's."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As the stream's."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """
    Send one JSON line per event to `stream` (default: standard error), standard library logs included.

    Args:
        level: the lowest level that is written: debug, info, warning, error.
        stream: where to; standard output stays free for results.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    target = cast(TextIO, _Patient(stream or sys.stderr))
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(sort_keys=True)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    # At DEBUG the Bitbucket library logs whole bodies (dependencies.md section 5); APScheduler two lines a run.
    logging.getLogger("atlassian").setLevel(logging.CRITICAL)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)


class _Nowhere(io.StringIO):
    def write(self, text: str) -> int:
        return len(text)


def silence() -> None:
    """Write nothing: in the simulator faults are made on purpose, by the thousand."""
    configure("critical", _Nowhere())


def logger(room: str) -> Any:
    """The logger of one room; every line says which. It may be made before `configure`: `bind` would freeze what was set then."""
    return structlog.get_logger(room=room)
