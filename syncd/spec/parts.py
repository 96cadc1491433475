"""The tables of one [sync.x] as rules: fields, status machine, actions, columns, where new work is made."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syncd.model.change import Owner, Priority
from syncd.model.ids import RepositoryId
from syncd.model.schema import Field, Repository, Table
from syncd.spec import fit, locate, nearest, rules, schema
from syncd.spec.attributes import ATTRIBUTES
from syncd.spec.expression import Expression, Template
from syncd.spec.names import Names


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One sync while it is resolved."""

    spec: schema.Sync
    name: str
    path: locate.Path
    table: Table
    names: Names
    templates: Mapping[str, Template]

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(self.spec.status.states) if self.spec.status is not None else ()

    def field(self, name: str, path: locate.Path) -> Field | None:
        """The field of that name or id; None after noting that there is none."""
        known = [(field.id, field.name) for field in self.table.fields]
        found = self.names.find(self.table.id, "field", name, known, path)
        return next((field for field in self.table.fields if field.id == found), None)

    def field_of(self, name: str | None, allowed: tuple[str, ...], path: locate.Path) -> Field | None:
        """`field`, of one of these types; None too when the spec names none."""
        field = self.field(name, path) if name is not None else None
        if field is not None:
            self.fits(field, fit.kind_problem(field, allowed), path)
        return field

    def fits(self, field: Field, problem: str, path: locate.Path, *, show: bool = True, use: str = "type") -> None:
        """Note that a field's type does not suit a place of the spec. One that suited it before was changed in Airtable."""
        pin = f"{field.id}/{use}/{'.'.join(str(key) for key in path)}"
        if not problem:
            self.names.keep(pin, field.kind)
        elif self.names.remembered.get(pin) == field.kind:
            # The same type as when it suited: it is the spec that changed.
            self.names.note(path, problem, show=show)
        else:
            self.names.miss(pin, path, problem, show=show)

    def option(self, field: Field, wanted: str, path: locate.Path, *, show: bool = True) -> None:
        """Note that a select has no such option."""
        pin = f"{field.id}/option/{wanted}"
        if problem := fit.options_problem(field, wanted):
            self.names.miss(pin, path, problem, show=show)
        else:
            self.names.keep(pin, wanted)


def create_in(part: Part, sources: tuple[Repository, ...]) -> rules.CreateIn | None:
    wanted = part.spec.create_in
    if wanted is None:
        if len(sources) == 1:
            return rules.CreateIn(field=None, choices={}, only=sources[0].id)
        if part.spec.actions:
            part.names.note(
                (*part.path, "create_in"),
                "create_in = { field, map }: actions must know in which of several repositories",
                show=False,
            )
        return None
    path = (*part.path, "create_in")
    field = part.field_of(wanted.field, (*fit.STATUS, "formula", "rollup", "multipleLookupValues"), (*path, "field"))
    by_slug = {repository.slug: repository.id for repository in sources}
    by_slug |= {repository.id: repository.id for repository in sources}
    choices: dict[str, RepositoryId] = {}
    for value, slug in wanted.map.items():
        # A slug that was renamed is known by what it meant before.
        pinned = part.names.pins.get(f"{sources[0].workspace.lower() if sources else ''}/repository/{slug}")
        repository = by_slug.get(slug) or (RepositoryId(pinned) if pinned else None)
        if repository is not None:
            choices[value] = repository
        else:
            shown = nearest.listed("Repositories", slug, [one.slug for one in sources])
            part.names.note((*path, "map", value), f"a repository of this connection's sources. {shown}")
        if field is not None:
            part.option(field, value, (*path, "map", value), show=False)
    return rules.CreateIn(field=field.id if field is not None else None, choices=choices)


