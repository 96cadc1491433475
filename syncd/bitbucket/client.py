"""
One method per call of Bitbucket's REST API; the only file of the room with HTTP.

atlassian-python-api is used as a transport with paths: one `Cloud` object over our own session. Its paging follows any link and
takes an answer without `values` for the end, its child objects sleep and read every object again (reference/dependencies.md 5,
reference/reliability.md "Traps in the libraries"): so lists are paged here, and no other object of the library is built.

The session (`syncd.transport`) owns time-outs, budgets and the classification of refusals; it gives back good answers only.
What is left is an answer that cannot be read: a failed read, or, after a changing request, an unknown outcome.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urlsplit

import requests
from atlassian.bitbucket.cloud import Cloud

from syncd import errors, ports
from syncd.bitbucket import shape, translate
from syncd.model.ids import AccountId, HookId, RepositoryId
from syncd.model.schema import Repository
from syncd.model.work import Branch, Build, Commit, Deployment, PullRequest

SERVICE = "bitbucket"
API_VERSION = "/2.0"
PULL_REQUESTS_PER_PAGE = 50
"""More is a 400 for pull requests and their activity (reference/bitbucket.md 7.1)."""
PER_PAGE = 100
PAGES_MAX = 2_000
"""What is longer is a list that does not end: 100,000 pull requests are an hour's allowance twice over."""

_WITH_PEOPLE = "+values.reviewers,+values.participants"
_WITH_ENVIRONMENT = (
    "+values.environment.name,+values.environment.environment_type.name,+values.state.status.name,"
    "+values.state.completed_on,+values.release.commit.hash"
)

_Params = Mapping[str, str | int | Sequence[str]]
_T = TypeVar("_T")

# At DEBUG the library logs whole bodies and headers.
logging.getLogger("atlassian").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """
    How a connection proves itself: an access token, or an API token with its account (reference/bitbucket.md 2).

    Args:
        token: an access token (Bearer), or with `user` an API token.
        user: e-mail address of the account behind an API token (HTTP Basic).
    """

    token: str = field(repr=False)
    user: str = ""

    def __post_init__(self) -> None:
        """Refuse what would be sent without any credential: the library leaves an empty one out in silence."""
        if not self.token:
            raise ValueError("a credential needs a token, with or without a user")


