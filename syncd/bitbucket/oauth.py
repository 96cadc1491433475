"""
The access token of an OAuth consumer, asked for with the consumer's own key and secret and renewed by itself.

Client credentials only: such a token can be asked for again at any time, so no refresh token has to be kept anywhere
(reference/bitbucket.md 2.2). The token acts as the owner of the consumer.
"""

from datetime import datetime, timedelta
from urllib.parse import urlsplit

import requests

from syncd import errors, ports
from syncd.bitbucket import shape

SERVICE = "bitbucket"
PATH = "/site/oauth2/access_token"
API_HOST = "api.bitbucket.org"
TOKEN_HOST = "bitbucket.org"
LIFE_USED = 0.8
"""Share of a token's life after which a new one is asked for; `expires_in` is trusted, no fixed hour is."""


def token_url(base_url: str) -> str:
    """Where tokens come from: the service has another host for them than for its API, a sandbox has not."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{TOKEN_HOST if parts.hostname == API_HOST else parts.netloc}{PATH}"


class Consumer:
    """The present token of one consumer. For one worker thread, like the session it asks with."""

    def __init__(self, session: requests.Session, *, url: str, key: str, secret: str, clock: ports.Clock) -> None:
        """
        Args:
            session: from `transport.open_session`, for the host of `url`; asking for a token counts as reading.
            url: see `token_url`.
        """
        self._session = session
        self._url = url
        self._auth = (key, secret)
        self._clock = clock
        self._token = ""
        self._renew_at: datetime | None = None

    def fetch_token(self) -> str:
        """
        A token that is good for a while yet; a request is made only when there is none.

        Raises:
            Unauthorised: key or secret are wrong, or the consumer may not ask in its own name (it must be private).
            Unreachable: no token was given, for another reason.
        """
        if self._renew_at is None or self._clock.now() >= self._renew_at:
            self._token, life = self._ask()
            self._renew_at = self._clock.now() + life * LIFE_USED
        return self._token

    def forget(self) -> None:
        """The service refused the token although it should be good: the next one is a new one."""
        self._renew_at = None

    def _ask(self) -> tuple[str, timedelta]:
        try:
            answer = self._session.post(self._url, data={"grant_type": "client_credentials"}, auth=self._auth)
        except errors.Rejected as refusal:
            # Wrong consumers are answered with 400 as well as with 401; either way a person must act.
            raise errors.Unauthorised(
                f"{refusal.message}: no token for this OAuth consumer",
                service=SERVICE,
                request=refusal.request,
                status=refusal.status,
                code=refusal.code,
                detail=refusal.detail,
                next_step="check the consumer's key and secret, and that it is private",
            ) from None
        try:
            body = shape.an_object(answer.json(), "token")
            return shape.text(body, "access_token"), timedelta(seconds=shape.number(body, "expires_in"))
        except (ValueError, OverflowError, shape.Malformed):
            # Not chained: the answer may hold a token.
            pass
        raise errors.Unreachable(
            "the answer to a request for a token cannot be used",
            service=SERVICE,
            request=f"POST {PATH}",
            code="NO_TOKEN",
        )
