"""
The shape of the spec file, one model per table. What it means across tables is `lint`'s, what it resolves to `resolve`'s.

A key's description is the text of the JSON Schema that editors show.
"""

from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from syncd.spec.types import (
    Address,
    Base,
    BranchTemplate,
    Condition,
    Duration,
    EdgeOwner,
    Identifier,
    Mail,
    Name,
    Names,
    SecretPlace,
    Secrets,
    Share,
    SideOwner,
    TableModel,
    TitlePrefix,
    Url,
)

# Keys of SPEC that later work adds, by the model that will hold them: refused by name, never ignored.
NOT_YET: dict[str, frozenset[str]] = {
    "File": frozenset({"people", "notify"}),
    "Airtable": frozenset({"oauth"}),
    "Bitbucket": frozenset({"oauth"}),
    "Sync": frozenset({"create_records", "windows", "unknown"}),
    "MappedField": frozenset({"people", "unknown"}),
    "Action": frozenset(
        {
            "build_status",
            "comment",
            "task",
            "title_prefix",
            "sticky_comment",
            "merge",
            "decline",
            "approve",
            "again",
            "allow",
            "per_hour",
        }
    ),
    "CreatePullRequest": frozenset({"tasks_from"}),
}


class Retain(TableModel):
    """How long things are kept."""

    events: Duration = Field(timedelta(days=7), description="How long raw deliveries are kept.")
    journal: Duration = Field(timedelta(days=400), description="How long journal rows are kept.")


class Daemon(TableModel):
    """[daemon]"""

    state: Name = Field("syncd.db", description="State file; relative to $STATE_DIRECTORY.")
    admin: Address = Field("127.0.0.1:8484", description="Health, status, metrics, control: local only.")
    hooks: Address = Field("127.0.0.1:8485", description="Webhooks: the only port a reverse proxy exposes.")
    public_url: Url | None = Field(None, description="Where the services reach `hooks`; without it syncd polls.")
    poll: Duration = Field(timedelta(minutes=2), description="Without public_url: how often to ask.")
    compare_every: Duration = Field(timedelta(minutes=15), description="A wish: full compare of both sides.")
    repair_within: Duration = Field(timedelta(minutes=30), description="`check` fails if the budgets cannot keep it.")
    retain: Retain = Field(default_factory=Retain)  # type: ignore[arg-type]  # every key has a default


class AirtableBudget(TableModel):
    """What an Airtable base and token may spend."""

    month: int | None = Field(None, ge=1, description="The plan's calls per month; none: no monthly limit.")
    share: Share = Field(0.8, description="How much of every limit syncd may use.")


class Airtable(TableModel):
    """[airtable.NAME]: one base."""

    base: Base = Field(description="Base id: app…")
    token: SecretPlace = Field(description="Place of a personal access token.")
    budget: AirtableBudget = Field(default_factory=AirtableBudget)  # type: ignore[arg-type]  # every key has a default
    url: Url = Field("https://api.airtable.com", description="Another API root: a sandbox, a proxy.")


class BitbucketBudget(TableModel):
    """What a Bitbucket credential may spend."""

    hour: int = Field(1000, ge=1, description="Calls per hour that the credential has.")
    share: Share = Field(0.8, description="How much of every limit syncd may use.")


class Source(TableModel):
    """[[bitbucket.NAME.sources]]: repositories and their events."""

    repositories: Names = Field(description='Slugs of repositories, or "*" for all of the workspace.')
    events: Names = Field(["all"], description='"push", "all", or a list of event keys.', validate_default=True)
    secret: Secrets = Field(description="Secret that signs deliveries; two while one is being rotated.")


class Bitbucket(TableModel):
    """[bitbucket.NAME]: one workspace."""

    workspace: Name
    token: SecretPlace = Field(description="Access token (Bearer); with `user` an API token (Basic).")
    user: Mail | None = Field(None, description="E-mail of the account that an API token belongs to.")
    budget: BitbucketBudget = Field(default_factory=BitbucketBudget)  # type: ignore[arg-type]  # every key has a default
    bots: list[str] = Field([], description="UUIDs, in braces, of accounts whose approvals do not count.")
    url: Url = Field("https://api.bitbucket.org/2.0", description="Another API root: a sandbox, a proxy.")
    sources: list[Source] = Field(min_length=1, description="Which repositories send events, and which.")


class SyncTable(TableModel):
    """Which records."""

    base: Name = Field(description="Name of a connection [airtable.NAME].")
    table: Name = Field(description="Table name or id.")
    view: Name | None = Field(None, description="Only records in this view, by name or id.")
    where: Condition | None = Field(None, description="Only records for which this holds.")


class CreateIn(TableModel):
    """Where new work is made."""

    field: Name = Field(description="The field that chooses the repository.")
    map: dict[str, Name] = Field(description="Value of the field → repository.", min_length=1)


