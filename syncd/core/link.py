"""Which work belongs to which record: the four conventions, the lead of a shared pull request, the primary."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from syncd.model.ids import PullRequestKey, RecordId, RepositoryId
from syncd.model.schema import Repository
from syncd.model.situation import Situation
from syncd.model.work import Branch, Build, Commit, Deployment, PullRequest
from syncd.spec.expression import ExpressionError, Template
from syncd.spec.rules import SyncRules

# A look-ahead, so that an id is found although something before it looks like the start of one.
_RECORD_ID = re.compile(r"(?=(rec[A-Za-z0-9]{14}))")
_MARKER = RecordId("rec00000000000000")
_PULL_REQUEST_PATH = re.compile(r"(?P<repository>/.+)/pull-requests/(?P<number>[1-9][0-9]{0,9})(?:/.*)?")
# Bitbucket refuses or cuts longer titles (reference/bitbucket.md 6.3: likely, not established).
TITLE_CHARACTERS_MAX = 255
_Kind = TypeVar("_Kind", Branch, PullRequest, Commit, Build, Deployment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """
    The work of a situation that belongs to its record, newest first, whatever order it came in.

    Args:
        primary: the newest open pull request; else the newest merged; else the newest; None without one.
        evidence: why each pull request that is not remembered yet belongs to the record: branch, title or commit.
    """

    branches: tuple[Branch, ...] = ()
    pull_requests: tuple[PullRequest, ...] = ()
    commits: tuple[Commit, ...] = ()
    builds: tuple[Build, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    primary: PullRequest | None = None
    evidence: Mapping[PullRequestKey, str]

    @property
    def any(self) -> bool:
        """Whether the record is linked to anything."""
        return bool(self.pull_requests or self.branches)


def record_ids(text: str) -> tuple[RecordId, ...]:
    """Every record id that stands anywhere in a branch name or commit message, in order, each once."""
    if "rec" not in text:
        return ()
    return tuple(RecordId(found) for found in dict.fromkeys(_RECORD_ID.findall(text)))


def of_branch(branch: Branch) -> tuple[RecordId, ...]:
    """The records that a branch belongs to: by its name first, then by its commits."""
    return tuple(dict.fromkeys((*record_ids(branch.name), *branch.commit_records)))


def evidence(pull_request: PullRequest, rules: SyncRules) -> Mapping[RecordId, str]:
    """
    Why a pull request belongs to records, by its own looks.

    Returns:
        For each record the strongest evidence: "branch", "title" (it *starts* with the prefix) or "commit". Empty for
        a pull request from a fork unless the spec lets forks link (BB23).
    """
    if is_fork(pull_request) and not rules.link.forks:
        return {}
    found: dict[RecordId, str] = dict.fromkeys(record_ids(pull_request.source_branch), "branch")
    titled = _titled(pull_request.title, rules)
    if titled is not None:
        found.setdefault(titled, "title")
    for record in pull_request.commit_records:
        found.setdefault(record, "commit")
    return found


def hinted(source_branch: str, title: str, rules: SyncRules) -> frozenset[RecordId]:
    """Whose a pull request may be of which no more than these can be read; also a fork's, of which nobody knows it."""
    titled = _titled(title, rules)
    return frozenset((*record_ids(source_branch), *(() if titled is None else (titled,))))


def is_fork(pull_request: PullRequest) -> bool:
    """Whether its source is another repository, or one that is gone."""
    return pull_request.source_repository != pull_request.key.repository


def lead(pull_request: PullRequest, rules: SyncRules) -> RecordId | None:
    """Of a pull request that belongs to several records: the one in its title prefix, else in its branch name, else None."""
    titled = _titled(pull_request.title, rules)
    if titled is not None:
        return titled
    named = record_ids(pull_request.source_branch)
    # Two ids in one branch name single out neither of them.
    return named[0] if len(named) == 1 else None


def primary(pull_requests: Iterable[PullRequest]) -> PullRequest | None:
    """The newest open one; else the newest merged; else the newest. Newest by creation: comments do not change it."""
    rank = {"OPEN": 2, "MERGED": 1}
    return max(pull_requests, key=lambda pr: (rank.get(pr.state, 0), pr.created_on, pr.key), default=None)


def linked(situation: Situation, rules: SyncRules, typed: PullRequestKey | None = None) -> Linked:
    """
    The work of a situation that belongs to its record.

    Args:
        typed: a pull request that a person linked by its URL and whose link was accepted.
    """
    record, work = situation.record.id, situation.work
    kept: list[PullRequest] = []
    foreign: list[PullRequest] = []
    why: dict[PullRequestKey, str] = {}
    for pull_request in work.pull_requests:
        if pull_request.key in situation.remembered or pull_request.key == typed:
            kept.append(pull_request)
            continue
        found = evidence(pull_request, rules).get(record)
        if found is None:
            foreign.append(pull_request)
        else:
            why[pull_request.key] = found
            kept.append(pull_request)
    sources = {(pr.source_repository, pr.source_branch) for pr in kept}
    branches = [
        branch
        for branch in work.branches
        if record in branch.name or record in branch.commit_records or (branch.repository, branch.name) in sources
    ]
    return Linked(
        branches=_newest_first(branches, lambda branch: (branch.target_on, branch.repository, branch.name)),
        pull_requests=_newest_first(kept, lambda pr: (pr.created_on, pr.key)),
        commits=_newest_first(work.commits, lambda commit: (commit.date, commit.repository, commit.hash)),
        builds=_newest_first(
            _without_foreign(work.builds, kept, foreign),
            lambda build: (build.updated_on, build.repository, build.key, build.commit),
        ),
        deployments=_newest_first(work.deployments, _deployment_age),
        primary=primary(kept),
        evidence=why,
    )


