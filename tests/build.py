"""
Builders: a test shows only what matters to it.

`rules()` is SPEC's own example of a sync, resolved; `applied` is the world after a plan was carried out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from syncd.core import fields
from syncd.model import value
from syncd.model.change import AgreedKey, Attribute, Cell, CreateBranch, CreatePullRequest, Owner, Priority, RecordPlan
from syncd.model.ids import AccountId, BaseId, FieldId, PullRequestKey, RecordId, RepositoryId, SyncName, TableId
from syncd.model.record import Record
from syncd.model.schema import Field, Repository
from syncd.model.situation import Hold, Made, OpenConflict, Situation
from syncd.model.value import NOTHING, Boolean, Instant, Number, Options, Text, Unknown, Value
from syncd.model.work import Branch, Build, Commit, Deployment, List, PullRequest, Work
from syncd.spec.attributes import ATTRIBUTES
from syncd.spec.expression import parse, parse_template
from syncd.spec.rules import (
    Columns,
    ConflictRule,
    CreateBranchRule,
    CreateIn,
    CreatePullRequestRule,
    FieldRule,
    ForeignEditRule,
    GuardRules,
    LinkRules,
    StatusRules,
    SyncRules,
    Transition,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RECORD = RecordId("recAAAAAAAAAAAAAA")
OTHER = RecordId("recBBBBBBBBBBBBBB")
WEB, API = RepositoryId("{web}"), RepositoryId("{api}")
ADA, BEN, BOT = AccountId("{ada}"), AccountId("{ben}"), AccountId("{bot}")
HEAD = "a1b2c3d4e5f6"
STATES = ("Planned", "Ready", "In Progress", "In Review", "Merged", "Released")

_KINDS = {
    "Name": "singleLineText",
    "Details": "multilineText",
    "Reviewers": "multipleSelects",
    "PR state": "singleSelect",
    "Last commit": "singleLineText",
    "Merged at": "dateTime",
    "Build": "singleLineText",
    "Confidence": "number",
    "Draft": "checkbox",
    "Status": "singleSelect",
    "PR URL": "url",
    "Repo": "singleSelect",
    "Sync state": "singleSelect",
    "Sync note": "multilineText",
    "Sync run": "singleLineText",
    "Hold sync": "checkbox",
    "Approved": "checkbox",
    "Due": "date",
}
_CHOICES = {
    "PR state": ("Open", "Merged", "Declined", "Superseded"),
    "Status": STATES,
    "Repo": ("Web", "API", "Docs"),
    "Sync state": ("ok", "held", "conflict", "refused", "error", "out of scope"),
}


def a_field(name: str, kind: str = "", **more: Any) -> Field:
    """A field of the table; its id is made from its name."""
    kind = kind or _KINDS.get(name, "singleLineText")
    more.setdefault("choices", _CHOICES.get(name, ()))
    more.setdefault("precision", 0 if kind == "number" else None)
    return Field(id=FieldId("fld" + name.replace(" ", "")), name=name, kind=kind, **more)


TABLE = {name: a_field(name) for name in _KINDS}
REPOSITORIES = (
    Repository(
        id=API, workspace="acme", slug="api", name="API", main_branch="main", url="https://bitbucket.org/acme/api"
    ),
    Repository(
        id=WEB, workspace="acme", slug="web", name="Web", main_branch="main", url="https://bitbucket.org/acme/web"
    ),
)


def field_id(name: str) -> FieldId:
    """The id of a field of the table."""
    return TABLE[name].id


def at(minutes: float) -> datetime:
    """A moment, in minutes after the hour before `NOW`."""
    return NOW - timedelta(hours=1) + timedelta(minutes=minutes)


# ------------------------------------------------------------------------------------------- values


def val(raw: Any) -> Value:
    """A plain Python value as one of the value space."""
    if isinstance(raw, str):
        return value.text(raw)
    if isinstance(raw, bool):
        return value.boolean(raw)
    if isinstance(raw, int | float):
        return value.number(raw)
    if isinstance(raw, datetime):
        return value.instant(raw)
    if isinstance(raw, list | tuple | set | frozenset):
        return value.options(list(raw))
    if raw is None:
        return NOTHING
    assert isinstance(raw, value.Nothing | Text | Number | Boolean | Instant | value.Day | Options)
    return raw


# ------------------------------------------------------------------------------------------- both sides


def a_record(id: RecordId = RECORD, in_view: bool = True, **cells: Any) -> Record:
    """A record; a cell is named like its field with `_` for a blank, and every other one is empty."""
    filled: dict[FieldId, Value | Unknown] = {field.id: NOTHING for field in TABLE.values()}
    filled[field_id("Name")] = value.text("Login")
    for name, raw in cells.items():
        filled[field_id(name.replace("_", " "))] = raw if isinstance(raw, Unknown) else val(raw)
    return Record(id=id, created_at=at(-1000), cells=filled, in_view=in_view)


def a_key(number: int = 1, repository: RepositoryId = WEB) -> PullRequestKey:
    """The key of a pull request."""
    return PullRequestKey(repository, number)


def a_pull_request(number: int = 1, *, repository: RepositoryId = WEB, **more: Any) -> PullRequest:
    """A pull request that is linked to `RECORD` by its branch and its title."""
    slug = {WEB: "web", API: "api"}[repository]
    filled: dict[str, Any] = {
        "key": PullRequestKey(repository, number),
        "url": f"https://bitbucket.org/acme/{slug}/pull-requests/{number}",
        "title": f"[Airtable: {RECORD}] Login",
        "description": "",
        "state": "OPEN",
        "draft": False,
        "queued": False,
        "author": ADA,
        "reviewers": (),
        "approved_by": (),
        "changes_requested_by": (),
        "source_repository": repository,
        "source_branch": f"feature/{RECORD}-login",
        "destination_branch": "main",
        "source_commit": HEAD,
        "merge_commit": "",
        "comment_count": 0,
        "open_tasks": 0,
        "created_on": at(number),
        "updated_on": at(number),
    }
    if more.get("state") == "MERGED":
        filled |= {"merged_on": at(50), "merge_commit": "ffffffffffff"}
    return PullRequest(**(filled | more))


def a_branch(name: str = f"feature/{RECORD}-login", *, repository: RepositoryId = WEB, **more: Any) -> Branch:
    """A branch of `RECORD` with commits of its own."""
    filled: dict[str, Any] = {
        "url": f"https://bitbucket.org/acme/web/branch/{name}",
        "target_commit": HEAD + "0" * 28,
        "target_on": at(1),
        "author": ADA,
        "ahead": True,
    }
    return Branch(repository=repository, name=name, **(filled | more))


def a_build(state: str = "SUCCESSFUL", key: str = "ci", **more: Any) -> Build:
    """A build of the head of `a_pull_request`."""
    filled: dict[str, Any] = {
        "repository": WEB,
        "commit": HEAD + "0" * 28,
        "name": key,
        "url": "https://ci.example.com/1",
        "updated_on": at(5),
    }
    return Build(state=state, key=key, **(filled | more))


def a_deployment(state: str = "SUCCESSFUL", **more: Any) -> Deployment:
    """A deployment to production."""
    filled: dict[str, Any] = {
        "repository": WEB,
        "id": "{deployment}",
        "environment": "Production",
        "environment_type": "Production",
        "commit": "f" * 40,
        "release": "1.0",
        "url": "",
        "completed_on": at(55),
    }
    return Deployment(state=state, **(filled | more))


def a_commit(hash: str = "c" * 40, **more: Any) -> Commit:
    """A commit."""
    filled: dict[str, Any] = {"repository": WEB, "url": "", "message": "Work", "author": ADA, "date": at(2)}
    return Commit(hash=hash, **(filled | more))


def some_work(
    *found: PullRequest | Branch | Build | Deployment | Commit, incomplete: Mapping[List, str] | None = None
) -> Work:
    """Work of all kinds, each put into its list."""

    def of(kind: type) -> Any:
        return tuple(one for one in found if isinstance(one, kind))

    return Work(
        branches=of(Branch),
        pull_requests=of(PullRequest),
        commits=of(Commit),
        builds=of(Build),
        deployments=of(Deployment),
        incomplete=incomplete or {},
    )


def agreed_key(name: str, number: int | None = None) -> AgreedKey:
    """Where a field's agreed value stands; `number` for a two-way field."""
    return AgreedKey(field_id(name), None if number is None else a_key(number))


