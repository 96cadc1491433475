"""Acts on pull requests: made, changed, judged, merged and declined, by the API and by people alike (reference/bitbucket.md 7.1)."""

from collections.abc import Sequence
from typing import Any

from syncd.sandbox.bitbucket import graph, refs, render_work
from syncd.sandbox.bitbucket.act import Act, name_of, record, record_update
from syncd.sandbox.bitbucket.errors import ApiError, invalid
from syncd.sandbox.bitbucket.render import Json, Renderer, micro
from syncd.sandbox.bitbucket.world import Participant, PullRequest, Repository, User, Workspace
from syncd.sandbox.choices import ReviewerNaming, SecondPost

TITLE_LENGTH_MAX = 255
"""Likely, not established (reference/bitbucket.md 7.1)."""


def _pull_request(pr: PullRequest) -> Any:
    return lambda to: {"pullrequest": render_work.pull_request_event(to, pr)}


def reviewers_named(act: Act, workspace: Workspace, author: User, named: Any) -> list[User]:
    """
    The accounts that a `reviewers` list names.

    Raises:
        ApiError: 400 for the whole request when one of them is unknown, closed, a stranger or the author (reference/bitbucket.md 7.1).
    """
    if not isinstance(named, list):
        raise invalid("reviewers", "Malformed reviewers list")
    found: list[User] = []
    for one in named:
        user = _reviewer(act, one) if isinstance(one, dict) else None
        if user is None or not user.active or user.kind is not None:
            raise invalid("reviewers", "Malformed reviewers list")
        if user.uuid == author.uuid:
            raise invalid("reviewers", f"{user.display_name} is the author and cannot be included as a reviewer.")
        if user.uuid not in workspace.members:
            raise invalid(
                "reviewers",
                f"{user.display_name} is not a member of this workspace and cannot be added to this pull request",
            )
        if all(user.uuid != other.uuid for other in found):
            found.append(user)
    return found


def _reviewer(act: Act, named: dict[str, Any]) -> User | None:
    if isinstance(named.get("uuid"), str):
        return act.world.users.get(named["uuid"])
    account = named.get("account_id")
    if act.world.choices.reviewer_naming is ReviewerNaming.ACCOUNT_ID_TOO and isinstance(account, str):
        return next((one for one in act.world.users.values() if one.account_id == account), None)
    return None


def require_title(title: Any) -> str:
    """The title, or a 400: it is required and not longer than 255 characters."""
    if not isinstance(title, str) or not title.strip():
        raise invalid("title", "This field is required.")
    if len(title) > TITLE_LENGTH_MAX:
        raise invalid("title", f"Ensure this value has at most {TITLE_LENGTH_MAX} characters (it has {len(title)}).")
    return title


def stored_description(text: Any) -> str:
    """A description as the service keeps one sent over the API: white space at its end is cut (reference/bitbucket.md 14, trap 27)."""
    if text is None:
        return ""
    if not isinstance(text, str):
        raise invalid("description", "expected a string")
    return text.rstrip()


def page_description(text: str) -> str:
    r"""A description as the page's editor leaves it: `\r\n`, and a blank line with U+200C at the end (reference/bitbucket.md 6.3)."""
    return text.replace("\r\n", "\n").replace("\n", "\r\n") + "\n\n\u200c"


def find_open(repository: Repository, source: Repository, branch: str, destination: str) -> PullRequest | None:
    """The open pull request for these branches; there is never more than one."""
    return next(
        (
            one
            for one in repository.pull_requests.values()
            if one.is_open
            and one.source_repository is source
            and one.source_branch == branch
            and one.destination_branch == destination
        ),
        None,
    )


def create(
    act: Act,
    repository: Repository,
    *,
    title: str,
    source: str,
    destination: str,
    description: str = "",
    reviewers: Sequence[User] = (),
    close_source_branch: bool = False,
    draft: bool = False,
    fork: Repository | None = None,
) -> PullRequest:
    """
    Open a pull request, or rewrite the open one for the same branches without a word (reference/bitbucket.md 7.1).

    Raises:
        ApiError: 400, when a branch is missing or the source has no commit that the destination lacks.
    """
    origin = fork or repository
    if source not in origin.branches:
        raise invalid("source", f"branch not found: {source}")
    if destination not in repository.branches:
        raise invalid("destination", f"branch not found: {destination}")
    head, base = origin.branches[source].target, repository.branches[destination].target
    refs.adopt(origin, repository, head)
    if not refs.ahead(repository, head, base):
        raise ApiError(
            400, "There are no changes to be pulled", fields={"source": ["There are no changes to be pulled"]}
        )
    existing = find_open(repository, origin, source, destination)
    if existing is not None:
        wanted: dict[str, Any] = {"title": title, "close_source_branch": close_source_branch}
        if act.world.choices.second_post is SecondPost.ALL:
            wanted |= {"description": description, "reviewers": list(reviewers)}
        update(act, existing, wanted)
        return existing
    number = max(repository.pull_requests, default=0) + 1
    pr = repository.pull_requests[number] = PullRequest(
        id=number,
        repository=repository,
        title=title,
        description=description,
        author=act.actor,
        source_repository=origin,
        source_branch=source,
        source_hash=head,
        destination_branch=destination,
        destination_hash=base,
        created_on=act.now,
        updated_on=act.now,
        visible_at=act.world.visible_at(act.now),
        draft=draft,
        close_source_branch=close_source_branch,
        reviewers=list(reviewers),
    )
    for attribute, value in attributes(pr).items():
        act.changed("pull_request", name_of(pr), attribute, None, value)
    record_update(act, pr, {})
    act.emit("pullrequest:created", repository, _pull_request(pr))
    return pr


