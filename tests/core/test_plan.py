"""plan_record: fields, status and actions of one record together; completeness, adoption, scope, holds."""

from dataclasses import replace
from typing import Any

import pytest

from syncd.core import plan
from syncd.core.fields import agreed_after
from syncd.model.change import (
    Agreement,
    Attribute,
    Cell,
    CreateBranch,
    CreatePullRequest,
    Kind,
    Owner,
    Priority,
    RecordPlan,
    RecordState,
    Side,
    Write,
)
from syncd.model.situation import EditTimes, OpenConflict, Situation
from syncd.model.value import NOTHING, Unknown
from syncd.model.work import List
from syncd.spec.expression import parse
from syncd.spec.rules import ForeignEditRule, SyncRules
from tests.build import (
    ADA,
    BEN,
    NOW,
    OTHER,
    RECORD,
    TABLE,
    a_branch,
    a_build,
    a_deployment,
    a_hold,
    a_key,
    a_pull_request,
    a_record,
    a_rule,
    a_situation,
    agreed_key,
    applied,
    at,
    bare_rules,
    field_id,
    spec_status,
    sync_rules,
    val,
)

RULES = sync_rules()
NAME = bare_rules(a_rule("Name", "pr.title"))
DETAILS = bare_rules(a_rule("Details", "pr.description"))
SHARED = bare_rules(a_rule("Details", "pr.description", Owner.BOTH))
STATE = bare_rules(a_rule("Last commit", "pr.source_commit", Owner.BITBUCKET))
HELD_LIST = {List.PULL_REQUESTS: "web could not be read"}


def planned(rules: SyncRules, *found: Any, **more: Any) -> RecordPlan:
    return plan.plan_record(a_situation(rules, *found, **more), rules)


def write_to(made: RecordPlan, place: str) -> Write | None:
    """The write to a cell (by field name) or to an attribute ("pr.title")."""
    found = [write for write in made.writes if write.what == place]
    assert len(found) <= 1
    return found[0] if found else None


def cells(made: RecordPlan) -> dict[str, Any]:
    """What is written to cells, by field name."""
    return {write.what: write.after for write in made.writes if isinstance(write.target, Cell)}


# ------------------------------------------------------------------------------------------- fields


def test_a_title_is_written_in_full_with_its_prefix() -> None:
    made = planned(NAME, a_pull_request(), record=a_record(Name="Sign in"), agreed={agreed_key("Name", 1): "Login"})
    (write,) = made.writes
    assert write.target == Attribute(a_key(1), "title")
    assert write.before == val(f"[Airtable: {RECORD}] Login")
    assert write.after == val(f"[Airtable: {RECORD}] Sign in")
    assert (write.owner, write.kind, write.side) == (Owner.AIRTABLE, Kind.COPY, Side.BITBUCKET)
    assert (write.rule, write.reason) == ('fields."Name"', "changed in Airtable")
    assert write.agrees == agreed_key("Name", 1)


def test_a_required_attribute_is_never_emptied() -> None:
    made = planned(NAME, a_pull_request(), record=a_record(Name=None), agreed={agreed_key("Name", 1): "Login"})
    assert made.writes == ()
    assert made.state is RecordState.HELD
    assert '"Name" is empty here' in made.note


def test_an_attribute_that_may_be_empty_is_emptied() -> None:
    situation = {"record": a_record(), "agreed": {agreed_key("Details", 1): "x"}}
    (write,) = planned(DETAILS, a_pull_request(description="x"), **situation).writes
    assert write.after is NOTHING


def test_a_new_primary_is_first_contact_never_an_edit() -> None:
    old, new = a_pull_request(1, state="MERGED", description="x"), a_pull_request(2, description="theirs")
    made = planned(DETAILS, old, new, record=a_record(Details="x"), agreed={agreed_key("Details", 1): "x"})
    (write,) = made.writes
    assert (write.kind, write.agrees) == (Kind.FIRST_CONTACT, agreed_key("Details", 2))
    assert made.foreign_edits == ()


