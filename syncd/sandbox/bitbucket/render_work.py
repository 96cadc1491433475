"""Pull requests, their discussions, builds, deployments and hooks as the service writes them (reference/bitbucket.md 6.3-6.5, 7)."""

from typing import Any
from urllib.parse import quote

from syncd.sandbox.bitbucket.render import HTML, Json, Renderer, link, micro, nano, optional, rendered, zulu
from syncd.sandbox.bitbucket.world import (
    Activity,
    Branch,
    Comment,
    Deployment,
    Environment,
    Hook,
    Participant,
    Pipeline,
    PullRequest,
    Repository,
    Status,
    Task,
)


def participants(pr: PullRequest) -> list[Participant]:
    """Reviewers first, then who gave a verdict or commented (reference/bitbucket.md 6.3, `participants[]`)."""
    found = [pr.participants.get(one.uuid) or Participant(user=one) for one in pr.reviewers]
    known = {one.uuid for one in pr.reviewers}
    found += [
        one for uuid, one in pr.participants.items() if uuid not in known and (one.state is not None or one.commented)
    ]
    return found


def participant(to: Renderer, pr: PullRequest, part: Participant) -> Json:
    """One participant with its role and verdict."""
    return {
        "type": "participant",
        "user": to.user(part.user),
        "role": "REVIEWER" if any(one.uuid == part.user.uuid for one in pr.reviewers) else "PARTICIPANT",
        "approved": part.state == "approved",
        "state": part.state,
        "participated_on": optional(part.participated_on),
    }


def _endpoint(to: Renderer, repository: Repository | None, branch: Json, commit: str, home: Repository) -> Json:
    return {
        "branch": branch,
        # A deleted fork leaves its commits in the destination repository (reference/bitbucket.md 6.3).
        "commit": to.commit_small(repository or home, commit[:12]),
        "repository": None if repository is None else to.repository_small(repository),
    }


def source(to: Renderer, pr: PullRequest, *, event: bool = False) -> Json:
    """The source of a pull request; its branch carries `links`, and in a delivery the ways to bring it up to date."""
    branch: Json = {"name": pr.source_branch, "links": {}}
    if event:
        branch["sync_strategies"] = ["merge_commit", "rebase"]
    return _endpoint(to, pr.source_repository, branch, pr.source_hash, pr.repository)


def destination(to: Renderer, pr: PullRequest) -> Json:
    """The destination of a pull request."""
    return _endpoint(to, pr.repository, {"name": pr.destination_branch}, pr.destination_hash, pr.repository)


def pull_request_links(to: Renderer, pr: PullRequest) -> Json:
    """The links of a pull request; `diff` and `diffstat` point at the repository's resources, as recorded."""
    api = to.api(pr.repository)
    own = f"{api}/pullrequests/{pr.id}"
    spec = f"{pr.repository.full_name}:{pr.source_hash[:12]}%0D{pr.destination_hash[:12]}?from_pullrequest_id={pr.id}&topic=true"
    names = ("commits", "approve", "request-changes", "comments", "activity", "merge", "decline", "statuses")
    return {
        "self": link(own),
        "html": link(f"{HTML}/{pr.repository.full_name}/pull-requests/{pr.id}"),
        "diff": link(f"{api}/diff/{spec}"),
        "diffstat": link(f"{api}/diffstat/{spec}"),
        **{name: link(f"{own}/{name}") for name in names},
    }


def listed_pull_request(to: Renderer, pr: PullRequest) -> Json:
    """A list item: no reviewers, no participants, no rendered texts (fixture api--pullrequests-list-pagelen-50--…)."""
    return {
        "comment_count": sum(1 for one in pr.comments.values() if not one.deleted),
        "task_count": sum(1 for one in pr.tasks.values() if one.resolved_on is None),
        "type": "pullrequest",
        "id": pr.id,
        "title": pr.title,
        "description": pr.description,
        "state": pr.state,
        "draft": pr.draft,
        "merge_commit": None if pr.merge_hash is None else to.commit_small(pr.repository, pr.merge_hash[:12]),
        "close_source_branch": pr.close_source_branch,
        "closed_by": None if pr.closed_by is None else to.user(pr.closed_by),
        "author": to.user(pr.author),
        "reason": pr.reason,
        "created_on": micro(pr.created_on),
        "updated_on": micro(pr.updated_on),
        "destination": destination(to, pr),
        "source": source(to, pr),
        "links": pull_request_links(to, pr),
        "summary": rendered(pr.description),
    }


