"""Acts on commits, branches and tags, with the pushes they cause and the pull requests they move (reference/bitbucket.md 6.2, 7.2)."""

import re
from collections.abc import Sequence

from syncd.sandbox.bitbucket import graph, render_work
from syncd.sandbox.bitbucket.act import Act, branch_name, record_update
from syncd.sandbox.bitbucket.errors import ApiError, invalid, missing
from syncd.sandbox.bitbucket.render import HTML, Json, Renderer, link
from syncd.sandbox.bitbucket.world import Branch, Commit, PullRequest, Repository, Tag, User

COMMITS_LISTED = 5
"""A push lists at most so many commits of a ref (reference/bitbucket.md 6.2)."""

_BAD_NAME = re.compile(r"\.\.|//|@\{|[\x00-\x20~^:?*\[\\\x7f]|^[/.-]|[/.]$|\.lock$|/\.")


def add_commit(
    act: Act, repository: Repository, parents: Sequence[str], message: str, *, user: User | None, raw: str | None = None
) -> str:
    """Make a commit on top of `parents`, on no branch yet, and give its hash. Without a user, `raw` names a stranger."""
    text = raw or (f"{user.display_name} <{user.email}>" if user else "Anonymous <anonymous@example.com>")
    date = act.now.replace(microsecond=0)
    digest, ordinal = act.world.commit_hash(tuple(parents), message, text, date)
    repository.commits[digest] = Commit(
        hash=digest, parents=tuple(parents), message=message, raw_author=text, user=user, date=date, ordinal=ordinal
    )
    return digest


def require_free_name(repository: Repository, name: str) -> None:
    """Refuse a branch name that git would not take, that exists, or that nests with an existing one."""
    if not name or name.startswith("refs/heads/") or _BAD_NAME.search(name):
        raise invalid("name", f"Branch name is invalid: {name}")
    if name in repository.branches:
        raise ApiError(400, f'Branch "{name}" already exists.', data={"key": "BRANCH_ALREADY_EXISTS"})
    if any(one.startswith(f"{name}/") or name.startswith(f"{one}/") for one in repository.branches):
        raise ApiError(
            400, f'Branch "{name}" conflicts with an existing branch name.', data={"key": "BRANCH_NAME_CONFLICT"}
        )


def resolve(repository: Repository, text: str) -> Commit | None:
    """The commit that a hash, a short hash, a branch or a tag name stands for."""
    branch = repository.branches.get(text)
    if branch is not None:
        return repository.commits[branch.target]
    tag = repository.tags.get(text)
    return repository.commits[tag.target] if tag is not None else graph.resolve(repository.commits, text)


def require_commit(repository: Repository, text: str) -> Commit:
    """As `resolve`, with a 404 for what is not there."""
    found = resolve(repository, text)
    if found is None:
        raise missing(f"Commit not found: {text}")
    return found


def ahead(repository: Repository, source: str, destination: str) -> list[Commit]:
    """The commits of `source` that `destination` lacks, newest first."""
    return [] if source == destination else graph.log(repository.commits, (source,), (destination,))


def set_branch(act: Act, repository: Repository, name: str, target: str) -> None:
    """Create or move a branch, tell of the push, and bring the pull requests along."""
    branch = repository.branches.get(name)
    before = None if branch is None else branch.target
    if before == target:
        return
    if branch is None:
        branch = repository.branches[name] = Branch(name=name, target=target, visible_at=act.world.visible_at(act.now))
    branch.target = target
    repository.updated_on = act.now
    act.changed("branch", branch_name(repository, name), "target", before, target)
    act.emit("repo:push", repository, lambda to: _push(to, repository, branch, before, target))
    _follow(act, repository, name, target)


def delete_branch(act: Act, repository: Repository, name: str) -> None:
    """Delete a branch and tell of the push; open pull requests keep the last commit they saw."""
    branch = repository.branches.pop(name)
    repository.updated_on = act.now
    act.changed("branch", branch_name(repository, name), "target", branch.target, None)
    act.emit("repo:push", repository, lambda to: _push(to, repository, branch, branch.target, None))