def test_at_first_contact_with_a_further_pull_request_a_shared_field_flows_from_airtable_only() -> None:
    old, new = a_pull_request(1, state="MERGED", description="x"), a_pull_request(2, description="theirs")
    known = {agreed_key("Details", 1): "x"}
    (write,) = planned(SHARED, old, new, record=a_record(Details="x"), agreed=known).writes
    assert (write.side, write.after) == (Side.BITBUCKET, val("x"))
    assert planned(SHARED, old, new, record=a_record(), agreed=known).writes == ()


@pytest.mark.parametrize("state", ["MERGED", "DECLINED", "SUPERSEDED"])
def test_only_open_pull_requests_are_written_to(state: str) -> None:
    made = planned(DETAILS, a_pull_request(state=state), record=a_record(Details="x"))
    assert made.writes == ()
    assert made.state is RecordState.OK


def test_a_shared_field_is_still_read_from_a_merged_pull_request() -> None:
    merged = a_pull_request(state="MERGED", description="final")
    made = planned(SHARED, merged, record=a_record(Details="x"), agreed={agreed_key("Details", 1): "x"})
    assert cells(made) == {"Details": val("final")}


def test_every_open_pull_request_is_written_to_when_the_rule_says_each() -> None:
    rules = bare_rules(a_rule("Details", "pr.description", each=True))
    found = [a_pull_request(1), a_pull_request(2), a_pull_request(3, state="MERGED")]
    made = planned(rules, *found, record=a_record(Details="x"))
    assert [write.target for write in made.writes] == [
        Attribute(a_key(1), "description"),
        Attribute(a_key(2), "description"),
    ]


def test_each_spreads_what_one_pull_request_changed() -> None:
    rules = bare_rules(a_rule("Details", "pr.description", Owner.BOTH, each=True))
    found = [a_pull_request(1, description="x"), a_pull_request(2, description="new")]
    known = {agreed_key("Details", 1): "x", agreed_key("Details", 2): "x"}
    made = planned(rules, *found, record=a_record(Details="x"), agreed=known)
    assert {write.what: write.after for write in made.writes} == {"Details": val("new"), "pr.description": val("new")}
    assert write_to(made, "pr.description").target == Attribute(a_key(1), "description")  # type: ignore[union-attr]  # it is there


def test_a_read_only_field_follows_the_primary() -> None:
    old, new = a_pull_request(1, state="MERGED", source_commit="aaa"), a_pull_request(2, source_commit="bbb")
    known = {agreed_key("Last commit"): "aaa"}
    made = planned(STATE, old, new, record=a_record(Last_commit="aaa"), agreed=known)
    assert cells(made) == {"Last commit": val("bbb")}
    assert made.foreign_edits == ()


def test_a_foreign_edit_of_a_read_only_field_is_reverted_and_told() -> None:
    known = {agreed_key("Last commit"): "aaa"}
    made = planned(STATE, a_pull_request(source_commit="aaa"), record=a_record(Last_commit="mine"), agreed=known)
    (write,) = made.writes
    assert (write.kind, write.after) == (Kind.REVERT, val("aaa"))
    (edit,) = made.foreign_edits
    assert (edit.side, edit.value, edit.owner_value, edit.treatment) == (
        Side.AIRTABLE,
        val("mine"),
        val("aaa"),
        "revert",
    )


@pytest.mark.parametrize("rule", [ForeignEditRule.IGNORE, ForeignEditRule.ALERT])
def test_a_tolerated_edit_is_remembered_and_told_once(rule: ForeignEditRule) -> None:
    rules = bare_rules(a_rule("Details", "pr.description", foreign_edit=rule))
    situation = a_situation(
        rules, a_pull_request(description="dev"), record=a_record(Details="x"), agreed={agreed_key("Details", 1): "x"}
    )
    first = plan.plan_record(situation, rules)
    assert first.writes == ()
    assert [edit.treatment for edit in first.foreign_edits] == [rule.value]
    assert [one.value for one in first.tolerations] == [val("dev")]
    second = plan.plan_record(applied(situation, first, rules), rules)
    assert (second.writes, second.foreign_edits, second.tolerations) == ((), (), ())


