"""Static checks of the status machine: declared states, conditions, reach, and steps that could run in a circle."""

from collections.abc import Iterator, Mapping, Sequence

from syncd import errors
from syncd.spec import locate, nearest, schema
from syncd.spec.document import Document

# With more automatic steps circles are not looked for; the plan itself stops every circle (SPEC section 3, Status 3).
AUTOMATIC_MAX = 200


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
        yield from _edge(status, edge, seen, document, (*path, "transitions", index))
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
    status: schema.Status, edge: schema.Transition, states: set[str], document: Document, path: locate.Path
) -> Iterator[errors.Problem]:
    for index, source in enumerate(edge.sources):
        inner = (*path, "from", index)
        place = inner if inner in document.places else (*path, "from")
        if source not in states:
            yield document.problem(place, _unknown(status, source))
        elif source == edge.target:
            yield document.problem(place, f'another state than "{edge.target}", which it enters')
    if edge.target not in states:
        yield document.problem((*path, "to"), _unknown(status, edge.target))
    if edge.owner == "bitbucket" and edge.when is None:
        yield document.problem((*path, "when"), "a condition: a transition that Bitbucket owns needs one", show=False)


def _unknown(status: schema.Status, state: str) -> str:
    return f"no such state. {nearest.listed('States', state, status.states)}"


def _reached(status: schema.Status) -> set[str]:
    after: dict[str, set[str]] = {}
    for edge in status.transitions:
        for source in edge.sources:
            after.setdefault(source, set()).add(edge.target)
    reached = {status.initial}
    ahead = [status.initial]
    while ahead:
        more = after.get(ahead.pop(), set()) - reached
        reached |= more
        ahead += more
    return reached


def _circles(status: schema.Status) -> Iterator[tuple[int, ...]]:
    """From each automatic step the shortest circle whose conditions may all hold at once, as indices of transitions."""
    automatic = {
        index: edge
        for index, edge in enumerate(status.transitions)
        if edge.owner == "bitbucket" or (edge.owner == "release" and edge.when is not None)
    }
    if len(automatic) > AUTOMATIC_MAX:
        return
    demands = {index: _demands(edge.when.source) for index, edge in automatic.items() if edge.when is not None}
    follows = {
        index: [
            other
            for other, after in automatic.items()
            if edge.target in after.sources and not _exclude((index, other), demands)
        ]
        for index, edge in automatic.items()
    }
    told: set[frozenset[int]] = set()
    for start in automatic:
        circle = _shortest(start, follows)
        if circle and frozenset(circle) not in told and not _exclude(circle, demands):
            told.add(frozenset(circle))
            yield circle


def _shortest(start: int, follows: Mapping[int, Sequence[int]]) -> tuple[int, ...]:
    """The shortest way from a step back to it; () when there is none."""
    came_from: dict[int, int] = {}
    ahead = [start]
    while ahead:
        here = ahead.pop(0)
        for after in follows[here]:
            if after == start:
                way = [here]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return tuple(reversed(way))
            if after not in came_from:
                came_from[after] = here
                ahead.append(after)
    return ()


def _exclude(circle: Sequence[int], demands: Mapping[int, frozenset[str]]) -> bool:
    """Whether one condition demands what another one denies: `X` here and `not X` there, joined by `and`."""
    all_of_them = frozenset[str]().union(*(demands.get(index, frozenset()) for index in circle))
    return any(f"not {demand}" in all_of_them for demand in all_of_them)


def _demands(source: str) -> frozenset[str]:
    """The parts of a condition that are joined by `and` at its top level, blanks evened; all of it with an `or`."""
    parts: list[str] = [""]
    depth, quote = 0, ""
    for word in _words(source):
        if word in ('"', "'") and quote in ("", word):
            quote = "" if quote else word
        if not quote:
            depth += (word in "([{") - (word in ")]}")
        if depth == 0 and not quote and word in ("or", "if"):
            return frozenset()
        if depth == 0 and not quote and word == "and":
            parts.append("")
        else:
            parts[-1] += word
    return frozenset(" ".join(part.replace(",", ", ").split()) for part in parts)


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
