"""
How each fault is made: what somebody does, which requests and statements fail, where the process dies.

What spoils a request stands beside an act that makes such a request soon: a fault that nothing meets tells nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from syncd.simulate.fault import FaultId, Ground, Parts
from syncd.simulate.scenario import Death, During, Net, Op, StoreTrouble, Trouble

Maker = Callable[[Ground], Parts | None]


def stir(on: Ground, what: str, at_s: float, position: int | None = None) -> tuple[Op, ...]:
    """
    An act that makes syncd send such a request, soon.

    Args:
        what: "PATCH" (cells), "PUT" (a pull request's title), "POST" (a branch or pull request), or only "airtable" or
            "bitbucket" (something is read there).
        position: of the record, or of the open pull request: 0 or 1 for both, which is record 2 or 3.
    """
    number = on.random.randrange(2) if position is None else position
    title = {on.title: f"Stirred {on.random.randrange(1000)}"}
    acts: list[tuple[str, dict[str, Any]]] = []
    match what:
        case "PATCH":
            acts += [("push", {"record": number + 2})] * 3 + [("merge", {"pull_request": number})]
        case "bitbucket":
            acts.append(("push", {"record": number + 2}))
        case "POST":
            acts.append(("push", {"record": on.random.choice((1, 6))}))
            if on.status and len(on.states) > 1:
                acts.append(("edit", {"record": 0, "cells": {on.status: on.states[1]}}))
        case _ if on.title:
            acts.append(("edit", {"record": number + 2, "cells": title}))
    if not acts:
        return ()
    verb, arguments = on.random.choice(acts)
    return (Op(at_s=round(at_s, 1), verb=verb, arguments=arguments),)


_JSON = {"content-type": "application/json; charset=utf-8"}
_SPOILS = {
    "airtable": (("PATCH", "PATCH", ""), ("airtable", "GET", ""), ("airtable", "POST", "/listRecords"), ("PATCH", None, "")),
    "bitbucket": (("PUT", "PUT", "/pullrequests"), ("POST", "POST", ""), ("bitbucket", "GET", ""), ("bitbucket", None, "")),
    None: (("bitbucket", None, ""), ("PATCH", None, ""), ("PUT", None, "")),
}  # fmt: skip
"""By service: what is stirred up, the method that fails and its route."""


def _trouble(
    fault: str,
    kind: str,
    service: str | None,
    *,
    writes: bool = False,
    reads: bool = False,
    many: bool = False,
    **more: Any,
) -> Maker:
    """Requests fail: the next one, or with `many` all for a while."""

    def make(on: Ground) -> Parts:
        kinds = [
            one
            for one in _SPOILS[service]
            if (one[1] not in ("GET", None) or not writes) and (one[0] == one[0].lower() or not reads)
        ]
        if writes:
            kinds = [one for one in kinds if one[2] != "/listRecords"]
        what, method, route = on.random.choice(kinds)
        chosen = dict(more)
        if "statuses" in chosen:
            chosen["status"] = on.random.choice(chosen.pop("statuses"))
        if "flavours" in chosen:
            chosen |= on.random.choice(chosen.pop("flavours"))
        kind_now = chosen.pop("kind", kind)
        if kind_now == "refuse" and "body" in chosen:
            chosen["headers"] = _JSON
        at_s = on.begin_s(5.0)
        lasts_s = on.lag_s(at_s) + on.some_s()
        return Parts(
            ops=stir(on, what, at_s + 1.0),
            troubles=(
                Trouble(
                    fault=fault,
                    kind=kind_now,
                    at_s=at_s,
                    until_s=round(at_s + lasts_s, 1) if many or on.random.random() < 0.3 else None,
                    service=service,
                    method=method,
                    route=route,
                    after=0 if many else on.random.choice((0, 0, 0, 1)),
                    count=on.random.choice((None, 10)) if many else on.random.choice((1, 1, 1, 2, 3)),
                    more=chosen,
                ),
            ),
        )

    return make


def _delivery(fault: str, kind: str, *, lossy: bool = False, service: str = "bitbucket") -> Maker:
    def make(on: Ground) -> Parts | None:
        if on.net in (Net.POLLING, Net.SWEEP) or (lossy and on.net is Net.HOOKS):
            return None
        at_s = on.begin_s(5.0)
        more: dict[str, Any] = {}
        count: int | None = on.random.choice((1, 2, 4, None))
        if kind == "delay_delivery":
            more = {"delay_s": on.random.choice((7.0, 31.0, 190.0))}
        if kind == "swap_deliveries":
            count, more = on.random.choice((2, 3)), {"delay_s": 45.0}
        ops = stir(on, service, at_s + 1.0, 0)
        if kind != "duplicate_delivery":
            ops += stir(on, service, at_s + 2.0, 1)
        trouble = Trouble(
            fault=fault,
            kind=kind,
            service=service,
            at_s=at_s,
            until_s=round(at_s + on.some_s() + 200.0, 1),
            count=count,
            more=more,
        )
        return Parts(ops=ops, troubles=(trouble,))

    return make


def _switched_off(on: Ground) -> Parts | None:
    """A ping fails, and it was the last try that Airtable gave it."""
    if on.net is not Net.ALL or not on.title:
        return None
    at_s = on.begin_s(30.0)
    limits = {"act": "set_limits", "ping_retries": 0}
    trouble = Trouble(
        fault="AW03",
        kind="drop_delivery",
        service="airtable",
        at_s=at_s,
        until_s=at_s + 20.0,
        more={"status": on.random.choice((500, 0))},
    )
    return Parts(
        ops=(
            Op(at_s=at_s, verb="airtable_service", arguments=limits),
            *stir(on, "airtable", at_s + 1.0, 0),
            Op(at_s=at_s + 20.0, verb="airtable_service", arguments={**limits, "ping_retries": 13}),
            *stir(on, "airtable", at_s + 25.0, 1),
        ),
        troubles=(trouble,),
    )


def _op(fault: str, verb: str, *, only: tuple[Net, ...] = (), **arguments: Any) -> Maker:
    def make(on: Ground) -> Parts | None:
        if only and on.net not in only:
            return None
        given = {name: value(on) if callable(value) else value for name, value in arguments.items()}
        if any(value is None for value in given.values()):
            return None
        return Parts(ops=(Op(at_s=on.at_s, verb=verb, arguments=given, fault=fault),))

    return make


def _window(
    fault: str, verb: str, begin: Mapping[str, Any], end: Mapping[str, Any], away: str, where: str = ""
) -> Maker:
    """Something begins, and ends after a while; `away` is the service that it is about."""

    def make(on: Ground) -> Parts:
        at_s = on.begin_s(5.0)
        place = {where: on.random.randrange(on.slugs)} if where else {}
        until = min(on.last_s, at_s + on.lag_s(at_s) + on.random.choice((20.0, 70.0, 200.0, 400.0)))
        done_s = at_s + 1.0 + (until - at_s - on.lag_s(at_s)) * on.random.random()
        # It is done in the other service, so that it is heard of at once.
        done = stir(on, "PATCH" if away == "airtable" else "PUT", done_s)
        return Parts(
            ops=(
                Op(at_s=at_s, verb=verb, arguments={**begin, **place}, fault=fault),
                *done,
                Op(at_s=until, verb=verb, arguments={**end, **place}),
            )
        )

    return make


def _something(on: Ground, at_s: float) -> Op:
    """What somebody does after a clock was set: what must not be lost."""
    acts: list[tuple[str, dict[str, Any]]] = [
        ("push", {"record": on.random.choice((2, 3))}),
        ("merge", {"pull_request": on.random.randrange(2)}),
    ]
    if on.title:
        cells = {on.title: f"Meanwhile {on.random.randrange(1000)}"}
        acts.append(("edit", {"record": on.random.choice((2, 3, on.record)), "cells": cells}))
    verb, arguments = on.random.choice(acts)
    return Op(at_s=round(at_s, 1), verb=verb, arguments=arguments)


def _during(fault: str, what: str, verb: str, given: Callable[[Ground, int], dict[str, Any] | None]) -> Maker:
    """Somebody acts while a request is under way: `what` as for `stir`; `given` the act's arguments, of that record's number."""

    def make(on: Ground) -> Parts | None:
        number, at_s = on.random.randrange(2), on.begin_s(5.0)
        arguments, stirred = given(on, number), stir(on, what, at_s + 1.0, number)
        if arguments is None or not stirred:
            return None
        service = "airtable" if what in ("PATCH", "airtable") else "bitbucket"
        methods = {"airtable": ("GET", "POST"), "bitbucket": ("GET",)}.get(what, (what,))
        during = During(
            service=service,
            method=on.random.choice(methods),
            route="/pullrequests" if what == "PUT" else "",
            after=on.random.choice((0, 0, 0, 1)) if what == what.lower() else 0,
        )
        return Parts(ops=(*stirred, Op(at_s=at_s, verb=verb, arguments=arguments, during=during, fault=fault)))

    return make


def _any_request(on: Ground) -> str:
    return on.random.choice(("PATCH", "PATCH", "PUT", "POST", "airtable", "bitbucket"))


def _stopped(on: Ground) -> Parts | None:
    """SIGTERM while a request is under way; now and then between two turns."""
    if on.random.random() < 0.2:
        return Parts(ops=(Op(at_s=on.at_s, verb="restart", fault="PR02"),))
    return _during("PR02", _any_request(on), "restart", lambda *_: {})(on)


def _read_again(on: Ground) -> Parts | None:
    """SIGHUP while a request is under way, mostly with another spec."""
    variant = on.random.choice(("", *on.variants))
    return _during("PR03", _any_request(on), "reload", lambda *_: {"variant": variant})(on)


def _turning(fault: str, *, dies: bool) -> Maker:
    """Rows come and go, or the listing dies, between two pages of it. Pages are small, so that a small table has many."""

    def make(on: Ground) -> Parts:
        at_s = on.begin_s(20.0)
        limits = {"act": "set_limits", "page_full": on.random.choice((2, 3))}
        during = During(
            service="airtable", method="POST", route="/listRecords", body='"offset"', after=on.random.choice((0, 0, 1))
        )
        acts: tuple[tuple[str, dict[str, Any]], ...] = (
            ("create", {"cells": _title_cells(on) or {}}),
            ("delete", {"record": on.record}),
            ("edit", {"record": on.record, "cells": _title_cells(on) or {}}),
        )
        dying: tuple[str, dict[str, Any]] = ("airtable_service", {"act": "forget_offsets"})
        verb, arguments = dying if dies else on.random.choice(acts)
        return Parts(
            ops=(
                Op(at_s=at_s, verb="airtable_service", arguments=limits),
                *stir(on, "PATCH", at_s + 0.5),
                Op(at_s=at_s + 1.0, verb="compare"),
                Op(at_s=at_s, verb=verb, arguments=arguments, during=during, fault=fault),
                Op(at_s=at_s + 19.0, verb="airtable_service", arguments={**limits, "page_full": None}),
            )
        )

    return make


def _throttled(on: Ground) -> Parts:
    """Somebody else uses the base's whole second while a request of ours is under way."""
    at_s = on.begin_s(5.0)
    what, method, route = on.random.choice(_SPOILS["airtable"][:3])
    during = During(service="airtable", method=str(method), route=route)
    arguments = {"requests": on.random.choice((5, 6))}
    act = Op(at_s=at_s, verb="second_client", arguments=arguments, during=during, fault="AT02")
    return Parts(ops=(*stir(on, what, at_s + 1.0), act))


def _hour_gone(on: Ground) -> Parts:
    """Somebody else used up the credential's hour, most of an hour ago: it is free again in a few minutes."""
    at_s = on.begin_s(5.0)
    if on.net is Net.SWEEP:
        # Each 429 doubles the wait: it begins shortly before the sweep, and is over soon.
        at_s = max(at_s, 270.0)
    arguments = {
        "service": "bitbucket",
        "leave": on.random.choice((0, 0, 1, 3)),
        "ago_s": round(3600.0 - on.lag_s(at_s) - on.random.choice((5.0, 20.0, 90.0)), 1),
    }
    act = Op(at_s=at_s, verb="second_client", arguments=arguments, fault="BB02")
    stirred = (*stir(on, "PUT", at_s + 1.0), *stir(on, "bitbucket", at_s + 1.5))
    return Parts(ops=(act, *stirred))


def _drift(fault: str, *choices: tuple[str, dict[str, Any]]) -> Maker:
    """The base gets another shape, and then there is something to write."""

    def make(on: Ground) -> Parts | None:
        act, more = on.random.choice(choices)
        arguments = {"act": act, **more}
        if act in ("delete_field", "retype_field"):
            # What these two read as something else is told as it is; without payloads that it changed is heard of later.
            names = (
                [on.url, on.status] if on.net is not Net.SWEEP and on.random.random() < 0.4 else [on.text, *on.owned]
            )
            names = [one for one in names if one]
            if not names:
                return None
            arguments["field"] = on.random.choice(names)
        if act == "delete_view":
            if not on.view:
                return None
            arguments["view"] = on.view
        at_s = on.begin_s(65.0)
        ops = [Op(at_s=at_s, verb="schema", arguments=arguments, fault=fault)]
        ops += stir(on, on.random.choice(("PATCH", "PUT")), at_s + 1.0)
        if act == "delete_view":
            # Without it nothing is in scope, and everything waits for a person.
            again = {"act": "add_view", "name": on.view}
            ops.append(Op(at_s=at_s + on.random.choice((20.0, 60.0)), verb="schema", arguments=again))
        return Parts(ops=tuple(ops))

    return make


def _text(fault: str, *texts: str, titles: bool = False) -> Maker:
    def make(on: Ground) -> Parts | None:
        name = on.random.choice([each for each in (on.title, "" if titles else on.text) if each] or [""])
        if not name:
            return None
        cells = {name: on.random.choice(texts)}
        return Parts(ops=(Op(at_s=on.at_s, verb="edit", arguments={"record": on.record, "cells": cells}, fault=fault),))

    return make


def _status_cells(on: Ground) -> Any:
    return {on.status: on.random.choice(on.states)} if on.status else None


def _text_cells(on: Ground) -> Any:
    return {on.text: f"Text {on.random.randrange(1000)}"} if on.text else None


def _title_cells(on: Ground) -> Any:
    return {on.title: f"Name {on.random.randrange(1000)}"} if on.title else None


def _together(on: Ground) -> Parts | None:
    if not on.title:
        return None
    position = on.random.choice((2, 3))
    number = on.random.randrange(1000)
    return Parts(
        ops=(
            Op(
                at_s=on.at_s,
                verb="edit",
                arguments={"record": position, "cells": {on.title: f"Left {number}"}},
                fault="SECOND",
            ),
            Op(
                at_s=on.at_s,
                verb="edit_pull_request",
                arguments={"pull_request": position - 2, "title": f"Right {number}"},
            ),
        )
    )


def _gap(on: Ground) -> Parts | None:
    """Somebody closes a pull request, so that cells of its record are about to be written, and a person is faster with one of them."""
    owned, at_s = on.owned, on.begin_s(5.0)
    cells: Any = on.random.choice((_status_cells, _text_cells, _status_cells))(on)
    if owned and on.random.random() < 0.3:
        cells = {on.random.choice(owned): "somebody's"}
    if cells is None:
        return None
    number = on.random.randrange(2)
    if on.status and on.random.random() < 0.3:
        return _gap_forgotten(on, number, at_s)
    during = During(service="airtable", method="PATCH", after=on.random.choice((0, 0, 0, 1)))
    record = number + 2 if on.random.random() < 0.8 else on.record
    closed = Op(at_s=at_s, verb=on.random.choice(("merge", "merge", "decline")), arguments={"pull_request": number})
    return Parts(ops=(closed, _faster(record, cells, at_s, during)))


def _gap_forgotten(on: Ground, number: int, at_s: float) -> Parts:
    """The same with a value that is overwritten for certain, and a death when the payload that tells of it has just passed."""
    dies = Death(port="store", what="save_changes", when="after", after=on.random.choice((0, 0, 0, 1)))
    merged = Op(at_s=at_s, verb="merge", arguments={"pull_request": number})
    during = During(service="airtable", method="PATCH")
    return Parts(deaths=(dies,), ops=(merged, _faster(number + 2, {on.status: on.states[0]}, at_s, during)))


def _faster(record: int, cells: Any, at_s: float, during: During) -> Op:
    return Op(at_s=at_s, verb="edit", arguments={"record": record, "cells": cells}, during=during, fault="AW14")


_LISTS = ("/statuses", "/statuses", "/statuses", "/statuses", "/refs/branches", "/pullrequests", "/deployments")


def _lying_list(on: Ground) -> Parts | None:
    """An error where a list was, in a full compare near the end, when nothing else happens any more (I13)."""
    if on.net in (Net.HOOKS, Net.POLLING) or on.random.random() < 0.2:
        return _ERROR_ANYWHERE(on)
    build_s, lie_s = min(on.at_s, on.last_s - 150.0), on.last_s - 50.0
    lie = Trouble(
        fault="BB07",
        kind="error_shaped",
        at_s=lie_s,
        service="bitbucket",
        method="GET",
        route=on.random.choice(_LISTS),
        count=on.random.choice((1, 3, None)),
        more=on.random.choice(({}, {"body": "{}"}, {"body": "[]"})),
    )
    build = {"pull_request": on.random.randrange(2), "state": "SUCCESSFUL"}
    return Parts(
        ops=(
            Op(at_s=build_s, verb="build", arguments=build),
            Op(at_s=build_s + 1.0, verb="compare"),
            Op(at_s=lie_s + 5.0, verb="compare"),
        ),
        troubles=(lie,),
    )


_ERROR_ANYWHERE = _trouble("BB07", "error_shaped", "bitbucket", flavours=({}, {"body": "{}"}, {"body": "[]"}))


def _declined(on: Ground) -> Parts:
    number = on.random.randrange(2)
    return Parts(
        ops=(
            Op(at_s=on.at_s, verb="decline", arguments={"pull_request": number}, fault="BB20"),
            Op(at_s=on.at_s + on.some_s(60), verb="open_pull_request", arguments={"record": number + 2}),
        )
    )


def _restored(on: Ground) -> Parts:
    record = on.record
    return Parts(
        ops=(
            Op(at_s=on.at_s, verb="delete", arguments={"record": record}, fault="AT17"),
            Op(at_s=on.at_s + on.some_s(), verb="restore", arguments={"record": record}),
        )
    )


def _replayed(on: Ground) -> Parts | None:
    if on.net in (Net.POLLING, Net.SWEEP):
        return None
    at_s = on.begin_s(20.0)
    arguments = {"delivery": on.random.randrange(20)}
    again = Op(at_s=round(min(on.last_s, at_s + on.some_s()), 1), verb="replay", arguments=arguments, fault="BW07")
    return Parts(ops=(*stir(on, "bitbucket", at_s), again))


def _burst(on: Ground) -> Parts:
    ops = tuple(
        Op(at_s=round(on.at_s + index * 0.2, 1), verb="comment", arguments={"pull_request": index % 2}, fault="BW15")
        for index in range(12)
    )
    return Parts(ops=ops)


def _robot(on: Ground) -> Parts | None:
    if not on.title:
        return None
    return Parts(
        ops=tuple(
            Op(
                at_s=on.at_s + 20.0 * index,
                verb="edit_pull_request",
                arguments={"pull_request": 1, "title": "The robot's title", "user": "linus"},
                fault="BU04",
            )
            for index in range(3)
        )
    )


_DEATHS: tuple[tuple[str, str, str, bool], ...] = (
    ("store", "commit", "", False), ("store", "save_intents", "PATCH", True), ("store", "save_intents", "PUT", True),
    ("store", "save_sent", "PATCH", True), ("store", "save_sent", "POST", True), ("store", "save_changes", "airtable", False),
    ("store", "save_processed", "bitbucket", False), ("store", "save_work", "bitbucket", False), ("store", "claim_", "PUT", False),
    ("store", "save_deliveries", "bitbucket", False), ("store", "mark_", "airtable", False),
    ("airtable", "PATCH", "PATCH", True), ("airtable", "PATCH", "PATCH", True), ("airtable", "GET", "airtable", False),
    ("airtable", "POST", "airtable", False), ("bitbucket", "PUT", "PUT", True), ("bitbucket", "POST", "POST", True),
    ("bitbucket", "POST", "POST", True), ("bitbucket", "GET", "bitbucket", False),
)  # fmt: skip
"""Where the process dies: port, call, what is stirred up for it ("": anything), whether such a call is rare."""


def _death(on: Ground) -> Parts:
    port, name, what, rare = on.random.choice(_DEATHS)
    often = (0, 0, 1, 2, 3, 8, 20) if name in ("commit", "GET") else (0, 0, 1, 2, 3)
    after = on.random.choice((0, 0, 0, 0, 1) if rare else often)
    when = on.random.choice(("before", "after"))
    stirred = stir(on, what or _any_request(on), on.begin_s(5.0))
    return Parts(deaths=(Death(port=port, what=name, when=when, after=after),), ops=stirred)


def _disk(fault: str, statements: tuple[str, ...]) -> Maker:
    def make(on: Ground) -> Parts | None:
        if fault == "BW19" and on.net is not Net.ALL:
            return None
        count = 1 if fault in ("ST02", "ST03") else on.random.choice((1, 3, 20))
        return Parts(
            store=(
                StoreTrouble(
                    fault=fault,
                    statement=on.random.choice(statements),
                    after=on.random.randrange(3 if fault == "BW19" else 60),
                    count=count,
                ),
            ),
            ops=(*stir(on, "PATCH", on.begin_s(5.0), 0), *stir(on, "bitbucket", on.begin_s(5.0) + 3.0, 1)),
        )

    return make


def _backup(on: Ground) -> Parts | None:
    later = on.at_s + on.random.choice((30.0, 120.0, 240.0))
    if later > on.last_s:
        return None
    record = on.random.choice((2, 3))
    return Parts(
        ops=(
            Op(at_s=on.at_s, verb="remember_state"),
            # Written after the backup, so that the old state lacks it; and something to do for whoever believes it.
            Op(at_s=on.at_s + 2.0, verb="push", arguments={"record": record}),
            Op(at_s=on.at_s + 3.0, verb="compare"),
            Op(at_s=later, verb="restore_state", fault="ST11"),
            Op(at_s=later + 2.0, verb="push", arguments={"record": 5 - record}),
            Op(at_s=later + 3.0, verb="compare"),
        )
    )


def _clock(fault: str, verb: str, *choices: int) -> Maker:
    """The clock is another one, and then something happens that not every net sees."""

    def make(on: Ground) -> Parts:
        after = on.at_s + on.random.choice((5.0, 61.0))
        build = {"pull_request": on.random.randrange(2), "state": on.random.choice(("SUCCESSFUL", "FAILED"))}
        seen = on.net in (Net.ALL, Net.SWEEP) and on.random.random() < 0.5
        return Parts(
            ops=(
                Op(at_s=on.at_s, verb=verb, arguments={"seconds": on.random.choice(choices)}, fault=fault),
                Op(at_s=after, verb="build", arguments=build) if seen else _something(on, after),
            )
        )

    return make


def _option(fault: str, act: str, **more: Any) -> Maker:
    """The last state goes away: at some time, or while a record is being moved to it (I27)."""

    def make(on: Ground) -> Parts | None:
        if not on.status or not on.states:
            return None
        arguments = {"act": act, "field": on.status, "choice": on.states[-1], **more}
        if on.random.random() < 0.5:
            return Parts(ops=(Op(at_s=on.at_s, verb="schema", arguments=arguments, fault=fault),))
        at_s = min(on.at_s, 60.0)
        during = During(service="airtable", method="PATCH")
        return Parts(
            ops=(
                Op(at_s=at_s, verb="merge", arguments={"pull_request": on.random.randrange(2)}),
                Op(at_s=at_s + 50.0, verb="compare"),
                Op(at_s=at_s + 110.0, verb="deploy", arguments={"repository": 0, "environment": "Production"}),
                Op(at_s=at_s + 111.0, verb="compare"),
                Op(at_s=at_s + 112.0, verb="schema", arguments=arguments, during=during, fault=fault),
            )
        )

    return make


def _poison(on: Ground) -> Parts:
    # Both pull requests of the first repository get something to write.
    words, at_s = f"Refused {on.random.randrange(1000)}", on.begin_s(5.0)
    ops = [Op(at_s=at_s + 1.0, verb="edit", arguments={"record": one, "cells": {on.title: words}}) for one in (2, 3)]
    return Parts(
        ops=tuple(ops) if on.title else (),
        troubles=(
            Trouble(
                fault="BB29",
                kind="refuse",
                service="bitbucket",
                method="PUT",
                route="/pullrequests/2$",
                at_s=at_s,
                count=None,
                more={
                    "status": 400,
                    "body": '{"type":"error","error":{"message":"Refused for ever"}}',
                    "headers": _JSON,
                },
            ),
        ),
    )


def _paused(on: Ground) -> Parts:
    scope = on.random.choice(("all", "to-airtable", "to-bitbucket"))
    until = min(on.last_s, on.at_s + on.random.choice((20.0, 70.0, 200.0)))
    return Parts(
        ops=(
            Op(at_s=on.at_s, verb="pause", arguments={"scope": scope}, fault="OP01"),
            Op(at_s=until, verb="resume", arguments={"scope": scope}),
        )
    )


MAKERS: Mapping[FaultId, Maker] = {
    FaultId.AT01: _trouble("AT01", "throttle", "airtable"),
    FaultId.AT02: _throttled,
    FaultId.AT03: _trouble("AT03", "refuse", "airtable", statuses=(500, 502, 503, 504)),
    FaultId.AT04: _trouble(
        "AT04", "lose_reply", "airtable", writes=True, flavours=({}, {"kind": "fail_after"}, {"kind": "hang", "applied": True})
    ),
    FaultId.AT05: _trouble("AT05", "slow", "airtable", flavours=({}, {"kind": "hang"})),
    FaultId.AT06: _trouble("AT06", "html", "airtable", flavours=({}, {"kind": "cut"})),
    FaultId.AT07: _trouble("AT07", "error_shaped", "airtable", flavours=({}, {"body": "{}"}, {"body": "[]"})),
    FaultId.AT08: _turning("AT08", dies=True),
    FaultId.AT09: _turning("AT09", dies=False),
    FaultId.AT10: _trouble("AT10", "refuse", "airtable", writes=True, status=422, body='{"error":{"type":"INVALID_VALUE_FOR_COLUMN","message":"no"}}'),
    FaultId.AT12: _window("AT12", "token", {"service": "airtable", "valid": False}, {"service": "airtable", "valid": True}, "airtable"),
    FaultId.AT13: _window("AT13", "role", {"role": "read"}, {"role": "create"}, "airtable"),
    FaultId.AT14: _trouble("AT14", "refuse", "airtable", many=True, status=404, body='{"error":"NOT_FOUND"}'),
    FaultId.AT16: _during("AT16", "PATCH", "delete", lambda _, number: {"record": number + 2}),
    FaultId.AT17: _restored,
    FaultId.AT23: _op("AT23", "duplicate", record=lambda on: on.random.choice((2, 3, 4))),
    FaultId.AW01: _op("AW01", "airtable_service", act="expire_hook", only=(Net.ALL,)),
    FaultId.AW02: _op("AW02", "airtable_service", act="disable_hook", only=(Net.ALL,)),
    FaultId.AW03: _switched_off,
    FaultId.AW04: _op("AW04", "airtable_service", act="drop_payloads", only=(Net.ALL,)),
    FaultId.AW07: _delivery("AW07", "duplicate_delivery", service="airtable"),
    FaultId.AW08: _op("AW08", "forge", provider="airtable"),
    FaultId.AW14: _gap,
    FaultId.BB01: _trouble("BB01", "throttle", "bitbucket"),
    FaultId.BB02: _hour_gone,
    FaultId.BB03: _trouble("BB03", "refuse", "bitbucket", statuses=(500, 502, 503, 504)),
    FaultId.BB04: _trouble("BB04", "lose_reply", "bitbucket", writes=True, flavours=({}, {"kind": "fail_after"}, {"kind": "hang", "applied": True})),
    FaultId.BB05: _trouble("BB05", "slow", "bitbucket", flavours=({}, {"kind": "hang"})),
    FaultId.BB06: _trouble("BB06", "html", "bitbucket", many=True, statuses=(200, 503)),
    FaultId.BB07: _lying_list,
    FaultId.BB08: _trouble("BB08", "error_shaped", "bitbucket", reads=True, body='{"values":[],"next":"http://elsewhere.example/2.0/x"}'),
    FaultId.BB10: _window("BB10", "token", {"service": "bitbucket", "valid": False}, {"service": "bitbucket", "valid": True}, "bitbucket"),
    FaultId.BB11: _trouble("BB11", "refuse", "bitbucket", many=True, status=403, body='{"type":"error","error":{"message":"no"}}'),
    FaultId.BB12: _window("BB12", "repository", {"act": "hide_repository"}, {"act": "show_repository"}, "bitbucket", "repository"),
    FaultId.BB13: _op("BB13", "repository", act="rename_repository", repository=lambda on: on.random.randrange(on.slugs), name=lambda on: f"renamed-{on.random.randrange(99)}"),
    FaultId.BB15: _op("BB15", "branch", record=lambda on: on.random.choice((0, 1, 6))),
    FaultId.BB16: _op("BB16", "delete_branch", record=lambda on: on.random.choice((1, 2, 3, 6))),
    FaultId.BB18: _op("BB18", "open_pull_request", record=lambda on: on.random.choice((1, 1, 2, 3, 6))),
    FaultId.BB19: _during("BB19", "PUT", "merge", lambda _, number: {"pull_request": number}),
    FaultId.BB20: _declined,
    FaultId.BB21: _op("BB21", "edit_pull_request", pull_request=lambda on: on.random.randrange(2), title="No marker", bare=True),
    FaultId.BB22: _op("BB22", "strange_pull_request", record=lambda on: on.record),
    FaultId.BB23: _op("BB23", "strange_pull_request", record=lambda on: on.record, fork=True),
    FaultId.BB24: _op("BB24", "push", record=lambda on: on.random.choice((2, 3)), force=True),
    FaultId.BB28: _text("BB28", "A very long name " * 40, titles=True),
    FaultId.BB29: _poison,
    FaultId.BW01: _delivery("BW01", "duplicate_delivery"),
    FaultId.BW02: _delivery("BW02", "delay_delivery"),
    FaultId.BW03: _delivery("BW03", "drop_delivery", lossy=True),
    FaultId.BW04: _delivery("BW04", "swap_deliveries"),
    FaultId.BW06: _op("BW06", "forge", provider="bitbucket", signature=lambda on: on.random.choice(("sha256=00", "sha1=ab", "", "SHA256=FF"))),
    FaultId.BW07: _replayed,
    FaultId.BW13: _op("BW13", "bitbucket_hook", act=lambda on: on.random.choice(("delete_hook", "edit_hook")), repository=lambda on: on.random.randrange(on.slugs), only=(Net.ALL,)),
    FaultId.BW15: _burst,
    FaultId.BW19: _disk("BW19", ("INSERT INTO inbox",)),
    FaultId.NE01: _trouble("NE01", "dns", None, many=True),
    FaultId.NE02: _trouble("NE02", "tls", None, many=True),
    FaultId.NE04: _trouble("NE04", "refused", "bitbucket", many=True),
    FaultId.NE05: _trouble("NE05", "html", None, many=True),
    FaultId.CL01: _clock("CL01", "jump", 3600, 86_400, 31_536_000),
    FaultId.CL02: _clock("CL02", "jump", -61, -3600, -3600, -86_400),
    FaultId.CL03: _clock("CL03", "suspend", 61, 600),
    FaultId.ST01: _disk("ST01", ("COMMIT", "INSERT", "UPDATE")),
    FaultId.ST02: _disk("ST02", ("SELECT",)),
    FaultId.ST03: _disk("ST03", ("COMMIT",)),
    FaultId.ST04: _disk("ST04", ("BEGIN IMMEDIATE",)),
    FaultId.ST11: _backup,
    FaultId.PR01: _death,
    FaultId.PR02: _stopped,
    FaultId.PR03: _read_again,
    FaultId.SP04: _op("SP04", "reload", variant=lambda on: on.random.choice(on.variants) if on.variants else None),
    FaultId.SD01: _op("SD01", "schema", act="rename_field", field=lambda on: on.text or None, name="Renamed by a person"),
    FaultId.SD02: _drift("SD02", ("delete_field", {})),
    FaultId.SD03: _drift("SD03", ("retype_field", {"type": "number", "options": {"precision": 0}}), ("retype_field", {"type": "checkbox", "options": {"color": "redBright", "icon": "check"}})),
    FaultId.SD04: _option("SD04", "rename_choice", name="Renamed"),
    FaultId.SD05: _option("SD05", "delete_choice"),
    FaultId.SD06: _op("SD06", "schema", act="add_choice", field=lambda on: on.status or None, name="Somewhere else"),
    FaultId.SD07: _drift("SD07", ("rename_table", {"name": "Renamed by a person"}), ("delete_view", {})),
    FaultId.SD08: _drift("SD08", ("retype_field", {"type": "autoNumber"}), ("retype_field", {"type": "createdTime"})),
    FaultId.DA01: _text("DA01", "Zoë 👩‍👩‍👧 e\u0301", "Ω ≠ Ω", "日本語 🚀"),
    FaultId.DA02: _text("DA02", "a\u202eb\u200bc", "\u2066x\u2069", "раypal"),
    FaultId.DA05: _text("DA05", "line\n" * 3000),
    FaultId.DA06: _text("DA06", "a\r\nb  \r\n", "  blanks  ", "tail \n\n"),
    FaultId.DA07: _text("DA07", "# head\n* a\n<b>x</b> @ada [Airtable: x] ![i](http://x/y.png)", "Closes #1"),
    FaultId.DA09: _text("DA09", "a..b", "x.lock", "-lead", "~^:?*[\\", "@{"),
    FaultId.DA12: _text("DA12", "", " ", "\t"),
    FaultId.BU01: _op("BU01", "edit_many", cells=_text_cells),
    FaultId.BU02: _op("BU02", "delete_many"),
    FaultId.BU03: _op("BU03", "edit_many", cells=_status_cells),
    FaultId.BU04: _robot,
    FaultId.OP01: _paused,
    FaultId.OP04: _op("OP04", "edit", record=lambda on: on.record, cells=lambda on: {on.url: on.random.choice(("", "https://bitbucket.org/acme/web/pull-requests/2", "nonsense"))} if on.url else None),
    FaultId.SECOND: _together,
}  # fmt: skip
