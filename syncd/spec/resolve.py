"""Spec + live schema + repositories → `rules.Rules`: ids instead of names, or everything that does not exist, at once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from syncd import errors
from syncd.model.ids import AccountId, BaseId, FieldId, RepositoryId, SyncName, ViewId
from syncd.model.schema import Field, Repository, Table
from syncd.spec import connections, drift, fit, lint, locate, parts, rehearse, rules, schema
from syncd.spec.expression import Expression, Template
from syncd.spec.load import Spec, ordered
from syncd.spec.names import Names


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """
    A spec that can be run.

    Args:
        rules: the snapshot that core and flow read.
        pins: name → id, to be kept in the state and handed to the next `resolve`.
        warnings: those of `load`, and what was renamed.
    """

    rules: rules.Rules
    pins: Mapping[str, str]
    warnings: tuple[errors.Problem, ...]


def resolve(
    spec: Spec,
    tables: Mapping[str, Sequence[Table]],
    repositories: Mapping[str, Sequence[Repository]],
    state_directory: Path,
    remembered: Mapping[str, str] | None = None,
) -> Resolved:
    """
    Give every name of the spec its id.

    Args:
        spec: from `load`.
        tables: the schema of each Airtable connection's base, by the connection's name.
        repositories: every repository of each Bitbucket connection's workspace, by the connection's name.
        state_directory: where the state file lies.
        remembered: the pins of the last start; a name that was renamed since is followed by its id.

    What an earlier start found and this one does not (a deleted field or option, a changed type) blocks only the rules that
    use it (SPEC section 3, "Contract"): they are left out, and `SyncRules.blocked` says so.

    Raises:
        SpecError: every table, view, field, option or repository that is missing, every field of a wrong type, and every
            expression that fails on some record.
    """
    names = Names(document=spec.document, remembered=remembered or {})
    syncs: dict[SyncName, rules.SyncRules] = {}
    for name, sync in spec.file.sync.items():
        made = _resolve_sync(spec, name, sync, names, tables, repositories)
        if made is not None:
            syncs[made.name] = made
    wrong = [problem for problem in names.problems if not problem.warning]
    if wrong:
        raise errors.SpecError(ordered(wrong))
    return Resolved(
        rules=rules.Rules(
            spec_hash=spec.hash,
            daemon=connections.daemon(spec, state_directory),
            airtable=connections.airtable(spec),
            bitbucket=_called_now(connections.bitbucket(spec), names, syncs),
            syncs=syncs,
            blocked=_blocked(spec, names, syncs),
        ),
        pins=dict(sorted(names.pins.items())),
        warnings=ordered((*spec.warnings, *names.problems)),
    )


def _called_now(
    found: Mapping[str, rules.BitbucketConnection], names: Names, syncs: Mapping[SyncName, rules.SyncRules]
) -> dict[str, rules.BitbucketConnection]:
    """The connections; their sources name each repository as it is called now, so that a renamed one keeps its secret (BB13)."""
    slugs = {one.id: one.slug for sync in syncs.values() for one in sync.repositories}

    def called(connection: rules.BitbucketConnection, slug: str) -> str:
        pinned = names.pins.get(f"{connection.workspace.lower()}/repository/{slug}")
        return slug if pinned is None else slugs.get(RepositoryId(pinned), slug)

    return {
        name: replace(
            connection,
            sources=tuple(
                source
                if source.repositories is None
                else replace(source, repositories=tuple(called(connection, slug) for slug in source.repositories))
                for source in connection.sources
            ),
        )
        for name, connection in found.items()
    }


def _blocked(spec: Spec, names: Names, syncs: Mapping[SyncName, rules.SyncRules]) -> tuple[str, ...]:
    """What no sync by itself can tell: syncs that cannot run at all, and repositories that are not listed any more."""
    lost = sorted(names.lost.items(), key=str)
    whole = [
        f"{name}: nothing of it runs: {reason}"
        for name in sorted(spec.file.sync.keys() - syncs.keys())
        for path, reason in lost
        if path[:2] == ("sync", name)
    ]
    hidden = [
        f"bitbucket.{path[1]}: its repository is used as it was last seen: {reason}"
        for path, reason in lost
        if path[0] == "bitbucket"
    ]
    return (*whole, *hidden)


def _resolve_sync(
    spec: Spec,
    name: str,
    sync: schema.Sync,
    names: Names,
    tables: Mapping[str, Sequence[Table]],
    repositories: Mapping[str, Sequence[Repository]],
) -> rules.SyncRules | None:
    path: locate.Path = ("sync", name)
    connection = spec.file.bitbucket[sync.bitbucket]
    base = BaseId(spec.file.airtable[sync.airtable.base].base)
    known = tables.get(sync.airtable.base, ())
    sources = _repositories(sync.bitbucket, connection, names, repositories.get(sync.bitbucket, ()))
    place = (*path, "airtable", "table")
    table_id = names.find(base, "table", sync.airtable.table, [(table.id, table.name) for table in known], place)
    table = next((table for table in known if table.id == table_id), None)
    if table is None:
        return None
    templates = {key[1]: made for key, made in spec.templates.items() if key[0] == name}
    part = parts.Part(spec=sync, name=name, path=path, table=table, names=names, templates=templates)
    view = _view(part)
    fields = parts.fields(part)
    status = parts.status(part)
    columns = parts.columns(part)
    link_field = part.field_of(sync.link.url, fit.LINK, (*path, "link", "url"))
    create_in = parts.create_in(part, sources)
    actions = parts.actions(part)
    read = _expressions(part)
    _meet(part, spec)
    gone = drift.of(name, names.lost)
    fields = tuple(rule for rule in fields if not gone.blocks_field(rule))
    status = None if gone.status else status
    # A field that no longer fits is as good as deleted: its cell is neither read as a link nor written.
    link_field = None if ("link", "url") in gone.places else link_field
    columns = replace(columns, **{str(path[1]): None for path in gone.places if path[0] == "record"})
    actions = tuple(rule for rule in actions if not gone.blocks_action(rule))
    fetch = {
        field.id
        for field in (link_field, columns.run_id, columns.state, columns.note, columns.hold)
        if field is not None
    }
    fetch |= {table.primary, *(rule.field.id for rule in fields), *read.values()}
    fetch |= {status.field.id} if status is not None else set()
    fetch |= {create_in.field} if create_in is not None and create_in.field is not None else set()
    return rules.SyncRules(
        name=SyncName(name),
        airtable=sync.airtable.base,
        bitbucket=sync.bitbucket,
        base=base,
        table=table.id,
        table_name=table.name,
        view=view,
        where=sync.airtable.where,
        primary=table.primary,
        repositories=sources,
        create_in=create_in,
        quiet=sync.quiet,
        link=rules.LinkRules(
            branch=sync.link.branch,
            title=sync.link.title,
            url=link_field.id if link_field is not None else None,
            forks=sync.link.forks,
        ),
        fields=fields,
        status=status,
        actions=actions,
        columns=columns,
        guard=rules.GuardRules(
            changes=sync.guard.changes, clears=sync.guard.clears, floor=sync.guard.floor, window=sync.guard.window
        ),
        table_fields=_table_fields(table, read),
        fetch=tuple(sorted(fetch)),
        bots=tuple(AccountId(account) for account in connection.bots),
        writes_allowed=sync.mode != "plan" and not gone.everything(sync.airtable.where),
        blocked=gone.told(),
        fingerprint=parts.fingerprint(
            "sync", base, table.id, view, parts.source_of(sync.airtable.where), connection.workspace.lower()
        ),
    )


def _repositories(
    name: str, connection: schema.Bitbucket, names: Names, known: Sequence[Repository]
) -> tuple[Repository, ...]:
    """Every source repository of a connection, by slug, name-independent of a rename."""
    found: set[str] = set()
    gone: list[Repository] = []
    for index, source in enumerate(connection.sources):
        path: locate.Path = ("bitbucket", name, "sources", index, "repositories")
        if source.repositories == ["*"]:
            found.update(repository.id for repository in known)
            if not known:
                names.note(path, f'a workspace with repositories; "{connection.workspace}" shows none to this token')
            continue
        for number, slug in enumerate(source.repositories):
            place = (*path, number) if (*path, number) in names.document.places else path
            repository_id = names.find(
                connection.workspace.lower(), "repository", slug, [(one.id, one.slug) for one in known], place
            )
            if repository_id is not None:
                found.add(repository_id)
                seen = next(one for one in known if one.id == repository_id)
                names.keep(f"{repository_id}/looks", json.dumps([seen.slug, seen.name, seen.main_branch, seen.url]))
            elif place in names.lost:
                # Its work is unknown, not absent: it stays a source, and every read of it says what is wrong (BB12).
                pinned = RepositoryId(names.pins[f"{connection.workspace.lower()}/repository/{slug}"])
                gone.append(_as_last_seen(names, pinned, connection.workspace, slug))
    return tuple(sorted((*(one for one in known if one.id in found), *gone), key=lambda one: one.slug))


def _as_last_seen(names: Names, id: RepositoryId, workspace: str, slug: str) -> Repository:
    """A repository that is not listed now, as it was when it was: what is saved of it must not become less."""
    looks = names.remembered.get(f"{id}/looks")
    if looks is None:
        return Repository(id=id, workspace=workspace, slug=slug, name=slug, main_branch="", url="")
    names.keep(f"{id}/looks", looks)
    slug, name, main_branch, url = json.loads(looks)
    return Repository(id=id, workspace=workspace, slug=slug, name=name, main_branch=main_branch, url=url)


def _view(part: parts.Part) -> ViewId | None:
    wanted = part.spec.airtable.view
    if wanted is None:
        return None
    known = [(view.id, view.name) for view in part.table.views]
    path = (*part.path, "airtable", "view")
    found = part.names.find(part.table.id, "view", wanted, known, path)
    if found is None and path in part.names.lost:
        # A missing view holds the sync (SPEC "Scope"): without it every record would be in scope.
        found = part.names.pins[f"{part.table.id}/view/{wanted}"]
    return ViewId(found) if found is not None else None


def _expressions(part: parts.Part) -> dict[str, FieldId]:
    """Check the fields that expressions read, rehearse every one, and give those fields' ids by name."""
    read: dict[str, FieldId] = {}
    for path, made in _every_expression(part):
        whole = True
        for name in sorted(made.record_fields):
            known = [(field.id, field.name) for field in part.table.fields]
            found = part.names.find(part.table.id, "field", name, known, path)
            if found is None:
                whole = False
                continue
            read[name] = FieldId(found)
            whole = _reads_as_before(part, path, made, found) and whole
        if not whole:
            continue
        fields = tuple(_table_fields(part.table, read).items())
        seen = tuple(_renamed(field, name) for name, field in fields)
        if problem := rehearse.failure(made, seen, part.states):
            part.names.note(path, problem)
        elif isinstance(made, Template) and path[-1] == "branch":
            if problem := rehearse.branch_failure(made, seen, part.states):
                part.names.note(path, problem)
        elif isinstance(made, Expression) and path[-1] == "value":
            _check_outcome(part, path, made, seen)
    return read


