"""
A world that fits a spec: a base with the fields it names, of types that can hold what they should, the repositories of its
sources, people, records in different states of work, and things that syncd must never touch.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from syncd.model.ids import FieldId
from syncd.model.schema import Field
from syncd.sandbox.fault import FaultyMachine
from syncd.spec import load, rehearse, schema
from syncd.spec.attributes import ATTRIBUTES, Kind

PEOPLE = ("ada", "grace", "linus")
PEOPLE_AT = "@acme.dev"
"""Ends every address in Airtable."""
CANARY = "CANARY-9f1c7b"
"""Stands in cells that no rule names, in tokens and in secrets: it must turn up nowhere else."""
STRANGERS = "Strangers"
PRIVATE = "Private"
STRANGE_BRANCH = "chore/strangers"
_KINDS = {Kind.NUMBER: "number", Kind.BOOLEAN: "checkbox", Kind.INSTANT: "dateTime", Kind.TEXTS: "multilineText"}
_STORY = ("Login page", "Password reset", "Rate limits", "Audit log", "Dark mode", "Search", "Export")


@dataclass(slots=True, kw_only=True)
class World:
    """
    Both services, and the names by which scenarios speak of what is in them.

    Args:
        records: ids per sync, in the order they were made; people's new records come behind.
        pull_requests: (repository, number) in the order they were made, of the world and of people.
        repositories: slugs.
        cells: fields of the table that people edit, by sync: name → how.
    """

    airtable: FaultyMachine
    bitbucket: FaultyMachine
    at: datetime
    records: dict[str, list[str]] = field(default_factory=dict)
    pull_requests: list[tuple[str, int]] = field(default_factory=list)
    repositories: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)

    def image(self) -> bytes:
        """All of it, to be copied at once."""
        return pickle.dumps(self, protocol=pickle.HIGHEST_PROTOCOL)


def secret_of(kind: str, name: str) -> str:
    """The secret that stands at one place of the spec, in every simulated world."""
    return f"{CANARY}-{kind}-{name}"


def fill(world: World, spec: load.Spec) -> None:
    """Put everything into two empty machines."""
    now = world.at
    for person in (*PEOPLE, "syncd"):
        world.airtable.control("add_user", {"name": person.title(), "email": f"{person}@acme.dev"}, now)
    for connection in spec.file.airtable.values():
        token = secret_of(*connection.token)
        if not any(entry.method == "CONTROL" and entry.path == token for entry in world.airtable.log):
            world.airtable.control("add_token", {"user": "syncd@acme.dev", "token": token}, now)
    for name, connection in spec.file.airtable.items():
        syncs = {key: sync for key, sync in spec.file.sync.items() if sync.airtable.base == name}
        tables = [_table(key, sync) for key, sync in syncs.items()]
        roles = {
            "syncd@acme.dev": "create",
            "ada@acme.dev": "owner",
            "grace@acme.dev": "edit",
            "linus@acme.dev": "edit",
        }
        made = world.airtable.control(
            "add_base", {"id": connection.base, "name": name, "tables": [*tables, _strangers()], "roles": roles}, now
        )
        for key, sync in syncs.items():
            world.records[key] = list(made["tables"][sync.airtable.table]["records"])
            world.tables[key] = made["tables"][sync.airtable.table]["id"]
    for bitbucket in spec.file.bitbucket.values():
        _workspace(world, spec, bitbucket)
    for key, sync in spec.file.sync.items():
        _work(world, spec, key, sync)


# ------------------------------------------------------------------------------------------------------- Airtable


def primary_of(sync: schema.Sync) -> str:
    """The table's first field: the one that becomes a title, else "Name"."""
    return next((name for name, rule in sync.fields.items() if rule.bitbucket == "pr.title"), "Name")


def _field(name: str, kind: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **({"options": options} if options else {})}