def pull_request_event(to: Renderer, pr: PullRequest) -> Json:
    """A pull request in a delivery, in its newest form (fixture pullrequest-updated--jenkins-branch-source-draft-field)."""
    return {**pull_request(to, pr), "source": source(to, pr, event=True)}


def pull_request(to: Renderer, pr: PullRequest) -> Json:
    """A pull request read by itself."""
    return {
        **listed_pull_request(to, pr),
        "queued": pr.queued,
        "rendered": {"title": rendered(pr.title), "description": rendered(pr.description)},
        "reviewers": [to.user(one) for one in pr.reviewers],
        "participants": [participant(to, pr, one) for one in participants(pr)],
    }


def wide_pull_request(to: Renderer, pr: PullRequest) -> Json:
    """Everything that `fields` can ask of a pull request, whole commits and repositories included."""
    body = pull_request(to, pr)
    for side, repository, commit in (
        ("source", pr.source_repository or pr.repository, pr.source_hash),
        ("destination", pr.repository, pr.destination_hash),
    ):
        inside = {**body[side], "commit": _wide_commit(to, repository, commit)}
        if body[side]["repository"] is not None:
            inside["repository"] = to.repository(repository)
        body[side] = inside
    if pr.merge_hash is not None:
        body["merge_commit"] = _wide_commit(to, pr.repository, pr.merge_hash)
    return body


def _wide_commit(to: Renderer, repository: Repository, commit: str) -> Json:
    small = to.commit_small(repository, commit[:12])
    known = repository.commits.get(commit)
    return small if known is None else {**to.commit(repository, known), **small}


def short_pull_request(to: Renderer, pr: PullRequest, *, draft: bool = True) -> Json:
    """A pull request named by a comment or an activity entry."""
    links = {
        "self": link(f"{to.api(pr.repository)}/pullrequests/{pr.id}"),
        "html": link(f"{HTML}/{pr.repository.full_name}/pull-requests/{pr.id}"),
    }
    body: Json = {"type": "pullrequest", "id": pr.id, "title": pr.title, "links": links}
    if draft:
        body["draft"] = pr.draft
    return body


def comment(to: Renderer, pr: PullRequest, note: Comment, *, event: bool = False) -> Json:
    """
    A comment; a deleted one is a stub without text.

    Args:
        event: leave the draft flag out of the pull request named inside, as deliveries of 2022 do.
    """
    html = f"{HTML}/{pr.repository.full_name}/pull-requests/{pr.id}/_/diff#comment-{note.id}"
    links = {"self": link(f"{to.api(pr.repository)}/pullrequests/{pr.id}/comments/{note.id}"), "html": link(html)}
    body: Json = {
        "id": note.id,
        "created_on": micro(note.created_on),
        "updated_on": micro(note.updated_on),
        "content": rendered("" if note.deleted else note.raw),
        "user": to.user(note.user),
        "deleted": note.deleted,
        "type": "pullrequest_comment",
        "links": links,
        "pullrequest": short_pull_request(to, pr, draft=not event),
    }
    if note.inline is not None:
        body["inline"] = note.inline
        spec = f"{pr.repository.full_name}:{pr.source_hash[:12]}..{pr.destination_hash[:12]}"
        links["code"] = link(f"{to.api(pr.repository)}/diff/{spec}?path={quote(str(note.inline['path']))}")
    if note.parent is not None:
        own = f"{to.api(pr.repository)}/pullrequests/{pr.id}/comments/{note.parent}"
        parent_html = f"{HTML}/{pr.repository.full_name}/pull-requests/{pr.id}/_/diff#comment-{note.parent}"
        body["parent"] = {
            "type": "pullrequest_comment",
            "id": note.parent,
            "links": {"self": link(own), "html": link(parent_html)},
        }
    if note.resolved_by is not None and note.resolved_on is not None:
        body["resolution"] = resolution(to, note)
    return body


