"""
What people, robots, a second client and an administrator do. An act that the world refuses (the pull request is merged
already, the record is gone) is no act.
"""

# ruff: noqa: ARG001 - every act takes the same arguments

import base64
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from syncd import errors
from syncd.sandbox.wire import Delivery

if TYPE_CHECKING:
    from syncd.simulate.stage import Stage

Act = Callable[["Stage", Mapping[str, Any]], None]


def do(stage: "Stage", verb: str, arguments: Mapping[str, Any]) -> bool:
    """
    Let somebody act.

    Returns:
        False when the world refused.

    Raises:
        UsageError: nobody knows such an act.
    """
    act = VERBS.get(verb)
    if act is None:
        raise errors.UsageError(f"nobody knows the act {verb!r}", next_step=f"one of: {', '.join(sorted(VERBS))}")
    try:
        act(stage, arguments)
    except (ValueError, KeyError, IndexError):
        return False
    return True


def _record(stage: "Stage", given: Mapping[str, Any]) -> str:
    records = stage.world.records[stage.sync(given)]
    return records[int(given.get("record", 0)) % len(records)]


def _base(stage: "Stage", given: Mapping[str, Any]) -> str:
    return stage.base(stage.sync(given))


def _airtable(stage: "Stage", verb: str, given: Mapping[str, Any], **more: Any) -> Any:
    return stage.world.airtable.control(verb, {"base": _base(stage, given), **more}, stage.clock.moment)


def _bitbucket(stage: "Stage", verb: str, **more: Any) -> Any:
    return stage.world.bitbucket.control(verb, more, stage.clock.moment)


def _work(stage: "Stage", verb: str, given: Mapping[str, Any], *names: str) -> Any:
    """A verb on a pull request; `names` are arguments that go along."""
    slug, number = stage.pull_request(given)
    more = {name: given[name] for name in names if name in given}
    return _bitbucket(stage, verb, repository=slug, id=number, user=given.get("user", "grace"), **more)


def _user(given: Mapping[str, Any]) -> str:
    return f"{given.get('user', 'ada')}@acme.dev"


def _repository(stage: "Stage", given: Mapping[str, Any]) -> str:
    repositories = stage.repositories(given)
    return repositories[int(given.get("repository", 0)) % len(repositories)]


# ------------------------------------------------------------------------------------------- people in Airtable


def edit(stage: "Stage", given: Mapping[str, Any]) -> None:
    """`cells` by name; with `source` an automation's edit."""
    _airtable(stage, "edit", given, record=_record(stage, given), cells=given["cells"], user=_user(given))


def edit_many(stage: "Stage", given: Mapping[str, Any]) -> None:
    """The same cells pasted over all records at once."""
    records = dict.fromkeys(_there(stage, given), given["cells"])
    _airtable(stage, "edit", given, records=records, user=_user(given))


def _there(stage: "Stage", given: Mapping[str, Any]) -> list[str]:
    """The records that nobody deleted."""
    found = {row["id"] for row in _airtable(stage, "records", given, table=stage.table(stage.sync(given)))}
    return [record for record in stage.world.records[stage.sync(given)] if record in found]


def create(stage: "Stage", given: Mapping[str, Any]) -> None:
    """A new row."""
    made = _airtable(
        stage, "create", given, table=stage.table(stage.sync(given)), cells=given["cells"], user=_user(given)
    )
    stage.world.records[stage.sync(given)].append(made["id"])


def duplicate(stage: "Stage", given: Mapping[str, Any]) -> None:
    """A row with the same cells, link included."""
    made = _airtable(stage, "duplicate", given, record=_record(stage, given), user=_user(given))
    stage.world.records[stage.sync(given)].append(made["id"])


def delete(stage: "Stage", given: Mapping[str, Any]) -> None:
    """To the trash."""
    _airtable(stage, "delete", given, record=_record(stage, given), user=_user(given))


def delete_many(stage: "Stage", given: Mapping[str, Any]) -> None:
    """All records to the trash."""
    _airtable(stage, "delete", given, records=_there(stage, given), user=_user(given))


