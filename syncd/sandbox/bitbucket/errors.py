"""A request that the emulated service refuses: status and body as recorded (reference/bitbucket.md 10)."""

from collections.abc import Mapping, Sequence
from typing import Any


class ApiError(Exception):
    """Ends the handling of one request with a status and an error body."""

    def __init__(
        self, status: int, message: str, *, headers: Mapping[str, str] | None = None, typed: bool = True, **more: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        error: dict[str, Any] = {"message": message, **more}
        self.body: dict[str, Any] = {"type": "error", "error": error} if typed else error


def invalid(field: str, text: str, status: int = 400) -> ApiError:
    """A refused field: its name in front of the message and in `fields` (fixture api--error-badrequest-nobranch)."""
    return ApiError(status, f"{field}: {text}", fields={field: [text]})


def missing(message: str = "Resource not found") -> ApiError:
    """A 404 of something below a repository."""
    return ApiError(404, message)


def no_api() -> ApiError:
    """A 404 of a path that does not exist (fixture api--error-noapi)."""
    return ApiError(404, "Resource not found", detail="There is no API hosted at this URL")


def lacks_scope(required: Sequence[str], granted: Sequence[str]) -> ApiError:
    """A 403 of a missing scope (fixture api--error-privileges)."""
    return ApiError(
        403,
        "Your credentials lack one or more required privilege scopes.",
        detail={"required": list(required), "granted": list(granted)},
    )


def forbidden() -> ApiError:
    """A 403 of a missing right (reference/bitbucket.md 2.4)."""
    return ApiError(403, "Forbidden")


def unauthorised(message: str = "Token is invalid, expired, or not supported for this endpoint.") -> ApiError:
    """A 401 with the header the service sends (reference/bitbucket.md 2.4)."""
    return ApiError(401, message, headers={"www-authenticate": 'Basic realm="Bitbucket.org HTTP"'})


def gone(message: str = "Functionality has been deprecated") -> ApiError:
    """A 410 of a removed resource (reference/bitbucket.md 10)."""
    return ApiError(
        410, message, data={"announcement_url": "https://developer.atlassian.com/cloud/bitbucket/changelog/"}
    )
