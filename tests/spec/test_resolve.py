"""Names become ids; a rename is followed; a fingerprint changes with the meaning of a rule and with nothing else."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from syncd import errors
from syncd.model.change import Owner, Priority
from syncd.model.ids import FieldId, SyncName
from syncd.model.schema import Table
from syncd.model.work import List
from syncd.spec import fit, load, resolve, rules
from syncd.spec.attributes import ATTRIBUTES
from syncd.spec.schema import MappedField
from syncd.spec.secret import Kind, Secret
from tests.spec import world

FIELDS = '[sync.features.fields]\n"Name" = { bitbucket = "pr.title", owner = "airtable" }\n'
FEATURES = SyncName("features")


def the_sync(folder: Path, text: str) -> rules.SyncRules:
    return world.resolved(world.loaded(folder, text)).rules.syncs[FEATURES]


def renamed(table: Table, before: str, after: str) -> Table:
    return replace(table, fields=tuple(replace(one, name=after) if one.name == before else one for one in table.fields))


def test_the_example_spec_resolves_to_ids() -> None:
    found = world.resolved(load.load(world.ROOT / "config")).rules
    sync = found.syncs[FEATURES]
    assert found.daemon.state == "/var/lib/syncd/syncd.db"
    assert found.airtable["roadmap"].token == Secret(kind=Kind.ENV, name="SYNCD_AIRTABLE_TOKEN")
    assert (found.airtable["roadmap"].month, found.airtable["roadmap"].share) == (100_000, 0.6)
    assert found.bitbucket["acme"].sources[0].repositories == ("web", "api")
    assert "pullrequest:updated" in found.bitbucket["acme"].sources[0].events
    assert (sync.table, sync.view, sync.primary) == ("tblFEATURES000001", "viwENGINEERING001", world.field_id("Name"))
    assert [one.slug for one in sync.repositories] == ["api", "web"]
    assert sync.create_in is not None
    assert dict(sync.create_in.choices) == {"Web": "{web}", "API": "{api}"}
    assert sync.link.url == world.field_id("PR URL")
    title, details, state, *_ = sync.fields
    assert (title.key, title.attribute, title.owner, title.writable, title.required) == (
        'fields."Name"',
        "pr.title",
        Owner.AIRTABLE,
        True,
        True,
    )
    assert (details.foreign_edit, details.tolerance) == (rules.ForeignEditRule.ALERT, timedelta(minutes=2))
    assert state.map["OPEN"] == "Open"
    assert sync.fields[-1].owner is Owner.SYNCD
    assert {one.key: one.priority for one in sync.fields}['fields."Build"'] is Priority.LOW
    assert sync.status is not None
    assert [edge.key for edge in sync.status.transitions[:2]] == ["status.transitions[0]", "status.transitions[1]"]
    assert [type(action) for action in sync.actions] == [rules.CreateBranchRule, rules.CreatePullRequestRule]
    assert sync.columns.hold is not None
    assert sync.columns.hold.kind == "checkbox"
    assert sync.writes_allowed


def test_only_fields_that_a_plan_needs_are_fetched(tmp_path: Path) -> None:
    sync = the_sync(
        tmp_path,
        world.HEAD
        + world.SYNC
        + '[sync.features.fields]\n"Build" = { value = \'"SUCCESSFUL" if record["Approved"] else none\' }\n',
    )
    assert sync.fetch == tuple(sorted(world.field_id(name) for name in ("Name", "Build", "Approved")))


def test_a_single_repository_needs_no_create_in(tmp_path: Path) -> None:
    sync = the_sync(tmp_path, world.HEAD + world.SYNC)
    assert sync.create_in == rules.CreateIn(field=None, choices={}, only=world.repository("web").id)


def test_a_star_means_every_repository_of_the_workspace(tmp_path: Path) -> None:
    text = world.HEAD.replace('["web"]', '"*"') + world.SYNC
    assert [one.slug for one in the_sync(tmp_path, text).repositories] == ["api", "docs", "web"]
    assert world.resolved(world.loaded(tmp_path, text)).rules.bitbucket["acme"].sources[0].repositories is None


def test_two_secrets_are_read_while_one_is_rotated(tmp_path: Path) -> None:
    text = world.HEAD.replace('secret = { env = "SYNCD_HOOK_SECRET" }', 'secret = [{ env = "NEW" }, { file = "old" }]')
    found = world.resolved(world.loaded(tmp_path, text + world.SYNC)).rules.bitbucket["acme"].sources[0].secrets
    assert [(one.kind, one.name, one.key, one.line) for one in found] == [
        (Kind.ENV, "NEW", "bitbucket.acme.sources[0].secret[0]", 10),
        (Kind.FILE, "old", "bitbucket.acme.sources[0].secret[1]", 10),
    ]


def test_fields_tables_and_views_may_be_named_by_id(tmp_path: Path) -> None:
    text = (world.HEAD + world.SYNC + FIELDS).replace('"Features"', '"tblFEATURES000001", view = "viwENGINEERING001"')
    sync = the_sync(tmp_path, text.replace('"Name"', f'"{world.field_id("Name")}"'))
    assert (sync.table_name, sync.fields[0].field.name) == ("Features", "Name")


def test_a_name_that_two_fields_have_is_accepted_by_id(tmp_path: Path) -> None:
    twin = replace(world.field("Name", "singleLineText"), id=FieldId("fldTWIN0000000000"))
    text = (world.HEAD + world.SYNC + FIELDS).replace('"Name"', '"fldTWIN0000000000"')
    found = world.resolved(world.loaded(tmp_path, text), tables=(world.table(extra=(twin,)),)).rules.syncs[FEATURES]
    assert found.fields[0].field.id == "fldTWIN0000000000"


def test_a_rename_is_followed_by_id_and_told(tmp_path: Path) -> None:
    spec = world.loaded(tmp_path, world.HEAD + world.SYNC + FIELDS + '"Build" = { value = \'record["Name"]\' }\n')
    before = world.resolved(spec)
    after = world.resolved(spec, remembered=dict(before.pins), tables=(renamed(world.table(), "Name", "Title"),))
    sync = after.rules.syncs[FEATURES]
    assert sync.fields[0].field.id == world.field_id("Name")
    assert sync.table_fields["Name"].id == sync.table_fields["Title"].id == world.field_id("Name")
    assert after.pins == before.pins
    assert {found.expected for found in after.warnings} == {
        'the field\'s name: it was renamed to "Title", and syncd follows it by its id'
    }
    assert sync.accepts() == before.rules.syncs[FEATURES].accepts()


def test_a_rename_that_nobody_remembers_is_a_problem(tmp_path: Path) -> None:
    spec = world.loaded(tmp_path, world.HEAD + world.SYNC + FIELDS)
    with pytest.raises(errors.SpecError):
        world.resolved(spec, tables=(renamed(world.table(), "Name", "Title"),))


def test_swapped_names_are_both_followed(tmp_path: Path) -> None:
    spec = world.loaded(
        tmp_path,
        world.HEAD + world.SYNC + FIELDS + '"Last commit" = { bitbucket = "pr.source_commit", owner = "bitbucket" }\n',
    )
    pins = dict(world.resolved(spec).pins)
    swapped = renamed(renamed(renamed(world.table(), "Name", "?"), "Last commit", "Name"), "?", "Last commit")
    found = world.resolved(spec, remembered=pins, tables=(swapped,)).rules.syncs[FEATURES].fields
    assert [one.field.id for one in found] == [world.field_id("Name"), world.field_id("Last commit")]


def test_a_remembered_field_that_is_gone_is_looked_up_by_name_again(tmp_path: Path) -> None:
    spec = world.loaded(tmp_path, world.HEAD + world.SYNC + FIELDS)
    pins = {
        key: "fldGONE0000000000" if key.endswith("/Name") else found for key, found in world.resolved(spec).pins.items()
    }
    assert world.resolved(spec, remembered=pins).rules.syncs[FEATURES].fields[0].field.id == world.field_id("Name")


def test_a_repository_that_is_not_listed_is_told_and_stays_as_it_was_last_seen(tmp_path: Path) -> None:
    spec = world.loaded(tmp_path, world.HEAD + world.SYNC + FIELDS)
    first = world.resolved(spec)
    pins = first.pins
    for _ in range(2):
        shown = (world.repository("api"),)
        after = resolve.resolve(spec, {"roadmap": (world.table(),)}, {"acme": shown}, tmp_path, dict(pins))
        pins = after.pins
        assert after.rules.syncs[FEATURES].repositories == first.rules.syncs[FEATURES].repositories
        assert [reason for reason in after.rules.blocked if 'no repository "web"' in reason]


READERS = """
"Last commit" = { value = 'record["Confidence"] >= 3 and "high" or "low"' }
"PR state" = { value = 'record["Name"]' }
"""


def retyped(name: str, kind: str) -> Table:
    table = world.table()
    fields = tuple(replace(one, kind=kind) if one.name == name else one for one in table.fields)
    return replace(table, fields=fields)


def test_a_field_that_expressions_read_as_another_type_blocks_exactly_those(tmp_path: Path) -> None:
    spec = world.loaded(tmp_path, world.HEAD + world.SYNC + FIELDS + READERS)
    first = world.resolved(spec)
    for pins in (dict(first.pins), dict(world.resolved(spec, remembered=dict(first.pins)).pins)):
        after = world.resolved(spec, remembered=pins, tables=(retyped("Confidence", "singleLineText"),))
        sync = after.rules.syncs[FEATURES]
        assert [rule.field.name for rule in sync.fields] == ["Name", "PR state"]
        assert "a number, as when this was written; it is a text now" in sync.blocked[0]
        read = {pin: sort for pin, sort in first.pins.items() if "/read/" in pin}
        assert after.pins.items() >= read.items(), "the next start knows as much"
    back = world.resolved(spec, remembered=dict(after.pins)).rules.syncs[FEATURES]
    assert len(back.fields) == 3
    assert not back.blocked


def test_types_of_one_sort_read_alike(tmp_path: Path) -> None:
    spec = world.loaded(tmp_path, world.HEAD + world.SYNC + FIELDS + READERS)
    pins = dict(world.resolved(spec).pins)
    sync = world.resolved(spec, remembered=pins, tables=(retyped("Confidence", "percent"),)).rules.syncs[FEATURES]
    assert not sync.blocked


def test_an_expression_that_is_written_anew_means_the_type_there_is(tmp_path: Path) -> None:
    text = world.HEAD + world.SYNC + FIELDS + READERS
    pins = dict(world.resolved(world.loaded(tmp_path, text)).pins)
    spec = world.loaded(tmp_path, text.replace(">= 3", '== "3"'))
    sync = world.resolved(spec, remembered=pins, tables=(retyped("Confidence", "singleLineText"),)).rules.syncs[
        FEATURES
    ]
    assert not sync.blocked


BASE = (
    world.HEAD
    + world.SYNC
    + FIELDS
    + """[sync.features.status]
