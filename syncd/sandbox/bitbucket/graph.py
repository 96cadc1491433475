"""Questions about a commit graph, pure: a graph is the mapping from hash to commit of one repository."""

import heapq
from collections.abc import Iterable, Mapping

from syncd.sandbox.bitbucket.world import Commit

Graph = Mapping[str, Commit]


def ancestors(graph: Graph, starts: Iterable[str]) -> set[str]:
    """The hashes reachable from `starts`, these included; a hash that the graph lacks is ignored."""
    seen: set[str] = set()
    stack = list(starts)
    while stack:
        current = stack.pop()
        commit = graph.get(current)
        if commit is not None and current not in seen:
            seen.add(current)
            stack.extend(commit.parents)
    return seen


def log(graph: Graph, include: Iterable[str], exclude: Iterable[str] = ()) -> list[Commit]:
    """The commits reachable from `include` and not from `exclude`, newest first, a child always before its parents."""
    unwanted = ancestors(graph, exclude)
    heap = [(-graph[start].ordinal, start) for start in set(include) if start in graph and start not in unwanted]
    heapq.heapify(heap)
    queued = {start for _, start in heap}
    found: list[Commit] = []
    while heap:
        _, current = heapq.heappop(heap)
        found.append(graph[current])
        for parent in graph[current].parents:
            if parent in graph and parent not in unwanted and parent not in queued:
                queued.add(parent)
                heapq.heappush(heap, (-graph[parent].ordinal, parent))
    return found


def is_ancestor(graph: Graph, older: str, newer: str) -> bool:
    """Whether `older` is reachable from `newer`; a commit is its own ancestor."""
    return older in ancestors(graph, (newer,))


def resolve(graph: Graph, prefix: str) -> Commit | None:
    """The commit whose hash is, or alone begins with, `prefix` (at least 4 hex digits); None when there is no single one."""
    found = graph.get(prefix)
    if found is not None or len(prefix) < 4 or len(prefix) >= 40:
        return found
    matches = [one for name, one in graph.items() if name.startswith(prefix)]
    return matches[0] if len(matches) == 1 else None