def attributes(pr: PullRequest) -> dict[str, Any]:
    """The true state of a pull request by attribute: names for the log, plain values, people as uuids, hashes whole."""
    return {
        "state": pr.state,
        "title": pr.title,
        "description": pr.description,
        "draft": pr.draft,
        "queued": pr.queued,
        "reviewers": tuple(one.uuid for one in pr.reviewers),
        "close_source_branch": pr.close_source_branch,
        "source_branch": pr.source_branch,
        "destination_branch": pr.destination_branch,
        "source_commit": pr.source_hash,
        "merge_commit": pr.merge_hash,
        "closed_by": None if pr.closed_by is None else pr.closed_by.uuid,
        "reason": pr.reason,
        "verdicts": tuple(
            sorted((one.user.uuid, one.state) for one in pr.participants.values() if one.state is not None)
        ),
    }


def _noted(act: Act, pr: PullRequest, before: dict[str, Any]) -> dict[str, Any]:
    after = attributes(pr)
    for attribute, value in after.items():
        act.changed("pull_request", name_of(pr), attribute, before[attribute], value)
    return {
        key: {"old": before[key], "new": after[key]} for key in ("title", "description") if before[key] != after[key]
    }


def require_open(pr: PullRequest) -> None:
    """Refuse a change of a closed pull request with 400."""
    if not pr.is_open:
        raise ApiError(400, f"This pull request is already closed: it is {pr.state}.")


def update(act: Act, pr: PullRequest, wanted: dict[str, Any]) -> None:
    """
    Set the named attributes: title, description, reviewers, close_source_branch, draft, destination.

    An update that changes nothing still counts as one: `updated_on` moves and the hooks are told.
    """
    before = attributes(pr)
    if "destination" in wanted and wanted["destination"] != pr.destination_branch:
        _redirect(pr, wanted["destination"])
    pr.title = wanted.get("title", pr.title)
    pr.description = wanted.get("description", pr.description)
    pr.reviewers = list(wanted.get("reviewers", pr.reviewers))
    pr.close_source_branch = wanted.get("close_source_branch", pr.close_source_branch)
    pr.draft = wanted.get("draft", pr.draft)
    pr.updated_on = act.now
    record_update(act, pr, _noted(act, pr, before))
    act.emit("pullrequest:updated", pr.repository, _pull_request(pr))


def _redirect(pr: PullRequest, destination: str) -> None:
    repository = pr.repository
    if destination not in repository.branches:
        raise invalid("destination", f"branch not found: {destination}")
    base = repository.branches[destination].target
    if not refs.ahead(repository, pr.source_hash, base):
        raise ApiError(
            400, "There are no changes to be pulled", fields={"destination": ["There are no changes to be pulled"]}
        )
    if pr.source_repository is not None and find_open(repository, pr.source_repository, pr.source_branch, destination):
        raise invalid("destination", "there is already a pull request for these branches")
    pr.destination_branch, pr.destination_hash = destination, base


_VERDICT_EVENTS = {
    ("approved", True): "pullrequest:approved",
    ("approved", False): "pullrequest:unapproved",
    ("changes_requested", True): "pullrequest:changes_request_created",
    ("changes_requested", False): "pullrequest:changes_request_removed",
}


def judge(act: Act, pr: PullRequest, verdict: str, *, given: bool) -> Participant:
    """
    Give or withdraw an approval ("approved") or a request for changes ("changes_requested") as the actor.

    Raises:
        ApiError: 400 on a closed pull request; 404 when there is nothing to withdraw.
    """
    require_open(pr)
    part = pr.participants.get(act.actor.uuid)
    if not given and (part is None or part.state != verdict):
        raise ApiError(
            404, f"You haven't {'approved' if verdict == 'approved' else 'requested changes on'} this pull request."
        )
    if part is None:
        part = pr.participants[act.actor.uuid] = Participant(user=act.actor)
    if given and part.state == verdict:
        return part
    before = attributes(pr)
    part.state = verdict if given else None
    part.participated_on = act.now
    pr.updated_on = act.now
    _noted(act, pr, before)
    if given:
        record(act, pr, "approval" if verdict == "approved" else verdict, {})
    key = "approval" if verdict == "approved" else "changes_request"
    date, actor = micro(act.now), act.actor

    def parts(to: Renderer) -> Json:
        return {"pullrequest": render_work.pull_request_event(to, pr), key: {"date": date, "user": to.user(actor)}}

    act.emit(_VERDICT_EVENTS[verdict, given], pr.repository, parts)
    return part


