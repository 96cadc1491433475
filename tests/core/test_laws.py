"""Laws that hold for every situation: no favourite side, a second plan is empty, order does not matter, nothing raises."""

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.core import compare, guard, ownership, plan
from syncd.core.ownership import Decision, Question
from syncd.model.change import AgreedKey, Attribute, Cell, Kind, Owner, RecordPlan, Side
from syncd.model.situation import EditTimes, Made, OpenConflict, Situation
from syncd.model.value import NOTHING, UNKNOWN, Options, Text, Unknown, Value
from syncd.model.work import List
from syncd.spec.rules import ConflictRule, ForeignEditRule, GuardRules, SyncRules
from tests.build import (
    ADA,
    API,
    BEN,
    NOW,
    OTHER,
    RECORD,
    STATES,
    WEB,
    a_branch,
    a_build,
    a_deployment,
    a_hold,
    a_key,
    a_pull_request,
    a_record,
    a_rule,
    a_situation,
    applied,
    at,
    field_id,
    spec_fields,
    spec_status,
    sync_rules,
    val,
)

many = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])

# ------------------------------------------------------------------------------------------- one field

texts = st.sampled_from([NOTHING, val("a"), val("b"), val("c")])
sets = st.sampled_from([NOTHING, val(["a"]), val(["b"]), val(["a", "b"]), val(["a", "c"])])
spaces = st.sampled_from([texts, sets])


@st.composite
def questions(draw: st.DrawFn, owner: Owner | None = None) -> Question:
    space = draw(spaces)
    times = st.sampled_from([None, at(1), at(2), at(30)])
    conflicts = st.builds(OpenConflict, airtable=space, bitbucket=space, winner=st.sampled_from([None, *Side]))
    return Question(
        owner=owner or draw(st.sampled_from([Owner.AIRTABLE, Owner.BITBUCKET, Owner.BOTH])),
        agreed=draw(st.one_of(st.just(UNKNOWN), space)),
        airtable=draw(space),
        bitbucket=draw(space),
        tolerated=draw(st.one_of(st.none(), space)),
        conflict=draw(st.one_of(st.none(), conflicts)),
        edited=EditTimes(airtable=draw(times), bitbucket=draw(times)),
        further=draw(st.booleans()),
        on_conflict=draw(st.sampled_from(ConflictRule)),
        foreign_edit=draw(st.sampled_from(ForeignEditRule)),
        adopt=draw(st.booleans()),
    )


def _mirrored(question: Question) -> Question:
    owners = {Owner.AIRTABLE: Owner.BITBUCKET, Owner.BITBUCKET: Owner.AIRTABLE}
    found = question.conflict
    return replace(
        question,
        owner=owners.get(question.owner, question.owner),
        airtable=question.bitbucket,
        bitbucket=question.airtable,
        edited=EditTimes(airtable=question.edited.bitbucket, bitbucket=question.edited.airtable),
        conflict=found
        and OpenConflict(airtable=found.bitbucket, bitbucket=found.airtable, winner=_other(found.winner)),
    )


def _other(side: Side | None) -> Side | None:
    return {Side.AIRTABLE: Side.BITBUCKET, Side.BITBUCKET: Side.AIRTABLE, None: None}[side]


def _effects(decision: Decision) -> tuple[Any, ...]:
    return decision.agree, decision.kind, decision.tolerate, bool(decision.conflict)


@given(questions())
def test_nobody_is_favoured(question: Question) -> None:
    """Sides and owner swapped, the decision is swapped. Only a further pull request has a direction (SPEC)."""
    question = replace(question, further=False) if question.owner is Owner.BOTH else question
    decision, mirrored = ownership.decide(question), ownership.decide(_mirrored(question))
    assert (decision.airtable, decision.bitbucket) == (mirrored.bitbucket, mirrored.airtable)
    assert decision.foreign is _other(mirrored.foreign)
    assert _effects(decision) == _effects(mirrored)


