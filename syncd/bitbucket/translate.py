"""
Bitbucket's JSON into the model; pure. Missing keys are tolerated where reference/bitbucket.md says that they occur.

Everywhere else an answer of another form raises `Malformed`: the caller makes a failed read of it, because a value that
was guessed would be written to the other side. Names of people, mail addresses and rendered texts are never taken over.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from syncd import ports
from syncd.model.ids import AccountId, HookId, PullRequestKey, RepositoryId
from syncd.model.schema import Repository
from syncd.model.work import Branch, Build, Commit, Deployment, PullRequest

SHORT_HASH_LENGTH = 12
FULL_HASH_LENGTH = 40
STATES = frozenset({"OPEN", "MERGED", "DECLINED", "SUPERSEDED"})
BUILD_STATES = frozenset({"SUCCESSFUL", "FAILED", "INPROGRESS", "STOPPED"})
FINISHED = frozenset({"SUCCESSFUL", "FAILED", "STOPPED"})
"""States of a deployment that do not change any more."""

_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_HASH = re.compile(r"[0-9a-f]{7,40}")
_UUID = re.compile(r"\{?([0-9A-Za-z-]{1,64})\}?")

_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_FIELD = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_Json = dict[str, Any]


class Malformed(Exception):
    """An answer has another form than the service is known to give. `where` is a path of keys; no value is quoted."""

    code = "MALFORMED"

    def __init__(self, where: str, expected: str) -> None:
        super().__init__(f"{where}: expected {expected}")


class UnknownState(Malformed):
    """A state that did not exist when this was written: its record parks, it is never guessed (SD13)."""

    code = "UNKNOWN_STATE"


# ------------------------------------------------------------------------------------------------- dates, ids, hashes


def instant(raw: Any, where: str) -> datetime:
    """Any of the service's date formats as UTC, cut to microseconds (reference/bitbucket.md 1)."""
    parsed = instant_or_none(raw)
    if parsed is None:
        raise Malformed(where, "a date and time with its offset")
    return parsed


def instant_or_none(raw: Any) -> datetime | None:
    """As `instant`; None for what is no such date."""
    found = _INSTANT.fullmatch(raw) if isinstance(raw, str) else None
    if found is None:
        return None
    second, fraction, offset = found.groups()
    try:
        # Webhook subscriptions have nine digits, pipelines cut their trailing zeros.
        local = datetime.fromisoformat(f"{second}.{(fraction or '')[:6]:0<6}{'+00:00' if offset == 'Z' else offset}")
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def uuid_or_none(raw: Any) -> str | None:
    """A UUID in braces and lower case, however it was written: headers leave the braces out (reference/bitbucket.md 4)."""
    found = _UUID.fullmatch(raw) if isinstance(raw, str) else None
    return None if found is None else "{" + found[1].lower() + "}"


def hook_id(raw: Any) -> HookId:
    """The id of a webhook, with braces as REST has it; `X-Hook-UUID` comes without."""
    return HookId(_uuid(raw, "uuid"))


def account(raw: Any) -> AccountId:
    """The account of an actor; "" for an anonymous one, which has no ids (reference/bitbucket.md 1)."""
    if raw is None:
        return AccountId("")
    return AccountId(uuid_or_none(_object(raw, "account").get("uuid")) or "")


def own_account(raw: Any) -> AccountId:
    """The account that `/user` tells; an answer without one is none."""
    return AccountId(_uuid(_object(raw, "user").get("uuid"), "uuid"))


def status_commit(raw: _Json) -> str:
    """The full hash that a build status is for; in old bodies only a link tells it (reference/bitbucket.md 6.5). "" if none."""
    commit = raw.get("commit")
    told = commit.get("hash") if isinstance(commit, dict) else None
    if told is None:
        links = raw.get("links")
        link = links.get("commit") if isinstance(links, dict) else None
        href = link.get("href") if isinstance(link, dict) else None
        told = href.rsplit("/", 1)[-1] if isinstance(href, str) else None
    return told if isinstance(told, str) and len(told) == FULL_HASH_LENGTH and _HASH.fullmatch(told) else ""


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


def page(raw: Any) -> tuple[list[_Json], str | None]:
    """
    The values of one page and the link to the next one.

    Only `values` and `next` are promised; the end is the missing `next`, not an empty page (reference/bitbucket.md 8.1).
    An answer without `values` is no empty list (BB07).
    """
    body = _object(raw, "page")
    values = body.get("values")
    if not isinstance(values, list):
        raise Malformed("values", "a list")
    if not all(isinstance(value, dict) for value in values):
        raise Malformed("values", "a list of objects")
    following = body.get("next")
    if following is not None and not isinstance(following, str):
        raise Malformed("next", "a link")
    return values, following


