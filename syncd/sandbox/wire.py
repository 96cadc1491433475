"""
What passes between the sandbox's state machines and their fronts: plain requests, responses and deliveries.

A machine is pure in the sense that matters here: the same calls with the same `now`, in the same order, from the same
seed, give the same bytes. It opens no socket, reads no clock and starts no thread; a front does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request. `path` is the raw path as sent, percent-encoding kept; header names are lower case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One HTTP answer; header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One webhook request that a machine wants sent. `id` is unique in the machine, `attempt` counts from 1."""

    id: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    due_at: datetime
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """
    One thing that truly happened, in order: a request with its answer, or an actor's act outside the API.

    `changes` holds a row per changed attribute, each with its true value before and after, whatever was answered.
    """

    sequence: int
    at: datetime
    actor: str
    method: str
    path: str
    status: int
    changes: tuple["Change", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The true effect on one attribute of one object. `kind` is "record", "pull_request", "branch", "comment", "task", "build", "hook"."""

    kind: str
    object: str
    attribute: str
    before: Any
    after: Any


class Machine(Protocol):
    """One emulated service."""

    log: list[LogEntry]

    def handle(self, request: Request, now: datetime) -> Response:
        """Answer one request at the instant `now` (aware, UTC). Never raises on anything a client sends."""

    def due(self, now: datetime) -> tuple[Delivery, ...]:
        """Take out the deliveries whose time has come, oldest first. Each must be answered with `delivered`."""

    def delivered(self, delivery: Delivery, status: int | None, now: datetime) -> None:
        """Say what became of a delivery: the HTTP status, or None when nobody answered in time."""

    def next_due_at(self) -> datetime | None:
        """When `due` will next have something; None when nothing is waiting."""

    def control(self, verb: str, arguments: Mapping[str, Any], now: datetime) -> Any:
        """Act on the world beside the API, as a person or an administrator would. Raises ValueError on an unknown verb."""
