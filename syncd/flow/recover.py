"""
After a crash, and after a lost answer: find out by looking what became of each operation. Nothing is sent again here.

An operation that never left the journal was not sent. One that was sent is looked up: cells and attributes by their
values, a branch by the record id in its name, a pull request by its branches. What was not done is planned anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd import errors, log, ports
from syncd.core import action as actions
from syncd.core import fields, link
from syncd.flow import operation
from syncd.flow.context import Context
from syncd.model.change import Agreement
from syncd.model.event import Dirt, DirtyWork
from syncd.model.ids import RecordId, RepositoryId
from syncd.model.outcome import Result
from syncd.model.record import Record
from syncd.model.situation import Made
from syncd.model.value import Unknown
from syncd.model.work import Branch, PullRequest

_log = log.logger("flow.recover")

# An unclear outcome is looked up after these waits (reliability.md "Creates that survive crashes and lost replies").
LOOK_AFTER = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 5, 15, 60))


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
    for one in left:
        records.update(operation.records_of(one))
        if one.state == "planned":
            error = "the daemon ended before it was sent"
            ended.append(ports.Ended(operation=one.id, result=Result.RETRY, at=now, error=error))
        elif one.state == "sent":
            error = "the daemon ended before the answer came"
            ended.append(ports.Ended(operation=one.id, result=Result.UNKNOWN, at=now, error=error))
        if one.state != "planned" and one.kind in operation.CREATES:
            commits.append(_intent(one, Made(rule=one.request["rule"], object="", intended=True), now))
    if ended:
        context.store.commit(context.name, commits, ended, now)
        context.store.mark_records(context.name, sorted(records), ports.Lane.RETRY, now, now)
    return len(left)


def _intent(one: ports.Operation, made: Made, now: datetime) -> ports.RecordCommit:
    (record,) = operation.records_of(one)
    return ports.RecordCommit(record=record, done=None, state=None, made=(made,), again_at=now)


def unanswered(context: Context) -> frozenset[RecordId]:
    """
    The records of which the outcome of a write is not known yet.

    They are not planned before it was looked up: our own write would be taken for a person's edit (I08, I12).
    """
    return frozenset(
        record
        for one in context.store.load_unfinished(context.name)
        if one.state in {"sent", Result.UNKNOWN.value} and one.kind not in operation.CREATES
        for record in operation.records_of(one)
    )


def resolve(context: Context, now: datetime) -> datetime | None:
    """
    Look up every operation whose outcome is unknown and whose time has come.

    Returns:
        When to look again; None when nothing is open.

    Raises:
        ServiceError: a service could not be asked about one of them; all others were looked up.
    """
    again: list[datetime] = []
    failed: errors.ServiceError | None = None
    for one in context.store.load_unfinished(context.name):
        if one.state != Result.UNKNOWN.value:
            continue
        # From the last look on, not from the sending: an answer that was waited for in vain must not use the waits up.
        since, wait = one.looked_at or one.sent_at or one.at, LOOK_AFTER[min(one.attempts, len(LOOK_AFTER) - 1)]
        # A clock that was set back since then does not put the look off (CL02).
        if timedelta(0) <= now - since < wait:
            again.append(since + wait)
            continue
        try:
            following = _resolve(context, one, now)
        except errors.ServiceError as error:
            _log.warning("write.unclear", operation=one.id, kind=one.kind, reason=error.message)
            failed = failed or error
            continue
        if following is not None:
            again.append(following)
    if failed is not None:
        raise failed
    return min(again, default=None)


def _resolve(context: Context, one: ports.Operation, now: datetime) -> datetime | None:
    """Look once. Returns when to look again, None when it is settled."""
    if operation.repository_of(one) not in (None, *context.repository_ids):
        # Nothing is to be read there any more, and nothing of it is planned.
        _settle(context, one, _Found(error="the spec does not name its repository any more"), now)
        return None
    last = one.attempts + 1 >= len(LOOK_AFTER)
    if one.kind not in operation.CREATES:
        found = _look_at_writes(context, one, last=last)
    else:
        found = _look_for(context, one)
    # A create that is not there yet may still appear (BB04, BB27): only the last empty answer counts.
    if found is None or (not found.object and one.kind in operation.CREATES and not last):
        context.store.save_looked(one.id, now)
        return now + LOOK_AFTER[min(one.attempts + 1, len(LOOK_AFTER) - 1)]
    _settle(context, one, found, now)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """
    What a look came to.

    Args:
        error: for the journal, of every record.
        done: it was done, or may have been.
        object: of a create: what was made.
        agreements: what both sides agree on since, by record.
        others: records of which a place holds something else than our value now.
    """

    error: str
    done: bool = False
    object: str = ""
    agreements: tuple[tuple[RecordId, Agreement], ...] = ()
    others: frozenset[RecordId] = frozenset()


def _settle(context: Context, one: ports.Operation, found: _Found, now: datetime) -> None:
    result = Result.APPLIED if found.done else Result.RETRY
    records = operation.records_of(one)
    if one.kind in operation.CREATES:
        # Nothing made: forget the intent, so that the rule may make it.
        commits = [_intent(one, Made(rule=one.request["rule"], object=found.object), now)]
    else:
        commits = [
            ports.RecordCommit(
                record=record,
                done=None,
                state=None,
                # What was done is planned on at once; what was not keeps the wait of its failed try, unless that is long.
                again_at=now if found.done else now + LOOK_AFTER[-1],
                agreements=tuple(agreed for whose, agreed in found.agreements if whose == record),
            )
            for record in records
        ]
    ended = [
        ports.Ended(
            operation=one.id,
            result=result,
            at=now,
            record=record,
            error=found.error + ("; something was changed since" if record in found.others else ""),
        )
        for record in records
    ]
    if (touched := _touched(one, found)) is not None:
        context.store.mark_work([(touched, None)], now, now)
    context.store.commit(context.name, commits, ended, now)
    _log.info("write.resolved", operation=one.id, kind=one.kind, result=result.value)


def _touched(one: ports.Operation, found: _Found) -> DirtyWork | None:
    """What the operation made or changed in Bitbucket: the mirror does not have it, because its answer was lost."""
    repository = operation.repository_of(one)
    if not found.done or repository is None:
        return None
    match one.kind:
        case "attributes":
            number = operation.pull_request_of(one).number
            return DirtyWork(repository=repository, dirt=Dirt.PULL_REQUEST, name=str(number))
        case "branch":
            return DirtyWork(repository=repository, dirt=Dirt.BRANCH, name=found.object.removeprefix(f"{repository}:"))
        case _:
            return DirtyWork(repository=repository, dirt=Dirt.PULL_REQUEST, name=found.object.rpartition("#")[2])


# ------------------------------------------------------------------------------------------------------- creates


def find_branch(context: Context, repository: RepositoryId, record: RecordId) -> Branch | None:
    """A branch for the record: by its id, never by full name, so that one that a person made is the record's branch too."""
    found = context.changelog.fetch_branches(context.repository(repository), holding=record)
    return found[0] if found else None