def resolution(to: Renderer, note: Comment) -> Json:
    """Who resolved a thread, and when."""
    if note.resolved_by is None or note.resolved_on is None:
        raise ValueError(f"comment {note.id} is not resolved; ask only after it was")
    return {"type": "comment_resolution", "user": to.user(note.resolved_by), "created_on": micro(note.resolved_on)}


def task(to: Renderer, pr: PullRequest, one: Task) -> Json:
    """A task; `resolved_on` and `resolved_by` are absent while it is open."""
    own = f"{to.api(pr.repository)}/pullrequests/{pr.id}/tasks/{one.id}"
    body: Json = {
        "id": one.id,
        "state": one.state,
        "content": {key: value for key, value in rendered(one.raw).items() if key != "type"},
        "creator": to.user(one.creator),
        "created_on": micro(one.created_on),
        "updated_on": micro(one.updated_on),
        "pending": one.pending,
        "links": {"self": link(own), "html": link(f"{HTML}/{pr.repository.full_name}/pull-requests/{pr.id}")},
    }
    if one.resolved_on is not None and one.resolved_by is not None:
        body["resolved_on"] = micro(one.resolved_on)
        body["resolved_by"] = to.user(one.resolved_by)
    if one.comment is not None and one.comment in pr.comments:
        body["comment"] = comment(to, pr, pr.comments[one.comment])
    return body


def activity(to: Renderer, entry: Activity) -> Json:
    """One entry of the activity log (fixtures api--activity-*)."""
    pr = entry.pull_request
    short = short_pull_request(to, pr)
    if entry.kind == "comment":
        return {"pull_request": short, "comment": comment(to, pr, pr.comments[entry.data["id"]])}
    if entry.kind == "update":
        data = entry.data
        body = {
            **{key: data[key] for key in ("state", "draft", "title", "description", "reason", "changes")},
            "reviewers": [to.user(one) for one in data["reviewers"]],
            "author": to.user(entry.user),
            "date": micro(entry.at),
            "destination": _endpoint(
                to, pr.repository, {"name": data["destination"]}, data["destination_hash"], pr.repository
            ),
            "source": _endpoint(
                to, data["source_repository"], {"name": data["source"]}, data["source_hash"], pr.repository
            ),
        }
        return {"pull_request": short, "update": body}
    return {
        "pull_request": short,
        entry.kind: {"date": micro(entry.at), "user": to.user(entry.user), "pullrequest": short},
    }


def status(to: Renderer, repository: Repository, one: Status) -> Json:
    """A build status (fixture api--commit-statuses-build--jenkins-branch-source)."""
    commit = f"{to.api(repository)}/commit/{one.hash}"
    return {
        "key": one.key,
        "type": "build",
        "state": one.state,
        "name": one.name,
        "refname": one.refname,
        "commit": to.commit_small(repository, one.hash),
        "url": one.url,
        "repository": to.repository_small(repository),
        "description": one.description,
        "created_on": micro(one.created_on),
        "updated_on": micro(one.updated_on),
        "links": {"self": link(f"{commit}/statuses/build/{quote(one.key, safe='')}"), "commit": link(commit)},
    }


def status_event(to: Renderer, repository: Repository, one: Status) -> Json:
    """A build status in a delivery: the commit has author, date and message (fixture repo-commit-status-updated--go-scm)."""
    body = status(to, repository, one)
    known = repository.commits[one.hash]
    links = {key: value for key, value in to.commit_links(repository, one.hash).items() if key != "patch"}
    whole = to.commit_target(repository, known)
    body["commit"] = {**{key: whole[key] for key in ("type", "hash", "date", "author", "message")}, "links": links}
    return body


