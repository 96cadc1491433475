"""One kind of work that a service may refuse for a while: when to try again, and the trouble said once, not every time."""

from datetime import UTC, datetime, timedelta

from syncd import errors, log
from syncd.core import retry

_log = log.logger("flow.effort")

# A credential that is refused is tried once a minute (reliability.md AT12).
PROBE_EVERY = timedelta(minutes=1)


class Effort:
    """
    Args:
        purpose: what is tried, in words for people: "reading Airtable payloads".
    """

    def __init__(self, purpose: str) -> None:
        self.purpose = purpose
        self.trouble = ""
        self.lost = False
        self.not_before: datetime | None = None
        self._failed_at = datetime.max.replace(tzinfo=UTC)
        self._attempts = 0
        self._asked_to_wait = False

    def may(self, now: datetime) -> bool:
        """Whether it is time to try. A clock that was set back since it failed does not put it off (CL02)."""
        return self.not_before is None or not self._failed_at <= now < self.not_before

    def hurry(self) -> None:
        """Somebody wants it now: a wait of our own ends, one that a service asked for or a refused credential does not."""
        if not self._asked_to_wait:
            self.not_before = None

    def succeeded(self) -> None:
        """It worked: the next one may follow at once."""
        if self.lost:
            _log.info("side.recovered", purpose=self.purpose)
        self.trouble, self.lost, self.not_before, self._attempts = "", False, None, 0

    def shown(self, reason: str) -> None:
        """It does not work, and when to try again is decided elsewhere: only remember why."""
        self.trouble = f"{self.purpose}: {reason}"
        if not self.lost:
            _log.error("side.lost", purpose=self.purpose, reason=reason)
        self.lost = True

    def failed(self, error: errors.SyncdError, now: datetime, jitter: float) -> None:
        """It did not: remember why and when to try again."""
        self._attempts += 1
        self._failed_at = now
        self.trouble = f"{self.purpose}: {error.message}"
        self._asked_to_wait = isinstance(error, errors.Throttled | errors.Unauthorised)
        match error:
            case errors.Throttled():
                self.not_before = error.retry_at
                _log.warning("side.throttled", purpose=self.purpose, until=error.retry_at.isoformat())
                return
            case errors.Unauthorised() | errors.Refused():
                self.not_before = now + PROBE_EVERY
            case _:
                self.not_before = retry.next_attempt(self._attempts, now, jitter)
        if not self.lost:
            _log.error("side.lost", purpose=self.purpose, reason=error.message, kind=type(error).__name__)
        self.lost = True