@given(questions())
def test_what_is_decided_once_needs_no_second_decision(question: Question) -> None:
    """Carried out and remembered, every decision but a conflict leaves nothing to do."""
    decision = ownership.decide(question)
    if decision.conflict:
        return
    airtable = question.airtable if decision.airtable is None else decision.airtable
    bitbucket = question.bitbucket if decision.bitbucket is None else decision.bitbucket
    wrote = decision.airtable is not None or decision.bitbucket is not None
    agreed = airtable if wrote else question.agreed if decision.agree is None else decision.agree
    tolerated = (
        (airtable if decision.foreign is Side.AIRTABLE else bitbucket) if decision.tolerate else question.tolerated
    )
    again = ownership.decide(
        replace(question, airtable=airtable, bitbucket=bitbucket, agreed=agreed, tolerated=tolerated, conflict=None)
    )
    assert (again.airtable, again.bitbucket, again.conflict, again.foreign) == (None, None, "", None)


@given(questions())
def test_the_owners_side_is_written_only_by_adoption_of_its_value(question: Question) -> None:
    """I03."""
    decision = ownership.decide(question)
    if question.owner is Owner.AIRTABLE and decision.airtable is not None:
        assert decision.kind is Kind.ADOPT
    if question.owner is Owner.BITBUCKET and decision.bitbucket is not None:
        assert decision.kind is Kind.ADOPT


@given(questions())
def test_no_value_appears_that_neither_side_held(question: Question) -> None:
    decision = ownership.decide(question)
    held = _parts(question.airtable) | _parts(question.bitbucket)
    for written in (decision.airtable, decision.bitbucket):
        assert written is None or _parts(written) <= held


def _parts(found: Value) -> frozenset[Any]:
    return found.names if isinstance(found, Options) else frozenset({found} - {NOTHING})


@given(st.one_of(st.just(UNKNOWN), texts), texts, texts)
def test_moved_is_symmetric(agreed: Value | Unknown, airtable: Value, bitbucket: Value) -> None:
    swap = {compare.Moved.AIRTABLE: compare.Moved.BITBUCKET, compare.Moved.BITBUCKET: compare.Moved.AIRTABLE}
    found = compare.moved(agreed, airtable, bitbucket)
    assert compare.moved(agreed, bitbucket, airtable) is swap.get(found, found)


# ------------------------------------------------------------------------------------------- whole plans

# None that is written to Bitbucket and read by a condition: such a write is new input for the next plan.
FIELDS = (
    *spec_fields(),
    a_rule("Sync run", "pr.destination_branch", Owner.BOTH, each=True),
)
SPECS = [
    sync_rules(fields=FIELDS),
    sync_rules(
        fields=tuple(
            replace(
                rule, adopt=True, foreign_edit=ForeignEditRule.IGNORE, each=rule.field.name in ("Details", "Sync run")
            )
            for rule in FIELDS
        ),
        status=spec_status(illegal_edit=ForeignEditRule.ALERT),
        where=None,
    ),
]
words = st.sampled_from([None, "x", "y", "a\nb", "Login", "z" * 300])
cells: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "Name": words,
        "Details": st.one_of(words, st.just(Unknown("#ERROR"))),
        "Reviewers": st.sampled_from([None, [ADA], [ADA, BEN]]),
        "PR_state": st.sampled_from([None, "Open", "Merged", "Typed"]),
        "Last_commit": words,
        "Build": words,
        "Confidence": st.sampled_from([None, 0, 40, 70.4]),
        "Draft": st.booleans(),
        "Status": st.sampled_from([None, *STATES, "Cancelled", Unknown("#ERROR")]),
        "PR_URL": st.sampled_from(
            [
                None,
                "typed",
                *(
                    f"https://bitbucket.org/acme/{slug}/pull-requests/{number}"
                    for slug in ("web", "api")
                    for number in (1, 9)
                ),
            ]
        ),
        "Repo": st.sampled_from([None, "Web", "Docs"]),
        "Hold_sync": st.sampled_from([False, False, False, True]),
        "Sync_note": st.sampled_from([None, "old", '"Status" was put back to "Ready": because']),
        "Sync_state": st.sampled_from([None, "ok", "held"]),
        "Sync_run": words,
    },
)
pull_requests = st.builds(
    lambda number, repository, more: a_pull_request(number, repository=repository, **more),
    st.integers(1, 5),
    st.sampled_from([WEB, API]),
    st.fixed_dictionaries(
        {},
        optional={
            "state": st.sampled_from(["OPEN", "MERGED", "DECLINED", "SUPERSEDED"]),
            "draft": st.booleans(),
            "title": st.sampled_from(["Fix", f"[Airtable: {RECORD}] x", f"[Airtable: {OTHER}] Login"]),
            "description": st.sampled_from(["", "x", "y", "z" * 300]),
            "reviewers": st.sampled_from([(), (BEN,), (ADA, BEN)]),
            "approved_by": st.sampled_from([(), (BEN,), (ADA, BEN)]),
            "source_branch": st.sampled_from([f"feature/{RECORD}", f"{RECORD}-{OTHER}", "fix"]),
            "source_repository": st.sampled_from([WEB, None]),
            "source_commit": st.sampled_from(["", "0123456789ab"]),
            "created_on": st.sampled_from([at(1), at(2), at(3)]),
            "merged_on": st.sampled_from([None, at(9)]),
            "commit_records": st.sampled_from([(), (RECORD,)]),
        },
    ),
)
branches = st.builds(
    lambda name, ahead, repository: a_branch(name, ahead=ahead, repository=repository, target_on=at(1)),
    st.sampled_from([f"feature/{RECORD}", "fix", f"{RECORD}-{OTHER}"]),
    st.sampled_from([True, False, None]),
    st.sampled_from([WEB, API]),
)
builds = st.builds(a_build, st.sampled_from(["SUCCESSFUL", "FAILED", "INPROGRESS"]), st.sampled_from(["a", "b"]))
deployments = st.builds(a_deployment, st.sampled_from(["SUCCESSFUL", "FAILED"]))


