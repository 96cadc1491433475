"""Comments and tasks of pull requests (reference/bitbucket.md 7.1). Reading rights are enough to write them (2.3)."""

from typing import Any

from syncd.sandbox.bitbucket import query, render_work, talk
from syncd.sandbox.bitbucket.call import Call, Reply, flag, inner
from syncd.sandbox.bitbucket.errors import invalid, missing
from syncd.sandbox.bitbucket.routing import Route
from syncd.sandbox.bitbucket.world import Comment, PullRequest, Task

COMMENT_GETTERS: query.Getters = {
    "id": lambda one: one.id,
    "content.raw": lambda one: one.raw,
    "user.uuid": lambda one: one.user.uuid,
    "user.account_id": lambda one: one.user.account_id,
    "deleted": lambda one: one.deleted,
    "created_on": lambda one: one.created_on,
    "updated_on": lambda one: one.updated_on,
    "parent.id": lambda one: one.parent,
    "inline.path": lambda one: None if one.inline is None else one.inline["path"],
}
TASK_GETTERS: query.Getters = {
    "id": lambda one: one.id,
    "state": lambda one: one.state,
    "content.raw": lambda one: one.raw,
    "creator.uuid": lambda one: one.creator.uuid,
    "created_on": lambda one: one.created_on,
    "updated_on": lambda one: one.updated_on,
}


def _comment(pr: PullRequest, number: str) -> Comment:
    found = pr.comments.get(int(number)) if number.isdigit() else None
    if found is None:
        raise missing(f"Comment {number} not found")
    return found


def _live(pr: PullRequest, number: str) -> Comment:
    found = _comment(pr, number)
    if found.deleted:
        raise missing(f"Comment {number} not found")
    return found


def _task(pr: PullRequest, number: str) -> Task:
    found = pr.tasks.get(int(number)) if number.isdigit() else None
    if found is None:
        raise missing(f"Task {number} not found")
    return found


def _inline(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("path"), str):
        raise invalid("inline", "path is required")
    return {"from": value.get("from"), "to": value.get("to"), "path": value["path"]}


def list_comments(call: Call, workspace: str, name: str, number: str) -> Reply:
    """`GET …/comments`: oldest first, deleted ones as stubs."""
    pr, to = call.pull_request(call.repository(workspace, name), number), call.to
    return call.page(list(pr.comments.values()), lambda one: render_work.comment(to, pr, one), getters=COMMENT_GETTERS)


def add_comment(call: Call, workspace: str, name: str, number: str) -> Reply:
    """`POST …/comments`."""
    repository = call.repository(workspace, name)
    pr, body = call.pull_request(repository, number), call.json()
    raw = talk.require_body_text(body)
    note = talk.add_comment(call.act, pr, raw, inline=_inline(body.get("inline")), parent=inner(body, "parent", "id"))
    address = f"{call.to.api(repository)}/pullrequests/{pr.id}/comments/{note.id}"
    return Reply(status=201, body=render_work.comment(call.to, pr, note), headers={"location": address})


def read_comment(call: Call, workspace: str, name: str, number: str, comment: str) -> Reply:
    """`GET …/comments/{id}`."""
    pr = call.pull_request(call.repository(workspace, name), number)
    return Reply(body=render_work.comment(call.to, pr, _comment(pr, comment)))


def edit_comment(call: Call, workspace: str, name: str, number: str, comment: str) -> Reply:
    """`PUT …/comments/{id}`: one's own only."""
    pr = call.pull_request(call.repository(workspace, name), number)
    note = _live(pr, comment)
    talk.edit_comment(call.act, pr, note, talk.require_body_text(call.json()))
    return Reply(body=render_work.comment(call.to, pr, note))


def delete_comment(call: Call, workspace: str, name: str, number: str, comment: str) -> Reply:
    """`DELETE …/comments/{id}`: one's own only."""
    pr = call.pull_request(call.repository(workspace, name), number)
    talk.delete_comment(call.act, pr, _live(pr, comment))
    return Reply(status=204)