def find_pull_request(context: Context, repository: RepositoryId, source: str) -> PullRequest | None:
    """
    The newest pull request from this branch, in any state, into whichever branch.

    A fork's branch may have the same name: its pull request is another person's work unless the spec lets forks link (BB23).
    """
    found = context.changelog.fetch_pull_requests(context.repository(repository), None, source=source)
    own = [one for one in found if context.sync.link.forks or not link.is_fork(one)]
    return max(own, key=lambda one: one.created_on, default=None)


def _look_for(context: Context, one: ports.Operation) -> _Found:
    request = one.request
    repository = RepositoryId(request["repository"])
    object = ""
    if one.kind == "branch":
        branch = find_branch(context, repository, RecordId(request["record"]))
        object = actions.object_of_branch(repository, branch.name) if branch is not None else ""
    else:
        pull_request = find_pull_request(context, repository, request["source"])
        object = actions.object_of_pull_request(pull_request.key) if pull_request is not None else ""
    return _Found(
        error="looked up: it was found" if object else "looked up: it was not done", done=bool(object), object=object
    )


# -------------------------------------------------------------------------------------------------------- writes


def _look_at_writes(context: Context, one: ports.Operation, *, last: bool) -> _Found | None:
    """
    Compare what is there with what was sent and with what was there before. None: not to be told yet.

    A request is carried out whole or not at all, so that one place tells of all: what holds our value proves that it was
    done; what holds the value before, that it was not. When everything holds something else it may have been done, and
    is taken for done: whatever came later is judged against it.
    """
    try:
        answers = _read(context, one)
    except errors.Gone:
        # Missing or invisible: nothing there can be planned either, and it is not waited for for ever.
        return _Found(error="looked up: it cannot be found") if last else None
    writes = operation.writes_of(one)
    held = [
        (sent, answers[sent.record], operation.held(sent, answers[sent.record]))
        for sent in writes
        if sent.record in answers
    ]
    after = any(now == sent.after for sent, _, now in held)
    before = any(now == sent.before for sent, _, now in held if not isinstance(now, Unknown))
    if not held or (before and not after):
        return _Found(error="looked up: it was not done")
    agreements = []
    for sent, answer, _ in held:
        value = (
            None if sent.agrees is None else fields.agreed_by(sent.agrees, context.sync, operation.done(sent, answer))
        )
        if sent.agrees is not None and value is not None:
            agreements.append((sent.record, Agreement(key=sent.agrees, value=value)))
    return _Found(
        error="looked up: it was done" if after else "looked up: it may have been done",
        done=True,
        agreements=tuple(agreements),
        others=frozenset(sent.record for sent, _, now in held if now != sent.after),
    )


def _read(context: Context, one: ports.Operation) -> Mapping[RecordId, Record | PullRequest]:
    """What each record's writes went to, as it is now; a record that is not there has no key."""
    records = operation.records_of(one)
    if one.kind == "cells":
        return context.catalogue.fetch_records(context.sync.table, context.sync.view, context.fields(), records)
    key = operation.pull_request_of(one)
    return dict.fromkeys(records, context.changelog.fetch_pull_request(context.repository(key.repository), key.number))
