"""What became of each change that was sent."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from syncd.model.ids import OperationId, RecordId


class Result(Enum):
    """The end of an operation; `UNKNOWN` is the one that must be looked up."""

    APPLIED = "applied"
    REFUSED = "refused"  # the service refuses this one; its record is parked
    MOVED = "moved"  # the place changed since it was read: plan again
    RETRY = "retry"  # not done; try again later
    UNKNOWN = "unknown"  # sent, no answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One operation's end. `retry_at` is set for RETRY; `error` is the service's text, shortened, for people."""

    operation: OperationId
    record: RecordId
    result: Result
    error: str = ""
    retry_at: datetime | None = None