@st.composite
def situations(draw: st.DrawFn, rules: SyncRules) -> Situation:
    prs = draw(st.lists(pull_requests, max_size=4, unique_by=lambda pr: pr.key))
    found: list[Any] = [
        *prs,
        *draw(st.lists(branches, max_size=3, unique_by=lambda branch: (branch.repository, branch.name))),
        *draw(st.lists(builds, max_size=3, unique_by=lambda build: build.key)),
        *draw(st.lists(deployments, max_size=1)),
    ]
    places = [
        *(AgreedKey(rule.field.id) for rule in rules.fields),
        *(AgreedKey(rule.field.id, pr.key) for rule in rules.fields for pr in prs),
        AgreedKey(field_id("Status")),
        AgreedKey(field_id("PR URL")),
    ]
    values = st.sampled_from(
        [NOTHING, *(val(raw) for raw in ("x", "y", "Open", "Login", *STATES)), val([ADA]), val(40), val(True)]
    )
    some = st.dictionaries(st.sampled_from(places), values, max_size=8)
    records = st.sampled_from([(RECORD,), (RECORD, OTHER)])
    return a_situation(
        rules,
        *found,
        record=a_record(**draw(cells)),
        agreed=draw(some),
        tolerated=draw(some),
        conflicts=draw(
            st.dictionaries(
                st.sampled_from(places), st.builds(OpenConflict, airtable=values, bitbucket=values), max_size=2
            )
        ),
        remembered=frozenset(draw(st.sets(st.sampled_from([pr.key for pr in prs])))) if prs else frozenset(),
        records_of={pr.key: draw(records) for pr in prs},
        accepted=rules.accepts() - draw(st.sets(st.sampled_from(sorted(rules.accepts())), max_size=2)),
        holds=tuple(draw(st.lists(st.sampled_from([a_hold(field="Details"), a_hold(field="Status")]), max_size=1))),
        made={one.key: Made(rule=one.key, object="?") for one in rules.actions if draw(st.booleans())},
        incomplete=draw(st.dictionaries(st.sampled_from(List), st.just("web could not be read"), max_size=1)),
        in_scope=draw(st.sampled_from([True, True, True, False])),
        parked=draw(st.sampled_from(["", "", "422"])),
    )


rules_and_situations = st.sampled_from(SPECS).flatmap(lambda rules: st.tuples(st.just(rules), situations(rules)))


@many
@given(rules_and_situations)
def test_core_never_raises_and_says_the_same_twice(case: tuple[SyncRules, Situation]) -> None:
    rules, situation = case
    assert plan.plan_record(situation, rules) == plan.plan_record(situation, rules)
    plan.in_scope(situation, rules)
    guard.check([plan.plan_record(situation, rules)], 1, (), GuardRules(), NOW)