def _reads_as_before(part: parts.Part, path: locate.Path, made: Expression | Template, field_id: str) -> bool:
    """
    Whether an expression gets values of the same sort from a field as when it was first read.

    A text compares as greater than any number: a type that changed would answer every comparison, and wrongly (SD03). Who
    means the new type writes the expression anew.
    """
    field = next(one for one in part.table.fields if one.id == field_id)
    place = ".".join(str(key) for key in path)
    pin = f"{field_id}/read/{place}/{parts.fingerprint(made.source)}"
    sort = rehearse.sort(field)
    before = part.names.remembered.get(pin, sort)
    if before == sort:
        part.names.keep(pin, sort)
        return True
    told = (
        f'"{field.name}" as a {before}, as when this was written; it is a {sort} now. Change the type back, or the rule'
    )
    part.names.miss(pin, path, told, show=False)
    return False


def _check_outcome(part: parts.Part, path: locate.Path, made: Expression, seen: tuple[Field, ...]) -> None:
    known = {name: field for field in part.table.fields for name in (field.name, field.id)}
    field = known.get(str(path[-2]))
    if field is None:
        return
    problems = [fit.value_problem(outcome, field) for outcome in rehearse.outcomes(made, seen, part.states)]
    found = sorted({problem for problem in problems if problem})
    for problem in found or [""]:
        part.fits(field, problem, path, use="outcome")


