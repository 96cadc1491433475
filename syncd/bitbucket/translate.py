"""
Bitbucket's JSON into the model; pure. Missing keys are tolerated where reference/bitbucket.md says that they occur.

Everywhere else an answer of another form raises `shape.Malformed`: the caller makes a failed read of it, because a value that
was guessed would be written to the other side. Names of people, mail addresses and rendered texts are never taken over.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from syncd import ports
from syncd.bitbucket import shape
from syncd.model.ids import AccountId, HookId, PullRequestKey, RepositoryId
from syncd.model.schema import Repository
from syncd.model.work import Branch, Build, Commit, Deployment, PullRequest

STATES = frozenset({"OPEN", "MERGED", "DECLINED", "SUPERSEDED"})
QUEUED = "QUEUED"
"""Of a merge queue (beta): an open pull request, and a state of its own in the service's lists."""
DRAFT = "DRAFT"
"""Listed in the description, never recorded: drafts are OPEN with `draft` (reference/bitbucket.md 6.3)."""
BUILD_STATES = frozenset({"SUCCESSFUL", "FAILED", "INPROGRESS", "STOPPED"})
FINISHED = frozenset({"SUCCESSFUL", "FAILED", "STOPPED"})
"""States of a deployment that do not change any more."""

_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_FIELD = re.compile(r"[A-Za-z0-9_.-]{1,64}")


# ------------------------------------------------------------------------------------------------- accounts, ids


def hook_id(raw: Any) -> HookId:
    """The id of a webhook, with braces as REST has it; `X-Hook-UUID` comes without."""
    return HookId(shape.uuid(raw, "uuid"))


def account(raw: Any) -> AccountId:
    """The account of an actor; "" for an anonymous one, which has no ids (reference/bitbucket.md 1)."""
    if raw is None:
        return AccountId("")
    return AccountId(shape.uuid_or_none(shape.an_object(raw, "account").get("uuid")) or "")


def own_account(raw: Any) -> AccountId:
    """The account that `/user` tells; an answer without one is none."""
    return AccountId(shape.uuid(shape.an_object(raw, "user").get("uuid"), "uuid"))


def status_commit(raw: shape.Json) -> str:
    """The full hash that a build status is for; in old bodies only a link tells it (reference/bitbucket.md 6.5). "" if none."""
    commit = raw.get("commit")
    told = commit.get("hash") if isinstance(commit, dict) else None
    if told is None:
        links = raw.get("links")
        link = links.get("commit") if isinstance(links, dict) else None
        href = link.get("href") if isinstance(link, dict) else None
        told = href.rsplit("/", 1)[-1] if isinstance(href, str) else None
    return told if shape.is_full_hash(told) else ""


# ---------------------------------------------------------------------------------------------------------- refusals


def explain(status: int, raw: Any) -> tuple[str, str]:  # noqa: ARG001 - the form of `transport.Explain`
    """
    The service's error code and its text (reference/bitbucket.md 10). Never raises.

    Returns:
        As code the key of `error.data`, else the refused fields as `field:reviewers`, else "". Of the text the message, and
        of `detail` what it says in words or which scopes are missing.
    """
    body = raw if isinstance(raw, dict) else {}
    # A missing right is answered by the bare inner part (2.4).
    inner = body.get("error")
    error = inner if isinstance(inner, dict) else body
    message, detail = error.get("message"), _explained(error.get("detail"))
    text = (message if isinstance(message, str) else "") + (f" ({detail})" if detail else "")
    named = error.get("data")
    key = named.get("key") if isinstance(named, dict) else None
    if isinstance(key, str) and _CODE.fullmatch(key):
        return key, text
    fields = error.get("fields")
    refused = sorted(name for name in fields if _FIELD.fullmatch(name)) if isinstance(fields, dict) else []
    return f"field:{','.join(refused[:5])}" if refused else "", text


def _explained(detail: Any) -> str:
    if isinstance(detail, str):
        return detail
    required = detail.get("required") if isinstance(detail, dict) else None
    if not isinstance(required, list):
        return ""
    return "required: " + ", ".join(scope for scope in required if isinstance(scope, str))


# ----------------------------------------------------------------------------------------------------------- answers


def page(raw: Any) -> tuple[list[shape.Json], str | None]:
    """
    The values of one page and the link to the next one.

    Only `values` and `next` are promised; the end is the missing `next`, not an empty page (reference/bitbucket.md 8.1).
    An answer without `values` is no empty list (BB07).
    """
    body = shape.an_object(raw, "page")
    values = body.get("values")
    if not isinstance(values, list):
        raise shape.Malformed("values", "a list")
    if not all(isinstance(value, dict) for value in values):
        raise shape.Malformed("values", "a list of objects")
    following = body.get("next")
    if following is not None and not isinstance(following, str):
        raise shape.Malformed("next", "a link")
    return values, following


