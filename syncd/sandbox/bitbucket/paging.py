"""Lists: `q`, `sort`, numbered pages and iterators (reference/bitbucket.md 8.1, 8.2)."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from syncd.sandbox.bitbucket import partial, query
from syncd.sandbox.bitbucket.errors import ApiError, invalid
from syncd.sandbox.bitbucket.render import Json

Thing = TypeVar("Thing")
PAGELEN = 10


def link_query(parameters: Sequence[tuple[str, str]], changed: Mapping[str, str]) -> str:
    """The query of a link to another page: the present one with some parameters replaced."""
    kept = [(name, value) for name, value in parameters if name not in changed]
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in [*kept, *changed.items()])


def pagelen_of(parameters: Mapping[str, str], limit: int) -> int:
    """`pagelen`, 10 unless given; above the limit, or not a positive number, is a 400."""
    text = parameters.get("pagelen", str(PAGELEN))
    if not text.isdigit() or not 1 <= int(text) <= limit:
        raise invalid("pagelen", f"Invalid pagelen: {text}. It must be a number from 1 to {limit}.")
    return int(text)


def chosen(things: Sequence[Thing], parameters: Mapping[str, str], getters: query.Getters | None) -> list[Thing]:
    """The objects that pass `q`, in the order of `sort`; without getters both are ignored, as by commits."""
    found = list(things)
    if getters is None:
        return found
    text = parameters.get("q", "")
    if text.strip():
        test = query.compile_filter(text, getters)
        found = [one for one in found if test(one)]
    sort = parameters.get("sort", "")
    return query.ordered(found, sort, getters) if sort else found


def numbered(
    things: Sequence[Thing],
    url: str,
    query_pairs: Sequence[tuple[str, str]],
    narrow: Callable[[Thing], Json],
    *,
    wide: Callable[[Thing], Json] | None = None,
    limit: int = 100,
    with_next: bool = True,
) -> Json:
    """
    One numbered page of objects that are already chosen; pages shift when the objects move.

    Args:
        url: the address of the list, for the links to other pages.
        wide: renders what `fields` can ask for beyond `narrow`.
        with_next: False for the resource that never links to its next page (BCLOUD-13806).
    """
    parameters = dict(query_pairs)
    pagelen = pagelen_of(parameters, limit)
    text = parameters.get("page", "1")
    if not text.isdigit() or int(text) < 1:
        raise ApiError(400, "Invalid page")
    page = int(text)
    start = (page - 1) * pagelen
    slice_ = things[start : start + pagelen]
    body: Json = {"values": [narrow(one) for one in slice_], "pagelen": pagelen, "size": len(things), "page": page}
    if start + pagelen < len(things) and with_next:
        body["next"] = f"{url}?{link_query(query_pairs, {'page': str(page + 1)})}"
    if page > 1:
        body["previous"] = f"{url}?{link_query(query_pairs, {'page': str(page - 1)})}"
    return _with_fields(body, slice_, parameters, wide)


def iterated(
    things: Sequence[Thing],
    key: Callable[[Thing], str],
    url: str,
    query_pairs: Sequence[tuple[str, str]],
    narrow: Callable[[Thing], Json],
    *,
    wide: Callable[[Thing], Json] | None = None,
    limit: int = 100,
) -> Json:
    """One page of an iterator: neither `page` nor `size`; the link remembers the last object by its key, opaquely."""
    parameters = dict(query_pairs)
    pagelen = pagelen_of(parameters, limit)
    start = 0
    if "ctx" in parameters:
        last = _decoded(parameters["ctx"])
        place = next((place for place, one in enumerate(things) if key(one) == last), None)
        if place is None:
            raise ApiError(400, "Invalid page")
        start = place + 1
    slice_ = things[start : start + pagelen]
    body: Json = {"values": [narrow(one) for one in slice_], "pagelen": pagelen}
    if start + pagelen < len(things):
        mark = base64.urlsafe_b64encode(key(slice_[-1]).encode()).decode().rstrip("=")
        body["next"] = f"{url}?{link_query(query_pairs, {'ctx': mark})}"
    return _with_fields(body, slice_, parameters, wide)


def _decoded(mark: str) -> str:
    try:
        return base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4)).decode()
    except ValueError:
        raise ApiError(400, "Invalid page") from None


def _with_fields(
    body: Json, things: Sequence[Any], parameters: Mapping[str, str], wide: Callable[[Any], Json] | None
) -> Json:
    fields = parameters.get("fields", "")
    if not fields:
        return body
    more = (
        {**body, "values": [wide(one) for one in things]} if wide is not None and partial.wants_more(fields) else body
    )
    found: Json = partial.select(body, more, fields)
    return found
