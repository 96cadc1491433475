"""
Every fault of reliability.md that applies to what exists, and why the others are not made. A fault is counted when it strikes,
not when it is planned; `making` says how each is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any

from syncd.simulate.scenario import Death, Net, Op, StoreTrouble, Trouble


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
    PR02 = "a stop in the middle of a batch, and a restart"
    PR03 = "a reload in the middle of a pass"
    SP04 = "a rule is changed"
    SD01 = "a field is renamed"
    SD02 = "a field is deleted"
    SD03 = "a field gets another type"
    SD04 = "an option is renamed"
    SD05 = "an option is deleted while in use"
    SD06 = "an unknown option arrives"
    SD07 = "a table is renamed, or its view is deleted"
    SD08 = "a field becomes computed"
    DA01 = "emoji and combining characters"
    DA02 = "bidi and zero-width characters"
    DA05 = "a very long text"
    DA06 = "CRLF and trailing blanks"
    DA07 = "markdown, HTML and mentions"
    DA09 = "characters that git refuses"
    DA12 = "empty and blank"
    BU01 = "all records change at once"
    BU02 = "all records are deleted at once"
    BU03 = "a wrong status pasted over all rows"
    BU04 = "a robot answers our writes"
    OP01 = "the kill switch"
    OP04 = "a person edits the link field"
    SECOND = "both sides of a field change at the same instant"


ALWAYS: Mapping[str, str] = {
    "AT19": "every answer of the emulated Airtable leaves empty cells out",
    "AW11": "every write of ours comes back as a change",
    "BB27": "drawn per world: lists may show a new object only later",
    "BW16": "every write of ours makes an event",
    "CL07": "with no latency many things happen at one instant",
}  # fmt: skip
"""What every life meets, or every life in a world that was drawn so: nothing to be made, and nothing to be counted."""


SHOWN: Mapping[str, tuple[str, int]] = {
    "AT02": ("airtable", 429), "AT08": ("airtable", 422), "AT12": ("airtable", 401), "AT13": ("airtable", 403),
    "BB02": ("bitbucket", 429), "BB10": ("bitbucket", 401), "BB12": ("bitbucket", 404),
}  # fmt: skip
"""Acts that strike only when a request meets what they left behind: (service, status) of the answer that shows it."""


MISSING: Mapping[str, str] = {
    "AT11": "monthly quota: a life is shorter than a month; tests/flow and tests/core",
    "AT15": "upserts: create_records is not built",
    "AT18": "the emulated Airtable has no read lag",
    "AT20": "the emulated Airtable stores text as it was sent",
    "AT21": "no rule of the sample writes a computed field; refused when the spec is checked: tests/spec",
    "AT22": "no rule of the sample reads a computed field",
    "AT24": "a second base",
    "AT26": "the emulated Airtable refuses a locked field, it does not ignore it",
    "AT27": "no rule of the sample maps links, attachments or people; tests/spec and tests/airtable",
    "AW05": "part of ST11",
    "AW06": "the emulated hook cannot be renumbered",
    "AW09": "what a life changes fits on one page of payloads; deaths around that page are PR01's",
    "AW10": "payload mutators: tests/airtable",
    "AW12": "ten hooks: needs other integrations in the world",
    "AW13": "wiping the secret row",
    "BB09": "the emulated lists of Bitbucket are shorter than a page",
    "BB14": "the emulated Bitbucket moves no repository to another workspace",
    "BB17": "an empty repository: the worlds have none",
    "BB26": "issues are not a kind of work here",
    "BB30": "10,000 pull requests: soak",
    "BW05": "payload over 256 KB: to us the same as BW03",
    "BW08": "two secrets: the sample has one",
    "BW09": "raw sockets: tests/web",
    "BW10": "unreadable bodies: tests/web and tests/bitbucket",
    "BW11": "body mutators: tests/bitbucket",
    "BW14": "two hooks for one repository",
    "BW17": "request ids reused",
    "BW18": "the emulated Bitbucket has no read lag of single objects",
    "NE06": "sockets", "NE08": "sockets",
    "CL04": "no cron-like schedule exists",
    "CL06": "the machines' clocks are the world's clock; only ours jumps",
    "ST05": "real files: tests/store", "ST06": "real files: tests/store", "ST07": "real files",
    "ST09": "real files: tests/store", "ST10": "real files: tests/store", "ST12": "real files: tests/store",
    "ST13": "one process at a time lives here",
    "ST15": "long runs", "ST16": "the same as PR01 here: every commit is durable",
    "PR04": "processes", "PR05": "threads", "PR06": "one thread", "PR07": "threads", "PR08": "one version", "PR10": "threads",
    "SP01": "tests/spec", "SP02": "tests/spec", "SP03": "the variant “no-columns” at SP04", "SP05": "part of SP04",
    "SP06": "tests/spec", "SP07": "no variant changes the graph", "SP08": "tests/spec", "SP10": "tests/spec",
    "SP11": "part of BU01", "SP12": "part of PR03", "SP13": "tests/spec",
    "SD10": "the emulated Airtable hides no field from a token",
    "SD12": "tests/spec", "SD13": "state mutators: tests/bitbucket",
    "DA03": "the service refuses control characters", "DA04": "JSON of the machine cannot hold one", "DA10": "tests/airtable",
    "DA11": "tests/airtable", "DA13": "no set is mapped in the sample", "DA15": "tests/bitbucket",
    "BU05": "create_records is not built", "OP02": "rollback is not built",
    "OP03": "no command replays what is stored; BW07 replays a delivery",
}  # fmt: skip
"""What is not made here, and why: with `FaultId` and `ALWAYS` every id of reliability.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What makes a fault happen."""

    ops: tuple[Op, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    deaths: tuple[Death, ...] = ()
    store: tuple[StoreTrouble, ...] = ()


# With the sweep alone a process compares both sides when it starts, and then: `setting`.
_SWEPT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """
    What a fault is made on.

    Args:
        at_s: when it begins; `last_s` the scenario's end.
        title, text, status, url: names of fields that the spec maps, "" when it maps none.
        owned: fields that Bitbucket owns. view: the table's, "" for none.
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
    owned: tuple[str, ...] = ()
    view: str = ""
    variants: tuple[str, ...] = ()
    slugs: int = 1
    variables: Mapping[str, Any] = field(default_factory=dict)

    def begin_s(self, needs_s: float) -> float:
        """When it begins, so early that what it stirs up still comes: by the net, and `needs_s` seconds more."""
        latest_s = _SWEPT_S - 10.0 if self.net is Net.SWEEP else self.last_s - self.lag_s(0.0)
        return round(max(0.0, min(self.at_s, latest_s - needs_s)), 1)

    def lag_s(self, at_s: float) -> float:
        """How long after an act of that time its requests have been sent: the quiet period, and the net's own time."""
        if self.net is Net.SWEEP:
            return max(15.0, _SWEPT_S + 10.0 - at_s)
        return 130.0 if self.net is Net.POLLING else 10.0

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
