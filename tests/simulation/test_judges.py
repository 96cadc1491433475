"""The judges complain when they must: a true case is falsified in one place, and the right promise is named."""

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.simulate import invariants, play, setting
from syncd.simulate.case import Case
from syncd.simulate.scenario import Op, Scenario

DAY = Scenario(
    ops=(
        Op(at_s=10, verb="edit", arguments={"record": 0, "cells": {"Status": "Ready"}}),
        Op(at_s=30, verb="edit", arguments={"record": 2, "cells": {"Name": "Another name"}}),
        Op(at_s=40, verb="pause", arguments={"scope": "to-airtable"}),
        Op(at_s=41, verb="resume", arguments={"scope": "to-airtable"}),
        Op(at_s=60, verb="merge", arguments={"pull_request": 1}),
    ),
    minutes=4,
)


@pytest.fixture
def case(home: setting.Setting) -> Case:
    """A day that went well."""
    found = play.play(home, DAY, keep=True)
    assert found.violations == []
    assert found.case is not None
    return found.case


def _no_row(case: Case) -> None:
    row = next(row for row in case.rows if row.sequence > case.journal_before and row.kind == "status")
    case.rows = [one for one in case.rows if (one.object, one.field) != (row.object, row.field)]


def _open_row(case: Case) -> None:
    case.rows = [*case.rows[:-1], replace(case.rows[-1], state="sent")]


def _late_row(case: Case) -> None:
    case.rows = [replace(row, at=row.at + timedelta(minutes=20)) for row in case.rows]


def _other_cell(case: Case) -> None:
    truth = case.truths["features"]
    for work in truth.work.values():
        if work.primary is not None and work.primary.state == "OPEN":
            work.primary.title += " and more"


def _other_status(case: Case) -> None:
    truth = case.truths["features"]
    for work in truth.work.values():
        if work.scope["record"]["Status"] == "Merged":
            work.scope["record"]["Status"] = "In Review"


def _long_pause(case: Case) -> None:
    case.evidence.pauses = [(case.marks["begun"], "to-airtable", True, 0)]


def _not_processed(case: Case) -> None:
    case.inbox = 1


def _second_branch(case: Case) -> None:
    for place, every in list(case.history.items()):
        if every[0].own and every[0].change.kind == "branch":
            case.history[f"{place[0]}-again", place[1]] = every


def _secret(case: Case) -> None:
    case.image += case.secrets[0].encode()


def _private(case: Case) -> None:
    case.image += b"CANARY-9f1c7b cell features 1"


def _wrote_again(case: Case) -> None:
    case.marks = {**case.marks, "settled": case.marks["begun"]}


def _wrong_edge(case: Case) -> None:
    status = next(sync.status for sync in case.syncs() if sync.status is not None)
    bare = replace(status, transitions=())
    sync = replace(next(iter(case.syncs())), status=bare)
    case.spans = [(case.spans[0][0], replace(case.spans[0][1], syncs={sync.name: sync}))]


def _degraded(case: Case) -> None:
    case.status = {**case.status, "state": "degraded", "reasons": ["something"]}


def _airtable_owns_nothing(case: Case) -> None:
    sync = next(iter(case.syncs()))
    fields = tuple(
        replace(rule, owner=next(one.owner for one in sync.fields if one.attribute == "pr.title"))
        for rule in sync.fields
    )
    case.spans = [(case.spans[0][0], replace(case.spans[0][1], syncs={sync.name: replace(sync, fields=fields)}))]


def _stranger(case: Case) -> None:
    index = next(index for index, one in enumerate(case.effects) if one.own and one.change.attribute == "title")
    theirs = next(
        place for place, every in case.history.items() if place[1] == "title" and every[0].change.after == "Not ours"
    )
    case.effects[index] = replace(case.effects[index], place=theirs)


def _throttled(case: Case) -> None:
    service = case.logs["airtable"]
    index = next(index for index, one in enumerate(service) if index > case.begun["airtable"] and one.method == "GET")
    case.logs = {
        **case.logs,
        "airtable": [*service[:index], replace(service[index], status=429), *service[index + 1 :]],
    }


def _foreign_value(case: Case) -> None:
    case.rows = [replace(row, before="null") if row.place == "pr.title" else row for row in case.rows]


def _internal(case: Case) -> None:
    case.evidence.internal.append((case.marks["begun"], "worker 0: KeyError"))


def _made_without_a_row(case: Case) -> None:
    case.rows = [row for row in case.rows if not row.kind.startswith("create ")]


def _made_before_its_row(case: Case) -> None:
    case.rows = [
        replace(row, at=row.at + timedelta(seconds=5)) if row.kind == "create branch" else row for row in case.rows
    ]


