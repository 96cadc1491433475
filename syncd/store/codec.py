"""
Work and repositories as JSON and back, exactly: for every value of these types `decode(type(x), encode(x)) == x`.

The fields' types say how; a field of a type that is not known here fails at import, not at run time.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from types import UnionType
from typing import Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from syncd.model.ids import PullRequestKey, RepositoryId
from syncd.model.schema import Repository
from syncd.model.work import Branch, Build, Commit, Deployment, PullRequest
from syncd.store import columns

Coded = TypeVar("Coded", PullRequest, Branch, Commit, Build, Deployment, Repository)

_Turn = Callable[[Any], Any]


def encode(value: PullRequest | Branch | Commit | Build | Deployment | Repository) -> str:
    """One line of JSON; equal values give equal lines, so that lines may be compared instead of values."""
    cells = {name: getattr(value, name) for name in _NAMES[type(value)]}
    for name, (write, _) in _TURNS[type(value)]:
        cells[name] = write(cells[name])
    return columns.compact(cells)


def decode(kind: type[Coded], line: str) -> Coded:
    """
    What `encode` wrote. A field that the line lacks takes its default.

    Raises:
        ValueError: the line is not JSON.
        TypeError: a field without default is missing.
    """
    cells = json.loads(line)
    known = {name: cells[name] for name in _NAMES[kind] if name in cells}
    for name, (_, read) in _TURNS[kind]:
        if name in known:
            known[name] = read(known[name])
    return kind(**known)


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _write_key(key: PullRequestKey) -> list[str | int]:
    return [key.repository, key.number]


def _read_key(pair: list[Any]) -> PullRequestKey:
    return PullRequestKey(RepositoryId(pair[0]), pair[1])


def _turn(hint: Any) -> tuple[_Turn, _Turn] | None:
    if isinstance(hint, NewType):
        return _turn(hint.__supertype__)
    if hint in (str, int, bool):
        return None
    if hint is datetime:
        return _utc, datetime.fromisoformat
    if hint is PullRequestKey:
        return _write_key, _read_key
    if get_origin(hint) is tuple and get_args(hint)[1:] == (...,) and _turn(get_args(hint)[0]) is None:
        return list, tuple
    if get_origin(hint) in (Union, UnionType) and get_args(hint)[1:] == (type(None),):
        return _optional(_turn(get_args(hint)[0]))
    raise TypeError(f"the state store cannot write a field of type {hint!r}: teach codec._turn")


def _optional(turn: tuple[_Turn, _Turn] | None) -> tuple[_Turn, _Turn] | None:
    if turn is None:
        return None
    write, read = turn
    return (lambda value: None if value is None else write(value)), (lambda cell: None if cell is None else read(cell))


def _turns_of(kind: type) -> tuple[tuple[str, tuple[_Turn, _Turn]], ...]:
    hints = get_type_hints(kind)
    found = ((name, _turn(hints[name])) for name in _NAMES[kind])
    return tuple((name, turn) for name, turn in found if turn is not None)


_KINDS: tuple[type, ...] = (PullRequest, Branch, Commit, Build, Deployment, Repository)
_NAMES = {kind: tuple(hints) for kind, hints in ((kind, get_type_hints(kind)) for kind in _KINDS)}
# The fields whose JSON form is another, each with how it is written and read.
_TURNS = {kind: _turns_of(kind) for kind in _KINDS}
