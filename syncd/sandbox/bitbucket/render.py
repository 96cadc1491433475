"""
Accounts, repositories, refs and commits as the service writes them, links and all (reference/bitbucket.md 1, 6.1, 6.2; fixtures api--*).

A renderer belongs to one API address, so that a client that follows links stays where it is. What it returns is only ever
serialised, never changed: parts are shared between answers.
"""

from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import quote

from syncd.sandbox.bitbucket.world import Branch, Commit, Repository, Tag, User, Workspace

HTML = "https://bitbucket.org"
"""Where the pages of the service are; no page is emulated."""

Json = dict[str, Any]


def micro(moment: datetime) -> str:
    """`created_on` and `updated_on`: microseconds and the offset."""
    return moment.isoformat(timespec="microseconds")


def whole(moment: datetime) -> str:
    """A commit's `date`: whole seconds and the offset."""
    return moment.isoformat(timespec="seconds")


def zulu(moment: datetime) -> str:
    """Pipelines and deployments: `Z`, up to six digits, trailing zeros cut."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{moment.microsecond:06d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"


def nano(moment: datetime) -> str:
    """Webhook subscriptions: `Z` with nine digits."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def optional(moment: datetime | None) -> str | None:
    """`micro`, or None for what has not happened."""
    return None if moment is None else micro(moment)


def rendered(raw: str) -> Json:
    """A text with its rendering."""
    html = f"<p>{escape(raw, quote=False)}</p>" if raw else ""
    return {"type": "rendered", "raw": raw, "markup": "markdown", "html": html}


def link(href: str) -> Json:
    """One link object."""
    return {"href": href}


