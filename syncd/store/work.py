"""
The mirror: work as it was last read, and the evidence that ties each object of it to records.

The mirror is one for all syncs; evidence is each sync's own, because each has its own title prefix.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from syncd.model.event import Dirt, DirtyWork
from syncd.model.ids import RecordId, RepositoryId, SyncName
from syncd.model.schema import Repository
from syncd.model.work import Branch, Build, Commit, Deployment, PullRequest
from syncd.ports import RepositoryView
from syncd.store import codec, columns
from syncd.store.columns import Connection

# Pull requests name their head by this many characters, builds theirs by 40 (reference/bitbucket.md 6.3).
HEAD_CHARACTERS = 12

PULL_REQUEST, BRANCH, DEPLOYMENT = "pr", "branch", "deployment"

# An object of a repository: its kind and its name, "12" of a pull request.
Object = tuple[str, str]
# A record of a sync.
Owned = tuple[SyncName, RecordId]


# ----------------------------------------------------------------------------------------------------- repositories


def load_repositories(db: Connection, ids: Sequence[RepositoryId]) -> tuple[RepositoryView, ...]:
    """As `ports.Store.load_repositories`, ordered by id."""
    rows = db.execute(
        "SELECT body, listed_at, trouble,"
        " (SELECT count(*) FROM dirty_work AS key WHERE key.repository = repository.id AND key.parked = 0),"
        " (SELECT json_group_array(error) FROM"
        "  (SELECT error FROM dirty_work AS key WHERE key.repository = repository.id AND key.parked = 1 ORDER BY error))"
        " FROM repository WHERE id IN (SELECT value FROM json_each(:ids)) ORDER BY id",
        {"ids": columns.array(ids)},
    )
    return tuple(
        RepositoryView(
            repository=codec.decode(Repository, body),
            listed_at=columns.at_or_none(listed_at),
            trouble=trouble,
            unread=unread,
            parked=tuple(json.loads(parked)),
        )
        for body, listed_at, trouble, unread, parked in rows.fetchall()
    )


def save_repository(db: Connection, repository: Repository) -> None:
    """As `ports.Store.save_repository`."""
    db.execute(
        "INSERT INTO repository (id, body) VALUES (:id, :body) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        {"id": repository.id, "body": codec.encode(repository)},
    )


def save_trouble(db: Connection, repository: RepositoryId, trouble: str) -> None:
    """Why it could not be read; "" when it could."""
    db.execute(
        "UPDATE repository SET trouble = :trouble WHERE id = :id",
        {"id": repository, "trouble": columns.text(trouble)},
    )


def save_listed(db: Connection, repository: RepositoryId, listed_at: datetime) -> None:
    """It was read completely, as it was at that moment or later."""
    db.execute(
        "UPDATE repository SET listed_at = :listed_at WHERE id = :id",
        {"id": repository, "listed_at": columns.moment(listed_at)},
    )


# ---------------------------------------------------------------------------------------------------------- saving


@dataclass(slots=True)
class Changed:
    """What of a repository a read changed, collected while it is saved."""

    objects: set[Object] = field(default_factory=set)
    heads: set[str] = field(default_factory=set)
    records: set[Owned] = field(default_factory=set)


def changed_by(work: DirtyWork) -> Changed:
    """What one object is, as if a read had changed it."""
    if work.dirt is Dirt.COMMIT:
        return Changed(heads={head(work.name)})
    return Changed(objects={(PULL_REQUEST if work.dirt is Dirt.PULL_REQUEST else BRANCH, columns.text(work.name))})


def head(commit: str) -> str:
    """The part of a commit's hash that both spellings have."""
    return commit[:HEAD_CHARACTERS]


