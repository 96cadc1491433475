"""The pull request resources (reference/bitbucket.md 7.1)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from syncd.sandbox.bitbucket import graph, paging, query, refs, render_work, talk, work
from syncd.sandbox.bitbucket.call import Call, Reply, flag, inner, text
from syncd.sandbox.bitbucket.errors import ApiError, invalid, missing
from syncd.sandbox.bitbucket.render import Json
from syncd.sandbox.bitbucket.routing import Route
from syncd.sandbox.bitbucket.world import Activity, MergeTask, PullRequest, Repository, Status
from syncd.sandbox.choices import DefaultReviewers, PullRequestPut

PAGELEN_MAX = 50
MESSAGE_BYTES_MAX = 128 * 1024
MERGE_TASK_TIME = timedelta(seconds=2)
STATES = ("OPEN", "MERGED", "DECLINED", "SUPERSEDED", "QUEUED", "DRAFT")

GETTERS: query.Getters = {
    "id": lambda pr: pr.id,
    "title": lambda pr: pr.title,
    "description": lambda pr: pr.description,
    "state": lambda pr: pr.state,
    "draft": lambda pr: pr.draft,
    "queued": lambda pr: pr.queued,
    "reason": lambda pr: pr.reason,
    "close_source_branch": lambda pr: pr.close_source_branch,
    "created_on": lambda pr: pr.created_on,
    "updated_on": lambda pr: pr.updated_on,
    "comment_count": lambda pr: sum(1 for one in pr.comments.values() if not one.deleted),
    "task_count": lambda pr: sum(1 for one in pr.tasks.values() if one.resolved_on is None),
    "author.uuid": lambda pr: pr.author.uuid,
    "author.account_id": lambda pr: pr.author.account_id,
    "author.nickname": lambda pr: pr.author.nickname,
    "author.display_name": lambda pr: pr.author.display_name,
    "reviewers.uuid": lambda pr: tuple(one.uuid for one in pr.reviewers),
    "reviewers.account_id": lambda pr: tuple(one.account_id for one in pr.reviewers),
    "participants.user.uuid": lambda pr: tuple(one.user.uuid for one in render_work.participants(pr)),
    "source.branch.name": lambda pr: pr.source_branch,
    "source.commit.hash": lambda pr: pr.source_hash[:12],
    "source.repository.full_name": lambda pr: None if pr.source_repository is None else pr.source_repository.full_name,
    "source.repository.uuid": lambda pr: None if pr.source_repository is None else pr.source_repository.uuid,
    "destination.branch.name": lambda pr: pr.destination_branch,
    "destination.commit.hash": lambda pr: pr.destination_hash[:12],
    "destination.repository.full_name": lambda pr: pr.repository.full_name,
    "destination.repository.uuid": lambda pr: pr.repository.uuid,
    "merge_commit.hash": lambda pr: None if pr.merge_hash is None else pr.merge_hash[:12],
}

STATUS_GETTERS: query.Getters = {
    "key": lambda one: one.key,
    "name": lambda one: one.name,
    "state": lambda one: one.state,
    "refname": lambda one: one.refname,
    "description": lambda one: one.description,
    "url": lambda one: one.url,
    "created_on": lambda one: one.created_on,
    "updated_on": lambda one: one.updated_on,
}


def _wide(call: Call) -> Callable[[PullRequest], Json]:
    """What `fields` can reach: whole commits and repositories are rendered only when it names one."""
    to, fields = call.to, call.parameters.get("fields", "")
    if any(word in fields for word in ("commit", "repository", "*")):
        return lambda pr: render_work.wide_pull_request(to, pr)
    return lambda pr: render_work.pull_request(to, pr)


def _single(call: Call, pr: PullRequest) -> Reply:
    to = call.to
    return call.single(pr, lambda one: render_work.pull_request(to, one), _wide(call))


def _listed(call: Call, found: list[PullRequest]) -> Reply:
    to = call.to
    states = call.values("state")
    if any(state not in STATES for state in states):
        raise invalid("state", f"Invalid state. Choices: {', '.join(STATES)}.")
    if states:
        found = [pr for pr in found if pr.state in states]
    elif not query.names_field(call.parameters.get("q", ""), "state"):
        found = [pr for pr in found if pr.is_open]
    return call.page(
        found,
        lambda pr: render_work.listed_pull_request(to, pr),
        getters=GETTERS,
        wide=_wide(call),
        limit=PAGELEN_MAX,
    )


def list_all(call: Call, workspace: str, name: str) -> Reply:
    """`GET /pullrequests`: open ones unless `state` is given, newest first."""
    repository = call.repository(workspace, name)
    return _listed(call, sorted(repository.pull_requests.values(), key=lambda pr: -pr.id))


def list_of_person(call: Call, workspace: str, person: str) -> Reply:
    """`GET /workspaces/{workspace}/pullrequests/{user}`: what somebody authored."""
    home = call.workspace(workspace)
    user = call.world.find_user(person)
    if user is None:
        raise missing(f"User {person} not found")
    every = [pr for one in home.repositories.values() if not one.hidden for pr in one.pull_requests.values()]
    return _listed(call, sorted((pr for pr in every if pr.author is user), key=lambda pr: pr.created_on, reverse=True))


def read(call: Call, workspace: str, name: str, number: str) -> Reply:
    """`GET /pullrequests/{id}`."""
    return _single(call, call.pull_request(call.repository(workspace, name), number))


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value:
        raise invalid(field, "This field is required.")
    return value


def create(call: Call, workspace: str, name: str) -> Reply:
    """`POST /pullrequests`: 201 also when it only rewrote the open one for the same branches."""
    repository = call.repository(workspace, name)
    body = call.json()
    title = work.require_title(body.get("title"))
    source = _text(inner(body, "source", "branch", "name"), "source")
    destination = inner(body, "destination", "branch", "name") or repository.main
    fork = _fork(call, repository, inner(body, "source", "repository"))
    actor = call.act.actor
    reviewers = work.reviewers_named(call.act, repository.workspace, actor, body.get("reviewers") or [])
    if call.world.choices.default_reviewers is DefaultReviewers.ADDED:
        known = {actor.uuid, *(one.uuid for one in reviewers)}
        reviewers += [one for one in repository.default_reviewers if one.uuid not in known]
    pr = work.create(
        call.act,
        repository,
        title=title,
        source=source,
        destination=str(destination),
        description=work.stored_description(body.get("description")),
        reviewers=reviewers,
        close_source_branch=flag(body, "close_source_branch", False),
        draft=flag(body, "draft", False),
        fork=fork,
    )
    reply = _single(call, pr)
    return Reply(status=201, body=reply.body, headers={"location": f"{call.to.api(repository)}/pullrequests/{pr.id}"})


def _fork(call: Call, repository: Repository, named: Any) -> Repository | None:
    if not isinstance(named, dict):
        return None
    full_name = named.get("full_name")
    if isinstance(full_name, str) and "/" in full_name:
        found = call.world.find_repository(*full_name.split("/", 1))
    else:
        everywhere = (one for home in call.world.workspaces.values() for one in home.repositories.values())
        found = next((one for one in everywhere if one.uuid == named.get("uuid")), None)
    if found is None or (found is not repository and found.parent is not repository):
        raise invalid("source", "repository not found")
    return found


def change(call: Call, workspace: str, name: str, number: str) -> Reply:
    """`PUT /pullrequests/{id}`: what becomes of omitted attributes is a choice; there is no version check."""
    repository = call.repository(workspace, name)
    pr = call.pull_request(repository, number)
    work.require_open(pr)
    body = call.json()
    wanted: dict[str, Any] = {"title": work.require_title(body.get("title"))}
    rule = call.world.choices.pull_request_put
    if rule is PullRequestPut.REPLACES_ALL:
        wanted |= {"description": "", "reviewers": [], "close_source_branch": False, "draft": False}
    elif rule is PullRequestPut.OMITTED_REVIEWERS_DROPPED:
        wanted["reviewers"] = []
    if "description" in body:
        wanted["description"] = work.stored_description(body["description"])
    if body.get("reviewers") is not None:
        wanted["reviewers"] = work.reviewers_named(call.act, repository.workspace, pr.author, body["reviewers"])
    if body.get("close_source_branch") is not None:
        wanted["close_source_branch"] = flag(body, "close_source_branch", False)
    if body.get("draft") is not None:
        wanted["draft"] = flag(body, "draft", False)
    destination = inner(body, "destination", "branch", "name")
    if destination is not None:
        wanted["destination"] = _text(destination, "destination")
    work.update(call.act, pr, wanted)
    return _single(call, pr)


def merge(call: Call, workspace: str, name: str, number: str) -> Reply:
    """`POST …/merge`: 200, or 202 with a task when asked for, or when a person made the service slow (control verb `next_merge`)."""
    repository = call.repository(workspace, name)
    pr = call.pull_request(repository, number)
    body = call.json()
    message, strategy = text(body, "message"), text(body, "merge_strategy")
    if message is not None and len(message.encode()) > MESSAGE_BYTES_MAX:
        raise invalid("message", "The message is longer than 128 KiB.")
    close = flag(body, "close_source_branch", pr.close_source_branch)
    outcome, call.world.next_merge = call.world.next_merge, None
    if outcome == "409":
        raise ApiError(409, "A ref involved in this merge has been moved. Try again.")
    if outcome == "555_lost":
        raise ApiError(555, "The merge timed out.")
    if outcome == "202" or call.parameters.get("async") == "true":
        return _merge_later(call, pr, strategy, message, close)
    work.merge(call.act, pr, strategy=strategy, message=message, close=close)
    if outcome == "555_done":
        raise ApiError(555, "The merge timed out.")
    return _single(call, pr)


def _merge_later(call: Call, pr: PullRequest, strategy: str | None, message: str | None, close: bool) -> Reply:
    work.require_open(pr)
    task = MergeTask(
        id=call.world.digest("merge-task")[:32],
        pull_request=pr,
        actor=call.act.actor,
        ready_at=call.now + MERGE_TASK_TIME,
        strategy=strategy,
        message=message,
        close=close,
    )
    call.world.merge_tasks[task.id] = task
    call.world.waiting_merges.append(task)
    address = f"{call.to.api(pr.repository)}/pullrequests/{pr.id}/merge/task-status/{task.id}"
    return Reply(
        status=202, body={"task_id": task.id, "links": {"self": {"href": address}}}, headers={"location": address}
    )


def merge_task(call: Call, workspace: str, name: str, number: str, task_id: str) -> Reply:
    """`GET …/merge/task-status/{task_id}`: PENDING, SUCCESS, or the error of a merge that failed."""
    pr = call.pull_request(call.repository(workspace, name), number)
    task = call.world.merge_tasks.get(task_id)
    if task is None or task.pull_request is not pr:
        raise ApiError(400, "The task does not relate to this pull request.")
    if task.error is not None:
        raise ApiError(409, task.error)
    body: Json = {"task_status": "PENDING", "links": {"self": {"href": call.url}}}
    if call.now >= task.ready_at:
        body |= {"task_status": "SUCCESS", "merge_result": render_work.pull_request(call.to, pr)}
    return Reply(body=body)


def decline(call: Call, workspace: str, name: str, number: str) -> Reply:
    """`POST …/decline`; no reason can be given over the API."""
    pr = call.pull_request(call.repository(workspace, name), number)
    work.decline(call.act, pr)
    return _single(call, pr)


def _judge(verdict: str, given: bool) -> Any:
    def handler(call: Call, workspace: str, name: str, number: str) -> Reply:
        pr = call.pull_request(call.repository(workspace, name), number)
        part = work.judge(call.act, pr, verdict, given=given)
        return Reply(body=render_work.participant(call.to, pr, part)) if given else Reply(status=204)

    return handler


def activity(call: Call, workspace: str, name: str, number: str) -> Reply:
    """`GET …/{id}/activity`, newest first."""
    pr = call.pull_request(call.repository(workspace, name), number)
    return _activity(call, [one for one in reversed(pr.repository.activity) if one.pull_request is pr])


def activity_of_all(call: Call, workspace: str, name: str) -> Reply:
    """`GET /pullrequests/activity` of the whole repository, newest first."""
    return _activity(call, list(reversed(call.repository(workspace, name).activity)))


def _activity(call: Call, found: list[Activity]) -> Reply:
    to = call.to
    body = paging.iterated(
        found,
        lambda one: str(one.sequence),
        call.url,
        call.query,
        lambda one: render_work.activity(to, one),
        limit=PAGELEN_MAX,
    )
    return Reply(body=body)


def commits(call: Call, workspace: str, name: str, number: str) -> Reply:
    """`GET …/{id}/commits`: empty when the source branch is gone, 404 when the fork is."""
    pr = call.pull_request(call.repository(workspace, name), number)
    home = pr.source_repository
    if home is None:
        raise missing("The source repository of this pull request no longer exists.")
    gone = pr.is_open and pr.source_branch not in home.branches
    found = [] if gone else graph.log(pr.repository.commits, (pr.source_hash,), (pr.destination_hash,))
    to = call.to
    body = paging.iterated(found, lambda one: one.hash, call.url, call.query, lambda one: to.commit(home, one))
    return Reply(body=body)


def statuses(call: Call, workspace: str, name: str, number: str) -> Reply:
    """`GET …/{id}/statuses` of the present head."""
    pr = call.pull_request(call.repository(workspace, name), number)
    home, to = pr.source_repository or pr.repository, call.to

    def narrow(one: Status) -> Json:
        return render_work.status(to, home, one)

    return call.page(talk.statuses_of(pr), narrow, getters=STATUS_GETTERS)


def of_commit(call: Call, workspace: str, name: str, commit: str) -> Reply:
    """`GET /commit/{hash}/pullrequests`: of every state, as when the repository's commits are indexed."""
    repository, to = call.repository(workspace, name), call.to
    digest = refs.require_commit(repository, commit).hash
    found = [
        pr
        for pr in repository.pull_requests.values()
        if any(one.hash == digest for one in graph.log(repository.commits, (pr.source_hash,), (pr.destination_hash,)))
    ]
    return call.page(found, lambda pr: render_work.listed_pull_request(to, pr), limit=PAGELEN_MAX)


