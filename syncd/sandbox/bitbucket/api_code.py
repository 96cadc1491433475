"""Branches, tags, commits, build statuses and commits made over the API (reference/bitbucket.md 7.2, 7.3)."""

from email import message_from_bytes
from typing import Any

from syncd.sandbox.bitbucket import graph, paging, query, refs, render_work, talk
from syncd.sandbox.bitbucket.api_pull_requests import STATUS_GETTERS
from syncd.sandbox.bitbucket.call import Call, Reply, inner
from syncd.sandbox.bitbucket.errors import ApiError, invalid, missing
from syncd.sandbox.bitbucket.render import Json, Renderer
from syncd.sandbox.bitbucket.routing import Route
from syncd.sandbox.bitbucket.world import Branch, Commit, Repository, Tag, User


def branch_getters(repository: Repository) -> query.Getters:
    """The fields of a branch or tag that `q` and `sort` know."""

    def commit(ref: Branch | Tag) -> Commit:
        return repository.commits[ref.target]

    return {
        "name": lambda ref: ref.name,
        "target.hash": lambda ref: ref.target,
        "target.date": lambda ref: commit(ref).date,
        "target.message": lambda ref: commit(ref).message,
        "target.author.raw": lambda ref: commit(ref).raw_author,
        "target.author.user.uuid": lambda ref: getattr(commit(ref).user, "uuid", None),
    }


def _wide_ref(to: Renderer, repository: Repository, body: Json, target: str) -> Json:
    return {**body, "target": to.commit(repository, repository.commits[target])}


def _branch(repository: Repository, name: str) -> Branch:
    found = repository.branches.get(name)
    if found is None:
        raise missing(f"Branch {name} not found")
    return found


def list_branches(call: Call, workspace: str, name: str) -> Reply:
    """`GET /refs/branches` with `q` and `sort`."""
    repository, to = call.repository(workspace, name), call.to
    return call.page(
        list(repository.branches.values()),
        lambda one: to.branch(repository, one),
        getters=branch_getters(repository),
        wide=lambda one: _wide_ref(to, repository, to.branch(repository, one), one.target),
    )


def read_branch(call: Call, workspace: str, name: str, branch: str) -> Reply:
    """`GET /refs/branches/{name}`."""
    repository, to = call.repository(workspace, name), call.to
    return call.single(_branch(repository, branch), lambda one: to.branch(repository, one))


def create_branch(call: Call, workspace: str, name: str) -> Reply:
    """`POST /refs/branches`: the target is a whole or short hash or a branch name; an existing name is a 400."""
    repository, body = call.repository(workspace, name), call.json()
    wanted, target = body.get("name"), inner(body, "target", "hash")
    if not isinstance(wanted, str):
        raise invalid("name", "This field is required.")
    if not isinstance(target, str):
        raise invalid("target", "This field is required.")
    refs.require_free_name(repository, wanted)
    commit = refs.resolve(repository, target)
    if commit is None:
        raise invalid("target.hash", f"Commit not found: {target}")
    refs.set_branch(call.act, repository, wanted, commit.hash)
    made = repository.branches[wanted]
    return Reply(status=201, body=call.to.branch(repository, made))


def delete_branch(call: Call, workspace: str, name: str, branch: str) -> Reply:
    """`DELETE /refs/branches/{name}`: the main branch is a 400."""
    repository = call.repository(workspace, name)
    found = _branch(repository, branch)
    if found.name == repository.main:
        raise ApiError(400, "The main branch cannot be deleted.")
    refs.delete_branch(call.act, repository, found.name)
    return Reply(status=204)


def list_tags(call: Call, workspace: str, name: str) -> Reply:
    """`GET /refs/tags`."""
    repository, to = call.repository(workspace, name), call.to
    return call.page(
        list(repository.tags.values()), lambda one: to.tag(repository, one), getters=branch_getters(repository)
    )


def read_tag(call: Call, workspace: str, name: str, tag: str) -> Reply:
    """`GET /refs/tags/{name}`."""
    repository = call.repository(workspace, name)
    if tag not in repository.tags:
        raise missing(f"Tag {tag} not found")
    return Reply(body=call.to.tag(repository, repository.tags[tag]))