def test_a_toleration_ends_when_the_owner_moves() -> None:
    key = agreed_key("Details", 1)
    rules = bare_rules(a_rule("Details", "pr.description", foreign_edit=ForeignEditRule.IGNORE))
    made = planned(
        rules,
        a_pull_request(description="dev"),
        record=a_record(Details="new"),
        agreed={key: "x"},
        tolerated={key: val("dev")},
    )
    assert [write.after for write in made.writes] == [val("new")]
    assert [(one.key, one.value) for one in made.tolerations] == [(key, None)]
    assert made.foreign_edits == ()


def test_the_primary_going_away_clears_what_it_showed() -> None:
    known = {agreed_key("Last commit"): "aaa"}
    assert cells(planned(STATE, record=a_record(Last_commit="aaa"), agreed=known)) == {"Last commit": NOTHING}


def test_without_any_work_nothing_is_agreed_or_written() -> None:
    made = planned(STATE, record=a_record(Last_commit="typed"))
    assert made == RecordPlan(record=RECORD, state=RecordState.OK)


def test_a_value_is_computed_for_linked_records_only() -> None:
    rules = bare_rules(a_rule("Confidence", value="10 + pr.approvals"))
    assert cells(planned(rules, a_pull_request(approved_by=(BEN,)))) == {"Confidence": val(11)}
    assert planned(rules).writes == ()


def test_a_value_that_fails_or_does_not_fit_is_refused_and_nothing_written() -> None:
    for source in ('record["Details"] / 0', '"many"'):
        made = planned(bare_rules(a_rule("Confidence", value=source)), a_pull_request())
        assert made.writes == ()
        assert made.state is RecordState.REFUSED
        assert '"Confidence"' in made.note


def test_a_cell_in_error_is_pending_and_never_taken_for_empty() -> None:
    """AT22: the last good value stays."""
    made = planned(
        DETAILS,
        a_pull_request(description="x"),
        record=a_record(Details=Unknown("#ERROR")),
        agreed={agreed_key("Details", 1): "x"},
    )
    assert made.writes == ()
    assert made.pending == ("Details: #ERROR",)


def test_a_field_that_was_not_read_is_unknown() -> None:
    record = a_record()
    record = replace(record, cells={key: cell for key, cell in record.cells.items() if key != field_id("Details")})
    made = planned(DETAILS, a_pull_request(description="x"), record=record)
    assert made.writes == ()
    assert made.pending


def test_conflicts_are_held_told_and_written_nowhere() -> None:
    made = planned(
        SHARED, a_pull_request(description="dev"), record=a_record(Details="pm"), agreed={agreed_key("Details", 1): "x"}
    )
    assert made.writes == ()
    assert made.state is RecordState.CONFLICT
    (conflict,) = made.conflicts
    assert (conflict.airtable, conflict.bitbucket, conflict.pull_request) == (val("pm"), val("dev"), a_key(1))
    assert '"pm"' in made.note
    assert '"dev"' in made.note


def test_newest_decides_a_conflict() -> None:
    rules = bare_rules(replace(SHARED.fields[0], conflict=sync_rules().fields[2].conflict))
    key = agreed_key("Details", 1)
    made = planned(
        rules,
        a_pull_request(description="dev"),
        record=a_record(Details="pm"),
        agreed={key: "x"},
        edited={agreed_key("Details"): EditTimes(airtable=at(50)), key: EditTimes(bitbucket=at(1))},
    )
    assert [(write.side, write.after) for write in made.writes] == [(Side.BITBUCKET, val("pm"))]


def test_a_resolved_conflict_is_carried_out() -> None:
    key = agreed_key("Details", 1)
    decided = OpenConflict(airtable=val("pm"), bitbucket=val("dev"), winner=Side.BITBUCKET)
    made = planned(
        SHARED,
        a_pull_request(description="dev"),
        record=a_record(Details="pm"),
        agreed={key: "x"},
        conflicts={key: decided},
    )
    assert [(write.what, write.after, write.kind) for write in made.writes] == [("Details", val("dev"), Kind.RESOLVE)]
    assert made.conflicts == ()


def test_reviewers_merge_on_both_sides() -> None:
    rules = bare_rules(a_rule("Reviewers", "pr.reviewers", Owner.BOTH))
    found = a_pull_request(reviewers=(ADA, BEN))
    made = planned(
        rules, found, record=a_record(Reviewers=[ADA, "{carol}"]), agreed={agreed_key("Reviewers", 1): [ADA]}
    )
    everyone = val([ADA, BEN, "{carol}"])
    assert {write.what: write.after for write in made.writes} == {"Reviewers": everyone, "pr.reviewers": everyone}


