"""
Whether a table is still as the rules know it: asked before anything is written where a cell is empty that held an agreed value.

A field that got another type shows its old values as empty, and so does a deleted option (reliability.md SD03, SD05).
"""

from collections.abc import Iterable, Sequence

from syncd.flow.context import Context
from syncd.model.ids import FieldId
from syncd.model.schema import Field, Table


def changed(context: Context, tables: Sequence[Table]) -> tuple[str, ...]:
    """The names of the fields that the rules read and that are not there any more as they know them, by the base's schema."""
    found = next((table for table in tables if table.id == context.sync.table), None)
    now = _shapes(found.fields if found is not None else ())
    return tuple(field.name for field in context.fields() if now.get(field.id) != _shapes([field])[field.id])


def _shapes(fields: Iterable[Field]) -> dict[FieldId, tuple[object, ...]]:
    """What a value depends on; a new name does not matter (SD01)."""
    return {one.id: (one.kind, one.choices, one.precision, one.result_kind) for one in fields}