def _renamed(field: Field, name: str) -> Field:
    """The field under the name by which expressions call it."""
    if field.name == name:
        return field
    return Field(
        id=field.id,
        name=name,
        kind=field.kind,
        choices=field.choices,
        precision=field.precision,
        result_kind=field.result_kind,
    )


def _every_expression(part: parts.Part) -> list[tuple[locate.Path, Expression | Template]]:
    path, sync = part.path, part.spec
    found: list[tuple[locate.Path, Expression | Template]] = [((*path, "link", "branch"), sync.link.branch)]
    if sync.link.title is not None:
        found.append(((*path, "link", "title"), sync.link.title))
    found += [(place, made) for place, made, _ in lint.deciding(sync, path)]
    found += [
        ((*path, "fields", key, "value"), rule.value) for key, rule in sync.fields.items() if rule.value is not None
    ]
    found += [
        ((*path, "actions", name, "create_pull_request", "description_file"), made)
        for name, made in part.templates.items()
    ]
    return found


def _table_fields(table: Table, read: Mapping[str, FieldId]) -> dict[str, Field]:
    """Every field by its name, and once more by the name that an expression calls it after a rename, or by its id."""
    by_id = {field.id: field for field in table.fields}
    named: dict[str, Field] = {}
    for field in table.fields:
        named.setdefault(field.name, field)
    return named | {name: by_id[field_id] for name, field_id in read.items()}


def _meet(part: parts.Part, spec: Spec) -> None:
    """The checks across rules once more, now that a field's name and its id are known to be one."""
    ids: dict[str, str] = {name: field.id for field in part.table.fields for name in (field.name, field.id)}
    for pin, found in part.names.pins.items():
        where, _, name = pin.partition("/field/")
        if where == part.table.id and name:
            ids[name] = found
    named = lint.uses(part.spec, part.path)
    again = [*lint.collisions(named, spec.document, ids)]
    again += lint.feedback(named, lint.deciding(part.spec, part.path), spec.document, ids, part.table.primary)
    part.names.problems += [problem for problem in again if problem not in spec.warnings]
