"""
Webhook deliveries: who gets one, what it looks like on the wire, and when it is sent again (reference/bitbucket.md 3, 4).

Each event has the keys of its newest recorded payload, which is why the flags of 2025 are missing from events last recorded before.
"""

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from syncd.sandbox.bitbucket import partial
from syncd.sandbox.bitbucket.render import Json, Renderer
from syncd.sandbox.bitbucket.world import Hook, Repository, User, World
from syncd.sandbox.wire import Delivery

BODY_BYTES_MAX = 256 * 1024
"""A larger payload is never sent, and nobody is told (reference/bitbucket.md 4)."""

ATTEMPTS_MAX = 3
"""The first attempt and two more, only after a 5xx."""

EVENTS: dict[str, str] = {
    "repo:push": "Push",
    "repo:fork": "Fork",
    "repo:updated": "Updated",
    "repo:transfer": "Transferred",
    "repo:created": "Created",
    "repo:deleted": "Deleted",
    "repo:imported": "Imported",
    "repo:commit_comment_created": "Commit comment created",
    "repo:commit_status_created": "Build status created",
    "repo:commit_status_updated": "Build status updated",
    "project:updated": "Project updated",
    "pipeline:span_created": "Pipeline span created",
    "pullrequest:created": "Created",
    "pullrequest:updated": "Updated",
    "pullrequest:approved": "Approved",
    "pullrequest:unapproved": "Approval removed",
    "pullrequest:changes_request_created": "Changes Request created",
    "pullrequest:changes_request_removed": "Changes Request removed",
    "pullrequest:fulfilled": "Merged",
    "pullrequest:rejected": "Declined",
    "pullrequest:push": "Updated by push",
    "pullrequest:comment_created": "Comment created",
    "pullrequest:comment_updated": "Comment updated",
    "pullrequest:comment_deleted": "Comment deleted",
    "pullrequest:comment_resolved": "Comment resolved",
    "pullrequest:comment_reopened": "Comment reopened",
}
"""What can be subscribed to, with its label; `issue:*` went with the issue tracker (reference/bitbucket.md 5, 11)."""

_OF_2024 = "-pullrequest.draft,-pullrequest.queued"
_OF_2023 = f"{_OF_2024},-pullrequest.source.branch.links,-pullrequest.source.branch.sync_strategies"
_OF_2022 = f"{_OF_2023},-repository.parent"
_OF_2020 = f"{_OF_2022},-repository.workspace,-pullrequest.participants.state,-pullrequest.links.request-changes"

_FORMS: dict[str, str] = {
    "pullrequest:created": _OF_2024,
    "pullrequest:rejected": _OF_2024,
    "pullrequest:fulfilled": _OF_2023,
    "pullrequest:approved": _OF_2022,
    "pullrequest:comment_created": _OF_2022,
    "pullrequest:comment_deleted": _OF_2022,
    "pullrequest:comment_updated": _OF_2020,
}
"""What the newest recorded payload of an event lacks of the newest form; an event that is not here has that form."""

_OLD_FORMS: tuple[str, ...] = (
    "",
    "-pullrequest.draft,-pullrequest.queued,-repository.parent",
    f"{_OF_2020},-pullrequest.rendered,-pullrequest.participants.participated_on",
    "-push.changes.truncated,-push.changes.commits,-repository.workspace,-repository.parent",
    "-commit_status.commit,-repository.workspace,-repository.parent,-actor.account_id",
)
"""Older payloads, drawn per delivery when older forms are asked for (reference/bitbucket.md 6)."""

Parts = Callable[[Renderer], Json]


def signature(secret: str, body: bytes) -> str:
    """`X-Hub-Signature`: HMAC-SHA256 over the raw body, in hex (reference/bitbucket.md 4; fixture signature-vectors)."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Outbox:
    """The deliveries that wait to be sent, oldest first."""

    def __init__(self, world: World, renderer: Renderer, *, old_forms: bool) -> None:
        self.renderer = renderer
        self.oversized = 0
        self._world = world
        self._old_forms = old_forms
        self._waiting: list[Delivery] = []

    def emit(self, event: str, repository: Repository, actor: User, parts: Parts, now: datetime) -> None:
        """
        Queue one delivery for every active hook of the repository and its workspace that subscribes to `event`.

        Args:
            parts: renders the body beside `repository` and `actor`; called only when somebody listens.
        """
        hooks = [*repository.hooks.values(), *repository.workspace.hooks.values()]
        listening = [one for one in hooks if one.active and event in one.events]
        if not listening:
            return
        to = self.renderer
        body: Json = {"repository": to.repository_event(repository), "actor": to.user(actor), **parts(to)}
        form = _FORMS.get(event, "")
        if self._old_forms:
            old = _OLD_FORMS[int(self._world.digest("form")[:8], 16) % len(_OLD_FORMS)]
            form = ",".join(part for part in (form, old) if part)
        raw = json.dumps(partial.select(body, body, form) if form else body, ensure_ascii=False).encode(
            "utf-8", "replace"
        )
        if len(raw) > BODY_BYTES_MAX:
            self.oversized += len(listening)
            return
        for hook in listening:
            self._waiting.append(self._first(hook, event, raw, now))

    def _first(self, hook: Hook, event: str, body: bytes, now: datetime) -> Delivery:
        request = self._world.uuid("request")[1:-1]
        headers = {
            "User-Agent": "Bitbucket-Webhooks/2.0",
            "Content-Type": "application/json",
            "X-Event-Key": event,
            "X-Hook-UUID": hook.uuid[1:-1],
            "X-Request-UUID": request,
            "X-Attempt-Number": "1",
        }
        if hook.secret:
            headers["X-Hub-Signature"] = signature(hook.secret, body)
        return Delivery(id=f"{request}/1", url=hook.url, headers=headers, body=body, due_at=now, attempt=1)

    def due(self, now: datetime) -> tuple[Delivery, ...]:
        """Take out what is due."""
        found = tuple(one for one in self._waiting if one.due_at <= now)
        if found:
            self._waiting = [one for one in self._waiting if one.due_at > now]
        return found

    def delivered(self, delivery: Delivery, status: int | None, now: datetime) -> None:
        """Repeat at once after a 5xx, twice at most; never after a time-out or a 4xx."""
        if status is None or status < 500 or delivery.attempt >= ATTEMPTS_MAX:
            return
        attempt = delivery.attempt + 1
        request = delivery.headers["X-Request-UUID"]
        headers = {**delivery.headers, "X-Attempt-Number": str(attempt)}
        self._waiting.append(replace(delivery, id=f"{request}/{attempt}", headers=headers, attempt=attempt, due_at=now))

    def next_due_at(self) -> datetime | None:
        """The earliest time at which something waits."""
        return min(one.due_at for one in self._waiting) if self._waiting else None