def save_pull_requests(db: Connection, repository: RepositoryId, read: Sequence[PullRequest], changed: Changed) -> None:
    """Store those that are other than they were."""
    stored = _bodies(db, "pull_request", "number", repository, [one.key.number for one in read])
    rows = []
    for one in read:
        body = codec.encode(one)
        if stored.get(one.key.number) == body:
            continue
        changed.objects.add((PULL_REQUEST, str(one.key.number)))
        # A branch of a fork is not the branch of that name here.
        own = one.source_repository == repository
        rows.append(
            {
                "repository": repository,
                "number": one.key.number,
                "source_branch": columns.text(one.source_branch) if own else "",
                "head": head(one.source_commit),
                "body": body,
            }
        )
    db.executemany(
        "INSERT INTO pull_request (repository, number, source_branch, head, body)"
        " VALUES (:repository, :number, :source_branch, :head, :body)"
        " ON CONFLICT (repository, number) DO UPDATE SET"
        " source_branch = excluded.source_branch, head = excluded.head, body = excluded.body",
        rows,
    )


def save_branches(
    db: Connection,
    repository: RepositoryId,
    read: Sequence[Branch],
    gone: Sequence[str],
    changed: Changed,
    *,
    complete: bool,
) -> None:
    """Store those that are other than they were, and forget those that are gone, their evidence and commits included."""
    names = {columns.text(one.name) for one in read}
    if complete:
        stored = dict(db.execute("SELECT name, body FROM branch WHERE repository = :r", {"r": repository}).fetchall())
        lost = set(stored) - names
    else:
        lost = {columns.text(name) for name in gone} - names
        stored = _bodies(db, "branch", "name", repository, [*names, *lost])
        lost &= set(stored)
    rows = [{"repository": repository, "name": columns.text(one.name), "body": codec.encode(one)} for one in read]
    rows = [row for row in rows if stored.get(row["name"]) != row["body"]]
    changed.objects.update((BRANCH, row["name"]) for row in rows)
    changed.objects.update((BRANCH, name) for name in lost)
    db.executemany(
        "INSERT INTO branch (repository, name, body) VALUES (:repository, :name, :body)"
        " ON CONFLICT (repository, name) DO UPDATE SET body = excluded.body",
        rows,
    )
    if lost:
        changed.records |= _records_by_evidence(db, repository, {(BRANCH, name) for name in lost})
        forgotten = [{"repository": repository, "kind": BRANCH, "name": name} for name in sorted(lost)]
        db.executemany("DELETE FROM branch WHERE repository = :repository AND name = :name", forgotten)
        for table in ("evidence", "linked_commit"):
            db.executemany(
                f"DELETE FROM {table} WHERE repository = :repository AND kind = :kind AND name = :name", forgotten
            )


def save_commits(
    db: Connection, repository: RepositoryId, commits: Mapping[str, Sequence[Commit]], changed: Changed
) -> None:
    """Replace the commits of each of these objects ("pr:12", "branch:name")."""
    if not commits:
        return
    by_object = {object_of(key): some for key, some in commits.items()}
    stored: dict[Object, set[str]] = {}
    for kind, name, hash in db.execute(
        "SELECT c.kind, c.name, c.hash FROM json_each(:objects) AS o CROSS JOIN linked_commit AS c"
        " ON c.repository = :repository AND c.kind = json_extract(o.value, '$[0]') AND c.name = json_extract(o.value, '$[1]')",
        {"repository": repository, "objects": columns.array(sorted(by_object))},
    ).fetchall():
        stored.setdefault((kind, name), set()).add(hash)
    for one, some in sorted(by_object.items()):
        if stored.get(one, set()) == {commit.hash for commit in some}:
            continue
        changed.objects.add(one)
        place = {"repository": repository, "kind": one[0], "name": one[1]}
        db.execute("DELETE FROM linked_commit WHERE repository = :repository AND kind = :kind AND name = :name", place)
        db.executemany(
            "INSERT OR REPLACE INTO linked_commit (repository, kind, name, hash, body)"
            " VALUES (:repository, :kind, :name, :hash, :body)",
            [{**place, "hash": commit.hash, "body": codec.encode(commit)} for commit in some],
        )