class Renderer:
    """Renders for one API address, such as `http://127.0.0.1:9002/2.0`."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._users: dict[tuple[str, str, str, bool], Json] = {}
        self._small: dict[tuple[str, str, str], Json] = {}

    def user(self, user: User) -> Json:
        """An account as it stands in every answer; access tokens are app users (fixture api--pullrequest--gildas-bitbucket-cli)."""
        key = (user.uuid, user.display_name, user.nickname, user.active)
        found = self._users.get(key)
        if found is None:
            found = self._users[key] = self._user(user)
        return found

    def _user(self, user: User) -> Json:
        quoted = quote(user.uuid, safe="")
        avatar = link(f"{HTML}/account/{quoted}/avatar/")
        if user.kind is not None:
            return {
                "type": "app_user",
                "display_name": user.display_name,
                "uuid": user.uuid,
                "account_id": user.account_id,
                "account_status": "active" if user.active else "inactive",
                "created_on": micro(user.created_on),
                "kind": user.kind,
                "links": {"avatar": avatar},
            }
        return {
            "display_name": user.display_name if user.active else "Former user",
            "links": {"self": link(f"{self.base}/users/{quoted}"), "avatar": avatar, "html": link(f"{HTML}/{quoted}/")},
            "type": "user",
            "uuid": user.uuid,
            "account_id": user.account_id,
            "nickname": user.nickname if user.active else "Former user",
        }

    def own_user(self, user: User) -> Json:
        """`GET /user`: the account with what only its owner sees."""
        if user.kind is not None:
            return self.user(user)
        return {
            **self.user(user),
            "created_on": micro(user.created_on),
            "is_staff": False,
            "location": None,
            "website": None,
        }

    def team(self, workspace: Workspace) -> Json:
        """A workspace as the owner of a repository."""
        quoted = quote(workspace.uuid, safe="")
        return {
            "display_name": workspace.name,
            "links": {
                "self": link(f"{self.base}/workspaces/{quoted}"),
                "avatar": link(f"{HTML}/account/{workspace.slug}/avatar/"),
                "html": link(f"{HTML}/{quoted}/"),
            },
            "type": "team",
            "uuid": workspace.uuid,
            "username": workspace.slug,
        }

    def workspace_small(self, workspace: Workspace) -> Json:
        """A workspace inside another object."""
        return {
            "type": "workspace",
            "uuid": workspace.uuid,
            "name": workspace.name,
            "slug": workspace.slug,
            "links": {
                "avatar": link(f"{HTML}/workspaces/{workspace.slug}/avatar/"),
                "html": link(f"{HTML}/{workspace.slug}/"),
                "self": link(f"{self.base}/workspaces/{workspace.slug}"),
            },
        }

    def workspace(self, workspace: Workspace) -> Json:
        """`GET /workspaces/{workspace}` (fixture api--workspace--gildas-bitbucket-cli)."""
        api = f"{self.base}/workspaces/{workspace.slug}"
        small = self.workspace_small(workspace)
        more = {
            "hooks": link(f"{api}/hooks"),
            "html_overview": link(f"{HTML}/{workspace.slug}/workspace/overview/"),
            "members": link(f"{api}/members"),
            "owners": link(f"{api}/members?q=permission%3D%22owner%22"),
            "projects": link(f"{api}/projects"),
            "repositories": link(f"{self.base}/repositories/{workspace.slug}"),
            "snippets": link(f"{self.base}/snippets/{workspace.slug}"),
        }
        return {
            **small,
            "is_private": False,
            "is_privacy_enforced": False,
            "forking_mode": "allow_forks",
            "created_on": micro(workspace.created_on),
            "links": {**small["links"], **more},
        }

    def api(self, repository: Repository) -> str:
        """The address of a repository's API."""
        return f"{self.base}/repositories/{repository.full_name}"

    def repository_small(self, repository: Repository) -> Json:
        """A repository inside another object."""
        key = (repository.uuid, repository.full_name, repository.name)
        found = self._small.get(key)
        if found is None:
            found = self._small[key] = {
                "type": "repository",
                "full_name": repository.full_name,
                "links": {
                    "self": link(self.api(repository)),
                    "html": link(f"{HTML}/{repository.full_name}"),
                    "avatar": link(f"https://bytebucket.org/ravatar/{quote(repository.uuid, safe='')}?ts=default"),
                },
                "name": repository.name,
                "uuid": repository.uuid,
            }
        return found

    def project(self, repository: Repository) -> Json:
        """The project of a repository; its uuid follows from workspace and key."""
        slug, key = repository.workspace.slug, repository.project_key
        return {
            "type": "project",
            "key": key,
            "uuid": "{" + repository.workspace.uuid[1:25] + key.encode().hex()[:12].rjust(12, "0") + "}",
            "name": key.title(),
            "links": {
                "self": link(f"{self.base}/workspaces/{slug}/projects/{key}"),
                "html": link(f"{HTML}/{slug}/workspace/projects/{key}"),
                "avatar": link(f"{HTML}/{slug}/workspace/projects/{key}/avatar/32"),
            },
        }

    def repository_event(self, repository: Repository) -> Json:
        """A repository in a delivery: no slug, no main branch (reference/bitbucket.md 6.1)."""
        return {
            **self.repository_small(repository),
            "scm": "git",
            "website": None,
            "owner": self.team(repository.workspace),
            "workspace": self.workspace_small(repository.workspace),
            "is_private": repository.is_private,
            "project": self.project(repository),
            "parent": None if repository.parent is None else self.repository_small(repository.parent),
        }

    def repository(self, repository: Repository) -> Json:
        """A repository read or listed (fixture api--repository--jenkins-branch-source)."""
        api, small = self.api(repository), self.repository_small(repository)
        names = ("watchers", "commits", "hooks", "forks", "downloads", "pullrequests")
        links = {
            **small["links"],
            **{name: link(f"{api}/{name}") for name in names},
            "branches": link(f"{api}/refs/branches"),
            "tags": link(f"{api}/refs/tags"),
            "source": link(f"{api}/src"),
            "clone": [{"href": f"{HTML}/{repository.full_name}.git", "name": "https"}],
        }
        return {
            **self.repository_event(repository),
            "links": links,
            "website": "",
            "slug": repository.slug,
            "description": repository.description,
            "fork_policy": "allow_forks",
            "language": "",
            "created_on": micro(repository.created_on),
            "updated_on": micro(repository.updated_on),
            "mainbranch": {"type": "branch", "name": repository.main}
            if repository.main in repository.branches
            else None,
            "has_issues": False,
            "has_wiki": False,
            "size": 1024 * len(repository.commits),
            "override_settings": {"default_merge_strategy": False, "branching_model": False},
            "enforced_signed_commits": None,
        }

    def commit_small(self, repository: Repository, commit: str) -> Json:
        """A commit by its hash alone, as long as the given text."""
        return {
            "hash": commit,
            "links": {
                "self": link(f"{self.api(repository)}/commit/{commit}"),
                "html": link(f"{HTML}/{repository.full_name}/commits/{commit}"),
            },
            "type": "commit",
        }

    def author(self, raw: str, user: User | None) -> Json:
        """Who made a commit; `user` is absent when the address belongs to no account."""
        found: Json = {"type": "author", "raw": raw}
        if user is not None:
            found["user"] = self.user(user)
        return found

    def commit_links(self, repository: Repository, commit: str) -> Json:
        """All links of a commit."""
        api = self.api(repository)
        own = f"{api}/commit/{commit}"
        return {
            "self": link(own),
            "html": link(f"{HTML}/{repository.full_name}/commits/{commit}"),
            "diff": link(f"{api}/diff/{commit}"),
            "approve": link(f"{own}/approve"),
            "comments": link(f"{own}/comments"),
            "statuses": link(f"{own}/statuses"),
            "patch": link(f"{api}/patch/{commit}"),
        }

    def commit(self, repository: Repository, commit: Commit) -> Json:
        """A commit in a list (fixture api--commits-include-exclude--jenkins-branch-source)."""
        return {
            **self.commit_target(repository, commit),
            "rendered": {"message": rendered(commit.message)},
            "summary": rendered(commit.message),
        }

    def commit_target(self, repository: Repository, commit: Commit) -> Json:
        """A commit as the target of a ref (fixture api--branches-list-pagelen-100--jenkins-branch-source)."""
        return {
            "type": "commit",
            "hash": commit.hash,
            "date": whole(commit.date),
            "author": self.author(commit.raw_author, commit.user),
            "message": commit.message,
            "links": self.commit_links(repository, commit.hash),
            "parents": [self.commit_small(repository, parent) for parent in commit.parents],
            "repository": self.repository_small(repository),
        }

    def commit_event(self, repository: Repository, commit: Commit, *, all_links: bool) -> Json:
        """A commit in a push (fixture repo-push--jenkins-branch-source-signed)."""
        links = self.commit_links(repository, commit.hash)
        return {
            "type": "commit",
            "hash": commit.hash,
            "date": whole(commit.date),
            "author": self.author(commit.raw_author, commit.user),
            "committer": {},
            "message": commit.message,
            "summary": rendered(commit.message),
            "links": links if all_links else {"self": links["self"], "html": links["html"]},
            "parents": [self.commit_small(repository, parent) for parent in commit.parents],
            "rendered": {},
            "properties": {},
        }

    def branch_links(self, repository: Repository, name: str) -> Json:
        """The links of a branch; the service leaves `/` as it is."""
        quoted = quote(name, safe="/")
        return {
            "self": link(f"{self.api(repository)}/refs/branches/{quoted}"),
            "commits": link(f"{self.api(repository)}/commits/{quoted}"),
            "html": link(f"{HTML}/{repository.full_name}/branch/{quoted}"),
        }

    def branch(self, repository: Repository, branch: Branch) -> Json:
        """A branch read or listed."""
        return {
            "type": "branch",
            "name": branch.name,
            "links": self.branch_links(repository, branch.name),
            "default_merge_strategy": branch.merge_strategies[0],
            "merge_strategies": list(branch.merge_strategies),
            "target": self.commit_target(repository, repository.commits[branch.target]),
        }

    def branch_event(self, repository: Repository, branch: Branch, target: str) -> Json:
        """A branch as `old` or `new` of a push, at one target."""
        create = f"{HTML}/{repository.full_name}/pull-requests/new?source={quote(branch.name, safe='/')}&t=1"
        return {
            "name": branch.name,
            "target": self.commit_event(repository, repository.commits[target], all_links=False),
            "links": {**self.branch_links(repository, branch.name), "pullrequest_create": link(create)},
            "type": "branch",
            "merge_strategies": list(branch.merge_strategies),
            "sync_strategies": ["merge_commit", "rebase"],
            "default_merge_strategy": branch.merge_strategies[0],
        }

    def _tag(self, repository: Repository, tag: Tag) -> Json:
        quoted = quote(tag.name, safe="/@")
        return {
            "name": tag.name,
            "type": "tag",
            "message": tag.message,
            "date": None if tag.message is None else whole(tag.date),
            "tagger": None if tag.tagger is None or tag.message is None else self.author(_raw(tag.tagger), tag.tagger),
            "links": {
                "self": link(f"{self.api(repository)}/refs/tags/{quoted}"),
                "commits": link(f"{self.api(repository)}/commits/{quoted}"),
                "html": link(f"{HTML}/{repository.full_name}/commits/tag/{quoted}"),
            },
        }

    def tag(self, repository: Repository, tag: Tag) -> Json:
        """A tag read or listed (fixture api--tag--go-scm)."""
        return {**self._tag(repository, tag), "target": self.commit_target(repository, repository.commits[tag.target])}

    def tag_event(self, repository: Repository, tag: Tag) -> Json:
        """A tag as `old` or `new` of a push; an annotated one's tagger is empty there, as recorded in 2025."""
        target = self.commit_event(repository, repository.commits[tag.target], all_links=False)
        body = {**self._tag(repository, tag), "target": target}
        if tag.message is not None:
            body["tagger"] = {}
        return body


def _raw(user: User) -> str:
    return f"{user.display_name} <{user.email}>"
