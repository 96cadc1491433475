"""The work of records: found by evidence and remembered links, read from the mirror in a few statements for any number of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from syncd.model.event import Dirt
from syncd.model.ids import PullRequestKey, RecordId, RepositoryId, SyncName
from syncd.model.work import Branch, Build, Commit, Deployment, PullRequest
from syncd.ports import LinkedWork
from syncd.store import codec, columns, work
from syncd.store.columns import Connection

# An object with its repository.
Place = tuple[str, str, str]

_OBJECTS = """
SELECT record, repository, kind, name FROM evidence
WHERE sync = :sync AND record IN (SELECT value FROM json_each(:records))
  AND repository IN (SELECT value FROM json_each(:repositories))
UNION
SELECT record, repository, 'pr', CAST(number AS TEXT) FROM link
WHERE sync = :sync AND record IN (SELECT value FROM json_each(:records))
  AND repository IN (SELECT value FROM json_each(:repositories))
"""
_PULL_REQUESTS = """
SELECT p.body FROM json_each(:places) AS o CROSS JOIN pull_request AS p
ON p.repository = json_extract(o.value, '$[0]') AND p.number = CAST(json_extract(o.value, '$[2]') AS INTEGER)
"""
_BRANCHES = """
SELECT b.body FROM json_each(:places) AS o CROSS JOIN branch AS b
ON b.repository = json_extract(o.value, '$[0]') AND b.name = json_extract(o.value, '$[2]')
"""
_DEPLOYMENTS = """
SELECT d.body FROM json_each(:places) AS o CROSS JOIN deployment AS d
ON d.repository = json_extract(o.value, '$[0]') AND d.id = json_extract(o.value, '$[2]')
"""
_COMMITS = """
SELECT c.repository, c.kind, c.name, c.body FROM json_each(:places) AS o CROSS JOIN linked_commit AS c
ON c.repository = json_extract(o.value, '$[0]') AND c.kind = json_extract(o.value, '$[1]')
  AND c.name = json_extract(o.value, '$[2]')
"""
_BUILDS = """
SELECT b.repository, b.head, b.body FROM json_each(:heads) AS o CROSS JOIN build AS b
ON b.repository = json_extract(o.value, '$[0]') AND b.head = json_extract(o.value, '$[1]')
"""
_RECORDS_OF = """
SELECT e.repository, e.name, e.record FROM json_each(:places) AS o CROSS JOIN evidence AS e
ON e.repository = json_extract(o.value, '$[0]') AND e.kind = 'pr' AND e.name = json_extract(o.value, '$[2]')
  AND e.sync = :sync
