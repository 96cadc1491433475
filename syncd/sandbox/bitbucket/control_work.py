"""What people do to pull requests: more verbs of `BitbucketMachine.control`."""

from typing import Any

from syncd.sandbox.bitbucket import refs, talk, work
from syncd.sandbox.bitbucket.act import Act
from syncd.sandbox.bitbucket.arguments import Arguments, Verb
from syncd.sandbox.bitbucket.render import micro
from syncd.sandbox.bitbucket.world import Comment, PullRequest, Task


def _pull_request(args: Arguments) -> PullRequest:
    repository, number = args.repository(), int(args.take("id"))
    if number not in repository.pull_requests:
        raise ValueError(f"there is no pull request {number} in {repository.full_name}")
    return repository.pull_requests[number]


def pull_request_state(pr: PullRequest) -> dict[str, Any]:
    """The true state of a pull request, whole hashes and people as uuids."""
    return {
        "id": pr.id,
        "repository": pr.repository.full_name,
        "author": pr.author.uuid,
        **work.attributes(pr),
        "ahead": len(refs.ahead(pr.repository, pr.source_hash, pr.destination_hash)),
        "created_on": micro(pr.created_on),
        "updated_on": micro(pr.updated_on),
        "comments": {
            one.id: {
                "raw": one.raw,
                "user": one.user.uuid,
                "parent": one.parent,
                "resolved": one.resolved_on is not None,
            }
            for one in pr.comments.values()
            if not one.deleted
        },
        "tasks": {
            one.id: {"raw": one.raw, "state": one.state, "creator": one.creator.uuid} for one in pr.tasks.values()
        },
        "statuses": {one.key: one.state for one in talk.statuses_of(pr)},
    }


def _create(act: Act, args: Arguments) -> dict[str, Any]:
    repository = args.repository()
    fork = args.repository("fork") if args.has("fork") else None
    source = str(args.take("source"))
    text = str(args.take("description", ""))
    pr = work.create(
        act,
        repository,
        title=str(args.take("title", source)),
        source=source,
        destination=str(args.take("destination", repository.main)),
        description=work.page_description(text) if args.take("in_page", False) else text,
        reviewers=args.users("reviewers"),
        close_source_branch=bool(args.take("close_source_branch", False)),
        draft=bool(args.take("draft", False)),
        fork=fork,
    )
    return pull_request_state(pr)


def _edit(act: Act, args: Arguments) -> dict[str, Any]:
    """`in_page` leaves a description as the page's editor does."""
    pr = _pull_request(args)
    work.require_open(pr)
    wanted = {
        name: args.take(name)
        for name in ("title", "description", "close_source_branch", "draft", "destination")
        if args.has(name)
    }
    if args.has("reviewers"):
        wanted["reviewers"] = args.users("reviewers")
    if args.take("in_page", False) and "description" in wanted:
        wanted["description"] = work.page_description(wanted["description"])
    work.update(act, pr, wanted)
    return pull_request_state(pr)


def _merge(act: Act, args: Arguments) -> dict[str, Any]:
    pr = _pull_request(args)
    work.merge(
        act,
        pr,
        strategy=args.take("strategy", None),
        message=args.take("message", None),
        close=args.take("close_source_branch", None),
    )
    return pull_request_state(pr)


def _decline(act: Act, args: Arguments) -> dict[str, Any]:
    pr = _pull_request(args)
    work.decline(act, pr, str(args.take("reason", "")))
    return pull_request_state(pr)


def _supersede(act: Act, args: Arguments) -> None:
    work.supersede(act, _pull_request(args))


def _queue(queued: bool) -> Verb:
    def verb(act: Act, args: Arguments) -> None:
        pr = _pull_request(args)
        work.require_open(pr)
        work.queue(act, pr, queued)

    return verb


def _judge(verdict: str, given: bool) -> Verb:
    def verb(act: Act, args: Arguments) -> None:
        work.judge(act, _pull_request(args), verdict, given=given)

    return verb


def _conflict(act: Act, args: Arguments) -> None:
    pr = _pull_request(args)
    pr.conflicted = bool(args.take("conflicted", True))
    del act


def _comment(act: Act, args: Arguments) -> dict[str, int]:
    """`path` (with `to` or `from` lines) puts the comment on the diff, where it can be resolved; `parent` makes it a reply."""
    pr = _pull_request(args)
    raw, path, parent = str(args.take("text")), args.take("path", None), args.take("parent", None)
    lines = {"from": args.take("from", None), "to": args.take("to", None)}
    inline = None if path is None else {**lines, "path": path}
    return {"id": talk.add_comment(act, pr, raw, inline=inline, parent=parent).id}


def _note(pr: PullRequest, args: Arguments) -> Comment:
    number = int(args.take("comment"))
    if number not in pr.comments:
        raise ValueError(f"there is no comment {number} on pull request {pr.id}")
    return pr.comments[number]


def _edit_comment(act: Act, args: Arguments) -> None:
    pr = _pull_request(args)
    talk.edit_comment(act, pr, _note(pr, args), str(args.take("text")))


def _delete_comment(act: Act, args: Arguments) -> None:
    pr = _pull_request(args)
    talk.delete_comment(act, pr, _note(pr, args))


def _resolve(resolved: bool) -> Verb:
    def verb(act: Act, args: Arguments) -> None:
        pr = _pull_request(args)
        talk.resolve_comment(act, pr, _note(pr, args), resolved=resolved)

    return verb


def _task(act: Act, args: Arguments) -> dict[str, int]:
    pr = _pull_request(args)
    return {"id": talk.add_task(act, pr, str(args.take("text")), comment=args.take("comment", None)).id}


def _one_task(pr: PullRequest, args: Arguments) -> Task:
    number = int(args.take("task"))
    if number not in pr.tasks:
        raise ValueError(f"there is no task {number} on pull request {pr.id}")
    return pr.tasks[number]


def _edit_task(act: Act, args: Arguments) -> None:
    pr = _pull_request(args)
    talk.edit_task(act, pr, _one_task(pr, args), raw=args.take("text", None), state=args.take("state", None))


def _delete_task(act: Act, args: Arguments) -> None:
    pr = _pull_request(args)
    talk.delete_task(act, pr, _one_task(pr, args))


def _read(act: Act, args: Arguments) -> dict[str, Any]:
    del act
    return pull_request_state(_pull_request(args))


def _read_all(act: Act, args: Arguments) -> list[dict[str, Any]]:
    del act
    return [pull_request_state(one) for one in args.repository().pull_requests.values()]


VERBS: dict[str, Verb] = {
    "create_pull_request": _create,
    "edit_pull_request": _edit,
    "merge": _merge,
    "decline": _decline,
    "supersede": _supersede,
    "queue": _queue(True),
    "unqueue": _queue(False),
    "approve": _judge("approved", True),
    "unapprove": _judge("approved", False),
    "request_changes": _judge("changes_requested", True),
    "withdraw_changes": _judge("changes_requested", False),
    "conflict": _conflict,
    "comment": _comment,
    "edit_comment": _edit_comment,
    "delete_comment": _delete_comment,
    "resolve_comment": _resolve(True),
    "reopen_comment": _resolve(False),
    "task": _task,
    "edit_task": _edit_task,
    "delete_task": _delete_task,
}
READS: dict[str, Verb] = {"pull_request": _read, "pull_requests": _read_all}
