"""Static checks of the status machine: declared states, conditions, reach, and steps that could run in a circle."""

from collections.abc import Iterator, Sequence

from syncd import errors
from syncd.spec import locate, nearest, schema
from syncd.spec.document import Document
from syncd.spec.expression import Expression

# Longer circles of automatic steps are not looked for; the plan itself stops every circle (SPEC section 3, Status 3).
CIRCLE_MAX = 6


def check(status: schema.Status, document: Document, path: locate.Path) -> Iterator[errors.Problem]:
    """
    Every problem of one `[sync.x.status]`.

    Args:
        status: the table.
        document: for the places.
        path: key path of the table.
    """
    seen: set[str] = set()
    for index, state in enumerate(status.states):
        if state in seen:
            yield document.problem((*path, "states", index), "each state once")
        seen.add(state)
    if status.initial not in seen:
        yield document.problem((*path, "initial"), _unknown(status, status.initial))
    for index, edge in enumerate(status.transitions):
        yield from _edge(status, edge, document, (*path, "transitions", index))
    reached = _reached(status)
    for index, state in enumerate(status.states):
        if state not in reached:
            expected = f'a path of transitions from "{status.initial}"; only a person can bring a record there, against the rules'
            yield document.problem((*path, "states", index), expected, warning=True)
    for circle in _circles(status):
        names = " → ".join([*(f'"{status.transitions[index].target}"' for index in circle)])
        expected = (
            f"conditions that exclude each other: these automatic steps form a circle through {names}, and a record for which "
            "all of them hold would be held"
        )
        yield document.problem((*path, "transitions", circle[0]), expected, show=False, warning=True)


def _edge(
    status: schema.Status, edge: schema.Transition, document: Document, path: locate.Path
) -> Iterator[errors.Problem]:
    for index, source in enumerate(edge.sources):
        inner = (*path, "from", index)
        place = inner if inner in document.places else (*path, "from")
        if source not in status.states:
            yield document.problem(place, _unknown(status, source))
        elif source == edge.target:
            yield document.problem(place, f'another state than "{edge.target}", which it enters')
    if edge.target not in status.states:
        yield document.problem((*path, "to"), _unknown(status, edge.target))
    if edge.owner == "bitbucket" and edge.when is None:
        yield document.problem((*path, "when"), "a condition: a transition that Bitbucket owns needs one", show=False)


def _unknown(status: schema.Status, state: str) -> str:
    return f"no such state. {nearest.listed('States', state, status.states)}"


def _reached(status: schema.Status) -> set[str]:
    reached = {status.initial}
    while True:
        more = {edge.target for edge in status.transitions if reached & set(edge.sources)} - reached
        if not more:
            return reached
        reached |= more


def _circles(status: schema.Status) -> Iterator[tuple[int, ...]]:
    """Shortest circles of automatic steps, as indices of transitions, whose conditions may all hold at once."""
    automatic = {
        index: edge
        for index, edge in enumerate(status.transitions)
        if edge.owner == "bitbucket" or (edge.owner == "release" and edge.when is not None)
    }
    found: set[frozenset[int]] = set()

    def walk(path: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        here = automatic[path[-1]].target
        if here in automatic[path[0]].sources:
            yield path
        elif len(path) < CIRCLE_MAX:
            for index, edge in automatic.items():
                # A circle is told once, from its first transition on.
                if index > path[0] and index not in path and here in edge.sources:
                    yield from walk((*path, index))

    for start in automatic:
        for circle in walk((start,)):
            members = frozenset(circle)
            if members not in found and not _exclude([automatic[index].when for index in circle]):
                found.add(members)
                yield circle


def _exclude(conditions: Sequence[Expression | None]) -> bool:
    """Whether one condition demands what another one denies: `X` here and `not X` there, joined by `and`."""
    demanded: set[str] = set()
    for condition in conditions:
        if condition is not None:
            demanded |= set(_demands(condition.source))
    return any(f"not {demand}" in demanded for demand in demanded)


def _demands(source: str) -> list[str]:
    """The parts of a condition that are joined by `and` at its top level, blanks evened; all of it with an `or`."""
    parts: list[str] = [""]
    depth, quote = 0, ""
    for word in _words(source):
        if word in ('"', "'") and quote in ("", word):
            quote = "" if quote else word
        if not quote:
            depth += (word in "([{") - (word in ")]}")
        if depth == 0 and not quote and word in ("or", "if"):
            return []
        if depth == 0 and not quote and word == "and":
            parts.append("")
        else:
            parts[-1] += word
    return [" ".join(part.replace(",", ", ").split()) for part in parts]


def _words(source: str) -> Iterator[str]:
    """Words and single characters, blanks kept."""
    word = ""
    for character in source:
        if character.isalnum() or character == "_":
            word += character
            continue
        if word:
            yield word
        word = ""
        yield character
    if word:
        yield word