def repository(raw: Any) -> Repository:
    """One repository; the slug is the end of `full_name`, `name` is free text."""
    body = shape.an_object(raw, "repository")
    workspace, _, slug = shape.text(body, "full_name").partition("/")
    if not workspace or not slug:
        raise shape.Malformed("full_name", "workspace/slug")
    main = body.get("mainbranch")
    return Repository(
        id=RepositoryId(shape.uuid(body.get("uuid"), "uuid")),
        workspace=workspace,
        slug=slug,
        name=shape.text_or_empty(body, "name"),
        main_branch="" if main is None else shape.text(shape.an_object(main, "mainbranch"), "name"),
        url=shape.html(body),
    )


def pull_request(raw: Any, home: RepositoryId) -> PullRequest:
    """
    One pull request with its reviewers and participants.

    Args:
        home: the repository that was asked; stands in when the destination repository is null.

    Raises:
        Malformed: also without `reviewers` or `participants`, which list items leave out unless asked: read as empty they
            would turn into no approvals and, in the next PUT, into no reviewers (traps 6 and 10).
        UnknownState: neither one of the four states nor DRAFT or QUEUED, which are open ones.
    """
    body = shape.an_object(raw, "pullrequest")
    source, destination = (
        shape.an_object(body.get("source"), "source"),
        shape.an_object(body.get("destination"), "destination"),
    )
    if _uuid_of(destination.get("repository"), "destination.repository") not in {None, home}:
        raise shape.Malformed("destination.repository", "the repository that was asked")
    participants = shape.objects(body, "participants")
    state = shape.text(body, "state")
    if state not in STATES | {DRAFT, QUEUED}:
        raise shape.UnknownState("state", "a known state of a pull request")
    origin = _uuid_of(source.get("repository"), "source.repository")
    closed_by = body.get("closed_by")
    return PullRequest(
        key=PullRequestKey(home, shape.number(body, "id")),
        url=shape.html(body),
        title=shape.text(body, "title"),
        description=shape.text_or_empty(body, "description", required=True),
        state="OPEN" if state in {DRAFT, QUEUED} else state,
        draft=shape.truth(body, "draft") or state == DRAFT,
        queued=shape.truth(body, "queued") or state == QUEUED,
        author=account(body.get("author")),
        reviewers=_accounts(shape.objects(body, "reviewers")),
        approved_by=_participating(participants, lambda one: one.get("approved") is True),
        changes_requested_by=_participating(participants, lambda one: one.get("state") == "changes_requested"),
        source_repository=None if origin is None else RepositoryId(origin),
        source_branch=_branch_name(source, "source"),
        destination_branch=_branch_name(destination, "destination"),
        source_commit=shape.short_hash(source.get("commit"), "source.commit"),
        merge_commit=shape.short_hash(body.get("merge_commit"), "merge_commit"),
        comment_count=shape.count(body, "comment_count"),
        open_tasks=shape.count(body, "task_count"),
        created_on=shape.instant(body.get("created_on"), "created_on"),
        updated_on=shape.instant(body.get("updated_on"), "updated_on"),
        close_source_branch=shape.truth(body, "close_source_branch"),
        closed_by=None if closed_by is None else account(closed_by),
        reason=shape.text_or_empty(body, "reason"),
    )


def branch(raw: Any, home: RepositoryId) -> Branch:
    """One branch with its head."""
    body = shape.an_object(raw, "branch")
    target = shape.an_object(body.get("target"), "target")
    return Branch(
        repository=home,
        name=shape.text(body, "name"),
        url=shape.html(body),
        target_commit=shape.full_hash(target, "target.hash"),
        target_on=shape.instant(target.get("date"), "target.date"),
        author=_commit_author(target),
    )


def commit(raw: Any, home: RepositoryId) -> Commit:
    """One commit; of its author only the account is kept, never the raw line."""
    body = shape.an_object(raw, "commit")
    return Commit(
        repository=home,
        hash=shape.full_hash(body, "hash"),
        url=shape.html(body),
        message=shape.text(body, "message"),
        author=_commit_author(body),
        date=shape.instant(body.get("date"), "date"),
    )


def build(raw: Any, home: RepositoryId) -> Build:
    """One build status (reference/bitbucket.md 6.5)."""
    body = shape.an_object(raw, "commit_status")
    state = shape.text(body, "state")
    if state not in BUILD_STATES:
        raise shape.UnknownState("state", "a known state of a build")
    full = status_commit(body)
    if not full:
        raise shape.Malformed("commit.hash", "40 hexadecimal digits")
    return Build(
        repository=home,
        commit=full,
        key=shape.text(body, "key"),
        name=shape.text_or_empty(body, "name"),
        state=state,
        url=shape.text_or_empty(body, "url"),
        updated_on=shape.instant(body.get("updated_on"), "updated_on"),
        reference=shape.text_or_empty(body, "refname"),
    )


