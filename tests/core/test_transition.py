"""The status machine: its six cases, its edges, its circles."""

from typing import Any

import pytest

from syncd.core import transition
from syncd.core.transition import Verdict
from syncd.model.change import Kind
from syncd.model.value import UNKNOWN, Unknown
from syncd.spec.rules import ForeignEditRule, StatusRules, Transition
from tests.build import an_edge, spec_status, val

RULES = spec_status()
GATED = spec_status(
    (an_edge(0, "Planned", "Ready", "airtable", 'record["Approved"]'), an_edge(1, "Ready", "Merged", "airtable"))
)
# The conditions of the example by what they are about: which edge is true in a test.
STARTED, REVIEWED, BACK, MERGED, RELEASED = 2, 3, 4, 5, 6


def decide(agreed: Any, cell: Any, *true: int, rules: StatusRules = RULES, unknown: tuple[int, ...] = ()) -> Verdict:
    def holds(edge: Transition, _status: str) -> bool | Unknown:
        if edge.index in unknown:
            return Unknown(f"edge {edge.index} is not known")
        return edge.when is None or edge.index in true

    return transition.decide(rules, UNKNOWN if agreed is None else val(agreed), val(cell), holds)


def test_case_1_no_agreed_state_takes_the_cell_as_it_stands() -> None:
    verdict = decide(None, "Merged")
    assert (verdict.state, verdict.write, verdict.agree) == ("Merged", None, "Merged")


def test_case_1_an_empty_cell_counts_as_initial_and_is_written() -> None:
    verdict = decide(None, None)
    assert (verdict.state, verdict.write, verdict.path) == ("Planned", "Planned", ("Planned",))


def test_case_1_follows_from_where_the_cell_stands() -> None:
    verdict = decide(None, "Ready", STARTED)
    assert (verdict.write, verdict.agree, verdict.path) == ("In Progress", "Ready", ("Ready", "In Progress"))


@pytest.mark.parametrize("cell", ["Cancelled", None])
def test_case_2_a_cell_outside_the_states_leaves_the_machine(cell: str | None) -> None:
    verdict = decide("Ready", cell, STARTED)
    assert (verdict.state, verdict.write, verdict.agree) == (None, None, None)
    assert "Planned, Ready" in verdict.outside


def test_case_2_a_declared_state_put_back_is_in_the_machine_again() -> None:
    assert decide("Ready", "Ready").state == "Ready"


def test_case_3_only_the_last_state_is_written_and_the_path_is_kept() -> None:
    verdict = decide("Ready", "Ready", STARTED, REVIEWED, MERGED, RELEASED)
    assert verdict.write == "Released"
    assert verdict.path == ("Ready", "In Progress", "In Review", "Merged", "Released")


def test_case_3_the_first_declared_edge_goes_first() -> None:
    first, second = (
        an_edge(0, "Ready", "Merged", "bitbucket", "true"),
        an_edge(1, "Ready", "Released", "bitbucket", "true"),
    )
    assert decide("Ready", "Ready", 0, 1, rules=spec_status((first, second))).write == "Merged"
    # The order of declaration decides, not the target.
    swapped = spec_status(
        (an_edge(0, "Ready", "Released", "bitbucket", "true"), an_edge(1, "Ready", "Merged", "bitbucket", "true"))
    )
    assert decide("Ready", "Ready", 0, 1, rules=swapped).write == "Released"


def test_case_3_a_second_entry_holds_and_names_both_edges() -> None:
    verdict = decide("In Review", "In Review", BACK, REVIEWED)
    assert verdict.write is None
    assert "status.transitions[4]" in verdict.held
    assert "status.transitions[3]" in verdict.held
    assert verdict.state == "In Review"


def test_case_3_a_release_edge_fires_by_itself_when_its_condition_holds() -> None:
    assert decide("Merged", "Merged", RELEASED).write == "Released"


def test_case_3_a_release_edge_without_a_condition_waits_for_a_command() -> None:
    rules = spec_status((an_edge(0, "Merged", "Released", "release"),))
    assert decide("Merged", "Merged", rules=rules).write is None


def test_case_3_airtables_edges_are_never_followed() -> None:
    assert decide("Planned", "Planned", 0, 1).state == "Planned"


