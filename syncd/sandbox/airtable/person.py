"""Control verbs for what people and automations do in the client app: records, fields, choices, views."""

from collections.abc import Callable
from typing import Any

from syncd.sandbox.airtable import cells, derive, refusal, schema
from syncd.sandbox.airtable.act import Act
from syncd.sandbox.airtable.action import Action
from syncd.sandbox.airtable.cells import Draft
from syncd.sandbox.airtable.world import Choice, Comment, Record, Table
from syncd.sandbox.choices import PersonCreates
from syncd.sandbox.wire import Change


def read_cells(draft: Draft, table: Table, record: Record | None, sent: dict[str, Any]) -> dict[str, Any]:
    """
    The stored cells of sent values, by field id; `sent` names fields by name or id. Nothing is changed yet.

    Raises:
        Refusal: a value that does not fit.
        KeyError: a field that is not there.
    """
    stored: dict[str, Any] = {}
    for key, value in sent.items():
        field = table.find_field(key)
        if field is None:
            raise KeyError(f"field {key!r} of table {table.name}")
        stored[field.id] = cells.accept(draft, field, value, None if record is None else record.cells.get(field.id))
    return stored


def _put(action: Action, record: Record, stored: dict[str, Any]) -> None:
    for field_id, value in stored.items():
        action.put(record, field_id, value)


def edit(step: Act) -> Any:
    """
    `edit {base?, record, cells, user?, source?, automation?}`, or `records: {id: cells}` for many in one action.

    `source` is one of reference/airtable.md 5.7, default `client`; `cells` maps field names or ids to REST values.
    """
    rows = step.arguments.get("records") or {step.arguments["record"]: step.arguments["cells"]}
    action = step.action()
    records = [(step.record(record_id), sent) for record_id, sent in rows.items()]
    read = [(record, read_cells(step.draft(), record.table, record, sent)) for record, sent in records]
    for record, stored in read:
        _put(action, record, stored)
    step.finish(action)


def create(step: Act) -> Any:
    """`create {base?, table, cells?, user?, source?}` → `{id}`: an empty row first and its cells in a second action, by choice."""
    table = step.table()
    stored = read_cells(step.draft(), table, None, step.arguments.get("cells") or {})
    action = step.action()
    record = action.create(table, {})
    if stored and step.world.choices.person_creates is PersonCreates.EMPTY_ROW_THEN_CELLS and action.source == "client":
        step.finish(action)
        action = step.action()
    _put(action, record, stored)
    step.finish(action)
    return {"id": record.id}


def duplicate(step: Act) -> Any:
    """`duplicate {base?, record, user?}` → `{id}`: a new row with the same cells."""
    original = step.record()
    action = step.action()
    copy = action.create(original.table, dict(original.cells))
    copy.given.update(original.given)
    step.finish(action)
    return {"id": copy.id}


def delete(step: Act) -> Any:
    """`delete {base?, record | records, user?}`: to the trash, in one action."""
    records = [step.record(each) for each in step.arguments.get("records") or [step.arguments["record"]]]
    action = step.action()
    for record in records:
        action.destroy(record)
    step.finish(action)


def restore(step: Act) -> Any:
    """`restore {base?, record, user?}`: back from the trash under its old id."""
    action = step.action()
    action.restore(step.base().trash[step.arguments["record"]])
    step.finish(action)


def compute(step: Act) -> Any:
    """`compute {base?, record, cells}`: what computed fields read from now on (raw values); source `system` unless named."""
    record = step.record()
    step.arguments = {"source": "system", **step.arguments}
    action = step.action()
    given: dict[str, Any] = {}
    for key, value in step.arguments["cells"].items():
        field = record.table.find_field(key)
        if field is None or not field.computed:
            raise KeyError(f"computed field {key!r} of table {record.table.name}")
        given[field.id] = value
    record.given.update(given)
    moves = derive.compute(step.world, step.base(), record, step.now)
    if moves:
        action.derived[record.id] = (record, moves)
    step.finish(action)


def comment(step: Act) -> Any:
    """`comment {base?, record, text, user?}` → `{id}`: no payload, no clock moves."""
    record = step.record()
    step.actor = step.user().id
    made = Comment(id=step.world.new_id("com"), author=step.user(), text=step.arguments["text"], created_at=step.now)
    record.comments.append(made)
    step.changes.append(Change(kind="comment", object=made.id, attribute="text", before=None, after=made.text))
    return {"id": made.id}


# ---------------------------------------------------------------------------------------------------------- schema


def rename_field(step: Act) -> Any:
    """`rename_field {base?, table?, field, name}`."""
    table, field = step.field()
    action = step.action()
    before, field.name = field.name, step.arguments["name"]
    table.index()
    action.fields_changed.append((table, field, {"name": before}, {"name": field.name}))
    action.say_schema(field.id, "name", before, field.name)
    step.finish(action)


def retype_field(step: Act) -> Any:
    """`retype_field {base?, table?, field, type, options?}`: cells are converted as typecast would, else emptied."""
    table, field = step.field()
    action = step.action()
    before = field.type
    shown = {
        record.id: cells.rest(step.world, field, record.cells[field.id], step.now)
        for record in table.records.values()
        if field.id in record.cells
    }
    spec = {"name": field.name, "type": step.arguments["type"], "options": step.arguments.get("options")}
    fresh = schema.new_field(step.world, spec)
    field.type, field.options = fresh.type, fresh.options
    field.choices, field.choice_by_id = fresh.choices, fresh.choice_by_id
    table.index()
    schema.compile_formulas(table)
    draft = step.draft()
    draft.typecast = True
    for record_id, value in shown.items():
        record = table.records[record_id]
        record.cells.pop(field.id)
        try:
            stored = None if field.computed else cells.accept(draft, field, value, None)
        except refusal.Refusal:
            stored = None
        if stored is not None:
            record.cells[field.id] = stored
    for owner, choice in draft.choices:
        owner.add_choice(choice)
    action.fields_changed.append((table, field, {"type": before}, {"type": field.type}))
    action.say_schema(field.id, "type", before, field.type)
    action.renew_all()
    step.finish(action)


