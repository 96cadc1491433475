"""Repositories, workspaces, people, deployments, pipelines and what was retired (reference/bitbucket.md 7.4, 7.5, 11)."""

import re
from typing import Any
from urllib.parse import quote

from syncd.sandbox.bitbucket import query, render_work
from syncd.sandbox.bitbucket.call import Call, Reply, flag, inner, text
from syncd.sandbox.bitbucket.errors import ApiError, forbidden, gone, invalid, missing, no_api, unauthorised
from syncd.sandbox.bitbucket.render import Json, Renderer, link
from syncd.sandbox.bitbucket.repositories import rename_repository
from syncd.sandbox.bitbucket.routing import Route
from syncd.sandbox.bitbucket.world import Repository, User, Workspace
from syncd.sandbox.choices import CrossWorkspaceLists, IssueTracker, PipelinesNext

EMAILS_ASKED_MAX = 90

REPOSITORY_GETTERS: query.Getters = {
    "uuid": lambda one: one.uuid,
    "slug": lambda one: one.slug,
    "name": lambda one: one.name,
    "full_name": lambda one: one.full_name,
    "description": lambda one: one.description,
    "is_private": lambda one: one.is_private,
    "created_on": lambda one: one.created_on,
    "updated_on": lambda one: one.updated_on,
    "mainbranch.name": lambda one: one.main,
    "project.key": lambda one: one.project_key,
    "parent.full_name": lambda one: None if one.parent is None else one.parent.full_name,
}
DEPLOYMENT_GETTERS: query.Getters = {
    "state.started_on": lambda one: one.started_on,
    "state.completed_on": lambda one: one.completed_on,
    "state.name": lambda one: one.state,
    "environment.uuid": lambda one: one.environment.uuid,
}


def list_repositories(call: Call, workspace: str) -> Reply:
    """`GET /repositories/{workspace}`."""
    home, to = call.workspace(workspace), call.to
    only = None if call.token is None else call.token.repository
    found = [one for one in home.repositories.values() if not one.hidden and only in (None, one.uuid)]
    return call.page(found, to.repository, getters=REPOSITORY_GETTERS)


def read_repository(call: Call, workspace: str, name: str) -> Reply:
    """`GET /repositories/{workspace}/{repo}`."""
    return call.single(call.repository(workspace, name), call.to.repository)


def create_repository(call: Call, workspace: str, name: str) -> Reply:
    """`POST /repositories/{workspace}/{repo}`."""
    home, body = call.workspace(workspace), call.json()
    if not re.fullmatch(r"[a-z0-9._-]{1,62}", name):
        raise invalid("slug", f"Invalid slug: {name}")
    if name in home.repositories:
        raise ApiError(400, "Repository with this Slug and Owner already exists.")
    made = home.repositories[name] = Repository(
        uuid=call.world.uuid("repository"),
        slug=name,
        name=str(body.get("name") or name),
        workspace=home,
        created_on=call.now,
        updated_on=call.now,
        visible_at=call.world.visible_at(call.now),
        project_key=str(inner(body, "project", "key") or "PROJ"),
        description=str(body.get("description") or ""),
        is_private=flag(body, "is_private", True),
    )
    call.act.changed("repository", made.full_name, "uuid", None, made.uuid)
    return call.single(made, call.to.repository)


def change_repository(call: Call, workspace: str, name: str) -> Reply:
    """`PUT /repositories/{workspace}/{repo}`: name (and with it the slug) and description."""
    repository, body = call.repository(workspace, name), call.json()
    call.require_admin(repository.workspace)
    rename_repository(call.act, repository, name=text(body, "name") or None, description=text(body, "description"))
    return call.single(repository, call.to.repository)


def delete_repository(call: Call, workspace: str, name: str) -> Reply:
    """`DELETE /repositories/{workspace}/{repo}`."""
    repository = call.repository(workspace, name)
    call.require_admin(repository.workspace)
    del repository.workspace.repositories[repository.slug]
    call.act.changed("repository", repository.full_name, "uuid", repository.uuid, None)
    return Reply(status=204)


def default_reviewers(call: Call, workspace: str, name: str) -> Reply:
    """`GET /default-reviewers`."""
    return call.page(call.repository(workspace, name).default_reviewers, call.to.user)


def effective_default_reviewers(call: Call, workspace: str, name: str) -> Reply:
    """`GET /effective-default-reviewers`: `values[].user` and `reviewer_type`."""
    to = call.to

    def narrow(user: User) -> Json:
        return {"type": "default_reviewer_and_type", "reviewer_type": "repository", "user": to.user(user)}

    return call.page(call.repository(workspace, name).default_reviewers, narrow)


