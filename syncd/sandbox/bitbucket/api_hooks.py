"""Webhook subscriptions of repositories and workspaces, and the list of events (reference/bitbucket.md 3)."""

import re
from typing import Any

from syncd.sandbox.bitbucket import access, render_work
from syncd.sandbox.bitbucket.act import Act
from syncd.sandbox.bitbucket.call import Call, Reply, flag
from syncd.sandbox.bitbucket.deliveries import EVENTS
from syncd.sandbox.bitbucket.errors import ApiError, invalid, missing, no_api
from syncd.sandbox.bitbucket.render import Json
from syncd.sandbox.bitbucket.routing import Route
from syncd.sandbox.bitbucket.world import Hook, Repository, Workspace

HOOKS_MAX = 50
SECRET_LENGTH_MAX = 128
_REPOSITORY_EVENTS = tuple(
    name for name in EVENTS if name not in ("project:updated", "repo:created", "repo:deleted", "pipeline:span_created")
)
_SCOPES = {
    "repo": "repository",
    "pullrequest": "pullrequest",
    "project": "project",
    "pipeline": "pipeline",
    "issue": "issue",
}
"""The scope that subscribing to an event needs besides that of webhooks, by the first word of its key."""

Home = Repository | Workspace


def _home(call: Call, names: tuple[str, ...]) -> Home:
    home: Home = call.workspace(names[0]) if len(names) == 1 else call.repository(names[0], names[1])
    call.require_admin(home if isinstance(home, Workspace) else home.workspace)
    return home


def _address(call: Call, home: Home) -> str:
    return call.to.api(home) if isinstance(home, Repository) else f"{call.to.base}/workspaces/{home.slug}"


def _render(call: Call, home: Home, hook: Hook) -> Json:
    subject = call.to.repository_small(home) if isinstance(home, Repository) else call.to.workspace_small(home)
    return render_work.hook(hook, subject, _address(call, home))


def _find(home: Home, uuid: str) -> Hook:
    found = home.hooks.get(uuid) or home.hooks.get(f"{{{uuid}}}")
    if found is None:
        raise missing(f"{uuid} does not exist")
    return found


def _events(call: Call, home: Home, named: Any) -> tuple[str, ...]:
    known = EVENTS if isinstance(home, Workspace) else _REPOSITORY_EVENTS
    if not isinstance(named, list) or not named:
        raise invalid("events", "At least one event is required.")
    for one in named:
        if one not in known:
            raise invalid("events", f"Unknown event: {one}")
        if call.token is not None:
            access.require_scope(call.token, _SCOPES[str(one).partition(":")[0]])
    return tuple(dict.fromkeys(named))


def _url(value: Any) -> str:
    if not isinstance(value, str) or not re.match(r"https?://[^\s/]+", value):
        raise invalid("url", "Enter a valid URL.")
    return value


