"""Acts on comments, tasks and build statuses (reference/bitbucket.md 6.4, 6.5, 7.1, 7.3)."""

import re
from datetime import timedelta
from typing import Any

from syncd.sandbox.bitbucket import render_work
from syncd.sandbox.bitbucket.act import Act, name_of, record
from syncd.sandbox.bitbucket.errors import ApiError, forbidden, invalid
from syncd.sandbox.bitbucket.render import Json, Renderer
from syncd.sandbox.bitbucket.world import Comment, Participant, PullRequest, Repository, Status, Task
from syncd.sandbox.choices import SoonCommentUpdate

QUIET = timedelta(minutes=10)
"""An edit sooner after the last change may not be announced (reference/bitbucket.md 5)."""

KEY_LENGTH_MAX = 40
NAME_LENGTH_MAX = 255
URL_LENGTH_MAX = 450
STATES = ("FAILED", "INPROGRESS", "STOPPED", "SUCCESSFUL")

# The newest recorded form of each comment event names the draft flag only in those of 2026.
_WITH_DRAFT = ("pullrequest:comment_resolved", "pullrequest:comment_reopened")


def _tell(act: Act, event: str, pr: PullRequest, note: Comment) -> None:
    def parts(to: Renderer) -> Json:
        body = render_work.comment(to, pr, note, event=event not in _WITH_DRAFT)
        if event not in _WITH_DRAFT and "inline" in body:
            body["inline"] = {**body["inline"], "context_lines": "", "outdated": False}
        return {"pullrequest": render_work.pull_request_event(to, pr), "comment": body}

    act.emit(event, pr.repository, parts)


def _log_name(pr: PullRequest, kind: str, number: int) -> str:
    return f"{name_of(pr)}/{kind}/{number}"


def add_comment(
    act: Act, pr: PullRequest, raw: str, *, inline: dict[str, Any] | None = None, parent: Any = None
) -> Comment:
    """Comment, also on a closed pull request; the commenter becomes a participant and `updated_on` moves."""
    if parent is not None and (not isinstance(parent, int) or parent not in pr.comments):
        raise invalid("parent", f"Comment not found: {parent}")
    number = 500_000_000 + act.world.count("comment")
    note = pr.comments[number] = Comment(
        id=number,
        user=act.actor,
        raw=raw,
        created_on=act.now,
        updated_on=act.now,
        visible_at=act.world.visible_at(act.now),
        inline=inline,
        parent=parent,
    )
    part = pr.participants.setdefault(act.actor.uuid, Participant(user=act.actor))
    part.commented = True
    part.participated_on = act.now
    pr.updated_on = act.now
    act.changed("comment", _log_name(pr, "comments", number), "raw", None, raw)
    record(act, pr, "comment", {"id": number})
    _tell(act, "pullrequest:comment_created", pr, note)
    return note


def edit_comment(act: Act, pr: PullRequest, note: Comment, raw: str) -> None:
    """Change the text; whether anybody is told depends on how long ago the last change was."""
    if note.user.uuid != act.actor.uuid:
        raise forbidden()
    soon = act.now - note.updated_on < QUIET
    before, note.raw, note.updated_on = note.raw, raw, act.now
    act.changed("comment", _log_name(pr, "comments", note.id), "raw", before, raw)
    if not soon or act.world.choices.soon_comment_update is SoonCommentUpdate.SENT:
        _tell(act, "pullrequest:comment_updated", pr, note)


def delete_comment(act: Act, pr: PullRequest, note: Comment) -> None:
    """Delete; a stub without text stays in the list, and `updated_on` of the pull request moves."""
    if note.user.uuid != act.actor.uuid:
        raise forbidden()
    act.changed("comment", _log_name(pr, "comments", note.id), "raw", note.raw, None)
    note.deleted = True
    note.raw = ""
    pr.updated_on = act.now
    _tell(act, "pullrequest:comment_deleted", pr, note)


def resolve_comment(act: Act, pr: PullRequest, note: Comment, *, resolved: bool) -> None:
    """Resolve or reopen a thread; replies and comments outside the diff cannot be (reference/bitbucket.md 7.1)."""
    if note.parent is not None or note.inline is None:
        raise ApiError(403, "Only top-level comments on the diff can be resolved.")
    if resolved and note.resolved_on is not None:
        raise ApiError(409, "This comment thread is already resolved.")
    if not resolved and note.resolved_on is None:
        raise ApiError(404, "This comment thread is not resolved.")
    note.resolved_on = act.now if resolved else None
    note.resolved_by = act.actor if resolved else None
    act.changed("comment", _log_name(pr, "comments", note.id), "resolved", not resolved, resolved)
    _tell(act, "pullrequest:comment_resolved" if resolved else "pullrequest:comment_reopened", pr, note)