def a_situation(
    rules: SyncRules,
    *found: PullRequest | Branch | Build | Deployment | Commit,
    record: Record | None = None,
    agreed: Mapping[AgreedKey, Any] | None = None,
    incomplete: Mapping[List, str] | None = None,
    **more: Any,
) -> Situation:
    """A situation of an accepted sync, read completely, whose pull requests are remembered."""
    work = some_work(*found, incomplete=incomplete)
    record = record if record is not None else a_record()
    more.setdefault("accepted", rules.accepts())
    more.setdefault("remembered", frozenset(pr.key for pr in work.pull_requests))
    more.setdefault("records_of", {pr.key: (record.id,) for pr in work.pull_requests})
    kept = {key: val(raw) for key, raw in (agreed or {}).items()}
    return Situation(sync=rules.name, record=record, work=work, agreed=kept, **({"now": NOW} | more))


# ------------------------------------------------------------------------------------------- rules


def a_rule(name: str, attribute: str | None = None, owner: Owner = Owner.AIRTABLE, **more: Any) -> FieldRule:
    """A rule for one field."""
    known = ATTRIBUTES.get(attribute or "")
    expression = more.pop("value", None)
    field = more.pop("field", TABLE.get(name) or a_field(name))
    more.setdefault("writable", known is not None and known.writable)
    more.setdefault("required", known is not None and known.required)
    return FieldRule(
        key=f'fields."{name}"',
        field=field,
        attribute=attribute,
        value=None if expression is None else parse(expression),
        owner=Owner.SYNCD if expression is not None else owner,
        fingerprint=f"field {name}",
        **more,
    )


