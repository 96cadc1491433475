"""Control verbs on builds, deployments, hooks and the service's own moods."""

from collections import deque
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from syncd.sandbox.bitbucket import access, api_hooks, refs, talk
from syncd.sandbox.bitbucket.act import Act
from syncd.sandbox.bitbucket.arguments import Arguments, Verb
from syncd.sandbox.bitbucket.errors import ApiError
from syncd.sandbox.bitbucket.render import micro
from syncd.sandbox.bitbucket.world import Deployment, Environment, Hook, Pipeline, Repository, Workspace


def _set_status(act: Act, args: Arguments) -> dict[str, str]:
    repository = args.repository()
    commit = refs.require_commit(repository, str(args.take("commit")))
    body = {name: args.take(name) for name in ("key", "state")}
    body["url"] = args.take("url", f"https://ci.example.com/{body['key']}")
    body |= {name: args.take(name, None) for name in ("name", "description", "refname")}
    made = talk.set_status(act, repository, commit.hash, body)
    return {"key": made.key, "commit": made.hash, "state": made.state}


def _add_environment(act: Act, args: Arguments) -> dict[str, str]:
    repository, name = args.repository(), str(args.take("name"))
    made = Environment(uuid=act.world.uuid("environment"), name=name, type=str(args.take("type", name)))
    repository.environments[made.uuid] = made
    return {"uuid": made.uuid, "name": name, "type": made.type}


def _deploy(act: Act, args: Arguments) -> dict[str, str]:
    """`state` is UNDEPLOYED or IN_PROGRESS (the default); with `status` the deployment is COMPLETED at once."""
    repository, named = args.repository(), str(args.take("environment"))
    environment = next((one for one in repository.environments.values() if named in (one.name, one.uuid)), None)
    if environment is None:
        raise ValueError(f"deploy: there is no environment {named!r}; make one with add_environment")
    commit = refs.require_commit(repository, str(args.take("commit", repository.main)))
    state, status = str(args.take("state", "IN_PROGRESS")), args.take("status", None)
    made = Deployment(
        uuid=act.world.uuid("deployment"),
        environment=environment,
        hash=commit.hash,
        number=len(repository.deployments) + 1,
        pipeline_uuid=act.world.uuid("pipeline"),
        step_uuid=act.world.uuid("step"),
        created_on=act.now,
        updated_on=act.now,
        state=state,
        started_on=None if state == "UNDEPLOYED" else act.now,
    )
    repository.deployments[made.uuid] = made
    act.changed("deployment", made.uuid, "state", None, state)
    if status is not None:
        _finish(act, made, str(status))
    return {"uuid": made.uuid, "commit": commit.hash}


def _finish(act: Act, made: Deployment, status: str) -> None:
    act.changed("deployment", made.uuid, "state", made.state, "COMPLETED")
    act.changed("deployment", made.uuid, "status", made.status, status)
    made.state, made.status = "COMPLETED", status
    made.started_on = made.started_on or act.now
    made.completed_on = made.updated_on = act.now


def _finish_deployment(act: Act, args: Arguments) -> None:
    repository, uuid = args.repository(), str(args.take("uuid"))
    if uuid not in repository.deployments:
        raise ValueError(f"finish_deployment: there is no deployment {uuid}")
    _finish(act, repository.deployments[uuid], str(args.take("status", "SUCCESSFUL")))


def _run_pipeline(act: Act, args: Arguments) -> dict[str, Any]:
    repository, branch, result = args.repository(), str(args.take("branch", "main")), args.take("result", None)
    made = Pipeline(
        uuid=act.world.uuid("pipeline"),
        number=len(repository.pipelines) + 1,
        ref=branch,
        hash=refs.require_commit(repository, branch).hash,
        creator=act.actor,
        created_on=act.now,
    )
    if result is not None:
        made.state, made.result, made.completed_on = "COMPLETED", str(result), act.now
    repository.pipelines[made.uuid] = made
    return {"uuid": made.uuid, "number": made.number}


def _hook_home(args: Arguments) -> Repository | Workspace:
    return args.repository() if args.has("repository") else args.workspace()