def test_an_option_that_the_field_lacks_is_refused_and_not_created() -> None:
    """I27."""
    rules = bare_rules(a_rule("PR state", "pr.state", Owner.BITBUCKET))
    made = planned(rules, a_pull_request())
    assert made.writes == ()
    assert 'no option "OPEN"' in made.note


def test_agreed_after_a_write_is_what_the_service_answered() -> None:
    (write,) = planned(NAME, a_pull_request(title="Other"), record=a_record(Name="Sign in")).writes
    answer = a_pull_request(title=f"[Airtable: {RECORD}] Sign in ")
    assert agreed_after(write, NAME, answer) == val("Sign in")
    (write,) = planned(STATE, a_pull_request()).writes
    assert agreed_after(write, STATE, a_record(Last_commit="other")) == val("other")
    assert agreed_after(write, STATE, a_record(Last_commit=Unknown())) is None
    assert agreed_after(replace(write, agrees=None), STATE, a_record()) is None


# ------------------------------------------------------------------------------------------- many to many


def shared_by(*records: Any) -> dict[str, Any]:
    return {"records_of": {a_key(1): (RECORD, *records)}}


def test_a_shared_pull_request_is_written_for_its_lead() -> None:
    found = a_pull_request(source_branch=f"{RECORD}-{OTHER}")
    assert len(planned(DETAILS, found, record=a_record(Details="x"), **shared_by(OTHER)).writes) == 1


def test_a_shared_pull_request_is_not_written_for_the_others() -> None:
    found = a_pull_request(title=f"[Airtable: {OTHER}] x")
    made = planned(DETAILS, found, record=a_record(Details="x"), **shared_by(OTHER))
    assert (made.writes, made.note) == ((), "")


def test_a_shared_pull_request_without_lead_is_written_for_nobody_and_said_so() -> None:
    found = a_pull_request(title="x", source_branch="fix")
    made = planned(DETAILS, found, record=a_record(Details="x"), **shared_by(OTHER))
    assert made.writes == ()
    assert "belongs to several records" in made.note


def test_a_pull_request_that_names_a_record_from_elsewhere_is_not_written_and_said_so() -> None:
    found = a_pull_request(title=f"[Airtable: {OTHER}] x")
    made = planned(DETAILS, found, record=a_record(Details="x"))
    assert made.writes == ()
    assert f"another record ({OTHER})" in made.note


def test_a_shared_pull_request_is_read_into_all_its_records() -> None:
    found = a_pull_request(title=f"[Airtable: {OTHER}] x")
    assert cells(planned(STATE, found, **shared_by(OTHER))) == {"Last commit": val(found.source_commit)}


def test_links_are_remembered_once_with_their_evidence() -> None:
    known, new = a_pull_request(1), a_pull_request(2, title="x")
    made = planned(STATE, new, known, remembered=frozenset({a_key(1)}))
    assert [(link.pull_request, link.evidence) for link in made.links] == [(a_key(2), "branch")]


def test_a_link_stays_although_the_marker_was_removed() -> None:
    """BB21."""
    assert planned(STATE, a_pull_request(title="x", source_branch="x")).linked


# ------------------------------------------------------------------------------------------- completeness


def test_unknown_is_not_empty() -> None:
    """An outage never looks like a deletion (I13)."""
    known = {agreed_key("Last commit"): "aaa", agreed_key("PR URL"): "https://x", agreed_key("Status"): "In Review"}
    record = a_record(Last_commit="aaa", PR_URL="https://x", Status="In Review", Sync_state="ok")
    made = planned(RULES, record=record, agreed=known, incomplete=HELD_LIST | {List.BRANCHES: "x", List.BUILDS: "x"})
    assert made.writes == ()
    assert made.actions == ()
    assert made.agreements == ()
    assert made.state is RecordState.PENDING
    assert any("web could not be read" in reason for reason in made.pending)


