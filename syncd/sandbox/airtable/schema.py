"""Tables and fields as the metadata API shows them, and making them from that same shape."""

from typing import Any

from syncd.sandbox.airtable import formula
from syncd.sandbox.airtable.action import Action
from syncd.sandbox.airtable.world import COMPUTED_TYPES, Choice, Field, Table, View, World

_STORABLE = frozenset(
    {
        "singleLineText",
        "multilineText",
        "richText",
        "email",
        "url",
        "phoneNumber",
        "number",
        "percent",
        "currency",
        "rating",
        "duration",
        "checkbox",
        "date",
        "dateTime",
        "singleSelect",
        "multipleSelects",
        "singleCollaborator",
        "multipleCollaborators",
        "multipleRecordLinks",
        "multipleAttachments",
        "barcode",
    }
)


class FieldSpecError(ValueError):
    """The description of a field makes no field."""


def describe_field(field: Field) -> dict[str, Any]:
    """One field of the schema answer."""
    described: dict[str, Any] = {"id": field.id, "name": field.name, "type": field.type}
    if field.description is not None:
        described["description"] = field.description
    if field.choice_by_id:
        choices = [{"id": each.id, "name": each.name, "color": each.color} for each in field.choices]
        described["options"] = {**(field.options or {}), "choices": choices}
    elif field.options is not None:
        described["options"] = field.options
    return described


def describe_table(table: Table, with_visible_fields: bool) -> dict[str, Any]:
    """One table of the schema answer; grid views may tell their visible fields."""
    views: list[dict[str, Any]] = []
    for view in table.views.values():
        shown: dict[str, Any] = {"id": view.id, "name": view.name, "type": view.type}
        if with_visible_fields and view.type == "grid":
            shown["visibleFieldIds"] = list(table.fields)
        views.append(shown)
    described: dict[str, Any] = {"id": table.id, "name": table.name}
    if table.description is not None:
        described["description"] = table.description
    described["primaryFieldId"] = table.primary_id
    described["fields"] = [describe_field(field) for field in table.fields.values()]
    described["views"] = views
    return described


def new_field(world: World, spec: dict[str, Any]) -> Field:
    """
    A field from the shape of the schema answer; ids of field and choices are made when absent.

    `value` is what a computed field of a kind we do not derive reads in every record until a control call says otherwise.

    Raises:
        FieldSpecError: no name, no type, or a type that can hold nothing we know and is not computed.
    """
    name, kind = spec.get("name"), spec.get("type")
    if not isinstance(name, str) or not name or not isinstance(kind, str):
        raise FieldSpecError(f"a field needs a name and a type, got {spec!r}")
    options = spec.get("options") or {}
    choices = options.get("choices", []) if isinstance(options, dict) else None
    if not isinstance(choices, list) or not all(isinstance(each, dict) and each.get("name") for each in choices):
        raise FieldSpecError(f"options of {name} must be an object, its choices objects with a name")
    options = {key: value for key, value in options.items() if key != "choices"}
    field = Field(
        id=spec.get("id") or world.new_id("fld"),
        name=name,
        type=kind,
        options=options or (None if spec.get("options") is None else {}),
        description=spec.get("description"),
        value=spec.get("value"),
    )
    for each in choices:
        color = each.get("color") or "blueLight2"
        field.add_choice(Choice(id=each.get("id") or world.new_id("sel"), name=each["name"], color=color))
    return field


def known_type(kind: str) -> bool:
    """Whether cells of this type can be written or are derived; others are shown in the schema and stay empty."""
    return kind in _STORABLE or kind in COMPUTED_TYPES


def compile_formulas(table: Table) -> None:
    """Read the formula fields that we can evaluate; the others keep the value they were given."""
    for field in table.fields.values():
        text = (field.options or {}).get("formula")
        if field.type != "formula" or not isinstance(text, str):
            continue
        try:
            field.program = formula.parse(text, lambda key: found.id if (found := table.find_field(key)) else None)
        except formula.FormulaError:
            field.program = None


def add_field(action: Action, table: Table, spec: dict[str, Any]) -> Field:
    """Add a field to a table; for a link also its mirror in the other table, unless the spec names one."""
    field = new_field(action.world, spec)
    _enter(action, table, field)
    other_id = (field.options or {}).get("linkedTableId")
    other = action.base.tables.get(other_id) if field.type == "multipleRecordLinks" and other_id else None
    if other is not None and field.options is not None and "inverseLinkFieldId" not in field.options:
        options = {"linkedTableId": table.id, "isReversed": False, "prefersSingleRecordLink": False}
        name = table.name if table.name not in other.by_name else f"{table.name} {len(other.fields)}"
        mirror = new_field(
            action.world,
            {
                "name": name,
                "type": "multipleRecordLinks",
                "options": {**options, "inverseLinkFieldId": field.id},
            },
        )
        field.options["inverseLinkFieldId"] = mirror.id
        _enter(action, other, mirror)
    return field


def _enter(action: Action, table: Table, field: Field) -> None:
    table.fields[field.id] = field
    table.index()
    compile_formulas(table)
    action.fields_created.append((table, field))
    action.say_schema(field.id, "exists", False, True)
    if field.computed:
        action.renew_all()


def new_view(world: World, table: Table, spec: dict[str, Any]) -> View:
    """A view; `filter` is `{"field": name or id, "values": [REST values, null for empty]}` or absent."""
    chosen = spec.get("filter") or {}
    field = table.find_field(chosen.get("field", ""))
    if chosen and field is None:
        raise FieldSpecError(f"view filter names no field of {table.name}: {chosen!r}")
    view = View(
        id=spec.get("id") or world.new_id("viw"),
        name=spec["name"],
        type=spec.get("type", "grid"),
        field_id=None if field is None else field.id,
        values=tuple(chosen.get("values", ())),
    )
    table.views[view.id] = view
    return view


def new_table(action: Action, spec: dict[str, Any]) -> Table:
    """A table with its fields and views; the first field is the primary one unless `primaryFieldId` says otherwise."""
    table = Table(
        id=spec.get("id") or action.world.new_id("tbl"), name=spec["name"], description=spec.get("description")
    )
    for each in spec["fields"]:
        field = new_field(action.world, each)
        table.fields[field.id] = field
    table.primary_id = spec.get("primaryFieldId") or next(iter(table.fields))
    table.next_number = spec.get("nextNumber", 1)
    table.index()
    compile_formulas(table)
    for each in spec.get("views") or [{"name": "Grid view"}]:
        new_view(action.world, table, each)
    action.base.tables[table.id] = table
    action.tables_created.append(table)
    action.say_schema(table.id, "exists", False, True)
    return table