def _secret(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > SECRET_LENGTH_MAX:
        raise invalid("secret", f"Ensure this value has at most {SECRET_LENGTH_MAX} characters.")
    return value


def list_hooks(call: Call, *names: str) -> Reply:
    """`GET …/hooks`."""
    home = _home(call, names)
    return call.page(list(home.hooks.values()), lambda one: _render(call, home, one))


def create(call: Call, *names: str) -> Reply:
    """`POST …/hooks`: unsigned without a secret; at most 50 per repository."""
    home, body = _home(call, names), call.json()
    if len(home.hooks) >= HOOKS_MAX:
        raise ApiError(
            400,
            f"A {'repository' if isinstance(home, Repository) else 'workspace'} can have at most {HOOKS_MAX} webhooks.",
        )
    made = Hook(
        uuid=call.world.uuid("hook"),
        url=_url(body.get("url")),
        description=str(body.get("description") or ""),
        events=_events(call, home, body.get("events")),
        active=flag(body, "active", True),
        created_at=call.now,
        repository=home if isinstance(home, Repository) else None,
        secret=_secret(body.get("secret")),
        skip_cert_verification=flag(body, "skip_cert_verification", False),
    )
    home.hooks[made.uuid] = made
    note(call.act, made, dict.fromkeys(_ATTRIBUTES), state(made))
    found = _render(call, home, made)
    return Reply(status=201, body=found, headers={"location": found["links"]["self"]["href"]})


def read(call: Call, *names: str) -> Reply:
    """`GET …/hooks/{uid}`."""
    home = _home(call, names[:-1])
    return Reply(body=_render(call, home, _find(home, names[-1])))


def change(call: Call, *names: str) -> Reply:
    """`PUT …/hooks/{uid}`: an absent secret stays, null or "" removes it; `secret_set` is ignored."""
    home = _home(call, names[:-1])
    hook, body = _find(home, names[-1]), call.json()
    wanted: dict[str, Any] = {}
    if "url" in body:
        wanted["url"] = _url(body["url"])
    if "events" in body:
        wanted["events"] = _events(call, home, body["events"])
    if "secret" in body:
        wanted["secret"] = _secret(body["secret"])
    if "description" in body:
        wanted["description"] = str(body["description"] or "")
    wanted["active"] = flag(body, "active", hook.active)
    wanted["skip_cert_verification"] = flag(body, "skip_cert_verification", hook.skip_cert_verification)
    edit(call.act, hook, wanted)
    return Reply(body=_render(call, home, hook))


def delete(call: Call, *names: str) -> Reply:
    """`DELETE …/hooks/{uid}`."""
    home = _home(call, names[:-1])
    remove(call.act, home, _find(home, names[-1]))
    return Reply(status=204)


_ATTRIBUTES = ("url", "description", "events", "active", "secret_set", "skip_cert_verification")


def state(hook: Hook) -> dict[str, Any]:
    """The true state of a hook by attribute, its secret left out."""
    return {name: hook.secret != "" if name == "secret_set" else getattr(hook, name) for name in _ATTRIBUTES}


def note(act: Act, hook: Hook, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Note what changed on a hook."""
    for name in _ATTRIBUTES:
        act.changed("hook", hook.uuid, name, before[name], after[name])


def edit(act: Act, hook: Hook, wanted: dict[str, Any]) -> None:
    """Set some attributes of a hook, already checked."""
    before = state(hook)
    for name, value in wanted.items():
        setattr(hook, name, value)
    note(act, hook, before, state(hook))


def remove(act: Act, home: Home, hook: Hook) -> None:
    """Delete a hook, of which no event tells."""
    del home.hooks[hook.uuid]
    note(act, hook, state(hook), dict.fromkeys(_ATTRIBUTES))


def events(call: Call, subject: str) -> Reply:
    """`GET /hook_events/{repository|workspace}`: public."""
    if subject not in ("repository", "workspace"):
        raise no_api()
    names = list(EVENTS if subject == "workspace" else _REPOSITORY_EVENTS)

    def narrow(name: str) -> Json:
        category = {"repo": "Repository", "pullrequest": "Pull Request"}.get(
            name.partition(":")[0], name.partition(":")[0].title()
        )
        return {"event": name, "category": category, "label": EVENTS[name], "description": f"Whenever {name} happens"}

    return call.page(names, narrow)


def _routes(home: str) -> tuple[Route, ...]:
    return (
        Route(method="GET", path=f"{home}/hooks", scope="webhook", handler=list_hooks),
        Route(method="POST", path=f"{home}/hooks", scope="webhook:write", handler=create),
        Route(method="GET", path=f"{home}/hooks/{{uid}}", scope="webhook", handler=read),
        Route(method="PUT", path=f"{home}/hooks/{{uid}}", scope="webhook:write", handler=change),
        Route(method="DELETE", path=f"{home}/hooks/{{uid}}", scope="webhook:delete", handler=delete),
    )


ROUTES = (
    *_routes("repositories/{workspace}/{repo}"),
    *_routes("workspaces/{workspace}"),
    Route(method="GET", path="hook_events/{subject}", scope=None, handler=events),
)