def test_what_does_not_need_the_incomplete_list_is_planned() -> None:
    rules = bare_rules(*STATE.fields, a_rule("Build", "build.state", Owner.BITBUCKET))
    made = planned(rules, a_pull_request(), a_build(), incomplete={List.BUILDS: "x"})
    assert list(cells(made)) == ["Last commit"]
    assert made.pending == ("Build: builds are not completely known (x)",)


def test_a_condition_on_an_incomplete_list_stops_only_its_own_edge() -> None:
    found = a_pull_request(state="MERGED")
    known = {agreed_key("Status"): "In Review"}
    made = planned(
        sync_rules(fields=(), actions=()),
        found,
        record=a_record(Status="In Review"),
        agreed=known,
        incomplete={List.DEPLOYMENTS: "x"},
    )
    assert cells(made)["Status"] == val("Merged")
    assert made.state is RecordState.PENDING


def test_an_open_conflict_is_not_forgotten_while_a_list_is_incomplete() -> None:
    key = agreed_key("Details", 1)
    found = OpenConflict(airtable=val("a"), bitbucket=val("b"))
    made = planned(SHARED, record=a_record(Details="a"), conflicts={key: found}, incomplete=HELD_LIST)
    assert [(one.airtable, one.bitbucket) for one in made.conflicts] == [(val("a"), val("b"))]


def test_a_branch_without_an_answer_about_commits_is_pending() -> None:
    made = planned(RULES, a_branch(ahead=None), record=a_record(Status="Ready"), agreed={agreed_key("Status"): "Ready"})
    assert "Status" not in cells(made)
    assert made.state is RecordState.PENDING


# ------------------------------------------------------------------------------------------- adoption


def test_in_adoption_everything_is_shown_and_marked_and_nothing_runs() -> None:
    record = a_record(Status="Ready", Repo="Web", Details="x")
    made = planned(RULES, a_pull_request(), record=record, accepted=frozenset())
    assert made.writes
    assert all(write.adoption for write in made.writes)
    assert planned(RULES, record=record, accepted=frozenset()).actions == ()


def test_in_adoption_nothing_is_reverted() -> None:
    known = {agreed_key("Details", 1): "x", agreed_key("Status"): "Planned"}
    record = a_record(Details="x", Status="Released")
    rules = sync_rules(fields=DETAILS.fields, actions=())
    made = planned(rules, a_pull_request(description="dev"), record=record, agreed=known, accepted=frozenset())
    assert {write.kind for write in made.writes} <= {Kind.FIRST_CONTACT, Kind.LINK, Kind.COLUMN, Kind.STATUS}
    assert (made.foreign_edits, made.refusals) == ((), ())
    assert made.status == "Released"


def test_in_adoption_an_old_agreed_value_is_not_believed() -> None:
    """ST11: sides that differ become a conflict, not a write."""
    known = {agreed_key("Details", 1): "x"}
    made = planned(
        SHARED, a_pull_request(description="x"), record=a_record(Details="y"), agreed=known, accepted=frozenset()
    )
    assert len(made.conflicts) == 1
    assert made.writes == ()
    assert made.agreements == (Agreement(key=agreed_key("Details", 1), value=None),)


def test_a_field_that_was_never_accepted_is_in_adoption_alone() -> None:
    rules = bare_rules(*DETAILS.fields, *STATE.fields)
    accepted = rules.accepts() - {rules.fields[0].fingerprint}
    made = planned(rules, a_pull_request(), record=a_record(Details="x"), accepted=accepted)
    assert {write.what: write.adoption for write in made.writes} == {"pr.description": True, "Last commit": False}


def test_a_new_transition_is_in_adoption_alone() -> None:
    rules = sync_rules(fields=(), actions=())
    assert rules.status is not None
    known = {agreed_key("Status"): "Ready"}
    for edge, adoption in ((2, True), (6, False)):
        accepted = rules.accepts() - {rules.status.transitions[edge].fingerprint}
        made = planned(rules, a_branch(), record=a_record(Status="Ready"), agreed=known, accepted=accepted)
        assert write_to(made, "Status").adoption is adoption  # type: ignore[union-attr]  # it is there


def test_a_new_record_of_an_accepted_sync_is_not_adoption() -> None:
    made = planned(RULES, record=a_record(Status="Ready", Repo="Web"))
    assert not any(write.adoption for write in made.writes)
    assert len(made.actions) == 1


