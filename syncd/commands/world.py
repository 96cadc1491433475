"""A small world for the sandbox and the demo: the Features table of `config/` and two repositories with some work in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from syncd.sandbox.wire import Machine

BASE = "appROADMAP0000001"
AIRTABLE_TOKEN = "patSANDBOX0000001.sandbox"
BITBUCKET_TOKEN = "sandbox-bitbucket-token"
HOOK_SECRET = "sandbox-hook-secret"
WORKSPACE = "acme"
STATES = ("Planned", "Ready", "In Progress", "In Review", "Merged", "Released")
PEOPLE = ("ada", "grace")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """
    What is in it.

    Args:
        records: record ids by name.
        pull_requests: (repository, number) by the record's name.
    """

    base: str
    table: str
    records: Mapping[str, str]
    pull_requests: Mapping[str, tuple[str, int]]


def features_world(airtable: Machine, bitbucket: Machine, now: datetime) -> World:
    """
    Fill two empty machines.

    Five features: one planned, one ready for its branch, one with a draft, one in review with a green build, one merged.
    The cells that syncd would write are still empty or behind, so that the first plan has something to show.

    Args:
        now: when all of it was made.
    """
    for person in PEOPLE:
        airtable.control("add_user", {"name": person.title(), "email": f"{person}@acme.dev"}, now)
    airtable.control("add_user", {"name": "Syncd", "email": "syncd@acme.dev"}, now)
    airtable.control("add_token", {"user": "syncd@acme.dev", "token": AIRTABLE_TOKEN}, now)
    ids = airtable.control("add_base", _base(), now)
    table = ids["tables"]["Features"]
    records = dict(zip((row["fields"]["Name"] for row in _records()), table["records"], strict=True))
    return World(base=ids["id"], table=table["id"], records=records, pull_requests=_workspace(bitbucket, records, now))


def _base() -> dict[str, Any]:
    def field(name: str, kind: str, **options: Any) -> dict[str, Any]:
        return {"name": name, "type": kind, **({"options": options} if options else {})}

    def select(name: str, *choices: str) -> dict[str, Any]:
        return field(name, "singleSelect", choices=[{"name": choice} for choice in choices])

    features = {
        "name": "Features",
        "fields": [
            field("Name", "singleLineText"),
            select("Status", *STATES),
            field("Details", "multilineText"),
            select("Repo", "Web", "API"),
            field("PR URL", "url"),
            select("PR state", "Open", "Merged", "Declined", "Superseded"),
            field("Last commit", "singleLineText"),
            field(
                "Merged at",
                "dateTime",
                dateFormat={"name": "iso"},
                timeFormat={"name": "24hour"},
                timeZone="utc",
            ),
            field("Build", "singleLineText"),
            field("Confidence", "number", precision=0),
            field("Sync run", "singleLineText"),
            field("Sync state", "singleLineText"),
            field("Sync note", "multilineText"),
            field("Hold sync", "checkbox", color="redBright", icon="check"),
        ],
        "views": [{"name": "Engineering"}],
        "records": _records(),
    }
    roles = {"syncd@acme.dev": "create", **{f"{person}@acme.dev": "edit" for person in PEOPLE}}
    return {"id": BASE, "name": "Roadmap", "tables": [features], "roles": {**roles, "ada@acme.dev": "owner"}}


def _records() -> list[dict[str, Any]]:
    rows = (
        ("Login page", "Planned", "Web", "Sign in with e-mail and password."),
        ("Password reset", "Ready", "Web", "A link by mail, valid for an hour."),
        ("Rate limits", "Ready", "API", "A hundred requests per minute and key."),
        ("Audit log", "Ready", "API", "Who changed what, and when."),
        ("Dark mode", "Ready", "Web", "Follow the system's setting."),
    )
    return [
        {"fields": {"Name": name, "Status": status, "Repo": repository, "Details": details}}
        for name, status, repository, details in rows
    ]


def _workspace(bitbucket: Machine, records: Mapping[str, str], now: datetime) -> dict[str, tuple[str, int]]:
    def act(verb: str, **arguments: Any) -> Any:
        return bitbucket.control(verb, arguments, now)

    act("add_workspace", slug=WORKSPACE)
    for person in PEOPLE:
        act("add_user", nickname=person, display_name=person.title())
    act("add_token", kind="access", secret=BITBUCKET_TOKEN, name="syncd")
    for repository in ("web", "api"):
        act("add_repository", name=repository)
        act("add_environment", repository=repository, name="Production")

    def work(name: str, repository: str, title: str, *, draft: bool) -> str:
        branch = f"feature/{records[name]}-{name.lower().replace(' ', '-')}"
        head = act("push", repository=repository, branch=branch, commits=[f"{title}\n"])["hash"]
        made = act(
            "create_pull_request",
            repository=repository,
            source=branch,
            title=f"[Airtable: {records[name]}] {title}",
            draft=draft,
        )
        pull_requests[name] = (repository, made["id"])
        return str(head)

    pull_requests: dict[str, tuple[str, int]] = {}
    work("Rate limits", "api", "Count requests per key", draft=True)
    review = work("Audit log", "api", "Audit log", draft=False)
    act("set_status", repository="api", commit=review, key="ci", state="SUCCESSFUL")
    work("Dark mode", "web", "Dark mode", draft=False)
    act("merge", repository="web", id=pull_requests["Dark mode"][1])
    return pull_requests