def restore(stage: "Stage", given: Mapping[str, Any]) -> None:
    """Back from the trash."""
    _airtable(stage, "restore", given, record=_record(stage, given), user=_user(given))


def schema(stage: "Stage", given: Mapping[str, Any]) -> None:
    """`act` is a verb of the sandbox on the sync's table: rename_field, retype_field, add_choice, …"""
    more = {name: value for name, value in given.items() if name not in ("act", "sync")}
    _airtable(stage, given["act"], given, table=stage.table(stage.sync(given)), **more)


def airtable_service(stage: "Stage", given: Mapping[str, Any]) -> None:
    """`act` is a verb of the sandbox on hooks and limits."""
    more = {name: value for name, value in given.items() if name not in ("act", "sync")}
    if given["act"] == "set_limits":
        stage.world.airtable.control("set_limits", more, stage.clock.moment)
    else:
        _airtable(stage, given["act"], given, **more)


def second_client(stage: "Stage", given: Mapping[str, Any]) -> None:
    """
    Somebody else's requests on the same base, or with the same Bitbucket credential: with `leave` all of its hour but so many,
    `ago_s` seconds ago.
    """
    requests = int(given.get("requests", 6))
    if given.get("service", "airtable") == "airtable":
        _airtable(stage, "consume_rate", given, requests=requests)
    else:
        token = stage.token("bitbucket", given)
        if "leave" in given:
            requests = _bitbucket(stage, "consume", token=token, calls=0) - int(given["leave"])
        _bitbucket(stage, "consume", token=token, calls=max(0, requests), ago_s=float(given.get("ago_s", 0)))
    stage.contended_at.append(stage.clock.moment)


def token(stage: "Stage", given: Mapping[str, Any]) -> None:
    """Revoke (`valid` false) or restore the token of a service."""
    service, valid = given["service"], bool(given.get("valid"))
    machine = stage.world.airtable if service == "airtable" else stage.world.bitbucket
    machine.control(
        "restore_token" if valid else "revoke_token", {"token": stage.token(service, given)}, stage.clock.moment
    )
    stage.outage(f"{service} token", over=valid)


def role(stage: "Stage", given: Mapping[str, Any]) -> None:
    """Change what the token's account may do in the base."""
    _airtable(stage, "set_role", given, user="syncd@acme.dev", role=given["role"])
    stage.outage("airtable role", over=given["role"] in ("create", "edit"))


# ------------------------------------------------------------------------------------------ people in Bitbucket


def push(stage: "Stage", given: Mapping[str, Any]) -> None:
    """A commit on a record's branch."""
    record = _record(stage, given)
    for slug in stage.repositories(given):
        for name in _bitbucket(stage, "branches", repository=slug):
            if record in name:
                _bitbucket(
                    stage,
                    "push",
                    repository=slug,
                    branch=name,
                    commits=[given.get("message", "Go on\n")],
                    user=given.get("user", "grace"),
                    force=bool(given.get("force", False)),
                )
                return
    raise KeyError(record)


def branch(stage: "Stage", given: Mapping[str, Any]) -> None:
    """A branch that a person makes for a record, with a commit."""
    name = f"feature/{_record(stage, given)}-{given.get('name', 'by-hand')}"
    _bitbucket(stage, "push", repository=_repository(stage, given), branch=name, commits=["By hand\n"], user="linus")


def open_pull_request(stage: "Stage", given: Mapping[str, Any]) -> None:
    """A pull request that a person opens from a record's branch; `titled` puts the marker in front."""
    record, sync = _record(stage, given), stage.sync(given)
    for slug in stage.repositories(given):
        for name in _bitbucket(stage, "branches", repository=slug):
            if record in name:
                title = f"{stage.marker(sync, record)} {given.get('title', 'By hand')}".strip()
                _bitbucket(
                    stage,
                    "create_pull_request",
                    repository=slug,
                    source=name,
                    title=title if given.get("titled", True) else given.get("title", "By hand"),
                    draft=bool(given.get("draft", False)),
                    user="linus",
                )
                return
    raise KeyError(record)