def _declined(case: Case) -> None:
    index = next(index for index, one in enumerate(case.effects) if one.change.attribute == "title" and one.own)
    effect = case.effects[index]
    case.effects[index] = replace(
        effect,
        entry=replace(effect.entry, method="POST", path=f"{effect.entry.path}/decline"),
        change=replace(effect.change, attribute="state", before="OPEN", after="DECLINED"),
    )


def _not_as_it_was(case: Case) -> None:
    what = next(iter(case.strangers))
    case.strangers = {**case.strangers, what: "ours"}


def _not_silent(case: Case) -> None:
    first = case.requests("bitbucket")[0].at
    case.evidence.throttled.append((first - timedelta(seconds=1), "bitbucket"))
    case.evidence.starts.clear()


def _secret_in_the_log(case: Case) -> None:
    case.evidence.log.append(base64.b64encode(f"syncd:{case.secrets[0]}".encode()).decode())


def _secret_in_hex(case: Case) -> None:
    case.image += case.secrets[0].encode().hex().encode()


def _address_in_the_log(case: Case) -> None:
    case.evidence.log.append("edited by grace@acme.dev")


def _away_unseen(case: Case) -> None:
    at = case.marks["begun"]
    case.evidence.away.append((at, at + timedelta(minutes=1), "bitbucket", {**case.status, "state": "ok"}))


def _full_disk(case: Case) -> None:
    case.disk_full = [(case.marks["begun"] + timedelta(seconds=9), None)]


def _link_emptied(case: Case) -> None:
    """The link field goes and comes back, with nothing in between."""
    sync = next(iter(case.syncs()))
    effect = next(one for one in case.effects if one.own and one.change.attribute == sync.status.field.id)  # type: ignore[union-attr]  # the sample has one
    url = replace(effect.change, attribute=str(sync.link.url), before="there", after=None)
    gone = replace(effect, change=url, place=(effect.place[0], str(sync.link.url)))
    later = replace(effect.entry, at=effect.entry.at + timedelta(seconds=1))
    back = replace(gone, entry=later, change=replace(url, before=None, after="there"))
    case.effects = [one for one in case.effects if one.own]
    case.effects += [gone, back]
    case.history[gone.place] = [gone, back]


def _impatient(case: Case) -> None:
    at, path = case.marks["healed"] + timedelta(minutes=2), "/2.0/repositories/acme/web/pullrequests/2"
    for seconds in (0, 60):
        case.evidence.sent.append((at + timedelta(seconds=seconds), "bitbucket", "PUT", path, b"{}", 400))


def _failed_commit(case: Case) -> None:
    case.commits_failed = [case.marks["begun"] + timedelta(seconds=9)]


FALSIFIED: list[tuple[str, Callable[[Case], None], str]] = [
    ("a row is missing", _no_row, "I05"),
    ("a row never ended", _open_row, "I14"),
    ("rows came after their writes", _late_row, "I14"),
    ("a title is another", _other_cell, "I01"),
    ("a status stopped early", _other_status, "I01"),
    ("a write although paused", _long_pause, "I20"),
    ("a delivery was left", _not_processed, "I16"),
    ("two branches", _second_branch, "I10"),
    ("a token in the state", _secret, "I29"),
    ("a token in base64 in the log", _secret_in_the_log, "I29"),
    ("a token in hex in the state", _secret_in_hex, "I29"),
    ("a person's address in the log", _address_in_the_log, "I30"),
    ("a private cell in the state", _private, "I30"),
    ("writes after rest", _wrote_again, "I02"),
    ("a step without an edge", _wrong_edge, "I12"),
    ("degraded without a reason", _degraded, "I35"),
    ("a field of the other owner", _airtable_owns_nothing, "I03"),
    ("a pull request of nobody", _stranger, "I04"),
    ("a branch without a row", _made_without_a_row, "I14"),
    ("a branch before its row", _made_before_its_row, "I14"),
    ("a decision that was people's", _declined, "I04"),
    ("a stranger that is not as it was", _not_as_it_was, "I04"),
    ("a request although Bitbucket asked to wait", _not_silent, "I21"),
    ("a service that is away, and all is well", _away_unseen, "I35"),
    ("requests while the disk is full", _full_disk, "I32"),
    ("a link that went and came back", _link_emptied, "I13"),
    ("a refused request at once again", _impatient, "I22"),
    ("a 429 of our own making", _throttled, "I21"),
    ("a mistake of our own", _internal, "I31"),
    ("requests after a failed commit", _failed_commit, "I32"),
]


@pytest.mark.parametrize(("falsify", "invariant"), [row[1:] for row in FALSIFIED], ids=[row[0] for row in FALSIFIED])
def test_a_falsified_case_is_found_out(case: Case, falsify: Callable[[Case], None], invariant: str) -> None:
    falsify(case)
    assert invariant in {one.invariant for one in invariants.judge(case)}