class Client:
    """The calls of one credential in one workspace. Not for several threads at once: `requests.Session` is not."""

    def __init__(
        self,
        session: requests.Session,
        *,
        base_url: str,
        workspace: str,
        credential: Credential,
    ) -> None:
        """
        Args:
            session: from `transport.open_session`.
            base_url: the API root, with or without its last segment `/2.0`.
            workspace: slug or UUID.
        """
        if not workspace:
            raise ValueError("a workspace is needed: the service has no list of them any more")
        root = base_url.rstrip("/").removesuffix(API_VERSION)
        self._base = urlsplit(root + API_VERSION)
        signed = (
            {"username": credential.user, "password": credential.token}
            if credential.user
            else {"token": credential.token}
        )
        self._cloud = Cloud(url=root, session=session, retry_with_header=False, **signed)  # type: ignore[no-untyped-call]  # the library's constructor has no types
        self._workspace = workspace

    # ------------------------------------------------------------------------------------------ account, repositories

    def user(self) -> AccountId:
        """`GET /user`."""
        return self._read("user", translate.own_account)

    def is_readable(self) -> bool:
        """Whether the credential reads the workspace's repositories at all; raises as any read does."""
        self._read(self._in_workspace(), translate.page, {"pagelen": 1})
        return True

    def repositories(self) -> list[Repository]:
        """`GET /repositories/{workspace}`, sorted by what does not move."""
        return self._all(self._in_workspace(), translate.repository, {"sort": "created_on", "pagelen": PER_PAGE})

    def repository(self, name: str) -> Repository:
        """`GET /repositories/{workspace}/{name}`, by slug or UUID."""
        return self._read(self._in_workspace(name), translate.repository)

    # ------------------------------------------------------------------------------------------------- pull requests

    def pull_requests(
        self,
        home: RepositoryId,
        *,
        since: datetime | None,
        source: str,
        states: frozenset[str],
        odd: ports.TakeOdd | None = None,
    ) -> list[PullRequest]:
        """
        `GET /pullrequests` in these states, with the people that list items leave out (reference/bitbucket.md 7.1).

        Sorted by creation, which does not move while pages are read (8.1).
        """
        conditions = []
        if since is not None:
            conditions.append(f"updated_on >= {since.astimezone(UTC).isoformat(timespec='microseconds')}")
        if source:
            conditions.append(f"source.branch.name = {_quoted(source)}")
        params: dict[str, str | int | Sequence[str]] = {
            "state": sorted(states),
            "sort": "created_on",
            "pagelen": PULL_REQUESTS_PER_PAGE,
            "fields": _WITH_PEOPLE,
        }
        if conditions:
            params["q"] = " AND ".join(conditions)
        return self._all(
            self._in_repository(home, "pullrequests"),
            lambda one: translate.pull_request(one, home),
            params,
            _apart(odd, _odd_pull_request),
        )

    def pull_request(self, home: RepositoryId, number: int) -> PullRequest:
        """`GET /pullrequests/{id}`."""
        path = self._in_repository(home, "pullrequests", str(number))
        return self._read(path, lambda one: translate.pull_request(one, home))

    def create_pull_request(self, home: RepositoryId, body: shape.Json) -> PullRequest:
        """`POST /pullrequests`."""
        path = self._in_repository(home, "pullrequests")
        return self._change("POST", path, body, lambda one: translate.pull_request(one, home))

    def change_pull_request(self, home: RepositoryId, number: int, body: shape.Json) -> PullRequest:
        """`PUT /pullrequests/{id}`; what becomes of what is left out is open, so nothing mutable may be left out."""
        path = self._in_repository(home, "pullrequests", str(number))
        return self._change("PUT", path, body, lambda one: translate.pull_request(one, home))

    def pull_request_commits(self, home: RepositoryId, number: int) -> ports.HeadCommits:
        """`GET /pullrequests/{id}/commits`, the first page."""
        path = self._in_repository(home, "pullrequests", str(number), "commits")
        return self._first_commits(path, home, {"pagelen": PER_PAGE})

    def activity(self, home: RepositoryId, number: int) -> Iterator[list[datetime | None]]:
        """`GET /pullrequests/{id}/activity`, page by page, newest first: of each entry when it says merged, else None."""
        path = self._in_repository(home, "pullrequests", str(number), "activity")
        for entries, _ in self._pages(path, translate.merged_at, {"pagelen": PULL_REQUESTS_PER_PAGE}):
            yield entries

    def snapshots(
        self, home: RepositoryId, number: int
    ) -> Iterator[list[tuple[datetime, Mapping[str, str | bool]] | None]]:
        """The same log, of each entry what an update left; None for other entries."""
        path = self._in_repository(home, "pullrequests", str(number), "activity")
        for entries, _ in self._pages(path, translate.snapshot, {"pagelen": PULL_REQUESTS_PER_PAGE}):
            yield entries

    # ------------------------------------------------------------------------------------- branches, commits, builds

    def branches(self, home: RepositoryId, *, holding: str, odd: ports.TakeOdd | None = None) -> list[Branch]:
        """`GET /refs/branches` by name, or those whose name contains a text, in any case (reference/bitbucket.md 7.2)."""
        params: dict[str, str | int] = {"sort": "name", "pagelen": PER_PAGE}
        if holding:
            params["q"] = f"name ~ {_quoted(holding)}"
        path = self._in_repository(home, "refs", "branches")
        return self._all(path, lambda one: translate.branch(one, home), params, _apart(odd, _odd_branch))

    def branch(self, home: RepositoryId, name: str) -> Branch:
        """`GET /refs/branches/{name}`; the name is one segment."""
        path = self._in_repository(home, "refs", "branches", name)
        return self._read(path, lambda one: translate.branch(one, home))

    def create_branch(self, home: RepositoryId, name: str, commit: str) -> Branch:
        """`POST /refs/branches` at a commit of 40 characters."""
        path = self._in_repository(home, "refs", "branches")
        body = {"name": name, "target": {"hash": commit}}
        return self._change("POST", path, body, lambda one: translate.branch(one, home))

    def commits(self, home: RepositoryId, *, include: str, exclude: str, count: int = PER_PAGE) -> ports.HeadCommits:
        """`GET /commits?include=…&exclude=…`, the first page."""
        path = self._in_repository(home, "commits")
        return self._first_commits(path, home, {"include": include, "exclude": exclude, "pagelen": count})

    def builds(self, home: RepositoryId, commit: str) -> list[Build]:
        """`GET /commit/{hash}/statuses`."""
        path = self._in_repository(home, "commit", commit, "statuses")
        return self._all(path, lambda one: translate.build(one, home), {"sort": "created_on", "pagelen": PER_PAGE})

    def deployments(self, home: RepositoryId) -> Iterator[list[Deployment]]:
        """`GET /deployments`, page by page, newest first, with names of environments and results (reference/bitbucket.md 7.4)."""
        path = self._in_repository(home, "deployments")
        params: _Params = {"sort": "-state.started_on", "pagelen": PER_PAGE, "fields": _WITH_ENVIRONMENT}
        for deployments, _ in self._pages(path, lambda one: translate.deployment(one, home), params):
            yield deployments

    # --------------------------------------------------------------------------------------------------------- hooks

    def hook_events(self) -> list[str]:
        """`GET /hook_events/repository`: the names that can be subscribed to today."""
        return self._all("hook_events/repository", translate.event_name, {"pagelen": PER_PAGE})

    def hooks(self, home: RepositoryId) -> list[ports.HookState]:
        """`GET /hooks`."""
        return self._all(self._in_repository(home, "hooks"), translate.hook, {"pagelen": PER_PAGE})

    def create_hook(self, home: RepositoryId, body: shape.Json) -> ports.HookState:
        """`POST /hooks`."""
        return self._change("POST", self._in_repository(home, "hooks"), body, translate.hook)

    def change_hook(self, home: RepositoryId, hook: HookId, body: shape.Json) -> ports.HookState:
        """`PUT /hooks/{uid}`."""
        return self._change("PUT", self._in_repository(home, "hooks", hook), body, translate.hook)

    def delete_hook(self, home: RepositoryId, hook: HookId) -> None:
        """`DELETE /hooks/{uid}`."""
        path = self._in_repository(home, "hooks", hook)
        answer = self._send("DELETE", path)
        if answer.status_code != requests.codes.no_content:
            _unreadable("DELETE", path, "no 204", "UNEXPECTED_STATUS", answer.status_code)

    # ---------------------------------------------------------------------------------------------------------- HTTP

    def _in_workspace(self, *parts: str) -> str:
        return "/".join(["repositories", *(_segment(part) for part in (self._workspace, *parts))])

    def _in_repository(self, home: RepositoryId, *parts: str) -> str:
        # By UUID: slugs change on a rename, and an old one may come to name another repository (BB14).
        return self._in_workspace(home, *parts)

    def _read(self, path: str, read: Callable[[Any], _T], params: _Params | None = None) -> _T:
        return self._parsed("GET", path, self._send("GET", path, params=params), read)

    def _change(self, method: str, path: str, body: shape.Json, read: Callable[[Any], _T]) -> _T:
        return self._parsed(method, path, self._send(method, path, body=body), read)

    def _all(self, path: str, read: Callable[[Any], _T], params: _Params, apart: "_Apart | None" = None) -> list[_T]:
        return [one for page, _ in self._pages(path, read, params, apart) for one in page]

    def _first_commits(self, path: str, home: RepositoryId, params: _Params) -> ports.HeadCommits:
        """The first page that holds anything: an empty one with another behind it does not say that there is nothing."""
        found: tuple[Commit, ...] = ()
        for page, more in self._pages(path, lambda one: translate.commit(one, home), params):
            found = tuple(page)
            if found or not more:
                return ports.HeadCommits(commits=found, whole=not more)
        return ports.HeadCommits(commits=found, whole=True)

    def _pages(
        self, path: str, read: Callable[[Any], _T], params: _Params, apart: "_Apart | None" = None
    ) -> Iterator[tuple[list[_T], bool]]:
        """
        Each page and whether another follows. The end is a missing `next`, nothing else (BB07, BB08).

        Args:
            apart: may set a value apart that cannot be read; without it, or when it does not, the listing fails.
        """
        following: str | None = None
        seen: set[str] = set()
        for _ in range(PAGES_MAX):
            answer = (
                self._send("GET", path, params=params) if following is None else self._send("GET", path, link=following)
            )
            values, following = self._parsed("GET", path, answer, translate.page)
            items = []
            for value in values:
                try:
                    items.append(read(value))
                except shape.Malformed as problem:
                    if apart is None or not apart(value, str(problem)):
                        _unreadable("GET", path, str(problem), problem.code, cause=problem)
            # Before the page is believed: who reads only its beginning must not take a lie for it.
            if following is not None and not self._is_pinned(following):
                _unreadable("GET", path, "the link to the next page leaves the API", "NEXT_ELSEWHERE")
            yield items, following is not None
            if following is None:
                return
            if following in seen:
                _unreadable("GET", path, "the links to the next page go round in a circle", "NEXT_LOOPS")
            seen.add(following)
        _unreadable("GET", path, f"the list has more than {PAGES_MAX} pages", "NEXT_ENDLESS")

    def _is_pinned(self, link: str) -> bool:
        try:
            parts = urlsplit(link)
        except ValueError:
            return False
        same = (parts.scheme, parts.netloc.lower()) == (self._base.scheme, self._base.netloc.lower())
        return same and parts.path.startswith(self._base.path + "/") and "/../" not in parts.path

    def _send(
        self, method: str, path: str, *, params: _Params | None = None, body: shape.Json | None = None, link: str = ""
    ) -> requests.Response:
        # advanced_mode gives the answer itself: the library's own reading turns broken JSON into a text.
        answer: requests.Response = self._cloud.request(
            method,
            link or path,
            data=body,
            params=None if params is None else dict(params),
            absolute=bool(link),
            advanced_mode=True,
        )
        return answer

    def _parsed(self, method: str, path: str, answer: requests.Response, read: Callable[[Any], _T]) -> _T:
        try:
            loaded = json.loads(answer.content.decode("utf-8"), parse_constant=_refuse)
        except (ValueError, RecursionError):
            _unreadable(method, path, "the answer is not JSON", "NOT_JSON", answer.status_code)
        return self._translated(method, path, loaded, read)

    def _translated(self, method: str, path: str, loaded: Any, read: Callable[[Any], _T]) -> _T:
        try:
            return read(loaded)
        except shape.Malformed as problem:
            _unreadable(method, path, str(problem), problem.code, cause=problem)


