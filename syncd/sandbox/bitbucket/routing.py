"""From method and path to the handler, by a tree of path segments; `{x}` is one segment, `{x*}` the rest of the path."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from syncd.sandbox.bitbucket.call import Reply

Handler = Callable[..., Reply]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A resource. `scope` is the access token scope that it needs, None when anybody may ask."""

    method: str
    path: str
    scope: str | None
    handler: Handler


@dataclass(slots=True)
class _Node:
    literal: "dict[str, _Node]" = field(default_factory=dict)
    any: "_Node | None" = None
    rest: "_Node | None" = None
    routes: dict[str, Route] = field(default_factory=dict)


class Router:
    """Finds routes; literal segments win over variable ones."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            for segment in route.path.split("/"):
                node = _child(node, segment)
            node.routes[route.method] = route

    def find(self, path: str) -> tuple[dict[str, Route], tuple[str, ...]]:
        """
        The routes of a path by method, empty when there are none, and the decoded variable segments.

        Args:
            path: as sent, percent-encoded, without prefix and query; a slash at the end does not matter.
        """
        segments = path.strip("/").split("/")
        return _find(self._root, segments, 0, ()) or ({}, ())


def _child(node: _Node, segment: str) -> _Node:
    if segment.endswith("*}"):
        node.rest = node.rest or _Node()
        return node.rest
    if segment.startswith("{"):
        node.any = node.any or _Node()
        return node.any
    return node.literal.setdefault(segment, _Node())


def _find(node: _Node, segments: list[str], place: int, found: tuple[str, ...]) -> Any:
    if place == len(segments):
        return (node.routes, found) if node.routes else None
    segment = segments[place]
    child = node.literal.get(segment)
    if child is not None:
        answer = _find(child, segments, place + 1, found)
        if answer is not None:
            return answer
    if node.any is not None and segment:
        answer = _find(node.any, segments, place + 1, (*found, unquote(segment)))
        if answer is not None:
            return answer
    if node.rest is not None:
        return node.rest.routes, (*found, unquote("/".join(segments[place:])))
    return None