def resolve(call: Call, workspace: str, name: str, number: str, comment: str) -> Reply:
    """`POST …/resolve`: 200, 403 for a reply or outside the diff, 409 when it is already."""
    pr = call.pull_request(call.repository(workspace, name), number)
    note = _live(pr, comment)
    talk.resolve_comment(call.act, pr, note, resolved=True)
    return Reply(body=render_work.resolution(call.to, note))


def reopen(call: Call, workspace: str, name: str, number: str, comment: str) -> Reply:
    """`DELETE …/resolve`."""
    pr = call.pull_request(call.repository(workspace, name), number)
    talk.resolve_comment(call.act, pr, _live(pr, comment), resolved=False)
    return Reply(status=204)


def list_tasks(call: Call, workspace: str, name: str, number: str) -> Reply:
    """`GET …/tasks`."""
    pr, to = call.pull_request(call.repository(workspace, name), number), call.to
    return call.page(list(pr.tasks.values()), lambda one: render_work.task(to, pr, one), getters=TASK_GETTERS)


def add_task(call: Call, workspace: str, name: str, number: str) -> Reply:
    """`POST …/tasks`: 400 when blank."""
    repository = call.repository(workspace, name)
    pr, body = call.pull_request(repository, number), call.json()
    raw = talk.require_body_text(body)
    one = talk.add_task(call.act, pr, raw, comment=inner(body, "comment", "id"), pending=flag(body, "pending", False))
    address = f"{call.to.api(repository)}/pullrequests/{pr.id}/tasks/{one.id}"
    return Reply(status=201, body=render_work.task(call.to, pr, one), headers={"location": address})


def read_task(call: Call, workspace: str, name: str, number: str, task: str) -> Reply:
    """`GET …/tasks/{id}`."""
    pr = call.pull_request(call.repository(workspace, name), number)
    return Reply(body=render_work.task(call.to, pr, _task(pr, task)))


def edit_task(call: Call, workspace: str, name: str, number: str, task: str) -> Reply:
    """`PUT …/tasks/{id}`: the text, the state, or both."""
    pr = call.pull_request(call.repository(workspace, name), number)
    one, body = _task(pr, task), call.json()
    state = body.get("state")
    if state not in (None, "RESOLVED", "UNRESOLVED"):
        raise invalid("state", "Select a valid choice: RESOLVED or UNRESOLVED.")
    raw = talk.require_body_text(body) if "content" in body else None
    talk.edit_task(call.act, pr, one, raw=raw, state=state)
    return Reply(body=render_work.task(call.to, pr, one))


def delete_task(call: Call, workspace: str, name: str, number: str, task: str) -> Reply:
    """`DELETE …/tasks/{id}`."""
    pr = call.pull_request(call.repository(workspace, name), number)
    talk.delete_task(call.act, pr, _task(pr, task))
    return Reply(status=204)


_COMMENTS = "repositories/{workspace}/{repo}/pullrequests/{id}/comments"
_TASKS = "repositories/{workspace}/{repo}/pullrequests/{id}/tasks"
ROUTES = (
    Route(method="GET", path=_COMMENTS, scope="pullrequest", handler=list_comments),
    Route(method="POST", path=_COMMENTS, scope="pullrequest", handler=add_comment),
    Route(method="GET", path=f"{_COMMENTS}/{{comment}}", scope="pullrequest", handler=read_comment),
    Route(method="PUT", path=f"{_COMMENTS}/{{comment}}", scope="pullrequest", handler=edit_comment),
    Route(method="DELETE", path=f"{_COMMENTS}/{{comment}}", scope="pullrequest", handler=delete_comment),
    Route(method="POST", path=f"{_COMMENTS}/{{comment}}/resolve", scope="pullrequest", handler=resolve),
    Route(method="DELETE", path=f"{_COMMENTS}/{{comment}}/resolve", scope="pullrequest", handler=reopen),
    Route(method="GET", path=_TASKS, scope="pullrequest", handler=list_tasks),
    Route(method="POST", path=_TASKS, scope="pullrequest", handler=add_task),
    Route(method="GET", path=f"{_TASKS}/{{task}}", scope="pullrequest", handler=read_task),
    Route(method="PUT", path=f"{_TASKS}/{{task}}", scope="pullrequest", handler=edit_task),
    Route(method="DELETE", path=f"{_TASKS}/{{task}}", scope="pullrequest", handler=delete_task),
)