def save_builds(
    db: Connection, repository: RepositoryId, builds: Mapping[str, Sequence[Build]], changed: Changed
) -> None:
    """Replace the builds of each of these commits, named by 12 or 40 characters."""
    if not builds:
        return
    stored: dict[str, set[str]] = {}
    for found, body in db.execute(
        "SELECT head, body FROM build WHERE repository = :repository AND head IN (SELECT value FROM json_each(:heads))",
        {"repository": repository, "heads": columns.array(head(commit) for commit in builds)},
    ).fetchall():
        stored.setdefault(found, set()).add(body)
    for commit, read in sorted(builds.items()):
        place = {"repository": repository, "head": head(commit)}
        rows = [{**place, "hash": one.commit, "key": columns.text(one.key), "body": codec.encode(one)} for one in read]
        if stored.get(place["head"], set()) == {row["body"] for row in rows}:
            continue
        changed.heads.add(place["head"])
        db.execute("DELETE FROM build WHERE repository = :repository AND head = :head", place)
        db.executemany(
            "INSERT OR REPLACE INTO build (repository, head, hash, key, body)"
            " VALUES (:repository, :head, :hash, :key, :body)",
            rows,
        )


def save_deployments(db: Connection, repository: RepositoryId, read: Sequence[Deployment], changed: Changed) -> None:
    """Store those that are other than they were."""
    stored = _bodies(db, "deployment", "id", repository, [one.id for one in read])
    rows = [{"repository": repository, "id": one.id, "body": codec.encode(one)} for one in read]
    rows = [row for row in rows if stored.get(row["id"]) != row["body"]]
    changed.objects.update((DEPLOYMENT, row["id"]) for row in rows)
    db.executemany(
        "INSERT INTO deployment (repository, id, body) VALUES (:repository, :id, :body)"
        " ON CONFLICT (repository, id) DO UPDATE SET body = excluded.body",
        rows,
    )


def save_evidence(
    db: Connection,
    repository: RepositoryId,
    links: Mapping[SyncName, Mapping[str, Sequence[RecordId]]],
    changed: Changed,
) -> None:
    """Replace what each of these syncs has as evidence of these objects ("pr:12", "branch:name", "deployment:id")."""
    for sync, of_sync in sorted(links.items()):
        wanted = {object_of(key): frozenset(records) for key, records in of_sync.items()}
        if wanted:
            _replace_evidence(db, repository, sync, wanted, changed)


def _replace_evidence(
    db: Connection,
    repository: RepositoryId,
    sync: SyncName,
    wanted: Mapping[Object, frozenset[RecordId]],
    changed: Changed,
) -> None:
    stored: dict[Object, set[RecordId]] = {}
    for kind, name, record in db.execute(
        "SELECT e.kind, e.name, e.record FROM json_each(:objects) AS o CROSS JOIN evidence AS e"
        " ON e.repository = :repository AND e.kind = json_extract(o.value, '$[0]') AND e.name = json_extract(o.value, '$[1]')"
        " AND e.sync = :sync",
        {"repository": repository, "objects": columns.array(sorted(wanted)), "sync": sync},
    ).fetchall():
        stored.setdefault((kind, name), set()).add(RecordId(record))
    removed, added = [], []
    for one, records in sorted(wanted.items()):
        before = stored.get(one, set())
        place = {"repository": repository, "kind": one[0], "name": one[1], "sync": sync}
        removed += [{**place, "record": columns.text(record)} for record in sorted(before - records)]
        added += [{**place, "record": columns.text(record)} for record in sorted(records - before)]
        if before != records:
            changed.objects.add(one)
            changed.records |= {(sync, record) for record in before | records}
    db.executemany(
        "DELETE FROM evidence WHERE repository = :repository AND kind = :kind AND name = :name AND sync = :sync"
        " AND record = :record",
        removed,
    )
    db.executemany(
        "INSERT INTO evidence (repository, kind, name, sync, record) VALUES (:repository, :kind, :name, :sync, :record)",
        added,
    )


def object_of(key: str) -> Object:
    """The object that a key of `links` names. Raises ValueError for one of no known kind."""
    kind, separator, name = key.partition(":")
    if not separator or kind not in (PULL_REQUEST, BRANCH, DEPLOYMENT):
        raise ValueError(f'{key!r} names no work: expected "pr:12", "branch:name" or "deployment:id"')
    return kind, columns.text(name)