_HOME = "repositories/{workspace}/{repo}/pullrequests"
ROUTES = (
    Route(method="GET", path=_HOME, scope="pullrequest", handler=list_all),
    Route(method="POST", path=_HOME, scope="pullrequest:write", handler=create),
    Route(method="GET", path=f"{_HOME}/activity", scope="pullrequest", handler=activity_of_all),
    Route(method="GET", path=f"{_HOME}/{{id}}", scope="pullrequest", handler=read),
    Route(method="PUT", path=f"{_HOME}/{{id}}", scope="pullrequest:write", handler=change),
    Route(method="POST", path=f"{_HOME}/{{id}}/merge", scope="pullrequest:write", handler=merge),
    Route(
        method="GET", path=f"{_HOME}/{{id}}/merge/task-status/{{task}}", scope="pullrequest:write", handler=merge_task
    ),
    Route(method="POST", path=f"{_HOME}/{{id}}/decline", scope="pullrequest:write", handler=decline),
    Route(method="POST", path=f"{_HOME}/{{id}}/approve", scope="pullrequest:write", handler=_judge("approved", True)),
    Route(
        method="DELETE", path=f"{_HOME}/{{id}}/approve", scope="pullrequest:write", handler=_judge("approved", False)
    ),
    Route(
        method="POST",
        path=f"{_HOME}/{{id}}/request-changes",
        scope="pullrequest:write",
        handler=_judge("changes_requested", True),
    ),
    Route(
        method="DELETE",
        path=f"{_HOME}/{{id}}/request-changes",
        scope="pullrequest:write",
        handler=_judge("changes_requested", False),
    ),
    Route(method="GET", path=f"{_HOME}/{{id}}/activity", scope="pullrequest", handler=activity),
    Route(method="GET", path=f"{_HOME}/{{id}}/commits", scope="pullrequest", handler=commits),
    Route(method="GET", path=f"{_HOME}/{{id}}/statuses", scope="pullrequest", handler=statuses),
    Route(
        method="GET",
        path="repositories/{workspace}/{repo}/commit/{commit}/pullrequests",
        scope="pullrequest",
        handler=of_commit,
    ),
    Route(method="GET", path="workspaces/{workspace}/pullrequests/{user}", scope="pullrequest", handler=list_of_person),
)
