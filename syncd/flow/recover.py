"""
After a crash, and after a lost answer: find out by looking what became of each operation. Nothing is sent again here.

An operation that never left the journal was not sent. One that was sent is looked up: cells and attributes by their
values, a branch by the record id in its name, a pull request by its branches. What was not done is planned anew.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from syncd import errors, log, ports
from syncd.core import action as actions
from syncd.flow import apply
from syncd.flow.context import Context
from syncd.model import value
from syncd.model.event import Dirt, DirtyWork
from syncd.model.ids import FieldId, PullRequestKey, RecordId, RepositoryId
from syncd.model.outcome import Result
from syncd.model.situation import Made

_log = log.logger("flow.recover")

CREATES = frozenset({"branch", "pull_request"})


def begin(context: Context, now: datetime) -> int:
    """
    At start: end what was planned and never sent, and call unknown what was sent and never answered.

    Returns:
        How many operations the last process left open.
    """
    left = context.store.load_unfinished(context.name)
    ended: list[ports.Ended] = []
    commits: list[ports.RecordCommit] = []
    records: set[RecordId] = set()
    for operation in left:
        records.update(records_of(operation))
        if operation.state == "planned":
            error = "the daemon ended before it was sent"
            ended.append(ports.Ended(operation=operation.id, result=Result.RETRY, at=now, error=error))
        elif operation.state == "sent":
            error = "the daemon ended before the answer came"
            ended.append(ports.Ended(operation=operation.id, result=Result.UNKNOWN, at=now, error=error))
        if operation.state != "planned" and operation.kind in CREATES:
            commits.append(_intent(operation, Made(rule=operation.request["rule"], object="", intended=True), now))
    if ended:
        context.store.commit(context.name, commits, ended, now)
        context.store.mark_records(context.name, sorted(records), ports.Lane.RETRY, now, now)
    return len(left)


def _intent(operation: ports.Operation, made: Made, now: datetime) -> ports.RecordCommit:
    (record,) = records_of(operation)
    return ports.RecordCommit(record=record, done=None, state=None, made=(made,), again_at=now)


def resolve(context: Context, now: datetime) -> datetime | None:
    """
    Look up every operation whose outcome is unknown and whose time has come.

    Returns:
        When to look again; None when nothing is open.
    """
    again: list[datetime] = []
    for operation in context.store.load_unfinished(context.name):
        if operation.state != Result.UNKNOWN.value:
            continue
        wait = apply.LOOK_AFTER[min(operation.attempts, len(apply.LOOK_AFTER) - 1)]
        due = operation.at + wait
        if due > now:
            again.append(due)
            continue
        if _repository(operation) not in (None, *context.repository_ids):
            # The spec does not name it any more: nothing is to be read there, and nothing of it is planned.
            _settle(context, operation, "", now)
            continue
        try:
            found = _look(context, operation)
        except errors.ServiceError as error:
            _log.warning("write.unclear", operation=operation.id, kind=operation.kind, reason=error.message)
            again.append(now + apply.LOOK_AFTER[-1])
            continue
        # A create that is not there yet may still appear (BB04, BB27): only the last empty answer counts.
        if not found and operation.kind in CREATES and operation.attempts + 1 < len(apply.LOOK_AFTER):
            context.store.save_looked(operation.id)
            again.append(now + apply.LOOK_AFTER[operation.attempts + 1])
            continue
        _settle(context, operation, found, now)
    return min(again, default=None)


def records_of(operation: ports.Operation) -> tuple[RecordId, ...]:
    """The records whose changes travel in an operation."""
    match operation.kind:
        case "cells":
            return tuple(RecordId(record) for record in operation.request["cells"])
        case "attributes":
            return tuple(RecordId(record) for record in operation.request.get("records", ()))
        case _:
            return (RecordId(operation.request["record"]),)


def _settle(context: Context, operation: ports.Operation, found: str, now: datetime) -> None:
    result = Result.APPLIED if found else Result.RETRY
    ended = ports.Ended(
        operation=operation.id,
        result=result,
        at=now,
        error="" if found else "looked up: it was not done",
    )
    commits = []
    if operation.kind in CREATES:
        # Nothing made: forget the intent, so that the rule may make it.
        commits.append(_intent(operation, Made(rule=operation.request["rule"], object=found), now))
    if (touched := _touched(operation, found)) is not None:
        context.store.mark_work([(touched, None)], now, now)
    context.store.mark_records(context.name, records_of(operation), ports.Lane.RETRY, now, now)
    context.store.commit(context.name, commits, (ended,), now)
    _log.info("write.resolved", operation=operation.id, kind=operation.kind, result=result.value)


def _repository(operation: ports.Operation) -> RepositoryId | None:
    """The repository that an operation was sent to; None for one to Airtable."""
    match operation.kind:
        case "cells":
            return None
        case "attributes":
            return RepositoryId(operation.request["pull_request"][0])
        case _:
            return RepositoryId(operation.request["repository"])


def _touched(operation: ports.Operation, found: str) -> DirtyWork | None:
    """What the operation made or changed in Bitbucket: the mirror does not have it, because its answer was lost."""
    repository = _repository(operation)
    if not found or repository is None:
        return None
    match operation.kind:
        case "attributes":
            number = operation.request["pull_request"][1]
            return DirtyWork(repository=repository, dirt=Dirt.PULL_REQUEST, name=str(number))
        case "branch":
            return DirtyWork(repository=repository, dirt=Dirt.BRANCH, name=found.removeprefix(f"{repository}:"))
        case _:
            return DirtyWork(repository=repository, dirt=Dirt.PULL_REQUEST, name=found.rpartition("#")[2])


def _look(context: Context, operation: ports.Operation) -> str:
    """What the operation brought about, as text; "" when it did not."""
    request = operation.request
    match operation.kind:
        case "cells":
            return _look_at_cells(context, request)
        case "attributes":
            return _look_at_attributes(context, request)
        case "branch":
            repository = context.repository(RepositoryId(request["repository"]))
            branches = context.changelog.fetch_branches(repository, holding=request["record"])
            return actions.object_of_branch(repository.id, branches[0].name) if branches else ""
        case "pull_request":
            repository = context.repository(RepositoryId(request["repository"]))
            made = context.changelog.fetch_pull_requests(repository, None, source=request["source"])
            newest = max(made, key=lambda one: one.created_on, default=None)
            return actions.object_of_pull_request(newest.key) if newest is not None else ""
    raise ValueError(f"operation {operation.id} is of the unknown kind {operation.kind!r}")


def _look_at_cells(context: Context, request: Mapping[str, Any]) -> str:
    ids = [RecordId(record) for record in request["cells"]]
    now = context.catalogue.fetch_records(context.sync.table, context.sync.view, context.fields(), ids)
    for id in ids:
        record = now.get(id)
        if record is None:
            return ""
        for field, line in request["cells"][id].items():
            if record.cells.get(FieldId(field), value.NOTHING) != value.parse(line):
                return ""
    return "all cells hold what was sent"


def _look_at_attributes(context: Context, request: Mapping[str, Any]) -> str:
    repository_id, number = request["pull_request"]
    key = PullRequestKey(RepositoryId(repository_id), int(number))
    read = context.changelog.fetch_pull_request(context.repository(key.repository), key.number)
    for name, wanted in request["wanted"].items():
        held = apply.attribute_of(read, name)
        same = value.text(held) == value.text(wanted) if isinstance(held, str) else held == wanted
        if not same:
            return ""
    return "all attributes hold what was sent"