field = "Status"
states = ["Planned", "Ready"]
initial = "Planned"
transitions = [{ from = "Planned", to = "Ready", owner = "bitbucket", when = "any(prs)" }]
[sync.features.actions."cut"]
when = "not any(branches)"
create_branch = { from = "main" }
"""
)


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        pytest.param('owner = "airtable"', 'owner = "both"', {"field"}, id="owner of a field"),
        pytest.param('"pr.title"', '"pr.description"', {"field"}, id="attribute of a field"),
        pytest.param('"Name" =', '"Details" =', {"field"}, id="place of a field"),
        pytest.param('owner = "airtable" }', 'owner = "airtable", priority = "low" }', set(), id="priority"),
        pytest.param("any(prs)", "any(builds)", {"edge"}, id="condition of an edge"),
        pytest.param('from = "main"', 'from = "dev"', {"action"}, id="start of a branch"),
        pytest.param('table = "Features"', 'table = "Features", view = "Engineering"', {"sync"}, id="scope"),
        pytest.param('workspace = "acme"', 'workspace = "other"', {"sync"}, id="workspace"),
        pytest.param("[sync.features.link]", 'quiet = "1m"\n[sync.features.link]', set(), id="quiet"),
    ],
)
def test_a_fingerprint_changes_with_the_meaning(tmp_path: Path, before: str, after: str, changed: set[str]) -> None:
    def marks(text: str) -> dict[str, str]:
        sync = the_sync(tmp_path, text)
        assert sync.status is not None
        return {
            "sync": sync.fingerprint,
            "field": sync.fields[0].fingerprint,
            "status": sync.status.fingerprint,
            "edge": sync.status.transitions[0].fingerprint,
            "action": sync.actions[0].fingerprint,
        }

    assert before in BASE
    one, other = marks(BASE), marks(BASE.replace(before, after))
    assert {name for name in one if one[name] != other[name]} == changed
    assert len(set(one.values())) == len(one)


def test_a_sync_that_only_shows_may_not_write(tmp_path: Path) -> None:
    assert not the_sync(
        tmp_path, world.HEAD + world.SYNC.replace("bitbucket =", 'mode = "plan"\nbitbucket =')
    ).writes_allowed


def test_a_missing_workspace_or_base_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    spec = world.loaded(tmp_path, (world.HEAD + world.SYNC).replace('["web"]', '"*"'))
    with pytest.raises(errors.SpecError) as caught:
        resolve.resolve(spec, {}, {}, tmp_path)
    assert [found.key for found in caught.value.problems] == [
        "bitbucket.acme.sources[0].repositories",
        "sync.features.airtable.table",
    ]


def test_conditions_know_the_lists_they_need(tmp_path: Path) -> None:
    sync = the_sync(tmp_path, BASE)
    assert sync.actions[0].when.lists == {List.BRANCHES}


@pytest.mark.parametrize(
    ("attribute", "owner", "kind", "fits"),
    [
        ("pr.title", "airtable", "singleLineText", True),
        ("pr.title", "airtable", "number", False),
        ("pr.title", "bitbucket", "formula", False),
        ("pr.draft", "both", "checkbox", True),
        ("pr.draft", "both", "singleLineText", False),
        ("pr.draft", "bitbucket", "singleLineText", True),
        ("pr.approvals", "bitbucket", "number", True),
        ("pr.approvals", "bitbucket", "checkbox", False),
        ("pr.merged_on", "bitbucket", "dateTime", True),
        ("pr.merged_on", "bitbucket", "singleSelect", False),
        ("pr.approved_by", "bitbucket", "multipleSelects", True),
    ],
)
def test_an_attribute_needs_a_field_that_can_hold_it(attribute: str, owner: str, kind: str, fits: bool) -> None:
    rule = MappedField.model_validate({"bitbucket": attribute, "owner": owner})
    assert (fit.mapped_problem(rule, ATTRIBUTES[attribute], world.field("Any", kind)) == "") is fits


def test_a_formula_with_a_text_may_own_a_title() -> None:
    rule = MappedField.model_validate({"bitbucket": "pr.title", "owner": "airtable"})
    formula = replace(world.field("Any", "formula"), result_kind="singleLineText")
    assert fit.mapped_problem(rule, ATTRIBUTES["pr.title"], formula) == ""
    assert fit.mapped_problem(rule, ATTRIBUTES["pr.title"], world.field("Any", "formula")) != ""


@pytest.mark.parametrize(
    ("outcome", "kind", "fits"),
    [
        (None, "number", True),
        ("", "checkbox", True),
        ("text", "singleLineText", True),
        (3, "singleLineText", True),
        ([1], "singleLineText", False),
        (["a"], "multilineText", True),
        ({}, "singleLineText", False),
        (3, "number", True),
        (True, "number", False),
        ("3.5", "number", True),
        ("three", "number", False),
        (True, "checkbox", True),
        (1, "checkbox", False),
        ("2026-11-21", "date", True),
        ("soon", "dateTime", False),
        (["a"], "multipleSelects", True),
        (True, "singleSelect", False),
    ],
)
def test_an_expression_s_outcome_must_fit_its_field(outcome: object, kind: str, fits: bool) -> None:
    assert (fit.value_problem(outcome, world.field("Any", kind)) == "") is fits


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        pytest.param("pr.approvals + 1", False, id="works on every record"),
        pytest.param("prs[0].approvals", True, id="fails without pull requests"),
        pytest.param(
            "count(where(prs, title=builds[0].url | upper)) if record['Approved'] else 0",
            True,
            id="fails only without builds",
        ),
        pytest.param("30 * (record['Approved'] | int)", False, id="an unticked box reads false"),
        pytest.param("record['Due'] | replace('-', '') | int", True, id="an empty cell reads null"),
    ],
)
def test_every_expression_is_rehearsed(tmp_path: Path, value: str, wrong: bool) -> None:
    spec = world.loaded(
        tmp_path, world.HEAD + world.SYNC + f'[sync.features.fields]\n"Confidence" = {{ value = "{value}" }}\n'
    )
    if wrong:
        with pytest.raises(errors.SpecError):
            world.resolved(spec)
    else:
        assert world.resolved(spec).rules.syncs[FEATURES].fields