class Link(TableModel):
    """[sync.NAME.link]: what ties work to a record."""

    branch: BranchTemplate = Field(description="How a new branch is named.")
    title: TitlePrefix | None = Field(None, description="Prefix of a pull request's title.")
    url: Name | None = Field(None, description="Field that shows the primary's URL, and takes links from people.")
    forks: bool = Field(False, description="Whether pull requests from forks link.")


class MappedField(TableModel):
    """One line of [sync.NAME.fields]."""

    bitbucket: Name | None = Field(None, description="Attribute of work, e.g. pr.title.")
    value: Condition | None = Field(None, description="An expression that syncd computes, instead of an attribute.")
    owner: SideOwner | None = Field(None, description="Whose value stands.")
    conflict: Literal["ask", "newest"] | None = Field(None, description="Owner both: who decides when both moved.")
    tolerance: Duration | None = Field(None, description='With "newest": edits closer than this are undecidable.')
    foreign_edit: Literal["revert", "ignore", "alert"] | None = Field(None, description="An edit on the other side.")
    map: dict[str, str] = Field({}, description="Value in Bitbucket → value in Airtable.")
    adopt: bool = Field(False, description="Take the other side's value over once, while the owner's is empty.")
    each: Literal["open"] | None = Field(None, description="Write to every open linked pull request.")
    priority: Literal["critical", "normal", "low"] = Field("normal", description="What goes out first.")


class Transition(TableModel):
    """One step of the status machine."""

    sources: Names = Field(alias="from", description="State or states it leaves.")
    target: Name = Field(alias="to", description="State it enters.")
    owner: EdgeOwner = Field(description="Who makes the step.")
    when: Condition | None = Field(None, description="Condition of the step; a gate for people's edits.")


class Status(TableModel):
    """[sync.NAME.status]: the status machine."""

    field: Name
    states: list[Name] = Field(min_length=1)
    initial: Name
    illegal_edit: Literal["revert", "ignore", "alert"] = Field("revert", description="An edit that nobody may make.")
    transitions: list[Transition] = Field([])


class CreateBranch(TableModel):
    """The action that makes a branch."""

    start: Name | None = Field(None, alias="from", description="Branch or tag it begins at; none: the main branch.")


class CreatePullRequest(TableModel):
    """The action that makes a pull request."""

    draft: bool = Field(True, description="Whether it is made as a draft.")
    into: Name | None = Field(None, description="Destination branch; none: the main branch.")
    description_file: Name | None = Field(None, description="Template of the description, beside the spec.")


class Action(TableModel):
    """[sync.NAME.actions.NAME]: made once per record."""

    when: Condition = Field(description="When it is made, once per record.")
    create_branch: CreateBranch | None = None
    create_pull_request: CreatePullRequest | None = None


class Columns(TableModel):
    """[sync.NAME.record]: columns about syncd itself."""

    run_id: Name | None = Field(None, description="Shows the run that last wrote to the record.")
    state: Name | None = Field(None, description="Shows the record's state.")
    note: Name | None = Field(None, description="Shows why something was refused or is held.")
    hold: Name | None = Field(None, description="Checkbox: people set it, syncd obeys.")


class Guard(TableModel):
    """[sync.NAME.guard]: when a person must decide."""

    changes: Share = Field(0.3, description="Distinct records changed, of the linked ones, in the window.")
    clears: Share = Field(0.2, description="Values emptied, of the linked records, in the window.")
    floor: int = Field(10, ge=0, description="Never refuse up to this many.")
    window: Duration = Field(timedelta(hours=1))


class Sync(TableModel):
    """[sync.NAME]: one table, one workspace."""

    airtable: SyncTable
    bitbucket: Name = Field(description="Name of a connection [bitbucket.NAME].")
    create_in: CreateIn | None = Field(None, description="Where new work is made; not needed with a single repository.")
    quiet: Duration = Field(timedelta(seconds=5), description="A record is planned when its last edit is this old.")
    tolerance: Duration = Field(timedelta(minutes=2), description='For fields with conflict = "newest".')
    mode: Literal["plan"] | None = Field(None, description='"plan": a sync that only shows.')
    link: Link
    fields: dict[str, MappedField] = Field({})
    status: Status | None = None
    actions: dict[str, Action] = Field({})
    record: Columns = Field(default_factory=Columns)  # type: ignore[arg-type]  # every key has a default
    guard: Guard = Field(default_factory=Guard)  # type: ignore[arg-type]  # every key has a default


class File(TableModel):
    """A spec file."""

    version: Literal[1] = Field(description="Of the spec's language.")
    daemon: Daemon = Field(default_factory=Daemon)  # type: ignore[arg-type]  # every key has a default
    airtable: dict[Identifier, Airtable] = Field({})
    bitbucket: dict[Identifier, Bitbucket] = Field({})
    sync: dict[Identifier, Sync] = Field({})


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a spec file, draft 2020-12, for editors and for `syncd schema`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **File.model_json_schema(by_alias=True),
        "title": "syncd spec",
        "description": "One file of a sync spec, SPEC section 2.",
    }