# Takes a value of a list that cannot be read, and why; whether it could be named and set apart.
_Apart = Callable[[shape.Json, str], bool]


def _apart(odd: ports.TakeOdd | None, name: Callable[[shape.Json, str], ports.Odd | None]) -> _Apart | None:
    if odd is None:
        return None

    def take(value: shape.Json, reason: str) -> bool:
        found = name(value, reason)
        if found is not None:
            odd(found)
        return found is not None

    return take


def _odd_pull_request(value: shape.Json, reason: str) -> ports.Odd | None:
    """By its number; None when even that cannot be read: then only the whole list can be blamed."""
    try:
        number = shape.number(value, "id")
    except shape.Malformed:
        return None
    return ports.Odd(
        name=str(number),
        reason=reason,
        source_branch=_text(value, "source", "branch", "name"),
        title=_text(value, "title"),
    )


def _odd_branch(value: shape.Json, reason: str) -> ports.Odd | None:
    name = _text(value, "name")
    return ports.Odd(name=name, reason=reason) if name else None


def _text(value: Any, *path: str) -> str:
    """A text under some keys, "" for whatever is none."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    try:
        return shape.text({"text": value}, "text")
    except shape.Malformed:
        return ""


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


# Control characters, and halves of surrogate pairs.
_UNSENDABLE = re.compile("[\x00-\x1f\ud800-\udfff]")


# Every request names the same workspace and one of a few repositories.
@lru_cache(maxsize=1024)
def _segment(part: str) -> str:
    """One path segment, percent-encoded; people name branches, so `/`, `?` and `#` are ordinary characters (trap 17)."""
    # No object of the service is called like this, and a dot segment would be cut out of the path on its way.
    if part in {"", ".", ".."} or _UNSENDABLE.search(part):
        raise errors.Rejected(
            "a name that cannot stand in an address; nothing was sent",
            service=SERVICE,
            request="",
            code="IMPOSSIBLE_NAME",
        )
    return quote(part, safe="")


def _quoted(text: str) -> str:
    """A string of the filter language (reference/bitbucket.md 8.2)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unreadable(
    method: str, path: str, problem: str, code: str, status: int | None = None, cause: Exception | None = None
) -> NoReturn:
    """A failed read; after a changing request nobody knows whether it was done."""
    kind = errors.Unreachable if method == "GET" else errors.Unclear
    raise kind(
        f"the answer cannot be used: {problem}",
        service=SERVICE,
        request=f"{method} /{path}",
        status=status,
        code=code,
    ) from cause