def _select(name: str, choices: Any) -> dict[str, Any]:
    return _field(name, "singleSelect", choices=[{"name": choice} for choice in dict.fromkeys(choices)])


def _of_kind(name: str, kind: str) -> dict[str, Any]:
    match kind:
        case "number":
            return _field(name, kind, precision=2)
        case "checkbox":
            return _field(name, kind, color="redBright", icon="check")
        case "dateTime":
            return _field(name, kind, dateFormat={"name": "iso"}, timeFormat={"name": "24hour"}, timeZone="utc")
    return _field(name, kind)


def _mapped(name: str, rule: schema.MappedField) -> dict[str, Any]:
    if rule.map:
        return _select(name, rule.map.values())
    if rule.bitbucket is None:
        outcome = _outcome(rule)
        if isinstance(outcome, bool):
            return _of_kind(name, "checkbox")
        return _of_kind(name, "number" if isinstance(outcome, int | float) else "singleLineText")
    if rule.bitbucket == "pr.description":
        return _field(name, "multilineText")
    return _of_kind(name, _KINDS.get(ATTRIBUTES[rule.bitbucket].kind, "singleLineText"))


def _outcome(rule: schema.MappedField) -> Any:
    """What the rule's expression gives on a full record: it decides the type of the field that shows it."""
    if rule.value is None:
        return ""
    read = [Field(id=FieldId(name), name=name, kind="checkbox") for name in sorted(rule.value.record_fields)]
    return next((one for one in rehearse.outcomes(rule.value, read, ()) if one is not None), "")


def _fields(sync: schema.Sync) -> list[dict[str, Any]]:
    """Every field that the spec names, the primary first, and one that it does not name."""
    primary = primary_of(sync)
    found = {primary: _field(primary, "singleLineText")}
    for name, rule in sync.fields.items():
        found.setdefault(name, _mapped(name, rule))
    if sync.status is not None:
        found[sync.status.field] = _select(sync.status.field, sync.status.states)
    if sync.create_in is not None:
        found.setdefault(sync.create_in.field, _select(sync.create_in.field, sync.create_in.map))
    if sync.link.url is not None:
        found.setdefault(sync.link.url, _field(sync.link.url, "url"))
    kinds = {"run_id": "singleLineText", "state": "singleLineText", "note": "multilineText", "hold": "checkbox"}
    for column, kind in kinds.items():
        if named := getattr(sync.record, column):
            found.setdefault(named, _of_kind(named, kind))
    for name in sorted(_read(sync)):
        found.setdefault(name, _of_kind(name, "checkbox"))
    found.setdefault(PRIVATE, _field(PRIVATE, "multilineText"))
    return list(found.values())


def _read(sync: schema.Sync) -> set[str]:
    expressions: list[Any] = [rule.value for rule in sync.fields.values() if rule.value is not None]
    expressions += [action.when for action in sync.actions.values()]
    expressions += [] if sync.airtable.where is None else [sync.airtable.where]
    expressions += [] if sync.link.title is None else [sync.link.title]
    expressions.append(sync.link.branch)
    if sync.status is not None:
        expressions += [edge.when for edge in sync.status.transitions if edge.when is not None]
    return {name for one in expressions for name in one.record_fields}


def _table(key: str, sync: schema.Sync) -> dict[str, Any]:
    primary, rows = primary_of(sync), []
    choices = [] if sync.create_in is None else list(sync.create_in.map)
    for index, name in enumerate(_STORY):
        cells: dict[str, Any] = {primary: name, PRIVATE: f"{CANARY} cell {key} {index}"}
        if sync.create_in is not None:
            cells[sync.create_in.field] = choices[index % len(choices)]
        for field_name, rule in sync.fields.items():
            if rule.bitbucket == "pr.description":
                cells[field_name] = f"About {name.lower()}."
        if sync.status is not None:
            cells[sync.status.field] = sync.status.states[min(index, 1, len(sync.status.states) - 1)]
        rows.append({"fields": cells})
    views = [{"name": sync.airtable.view}] if sync.airtable.view else []
    return {"name": sync.airtable.table, "fields": _fields(sync), "views": views, "records": rows}


