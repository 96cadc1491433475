"""
Every exception of syncd, one tree. A class is what a caller does differently; everything else is a field.

    SyncdError                  exit 1
    ├── SpecError               exit 2  the spec is wrong: every problem at once
    ├── UsageError              exit 2  the command was asked for something that cannot be
    ├── Refused                 exit 7  a guard refused; a person must decide
    ├── StoreError              exit 1  the state file cannot be trusted or written: stop, keep everything
    │   └── StateInUse          exit 1  another daemon holds it
    └── ServiceError            exit 1  a service did not do what was asked
        ├── Throttled                   not before `retry_at`; with `until_month` the monthly quota
        ├── Unauthorised                a person must act: credential, scope, grant
        ├── Gone                        404 or 410: missing or invisible, which cannot be told apart
        ├── Rejected                    this request is refused, and will be again (400, 409, 422)
        ├── Unreachable                 it was not done: nothing was sent, or the answer says so
        ├── Paused                      a person holds the kill switch: nothing was sent
        └── Unclear                     it may have been done: look before doing anything
"""

from dataclasses import dataclass
from datetime import datetime


class SyncdError(Exception):
    """The root. `exit_status` is the command's exit code (SPEC section 4); `next_step` is what the user types next."""

    exit_status = 1

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a spec. `line` and `column` count from 1; 0 when the place is unknown."""

    file: str
    line: int
    column: int
    key: str
    got: str
    expected: str
    warning: bool = False


class SpecError(SyncdError):
    """All that is wrong in a spec, together."""

    exit_status = 2

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"{len(problems)} problem(s) in the spec", next_step="syncd check")
        self.problems = problems


class UsageError(SyncdError):
    """The command cannot be carried out as typed."""

    exit_status = 2


class Refused(SyncdError):
    """A guard refused. `largest` holds the largest changes of the refused plan as text, most first."""

    exit_status = 7

    def __init__(self, message: str, *, next_step: str = "", largest: tuple[str, ...] = ()) -> None:
        super().__init__(message, next_step=next_step)
        self.largest = largest


class StoreError(SyncdError):
    """The state file cannot be read, written or trusted. Nothing is acknowledged and nothing is sent after it."""


class StateInUse(StoreError):
    """Another process holds the state directory's lock."""


class ServiceError(SyncdError):
    """
    A service did not do what was asked.

    Args:
        service: "airtable" or "bitbucket".
        request: method and path, without query, body or credential.
        status: the HTTP status; None when there was no answer.
        code: the service's own error type (`INVALID_VALUE_FOR_COLUMN`, `BRANCH_ALREADY_EXISTS`), or "".
        detail: the service's text, shortened; shown to people, never decided upon.
    """

    def __init__(
        self,
        message: str,
        *,
        service: str,
        request: str,
        status: int | None = None,
        code: str = "",
        detail: str = "",
        next_step: str = "",
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.service = service
        self.request = request
        self.status = status
        self.code = code
        self.detail = detail


class Throttled(ServiceError):
    """Nothing more to this budget before `retry_at`. Nothing was done."""

    def __init__(
        self,
        message: str,
        *,
        service: str,
        request: str,
        retry_at: datetime,
        until_month: bool = False,
        status: int | None = 429,
        code: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(message, service=service, request=request, status=status, code=code, detail=detail)
        self.retry_at = retry_at
        self.until_month = until_month


class Unauthorised(ServiceError):
    """401 or 403: the credential, a scope or a grant. Hold that scope, keep everything, tell a person."""


class Gone(ServiceError):
    """404 or 410. Missing and invisible look alike: never read as deleted by itself (I13)."""


class Rejected(ServiceError):
    """The request was refused for what it says; sending it again is refused again."""


class Unreachable(ServiceError):
    """Not done: no connection, or a read that failed. May be tried again with backoff."""


class Paused(ServiceError):
    """A changing request was about to leave while the kill switch is on: nothing was sent. Try when it is off."""


class Unclear(ServiceError):
    """A changing request whose outcome is unknown: the answer was lost. Resolved by looking, never by sending."""
