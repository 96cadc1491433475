"""The emulated Airtable: routes, authentication, limits, log. Everything else is in its neighbours."""

import json
import random
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from syncd.sandbox.airtable import comments, control, hooks, limits, meta, ping, reading, refusal, writing
from syncd.sandbox.airtable.call import Call
from syncd.sandbox.airtable.world import Limits, Token, World, shaped
from syncd.sandbox.choices import Choices
from syncd.sandbox.wire import Change, Delivery, LogEntry, Request, Response

_Handler = Callable[[Call], Any]
_JSON = {"content-type": "application/json; charset=utf-8"}

# (method, number of path parts, the part that tells) → handler; `parts` are those after the host, "v0" first.
_META: dict[tuple[str, int, str], _Handler] = {
    ("GET", 3, "whoami"): meta.whoami,
    ("GET", 3, "bases"): meta.list_bases,
    ("GET", 4, ""): meta.get_base,
    ("GET", 5, "tables"): meta.list_tables,
    ("POST", 5, "tables"): meta.create_table,
    ("PATCH", 6, "tables"): meta.update_table,
    ("POST", 7, "fields"): meta.create_field,
    ("PATCH", 8, "fields"): meta.update_field,
}
_HOOKS: dict[tuple[str, int, str], _Handler] = {
    ("POST", 4, ""): hooks.create_hook,
    ("GET", 4, ""): hooks.list_hooks,
    ("DELETE", 5, ""): hooks.delete_hook,
    ("POST", 6, "enableNotifications"): hooks.enable_notifications,
    ("POST", 6, "refresh"): hooks.refresh_hook,
    ("GET", 6, "payloads"): hooks.list_payloads,
}
_RECORDS: dict[tuple[str, int], _Handler] = {
    ("GET", 3): reading.list_records,
    ("POST", 3): writing.create_records,
    ("PATCH", 3): writing.update_records,
    ("PUT", 3): writing.update_records,
    ("DELETE", 3): writing.delete_records,
    ("GET", 4): reading.get_record,
    ("PATCH", 4): writing.update_record,
    ("PUT", 4): writing.update_record,
    ("DELETE", 4): writing.delete_record,
    ("GET", 5): comments.list_comments,
    ("POST", 5): comments.create_comment,
    ("PATCH", 6): comments.update_comment,
    ("DELETE", 6): comments.delete_comment,
}


class AirtableMachine:
    """
    One Airtable, as `wire.Machine` asks for it.

    Args:
        seed: of every id, secret and jitter.
        choices: the answers to what the documents leave open.
        limits: the service's limits; `world.LIFTED` has no limit per second.
    """

    def __init__(self, seed: int, choices: Choices | None = None, limits: Limits | None = None) -> None:
        """Start empty: users, tokens and bases come by `control`."""
        self.world = World(rng=random.Random(seed), choices=choices or Choices(), limits=limits or Limits())
        self.log: list[LogEntry] = []

    def handle(self, request: Request, now: datetime) -> Response:
        """Answer one API request. Never raises on anything a client sends."""
        actor = "anonymous"
        changes: list[Change] = []
        try:
            handler, parts, base_id = _route(request)
            if len(request.body) > self.world.limits.body_bytes_max:
                raise refusal.Refusal(413, None)
            token = self._authenticate(request, now)
            actor = token.user.id
            call = Call(
                world=self.world,
                request=request,
                now=now,
                token=token,
                parts=parts,
                found=self.world.bases.get(base_id),
                changes=changes,
            )
            limits.admit(self.world, call.found, token.user, now, blockable=parts[1] != "meta")
            status, body = 200, handler(call)
        except refusal.Refusal as refused:
            status, body = refused.status, refused.body
        self._note(now, actor, request.method, request.path, status, changes)
        if body is None:
            return Response(status=status, headers={})
        return Response(status=status, headers=_JSON, body=_encode(body))

    def due(self, now: datetime) -> tuple[Delivery, ...]:
        """Take the pings whose time has come."""
        return ping.take(self.world, now)

    def delivered(self, delivery: Delivery, status: int | None, now: datetime) -> None:
        """Note what became of a ping."""
        ping.report(self.world, delivery, status, now)

    def next_due_at(self) -> datetime | None:
        """When the next ping is due."""
        return ping.next_due_at(self.world)

    def control(self, verb: str, arguments: Mapping[str, Any], now: datetime) -> Any:
        """Act beside the API; the verbs and their arguments are the functions of `control`. Raises ValueError."""
        if verb == "log":
            return control.log_rows(self.log, arguments)
        actor, changes, answer = control.act(self.world, verb, arguments, now)
        if verb not in control.READS:
            self._note(now, actor, "CONTROL", verb, 200, changes)
        return answer

    def _authenticate(self, request: Request, now: datetime) -> Token:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        token = self.world.tokens.get(value.strip()) if scheme.lower() == "bearer" else None
        if token is None or token.revoked or (token.expires_at is not None and now >= token.expires_at):
            raise refusal.unauthenticated(self.world.choices)
        return token

    def _note(
        self, now: datetime, actor: str, method: str, path: str, status: int, changes: list[Change] | tuple[Change, ...]
    ) -> None:
        self.log.append(
            LogEntry(
                sequence=len(self.log) + 1,
                at=now,
                actor=actor,
                method=method,
                path=path,
                status=status,
                changes=tuple(changes),
            )
        )


def _route(request: Request) -> tuple[_Handler, tuple[str, ...], str]:
    """
    The handler of a path, its decoded parts, and the base it names ("" for none).

    A path that leads nowhere and an id of the wrong shape are refused before authentication (reference/airtable.md 1).
    """
    parts = tuple(unquote(part) for part in request.path.strip("/").split("/"))
    handler: _Handler | None = None
    base_id = ""
    if len(parts) < 3 or parts[0] != "v0":
        raise refusal.no_such_route()
    if parts[1] == "meta":
        if len(parts) == 3:
            handler = _META.get((request.method, 3, parts[2]))
        elif parts[2] == "bases":
            base_id = parts[3]
            telling = "" if len(parts) == 4 else parts[6] if len(parts) > 6 else parts[4]
            handler = _META.get((request.method, len(parts), telling))
    elif parts[1] == "bases":
        base_id = parts[2]
        if len(parts) > 3 and parts[3] == "webhooks":
            handler = _HOOKS.get((request.method, len(parts), parts[5] if len(parts) > 5 else ""))
    else:
        base_id = parts[1]
        if request.method == "POST" and len(parts) == 4:
            handler = reading.post_list_records if parts[3] == "listRecords" else None
        elif len(parts) < 5 or parts[4] == "comments":
            handler = _RECORDS.get((request.method, len(parts)))
    if handler is None or (base_id and not shaped(base_id, "app")):
        raise refusal.no_such_route()
    if handler in _BY_RECORD and not shaped(parts[3], "rec"):
        raise refusal.no_such_route()
    return handler, parts, base_id


_BY_RECORD = frozenset(handler for (_, count), handler in _RECORDS.items() if count == 4)


def _encode(body: Any) -> bytes:
    # "replace": a lone surrogate can be sent as a JSON escape but not be encoded.
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