def own_user(call: Call) -> Reply:
    """`GET /user`."""
    if call.token is None:
        raise unauthorised()
    return Reply(body=call.to.own_user(call.token.user))


def read_user(call: Call, name: str) -> Reply:
    """`GET /users/{user}`: by uuid or account id."""
    found = call.world.users.get(name) or next(
        (one for one in call.world.users.values() if one.account_id == name), None
    )
    if found is None:
        raise missing(f"{name} is not a user")
    return Reply(body=call.to.user(found))


def own_workspaces(call: Call) -> Reply:
    """`GET /user/workspaces` (fixture api--workspace-access--gildas-bitbucket-cli)."""
    to = call.to
    found = [one for one in call.world.workspaces.values() if call.belongs(one)]

    def narrow(one: Workspace) -> Json:
        small = to.workspace_small(one)
        links = {key: small["links"][key] for key in ("avatar", "self")}
        owner = call.token is not None and one.members.get(call.token.user.uuid) == "owner"
        place = {"type": "workspace_base", "uuid": one.uuid, "slug": one.slug, "links": links}
        return {"type": "workspace_access", "administrator": owner, "workspace": place}

    return call.page(found, narrow)


def read_workspace(call: Call, workspace: str) -> Reply:
    """`GET /workspaces/{workspace}`."""
    return Reply(body=call.to.workspace(call.workspace(workspace)))


def _membership(to: Renderer, workspace: Workspace, user: User) -> Json:
    own = f"{to.base}/workspaces/{workspace.slug}/members/{quote(user.uuid, safe='')}"
    return {
        "type": "workspace_membership",
        "user": to.user(user),
        "workspace": to.workspace_small(workspace),
        "links": {"self": link(own)},
    }


def members(call: Call, workspace: str) -> Reply:
    """`GET /workspaces/{workspace}/members`: by e-mail only for an administrator or a workspace token, at most 90 at once."""
    home, to = call.workspace(workspace), call.to
    asked = call.parameters.get("q", "")
    token = call.token
    trusted = token is not None and (
        (token.kind == "access" and token.repository is None) or home.members.get(token.user.uuid) == "owner"
    )
    if query.names_field(asked, "user.email"):
        if not trusted:
            raise forbidden()
        if asked.count("@") > EMAILS_ASKED_MAX:
            raise invalid("q", f"At most {EMAILS_ASKED_MAX} e-mail addresses can be asked for.")
    getters: dict[str, Any] = {
        "user.uuid": lambda user: user.uuid,
        "user.account_id": lambda user: user.account_id,
        "user.nickname": lambda user: user.nickname,
        "user.display_name": lambda user: user.display_name,
        "user.email": lambda user: user.email,
        "permission": lambda user: home.members[user.uuid],
    }

    def wide(user: User) -> Json:
        body = _membership(to, home, user)
        return {**body, "user": {**body["user"], "email": user.email}} if trusted else body

    found = [call.world.users[uuid] for uuid in home.members]
    return call.page(found, lambda user: _membership(to, home, user), getters=getters, wide=wide)


def member(call: Call, workspace: str, name: str) -> Reply:
    """`GET /workspaces/{workspace}/members/{member}`."""
    home = call.workspace(workspace)
    found = call.world.find_user(name)
    if found is None or found.uuid not in home.members:
        raise missing(f"{name} is not a member")
    return Reply(body=_membership(call.to, home, found))


def own_permissions(call: Call, workspace: str) -> Reply:
    """`GET /user/workspaces/{workspace}/permissions/repositories`; access tokens cannot ask (reference/bitbucket.md 7.5)."""
    home, to, token = call.workspace(workspace), call.to, call.token
    if token is None or token.kind == "access":
        raise forbidden()
    right = "admin" if home.members.get(token.user.uuid) == "owner" else "write"
    getters: query.Getters = {
        "repository.name": lambda one: one.name,
        "repository.uuid": lambda one: one.uuid,
        "repository.full_name": lambda one: one.full_name,
        "permission": lambda _one: right,
    }
    user = token.user

    def narrow(one: Repository) -> Json:
        return {
            "type": "repository_permission",
            "permission": right,
            "user": to.user(user),
            "repository": to.repository_small(one),
        }

    return call.page([one for one in home.repositories.values() if not one.hidden], narrow, getters=getters)


def environments(call: Call, workspace: str, name: str) -> Reply:
    """`GET /environments`."""
    return call.page(list(call.repository(workspace, name).environments.values()), render_work.environment)


def read_environment(call: Call, workspace: str, name: str, uuid: str) -> Reply:
    """`GET /environments/{uuid}`."""
    found = call.repository(workspace, name).environments.get(uuid)
    if found is None:
        raise missing(f"Environment {uuid} not found")
    return Reply(body=render_work.environment(found))