def test_case_4_a_cell_at_the_target_agrees() -> None:
    verdict = decide("Ready", "In Progress", STARTED)
    assert (verdict.state, verdict.write, verdict.agree, verdict.illegal) == ("In Progress", None, "In Progress", "")


def test_case_5_a_persons_step_along_airtables_edges_is_agreed() -> None:
    verdict = decide("Planned", "Ready")
    assert (verdict.state, verdict.write, verdict.agree) == ("Ready", None, "Ready")


def test_case_5_a_path_of_several_edges_is_fine() -> None:
    rules = spec_status((an_edge(0, "Planned", "Ready", "airtable"), an_edge(1, "Ready", "Merged", "airtable")))
    assert decide("Planned", "Merged", rules=rules).agree == "Merged"


def test_case_5_follows_again_from_the_persons_state() -> None:
    verdict = decide("Planned", "Ready", STARTED)
    assert (verdict.write, verdict.agree, verdict.path) == ("In Progress", "Ready", ("Ready", "In Progress"))


def test_case_6_an_illegal_edit_is_reverted_with_its_reason() -> None:
    verdict = decide("Planned", "Merged")
    assert (verdict.write, verdict.kind) == ("Planned", Kind.ILLEGAL_EDIT)
    assert "Ready" in verdict.illegal


def test_case_6_goes_to_the_target_not_only_back() -> None:
    assert decide("Ready", "Released", STARTED).write == "In Progress"


@pytest.mark.parametrize("rule", [ForeignEditRule.IGNORE, ForeignEditRule.ALERT])
def test_case_6_may_be_left_alone(rule: ForeignEditRule) -> None:
    verdict = decide("Planned", "Merged", rules=spec_status(illegal_edit=rule))
    assert verdict.write is None
    assert verdict.tolerate
    assert verdict.illegal


def test_case_6_left_alone_until_the_work_moves() -> None:
    verdict = decide("Ready", "Released", STARTED, rules=spec_status(illegal_edit=ForeignEditRule.IGNORE))
    assert (verdict.write, verdict.tolerate, verdict.kind) == ("In Progress", False, Kind.STATUS)


def test_no_step_backwards_unless_declared() -> None:
    assert decide("Merged", "In Review").kind is Kind.ILLEGAL_EDIT


def test_a_closed_gate_makes_the_edit_illegal_and_names_the_condition() -> None:
    verdict = decide("Planned", "Ready", rules=GATED)
    assert verdict.kind is Kind.ILLEGAL_EDIT
    assert 'record["Approved"]' in verdict.illegal


def test_an_open_gate_lets_the_edit_through() -> None:
    assert decide("Planned", "Ready", 0, rules=GATED).agree == "Ready"


def test_a_closed_gate_on_the_way_closes_the_path() -> None:
    assert decide("Planned", "Merged", rules=GATED).kind is Kind.ILLEGAL_EDIT


def test_an_unknown_gate_decides_nothing() -> None:
    verdict = decide("Planned", "Ready", rules=GATED, unknown=(0,))
    assert (verdict.write, verdict.agree, verdict.illegal) == (None, None, "")
    assert verdict.pending


def test_an_unknown_condition_stops_the_following_there() -> None:
    verdict = decide("Ready", "Ready", STARTED, MERGED, unknown=(REVIEWED,))
    assert (verdict.write, verdict.pending) == ("In Progress", "edge 3 is not known")


def test_an_unknown_condition_hides_the_edges_declared_behind_it() -> None:
    verdict = decide("In Review", "In Review", MERGED, unknown=(BACK,))
    assert verdict.write is None
    assert verdict.pending


def test_nothing_is_illegal_while_a_condition_is_unknown() -> None:
    verdict = decide("Ready", "Merged", unknown=(STARTED,))
    assert (verdict.write, verdict.illegal) == (None, "")
    assert verdict.pending


def test_a_persons_legal_step_is_agreed_although_the_work_is_unknown() -> None:
    verdict = decide("Planned", "Ready", unknown=(STARTED,))
    assert verdict.agree == "Ready"
    assert verdict.pending


def test_an_agreed_state_that_is_no_longer_declared_counts_as_none() -> None:
    assert decide("Abolished", "Merged").agree == "Merged"