UNION
SELECT l.repository, CAST(l.number AS TEXT), l.record FROM json_each(:places) AS o CROSS JOIN link AS l
ON l.repository = json_extract(o.value, '$[0]') AND l.number = CAST(json_extract(o.value, '$[2]') AS INTEGER)
WHERE l.sync = :sync
"""


def load(
    db: Connection, sync: SyncName, records: Sequence[RecordId], repositories: Sequence[RepositoryId]
) -> Mapping[RecordId, LinkedWork]:
    """As `ports.Store.load_work`: eight statements, however many records."""
    places_of: dict[RecordId, set[Place]] = {record: set() for record in records}
    for record, *place in db.execute(
        _OBJECTS,
        {"sync": sync, "records": columns.array(records), "repositories": columns.array(repositories)},
    ).fetchall():
        places_of[RecordId(record)].add((place[0], place[1], place[2]))
    everything = sorted(set[Place]().union(*places_of.values()))
    if not everything:
        return {record: LinkedWork() for record in records}
    mirror = _read_mirror(db, sync, everything, _parked(db, repositories))
    return {record: mirror.work_of(places) for record, places in places_of.items()}


@dataclass(frozen=True, slots=True)
class _Mirror:
    """All work of some records together, each object once."""

    pull_requests: Mapping[Place, PullRequest]
    branches: Mapping[Place, Branch]
    deployments: Mapping[Place, Deployment]
    commits: Mapping[Place, Sequence[Commit]]
    builds: Mapping[tuple[str, str], Sequence[Build]]
    records_of: Mapping[Place, Sequence[RecordId]]
    parked: Mapping[Place, str]

    def work_of(self, places: Iterable[Place]) -> LinkedWork:
        """The work of one record, newest first within each list."""
        direct = set(places)
        pull_requests = {place: self.pull_requests[place] for place in direct if place in self.pull_requests}
        whole = direct | {source for one in pull_requests.values() if (source := source_of(one)) is not None}
        heads = {
            (one.key.repository, work.head(one.source_commit)) for one in pull_requests.values() if has_builds(one)
        }
        commits = {(one.repository, one.hash): one for place in whole for one in self.commits.get(place, ())}
        builds = [one for where in heads for one in self.builds.get(where, ())]
        branches = [self.branches[place] for place in whole if place in self.branches]
        deployments = [self.deployments[place] for place in direct if place in self.deployments]
        named = whole | {(repository, Dirt.COMMIT.value, head) for repository, head in heads}
        return LinkedWork(
            unread="; ".join(sorted(self.parked[place] for place in named if place in self.parked)),
            branches=tuple(sorted(branches, key=lambda one: (one.target_on, one.repository, one.name), reverse=True)),
            pull_requests=tuple(
                sorted(pull_requests.values(), key=lambda one: (one.created_on, one.key), reverse=True)
            ),
            commits=tuple(sorted(commits.values(), key=lambda one: (one.date, one.repository, one.hash), reverse=True)),
            builds=tuple(
                sorted(builds, key=lambda one: (one.updated_on, one.repository, one.key, one.commit), reverse=True)
            ),
            deployments=tuple(sorted(deployments, key=_deployment_age, reverse=True)),
            records_of={
                one.key: tuple(sorted(self.records_of.get(place, ()))) for place, one in sorted(pull_requests.items())
            },
        )


def _deployment_age(one: Deployment) -> tuple[bool, float, str, str]:
    # What is still under way is newer than what has ended.
    ended = one.completed_on
    return ended is None, 0.0 if ended is None else ended.timestamp(), one.repository, one.id


def source_of(one: PullRequest) -> Place | None:
    """The branch that a pull request comes from, when it lies in the same repository."""
    if one.source_repository != one.key.repository or not one.source_branch:
        return None
    return one.key.repository, work.BRANCH, columns.text(one.source_branch)


def has_builds(one: PullRequest) -> bool:
    """Builds are those of the heads of open and merged pull requests (SPEC "Membership")."""
    return bool(one.source_commit) and one.state in ("OPEN", "MERGED")


def _parked(db: Connection, repositories: Sequence[RepositoryId]) -> Mapping[Place, str]:
    """Why these objects cannot be read; builds by the head they are of."""
    rows = db.execute(
        "SELECT repository, dirt, name, error FROM dirty_work"
        " WHERE parked = 1 AND repository IN (SELECT value FROM json_each(:repositories))",
        {"repositories": columns.array(repositories)},
    )
    kinds = {Dirt.PULL_REQUEST.value: work.PULL_REQUEST, Dirt.BRANCH.value: work.BRANCH}
    return {
        (repository, kinds[dirt], name) if dirt in kinds else (repository, dirt, work.head(name)): error
        for repository, dirt, name, error in rows.fetchall()
    }


def _read_mirror(db: Connection, sync: SyncName, places: Sequence[Place], parked: Mapping[Place, str]) -> _Mirror:
    of_kind = {
        kind: [place for place in places if place[1] == kind]
        for kind in (work.PULL_REQUEST, work.BRANCH, work.DEPLOYMENT)
    }
    asked = {"sync": sync, "places": columns.array(of_kind[work.PULL_REQUEST])}
    read = [codec.decode(PullRequest, body) for (body,) in db.execute(_PULL_REQUESTS, asked).fetchall()]
    records_of: dict[Place, list[RecordId]] = {}
    for repository, name, record in db.execute(_RECORDS_OF, asked).fetchall():
        records_of.setdefault((repository, work.PULL_REQUEST, name), []).append(RecordId(record))
    sources = {source for one in read if (source := source_of(one)) is not None}
    named = sorted({*of_kind[work.BRANCH], *sources})
    branches = [
        codec.decode(Branch, body) for (body,) in db.execute(_BRANCHES, {"places": columns.array(named)}).fetchall()
    ]
    commits: dict[Place, list[Commit]] = {}
    asked = {"places": columns.array([*of_kind[work.PULL_REQUEST], *named])}
    for repository, kind, name, body in db.execute(_COMMITS, asked).fetchall():
        commits.setdefault((repository, kind, name), []).append(codec.decode(Commit, body))
    heads = sorted({(one.key.repository, work.head(one.source_commit)) for one in read if has_builds(one)})
    builds: dict[tuple[str, str], list[Build]] = {}
    for repository, found, body in db.execute(_BUILDS, {"heads": columns.array(heads)}).fetchall():
        builds.setdefault((repository, found), []).append(codec.decode(Build, body))
    asked = {"places": columns.array(of_kind[work.DEPLOYMENT])}
    deployments = [codec.decode(Deployment, body) for (body,) in db.execute(_DEPLOYMENTS, asked).fetchall()]
    return _Mirror(
        pull_requests={_pull_request_place(one.key): one for one in read},
        branches={(one.repository, work.BRANCH, columns.text(one.name)): one for one in branches},
        deployments={(one.repository, work.DEPLOYMENT, columns.text(one.id)): one for one in deployments},
        commits=commits,
        builds=builds,
        records_of=records_of,
        parked=parked,
    )


def _pull_request_place(key: PullRequestKey) -> Place:
    return key.repository, work.PULL_REQUEST, str(key.number)
