"""Bitbucket Cloud as a state machine: API requests, webhook deliveries and what people do beside them (reference/bitbucket.md)."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from syncd.sandbox.bitbucket import (
    access,
    api_code,
    api_discussion,
    api_hooks,
    api_places,
    api_pull_requests,
    control,
    oauth,
    work,
)
from syncd.sandbox.bitbucket.act import Act
from syncd.sandbox.bitbucket.arguments import Arguments
from syncd.sandbox.bitbucket.call import Call, Reply
from syncd.sandbox.bitbucket.deliveries import Outbox
from syncd.sandbox.bitbucket.errors import ApiError, no_api, unauthorised
from syncd.sandbox.bitbucket.render import Renderer
from syncd.sandbox.bitbucket.routing import Route, Router
from syncd.sandbox.bitbucket.world import Token, User, World
from syncd.sandbox.choices import Choices
from syncd.sandbox.wire import Delivery, LogEntry, Request, Response

ROUTES: tuple[Route, ...] = (
    *api_pull_requests.ROUTES,
    *api_discussion.ROUTES,
    *api_code.ROUTES,
    *api_places.ROUTES,
    *api_hooks.ROUTES,
)
"""Every resource that is emulated."""

_ROUTER = Router(ROUTES)
_PREFIX = "/2.0"


class BitbucketMachine:
    """
    One emulated Bitbucket Cloud, empty until `control` makes a workspace, users, tokens and repositories.

    Args:
        seed: all ids, hashes and lags follow from it.
        choices: the answers to what the documents leave open.
        url: the API address in deliveries' links; answers use the address that was asked.
        hourly_limit: calls per credential in a rolling hour.
        old_forms: send some deliveries in older recorded forms, drawn from the seed.
    """

    def __init__(
        self,
        seed: int = 0,
        choices: Choices | None = None,
        *,
        url: str = "https://api.bitbucket.org/2.0",
        hourly_limit: int = 1000,
        old_forms: bool = False,
    ) -> None:
        self.world = World(seed, choices or Choices())
        self.log: list[LogEntry] = self.world.log
        self.world.hourly_limit = hourly_limit
        self._renderers: dict[str, Renderer] = {url: Renderer(url)}
        self._outbox = Outbox(self.world, self._renderers[url], old_forms=old_forms)

    @property
    def oversized(self) -> int:
        """How many deliveries were dropped because they are larger than 256 KB."""
        return self._outbox.oversized

    def handle(self, request: Request, now: datetime) -> Response:
        """Answer one request at the instant `now`. Never raises on anything a client sends."""
        self._settle(now)
        call = self._call(request, now)
        try:
            reply = self._answer(call, request)
        except ApiError as error:
            # What happened before the refusal happened: a merge that times out has merged.
            reply = Reply(status=error.status, body=error.body, headers=error.headers)
        self._note(call.act, request.method, request.path, reply.status)
        headers = dict(reply.headers)
        self._scope_headers(call, headers)
        if reply.status == 429:
            headers["content-type"] = "text/plain"
            return Response(status=429, headers=headers, body=b"Rate limit for this resource has been exceeded")
        if reply.body is None:
            return Response(status=reply.status, headers=headers)
        headers["content-type"] = "application/json; charset=utf-8"
        return Response(
            status=reply.status,
            headers=headers,
            body=json.dumps(reply.body, ensure_ascii=False).encode("utf-8", "replace"),
        )

    def _call(self, request: Request, now: datetime) -> Call:
        host = request.headers.get("host", "api.bitbucket.org")
        secure = host.endswith("bitbucket.org") or request.headers.get("x-forwarded-proto") == "https"
        prefix = _PREFIX if request.path == _PREFIX or request.path.startswith(f"{_PREFIX}/") else ""
        origin = f"{'https' if secure else 'http'}://{host}"
        base = origin + prefix
        renderer = self._renderers.get(base)
        if renderer is None:
            renderer = self._renderers[base] = Renderer(base)
        nobody = User(uuid="", account_id="", nickname="anonymous", display_name="Anonymous", email="", created_on=now)
        return Call(
            act=Act(world=self.world, outbox=self._outbox, now=now, actor=nobody),
            to=renderer,
            method=request.method.upper(),
            url=origin + request.path,
            query=request.query,
            parameters=dict(request.query),
            headers=request.headers,
            raw=request.body,
            token=None,
        )

    def _answer(self, call: Call, request: Request) -> Reply:
        path = request.path.removeprefix(_PREFIX).strip("/")
        if path == oauth.PATH and call.method == "POST":
            return oauth.grant(call)
        call.token = access.credential(self.world, request.headers, call.now)
        if call.token is not None:
            call.act.actor = call.token.user
        self._spend(call, path)
        routes, segments = _ROUTER.find(path)
        route = routes.get(call.method)
        if route is None:
            if routes:
                raise ApiError(405, "Method not allowed", headers={"allow": ", ".join(sorted(routes))})
            raise no_api()
        if route.scope is not None:
            if call.token is not None:
                access.require_scope(call.token, route.scope)
            elif call.method != "GET":
                raise unauthorised()
        return route.handler(call, *segments)

    def _spend(self, call: Call, path: str) -> None:
        # Hooks have an allowance of their own (reference/bitbucket.md 9).
        group = "/hooks" if "hooks" in path.split("/") else ""
        if call.token is None:
            access.spend(self.world, f"anonymous{group}", access.ANONYMOUS_PER_HOUR, call.now)
        else:
            access.spend(self.world, call.token.limit_key + group, self.world.hourly_limit, call.now)

    def _scope_headers(self, call: Call, headers: dict[str, str]) -> None:
        token: Token | None = call.token
        if token is not None and token.scopes is not None:
            headers["x-oauth-scopes"] = ", ".join(sorted(token.scopes))
        if token is not None and token.kind in ("api", "oauth"):
            headers["x-credential-type"] = "apikey" if token.kind == "api" else "oauth2"

    def due(self, now: datetime) -> tuple[Delivery, ...]:
        """Take out the deliveries whose time has come, oldest first. Each must be answered with `delivered`."""
        self._settle(now)
        return self._outbox.due(now)

    def delivered(self, delivery: Delivery, status: int | None, now: datetime) -> None:
        """Say what became of a delivery: the HTTP status, or None when nobody answered in time."""
        self._outbox.delivered(delivery, status, now)

    def next_due_at(self) -> datetime | None:
        """When `due` will next have something; None when nothing is waiting."""
        if not self.world.waiting_merges:
            return self._outbox.next_due_at()
        merges = [one.ready_at for one in self.world.waiting_merges]
        return min((one for one in (self._outbox.next_due_at(), *merges) if one is not None), default=None)

    def control(self, verb: str, arguments: Mapping[str, Any], now: datetime) -> Any:
        """
        Act on the world beside the API, as a person (`user`, the first one made when left out) or an administrator would.

        The verbs and their arguments are in the modules that `control.py` gathers.

        Raises:
            ValueError: for an unknown verb or argument, and for what the service itself would refuse.
        """
        function = control.VERBS.get(verb) or control.READS.get(verb)
        if function is None:
            raise ValueError(
                f"there is no verb {verb!r}; known: {', '.join(sorted({**control.VERBS, **control.READS}))}"
            )
        self._settle(now)
        args = Arguments(verb, arguments, self.world)
        actor = User(
            uuid="", account_id="", nickname="administrator", display_name="Administrator", email="", created_on=now
        )
        if verb in control.VERBS and verb not in control.ADMINISTRATIVE and self.world.users:
            actor = args.user()
        act = Act(world=self.world, outbox=self._outbox, now=now, actor=actor)
        try:
            result = function(act, args)
        except ApiError as error:
            raise ValueError(f"{verb}: {error}") from error
        finally:
            if verb in control.VERBS:
                self._note(act, "CONTROL", verb, 200)
        args.close()
        return result

    def _settle(self, now: datetime) -> None:
        """Do the asynchronous merges whose time has come, in their order and at their own instant."""
        while self.world.waiting_merges and self.world.waiting_merges[0].ready_at <= now:
            task = self.world.waiting_merges.pop(0)
            act = Act(world=self.world, outbox=self._outbox, now=task.ready_at, actor=task.actor)
            try:
                work.merge(act, task.pull_request, strategy=task.strategy, message=task.message, close=task.close)
            except ApiError as error:
                task.error = str(error)
            self._note(act, "TASK", f"merge/{task.id}", 200 if task.error is None else 409)

    def _note(self, act: Act, method: str, path: str, status: int) -> None:
        entry = LogEntry(
            sequence=len(self.log) + 1,
            at=act.now,
            actor=act.actor.nickname,
            method=method,
            path=path,
            status=status,
            changes=tuple(act.changes),
        )
        self.log.append(entry)