def create_tag(call: Call, workspace: str, name: str) -> Reply:
    """`POST /refs/tags` makes annotated tags only."""
    repository, body = call.repository(workspace, name), call.json()
    wanted, target = body.get("name"), inner(body, "target", "hash")
    if not isinstance(wanted, str) or not wanted or wanted in repository.tags:
        raise invalid("name", "A new name is required.")
    commit = refs.resolve(repository, target) if isinstance(target, str) else None
    if commit is None:
        raise invalid("target.hash", f"Commit not found: {target}")
    message = body.get("message") or f"Added tag {wanted}"
    made = Tag(
        name=wanted, target=commit.hash, message=message, date=call.now.replace(microsecond=0), tagger=call.act.actor
    )
    refs.set_tag(call.act, repository, made)
    return Reply(status=201, body=call.to.tag(repository, made))


def delete_tag(call: Call, workspace: str, name: str, tag: str) -> Reply:
    """`DELETE /refs/tags/{name}`."""
    repository = call.repository(workspace, name)
    if tag not in repository.tags:
        raise missing(f"Tag {tag} not found")
    refs.delete_tag(call.act, repository, tag)
    return Reply(status=204)


def read_commit(call: Call, workspace: str, name: str, commit: str) -> Reply:
    """`GET /commit/{hash}`: whole or short hash."""
    repository, to = call.repository(workspace, name), call.to
    found = refs.require_commit(repository, commit)
    return call.single(found, lambda one: {**to.commit(repository, one), "participants": []})


def list_commits(call: Call, workspace: str, name: str, revision: str | None = None) -> Reply:
    """`GET /commits`, or the same as form `POST`: newest first, of all branches unless told otherwise, without `q`."""
    repository, to = call.repository(workspace, name), call.to
    pairs = [*call.query, *(call.form() if call.method == "POST" else [])]
    include = [value for key, value in pairs if key == "include"]
    exclude = [value for key, value in pairs if key == "exclude"]
    if revision is not None:
        include.append(revision)
    starts = [refs.require_commit(repository, one).hash for one in include]
    ends = [refs.require_commit(repository, one).hash for one in exclude]
    if not include:
        starts = [one.target for one in repository.branches.values()]
    found = graph.log(repository.commits, starts, ends)
    body = paging.iterated(found, lambda one: one.hash, call.url, pairs, lambda one: to.commit(repository, one))
    return Reply(body=body)


def list_statuses(call: Call, workspace: str, name: str, commit: str) -> Reply:
    """`GET /commit/{hash}/statuses`, of one branch with `refname`."""
    repository, to = call.repository(workspace, name), call.to
    found = list(repository.statuses.get(refs.require_commit(repository, commit).hash, {}).values())
    refname = call.parameters.get("refname")
    if refname is not None:
        found = [one for one in found if one.refname == refname]
    return call.page(found, lambda one: render_work.status(to, repository, one), getters=STATUS_GETTERS)


def post_status(call: Call, workspace: str, name: str, commit: str) -> Reply:
    """`POST /commit/{hash}/statuses/build`: 201 also when the key existed and is overwritten."""
    repository = call.repository(workspace, name)
    made = talk.set_status(call.act, repository, refs.require_commit(repository, commit).hash, call.json())
    body = render_work.status(call.to, repository, made)
    return Reply(status=201, body=body, headers={"location": body["links"]["self"]["href"]})


def read_status(call: Call, workspace: str, name: str, commit: str, key: str) -> Reply:
    """`GET /commit/{hash}/statuses/build/{key}`."""
    repository = call.repository(workspace, name)
    found = repository.statuses.get(refs.require_commit(repository, commit).hash, {}).get(key)
    if found is None:
        raise missing(f"Build status {key} not found")
    return Reply(body=render_work.status(call.to, repository, found))


def put_status(call: Call, workspace: str, name: str, commit: str, key: str) -> Reply:
    """`PUT /commit/{hash}/statuses/build/{key}` changes all but the key."""
    repository = call.repository(workspace, name)
    digest = refs.require_commit(repository, commit).hash
    found = repository.statuses.get(digest, {}).get(key)
    if found is None:
        raise missing(f"Build status {key} not found")
    kept = {field: getattr(found, field) for field in ("state", "name", "url", "description", "refname")}
    made = talk.set_status(call.act, repository, digest, {**kept, **call.json(), "key": key})
    return Reply(body=render_work.status(call.to, repository, made))