def hook(one: Hook, subject: Json, subject_api: str) -> Json:
    """A webhook subscription, never with its secret (fixture api--hook-created--jenkins-branch-source)."""
    return {
        "type": "webhook_subscription",
        "uuid": one.uuid,
        "description": one.description,
        "url": one.url,
        "active": one.active,
        "skip_cert_verification": one.skip_cert_verification,
        "events": _shuffled(one),
        "created_at": nano(one.created_at),
        "subject": subject,
        "links": {"self": link(f"{subject_api}/hooks/{quote(one.uuid, safe='')}")},
        "source": None,
        "read_only": False,
        "history_enabled": False,
        "secret_set": one.secret != "",
    }


def _shuffled(one: Hook) -> list[str]:
    # The service answers events in an order of its own (reference/bitbucket.md 3): sorted from the end of the name.
    return sorted(one.events, key=lambda name: name[::-1])


def environment(one: Environment) -> Json:
    """A deployment environment."""
    return {
        "type": "deployment_environment",
        "uuid": one.uuid,
        "name": one.name,
        "environment_type": {"type": "deployment_environment_type", "name": one.type},
    }


def deployment(to: Renderer, repository: Repository, one: Deployment, *, wide: bool = False) -> Json:
    """
    A deployment (fixture api--deployments--devlake).

    Args:
        wide: with the environment's name and type and the state's result, which only `fields` brings into a list.
    """
    page = f"{HTML}/{repository.full_name}/addon/pipelines/home#!/results/{one.number}"
    state: Json = {"type": f"deployment_state_{one.state.lower()}", "name": one.state}
    if one.state != "UNDEPLOYED":
        state["url"] = f"{page}/steps/{quote(one.step_uuid, safe='')}"
        state["started_on"] = None if one.started_on is None else zulu(one.started_on)
    if one.state == "COMPLETED" and one.completed_on is not None:
        state["completed_on"] = zulu(one.completed_on)
        state["status"] = {"type": f"deployment_state_completed_status_{str(one.status).lower()}", "name": one.status}
    place: Json = {"type": "deployment_environment", "uuid": one.environment.uuid}
    return {
        "type": "deployment",
        "uuid": one.uuid,
        "key": f"{one.environment.uuid}-{one.number}",
        "step": {"uuid": one.step_uuid},
        "environment": environment(one.environment) if wide else place,
        "release": {
            "type": "deployment_release",
            "pipeline": {"uuid": one.pipeline_uuid, "type": "pipeline"},
            "key": f"pipelines-{one.pipeline_uuid}",
            "name": f"#{one.number}",
            "url": page,
            "commit": to.commit_small(repository, one.hash),
            "created_on": zulu(one.created_on),
        },
        "state": state,
        "last_update_time": zulu(one.updated_on),
    }


def pipeline(repository: Repository, one: Pipeline) -> Json:
    """A pipeline; `links.self` points at an internal host, as recorded (fixture api--pipelines--devlake)."""
    state: Json = {"name": one.state, "type": f"pipeline_state_{one.state.lower()}"}
    if one.result is not None:
        state["result"] = {"name": one.result, "type": f"pipeline_state_completed_{one.result.lower()}"}
    internal = "http://bitbucket-pipelines.prod.public.atl-paas.net//rest/1.0/accounts"
    body: Json = {
        "type": "pipeline",
        "uuid": one.uuid,
        "build_number": one.number,
        "state": state,
        "created_on": zulu(one.created_on),
        "target": {
            "type": "pipeline_ref_target",
            "ref_type": "branch",
            "ref_name": one.ref,
            "commit": {"type": "commit", "hash": one.hash},
        },
        "links": {
            "self": link(f"{internal}/{repository.workspace.uuid}/repositories/{repository.uuid}/pipelines/{one.uuid}")
        },
    }
    if one.completed_on is not None:
        body["completed_on"] = zulu(one.completed_on)
        body["duration_in_seconds"] = int((one.completed_on - one.created_on).total_seconds())
    return body


def branch_pair(
    to: Renderer, repository: Repository, branch: Branch, old: str | None, new: str | None
) -> dict[str, Any]:
    """`old` and `new` of a branch's push change."""
    return {
        "old": None if old is None else to.branch_event(repository, branch, old),
        "new": None if new is None else to.branch_event(repository, branch, new),
    }
