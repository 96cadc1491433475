"""
What the journal keeps of a changing request so that its outcome can be looked up, as JSON-ready values and back.

A write travels with its values before and after and with the agreement that it brings about: after a lost answer these
say whether it was done, and what both sides agree on since.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from syncd import ports
from syncd.core import fields
from syncd.model import value
from syncd.model.change import Action, AgreedKey, Cell, CreateBranch, Write
from syncd.model.ids import FieldId, PullRequestKey, RecordId, RepositoryId
from syncd.model.record import Record
from syncd.model.value import Unknown, Value
from syncd.model.work import PullRequest

CREATES = frozenset({"branch", "pull_request"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """
    One write of a request, as it was sent.

    Args:
        place: the field's id, or the attribute's name.
        before: what was there when it was planned; Unknown when that was not readable.
        agrees: the agreed value that it brings about, or None.
    """

    record: RecordId
    place: str
    before: Value | Unknown
    after: Value
    agrees: AgreedKey | None


# ------------------------------------------------------------------------------------------------------ requests


def cells_request(writes: Sequence[Write]) -> Mapping[str, Any]:
    """Of an Airtable batch."""
    return {"writes": [_write(write) for write in writes]}


def attributes_request(key: PullRequestKey, writes: Sequence[Write]) -> Mapping[str, Any]:
    """Of a change of one pull request."""
    return {"pull_request": [key.repository, key.number], "writes": [_write(write) for write in writes]}


def action_request(action: Action) -> Mapping[str, Any]:
    """Of a new branch or pull request."""
    request: dict[str, Any] = {"record": action.record, "rule": action.rule, "repository": action.repository}
    if isinstance(action, CreateBranch):
        return {**request, "name": action.name}
    return {**request, "source": action.source, "destination": action.destination}


def dump(found: Value | Unknown) -> str:
    """A value as the journal keeps it: whole, or `"unknown"`."""
    return '"unknown"' if isinstance(found, Unknown) else value.dump(found, whole=True)


def _write(write: Write) -> dict[str, Any]:
    target, agrees = write.target, write.agrees
    found: dict[str, Any] = {
        "record": write.record,
        "place": target.field if isinstance(target, Cell) else target.name,
        # Only compared with, so that a long text's hash is enough; the agreed value is worked out from `after`.
        "before": '"unknown"' if isinstance(write.before, Unknown) else value.dump(write.before),
        "after": value.dump(write.after, whole=True),
    }
    if agrees is not None:
        shared = agrees.pull_request
        found["agrees"] = [agrees.field, *([shared.repository, shared.number] if shared is not None else [])]
    return found


# -------------------------------------------------------------------------------------------------------- and back


def writes_of(operation: ports.Operation) -> tuple[Sent, ...]:
    """The writes that travel in an operation; none in one that makes something."""
    return tuple(_sent(one) for one in operation.request.get("writes", ()))


def _sent(one: Mapping[str, Any]) -> Sent:
    agrees = one.get("agrees")
    return Sent(
        record=RecordId(one["record"]),
        place=one["place"],
        before=value.UNKNOWN if one["before"] == '"unknown"' else value.parse(one["before"]),
        after=value.parse(one["after"]),
        agrees=None if agrees is None else AgreedKey(FieldId(agrees[0]), _key(agrees[1:]) if agrees[1:] else None),
    )


def _key(pair: Sequence[Any]) -> PullRequestKey:
    return PullRequestKey(RepositoryId(pair[0]), int(pair[1]))


def records_of(operation: ports.Operation) -> tuple[RecordId, ...]:
    """The records whose changes travel in an operation."""
    if operation.kind in CREATES:
        return (RecordId(operation.request["record"]),)
    return tuple(sorted({one.record for one in writes_of(operation)}))


def pull_request_of(operation: ports.Operation) -> PullRequestKey:
    """The pull request that an operation on attributes changes."""
    return _key(operation.request["pull_request"])


def repository_of(operation: ports.Operation) -> RepositoryId | None:
    """The repository that an operation was sent to; None for one to Airtable."""
    match operation.kind:
        case "cells":
            return None
        case "attributes":
            return pull_request_of(operation).repository
        case _:
            return RepositoryId(operation.request["repository"])


# ----------------------------------------------------------------------------------------- one place of an answer


def raw_attribute(name: str, wanted: Value | Unknown) -> str | bool:
    """A value as a pull request's attribute takes it: text or truth. A draft that is none reads `NOTHING`."""
    assert not isinstance(wanted, Unknown)  # an attribute that was not read is not planned
    plain = value.plain(wanted)
    if name == "draft":
        return plain is True
    return "" if plain is None else str(plain)


def held(sent: Sent, answer: Record | PullRequest) -> Value | Unknown:
    """What the place of a write holds in something that was read."""
    if isinstance(answer, Record):
        return answer.cells.get(FieldId(sent.place), value.NOTHING)
    return fields.present(answer, sent.place)


def done(sent: Sent, answer: Record | PullRequest) -> Record | PullRequest:
    """Something that was read, as it was when the write was just done."""
    if held(sent, answer) == sent.after:
        return answer
    if isinstance(answer, Record):
        return replace(answer, cells={**answer.cells, FieldId(sent.place): sent.after})
    raw = raw_attribute(sent.place, sent.after)
    match sent.place:
        case "title":
            return replace(answer, title=str(raw))
        case "description":
            return replace(answer, description=str(raw))
        case "destination_branch":
            return replace(answer, destination_branch=str(raw))
        case "draft":
            return replace(answer, draft=raw is True)
    raise ValueError(f"{sent.place!r} is no attribute that is written")