def deployment(raw: Any, home: RepositoryId) -> Deployment:
    """One deployment, asked with the `fields` of reference/bitbucket.md 7.4. COMPLETED alone says nothing."""
    body = shape.an_object(raw, "deployment")
    environment, release = body.get("environment"), body.get("release")
    state = shape.an_object(body.get("state"), "state")
    kind = (
        {}
        if environment is None
        else shape.an_object(shape.an_object(environment, "environment").get("environment_type"), "type")
    )
    completed_on = state.get("completed_on")
    return Deployment(
        repository=home,
        id=shape.uuid(body.get("uuid"), "uuid"),
        # Asked for by name: an environment without one means that the question was not understood.
        environment="" if environment is None else shape.text(environment, "name"),
        environment_type="" if environment is None else shape.text(kind, "name"),
        state=_deployment_state(state),
        commit="" if release is None else _deployed_commit(shape.an_object(release, "release")),
        release="" if release is None else shape.text_or_empty(release, "name"),
        url=shape.text_or_empty(state, "url"),
        completed_on=None if completed_on is None else shape.instant(completed_on, "state.completed_on"),
    )


def merged_at(entry: Any) -> datetime | None:
    """When an entry of the activity log says that the pull request was merged; None for every other entry."""
    update = shape.an_object(entry, "activity").get("update")
    if not isinstance(update, dict) or update.get("state") != "MERGED":
        return None
    return shape.instant(update.get("date"), "update.date")


def snapshot(entry: Any) -> tuple[datetime, Mapping[str, str | bool]] | None:
    """
    The writable attributes after an update, with its time; None for an entry of another kind.

    reference/bitbucket.md 7.1, Activity: an `update` is a snapshot after the change, the service's own history.
    """
    update = shape.an_object(entry, "activity").get("update")
    if not isinstance(update, dict):
        return None
    destination = update.get("destination")
    branch = destination.get("branch") if isinstance(destination, dict) else None
    found = {
        "title": update.get("title"),
        "description": update.get("description") or "",
        "draft": bool(update.get("draft")),
        "destination_branch": branch.get("name") if isinstance(branch, dict) else None,
    }
    kept = {
        name: value
        for name, value in found.items()
        if isinstance(value, bool) or (isinstance(value, str) and shape.is_unicode(value))
    }
    return shape.instant(update.get("date"), "update.date"), kept


def hook(raw: Any) -> ports.HookState:
    """One webhook; its events as a sorted tuple, since they come back in another order (reference/bitbucket.md 3)."""
    body = shape.an_object(raw, "webhook_subscription")
    events = body.get("events")
    if not isinstance(events, list):
        raise shape.Malformed("events", "a list")
    return ports.HookState(
        hook=hook_id(body.get("uuid")),
        url=shape.text(body, "url"),
        healthy=shape.truth(body, "active"),
        events=tuple(sorted(event for event in events if isinstance(event, str) and shape.is_unicode(event))),
    )


def event_name(raw: Any) -> str:
    """One name out of the service's list of events."""
    return shape.text(shape.an_object(raw, "hook_event"), "event")


# ------------------------------------------------------------------------------------------------------------ pieces


def _uuid_of(raw: Any, where: str) -> str | None:
    return None if raw is None else shape.uuid(shape.an_object(raw, where).get("uuid"), f"{where}.uuid")


def _accounts(people: Iterable[shape.Json]) -> tuple[AccountId, ...]:
    # In the service's order, each once: reviewers are sent back with the next PUT, and that must not shuffle them.
    return tuple(dict.fromkeys(identity for one in people if (identity := account(one))))


def _participating(participants: list[shape.Json], test: Callable[[shape.Json], bool]) -> tuple[AccountId, ...]:
    people = _accounts(shape.an_object(one.get("user") or {}, "participants.user") for one in participants if test(one))
    # Sorted: the order of verdicts means nothing, and two reads must compare equal.
    return tuple(sorted(people))


def _branch_name(end: shape.Json, where: str) -> str:
    found = end.get("branch")
    return "" if found is None else shape.text_or_empty(shape.an_object(found, f"{where}.branch"), "name")


def _commit_author(body: shape.Json) -> str:
    # `user` is absent when the address belongs to no account, the whole author in partial answers.
    author = body.get("author")
    return account(author.get("user")) if isinstance(author, dict) else ""


def _deployed_commit(release: shape.Json) -> str:
    found = release.get("commit")
    return "" if found is None else shape.full_hash(shape.an_object(found, "release.commit"), "release.commit.hash")


def _deployment_state(state: shape.Json) -> str:
    name = shape.text(state, "name")
    if name in {"UNDEPLOYED", "IN_PROGRESS"}:
        return name
    if name != "COMPLETED":
        raise shape.UnknownState("state.name", "a known state of a deployment")
    result = shape.text(shape.an_object(state.get("status"), "state.status"), "name")
    if result not in FINISHED:
        raise shape.UnknownState("state.status.name", "a known result of a deployment")
    return result