def repository(raw: Any) -> Repository:
    """One repository; the slug is the end of `full_name`, `name` is free text."""
    body = _object(raw, "repository")
    workspace, _, slug = _text(body, "full_name").partition("/")
    if not workspace or not slug:
        raise Malformed("full_name", "workspace/slug")
    main = body.get("mainbranch")
    return Repository(
        id=RepositoryId(_uuid(body.get("uuid"), "uuid")),
        workspace=workspace,
        slug=slug,
        name=_text_or_empty(body, "name"),
        main_branch="" if main is None else _text(_object(main, "mainbranch"), "name"),
        url=_html(body),
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
    body = _object(raw, "pullrequest")
    source, destination = _object(body.get("source"), "source"), _object(body.get("destination"), "destination")
    if _uuid_of(destination.get("repository"), "destination.repository") not in {None, home}:
        raise Malformed("destination.repository", "the repository that was asked")
    participants = _objects(body, "participants")
    state = _text(body, "state")
    if state not in STATES | {"DRAFT", "QUEUED"}:
        raise UnknownState("state", "a known state of a pull request")
    origin = _uuid_of(source.get("repository"), "source.repository")
    closed_by = body.get("closed_by")
    return PullRequest(
        key=PullRequestKey(home, _number(body, "id")),
        url=_html(body),
        title=_text(body, "title"),
        description=_text_or_empty(body, "description", required=True),
        state="OPEN" if state in {"DRAFT", "QUEUED"} else state,
        draft=_truth(body, "draft") or state == "DRAFT",
        queued=_truth(body, "queued") or state == "QUEUED",
        author=account(body.get("author")),
        reviewers=_accounts(_objects(body, "reviewers")),
        approved_by=_participating(participants, lambda one: one.get("approved") is True),
        changes_requested_by=_participating(participants, lambda one: one.get("state") == "changes_requested"),
        source_repository=None if origin is None else RepositoryId(origin),
        source_branch=_branch_name(source, "source"),
        destination_branch=_branch_name(destination, "destination"),
        source_commit=_short_hash(source.get("commit"), "source.commit"),
        merge_commit=_short_hash(body.get("merge_commit"), "merge_commit"),
        comment_count=_count(body, "comment_count"),
        open_tasks=_count(body, "task_count"),
        created_on=instant(body.get("created_on"), "created_on"),
        updated_on=instant(body.get("updated_on"), "updated_on"),
        close_source_branch=_truth(body, "close_source_branch"),
        closed_by=None if closed_by is None else account(closed_by),
        reason=_text_or_empty(body, "reason"),
    )


def branch(raw: Any, home: RepositoryId) -> Branch:
    """One branch with its head."""
    body = _object(raw, "branch")
    target = _object(body.get("target"), "target")
    return Branch(
        repository=home,
        name=_text(body, "name"),
        url=_html(body),
        target_commit=_full_hash(target, "target.hash"),
        target_on=instant(target.get("date"), "target.date"),
        author=_commit_author(target),
    )


def commit(raw: Any, home: RepositoryId) -> Commit:
    """One commit; of its author only the account is kept, never the raw line."""
    body = _object(raw, "commit")
    return Commit(
        repository=home,
        hash=_full_hash(body, "hash"),
        url=_html(body),
        message=_text(body, "message"),
        author=_commit_author(body),
        date=instant(body.get("date"), "date"),
    )


def build(raw: Any, home: RepositoryId) -> Build:
    """One build status (reference/bitbucket.md 6.5)."""
    body = _object(raw, "commit_status")
    state = _text(body, "state")
    if state not in BUILD_STATES:
        raise UnknownState("state", "a known state of a build")
    full = status_commit(body)
    if not full:
        raise Malformed("commit.hash", "40 hexadecimal digits")
    return Build(
        repository=home,
        commit=full,
        key=_text(body, "key"),
        name=_text_or_empty(body, "name"),
        state=state,
        url=_text_or_empty(body, "url"),
        updated_on=instant(body.get("updated_on"), "updated_on"),
        reference=_text_or_empty(body, "refname"),
    )


def deployment(raw: Any, home: RepositoryId) -> Deployment:
    """One deployment, asked with the `fields` of reference/bitbucket.md 7.4. COMPLETED alone says nothing."""
    body = _object(raw, "deployment")
    environment, release = body.get("environment"), body.get("release")
    state = _object(body.get("state"), "state")
    kind = {} if environment is None else _object(_object(environment, "environment").get("environment_type"), "type")
    completed_on = state.get("completed_on")
    return Deployment(
        repository=home,
        id=_uuid(body.get("uuid"), "uuid"),
        # Asked for by name: an environment without one means that the question was not understood.
        environment="" if environment is None else _text(environment, "name"),
        environment_type="" if environment is None else _text(kind, "name"),
        state=_deployment_state(state),
        commit="" if release is None else _deployed_commit(_object(release, "release")),
        release="" if release is None else _text_or_empty(release, "name"),
        url=_text_or_empty(state, "url"),
        completed_on=None if completed_on is None else instant(completed_on, "state.completed_on"),
    )


def merged_at(entry: Any) -> datetime | None:
    """When an entry of the activity log says that the pull request was merged; None for every other entry."""
    update = _object(entry, "activity").get("update")
    if not isinstance(update, dict) or update.get("state") != "MERGED":
        return None
    return instant(update.get("date"), "update.date")


def hook(raw: Any) -> ports.HookState:
    """One webhook; its events as a sorted tuple, since they come back in another order (reference/bitbucket.md 3)."""
    body = _object(raw, "webhook_subscription")
    events = body.get("events")
    if not isinstance(events, list):
        raise Malformed("events", "a list")
    return ports.HookState(
        hook=hook_id(body.get("uuid")),
        url=_text(body, "url"),
        healthy=_truth(body, "active"),
        events=tuple(sorted(event for event in events if isinstance(event, str))),
    )


def event_name(raw: Any) -> str:
    """One name out of the service's list of events."""
    return _text(_object(raw, "hook_event"), "event")


# ------------------------------------------------------------------------------------------------------------ pieces


def _object(raw: Any, where: str) -> _Json:
    if not isinstance(raw, dict):
        raise Malformed(where, "an object")
    return raw


def _objects(body: _Json, key: str) -> list[_Json]:
    found = body.get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Malformed(key, "a list of objects")
    return found


def _text(body: _Json, key: str) -> str:
    found = body.get(key)
    if not isinstance(found, str):
        raise Malformed(key, "a text")
    # Escapes of JSON can make texts that no store takes.
    try:
        found.encode("utf-8")
    except UnicodeEncodeError:
        raise Malformed(key, "a text in Unicode") from None
    return found


def _text_or_empty(body: _Json, key: str, *, required: bool = False) -> str:
    if required and key not in body:
        raise Malformed(key, "a text or null")
    return "" if body.get(key) is None else _text(body, key)


def _truth(body: _Json, key: str) -> bool:
    # `draft` and `queued` are absent before about 2025 (reference/bitbucket.md 6.3): absent is false.
    found = body.get(key)
    if found is not None and not isinstance(found, bool):
        raise Malformed(key, "true or false")
    return found is True


def _number(body: _Json, key: str) -> int:
    found = body.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise Malformed(key, "a positive number")
    return found


def _count(body: _Json, key: str) -> int:
    found = body.get(key, 0)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise Malformed(key, "a number")
    return found


def _uuid(raw: Any, where: str) -> str:
    found = uuid_or_none(raw)
    if found is None:
        raise Malformed(where, "a UUID")
    return found


def _uuid_of(raw: Any, where: str) -> str | None:
    return None if raw is None else _uuid(_object(raw, where).get("uuid"), f"{where}.uuid")


def _html(body: _Json) -> str:
    # The page's address is for people; partial answers leave all links out.
    links = body.get("links")
    html = links.get("html") if isinstance(links, dict) else None
    href = html.get("href") if isinstance(html, dict) else None
    return href if isinstance(href, str) else ""


def _accounts(people: Iterable[_Json]) -> tuple[AccountId, ...]:
    # In the service's order, each once: reviewers are sent back with the next PUT, and that must not shuffle them.
    return tuple(dict.fromkeys(identity for one in people if (identity := account(one))))


def _participating(participants: list[_Json], test: Callable[[_Json], bool]) -> tuple[AccountId, ...]:
    people = _accounts(_object(one.get("user") or {}, "participants.user") for one in participants if test(one))
    # Sorted: the order of verdicts means nothing, and two reads must compare equal.
    return tuple(sorted(people))


def _branch_name(end: _Json, where: str) -> str:
    found = end.get("branch")
    return "" if found is None else _text_or_empty(_object(found, f"{where}.branch"), "name")


def _short_hash(raw: Any, where: str) -> str:
    if raw is None:
        return ""
    found = _object(raw, where).get("hash")
    if not isinstance(found, str) or _HASH.fullmatch(found) is None:
        raise Malformed(f"{where}.hash", "hexadecimal digits")
    return found[:SHORT_HASH_LENGTH]


def _full_hash(body: _Json, where: str) -> str:
    found = body.get("hash")
    if not isinstance(found, str) or len(found) != FULL_HASH_LENGTH or _HASH.fullmatch(found) is None:
        raise Malformed(where, "40 hexadecimal digits")
    return found


def _commit_author(body: _Json) -> str:
    # `user` is absent when the address belongs to no account, the whole author in partial answers.
    author = body.get("author")
    return account(author.get("user")) if isinstance(author, dict) else ""


def _deployed_commit(release: _Json) -> str:
    found = release.get("commit")
    return "" if found is None else _full_hash(_object(found, "release.commit"), "release.commit.hash")


def _deployment_state(state: _Json) -> str:
    name = _text(state, "name")
    if name in {"UNDEPLOYED", "IN_PROGRESS"}:
        return name
    if name != "COMPLETED":
        raise UnknownState("state.name", "a known state of a deployment")
    result = _text(_object(state.get("status"), "state.status"), "name")
    if result not in FINISHED:
        raise UnknownState("state.status.name", "a known result of a deployment")
    return result