def _strangers() -> dict[str, Any]:
    return {
        "name": STRANGERS,
        "fields": [_field("Name", "singleLineText"), _field("Text", "multilineText")],
        "records": [{"fields": {"Name": f"Not ours {number}", "Text": f"{CANARY} stranger"}} for number in range(3)],
    }


# ------------------------------------------------------------------------------------------------------ Bitbucket


def slugs_of(spec: load.Spec, bitbucket: schema.Bitbucket) -> list[str]:
    """The repositories that the sources name, and those into which new work goes."""
    found = [slug for source in bitbucket.sources for slug in source.repositories if slug != "*"]
    for sync in spec.file.sync.values():
        if sync.create_in is not None and spec.file.bitbucket[sync.bitbucket] is bitbucket:
            found += sync.create_in.map.values()
    return list(dict.fromkeys(found)) or ["web", "api"]


def _workspace(world: World, spec: load.Spec, bitbucket: schema.Bitbucket) -> None:
    def act(verb: str, **arguments: Any) -> Any:
        return world.bitbucket.control(verb, arguments, world.at)

    act("add_workspace", slug=bitbucket.workspace)
    for person in PEOPLE:
        act("add_user", nickname=person, display_name=person.title())
    token = secret_of(*bitbucket.token)
    if bitbucket.user:
        act("add_user", nickname="syncd", display_name="Syncd", email=bitbucket.user)
        act("add_token", kind="api", secret=token, user=bitbucket.user)
    else:
        act("add_token", kind="access", secret=token, name="syncd")
    for slug in slugs_of(spec, bitbucket):
        act("add_repository", name=slug, slug=slug)
        act("add_environment", repository=slug, name="Production")
        act("add_environment", repository=slug, name="Staging")
        world.repositories.append(slug)
        # What nobody linked: it must stay as it is.
        act("push", repository=slug, branch=STRANGE_BRANCH, commits=["Tidy up\n"])
        act("create_pull_request", repository=slug, source=STRANGE_BRANCH, title="Not ours", description=CANARY)


def _work(world: World, spec: load.Spec, key: str, sync: schema.Sync) -> None:
    """One draft, one in review that belongs to two records, one merged; the rest has none yet."""
    slugs = slugs_of(spec, spec.file.bitbucket[sync.bitbucket])
    records = world.records[key]

    def act(verb: str, **arguments: Any) -> Any:
        return world.bitbucket.control(verb, arguments, world.at)

    for index, (position, draft) in enumerate(((2, True), (3, False), (4, False))):
        record, slug = records[position], slugs[index % len(slugs)]
        branch = f"feature/{record}-{_STORY[position].lower().replace(' ', '-')}"
        also = f"See {records[5]}\n" if position == 3 else f"{_STORY[position]}\n"
        act("push", repository=slug, branch=branch, commits=[also])
        title = f"{marker(sync, record)} {_STORY[position]}".strip()
        made = act("create_pull_request", repository=slug, source=branch, title=title, draft=draft)
        world.pull_requests.append((slug, made["id"]))
    slug, number = world.pull_requests[-1]
    act("merge", repository=slug, id=number)


def marker(sync: schema.Sync, record: str) -> str:
    """The prefix of a record's titles; "" when the spec has none."""
    return "" if sync.link.title is None else sync.link.title.render({"record_id": record})


def tokens(spec: load.Spec) -> Mapping[str, str]:
    """Every token of the spec's connections by service; the last one where there are several."""
    found = {}
    for airtable in spec.file.airtable.values():
        found["airtable"] = secret_of(*airtable.token)
    for bitbucket in spec.file.bitbucket.values():
        found["bitbucket"] = secret_of(*bitbucket.token)
    return found