# ------------------------------------------------------------------------------------------- scope and holds


def test_out_of_scope_nothing_is_written_and_links_are_kept() -> None:
    conflict = OpenConflict(airtable=val("a"), bitbucket=val("b"))
    made = planned(
        sync_rules(fields=SHARED.fields),
        a_pull_request(),
        record=a_record(Status="Ready", Details="x", Sync_note="old"),
        in_scope=False,
        remembered=frozenset(),
        conflicts={agreed_key("Details", 1): conflict},
    )
    assert (made.writes, made.actions, made.agreements) == ((), (), ())
    assert made.state is RecordState.OUT_OF_SCOPE
    assert len(made.links) == 1
    assert len(made.conflicts) == 1


SCOPES: list[tuple[str, bool, str | None, dict[str, Any], bool | None]] = [
    ("in the view", True, None, {}, True),
    ("not in the view", False, None, {}, False),
    ("where is true", True, 'record["Repo"] == "Web"', {"Repo": "Web"}, True),
    ("where is false", True, 'record["Repo"] == "Web"', {"Repo": "API"}, False),
    ("where cannot be told", True, 'record["Repo"] == "Web"', {"Repo": Unknown("x")}, None),
    ("where fails", True, 'record["Repo"] / 0', {"Repo": "API"}, None),
]


@pytest.mark.parametrize(
    ("in_view", "where", "filled", "expected"), [row[1:] for row in SCOPES], ids=[row[0] for row in SCOPES]
)
def test_scope(in_view: bool, where: str | None, filled: dict[str, Any], expected: bool | None) -> None:
    rules = sync_rules(where=None if where is None else parse(where))
    found = plan.in_scope(a_situation(rules, record=a_record(in_view=in_view, **filled)), rules)
    assert isinstance(found, Unknown) if expected is None else found is expected


def test_a_ticked_hold_stops_everything_but_the_columns() -> None:
    made = planned(RULES, a_pull_request(), record=a_record(Hold_sync=True, Status="Ready", Details="x", Repo="Web"))
    assert cells(made).keys() == {"Sync state", "Sync note"}
    assert len(made.writes) == 2
    assert made.actions == ()
    assert made.state is RecordState.HELD
    assert '"Hold sync" is ticked' in made.note


def test_a_hold_that_cannot_be_read_holds() -> None:
    made = planned(RULES, a_pull_request(), record=a_record(Hold_sync=Unknown("#ERROR")))
    assert made.state is RecordState.HELD


def test_a_hold_on_the_record_stops_everything_and_tells_when_it_ends() -> None:
    made = planned(
        RULES, a_pull_request(), record=a_record(Status="Ready"), holds=(a_hold("release freeze", until=at(90)),)
    )
    assert cells(made).keys() == {"Sync state", "Sync note"}
    assert "release freeze" in made.note
    assert made.wake_at == at(90)


def test_a_hold_on_a_field_stops_that_field_only() -> None:
    rules = bare_rules(*DETAILS.fields, *STATE.fields)
    made = planned(rules, a_pull_request(), record=a_record(Details="x"), holds=(a_hold(field="Details"),))
    assert [write.what for write in made.writes] == ["Last commit"]
    assert made.held == ('"Details" is held: frozen',)


def test_a_held_status_does_not_move() -> None:
    known = {agreed_key("Status"): "Ready"}
    made = planned(
        sync_rules(fields=(), actions=()),
        a_branch(),
        record=a_record(Status="Ready"),
        agreed=known,
        holds=(a_hold(field="Status"),),
    )
    assert "Status" not in cells(made)
    assert made.status == "Ready"


def test_a_hold_that_is_over_holds_nothing() -> None:
    made = planned(STATE, a_pull_request(), holds=(a_hold(until=NOW),))
    assert len(made.writes) == 1
    assert made.state is RecordState.OK


def test_an_open_conflict_of_a_held_field_is_not_forgotten() -> None:
    key = agreed_key("Details", 1)
    found = OpenConflict(airtable=val("pm"), bitbucket=val("dev"))
    made = planned(
        SHARED,
        a_pull_request(description="dev"),
        record=a_record(Details="pm"),
        agreed={key: "x"},
        conflicts={key: found},
        holds=(a_hold(field="Details"),),
    )
    assert len(made.conflicts) == 1


