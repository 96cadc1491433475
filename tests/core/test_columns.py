"""The link field, and the columns about the daemon itself."""

from dataclasses import replace
from typing import Any

import pytest

from syncd.core import plan
from syncd.model.change import Kind, Owner, RecordPlan, RecordState
from syncd.model.value import NOTHING, Unknown
from syncd.model.work import List
from syncd.spec.rules import Columns, SyncRules
from tests.build import (
    OTHER,
    RECORD,
    TABLE,
    a_branch,
    a_field,
    a_hold,
    a_key,
    a_pull_request,
    a_record,
    a_situation,
    agreed_key,
    applied,
    at,
    bare_rules,
    sync_rules,
    val,
)

LINK = bare_rules(link=sync_rules().link)
OWN = bare_rules(columns=sync_rules().columns)
URL = "https://bitbucket.org/acme/web/pull-requests/{}"
PLAIN: dict[str, Any] = {"title": "x", "source_branch": "x"}


def planned(rules: SyncRules, *found: Any, **more: Any) -> RecordPlan:
    return plan.plan_record(a_situation(rules, *found, **more), rules)


def written(made: RecordPlan) -> dict[str, Any]:
    return {write.what: write.after for write in made.writes}


# ------------------------------------------------------------------------------------------- the link field


def of_link(*found: Any, cell: Any = None, agreed: str | None = None, **more: Any) -> RecordPlan:
    known = {} if agreed is None else {agreed_key("PR URL"): agreed}
    return planned(LINK, *found, record=a_record(PR_URL=cell), agreed=known, **more)


def test_the_link_field_shows_the_primary() -> None:
    (write,) = of_link(a_pull_request(1, state="MERGED"), a_pull_request(2)).writes
    assert (write.after, write.owner, write.kind) == (val(URL.format(2)), Owner.SYNCD, Kind.LINK)


def test_a_link_that_shows_the_primary_agrees() -> None:
    made = of_link(a_pull_request(1), cell=URL.format(1))
    assert made.writes == ()
    assert [one.value for one in made.agreements] == [val(URL.format(1))]


def test_a_new_primary_replaces_the_old_one() -> None:
    made = of_link(a_pull_request(1, state="MERGED"), a_pull_request(2), cell=URL.format(1), agreed=URL.format(1))
    assert written(made) == {"PR URL": val(URL.format(2))}
    assert made.foreign_edits == ()


def test_a_cleared_link_is_put_back() -> None:
    """OP04."""
    made = of_link(a_pull_request(1), agreed=URL.format(1))
    assert written(made) == {"PR URL": val(URL.format(1))}
    assert len(made.foreign_edits) == 1


def test_a_typed_url_is_a_link_command() -> None:
    made = of_link(a_pull_request(5, **PLAIN), cell=URL.format(5), remembered=frozenset())
    assert [(link.pull_request, link.evidence) for link in made.links] == [(a_key(5), "url")]
    assert made.writes == ()
    assert made.linked


def test_a_typed_url_links_beside_what_is_linked_and_the_primary_is_shown() -> None:
    older = a_pull_request(5, **PLAIN, created_on=at(0))
    made = of_link(
        a_pull_request(1), older, cell=URL.format(5) + "/diff", agreed=URL.format(1), remembered=frozenset({a_key(1)})
    )
    assert [link.pull_request for link in made.links] == [a_key(5)]
    assert written(made) == {"PR URL": val(URL.format(1))}
    assert made.foreign_edits == ()


def test_a_typed_url_is_not_overwritten_before_its_pull_request_was_read() -> None:
    made = of_link(a_pull_request(1), cell=URL.format(5), agreed=URL.format(1))
    assert [link.evidence for link in made.links] == ["url"]
    assert made.writes == ()
    assert made.state is RecordState.PENDING


def test_a_typed_url_may_share_another_records_pull_request() -> None:
    shared = {"records_of": {a_key(5): (OTHER,)}, "remembered": frozenset({a_key(1)})}
    made = of_link(a_pull_request(1), a_pull_request(5, **PLAIN), cell=URL.format(5), agreed=URL.format(1), **shared)
    assert [link.evidence for link in made.links] == ["url"]


def test_a_duplicated_row_does_not_steal_the_link() -> None:
    """AT23: at first contact a URL whose pull request belongs to another record is not trusted."""
    made = of_link(
        a_pull_request(5, **PLAIN), cell=URL.format(5), records_of={a_key(5): (OTHER,)}, remembered=frozenset()
    )
    assert (made.links, made.writes, made.linked) == ((), (), False)
    assert made.state is RecordState.REFUSED
    assert f"belongs to another record ({OTHER})" in made.note


def test_a_duplicated_row_that_has_work_of_its_own_shows_that() -> None:
    made = of_link(
        a_pull_request(1),
        a_pull_request(5, **PLAIN),
        cell=URL.format(5),
        records_of={a_key(5): (OTHER,)},
        remembered=frozenset({a_key(1)}),
    )
    assert made.links == ()
    assert written(made) == {"PR URL": val(URL.format(1))}


def test_a_fork_is_not_linked_by_its_url_either() -> None:
    made = of_link(a_pull_request(5, source_repository=None), cell=URL.format(5), remembered=frozenset())
    assert made.links == ()
    assert "comes from a fork" in made.note


