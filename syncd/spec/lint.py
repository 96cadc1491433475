"""
Static checks across tables: what no single table can know of itself.

Errors are what would make two rules fight, or what names nothing; warnings what is allowed and looks wrong.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from syncd import errors
from syncd.spec import circles, events, locate, machine, nearest, schema
from syncd.spec.attributes import ATTRIBUTES, NOT_YET, Attribute, Kind
from syncd.spec.document import Document
from syncd.spec.expression import Expression, Template
from syncd.spec.syntax import ISSUES_RETIRED

_LOOPBACK = re.compile(r"(?:127\.[0-9.]+|localhost|\[::1\]):[0-9]+|unix:.+")
_ACCOUNT = re.compile(r"\{[^{}\s]+\}")
Templates = Mapping[tuple[str, str], Template]


@dataclass(frozen=True, slots=True)
class Use:
    """A field of the Airtable table that a rule names: where, for what, and whether syncd writes it."""

    path: locate.Path
    name: str
    role: str
    written: bool
    expression: Expression | None = field(default=None, compare=False)


def check(file: schema.File, document: Document, templates: Templates) -> Iterator[errors.Problem]:
    """Every problem and warning of a spec whose tables have the right shape."""
    yield from _daemon(file, document)
    for name, connection in file.bitbucket.items():
        yield from _connection(connection, document, ("bitbucket", name))
    if not document.tree.get("sync"):
        yield document.problem(("sync",), "at least one [sync.NAME]; without one nothing is done", warning=True)
    for name, sync in file.sync.items():
        path: locate.Path = ("sync", name)
        yield from _references(sync, document, path, file)
        for key, rule in sync.fields.items():
            yield from _field(rule, document, (*path, "fields", key))
        yield from _shared_attributes(sync, document, path)
        yield from collisions(uses(sync, path), document)
        yield from _actions(sync, document, path)
        if sync.status is not None:
            yield from machine.check(sync.status, document, (*path, "status"))
        yield from _states(sync, document, path, {key[1]: made for key, made in templates.items() if key[0] == name})
        yield from feedback(uses(sync, path), deciding(sync, path), document)
    yield from _shared_tables(file, document)


def _daemon(file: schema.File, document: Document) -> Iterator[errors.Problem]:
    if not _LOOPBACK.fullmatch(file.daemon.admin):
        yield document.problem(
            ("daemon", "admin"), 'a loopback address ("127.0.0.1:8484") or "unix:/path": it controls the daemon'
        )
    if file.daemon.admin == file.daemon.hooks:
        yield document.problem(("daemon", "hooks"), "another address than admin")
    if file.daemon.repair_within < file.daemon.compare_every:
        yield document.problem(("daemon", "repair_within"), "no less than compare_every", show=True, warning=True)


def _connection(connection: schema.Bitbucket, document: Document, path: locate.Path) -> Iterator[errors.Problem]:
    for index, account in enumerate(connection.bots):
        if not _ACCOUNT.fullmatch(account):
            yield document.problem((*path, "bots", index), 'an account\'s UUID in braces, e.g. "{b1c2…}"')
    seen: set[str] = set()
    for index, source in enumerate(connection.sources):
        here = (*path, "sources", index)
        for number, slug in enumerate(source.repositories):
            place = (
                (*here, "repositories", number)
                if (*here, "repositories", number) in document.places
                else (*here, "repositories")
            )
            if slug in seen or (seen and (slug == "*" or "*" in seen)):
                yield document.problem(place, "each repository in one source only")
            seen.add(slug)
        for number, key in enumerate(source.events):
            place = (*here, "events", number) if (*here, "events", number) in document.places else (*here, "events")
            if key in events.RETIRED:
                yield document.problem(place, f"an event that still comes: {ISSUES_RETIRED}", warning=True)
            elif key not in events.GROUPS and key not in events.ACTIVE:
                valid = (*events.GROUPS, *events.ACTIVE)
                yield document.problem(
                    place, f'"push", "all" or a list of event keys.{nearest.did_you_mean(key, valid)}'
                )


def _references(
    sync: schema.Sync, document: Document, path: locate.Path, file: schema.File
) -> Iterator[errors.Problem]:
    for key, name, kind in (
        (("airtable", "base"), sync.airtable.base, "airtable"),
        (("bitbucket",), sync.bitbucket, "bitbucket"),
    ):
        # The names as written: a connection with an error in it is not missing.
        known = document.tree.get(kind, {})
        if isinstance(known, dict) and name not in known:
            hint = f" Left out as overlays: {', '.join(document.overlays)}." if document.overlays else ""
            expected = f"no connection [{kind}.{name}]. {nearest.listed('Connections', name, known)}{hint}"
            yield document.problem((*path, *key), expected)
    connection = file.bitbucket.get(sync.bitbucket)
    if connection is None:
        return
    listed = [slug for source in connection.sources for slug in source.repositories]
    if sync.create_in is not None and "*" not in listed:
        for value, slug in sync.create_in.map.items():
            if slug not in listed:
                expected = f"a repository of [[bitbucket.{sync.bitbucket}.sources]]. {nearest.listed('Repositories', slug, listed)}"
                yield document.problem((*path, "create_in", "map", value), expected)
    if sync.create_in is None and sync.actions and (len(listed) != 1 or listed == ["*"]):
        expected = "create_in = { field, map }: actions must know in which of several repositories"
        yield document.problem((*path, "create_in"), expected, show=False)


def _field(rule: schema.MappedField, document: Document, path: locate.Path) -> Iterator[errors.Problem]:
    if (rule.bitbucket is None) == (rule.value is None):
        yield document.problem(path, "exactly one of bitbucket (an attribute) and value (an expression)", show=False)
        return
    if rule.value is not None:
        for key, given in (
            ("owner", rule.owner),
            ("conflict", rule.conflict),
            ("tolerance", rule.tolerance),
            ("foreign_edit", rule.foreign_edit),
            ("map", rule.map),
            ("adopt", rule.adopt),
            ("each", rule.each),
        ):
            if given:
                yield document.problem((*path, key), "nothing here: syncd computes a value field, nobody else owns it")
        return
    attribute = ATTRIBUTES.get(rule.bitbucket or "")
    if attribute is None:
        yield document.problem((*path, "bitbucket"), _no_attribute(rule.bitbucket or ""))
    elif attribute.kind is Kind.TEXTS and rule.owner in ("airtable", "both"):
        yield document.problem(
            (*path, "owner"), '"bitbucket": writing a list of accounts needs [people], which is not yet supported'
        )
        attribute = None
    if rule.owner is None:
        yield document.problem((*path, "owner"), 'an owner: "airtable", "bitbucket" or "both"', show=False)
        return
    yield from _owner(rule, attribute, document, path)
    if attribute is not None:
        yield from _map(rule, attribute, document, path)


def _no_attribute(name: str) -> str:
    if name in NOT_YET:
        return "not yet supported by this version"
    if name.partition(".")[0] == "issue":
        return f"an attribute that still exists: {ISSUES_RETIRED}"
    group = name.partition(".")[0]
    names = [known for known in ATTRIBUTES if known.startswith(f"{group}.")] or list(ATTRIBUTES)
    return f"no such attribute. {nearest.listed('Attributes', name, names)}"


def _owner(
    rule: schema.MappedField, attribute: Attribute | None, document: Document, path: locate.Path
) -> Iterator[errors.Problem]:
    if attribute is not None and rule.owner != "bitbucket" and not attribute.writable:
        writable = ", ".join(
            name for name, known in ATTRIBUTES.items() if known.writable and known.kind is not Kind.TEXTS
        )
        expected = f'"bitbucket": {attribute.name} cannot be written there. Writable: {writable}'
        yield document.problem((*path, "owner"), expected)
    if rule.owner != "both" and rule.conflict is not None:
        yield document.problem((*path, "conflict"), 'only with owner = "both": else the owner wins')
    if rule.owner == "both" and rule.foreign_edit is not None:
        yield document.problem((*path, "foreign_edit"), "only with one owner: with both, no edit is foreign")
    if rule.owner == "both" and rule.adopt:
        yield document.problem((*path, "adopt"), "only with one owner: with both, the full side is copied anyway")
    if rule.tolerance is not None and rule.conflict != "newest":
        yield document.problem((*path, "tolerance"), 'only with conflict = "newest"', show=True)
    if rule.each is not None and rule.owner != "airtable":
        yield document.problem(
            (*path, "each"), 'only with owner = "airtable": several pull requests cannot all be read into one cell'
        )


def _map(
    rule: schema.MappedField, attribute: Attribute, document: Document, path: locate.Path
) -> Iterator[errors.Problem]:
    if not rule.map:
        return
    if attribute.kind not in (Kind.TEXT, Kind.BOOLEAN):
        yield document.problem(
            (*path, "map"), f"nothing here: {attribute.name} is of type {attribute.kind.value}", show=False
        )
        return
    values = ("true", "false") if attribute.kind is Kind.BOOLEAN else attribute.values
    for value in rule.map:
        if values and value not in values:
            expected = f"{attribute.name} is never that. {nearest.listed('Values', value, values)}"
            yield document.problem((*path, "map", value), expected, show=False)
    missing = [value for value in values if value not in rule.map]
    if missing:
        expected = f"every value of {attribute.name}; missing: {', '.join(missing)}"
        yield document.problem((*path, "map"), expected, show=False, warning=True)
    if rule.owner != "bitbucket" and len(set(rule.map.values())) < len(rule.map):
        yield document.problem((*path, "map"), "each Airtable value once: it is read backwards too", show=False)


def _shared_attributes(sync: schema.Sync, document: Document, path: locate.Path) -> Iterator[errors.Problem]:
    """Two fields over one attribute fight when either of them is written to Bitbucket."""
    first: dict[str, str] = {}
    for key, rule in sync.fields.items():
        if rule.bitbucket is None:
            continue
        earlier = first.setdefault(rule.bitbucket, key)
        if earlier != key and {"airtable", "both"} & {rule.owner, sync.fields[earlier].owner}:
            yield document.problem(
                (*path, "fields", key, "bitbucket"),
                f'an attribute of its own: "{earlier}" is mapped to it, and one of them writes it',
            )


def uses(sync: schema.Sync, path: locate.Path) -> list[Use]:
    """Every Airtable field that the sync names as a place, in the order in which people think of them."""
    found: list[Use] = []
    if sync.status is not None:
        found.append(Use((*path, "status", "field"), sync.status.field, "the status field", True))
    for key, rule in sync.fields.items():
        written = rule.value is not None or rule.owner in ("bitbucket", "both")
        found.append(Use((*path, "fields", key), key, "a mapped field", written, rule.value))
    if sync.link.url is not None:
        found.append(Use((*path, "link", "url"), sync.link.url, "the link field", True))
    for column in ("run_id", "state", "note", "hold"):
        name = getattr(sync.record, column)
        if name is not None:
            found.append(Use((*path, "record", column), name, f"the {column} column", column != "hold"))
    if sync.create_in is not None:
        found.append(Use((*path, "create_in", "field"), sync.create_in.field, "the create_in field", False))
    return found


def collisions(named: list[Use], document: Document, ids: Mapping[str, str] | None = None) -> Iterator[errors.Problem]:
    """
    One field in two roles of which one writes it.

    Args:
        named: `uses` of a sync.
        document: for the places.
        ids: name or id → field id, once a schema is known, so that a name and an id of one field meet.
    """
    first: dict[str, Use] = {}
    for use in named:
        identity = use.name if ids is None else ids.get(use.name, use.name)
        earlier = first.setdefault(identity, use)
        if earlier is use:
            continue
        both_named = "the create_in field" not in (use.role, earlier.role)
        if both_named or use.written or earlier.written:
            yield document.problem(
                use.path,
                f"a field of its own: as {use.role} it is {earlier.role} already"
                if not both_named
                else f"a field of its own: it is {earlier.role} already",
                show=use.role != "a mapped field",
            )


def _actions(sync: schema.Sync, document: Document, path: locate.Path) -> Iterator[errors.Problem]:
    for name, action in sync.actions.items():
        given = [made for made in (action.create_branch, action.create_pull_request) if made is not None]
        # A kind of action that is not supported yet has its own problem.
        later = schema.NOT_YET["Action"] & set(document.at((*path, "actions", name)) or ())
        if len(given) != 1 and not later:
            yield document.problem(
                (*path, "actions", name), "exactly one of create_branch and create_pull_request", show=False
            )


def deciding(sync: schema.Sync, path: locate.Path) -> list[tuple[locate.Path, Expression, str]]:
    """Every expression that decides something, as (path, expression, "scope" | "transition" | "action")."""
    found: list[tuple[locate.Path, Expression, str]] = []
    if sync.airtable.where is not None:
        found.append(((*path, "airtable", "where"), sync.airtable.where, "scope"))
    for index, edge in enumerate(sync.status.transitions if sync.status is not None else ()):
        if edge.when is not None:
            found.append(((*path, "status", "transitions", index, "when"), edge.when, "transition"))
    for name, action in sync.actions.items():
        found.append(((*path, "actions", name, "when"), action.when, "action"))
    return found


def _states(
    sync: schema.Sync, document: Document, path: locate.Path, templates: Mapping[str, Template]
) -> Iterator[errors.Problem]:
    """`status` in expressions: there must be one, and the states it is compared with must be declared."""
    readers: list[tuple[locate.Path, Expression | Template]] = [
        (place, made) for place, made, _ in deciding(sync, path)
    ]
    readers += [
        ((*path, "fields", key, "value"), rule.value) for key, rule in sync.fields.items() if rule.value is not None
    ]
    readers.append(((*path, "link", "branch"), sync.link.branch))
    readers += [
        ((*path, "actions", name, "create_pull_request", "description_file"), made) for name, made in templates.items()
    ]
    for place, made in readers:
        if "status" not in made.names:
            continue
        if sync.status is None:
            # A status table with an error in it is not missing.
            if document.at((*path, "status")) is None:
                yield document.problem(place, f"no `status` here: [sync.{path[1]}.status] is missing")
            continue
        for state in sorted(made.states - set(sync.status.states)):
            yield document.problem(place, f'no state "{state}". {nearest.listed("States", state, sync.status.states)}')


def feedback(
    named: list[Use],
    conditions: list[tuple[locate.Path, Expression, str]],
    document: Document,
    ids: Mapping[str, str] | None = None,
    primary: str = "",
) -> Iterator[errors.Problem]:
    """Rules that read what rules write: an error when it comes back to where it started, else a warning."""

    def identity(name: str) -> str:
        return name if ids is None else ids.get(name, name)

    def reads(made: Expression) -> set[str]:
        status = {identity(use.name) for use in named if use.role == "the status field" and "status" in made.names}
        name = {primary} if primary and "name" in made.names else set[str]()
        return status | name | {identity(name) for name in made.record_fields}

    written = {identity(use.name): use for use in named if use.written}
    depends = {identity(use.name): reads(use.expression) for use in named if use.expression is not None}
    for use in named:
        if use.role == "the status field":
            steps = set[str]().union(*(reads(made) for _, made, kind in conditions if kind == "transition"))
            # A step may ask for the state it leaves.
            depends[identity(use.name)] = steps - {identity(use.name)}
    endless = circles.on_circles(depends)
    for use in named:
        if use.expression is None:
            continue
        here = identity(use.name)
        place = (*use.path, "value")
        if here in endless:
            yield document.problem(place, f'no way back: "{use.name}" would be computed from itself, again and again')
            continue
        for name in sorted(reads(use.expression) & set(written)):
            yield document.problem(
                place, f'no field that syncd writes itself: "{written[name].name}" is one', warning=True
            )
    for place, made, kind in conditions:
        for name in sorted(reads(made) & set(written)):
            if kind == "scope" or (written[name].role != "the status field" and kind == "transition"):
                what = "the scope" if kind == "scope" else "a transition"
                yield document.problem(
                    place, f'{what} to read no field that syncd writes: "{written[name].name}" is one', warning=True
                )


def _shared_tables(file: schema.File, document: Document) -> Iterator[errors.Problem]:
    """Two syncs that write one field of one table: an error in the same scope, a warning when views or `where` differ."""
    first: dict[tuple[str, str, str], tuple[str, schema.Sync]] = {}
    for name, sync in file.sync.items():
        base = file.airtable.get(sync.airtable.base)
        for use in uses(sync, ("sync", name)):
            if not use.written or base is None:
                continue
            earlier, other = first.setdefault((base.base, sync.airtable.table, use.name), (name, sync))
            if earlier == name:
                continue
            same = (
                sync.airtable.view == other.airtable.view
                and sync.airtable.where is None
                and other.airtable.where is None
            )
            expected = f'a field of its own: [sync.{earlier}] writes "{use.name}" of this table'
            yield document.problem(
                use.path,
                expected + ("" if same else " for other records; no record may be in both"),
                show=False,
                warning=not same,
            )