def add_field(step: Act) -> Any:
    """`add_field {base?, table, name, type, options?, description?, id?}` → `{id}`."""
    action = step.action()
    field = schema.add_field(action, step.table(), dict(step.arguments))
    step.finish(action)
    return {"id": field.id}


def delete_field(step: Act) -> Any:
    """`delete_field {base?, table?, field}`: its cells go with it, without events of their own."""
    table, field = step.field()
    if field.id == table.primary_id:
        raise ValueError(f"delete_field: {field.name} is the primary field of {table.name}")
    action = step.action()
    del table.fields[field.id]
    table.index()
    schema.compile_formulas(table)
    for record in table.records.values():
        record.cells.pop(field.id, None)
        record.computed.pop(field.id, None)
    for view in table.views.values():
        if view.field_id == field.id:
            view.field_id = None
    action.fields_destroyed.append((table, field))
    action.lost.add(field.id)
    action.say_schema(field.id, "exists", True, False)
    action.renew_all()
    step.finish(action)


def lock_field(step: Act) -> Any:
    """`lock_field {base?, table?, field, locked}`: a field permission that shuts every API user out."""
    _, field = step.field()
    field.locked = bool(step.arguments["locked"])


def add_choice(step: Act) -> Any:
    """`add_choice {base?, table?, field, name, color?}` → `{id}`."""
    _, field = step.field()
    color = step.arguments.get("color", "blueLight2")
    choice = Choice(id=step.world.new_id("sel"), name=step.arguments["name"], color=color)
    field.add_choice(choice)
    _choices_changed(step, "choice", None, choice.name, None)
    return {"id": choice.id}


def rename_choice(step: Act) -> Any:
    """`rename_choice {base?, table?, field, choice, name}`: every record reads the new name, no record has an event."""
    choice = _choice(step)
    before, choice.name = choice.name, step.arguments["name"]
    _choices_changed(step, "choice", before, choice.name, None)


def delete_choice(step: Act) -> Any:
    """`delete_choice {base?, table?, field, choice}`: cells that held it are cleared of it, in the same action."""
    table, field = step.field()
    choice = _choice(step)
    action = step.action()
    for record in table.records.values():
        held = record.cells.get(field.id)
        if held == choice.id:
            action.put(record, field.id, None)
        elif isinstance(held, tuple) and choice.id in held:
            action.put(record, field.id, tuple(each for each in held if each != choice.id) or None)
    field.choices.remove(choice)
    _choices_changed(step, "choice", choice.name, None, action)


def _choice(step: Act) -> Choice:
    _, field = step.field()
    key = step.arguments["choice"]
    found = next((each for each in field.choices if key in (each.id, each.name)), None)
    if found is None:
        raise KeyError(f"choice {key!r} of field {field.name}")
    return found


def _choices_changed(step: Act, attribute: str, before: Any, after: Any, action: Action | None) -> None:
    table, field = step.field()
    action = action or step.action()
    # The webhook model of a changed field knows name and type only; a change of its choices shows as the field itself.
    now = {"name": field.name, "type": field.type}
    action.fields_changed.append((table, field, now, now))
    action.say_schema(field.id, attribute, before, after)
    action.renew_all()
    step.finish(action)


def rename_table(step: Act) -> Any:
    """`rename_table {base?, table, name}`."""
    table = step.table()
    action = step.action()
    before, table.name = table.name, step.arguments["name"]
    action.tables_changed.append((table, {"name": before}, {"name": table.name}))
    action.say_schema(table.id, "name", before, table.name)
    step.finish(action)


def delete_table(step: Act) -> Any:
    """`delete_table {base?, table}`."""
    table = step.table()
    action = step.action()
    base = step.base()
    del base.tables[table.id]
    for record_id in table.records:
        del base.records[record_id]
    action.tables_destroyed.append(table)
    action.lost |= {table.id, *table.fields, *table.views}
    action.say_schema(table.id, "exists", True, False)
    action.renew_all()
    step.finish(action)


def add_view(step: Act) -> Any:
    """`add_view {base?, table, name, type?, filter?: {field, values}}` → `{id}`."""
    view = schema.new_view(step.world, step.table(), dict(step.arguments))
    return {"id": view.id}


def delete_view(step: Act) -> Any:
    """`delete_view {base?, table, view}`."""
    table = step.table()
    view = table.find_view(step.arguments["view"])
    if view is None:
        raise KeyError(f"view {step.arguments['view']!r}")
    action = step.action()
    del table.views[view.id]
    action.lost.add(view.id)
    action.say_schema(view.id, "exists", True, False)
    step.finish(action)


VERBS: dict[str, Callable[[Act], Any]] = {
    function.__name__: function
    for function in (
        edit,
        create,
        duplicate,
        delete,
        restore,
        compute,
        comment,
        rename_field,
        retype_field,
        add_field,
        delete_field,
        lock_field,
        add_choice,
        rename_choice,
        delete_choice,
        rename_table,
        delete_table,
        add_view,
        delete_view,
    )
}