def test_anything_else_that_is_typed_is_put_right() -> None:
    made = of_link(a_pull_request(1), cell="soon", agreed=URL.format(1))
    assert written(made) == {"PR URL": val(URL.format(1))}
    assert [edit.value for edit in made.foreign_edits] == [val("soon")]


def test_what_is_typed_stays_when_there_is_nothing_better_to_show() -> None:
    made = of_link(cell="soon")
    assert made.writes == ()
    assert '"PR URL": it holds no pull request' in made.note


def test_the_link_goes_with_its_pull_request() -> None:
    assert written(of_link(cell=URL.format(1), agreed=URL.format(1))) == {"PR URL": NOTHING}


def test_the_link_stays_while_the_pull_requests_are_not_known() -> None:
    made = of_link(cell=URL.format(1), agreed=URL.format(1), incomplete={List.PULL_REQUESTS: "x"})
    assert made.writes == ()
    assert made.pending


def test_a_link_cell_that_cannot_be_read_is_left() -> None:
    assert of_link(a_pull_request(1), cell=Unknown("#ERROR")).writes == ()


def test_a_held_link_is_left() -> None:
    assert of_link(a_pull_request(1), holds=(a_hold(field="PR URL"),)).writes == ()


def test_in_adoption_the_link_is_shown_and_marked() -> None:
    (write,) = of_link(a_pull_request(1), accepted=frozenset()).writes
    assert write.adoption


# ------------------------------------------------------------------------------------------- state and note


STATES: list[tuple[str, dict[str, Any], str, str]] = [
    ("held", {"holds": (a_hold("frozen"),)}, "held", "held: frozen"),
    (
        "a refusal of the service",
        {"parked": "422: no such option"},
        "error",
        "the last change was refused: 422: no such option",
    ),
    ("held counts more than an error", {"holds": (a_hold("frozen"),), "parked": "x"}, "held", "held: frozen"),
]


@pytest.mark.parametrize(("more", "state", "note"), [row[1:] for row in STATES], ids=[row[0] for row in STATES])
def test_state_and_note_say_what_syncd_found(more: dict[str, Any], state: str, note: str) -> None:
    made = planned(OWN, **more)
    assert made.state is RecordState(state)
    assert made.note.startswith(note)
    assert written(made) == {"Sync state": val(state), "Sync note": val(made.note)}
    assert {write.kind for write in made.writes} == {Kind.COLUMN}


def test_columns_are_written_only_when_they_differ() -> None:
    assert planned(OWN, a_pull_request(), record=a_record(Sync_state="ok")).writes == ()


def test_a_note_goes_when_its_cause_is_gone() -> None:
    made = planned(OWN, a_pull_request(), record=a_record(Sync_state="held", Sync_note="held: frozen"))
    assert written(made) == {"Sync state": val("ok"), "Sync note": NOTHING}


def test_a_record_that_has_nothing_to_do_with_the_sync_stays_untouched() -> None:
    assert planned(OWN).writes == ()


def test_pending_is_not_written_and_takes_no_note_back() -> None:
    """An outage of minutes must not change every record twice."""
    rules = sync_rules(fields=(), actions=())
    record = a_record(Sync_state="refused", Sync_note="something", Status="Ready")
    made = planned(rules, record=record, agreed={agreed_key("Status"): "Ready"}, incomplete={List.BRANCHES: "x"})
    assert made.state is RecordState.PENDING
    assert made.writes == ()


def test_the_run_column_never_causes_a_write() -> None:
    assert planned(OWN, a_pull_request(), record=a_record(Sync_state="ok", Sync_run="old")).writes == ()


def test_a_state_column_that_lacks_the_option_is_left_alone() -> None:
    small = replace(TABLE["Sync state"], choices=("ok",))
    rules = bare_rules(columns=Columns(state=small))
    assert planned(rules, holds=(a_hold(),)).writes == ()


def test_without_columns_nothing_is_written_about_the_daemon() -> None:
    assert planned(bare_rules(), parked="x", holds=(a_hold(),)).writes == ()


def test_a_note_of_several_reasons_lists_each_once() -> None:
    made = planned(OWN, parked="a | b", holds=(a_hold("frozen"), a_hold("later", field="Name")))
    assert made.note.count("held: frozen") == 1
    assert made.note.count(" | ") == 2


def test_a_note_reads_the_same_in_a_one_line_column() -> None:
    rules = bare_rules(columns=Columns(note=a_field("Sync note", "singleLineText")))
    situation = a_situation(rules, parked="first\nsecond")
    first = plan.plan_record(situation, rules)
    assert plan.plan_record(applied(situation, first, rules), rules).writes == ()


def test_an_illegal_edit_without_a_note_column_leaves_no_state_behind() -> None:
    rules = sync_rules(fields=(), actions=(), columns=Columns(state=TABLE["Sync state"]))
    situation = a_situation(
        rules, a_branch(ahead=False), record=a_record(Status="Released"), agreed={agreed_key("Status"): "Ready"}
    )
    first = plan.plan_record(situation, rules)
    assert written(first) == {"Status": val("Ready"), "Sync state": val("ok")}
    assert [refusal.rule for refusal in first.refusals] == ["status.illegal_edit"]
    assert plan.plan_record(applied(situation, first, rules), rules).writes == ()


def test_the_record_of_the_tests_is_the_one_in_its_branch() -> None:
    assert RECORD in a_branch().name
