"""One Bitbucket workspace as `ports.ChangeLog`: which calls answer a question, and what is read before something is written."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from requests.adapters import BaseAdapter

from syncd import errors, ports, transport
from syncd.bitbucket import translate
from syncd.bitbucket.client import SERVICE, Client, Credential
from syncd.model.ids import AccountId, HookId
from syncd.model.schema import Repository
from syncd.model.value import canonical_text
from syncd.model.work import Branch, Build, Deployment, PullRequest

HOOK_DESCRIPTION = "syncd"
_ATTRIBUTES = frozenset({"title", "description", "destination_branch", "draft"})


def open_side(
    *,
    base_url: str,
    workspace: str,
    credential: Credential,
    gate: ports.Gate,
    clock: ports.Clock,
    user_agent: str,
    paused: transport.Paused = transport.never_paused,
    adapter: BaseAdapter | None = None,
) -> "BitbucketSide":
    """
    A side with a session of its own, for one worker thread.

    Args:
        base_url: the API root, e.g. `https://api.bitbucket.org/2.0`.
        workspace: slug or UUID.
        gate: the credential's budgets.
        paused: the kill switch of this side.
        adapter: stands in for the network; None is the real one.

    Raises:
        ValueError: the address is none, or the workspace is empty.
    """
    session = transport.open_session(
        service=SERVICE,
        base_url=base_url,
        gate=gate,
        clock=clock,
        explain=translate.explain,
        user_agent=user_agent,
        reads=transport.reads_by_method,
        paused=paused,
        adapter=adapter,
    )
    return BitbucketSide(Client(session, base_url=base_url, workspace=workspace, credential=credential))


class BitbucketSide:
    """
    Implements `ports.ChangeLog` (reference/bitbucket.md). One per worker thread, like its client.

    Every request names repositories by UUID, except `fetch_repository`, which finds out the UUID of a slug.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known_events: frozenset[str] | None = None
        self._states = translate.STATES | {translate.QUEUED}

    def fetch_account(self) -> AccountId | None:
        """
        The account behind the credential; None when it is good but may not ask for itself.

        A repository access token is refused at `/user` (reference/bitbucket.md 2.1) with the very answer that a wrong token
        gets, so a refusal is believed only when the repositories are refused too.
        """
        try:
            return self._client.user()
        except (errors.Unauthorised, errors.Gone):
            self._client.is_readable()
            return None

    def fetch_repositories(self) -> tuple[Repository, ...]:
        """Every repository of the workspace that the credential sees, by slug."""
        found = {one.id: one for one in self._client.repositories()}
        return tuple(sorted(found.values(), key=lambda one: one.slug))

    def fetch_repository(self, name: str) -> Repository:
        """One repository by slug or UUID. Raises Gone when missing or invisible."""
        return self._client.repository(name)

    # ---------------------------------------------------------------------------------------------------------- read

    def fetch_pull_requests(
        self, repository: Repository, since: datetime | None, *, source: str = "", odd: ports.TakeOdd | None = None
    ) -> tuple[PullRequest, ...]:
        """
        All pull requests in all states, newest first, with participants and reviewers.

        Args:
            since: only those updated at or after it; the caller overlaps and deduplicates (reference/bitbucket.md 7.1).
            source: only those from this source branch.
            odd: told each one that cannot be read; without it, one such pull request fails the listing.
        """
        listed = self._listed(repository, since, source, odd)
        # Numbered pages shift while objects are made (8.1): one may be seen twice, the later sight counts.
        found = {one.key: one for one in listed if not source or one.source_branch == source}
        return tuple(sorted(found.values(), key=lambda one: -one.key.number))

    def _listed(
        self, repository: Repository, since: datetime | None, source: str, odd: ports.TakeOdd | None
    ) -> list[PullRequest]:
        try:
            return self._client.pull_requests(repository.id, since=since, source=source, states=self._states, odd=odd)
        except errors.Rejected:
            if translate.QUEUED not in self._states:
                raise
        # A queued pull request must not fall out of the list, but the parameter's documentation names four states only
        # (reference/bitbucket.md 6.3, 11): where the fifth is refused there is no such state to miss.
        listed = self._client.pull_requests(repository.id, since=since, source=source, states=translate.STATES, odd=odd)
        self._states = translate.STATES
        return listed

    def fetch_pull_request(self, repository: Repository, number: int) -> PullRequest:
        """One pull request."""
        return self._client.pull_request(repository.id, number)

    def fetch_branches(
        self, repository: Repository, *, holding: str = "", odd: ports.TakeOdd | None = None
    ) -> tuple[Branch, ...]:
        """All branches by name, or those whose name holds this text in any case; `ahead` and `commit_records` are left open."""
        listed = self._client.branches(repository.id, holding=holding, odd=odd)
        found = {one.name: one for one in listed if holding.lower() in one.name.lower()}
        return tuple(found[name] for name in sorted(found))

    def fetch_branch(self, repository: Repository, name: str) -> Branch | None:
        """One branch; None when the repository answers and the branch is not there."""
        try:
            return self._client.branch(repository.id, name)
        except errors.Gone:
            # Missing and invisible look alike: only a repository that answers makes it missing (trap 21).
            self._client.repository(repository.id)
            return None

    def fetch_head(self, repository: Repository, head: str, base: str) -> ports.HeadCommits:
        """
        The commits of `head` (branch or hash) that `base` lacks, newest first, at most a hundred.

        Raises:
            Rejected: no base is known, without which the answer would be the whole history; nothing was sent.
        """
        if not base:
            raise errors.Rejected(
                f"the main branch of {repository.slug} is not known; nothing was sent",
                service=SERVICE,
                request="GET commits",
                code="BASE_MISSING",
                next_step="syncd check --live",
            )
        return self._client.commits(repository.id, include=head, exclude=base)

    def fetch_pull_request_commits(self, repository: Repository, number: int) -> ports.HeadCommits:
        """The commits of a pull request, newest first; empty when its source is gone."""
        try:
            return self._client.pull_request_commits(repository.id, number)
        except errors.Gone:
            # 404 also when only the fork is gone (reference/bitbucket.md 7.1): the pull request itself must say so.
            if self._client.pull_request(repository.id, number).source_repository is not None:
                raise
            return ports.HeadCommits(commits=())

    def fetch_builds(self, repository: Repository, commit: str) -> tuple[Build, ...]:
        """All build statuses of a commit (12 or 40 characters), by key."""
        found = {one.key: one for one in self._client.builds(repository.id, commit)}
        return tuple(found[key] for key in sorted(found))

    def fetch_deployments(self, repository: Repository, known: frozenset[str]) -> tuple[Deployment, ...]:
        """Deployments, newest first, back to the first page that holds only finished ones in `known`."""
        found: dict[str, Deployment] = {}
        for page in self._client.deployments(repository.id):
            found.update((one.id, one) for one in page)
            if all(one.id in known and one.state in translate.FINISHED for one in page):
                break
        return tuple(found.values())

    def fetch_is_ancestor(self, repository: Repository, commit: str, head: str) -> bool:
        """
        Whether `commit` is `head` or one of its ancestors: then `head` lacks nothing that `commit` has.

        False also when the repository answers but does not know one of the two, as after a rewritten history.
        """
        try:
            return not self._client.commits(repository.id, include=commit, exclude=head, count=1).commits
        except errors.Gone:
            self._client.repository(repository.id)
            return False

    def fetch_merged_on(self, repository: Repository, number: int) -> datetime | None:
        """When it was merged, from the activity log; None when the log does not say so (yet)."""
        moments: list[datetime] = []
        for page in self._client.activity(repository.id, number):
            moments += [at for at in page if at is not None]
            # Newest first: the merge is behind us as soon as something older than it was seen.
            if moments and page[-1] is None:
                break
        return min(moments, default=None)

    def fetch_edited_on(self, repository: Repository, number: int, attribute: str) -> datetime | None:
        """
        When an attribute got the value it has now: the oldest of the newest updates that all left the same one.

        `updated_on` moves with every approval and comment, so it says nothing here (reference/bitbucket.md 14, trap 12).
        """
        now: str | None = None
        since: datetime | None = None
        for page in self._client.snapshots(repository.id, number):
            for at, left in (entry for entry in page if entry is not None):
                if attribute not in left:
                    return None
                value = canonical_text(str(left[attribute]))
                if now is not None and value != now:
                    return since
                now, since = value, at
        return since

    # --------------------------------------------------------------------------------------------------------- write

    def send_attributes(self, repository: Repository, update: ports.AttributeUpdate) -> PullRequest | ports.Moved:
        """
        Read the pull request, give up when an expected attribute is another or it is not open, else send the complete mutable set.

        What a PUT leaves out may be emptied, reviewers above all (reference/bitbucket.md 7.1, 15): so everything mutable is
        sent, as it was read a moment before. There is no version check; what remains is the time between the two requests.

        Raises:
            Rejected: the service refuses these values; the list of reviewers that it gave itself too, when one of the
                accounts was closed since.
            Unclear: the answer was lost.
        """
        if not update.wanted or set(update.wanted) != set(update.expected) or not set(update.wanted) <= _ATTRIBUTES:
            raise ValueError(f"attributes must be some of {sorted(_ATTRIBUTES)}, the same in expected and wanted")
        number = update.pull_request.number
        now = self._client.pull_request(repository.id, number)
        if not _stands(now, update.expected):
            return ports.Moved(now=now)
        try:
            return self._client.change_pull_request(repository.id, number, _mutable_set(now, update.wanted))
        except errors.Rejected:
            # Closed or edited in the gap looks like a refusal of the values (BB19): another look tells them apart.
            later = self._client.pull_request(repository.id, number)
            if not _stands(later, update.expected):
                return ports.Moved(now=later)
            raise

    def create_branch(self, repository: Repository, name: str, start: str) -> Branch:
        """A branch at the head of the branch `start`. Raises Rejected when the name exists or the start does not."""
        # The server would resolve a name too, but also a tag or a short hash of that spelling.
        origin = self.fetch_branch(repository, start)
        if origin is None:
            raise errors.Rejected(
                f"the start branch {start!r} does not exist; nothing was sent",
                service=SERVICE,
                request="POST refs/branches",
                code="START_MISSING",
                next_step="syncd check --live",
            )
        return self._client.create_branch(repository.id, name, origin.target_commit)

    def create_pull_request(
        self, repository: Repository, *, source: str, destination: str, title: str, description: str, draft: bool
    ) -> PullRequest:
        """Open a pull request. The caller has looked first: for branches that have one, the service rewrites that one."""
        body = {
            "title": title,
            "description": description,
            "source": {"branch": {"name": source}},
            "destination": {"branch": {"name": destination}},
            "draft": draft,
        }
        return self._client.create_pull_request(repository.id, body)

    # --------------------------------------------------------------------------------------------------------- hooks

    def fetch_hooks(self, repository: Repository) -> tuple[ports.HookState, ...]:
        """Every webhook of the repository."""
        return tuple(self._client.hooks(repository.id))

    def create_hook(self, repository: Repository, url: str, events: Sequence[str], secret: str) -> ports.NewHook:
        """
        Register a signed webhook for those of the events that the service still sends.

        Raises:
            Rejected: among others when it sends none of them.
        """
        made = self._client.create_hook(repository.id, self._subscription(url, events, secret))
        return ports.NewHook(hook=made.hook, secret=secret)

    def send_hook(self, repository: Repository, hook: HookId, url: str, events: Sequence[str], secret: str) -> None:
        """Set an existing webhook of ours right: address, events, secret, active."""
        self._client.change_hook(repository.id, translate.hook_id(hook), self._subscription(url, events, secret))

    def send_hook_deletion(self, repository: Repository, hook: HookId) -> None:
        """Remove a webhook of ours; gone already is fine."""
        try:
            self._client.delete_hook(repository.id, translate.hook_id(hook))
        except errors.Gone:
            return

    def _subscription(self, url: str, events: Sequence[str], secret: str) -> dict[str, Any]:
        if not secret:
            raise ValueError("a webhook without a secret is not signed, and its deliveries would all be refused")
        if self._known_events is None:
            # Asked once: an unknown name, like those of the removed issue tracker, fails the whole request.
            self._known_events = frozenset(self._client.hook_events())
        offered = sorted(self._known_events.intersection(events))
        if not offered:
            raise errors.Rejected(
                f"the service sends none of the events {', '.join(sorted(events))}; nothing was sent",
                service=SERVICE,
                request="POST hooks",
                code="NO_SUCH_EVENTS",
                next_step="syncd sources",
            )
        return {
            "description": HOOK_DESCRIPTION,
            "url": url,
            "active": True,
            "events": offered,
            "secret": secret,
            "skip_cert_verification": False,
        }


def _stands(now: PullRequest, expected: Mapping[str, str | bool]) -> bool:
    return now.state == "OPEN" and all(_agrees(now, name, value) for name, value in expected.items())


def _agrees(now: PullRequest, name: str, expected: str | bool) -> bool:
    present = getattr(now, name)
    if isinstance(present, str) and isinstance(expected, str):
        # The service rewrites line ends and blanks (reference/bitbucket.md 6.3); that is nobody's edit.
        return canonical_text(present) == canonical_text(expected)
    return bool(present == expected)


def _mutable_set(now: PullRequest, wanted: Mapping[str, str | bool]) -> dict[str, Any]:
    """The body of a PUT: every mutable attribute as read, with what is wanted in its place."""
    destination = wanted.get("destination_branch", now.destination_branch)
    body: dict[str, Any] = {
        "title": wanted.get("title", now.title),
        "description": wanted.get("description", now.description),
        "reviewers": [{"uuid": reviewer} for reviewer in now.reviewers],
        "close_source_branch": now.close_source_branch,
        "draft": wanted.get("draft", now.draft),
    }
    if destination:
        # Null in some answers (reference/bitbucket.md 6.3); an empty name would be refused.
        body["destination"] = {"branch": {"name": destination}}
    return body