def strange_pull_request(stage: "Stage", given: Mapping[str, Any]) -> None:
    """A pull request from a branch of another name whose title carries a record's marker (BB22), perhaps from a fork (BB23)."""
    slug, record, sync = _repository(stage, given), _record(stage, given), stage.sync(given)
    name = f"other/{stage.clock.moment:%H%M%S}"
    title = f"{stage.marker(sync, record)} Somebody's".strip()
    more: dict[str, Any] = {}
    target = slug
    if given.get("fork"):
        made = _bitbucket(stage, "fork", repository=slug, name=f"fork-{stage.clock.moment:%H%M%S}", user="linus")
        target = str(made["full_name"])
        more = {"fork": target}
    _bitbucket(stage, "push", repository=target, branch=name, commits=["Somebody's\n"], user="linus")
    _bitbucket(stage, "create_pull_request", repository=slug, source=name, title=title, user="linus", **more)


def edit_pull_request(stage: "Stage", given: Mapping[str, Any]) -> None:
    """`title` (behind the marker, or all of it with `bare`), `description`, `draft`, `marked` with another record's marker."""
    slug, number = stage.pull_request(given)
    present = _bitbucket(stage, "pull_request", repository=slug, id=number)
    changes = {name: given[name] for name in ("description", "draft", "reviewers") if name in given}
    if "title" in given:
        head, bracket, _ = present["title"].partition("]")
        kept = f"{head}{bracket} " if bracket and not given.get("bare") else ""
        changes["title"] = f"{kept}{given['title']}"
    _bitbucket(stage, "edit_pull_request", repository=slug, id=number, user=given.get("user", "grace"), **changes)


def merge(stage: "Stage", given: Mapping[str, Any]) -> None:
    """Merge a pull request."""
    _work(stage, "merge", given, "close_source_branch")


def decline(stage: "Stage", given: Mapping[str, Any]) -> None:
    """Decline a pull request."""
    _work(stage, "decline", given)


def approve(stage: "Stage", given: Mapping[str, Any]) -> None:
    """Approve, or take it back."""
    _work(stage, "approve" if given.get("yes", True) else "unapprove", given)


def comment(stage: "Stage", given: Mapping[str, Any]) -> None:
    """A comment: nobody's business."""
    _work(stage, "comment", {"text": "Looks good", **given}, "text")


def build(stage: "Stage", given: Mapping[str, Any]) -> None:
    """A build's result on the head of an open pull request."""
    slug, number = stage.pull_request(given)
    found = _bitbucket(stage, "pull_request", repository=slug, id=number)
    if found["state"] != "OPEN":
        raise ValueError("closed")
    _bitbucket(
        stage,
        "set_status",
        repository=slug,
        commit=found["source_commit"],
        key=given.get("key", "ci"),
        state=given["state"],
    )


def deploy(stage: "Stage", given: Mapping[str, Any]) -> None:
    """What is on main goes to an environment."""
    _bitbucket(
        stage,
        "deploy",
        repository=_repository(stage, given),
        environment=given.get("environment", "Production"),
        commit="main",
        status=given.get("status", "SUCCESSFUL"),
    )


def delete_branch(stage: "Stage", given: Mapping[str, Any]) -> None:
    """A record's branch goes."""
    record = _record(stage, given)
    for slug in stage.repositories(given):
        for name in _bitbucket(stage, "branches", repository=slug):
            if record in name:
                _bitbucket(stage, "delete_branch", repository=slug, branch=name, user="linus")
                return
    raise KeyError(record)


def repository(stage: "Stage", given: Mapping[str, Any]) -> None:
    """`act`: hide_repository, show_repository, or rename_repository with `name`."""
    more = {"name": given["name"]} if "name" in given else {}
    slug = _repository(stage, given)
    made = _bitbucket(stage, given["act"], repository=stage.renamed.get(slug, slug), **more)
    if given["act"] == "rename_repository" and isinstance(made, Mapping) and "full_name" in made:
        stage.renamed[slug] = str(made["full_name"])
    if given["act"] != "rename_repository":
        stage.outage(f"repository {slug}", over=given["act"] == "show_repository")


