"""Control verbs on repositories, branches and tags: what developers do with git and in the page."""

from collections.abc import Sequence
from typing import Any

from syncd.sandbox.bitbucket import graph, refs, repositories
from syncd.sandbox.bitbucket.act import Act
from syncd.sandbox.bitbucket.arguments import Arguments, Verb
from syncd.sandbox.bitbucket.world import Repository, Tag


def _add_repository(act: Act, args: Arguments) -> dict[str, Any]:
    workspace, name = args.workspace(), str(args.take("name"))
    slug = str(args.take("slug", repositories.slug_of(name)))
    repository = Repository(
        uuid=act.world.uuid("repository"),
        slug=slug,
        name=name,
        workspace=workspace,
        created_on=act.now,
        updated_on=act.now,
        visible_at=act.now,
        project_key=args.take("project", "PROJ"),
        description=args.take("description", ""),
        is_private=args.take("private", True),
        main=args.take("main", "main"),
    )
    workspace.repositories[slug] = repository
    act.changed("repository", repository.full_name, "uuid", None, repository.uuid)
    if not args.take("empty", False):
        first = refs.add_commit(act, repository, (), "Initial commit\n", user=act.actor)
        refs.set_branch(act, repository, repository.main, first)
    return repository_state(repository)


def repository_state(repository: Repository) -> dict[str, Any]:
    """The true state of a repository."""
    return {
        "uuid": repository.uuid,
        "slug": repository.slug,
        "full_name": repository.full_name,
        "name": repository.name,
        "main": repository.main,
        "hidden": repository.hidden,
        "branches": {one.name: one.target for one in repository.branches.values()},
    }


def _rename_repository(act: Act, args: Arguments) -> dict[str, Any]:
    repository = args.repository()
    repositories.rename_repository(
        act, repository, name=args.take("name", None), description=args.take("description", None)
    )
    return repository_state(repository)


def _hide(hidden: bool) -> Verb:
    def verb(act: Act, args: Arguments) -> None:
        repository = args.repository()
        act.changed("repository", repository.full_name, "hidden", repository.hidden, hidden)
        repository.hidden = hidden

    return verb


def _delete_repository(act: Act, args: Arguments) -> None:
    repository = args.repository()
    del repository.workspace.repositories[repository.slug]
    act.changed("repository", repository.full_name, "uuid", repository.uuid, None)
    for home in act.world.workspaces.values():
        for one in home.repositories.values():
            for pr in one.pull_requests.values():
                if pr.source_repository is repository:
                    pr.source_repository = None


def _fork(act: Act, args: Arguments) -> dict[str, Any]:
    parent, workspace = args.repository(), args.workspace()
    name = str(args.take("name", f"{parent.name}-fork"))
    made = Repository(
        uuid=act.world.uuid("repository"),
        slug=repositories.slug_of(name),
        name=name,
        workspace=workspace,
        created_on=act.now,
        updated_on=act.now,
        visible_at=act.now,
        project_key=parent.project_key,
        main=parent.main,
        parent=parent,
        commits=dict(parent.commits),
    )
    workspace.repositories[made.slug] = made
    for branch in parent.branches.values():
        refs.set_branch(act, made, branch.name, branch.target)
    act.emit("repo:fork", parent, lambda to: {"fork": to.repository_event(made)})
    return repository_state(made)


def _push(act: Act, args: Arguments) -> dict[str, Any]:
    """`commits` is a number or a list of messages; `force` rewrites the branch from `base` (a hash or branch)."""
    repository, branch = args.repository(), str(args.take("branch", "main"))
    commits, force = args.take("commits", 1), bool(args.take("force", False))
    messages: Sequence[str] = (
        [f"Work {number + 1} on {branch}\n" for number in range(commits)] if isinstance(commits, int) else list(commits)
    )
    raw = args.take("raw_author", None)
    exists = branch in repository.branches
    base = args.take("base", None)
    if base is not None and exists and not force:
        raise ValueError(
            "push: an existing branch is pushed on top of its head; use force=True to rewrite it from base"
        )
    if base is None:
        base = branch if exists and not force else repository.main
    start = refs.resolve(repository, str(base))
    if start is None and repository.commits:
        raise ValueError(f"push: there is no commit or branch {base!r} to start from")
    if not exists:
        refs.require_free_name(repository, branch)
    head, hashes = None if start is None else start.hash, []
    for message in messages:
        user = None if raw is not None else act.actor
        head = refs.add_commit(act, repository, () if head is None else (head,), message, user=user, raw=raw)
        hashes.append(head)
    if head is None:
        raise ValueError("push: an empty repository needs at least one commit")
    refs.set_branch(act, repository, branch, head)
    return {"hash": head, "hashes": hashes, "branch": branch}


def _branch_of(repository: Repository, args: Arguments) -> str:
    name = str(args.take("branch"))
    if name not in repository.branches:
        raise ValueError(f"there is no branch {name!r} in {repository.full_name}")
    return name


def _delete_branch(act: Act, args: Arguments) -> None:
    repository = args.repository()
    refs.delete_branch(act, repository, _branch_of(repository, args))


def _rename_branch(act: Act, args: Arguments) -> None:
    """As git does it: the new name is pushed, the old one deleted; pull requests do not follow."""
    repository = args.repository()
    name, target = _branch_of(repository, args), str(args.take("name"))
    refs.require_free_name(repository, target)
    refs.set_branch(act, repository, target, repository.branches[name].target)
    refs.delete_branch(act, repository, name)
    if repository.main == name:
        repository.main = target


def _merge_strategies(act: Act, args: Arguments) -> None:
    repository = args.repository()
    repository.branches[_branch_of(repository, args)].merge_strategies = tuple(args.take("strategies"))
    del act


def _tag(act: Act, args: Arguments) -> dict[str, str]:
    repository, name, message = args.repository(), str(args.take("name")), args.take("message", None)
    commit = refs.require_commit(repository, str(args.take("target", repository.main)))
    refs.set_tag(act, repository, Tag(name=name, target=commit.hash, message=message, date=act.now, tagger=act.actor))
    return {"name": name, "hash": commit.hash}


def _delete_tag(act: Act, args: Arguments) -> None:
    repository, name = args.repository(), str(args.take("name"))
    refs.delete_tag(act, repository, name)


def _read_branches(act: Act, args: Arguments) -> dict[str, dict[str, Any]]:
    del act
    repository = args.repository()
    main = repository.branches.get(repository.main)
    ends = () if main is None else (main.target,)
    return {
        one.name: {"target": one.target, "ahead": len(graph.log(repository.commits, (one.target,), ends))}
        for one in repository.branches.values()
    }


def _read_repository(act: Act, args: Arguments) -> dict[str, Any]:
    del act
    return repository_state(args.repository())


VERBS: dict[str, Verb] = {
    "add_repository": _add_repository,
    "rename_repository": _rename_repository,
    "hide_repository": _hide(True),
    "show_repository": _hide(False),
    "delete_repository": _delete_repository,
    "fork": _fork,
    "push": _push,
    "delete_branch": _delete_branch,
    "rename_branch": _rename_branch,
    "merge_strategies": _merge_strategies,
    "tag": _tag,
    "delete_tag": _delete_tag,
}
READS: dict[str, Verb] = {"branches": _read_branches, "repository": _read_repository}