def commit_files(call: Call, workspace: str, name: str) -> Reply:
    """
    `POST /src`: a commit on a branch, from form fields (reference/bitbucket.md 7.2).

    A `parents` that is not the branch's head is refused: the only guarded write of the API. File contents are not kept.
    """
    repository = call.repository(workspace, name)
    fields = _src_fields(call)
    branch = fields.get("branch") or repository.main
    head = repository.branches[branch].target if branch in repository.branches else None
    named = [one for one in fields.get("parents", "").split(",") if one]
    parents: tuple[str, ...] = () if head is None else (head,)
    if named:
        found = [graph.resolve(repository.commits, one) for one in named]
        if None in found:
            raise ApiError(400, f"parents: Commit not found: {named[found.index(None)]}", fields={"parents": []})
        parents = tuple(one.hash for one in found if one is not None)
        if head is not None and head not in parents:
            raise ApiError(409, "parents: The branch has moved; its head is not among the given parents.")
    elif head is None and repository.main in repository.branches:
        parents = (repository.branches[repository.main].target,)
    if head is None:
        refs.require_free_name(repository, branch)
    author, raw = _author(call, fields.get("author"))
    message = fields.get("message") or "Commit made over the API"
    digest = refs.add_commit(call.act, repository, parents, message, user=author, raw=raw)
    refs.set_branch(call.act, repository, branch, digest)
    return Reply(status=201, headers={"location": f"{call.to.api(repository)}/commit/{digest}"})


def _author(call: Call, raw: str | None) -> tuple[User | None, str | None]:
    if not raw:
        return call.act.actor, None
    mail = raw.rpartition("<")[2].rstrip("> ")
    return next((one for one in call.world.users.values() if one.email == mail), None), raw


def _src_fields(call: Call) -> dict[str, str]:
    kind = call.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        return dict(call.form())
    message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + call.raw)
    found: dict[str, str] = {}
    for part in message.get_payload() if message.is_multipart() else []:
        name: Any = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]  # parts of a multipart are messages
        content = part.get_payload(decode=True)  # type: ignore[union-attr]  # likewise
        if isinstance(name, str):
            found[name] = content.decode("utf-8", "replace") if isinstance(content, bytes) else ""
    return found


_HOME = "repositories/{workspace}/{repo}"
ROUTES = (
    Route(method="GET", path=f"{_HOME}/refs/branches", scope="repository", handler=list_branches),
    Route(method="POST", path=f"{_HOME}/refs/branches", scope="repository:write", handler=create_branch),
    Route(method="GET", path=f"{_HOME}/refs/branches/{{name*}}", scope="repository", handler=read_branch),
    Route(method="DELETE", path=f"{_HOME}/refs/branches/{{name*}}", scope="repository:write", handler=delete_branch),
    Route(method="GET", path=f"{_HOME}/refs/tags", scope="repository", handler=list_tags),
    Route(method="POST", path=f"{_HOME}/refs/tags", scope="repository:write", handler=create_tag),
    Route(method="GET", path=f"{_HOME}/refs/tags/{{name*}}", scope="repository", handler=read_tag),
    Route(method="DELETE", path=f"{_HOME}/refs/tags/{{name*}}", scope="repository:write", handler=delete_tag),
    Route(method="GET", path=f"{_HOME}/commit/{{commit}}", scope="repository", handler=read_commit),
    Route(method="GET", path=f"{_HOME}/commits", scope="repository", handler=list_commits),
    Route(method="POST", path=f"{_HOME}/commits", scope="repository", handler=list_commits),
    Route(method="GET", path=f"{_HOME}/commits/{{revision*}}", scope="repository", handler=list_commits),
    Route(method="POST", path=f"{_HOME}/commits/{{revision*}}", scope="repository", handler=list_commits),
    Route(method="GET", path=f"{_HOME}/commit/{{commit}}/statuses", scope="repository", handler=list_statuses),
    Route(method="POST", path=f"{_HOME}/commit/{{commit}}/statuses/build", scope="repository", handler=post_status),
    Route(
        method="GET", path=f"{_HOME}/commit/{{commit}}/statuses/build/{{key*}}", scope="repository", handler=read_status
    ),
    Route(
        method="PUT", path=f"{_HOME}/commit/{{commit}}/statuses/build/{{key*}}", scope="repository", handler=put_status
    ),
    Route(method="POST", path=f"{_HOME}/src", scope="repository:write", handler=commit_files),
)