def add_task(act: Act, pr: PullRequest, raw: str, *, comment: Any = None, pending: bool = False) -> Task:
    """Add a task, of which no event tells."""
    if comment is not None and (not isinstance(comment, int) or comment not in pr.comments):
        raise invalid("comment", f"Comment not found: {comment}")
    number = 40_000_000 + act.world.count("task")
    one = pr.tasks[number] = Task(
        id=number,
        creator=act.actor,
        raw=raw,
        created_on=act.now,
        updated_on=act.now,
        visible_at=act.world.visible_at(act.now),
        comment=comment,
        pending=pending,
    )
    act.changed("task", _log_name(pr, "tasks", number), "raw", None, raw)
    act.changed("task", _log_name(pr, "tasks", number), "state", None, one.state)
    return one


def edit_task(act: Act, pr: PullRequest, one: Task, *, raw: str | None = None, state: str | None = None) -> None:
    """Change a task's text or tick it, of which no event tells."""
    name = _log_name(pr, "tasks", one.id)
    if raw is not None:
        act.changed("task", name, "raw", one.raw, raw)
        one.raw = raw
    if state is not None and state != one.state:
        act.changed("task", name, "state", one.state, state)
        one.resolved_on = act.now if state == "RESOLVED" else None
        one.resolved_by = act.actor if state == "RESOLVED" else None
    one.updated_on = act.now


def delete_task(act: Act, pr: PullRequest, one: Task) -> None:
    """Delete a task, of which no event tells."""
    del pr.tasks[one.id]
    act.changed("task", _log_name(pr, "tasks", one.id), "raw", one.raw, None)


def require_status(body: dict[str, Any]) -> None:
    """Refuse a build status with a key that is too long, an unknown state or no full URL (reference/bitbucket.md 7.3)."""
    key, name, url = body.get("key"), body.get("name"), body.get("url")
    if not isinstance(key, str) or not key:
        raise invalid("key", "This field is required.")
    for field, value, limit in (
        ("key", key, KEY_LENGTH_MAX),
        ("name", name, NAME_LENGTH_MAX),
        ("url", url, URL_LENGTH_MAX),
    ):
        if isinstance(value, str) and len(value) > limit:
            raise invalid(field, f"Ensure this value has at most {limit} characters (it has {len(value)}).")
    if body.get("state") not in STATES:
        raise invalid("state", f"Select a valid choice. {body.get('state')} is not one of the available choices.")
    if not isinstance(url, str) or not re.match(r"https?://[^\s/]+", url):
        raise invalid("url", "Enter a valid URL.")


def set_status(act: Act, repository: Repository, commit: str, body: dict[str, Any]) -> Status:
    """Post a build status: the same key on the same commit is overwritten, whoever wrote it (reference/bitbucket.md 7.3)."""
    require_status(body)
    known = repository.statuses.setdefault(commit, {})
    existing = known.get(body["key"])
    made = Status(
        key=body["key"],
        hash=commit,
        state=body["state"],
        name=body.get("name") or body["key"],
        url=body["url"],
        description=body.get("description") or "",
        refname=body.get("refname"),
        created_on=act.now if existing is None else existing.created_on,
        updated_on=act.now,
    )
    known[made.key] = made
    name = f"{repository.full_name}@{commit}/{made.key}"
    for attribute in ("state", "name", "url", "description", "refname"):
        before = None if existing is None else getattr(existing, attribute)
        act.changed("build", name, attribute, before, getattr(made, attribute))
    event = "repo:commit_status_created" if existing is None else "repo:commit_status_updated"
    act.emit(event, repository, lambda to: {"commit_status": render_work.status_event(to, repository, made)})
    return made


def statuses_of(pr: PullRequest) -> list[Status]:
    """The build statuses on the head of a pull request, oldest first; a fork's commits are built in the fork."""
    home = pr.source_repository or pr.repository
    found = {**home.statuses.get(pr.source_hash, {}), **pr.repository.statuses.get(pr.source_hash, {})}
    return list(found.values())


def require_body_text(body: dict[str, Any]) -> str:
    """`content.raw` of a comment or task; blank is refused with 400."""
    content = body.get("content")
    raw = content.get("raw") if isinstance(content, dict) else None
    if not isinstance(raw, str) or not raw.strip():
        raise invalid("content", "This field is required.")
    return raw