def url_reference(url: str, repositories: Sequence[Repository]) -> tuple[RepositoryId, int] | None:
    """
    The pull request that a URL typed by a person names.

    Args:
        url: e.g. `https://bitbucket.org/acme/web/pull-requests/12`, with or without more path, query or fragment.
        repositories: those of the sync. One is named by its own `url`, or on any host by `/workspace/slug`.

    Returns:
        Its repository and number; None when the text names no pull request of these repositories.
    """
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    match = _PULL_REQUEST_PATH.fullmatch(parts.path)
    if parts.scheme not in ("http", "https") or match is None:
        return None
    place = f"{parts.scheme}://{parts.netloc}{match['repository']}".lower()
    for repository in repositories:
        by_path = f"/{repository.workspace}/{repository.slug}".lower()
        if match["repository"].lower() == by_path or (repository.url and place == repository.url.rstrip("/").lower()):
            return repository.id, int(match["number"])
    return None


def title_without_prefix(title: str, rules: SyncRules) -> str:
    """The title as the record's name is compared with it."""
    match = _match_title(title, rules)
    return title if match is None else title[match.end() :].lstrip()


def title_with_prefix(record: RecordId, title: str, rules: SyncRules) -> str:
    """A title to be sent: with the record's prefix, if the spec has one."""
    prefix = title_prefix(record, rules)
    return f"{prefix} {title}" if prefix else title


def title_prefix(record: RecordId, rules: SyncRules) -> str:
    """The prefix of that record's titles; "" when the spec has none."""
    template = rules.link.title
    return "" if template is None else _render(template, record).strip()


def title_room(rules: SyncRules) -> int:
    """How many characters of a name fit behind the prefix."""
    prefix = title_prefix(_MARKER, rules)
    return TITLE_CHARACTERS_MAX - (len(prefix) + 1 if prefix else 0)


def title_line(name: str, rules: SyncRules) -> str:
    """A name as a title holds it: one line, cut with a visible ellipsis where Bitbucket would refuse it (BB28)."""
    line = " ".join(name.split())
    room = title_room(rules)
    return line if len(line) <= room else line[: room - 1].rstrip() + "…"


def _titled(title: str, rules: SyncRules) -> RecordId | None:
    match = _match_title(title, rules)
    return None if match is None else RecordId(match["record"])


def _match_title(title: str, rules: SyncRules) -> re.Match[str] | None:
    pattern = None if rules.link.title is None else _pattern(rules.link.title)
    return None if pattern is None else pattern.match(title)


@lru_cache(maxsize=64)
def _pattern(template: Template) -> re.Pattern[str] | None:
    """Found by rendering the prefix with a marker in the id's place; None for a prefix that does not hold the id."""
    before, marker, after = _render(template, _MARKER).strip().partition(_MARKER)
    if not marker:
        return None
    # A second mention of the id is the same id.
    rest = re.escape(after).replace(_MARKER, "(?P=record)")
    return re.compile(f"{re.escape(before)}(?P<record>rec[A-Za-z0-9]{{14}}){rest}")


@lru_cache(maxsize=4096)
def _render(template: Template, record: RecordId) -> str:
    try:
        return template.render({"record_id": record})
    except ExpressionError:
        # The spec's check refuses such a prefix; without one, titles neither link nor are cut.
        return ""


def _newest_first(found: Iterable[_Kind], age: Callable[[_Kind], Any]) -> tuple[_Kind, ...]:
    kept = tuple(found)
    return kept if len(kept) < 2 else tuple(sorted(kept, key=age, reverse=True))


def _deployment_age(deployment: Deployment) -> tuple[bool, datetime, str, str]:
    # One that still runs is newer than any that ended.
    ended = deployment.completed_on
    return ended is None, ended or datetime.min.replace(tzinfo=UTC), deployment.repository, deployment.id


def _without_foreign(
    builds: Sequence[Build], kept: Sequence[PullRequest], foreign: Sequence[PullRequest]
) -> Sequence[Build]:
    """Without the builds that came along with pull requests that turned out not to belong to the record."""
    strange = {pr.source_commit for pr in foreign} - {pr.source_commit for pr in kept} - {""}
    return [build for build in builds if build.commit[:12] not in strange] if strange else builds