def _add_hook(act: Act, args: Arguments) -> dict[str, str]:
    home = _hook_home(args)
    made = Hook(
        uuid=act.world.uuid("hook"),
        url=str(args.take("url")),
        description=str(args.take("description", "")),
        events=tuple(args.take("events")),
        active=bool(args.take("active", True)),
        created_at=act.now,
        repository=home if isinstance(home, Repository) else None,
        secret=str(args.take("secret", "")),
    )
    home.hooks[made.uuid] = made
    before = api_hooks.state(made)
    api_hooks.note(act, made, dict.fromkeys(before), before)
    return {"uuid": made.uuid}


def _hook(home: Repository | Workspace, args: Arguments) -> Hook:
    uuid = str(args.take("uuid"))
    if uuid not in home.hooks:
        raise ValueError(f"there is no hook {uuid} there")
    return home.hooks[uuid]


def _edit_hook(act: Act, args: Arguments) -> None:
    home = _hook_home(args)
    hook = _hook(home, args)
    names = ("url", "description", "events", "active", "secret", "skip_cert_verification")
    wanted = {name: args.take(name) for name in names if args.has(name)}
    if "events" in wanted:
        wanted["events"] = tuple(wanted["events"])
    api_hooks.edit(act, hook, wanted)


def _delete_hook(act: Act, args: Arguments) -> None:
    home = _hook_home(args)
    api_hooks.remove(act, home, _hook(home, args))


def _default_reviewers(act: Act, args: Arguments) -> None:
    args.repository().default_reviewers = args.users("users")
    del act


def _next_merge(act: Act, args: Arguments) -> None:
    outcome = args.take("outcome")
    if outcome not in (None, "202", "409", "555_done", "555_lost"):
        raise ValueError(f"next_merge: outcome is '202', '409', '555_done', '555_lost' or None, not {outcome!r}")
    act.world.next_merge = outcome


def _consume(act: Act, args: Arguments) -> int:
    """A ghost client spends calls of the credential's hour, now or `ago_s` seconds ago; gives how many are left."""
    secret, calls, ago_s = str(args.take("token")), int(args.take("calls", 1)), float(args.take("ago_s", 0))
    token = act.world.tokens.get(secret)
    if token is None:
        raise ValueError("consume: there is no such token")
    try:
        access.spend(act.world, token.limit_key, act.world.hourly_limit, act.now, 0)
    except ApiError:
        return 0
    used = act.world.usage[token.limit_key]
    left = max(0, act.world.hourly_limit - len(used) - calls)
    spent = [act.now - timedelta(seconds=ago_s)] * (act.world.hourly_limit - len(used) - left)
    act.world.usage[token.limit_key] = deque(sorted([*used, *spent]))
    return left


def _hourly_limit(act: Act, args: Arguments) -> None:
    act.world.hourly_limit = int(args.take("limit"))


def _read_hooks(act: Act, args: Arguments) -> dict[str, dict[str, Any]]:
    del act
    return {uuid: api_hooks.state(one) for uuid, one in _hook_home(args).hooks.items()}


def _read_statuses(act: Act, args: Arguments) -> dict[str, str]:
    del act
    repository = args.repository()
    commit = refs.require_commit(repository, str(args.take("commit")))
    return {key: one.state for key, one in repository.statuses.get(commit.hash, {}).items()}


def _read_log(act: Act, args: Arguments) -> list[dict[str, Any]]:
    """What truly happened after the entry `since` (a sequence number, 0 for everything)."""
    since = int(args.take("since", 0))
    return [
        {
            "sequence": one.sequence,
            "at": micro(one.at),
            "actor": one.actor,
            "method": one.method,
            "path": one.path,
            "status": one.status,
            "changes": [asdict(change) for change in one.changes],
        }
        for one in act.world.log[since:]
    ]


VERBS: dict[str, Verb] = {
    "set_status": _set_status,
    "add_environment": _add_environment,
    "deploy": _deploy,
    "finish_deployment": _finish_deployment,
    "run_pipeline": _run_pipeline,
    "add_hook": _add_hook,
    "edit_hook": _edit_hook,
    "delete_hook": _delete_hook,
    "default_reviewers": _default_reviewers,
    "next_merge": _next_merge,
    "consume": _consume,
    "hourly_limit": _hourly_limit,
}
READS: dict[str, Verb] = {"hooks": _read_hooks, "statuses": _read_statuses, "log": _read_log}