@many
@given(rules_and_situations, st.randoms(use_true_random=False))
def test_the_order_of_inputs_does_not_matter(case: tuple[SyncRules, Situation], shuffle: random.Random) -> None:
    rules, situation = case

    def mixed(found: Any) -> Any:
        return tuple(shuffle.sample(list(found), len(found)))

    work = situation.work
    other = replace(
        situation,
        work=replace(
            work,
            pull_requests=mixed(work.pull_requests),
            branches=mixed(work.branches),
            builds=mixed(work.builds),
        ),
        agreed=dict(mixed(situation.agreed.items())),
        conflicts=dict(mixed(situation.conflicts.items())),
        records_of={key: mixed(records) for key, records in situation.records_of.items()},
        record=replace(situation.record, cells=dict(mixed(situation.record.cells.items()))),
    )
    assert repr(plan.plan_record(other, rules)) == repr(plan.plan_record(situation, rules))


@many
@given(rules_and_situations)
def test_a_second_plan_is_empty(case: tuple[SyncRules, Situation]) -> None:
    """I02: with links read and actions done in between, the plan after the next one has nothing left to do."""
    rules, situation = case
    situation = replace(situation, accepted=rules.accepts())
    for _ in range(4):
        made = plan.plan_record(situation, rules)
        if not (made.links or made.actions):
            break
        # A new link or object is new input: it is read before the plan that must be the last.
        situation = applied(situation, made, rules)
        situation = replace(situation, now=situation.now + timedelta(minutes=1))
    made = plan.plan_record(situation, rules)
    assert not made.links
    again = plan.plan_record(applied(situation, made, rules), rules)
    assert (again.writes, again.actions, again.agreements, again.tolerations, again.links) == ((), (), (), (), ())
    assert (again.state, again.note) == (made.state, made.note)


@many
@given(rules_and_situations)
def test_unknown_lists_never_lead_to_a_write_that_reads_them(case: tuple[SyncRules, Situation]) -> None:
    """I13: with nothing known about the work, only our own columns may change."""
    rules, situation = case
    blind = replace(situation, work=replace(situation.work, incomplete=dict.fromkeys(List, "x")))
    made = plan.plan_record(blind, rules)
    assert made.actions == ()
    allowed = {Kind.COLUMN, Kind.STATUS, Kind.ILLEGAL_EDIT}
    assert {write.kind for write in made.writes} <= allowed
    for write in made.writes:
        if write.kind is Kind.ILLEGAL_EDIT:
            # An edit is judged where no transition that waits for the lists could explain it.
            assert rules.status is not None
            assert isinstance(write.after, Text)
            leaving = [edge for edge in rules.status.transitions if write.after.key in edge.sources]
            assert not any(edge.when.lists for edge in leaving if edge.when is not None)
    moved = [write for write in made.writes if write.kind is Kind.STATUS]
    # An empty status still counts as the initial one.
    assert all(write.before is NOTHING and write.path == ("Planned",) for write in moved)


@many
@given(rules_and_situations)
def test_nothing_illegal_is_ever_in_a_plan(case: tuple[SyncRules, Situation]) -> None:
    rules, situation = case
    made = plan.plan_record(situation, rules)
    _check_writes(made, rules, situation)
    assert len({write.target for write in made.writes}) == len(made.writes)
    assert not any(write.before == write.after for write in made.writes)
    if not situation.in_scope:
        assert (made.writes, made.actions) == ((), ())


def _check_writes(made: RecordPlan, rules: SyncRules, situation: Situation) -> None:
    by_field = {rule.field.id: rule for rule in rules.fields}
    open_keys = {pr.key for pr in situation.work.pull_requests if pr.state == "OPEN"}
    for write in made.writes:
        if isinstance(write.target, Attribute):
            assert write.target.pull_request in open_keys
            assert not (write.after is NOTHING and write.target.name in ("title", "destination_branch"))
        rule = by_field.get(write.target.field) if isinstance(write.target, Cell) else None
        if rule is not None and rule.owner is Owner.AIRTABLE:
            assert write.kind is Kind.ADOPT
        if write.kind in (Kind.REVERT, Kind.ILLEGAL_EDIT) and rule is not None:
            assert {rules.fingerprint, rule.fingerprint} <= situation.accepted
        if isinstance(write.after, Text):
            assert write.after.raw is not None
    assert made.actions == () or rules.fingerprint in situation.accepted
    assert a_key(99) not in {link.pull_request for link in made.links}