def spec_fields() -> tuple[FieldRule, ...]:
    """The fields of SPEC's example."""
    states = {"OPEN": "Open", "MERGED": "Merged", "DECLINED": "Declined", "SUPERSEDED": "Superseded"}
    return (
        a_rule("Name", "pr.title"),
        a_rule("Details", "pr.description", foreign_edit=ForeignEditRule.ALERT),
        a_rule("Reviewers", "pr.reviewers", Owner.BOTH, conflict=ConflictRule.NEWEST),
        a_rule("PR state", "pr.state", Owner.BITBUCKET, map=states),
        a_rule("Last commit", "pr.source_commit", Owner.BITBUCKET),
        a_rule("Merged at", "pr.merged_on", Owner.BITBUCKET),
        a_rule("Build", "build.state", Owner.BITBUCKET, priority=Priority.LOW),
        a_rule(
            "Confidence",
            value='(60 if pr.approvals >= 2 else 30 * pr.approvals) + (40 if build.state == "SUCCESSFUL" else 0)',
        ),
    )


def an_edge(index: int, sources: str | Sequence[str], target: str, owner: str, when: str | None = None) -> Transition:
    """An edge of the status machine."""
    return Transition(
        key=f"status.transitions[{index}]",
        index=index,
        sources=(sources,) if isinstance(sources, str) else tuple(sources),
        target=target,
        owner=Owner(owner),
        when=None if when is None else parse(when),
        fingerprint=f"edge {sources} {target} {owner} {when}",
    )


def spec_status(edges: Sequence[Transition] | None = None, **more: Any) -> StatusRules:
    """The status machine of SPEC's example, or another one over the same states."""
    if edges is None:
        working = ["Ready", "In Progress"]
        reviewed = 'any(prs, state="OPEN", draft=false)'
        edges = (
            an_edge(0, "Planned", "Ready", "airtable"),
            an_edge(1, working, "Planned", "airtable"),
            an_edge(2, "Ready", "In Progress", "bitbucket", "any(branches, ahead=true) or any(prs)"),
            an_edge(3, working, "In Review", "bitbucket", reviewed),
            an_edge(4, "In Review", "In Progress", "bitbucket", f'not {reviewed} and not any(prs, state="MERGED")'),
            an_edge(
                5,
                [*working, "In Review"],
                "Merged",
                "bitbucket",
                'any(prs, state="MERGED") and not any(prs, state="OPEN")',
            ),
            an_edge(
                6,
                "Merged",
                "Released",
                "release",
                'any(deployments, environment_type="Production", state="SUCCESSFUL")',
            ),
        )
    filled: dict[str, Any] = {"illegal_edit": ForeignEditRule.REVERT, "initial": "Planned", "states": STATES}
    return StatusRules(
        key="status", field=TABLE["Status"], transitions=tuple(edges), fingerprint="status", **(filled | more)
    )


def spec_actions() -> tuple[CreateBranchRule, CreatePullRequestRule]:
    """The actions of SPEC's example."""
    return (
        CreateBranchRule(
            key='actions."cut the branch"',
            when=parse('status == "Ready" and not any(branches)'),
            start="main",
            fingerprint="cut",
        ),
        CreatePullRequestRule(
            key='actions."open the draft"',
            when=parse("any(branches, ahead=true) and not any(prs)"),
            into="main",
            draft=True,
            description=parse_template("{{ record['Details'] }}"),
            fingerprint="draft",
        ),
    )


def sync_rules(**more: Any) -> SyncRules:
    """One sync: SPEC's example, with what the test says otherwise."""
    filled: dict[str, Any] = {
        "name": SyncName("features"),
        "airtable": "roadmap",
        "bitbucket": "acme",
        "base": BaseId("appAAAAAAAAAAAAAA"),
        "table": TableId("tblAAAAAAAAAAAAAA"),
        "table_name": "Features",
        "view": None,
        "where": None,
        "primary": field_id("Name"),
        "repositories": REPOSITORIES,
        "create_in": CreateIn(field=field_id("Repo"), choices={"Web": WEB, "API": API}),
        "quiet": timedelta(seconds=5),
        "link": LinkRules(
            branch=parse_template("feature/{{ record_id }}-{{ name | slug }}"),
            title=parse_template("[Airtable: {{ record_id }}]"),
            url=field_id("PR URL"),
        ),
        "fields": spec_fields(),
        "status": spec_status(),
        "actions": spec_actions(),
        "columns": Columns(
            run_id=TABLE["Sync run"], state=TABLE["Sync state"], note=TABLE["Sync note"], hold=TABLE["Hold sync"]
        ),
        "guard": GuardRules(),
        "table_fields": TABLE,
        "fetch": tuple(field.id for field in TABLE.values()),
        "bots": (BOT,),
        "fingerprint": "sync",
    }
    return SyncRules(**(filled | more))