def set_tag(act: Act, repository: Repository, tag: Tag) -> None:
    """Create a tag and tell of the push."""
    repository.tags[tag.name] = tag
    act.changed("branch", f"{repository.full_name}:tags/{tag.name}", "target", None, tag.target)

    def parts(to: Renderer) -> Json:
        links = {"commits": link(f"{to.api(repository)}/commits?include={tag.target}")}
        change = {"old": None, "new": to.tag_event(repository, tag), "created": True, "closed": False, "forced": False}
        return {"push": {"changes": [{**change, "truncated": False, "links": links}]}}

    act.emit("repo:push", repository, parts)


def delete_tag(act: Act, repository: Repository, name: str) -> None:
    """Delete a tag and tell of the push."""
    tag = repository.tags.pop(name)
    act.changed("branch", f"{repository.full_name}:tags/{name}", "target", tag.target, None)

    def parts(to: Renderer) -> Json:
        change = {"old": to.tag_event(repository, tag), "new": None, "created": False, "closed": True, "forced": False}
        return {"push": {"changes": [{**change, "truncated": False}]}}

    act.emit("repo:push", repository, parts)


def _push(to: Renderer, repository: Repository, branch: Branch, before: str | None, after: str | None) -> Json:
    pair = render_work.branch_pair(to, repository, branch, before, after)
    forced = before is not None and after is not None and not graph.is_ancestor(repository.commits, before, after)
    change: Json = {**pair, "created": before is None, "closed": after is None, "forced": forced, "truncated": False}
    if after is None:
        return {"push": {"changes": [change]}}
    if before is None and branch.name != repository.main and repository.main in repository.branches:
        commits = ahead(repository, after, repository.branches[repository.main].target)
    else:
        commits = graph.log(repository.commits, (after,), () if before is None else (before,))
    change["truncated"] = len(commits) > COMMITS_LISTED
    change["commits"] = [to.commit_event(repository, one, all_links=True) for one in commits[:COMMITS_LISTED]]
    exclude = "" if before is None else f"&exclude={before}"
    html = to.branch_links(repository, branch.name)["html"]
    change["links"] = {"commits": link(f"{to.api(repository)}/commits?include={after}{exclude}"), "html": html}
    if before is not None and not forced:
        change["links"]["diff"] = link(f"{to.api(repository)}/diff/{after}..{before}")
        change["links"]["html"] = link(f"{HTML}/{repository.full_name}/branches/compare/{after}..{before}")
    return {"push": {"changes": [change]}}


def adopt(source: Repository, destination: Repository, commit: str) -> None:
    """Make a fork's commits known to the repository that its pull request goes to."""
    if source is not destination:
        for one in graph.ancestors(source.commits, (commit,)):
            destination.commits.setdefault(one, source.commits[one])


def _follow(act: Act, repository: Repository, name: str, target: str) -> None:
    homes = [repository] if repository.parent is None else [repository, repository.parent]
    for home in homes:
        for pr in home.pull_requests.values():
            if not pr.is_open:
                continue
            if pr.repository is repository and pr.destination_branch == name:
                pr.destination_hash = target
            if pr.source_repository is repository and pr.source_branch == name:
                _move_source(act, repository, pr, target)


def _move_source(act: Act, repository: Repository, pr: PullRequest, target: str) -> None:
    adopt(repository, pr.repository, target)
    before = pr.source_hash
    pr.source_hash = target
    pr.updated_on = act.now
    act.changed("pull_request", f"{pr.repository.full_name}#{pr.id}", "source_commit", before, target)
    record_update(act, pr, {})
    act.emit("pullrequest:updated", pr.repository, lambda to: {"pullrequest": render_work.pull_request_event(to, pr)})