def fields(part: Part) -> tuple[rules.FieldRule, ...]:
    made: list[rules.FieldRule] = []
    for key, rule in part.spec.fields.items():
        path = (*part.path, "fields", key)
        field = part.field(key, path)
        if field is None:
            continue
        attribute = ATTRIBUTES.get(rule.bitbucket or "")
        if attribute is not None:
            part.fits(field, fit.mapped_problem(rule, attribute, field), (*path, "bitbucket"))
        for value, shown in rule.map.items():
            part.option(field, shown, (*path, "map", value))
        if attribute is not None and not rule.map and rule.owner != "airtable":
            missing = [value for value in attribute.values if fit.options_problem(field, value)]
            if missing and field.kind == "singleSelect":
                part.names.note((*path, "bitbucket"), f"options or a map for: {', '.join(missing)}", warning=True)
        if rule.value is not None:
            problem = fit.kind_problem(
                field, (*fit.TEXTS, *fit.NUMBERS, "checkbox", "singleSelect", "multipleSelects", "date", "dateTime")
            )
            part.fits(field, problem, (*path, "value"), show=False)
        owner = Owner(rule.owner) if rule.owner is not None else Owner.SYNCD
        meaning = (field.id, rule.bitbucket, source_of(rule.value), owner.value, sorted(rule.map.items()), rule.each)
        made.append(
            rules.FieldRule(
                key=f"fields.{json.dumps(key, ensure_ascii=False)}",
                field=field,
                attribute=rule.bitbucket,
                value=rule.value,
                owner=owner,
                conflict=rules.ConflictRule(rule.conflict or "ask"),
                tolerance=rule.tolerance or part.spec.tolerance,
                foreign_edit=rules.ForeignEditRule(rule.foreign_edit or "revert"),
                map=dict(rule.map),
                adopt=rule.adopt,
                each=rule.each is not None,
                priority=Priority[rule.priority.upper()],
                writable=attribute is not None and attribute.writable,
                required=attribute is not None and attribute.required,
                fingerprint=fingerprint("field", *meaning),
            )
        )
    return tuple(made)


def status(part: Part) -> rules.StatusRules | None:
    wanted = part.spec.status
    if wanted is None:
        return None
    path = (*part.path, "status")
    field = part.field_of(wanted.field, fit.STATUS, (*path, "field"))
    if field is None:
        return None
    for index, state in enumerate(wanted.states):
        part.option(field, state, (*path, "states", index))
    edges = tuple(
        rules.Transition(
            key=f"status.transitions[{index}]",
            index=index,
            sources=tuple(edge.sources),
            target=edge.target,
            owner=Owner(edge.owner),
            when=edge.when,
            fingerprint=fingerprint(
                "edge", field.id, sorted(edge.sources), edge.target, edge.owner, source_of(edge.when)
            ),
        )
        for index, edge in enumerate(wanted.transitions)
    )
    return rules.StatusRules(
        key="status",
        field=field,
        states=tuple(wanted.states),
        initial=wanted.initial,
        illegal_edit=rules.ForeignEditRule(wanted.illegal_edit),
        transitions=edges,
        fingerprint=fingerprint("status", field.id, wanted.initial),
    )


def actions(part: Part) -> tuple[rules.ActionRule, ...]:
    made: list[rules.ActionRule] = []
    for name, action in part.spec.actions.items():
        key = f"actions.{json.dumps(name, ensure_ascii=False)}"
        if action.create_branch is not None:
            start = action.create_branch.start or ""
            mark = fingerprint("create_branch", name, action.when.source, start)
            made.append(rules.CreateBranchRule(key=key, when=action.when, start=start, fingerprint=mark))
        if action.create_pull_request is not None:
            wanted = action.create_pull_request
            mark = fingerprint("create_pull_request", name, action.when.source, wanted.into, wanted.draft)
            made.append(
                rules.CreatePullRequestRule(
                    key=key,
                    when=action.when,
                    into=wanted.into or "",
                    draft=wanted.draft,
                    description=part.templates.get(name),
                    fingerprint=mark,
                )
            )
    return tuple(made)


def columns(part: Part) -> rules.Columns:
    found = {
        column: part.field_of(getattr(part.spec.record, column), allowed, (*part.path, "record", column))
        for column, allowed in fit.COLUMNS.items()
    }
    return rules.Columns(**found)


def source_of(made: Expression | None) -> str | None:
    return made.source if made is not None else None


def fingerprint(*meaning: Any) -> str:
    """Sixteen characters that change when the meaning does."""
    text = json.dumps(meaning, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
