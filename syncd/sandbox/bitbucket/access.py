"""Who calls, what they may do, and how much of the hour is left (reference/bitbucket.md 2, 9)."""

import base64
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta

from syncd.sandbox.bitbucket.errors import ApiError, lacks_scope, unauthorised
from syncd.sandbox.bitbucket.world import Token, World

HOUR = timedelta(hours=1)
ANONYMOUS_PER_HOUR = 60

_IMPLIED: dict[str, tuple[str, ...]] = {
    "repository:write": ("repository",),
    "pullrequest": ("repository",),
    "pullrequest:write": ("pullrequest", "repository:write", "repository"),
    "pipeline:write": ("pipeline",),
    "project": ("repository",),
}
"""What an OAuth scope brings along; scopes of API tokens bring nothing (reference/bitbucket.md 2.3)."""

_OF_API_TOKENS: dict[str, tuple[str, ...]] = {
    "repository": ("read:repository:bitbucket",),
    "repository:write": ("write:repository:bitbucket", "read:repository:bitbucket"),
    "repository:admin": ("admin:repository:bitbucket",),
    "repository:delete": ("delete:repository:bitbucket",),
    "pullrequest": ("read:pullrequest:bitbucket",),
    "pullrequest:write": ("write:pullrequest:bitbucket", "read:pullrequest:bitbucket"),
    "webhook": ("read:webhook:bitbucket",),
    "webhook:write": ("write:webhook:bitbucket",),
    "webhook:delete": ("delete:webhook:bitbucket",),
    "pipeline": ("read:pipeline:bitbucket",),
    "account": ("read:user:bitbucket",),
    "workspace": ("read:workspace:bitbucket",),
    "issue": ("read:issue:bitbucket",),
}
_OF_OTHERS = {"webhook:write": "webhook", "webhook:delete": "webhook", "workspace": "account"}
"""Where API tokens tell apart what other credentials have one scope for."""


def credential(world: World, headers: Mapping[str, str], now: datetime) -> Token | None:
    """
    The token that a request carries, None when it carries none.

    Raises:
        ApiError: 401 for an unknown, revoked or expired token, and for a user name that is not the account's e-mail address.
    """
    header = headers.get("authorization", "")
    if not header:
        return None
    scheme, _, rest = header.partition(" ")
    token: Token | None = None
    if scheme.lower() == "bearer":
        token = world.tokens.get(rest.strip())
        if token is not None and token.kind == "api":
            token = None
    elif scheme.lower() == "basic":
        token = _basic(world, rest.strip())
    if token is None or token.revoked or not token.user.active:
        raise unauthorised()
    if token.expires_at is not None and now >= token.expires_at:
        if token.kind == "oauth":
            raise unauthorised("Access token expired. Use your refresh token to obtain a new access token.")
        raise unauthorised()
    return token


def _basic(world: World, encoded: str) -> Token | None:
    try:
        user, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return None
    token = world.tokens.get(secret)
    return token if token is not None and token.kind == "api" and token.user.email == user else None


def granted(token: Token, scope: str) -> bool:
    """Whether a token may do what needs `scope`."""
    if token.scopes is None:
        return True
    if token.kind == "api":
        return all(one in token.scopes for one in _OF_API_TOKENS.get(scope, (scope,)))
    wanted = _OF_OTHERS.get(scope, scope)
    return wanted in token.scopes or any(wanted in _IMPLIED.get(one, ()) for one in token.scopes)


def accepted(token: Token, scope: str) -> tuple[str, ...]:
    """The scopes that would be enough, in the token's own words."""
    return _OF_API_TOKENS.get(scope, (scope,)) if token.kind == "api" else (_OF_OTHERS.get(scope, scope),)


def require_scope(token: Token, scope: str) -> None:
    """403 with required and granted scopes when the token's are not enough."""
    if not granted(token, scope):
        raise lacks_scope(accepted(token, scope), sorted(token.scopes or ()))


def spend(world: World, key: str, limit: int, now: datetime, calls: int = 1) -> None:
    """
    Take calls out of a credential's rolling hour.

    Raises:
        ApiError: 429 when nothing is left; a refused call does not count. Its body becomes plain text.
    """
    used = world.usage.setdefault(key, deque())
    while used and now - used[0] >= HOUR:
        used.popleft()
    if len(used) >= limit:
        raise ApiError(429, "Rate limit for this resource has been exceeded")
    used.extend([now] * min(calls, limit - len(used)))