def bare_rules(*rules: FieldRule, **more: Any) -> SyncRules:
    """A sync with these fields and nothing else: no status, no actions, no link field, no columns."""
    filled: dict[str, Any] = {"fields": rules, "status": None, "actions": (), "columns": Columns(), "create_in": None}
    link = replace(sync_rules().link, url=None)
    return sync_rules(**(filled | {"link": link} | more))


# ------------------------------------------------------------------------------------------- the world after a plan


def applied(situation: Situation, plan: RecordPlan, rules: SyncRules, *, adoption: bool = True) -> Situation:
    """
    The situation after the plan was carried out: writes stand on both sides, actions are done, all is remembered.

    Args:
        adoption: whether a person also applied what is shown only.
    """
    cells = dict(situation.record.cells)
    pull_requests = {pr.key: pr for pr in situation.work.pull_requests}
    branches = list(situation.work.branches)
    sent = [write for write in plan.writes if adoption or not write.adoption]
    for write in sent:
        if isinstance(write.target, Cell):
            cells[write.target.field] = write.after
        else:
            known = pull_requests[write.target.pull_request]
            pull_requests[known.key] = _with_attribute(known, write.target, write.after)
    made = dict(situation.made)
    for new in plan.made:
        made[new.rule] = Made(rule=new.rule, object=new.object)
    for action in plan.actions:
        if isinstance(action, CreateBranch):
            branches.append(a_branch(action.name, repository=action.repository, ahead=False, target_on=situation.now))
            made[action.rule] = Made(rule=action.rule, object=f"{action.repository}:{action.name}")
        else:
            opened = _opened(action, len(pull_requests) + 1, situation.now)
            pull_requests[opened.key] = opened
            made[action.rule] = Made(rule=action.rule, object=str(opened.key))
    record = replace(situation.record, cells=cells)
    agreed, tolerated = _remembered(situation, plan)
    for write in sent:
        if write.agrees is not None:
            target = write.target
            answer = pull_requests[target.pull_request] if isinstance(target, Attribute) else record
            found = fields.agreed_after(write, rules, answer)
            if found is not None:
                agreed[write.agrees] = found
    conflicts = {
        AgreedKey(one.field, one.pull_request): OpenConflict(airtable=one.airtable, bitbucket=one.bitbucket)
        for one in plan.conflicts
    }
    work = replace(situation.work, pull_requests=tuple(pull_requests.values()), branches=tuple(branches))
    linked = {new.pull_request for new in plan.links} | (
        pull_requests.keys() - {pr.key for pr in situation.work.pull_requests}
    )
    return replace(
        situation,
        record=record,
        work=work,
        made=made,
        agreed=agreed,
        tolerated=tolerated,
        conflicts=conflicts,
        remembered=situation.remembered | linked,
        records_of={**dict.fromkeys(linked, (record.id,)), **situation.records_of},
    )


def _remembered(situation: Situation, plan: RecordPlan) -> tuple[dict[AgreedKey, Value], dict[AgreedKey, Value]]:
    agreed, tolerated = dict(situation.agreed), dict(situation.tolerated)
    for part, kept in ((plan.agreements, agreed), (plan.tolerations, tolerated)):
        for one in part:
            if one.value is None:
                kept.pop(one.key, None)
            else:
                kept[one.key] = one.value
    return agreed, tolerated


def _with_attribute(pull_request: PullRequest, target: Attribute, after: Value) -> PullRequest:
    raw: Any = value.plain(after)
    match target.name:
        case "draft":
            raw = bool(raw)
        case "reviewers":
            raw = tuple(AccountId(one) for one in raw or ())
        case _:
            raw = raw or ""
    changed: dict[str, Any] = {target.name: raw, "updated_on": NOW}
    return replace(pull_request, **changed)


def _opened(action: CreatePullRequest, number: int, now: datetime) -> PullRequest:
    return a_pull_request(
        1000 + number,
        repository=action.repository,
        source_branch=action.source,
        destination_branch=action.destination,
        title=action.title,
        description=action.description,
        draft=action.draft,
        created_on=now,
        updated_on=now,
    )


def a_hold(reason: str = "frozen", field: str | None = None, until: datetime | None = None) -> Hold:
    """A hold on the record, or on one field."""
    return Hold(record=RECORD, field=None if field is None else field_id(field), reason=reason, until=until)