def deployments(call: Call, workspace: str, name: str) -> Reply:
    """`GET /deployments`: filtered by `environment`, sorted by the state's times; other sorts are a 400."""
    repository, to = call.repository(workspace, name), call.to
    found = list(repository.deployments.values())
    uuid = call.parameters.get("environment")
    if uuid is not None:
        found = [one for one in found if one.environment.uuid == uuid]
    return call.page(
        found,
        lambda one: render_work.deployment(to, repository, one),
        wide=lambda one: render_work.deployment(to, repository, one, wide=True),
        getters=DEPLOYMENT_GETTERS,
    )


def read_deployment(call: Call, workspace: str, name: str, uuid: str) -> Reply:
    """`GET /deployments/{uuid}`."""
    repository, to = call.repository(workspace, name), call.to
    found = repository.deployments.get(uuid)
    if found is None:
        raise missing(f"Deployment {uuid} not found")
    return call.single(
        found,
        lambda one: render_work.deployment(to, repository, one),
        lambda one: render_work.deployment(to, repository, one, wide=True),
    )


def pipelines(call: Call, workspace: str, name: str) -> Reply:
    """`GET /pipelines`: its own parameters, no `q`; whether a page links to the next is a choice."""
    repository = call.repository(workspace, name)
    found = list(repository.pipelines.values())
    branch = call.parameters.get("target.branch")
    if branch is not None:
        found = [one for one in found if one.ref == branch]
    if call.parameters.get("sort", "").startswith("-"):
        found.reverse()
    with_next = call.world.choices.pipelines_next is PipelinesNext.AS_ELSEWHERE
    return call.page(found, lambda one: render_work.pipeline(repository, one), with_next=with_next)


def _issue_tracker(call: Call, *_: str) -> Reply:
    raise gone() if call.world.choices.issue_tracker is IssueTracker.GONE_410 else no_api()


def _cross_workspace(call: Call, *_: str) -> Reply:
    if call.world.choices.cross_workspace_lists is CrossWorkspaceLists.GONE_410:
        raise gone("CHANGE-2770 - Functionality has been deprecated")
    raise no_api()


_HOME = "repositories/{workspace}/{repo}"
_ISSUES = tuple(
    Route(method=method, path=f"{_HOME}/{name}{rest}", scope=None, handler=_issue_tracker)
    for name in ("issues", "components", "milestones", "versions")
    for rest in ("", "/{rest*}")
    for method in ("GET", "POST", "PUT", "DELETE")
)
_CROSS = tuple(
    Route(method="GET", path=path, scope=None, handler=_cross_workspace)
    for path in ("repositories", "workspaces", "user/permissions/{kind}", "snippets", "snippets/{rest*}")
)
ROUTES = (
    Route(method="GET", path="repositories/{workspace}", scope="repository", handler=list_repositories),
    Route(method="GET", path=_HOME, scope="repository", handler=read_repository),
    Route(method="POST", path=_HOME, scope="repository:admin", handler=create_repository),
    Route(method="PUT", path=_HOME, scope="repository:admin", handler=change_repository),
    Route(method="DELETE", path=_HOME, scope="repository:delete", handler=delete_repository),
    Route(method="GET", path=f"{_HOME}/default-reviewers", scope="pullrequest", handler=default_reviewers),
    Route(
        method="GET",
        path=f"{_HOME}/effective-default-reviewers",
        scope="pullrequest",
        handler=effective_default_reviewers,
    ),
    Route(method="GET", path="user", scope="account", handler=own_user),
    Route(method="GET", path="users/{user}", scope=None, handler=read_user),
    Route(method="GET", path="user/workspaces", scope="workspace", handler=own_workspaces),
    Route(
        method="GET",
        path="user/workspaces/{workspace}/permissions/repositories",
        scope="workspace",
        handler=own_permissions,
    ),
    Route(method="GET", path="workspaces/{workspace}", scope="workspace", handler=read_workspace),
    Route(method="GET", path="workspaces/{workspace}/members", scope="workspace", handler=members),
    Route(method="GET", path="workspaces/{workspace}/members/{member}", scope="workspace", handler=member),
    Route(method="GET", path=f"{_HOME}/environments", scope="pipeline", handler=environments),
    Route(method="GET", path=f"{_HOME}/environments/{{uuid}}", scope="pipeline", handler=read_environment),
    Route(method="GET", path=f"{_HOME}/deployments", scope="pipeline", handler=deployments),
    Route(method="GET", path=f"{_HOME}/deployments/{{uuid}}", scope="pipeline", handler=read_deployment),
    Route(method="GET", path=f"{_HOME}/pipelines", scope="pipeline", handler=pipelines),
    *_ISSUES,
    *_CROSS,
)