def decline(act: Act, pr: PullRequest, reason: str = "") -> None:
    """Decline for good; the reason is what a person typed in the page."""
    require_open(pr)
    _close(act, pr, "DECLINED", reason=reason)
    act.emit("pullrequest:rejected", pr.repository, _pull_request(pr))


def supersede(act: Act, pr: PullRequest) -> None:
    """Close as SUPERSEDED, of which no event tells (reference/bitbucket.md 5)."""
    require_open(pr)
    _close(act, pr, "SUPERSEDED")


def _close(act: Act, pr: PullRequest, state: str, *, reason: str = "", merge_hash: str | None = None) -> None:
    before = attributes(pr)
    pr.state, pr.reason, pr.merge_hash, pr.closed_by = state, reason, merge_hash, act.actor
    pr.queued = False
    pr.updated_on = act.now
    record_update(act, pr, _noted(act, pr, before))


def merge(
    act: Act, pr: PullRequest, *, strategy: str | None = None, message: str | None = None, close: bool | None = None
) -> None:
    """
    Merge, as one push to the destination, perhaps one that deletes the source, and then the event of the merge.

    Raises:
        ApiError: 400 for a closed pull request, a strategy that the destination does not allow, conflicts, or nothing to merge.
    """
    require_open(pr)
    repository = pr.repository
    target = repository.branches.get(pr.destination_branch)
    if target is None:
        raise ApiError(400, f"The destination branch {pr.destination_branch} does not exist.")
    strategy = strategy or target.merge_strategies[0]
    if strategy not in target.merge_strategies:
        allowed = ", ".join(target.merge_strategies)
        raise ApiError(400, f'merge_strategy: "{strategy}" is not allowed on {target.name}. Allowed: {allowed}.')
    if pr.conflicted:
        raise ApiError(400, "You can't merge until you resolve all merge conflicts.")
    origin = pr.source_repository
    if origin is None or pr.source_branch not in origin.branches:
        raise ApiError(400, f"The source branch {pr.source_branch} does not exist.")
    commits = refs.ahead(repository, pr.source_hash, target.target)
    if not commits:
        raise ApiError(400, "There are no changes to be merged.")
    text = message or f"Merged in {pr.source_branch} (pull request #{pr.id})\n\n{pr.title}\n"
    head = _merged_head(act, pr, target.target, strategy, text)
    base = target.target
    refs.set_branch(act, repository, pr.destination_branch, head)
    # The closed pull request shows the destination as it was before the merge.
    pr.destination_hash = base
    closes = pr.close_source_branch if close is None else close
    if closes and origin is repository and pr.source_branch != repository.main:
        refs.delete_branch(act, repository, pr.source_branch)
    _close(act, pr, "MERGED", merge_hash=head)
    act.emit("pullrequest:fulfilled", repository, _pull_request(pr))


def _merged_head(act: Act, pr: PullRequest, base: str, strategy: str, message: str) -> str:
    repository = pr.repository
    if strategy == "merge_commit":
        return refs.add_commit(act, repository, (base, pr.source_hash), message, user=act.actor)
    if strategy == "squash":
        return refs.add_commit(act, repository, (base,), message, user=act.actor)
    straight = graph.is_ancestor(repository.commits, base, pr.source_hash)
    if strategy == "fast_forward":
        if not straight:
            raise ApiError(
                400, "The destination branch has commits that the source lacks; it cannot be fast-forwarded."
            )
        return pr.source_hash
    if strategy == "squash_fast_forward":
        if not straight:
            raise ApiError(
                400, "The destination branch has commits that the source lacks; it cannot be fast-forwarded."
            )
        return refs.add_commit(act, repository, (base,), message, user=act.actor)
    head = base
    for one in reversed([one for one in refs.ahead(repository, pr.source_hash, base) if len(one.parents) < 2]):
        head = refs.add_commit(act, repository, (head,), one.message, user=one.user, raw=one.raw_author)
    if strategy == "rebase_merge":
        return refs.add_commit(act, repository, (base, head), message, user=act.actor)
    return head


def queue(act: Act, pr: PullRequest, queued: bool) -> None:
    """Put an open pull request into the merge queue or take it out (reference/bitbucket.md 11)."""
    before = attributes(pr)
    pr.queued, pr.state = queued, "QUEUED" if queued else "OPEN"
    pr.updated_on = act.now
    record_update(act, pr, _noted(act, pr, before))