# ------------------------------------------------------------------------------------------- the status


def of_status(*found: Any, cell: str | None = "Ready", agreed: str | None = "Ready", **more: Any) -> RecordPlan:
    rules = more.pop("rules", sync_rules(fields=(), actions=()))
    known = {} if agreed is None else {agreed_key("Status"): agreed}
    record = more.pop("record", None) or a_record(Status=cell)
    return planned(rules, *found, record=record, agreed=known, **more)


STATUSES: list[tuple[str, list[Any], str, str | None]] = [
    ("nothing happens without work", [], "Ready", None),
    ("a branch with commits", [a_branch()], "Ready", "In Progress"),
    ("a branch without commits", [a_branch(ahead=False)], "Ready", None),
    ("a draft", [a_pull_request(draft=True)], "Ready", "In Progress"),
    ("an open pull request", [a_pull_request()], "Ready", "In Review"),
    ("back to draft", [a_pull_request(draft=True)], "In Review", "In Progress"),
    ("merged", [a_pull_request(state="MERGED")], "In Review", "Merged"),
    ("one merged and one open", [a_pull_request(1, state="MERGED"), a_pull_request(2)], "In Review", None),
    ("declined while another is open", [a_pull_request(1, state="DECLINED"), a_pull_request(2)], "In Review", None),
    ("all declined", [a_pull_request(state="DECLINED")], "In Review", "In Progress"),
    ("merged and deployed", [a_pull_request(state="MERGED"), a_deployment()], "In Review", "Released"),
    ("a deployment to staging", [a_deployment(environment_type="Staging")], "Merged", None),
]


@pytest.mark.parametrize(("found", "before", "after"), [row[1:] for row in STATUSES], ids=[row[0] for row in STATUSES])
def test_status_is_a_function_of_all_work(found: list[Any], before: str, after: str | None) -> None:
    write = write_to(of_status(*found, cell=before, agreed=before), "Status")
    assert (write and write.after) == (after and val(after))


def test_a_status_write_says_which_edge_and_which_way() -> None:
    write = write_to(of_status(a_pull_request()), "Status")
    assert write is not None
    assert (write.kind, write.owner, write.priority) == (Kind.STATUS, Owner.BITBUCKET, Priority.STATUS)
    assert write.rule == "status.transitions[3]"
    assert 'any(prs, state="OPEN", draft=false)' in write.reason
    assert write.path == ("Ready", "In Progress", "In Review")
    assert write.agrees == agreed_key("Status")


def test_an_illegal_edit_is_put_back_and_the_note_says_why() -> None:
    made = of_status(cell="Released")
    write = write_to(made, "Status")
    assert write is not None
    assert (write.kind, write.after, write.before) == (Kind.ILLEGAL_EDIT, val("Ready"), val("Released"))
    assert made.state is RecordState.REFUSED
    assert '"Status" was put back to "Ready": from "Ready" to "Released" is not a step' in made.note
    assert [edit.value for edit in made.foreign_edits] == [val("Released")]


def test_why_an_edit_was_put_back_stays_readable_until_the_status_moves() -> None:
    rules = sync_rules(fields=(), actions=())
    situation = a_situation(rules, record=a_record(Status="Released"), agreed={agreed_key("Status"): "Ready"})
    first = plan.plan_record(situation, rules)
    after = applied(situation, first, rules)
    second = plan.plan_record(after, rules)
    assert (second.writes, second.note, second.state) == ((), first.note, RecordState.REFUSED)
    legal = replace(
        after, record=replace(after.record, cells={**after.record.cells, field_id("Status"): val("Planned")})
    )
    third = plan.plan_record(legal, rules)
    assert cells(third) == {"Sync note": NOTHING, "Sync state": val("ok")}


def test_an_illegal_edit_may_be_left_alone_and_told() -> None:
    rules = sync_rules(fields=(), actions=(), status=spec_status(illegal_edit=ForeignEditRule.ALERT))
    situation = a_situation(rules, record=a_record(Status="Released"), agreed={agreed_key("Status"): "Ready"})
    first = plan.plan_record(situation, rules)
    assert "Status" not in cells(first)
    assert [edit.treatment for edit in first.foreign_edits] == ["alert"]
    second = plan.plan_record(applied(situation, first, rules), rules)
    assert (second.writes, second.foreign_edits) == ((), ())
    assert second.note == first.note


