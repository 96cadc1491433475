"""The token endpoint of OAuth consumers (reference/bitbucket.md 2.2)."""

import base64
from datetime import timedelta

from syncd.sandbox.bitbucket.call import Call, Reply
from syncd.sandbox.bitbucket.errors import ApiError
from syncd.sandbox.bitbucket.world import Consumer, Token

PATH = "site/oauth2/access_token"


def grant(call: Call) -> Reply:
    """`POST /site/oauth2/access_token`: client credentials or a refresh token, which is used up; the consumer comes as HTTP Basic."""
    consumer = _consumer(call)
    fields = dict(call.form())
    kind = fields.get("grant_type")
    if kind == "refresh_token":
        if fields.get("refresh_token") not in consumer.refresh_tokens:
            raise ApiError(400, "Invalid refresh_token", typed=False)
        consumer.refresh_tokens.discard(fields["refresh_token"])
    elif kind != "client_credentials":
        raise ApiError(400, f"Unsupported grant type: {kind}", typed=False)
    life = call.world.choices.oauth_token_life.value
    secret, refresh = call.world.digest("oauth"), call.world.digest("refresh")
    call.world.tokens[secret] = Token(
        secret=secret,
        kind="oauth",
        user=consumer.user,
        limit_key=consumer.key,
        scopes=consumer.scopes,
        expires_at=call.now + timedelta(seconds=life),
    )
    consumer.refresh_tokens.add(refresh)
    return Reply(
        body={
            "access_token": secret,
            "refresh_token": refresh,
            "token_type": "bearer",
            "state": kind,
            "expires_in": life,
            "scopes": " ".join(sorted(consumer.scopes or ())),
        }
    )


def _consumer(call: Call) -> Consumer:
    scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
    try:
        key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        key, secret = "", ""
    found = call.world.consumers.get(key)
    if scheme.lower() != "basic" or found is None or found.secret != secret:
        raise ApiError(401, "Invalid OAuth client credentials", typed=False)
    return found