def bitbucket_hook(stage: "Stage", given: Mapping[str, Any]) -> None:
    """`act`: delete_hook, or edit_hook to make it inactive."""
    slug = _repository(stage, given)
    for hook in _bitbucket(stage, "hooks", repository=slug):
        more = {"active": False} if given["act"] == "edit_hook" else {}
        _bitbucket(stage, given["act"], repository=slug, uuid=hook, **more)
        return


# ---------------------------------------------------------------------------------------- the administrator


def jump(stage: "Stage", given: Mapping[str, Any]) -> None:
    """The machine's wall clock jumps."""
    stage.clock.skew += timedelta(seconds=float(given["seconds"]))


def suspend(stage: "Stage", given: Mapping[str, Any]) -> None:
    """The machine sleeps; the world goes on."""
    stage.clock.moment += timedelta(seconds=float(given["seconds"]))


def pause(stage: "Stage", given: Mapping[str, Any]) -> None:
    """The kill switch."""
    stage.pause(given.get("scope", "all"), on=True)


def resume(stage: "Stage", given: Mapping[str, Any]) -> None:
    """Its release."""
    stage.pause(given.get("scope", "all"), on=False)


def restart(stage: "Stage", given: Mapping[str, Any]) -> None:
    """SIGTERM, and a new start; while a request is under way the batch it belongs to ends behind it (PR02)."""
    stage.want_restart()


def compare(stage: "Stage", given: Mapping[str, Any]) -> None:
    """`syncd compare`."""
    stage.want_compare()


def reload(stage: "Stage", given: Mapping[str, Any]) -> None:
    """The spec's file changes and the daemon takes it over."""
    stage.reload(str(given.get("variant", "")))


def apply(stage: "Stage", given: Mapping[str, Any]) -> None:
    """`syncd apply`, guard accepted when `accept`."""
    stage.apply(["mass-change"] if given.get("accept") else [])


def resolve(stage: "Stage", given: Mapping[str, Any]) -> None:
    """Decide every open conflict for one side."""
    stage.resolve(str(given.get("winner", "airtable")))


def remember_state(stage: "Stage", given: Mapping[str, Any]) -> None:
    """A backup is made."""
    stage.remember_state()


def restore_state(stage: "Stage", given: Mapping[str, Any]) -> None:
    """The backup is put in the state's place (ST11)."""
    stage.restore_state()


def forge(stage: "Stage", given: Mapping[str, Any]) -> None:
    """A request to the hooks listener that no service made."""
    provider = str(given.get("provider", "bitbucket"))
    endpoint = stage.some_endpoint(provider)
    body = base64.b64decode(given.get("body", "")) or b"{}"
    headers = {"X-Hub-Signature": str(given.get("signature", "sha256=00")), "X-Event-Key": "repo:push"}
    forged = Delivery(
        id="forged",
        url=stage.hook_url(provider, endpoint),
        headers=headers,
        body=body,
        due_at=stage.clock.moment,
        attempt=1,
    )
    stage.forged(stage.receive(provider, forged))


def replay(stage: "Stage", given: Mapping[str, Any]) -> None:
    """A genuine old delivery once more."""
    stage.replay(int(given.get("delivery", 0)))


VERBS: dict[str, Act] = {
    function.__name__: function
    for function in (
        edit,
        edit_many,
        create,
        duplicate,
        delete,
        delete_many,
        restore,
        schema,
        airtable_service,
        second_client,
        token,
        role,
        push,
        branch,
        open_pull_request,
        strange_pull_request,
        edit_pull_request,
        merge,
        decline,
        approve,
        comment,
        build,
        deploy,
        delete_branch,
        repository,
        bitbucket_hook,
        jump,
        suspend,
        pause,
        resume,
        restart,
        compare,
        reload,
        apply,
        resolve,
        remember_state,
        restore_state,
        forge,
        replay,
    )
}
