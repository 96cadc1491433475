"""Which nodes of a graph lie on a circle, found in one walk: a spec may chain thousands of fields."""

from collections.abc import Iterator, Mapping


def on_circles(after: Mapping[str, set[str]]) -> frozenset[str]:
    """
    Every node from which a way leads back to itself (Tarjan's components, without recursion).

    Args:
        after: node → the nodes it leads to; one that is no key leads nowhere.
    """
    found: set[str] = set()
    # When a node was reached, and the earliest open node that it leads to; `done` ones are in no circle any more.
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    done: set[str] = set()
    open_nodes: list[str] = []
    for start in after:
        way: list[tuple[str, Iterator[str]]] = []
        if start not in number:
            _enter(start, after, number, lowest, open_nodes, way)
        while way:
            here, ahead = way[-1]
            step = next((node for node in ahead if node not in done), None)
            if step is None:
                way.pop()
                if way:
                    lowest[way[-1][0]] = min(lowest[way[-1][0]], lowest[here])
                if lowest[here] == number[here]:
                    group = _leave(here, open_nodes)
                    done |= group
                    if len(group) > 1 or here in after.get(here, ()):
                        found |= group
            elif step in number:
                lowest[here] = min(lowest[here], number[step])
            else:
                _enter(step, after, number, lowest, open_nodes, way)
    return frozenset(found)


def _enter(
    node: str,
    after: Mapping[str, set[str]],
    number: dict[str, int],
    lowest: dict[str, int],
    open_nodes: list[str],
    way: list[tuple[str, Iterator[str]]],
) -> None:
    number[node] = lowest[node] = len(number)
    open_nodes.append(node)
    way.append((node, iter(after.get(node, ()))))


def _leave(node: str, open_nodes: list[str]) -> set[str]:
    """The component whose first node this is: all that was opened since."""
    group = {open_nodes.pop()}
    while node not in group:
        group.add(open_nodes.pop())
    return group
