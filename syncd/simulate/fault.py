"""
Every fault of reliability.md that applies to what exists, with the place where it fires. What is made here is counted when it
strikes, not when it is planned; `MISSING` says which faults cannot fire yet, and why.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any

from syncd.simulate.scenario import Death, During, Net, Op, StoreTrouble, Trouble


class FaultId(Enum):
    """The ids of reliability.md, "Faults and expected behaviour"."""

    AT01 = "429 from Airtable"
    AT02 = "another client uses up the base's rate"
    AT03 = "Airtable answers 5xx, nothing applied"
    AT04 = "Airtable applies, the reply is lost"
    AT05 = "Airtable's reply trickles or never ends"
    AT06 = "200 with HTML or cut JSON from Airtable"
    AT07 = "200 with an error-shaped object from Airtable"
    AT08 = "a page offset expires"
    AT09 = "records move between pages"
    AT10 = "one bad value fails a batch"
    AT12 = "Airtable token revoked for a while"
    AT13 = "the token's account loses its rights for a while"
    AT14 = "404 on the table"
    AT16 = "a record is deleted between read and write"
    AT17 = "a deleted record is restored"
    AT23 = "a row is duplicated, link included"
    AW01 = "Airtable webhook expired"
    AW02 = "Airtable webhook disabled"
    AW03 = "pings switched off after failures"
    AW04 = "payloads deleted before they were read"
    AW07 = "pings lost, doubled, late, or for nothing"
    AW08 = "a forged ping"
    AW14 = "an edit between our read and our write of a cell"
    BB01 = "429 from Bitbucket"
    BB02 = "another client uses up the credential's hour"
    BB03 = "Bitbucket answers 5xx, nothing applied"
    BB04 = "Bitbucket applies, the reply is lost"
    BB05 = "Bitbucket's reply trickles or never ends"
    BB06 = "a maintenance page"
    BB07 = "200 with an error object from Bitbucket"
    BB08 = "a next link to another host"
    BB10 = "Bitbucket token revoked for a while"
    BB11 = "403 on one repository"
    BB12 = "a repository cannot be seen for a while"
    BB13 = "a repository is renamed"
    BB15 = "the branch is there already"
    BB16 = "a person deletes the branch"
    BB18 = "a person opened the pull request already"
    BB19 = "a pull request closes between read and write"
    BB20 = "declined, and a new pull request for the branch"
    BB21 = "the marker is taken out of the title"
    BB22 = "the marker of a record in another pull request"
    BB23 = "a fork's pull request carries a marker"
    BB24 = "a force push"
    BB28 = "a title over the limit"
    BB29 = "the service refuses one write for ever"
    BW01 = "a delivery is doubled"
    BW02 = "a delivery is late"
    BW03 = "a delivery is lost"
    BW04 = "deliveries come in another order"
    BW06 = "a forged delivery"
    BW07 = "a genuine old delivery once more"
    BW13 = "a person deletes or disables the webhook"
    BW15 = "a burst of events"
    BW19 = "the receiver cannot store"
    NE01 = "no name is resolved"
    NE02 = "TLS fails"
    NE04 = "a partition that flaps"
    NE05 = "a captive portal: HTML for everything"
    CL01 = "the clock jumps forward"
    CL02 = "the clock jumps back"
    CL03 = "the machine sleeps for ten minutes"
    ST01 = "the disk is full for a while"
    ST02 = "a read error of the disk"
    ST03 = "a commit fails"
    ST04 = "the state is locked"
    ST11 = "an old backup is restored"
    PR01 = "kill -9 at a port call"
    PR02 = "a restart"
    PR03 = "a reload in the middle"
    SP04 = "a rule is changed"
    SD01 = "a field is renamed"
    SD04 = "an option is renamed"
    SD05 = "an option is deleted while in use"
    SD06 = "an unknown option arrives"
    DA01 = "emoji and combining characters"
    DA02 = "bidi and zero-width characters"
    DA05 = "a very long text"
    DA06 = "CRLF and trailing blanks"
    DA07 = "markdown, HTML and mentions"
    DA09 = "characters that git refuses"
    DA12 = "empty and blank"
    BU01 = "all records change at once"
    BU02 = "all records deleted"
    BU03 = "a wrong status pasted over all rows"
    BU04 = "a robot answers our writes"
    OP01 = "the kill switch"
    OP03 = "a full compare is asked for"
    OP04 = "a person edits the link field"
    SECOND = "both sides of a field change at the same instant"


MISSING: Mapping[str, str] = {
    "AT11": "monthly quota: budgets are simulated, a run of weeks is not",
    "AT15": "upserts: create_records is not built",
    "AT18": "the emulated Airtable has no read lag",
    "AT22": "no computed field is mapped in the sample",
    "AT24": "a second base",
    "AT26": "the emulated Airtable refuses a locked field, it does not ignore it",
    "AW05": "part of ST11",
    "AW06": "the emulated hook cannot be renumbered",
    "AW10": "payload mutators",
    "AW12": "ten hooks: needs other integrations in the world",
    "AW13": "wiping the secret row",
    "BB09": "lists are shorter than a page",
    "BB14": "repository moved to another workspace",
    "BB17": "empty repository",
    "BB26": "issues are not a kind of work here",
    "BB30": "10,000 pull requests: soak",
    "BW05": "payload over 256 KB",
    "BW08": "two secrets",
    "BW09": "raw sockets: tests/web",
    "BW10": "unreadable bodies: tests/web and tests/bitbucket",
    "BW11": "body mutators",
    "BW14": "two hooks for one repository",
    "BW17": "request ids reused",
    "BW18": "the emulated Bitbucket has no read lag of single objects",
    "NE06": "sockets", "NE08": "sockets",
    "CL04": "no cron-like schedule exists",
    "CL06": "the machines' clocks are the world's clock; only ours jumps",
    "ST05": "real files: tests/store", "ST06": "real files: tests/store", "ST07": "needs `rebuild`",
    "ST09": "real files: tests/store", "ST10": "real files: tests/store", "ST12": "real files: tests/store",
    "ST13": "two daemons on one spec: not noticed yet",
    "ST15": "long runs", "ST16": "the same as PR01 here: every commit is durable",
    "PR04": "processes", "PR05": "threads", "PR06": "one thread", "PR07": "threads", "PR08": "one version", "PR10": "threads",
    "SP01": "tests/spec", "SP02": "tests/spec", "SP03": "part of SP04", "SP05": "part of SP04", "SP06": "tests/spec",
    "SP07": "part of SP04", "SP08": "tests/spec", "SP10": "tests/spec", "SP11": "part of BU01", "SP12": "part of PR03", "SP13": "tests/spec",
    "SD02": "a deleted field stops the next start: needs the lock file", "SD03": "as SD02", "SD07": "as SD02", "SD08": "as SD02",
    "SD10": "as SD02", "SD12": "tests/spec", "SD13": "state mutators",
    "DA03": "the service refuses control characters", "DA04": "JSON of the machine cannot hold one", "DA10": "tests/airtable",
    "DA11": "tests/airtable", "DA13": "no set is mapped in the sample", "DA15": "tests/bitbucket",
    "BU05": "create_records is not built", "OP02": "rollback is not built",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What makes a fault happen."""

    ops: tuple[Op, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    deaths: tuple[Death, ...] = ()
    store: tuple[StoreTrouble, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """
    What a fault is made on.

    Args:
        at_s: when it begins; `last_s` the scenario's end.
        text, long_text, status, url: names of fields that the spec maps, "" when it maps none.
        variants: of the spec, for reloads.
    """

    random: Random
    at_s: float
    last_s: float
    net: Net
    title: str = ""
    text: str = ""
    status: str = ""
    states: tuple[str, ...] = ()
    url: str = ""
    variants: tuple[str, ...] = ()
    slugs: int = 1
    variables: Mapping[str, Any] = field(default_factory=dict)

    def some_s(self, most: float = 240.0) -> float:
        """A duration that clusters at boundaries."""
        return round(self.random.choice((1.0, 5.0, 29.0, 31.0, 61.0, 121.0, self.random.uniform(1, most))), 1)

    @property
    def record(self) -> int:
        """Some record."""
        return self.random.randrange(7)

    @property
    def pull_request(self) -> int:
        """Some pull request."""
        return self.random.randrange(4)


Maker = Callable[[Ground], Parts | None]
_WRITES = {"airtable": ("PATCH",), "bitbucket": ("PUT", "POST")}


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
    def make(on: Ground) -> Parts:
        methods: tuple[str | None, ...] = (None,)
        if service is not None and (writes or (not reads and on.random.random() < 0.5)):
            methods = _WRITES[service]
        elif reads:
            methods = ("GET",) if service == "bitbucket" else ("GET", "POST")
        method = on.random.choice(methods)
        route = "/pullrequests" if method == "PUT" else "webhooks" if more.get("hooks") else ""
        chosen = {name: value for name, value in more.items() if name != "hooks"}
        if "statuses" in chosen:
            chosen["status"] = on.random.choice(chosen.pop("statuses"))
        if "flavours" in chosen:
            chosen |= on.random.choice(chosen.pop("flavours"))
        kind_now = chosen.pop("kind", kind)
        return Parts(
            troubles=(
                Trouble(
                    fault=fault,
                    kind=kind_now,
                    at_s=on.at_s,
                    until_s=on.at_s + on.some_s() if many or on.random.random() < 0.3 else None,
                    service=service,
                    method=method,
                    route=route,
                    after=on.random.choice((0, 0, 0, 1, 2, 5)),
                    count=on.random.choice((None, 10)) if many else on.random.choice((1, 1, 1, 2, 3)),
                    more=chosen,
                ),
            )
        )

    return make


def _delivery(fault: str, kind: str, *, lossy: bool = False, service: str = "bitbucket") -> Maker:
    def make(on: Ground) -> Parts | None:
        if on.net in (Net.POLLING, Net.SWEEP) or (lossy and on.net is Net.HOOKS):
            return None
        more: dict[str, Any] = {}
        count: int | None = on.random.choice((1, 2, 4, None))
        if kind == "delay_delivery":
            more = {"delay_s": on.random.choice((7.0, 31.0, 190.0))}
        if kind == "swap_deliveries":
            count, more = on.random.choice((2, 3)), {"delay_s": 45.0}
        if kind == "drop_delivery" and service == "airtable":
            more = {"status": on.random.choice((200, 500, 0))}
        return Parts(
            troubles=(
                Trouble(
                    fault=fault,
                    kind=kind,
                    service=service,
                    at_s=on.at_s,
                    until_s=on.at_s + on.some_s() + 200.0,
                    count=count,
                    more=more,
                ),
            )
        )

    return make


def _op(fault: str, verb: str, *, only: tuple[Net, ...] = (), **arguments: Any) -> Maker:
    def make(on: Ground) -> Parts | None:
        if only and on.net not in only:
            return None
        given = {name: value(on) if callable(value) else value for name, value in arguments.items()}
        if any(value is None for value in given.values()):
            return None
        return Parts(ops=(Op(at_s=on.at_s, verb=verb, arguments=given, fault=fault),))

    return make


def _window(fault: str, verb: str, begin: Mapping[str, Any], end: Mapping[str, Any], *, where: str = "") -> Maker:
    """Something begins, and ends after a while."""

    def make(on: Ground) -> Parts:
        place = {where: on.random.randrange(on.slugs)} if where else {}
        until = min(on.last_s, on.at_s + on.random.choice((20.0, 70.0, 200.0, 400.0)))
        return Parts(
            ops=(
                Op(at_s=on.at_s, verb=verb, arguments={**begin, **place}, fault=fault),
                _something(on, on.at_s + (until - on.at_s) * on.random.random(), str(begin.get("service", ""))),
                Op(at_s=until, verb=verb, arguments={**end, **place}),
            )
        )

    return make


def _something(on: Ground, at_s: float, away: str = "") -> Op:
    """
    What somebody does while a service cannot be reached, or after a clock was set back: what must not be lost.

    Args:
        away: the service that cannot be reached: it is done in the other one, so that it is heard of at once.
    """
    acts: list[tuple[str, dict[str, Any]]] = []
    if away != "bitbucket" or not on.title:
        acts += [
            ("push", {"record": on.random.choice((2, 3))}),
            ("merge", {"pull_request": on.random.randrange(2)}),
        ]
    if away != "airtable" and on.title:
        cells = {on.title: f"Meanwhile {on.random.randrange(1000)}"}
        acts.append(("edit", {"record": on.random.choice((2, 3, on.record)), "cells": cells}))
    verb, arguments = on.random.choice(acts)
    return Op(at_s=round(at_s, 1), verb=verb, arguments=arguments)


def _during(fault: str, service: str, method: str, route: str, verb: str, **arguments: Any) -> Maker:
    """Somebody acts while a request is under way."""

    def make(on: Ground) -> Parts | None:
        given = {name: value(on) if callable(value) else value for name, value in arguments.items()}
        if any(value is None for value in given.values()):
            return None
        during = During(service=service, method=method, route=route, after=on.random.choice((0, 0, 1)))
        return Parts(ops=(Op(at_s=on.at_s, verb=verb, arguments=given, during=during, fault=fault),))

    return make


def _text(fault: str, *texts: str) -> Maker:
    def make(on: Ground) -> Parts | None:
        name = on.random.choice([each for each in (on.title, on.text) if each] or [""])
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
    owned = on.variables["owned"]
    cells: Any = on.random.choice((_status_cells, _text_cells, _status_cells))(on)
    if owned and on.random.random() < 0.3:
        cells = {on.random.choice(owned): "somebody's"}
    if cells is None:
        return None
    number = on.random.randrange(2)
    during = During(service="airtable", method="PATCH", after=on.random.choice((0, 0, 1)))
    record = number + 2 if on.random.random() < 0.8 else on.record
    return Parts(
        ops=(
            Op(at_s=on.at_s, verb=on.random.choice(("merge", "merge", "decline")), arguments={"pull_request": number}),
            Op(
                at_s=on.at_s,
                verb="edit",
                arguments={"record": record, "cells": cells},
                during=during,
                fault="AW14",
            ),
        )
    )


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


def _death(on: Ground) -> Parts:
    port = on.random.choice(("store", "airtable", "bitbucket"))
    what = {
        "store": (
            "commit",
            "save_intents",
            "save_sent",
            "save_changes",
            "save_processed",
            "save_work",
            "claim_",
            "save_deliveries",
            "mark_",
        ),
        "airtable": ("PATCH", "PATCH", "GET", "POST"),
        "bitbucket": ("PUT", "POST", "POST", "GET"),
    }[port]
    name = on.random.choice(what)
    after = on.random.choice((0, 0, 1, 2, 3, 8, 20))
    return Parts(deaths=(Death(port=port, what=name, when=on.random.choice(("before", "after")), after=after),))


def _disk(fault: str, statements: tuple[str, ...]) -> Maker:
    def make(on: Ground) -> Parts:
        count = 1 if fault in ("ST02", "ST03") else on.random.choice((1, 3, 20))
        return Parts(
            store=(
                StoreTrouble(
                    fault=fault,
                    statement=on.random.choice(statements),
                    after=on.random.randrange(5 if fault == "BW19" else 150),
                    count=count,
                ),
            )
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


def _set_back(on: Ground) -> Parts:
    """The clock is set back, and then something happens that not every net sees."""
    seconds = on.random.choice((-61, -3600, -3600, -86_400))
    after = on.at_s + on.random.choice((5.0, 61.0))
    build = {"pull_request": on.random.randrange(2), "state": on.random.choice(("SUCCESSFUL", "FAILED"))}
    seen = on.net in (Net.ALL, Net.SWEEP) and on.random.random() < 0.5
    return Parts(
        ops=(
            Op(at_s=on.at_s, verb="jump", arguments={"seconds": seconds}, fault="CL02"),
            Op(at_s=after, verb="build", arguments=build) if seen else _something(on, after),
        )
    )


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
    words = f"Refused {on.random.randrange(1000)}"
    ops = [Op(at_s=on.at_s + 1.0, verb="edit", arguments={"record": one, "cells": {on.title: words}}) for one in (2, 3)]
    return Parts(
        ops=tuple(ops) if on.title else (),
        troubles=(
            Trouble(
                fault="BB29",
                kind="refuse",
                service="bitbucket",
                method="PUT",
                route="/pullrequests/2$",
                at_s=on.at_s,
                count=None,
                more={"status": 400, "body": '{"type":"error","error":{"message":"Refused for ever"}}'},
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
    FaultId.AT02: _op("AT02", "second_client", requests=lambda on: on.random.choice((4, 5, 6))),
    FaultId.AT03: _trouble("AT03", "refuse", "airtable", statuses=(500, 502, 503, 504)),
    FaultId.AT04: _trouble(
        "AT04", "lose_reply", "airtable", writes=True, flavours=({}, {"kind": "fail_after"}, {"kind": "hang", "applied": True})
    ),
    FaultId.AT05: _trouble("AT05", "slow", "airtable", flavours=({}, {"kind": "hang"})),
    FaultId.AT06: _trouble("AT06", "html", "airtable", flavours=({}, {"kind": "cut"})),
    FaultId.AT07: _trouble("AT07", "error_shaped", "airtable", flavours=({}, {"body": "{}"}, {"body": "[]"})),
    FaultId.AT08: _op("AT08", "airtable_service", act="forget_offsets"),
    FaultId.AT09: _during("AT09", "airtable", "POST", "/listRecords", "create", cells=_title_cells),
    FaultId.AT10: _trouble("AT10", "refuse", "airtable", writes=True, status=422, body='{"error":{"type":"INVALID_VALUE_FOR_COLUMN","message":"no"}}'),
    FaultId.AT12: _window("AT12", "token", {"service": "airtable", "valid": False}, {"service": "airtable", "valid": True}),
    FaultId.AT13: _window("AT13", "role", {"role": "read"}, {"role": "create"}),
    FaultId.AT14: _trouble("AT14", "refuse", "airtable", many=True, status=404, body='{"error":"NOT_FOUND"}'),
    FaultId.AT16: _during("AT16", "airtable", "PATCH", "", "delete", record=lambda on: on.record),
    FaultId.AT17: _restored,
    FaultId.AT23: _op("AT23", "duplicate", record=lambda on: on.random.choice((2, 3, 4))),
    FaultId.AW01: _op("AW01", "airtable_service", act="expire_hook", only=(Net.ALL,)),
    FaultId.AW02: _op("AW02", "airtable_service", act="disable_hook", only=(Net.ALL,)),
    FaultId.AW03: _delivery("AW03", "drop_delivery", lossy=True, service="airtable"),
    FaultId.AW04: _op("AW04", "airtable_service", act="drop_payloads", only=(Net.ALL,)),
    FaultId.AW07: _delivery("AW07", "duplicate_delivery", service="airtable"),
    FaultId.AW08: _op("AW08", "forge", provider="airtable"),
    FaultId.AW14: _gap,
    FaultId.BB01: _trouble("BB01", "throttle", "bitbucket"),
    FaultId.BB02: _op("BB02", "second_client", service="bitbucket", requests=lambda on: on.random.choice((100, 300))),
    FaultId.BB03: _trouble("BB03", "refuse", "bitbucket", statuses=(500, 502, 503, 504)),
    FaultId.BB04: _trouble("BB04", "lose_reply", "bitbucket", writes=True, flavours=({}, {"kind": "fail_after"}, {"kind": "hang", "applied": True})),
    FaultId.BB05: _trouble("BB05", "slow", "bitbucket", flavours=({}, {"kind": "hang"})),
    FaultId.BB06: _trouble("BB06", "html", "bitbucket", many=True, statuses=(200, 503)),
    FaultId.BB07: _lying_list,
    FaultId.BB08: _trouble("BB08", "error_shaped", "bitbucket", reads=True, body='{"values":[],"next":"http://elsewhere.example/2.0/x"}'),
    FaultId.BB10: _window("BB10", "token", {"service": "bitbucket", "valid": False}, {"service": "bitbucket", "valid": True}),
    FaultId.BB11: _trouble("BB11", "refuse", "bitbucket", many=True, status=403, body='{"type":"error","error":{"message":"no"}}'),
    FaultId.BB12: _window("BB12", "repository", {"act": "hide_repository"}, {"act": "show_repository"}, where="repository"),
    FaultId.BB13: _op("BB13", "repository", act="rename_repository", repository=lambda on: on.random.randrange(on.slugs), name=lambda on: f"renamed-{on.random.randrange(99)}"),
    FaultId.BB15: _op("BB15", "branch", record=lambda on: on.random.choice((0, 1, 6))),
    FaultId.BB16: _op("BB16", "delete_branch", record=lambda on: on.record),
    FaultId.BB18: _op("BB18", "open_pull_request", record=lambda on: on.record),
    FaultId.BB19: _during("BB19", "bitbucket", "PUT", "", "merge", pull_request=lambda on: on.random.randrange(2)),
    FaultId.BB20: _declined,
    FaultId.BB21: _op("BB21", "edit_pull_request", pull_request=lambda on: on.random.randrange(2), title="No marker", bare=True),
    FaultId.BB22: _op("BB22", "strange_pull_request", record=lambda on: on.record),
    FaultId.BB23: _op("BB23", "strange_pull_request", record=lambda on: on.record, fork=True),
    FaultId.BB24: _op("BB24", "push", record=lambda on: on.random.choice((2, 3)), force=True),
    FaultId.BB28: _text("BB28", "A very long name " * 40),
    FaultId.BB29: _poison,
    FaultId.BW01: _delivery("BW01", "duplicate_delivery"),
    FaultId.BW02: _delivery("BW02", "delay_delivery"),
    FaultId.BW03: _delivery("BW03", "drop_delivery", lossy=True),
    FaultId.BW04: _delivery("BW04", "swap_deliveries"),
    FaultId.BW06: _op("BW06", "forge", provider="bitbucket", signature=lambda on: on.random.choice(("sha256=00", "sha1=ab", "", "SHA256=FF"))),
    FaultId.BW07: _op("BW07", "replay", delivery=lambda on: on.random.randrange(20)),
    FaultId.BW13: _op("BW13", "bitbucket_hook", act=lambda on: on.random.choice(("delete_hook", "edit_hook")), repository=lambda on: on.random.randrange(on.slugs), only=(Net.ALL,)),
    FaultId.BW15: _burst,
    FaultId.BW19: _disk("BW19", ("INSERT INTO inbox", "INSERT INTO delivery")),
    FaultId.NE01: _trouble("NE01", "dns", None, many=True),
    FaultId.NE02: _trouble("NE02", "tls", None, many=True),
    FaultId.NE04: _trouble("NE04", "refused", "bitbucket", many=True),
    FaultId.NE05: _trouble("NE05", "html", None, many=True),
    FaultId.CL01: _op("CL01", "jump", seconds=lambda on: on.random.choice((3600, 86_400, 31_536_000))),
    FaultId.CL02: _set_back,
    FaultId.CL03: _op("CL03", "suspend", seconds=lambda on: on.random.choice((61, 600))),
    FaultId.ST01: _disk("ST01", ("COMMIT", "INSERT", "UPDATE")),
    FaultId.ST02: _disk("ST02", ("SELECT",)),
    FaultId.ST03: _disk("ST03", ("COMMIT",)),
    FaultId.ST04: _disk("ST04", ("BEGIN IMMEDIATE",)),
    FaultId.ST11: _backup,
    FaultId.PR01: _death,
    FaultId.PR02: _op("PR02", "restart"),
    FaultId.PR03: _op("PR03", "reload", variant=""),
    FaultId.SP04: _op("SP04", "reload", variant=lambda on: on.random.choice(on.variants) if on.variants else None),
    FaultId.SD01: _op("SD01", "schema", act="rename_field", field=lambda on: on.text or None, name="Renamed by a person"),
    FaultId.SD04: _option("SD04", "rename_choice", name="Renamed"),
    FaultId.SD05: _option("SD05", "delete_choice"),
    FaultId.SD06: _op("SD06", "schema", act="add_choice", field=lambda on: on.status or None, name="Somewhere else"),
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
    FaultId.OP03: _op("OP03", "compare"),
    FaultId.OP04: _op("OP04", "edit", record=lambda on: on.record, cells=lambda on: {on.url: on.random.choice(("", "https://bitbucket.org/acme/web/pull-requests/2", "nonsense"))} if on.url else None),
    FaultId.SECOND: _together,
}  # fmt: skip