def records_of_changes(
    db: Connection, repository: RepositoryId, changed: Changed
) -> Mapping[SyncName, frozenset[RecordId]]:
    """
    The records of each sync that have any of what changed among their work; a sync without any has no key.

    A branch also belongs to the records of the pull requests it is the source of, a build to those of the pull requests
    whose head it built; a remembered link counts like evidence.
    """
    found = set(changed.records)
    if changed.objects or changed.heads:
        numbers = _numbers_of(db, repository, changed)
        found |= {
            (SyncName(sync), RecordId(record))
            for sync, record in db.execute(
                "SELECT sync, record FROM link"
                " WHERE repository = :repository AND number IN (SELECT value FROM json_each(:numbers))",
                {"repository": repository, "numbers": columns.array(numbers)},
            ).fetchall()
        }
        objects = changed.objects | {(PULL_REQUEST, str(number)) for number in numbers}
        found |= _records_by_evidence(db, repository, objects)
    by_sync: dict[SyncName, set[RecordId]] = {}
    for sync, record in found:
        by_sync.setdefault(sync, set()).add(record)
    return {sync: frozenset(records) for sync, records in sorted(by_sync.items())}


def _numbers_of(db: Connection, repository: RepositoryId, changed: Changed) -> list[int]:
    """The pull requests that changed, or whose source branch or builds did."""
    branches = [name for kind, name in changed.objects if kind == BRANCH]
    rows = db.execute(
        "SELECT number FROM pull_request WHERE repository = :repository AND ("
        " source_branch <> '' AND source_branch IN (SELECT value FROM json_each(:branches))"
        " OR head <> '' AND head IN (SELECT value FROM json_each(:heads)))",
        {"repository": repository, "branches": columns.array(branches), "heads": columns.array(changed.heads)},
    ).fetchall()
    return [*(int(name) for kind, name in changed.objects if kind == PULL_REQUEST), *(number for (number,) in rows)]


def _records_by_evidence(db: Connection, repository: RepositoryId, objects: Iterable[Object]) -> set[Owned]:
    rows = db.execute(
        "SELECT DISTINCT e.sync, e.record FROM json_each(:objects) AS o CROSS JOIN evidence AS e"
        " ON e.repository = :repository AND e.kind = json_extract(o.value, '$[0]') AND e.name = json_extract(o.value, '$[1]')",
        {"repository": repository, "objects": columns.array(sorted(objects))},
    )
    return {(SyncName(sync), RecordId(record)) for sync, record in rows.fetchall()}


def _bodies(db: Connection, table: str, column: str, repository: RepositoryId, keys: Sequence[Any]) -> dict[Any, str]:
    """The stored lines of these objects, by their key."""
    if not keys:
        return {}
    rows = db.execute(
        f"SELECT {column}, body FROM {table}"
        f" WHERE repository = :repository AND {column} IN (SELECT value FROM json_each(:keys))",
        {"repository": repository, "keys": columns.array(keys)},
    )
    return dict(rows.fetchall())


# --------------------------------------------------------------------------------------------------------- loading


def load_pull_requests(
    db: Connection, repository: RepositoryId, numbers: Sequence[int] | None
) -> tuple[PullRequest, ...]:
    """As `ports.Store.load_pull_requests`, by number."""
    some = "" if numbers is None else " AND number IN (SELECT value FROM json_each(:numbers))"
    rows = db.execute(
        f"SELECT body FROM pull_request WHERE repository = :repository{some} ORDER BY number",
        {"repository": repository, "numbers": columns.array(numbers or ())},
    )
    return tuple(codec.decode(PullRequest, body) for (body,) in rows.fetchall())


def load_branches(db: Connection, repository: RepositoryId) -> tuple[Branch, ...]:
    """As `ports.Store.load_branches`, by name."""
    rows = db.execute(
        "SELECT body FROM branch WHERE repository = :repository ORDER BY name", {"repository": repository}
    )
    return tuple(codec.decode(Branch, body) for (body,) in rows.fetchall())


def load_deployments(db: Connection, repository: RepositoryId) -> tuple[Deployment, ...]:
    """As `ports.Store.load_deployments`, by id."""
    rows = db.execute(
        "SELECT body FROM deployment WHERE repository = :repository ORDER BY id", {"repository": repository}
    )
    return tuple(codec.decode(Deployment, body) for (body,) in rows.fetchall())