def test_a_cell_outside_the_machine_is_noted_and_left() -> None:
    made = of_status(a_pull_request(), cell="Cancelled")
    assert "Status" not in cells(made)
    assert made.status is None
    assert '"Cancelled" is not one of its states' in made.note


def test_a_status_cell_that_cannot_be_read_decides_nothing() -> None:
    made = of_status(a_pull_request(), record=a_record(Status=Unknown("#ERROR")))
    assert "Status" not in cells(made)
    assert made.state is RecordState.PENDING


# ------------------------------------------------------------------------------------------- the actions


def test_actions_see_the_status_after_all_this() -> None:
    rules = sync_rules(fields=())
    made = planned(rules, record=a_record(Status="Ready", Repo="Web"), agreed={agreed_key("Status"): "Planned"})
    assert [type(one) for one in made.actions] == [CreateBranch]


def test_an_action_on_a_status_that_is_not_known_waits() -> None:
    made = planned(RULES, record=a_record(Status=Unknown("#ERROR"), Repo="Web"))
    assert made.actions == ()


def test_what_exists_already_is_remembered_as_made() -> None:
    rule = replace(RULES.actions[0], when=parse("true"))
    made = planned(sync_rules(fields=(), actions=(rule,)), a_branch(), record=a_record(Status="Ready", Repo="Web"))
    assert made.actions == ()
    assert [one.rule for one in made.made] == [rule.key]


def test_an_action_that_waits_for_a_person_says_so_in_the_note() -> None:
    made = planned(RULES, record=a_record(Status="Ready"))
    assert '"Repo" is empty' in made.note
    assert made.state is RecordState.PENDING


def test_the_whole_story_of_a_feature() -> None:
    """Ready → branch → commits → draft → review → merged → released, each plan carried out before the next."""
    situation = a_situation(
        RULES, record=a_record(Status="Ready", Repo="Web"), agreed={agreed_key("Status"): "Planned"}
    )

    def step(now: Situation) -> tuple[RecordPlan, Situation]:
        made = plan.plan_record(now, RULES)
        return made, applied(now, made, RULES)

    made, situation = step(situation)
    assert [type(one) for one in made.actions] == [CreateBranch]
    (branch,) = situation.work.branches
    situation = replace(situation, work=replace(situation.work, branches=(replace(branch, ahead=True),)))
    made, situation = step(situation)
    assert made.status == "In Progress"
    assert [type(one) for one in made.actions] == [CreatePullRequest]
    made, situation = step(situation)
    (opened,) = situation.work.pull_requests
    assert cells(made)["PR URL"] == val(opened.url)
    for change, status in (({"draft": False}, "In Review"), ({"state": "MERGED", "merged_on": NOW}, "Merged")):
        opened = replace(opened, **change)
        situation = replace(situation, work=replace(situation.work, pull_requests=(opened,)))
        made, situation = step(situation)
        assert made.status == status
    situation = replace(situation, work=replace(situation.work, deployments=(a_deployment(),)))
    made, situation = step(situation)
    assert made.status == "Released"
    made, situation = step(situation)
    assert (made.writes, made.actions) == ((), ())


def test_a_condition_on_the_clock_tells_when_to_look_again() -> None:
    when = parse('now >= "2026-11-21T15:00:00Z"')
    rules = sync_rules(fields=(), actions=(replace(RULES.actions[0], when=when),))
    made = planned(rules, record=a_record(Status="Planned"))
    assert made.actions == ()
    assert made.wake_at is not None
    assert made.wake_at.hour == 15


def test_a_plan_is_ordered_by_record() -> None:
    situations = [a_situation(RULES, record=a_record(OTHER)), a_situation(RULES)]
    made = plan.plan(situations, RULES, "hash", NOW)
    assert [one.record for one in made.records] == [RECORD, OTHER]
    assert (made.sync, made.spec_hash, made.at) == (RULES.name, "hash", NOW)


def test_the_table_of_the_tests_has_no_field_twice() -> None:
    assert len({field.id for field in TABLE.values()}) == len(TABLE)
