"""Whether a table is still as the rules know it: looked at before anything is written because a cell is empty."""

from collections.abc import Iterable

from syncd import log
from syncd.flow.context import Context
from syncd.model.ids import FieldId
from syncd.model.schema import Field

_log = log.logger("flow.schema")


def stands(context: Context) -> bool:
    """
    Ask for the base's schema: one request. An answer that differs means that the names are to be resolved again first: a
    field of another type shows its old values as empty, and so does a deleted option (reliability.md SD03, SD05).

    Raises:
        ServiceError: it could not be read.
    """
    sync = context.sync
    found = next((table for table in context.catalogue.fetch_tables() if table.id == sync.table), None)
    now = _shapes(found.fields if found is not None else ())
    changed = [field.name for field in context.fields() if now.get(field.id) != _shapes([field])[field.id]]
    if changed:
        _log.warning("schema.changed", sync=context.name, fields=changed)
    return not changed


def _shapes(fields: Iterable[Field]) -> dict[FieldId, tuple[object, ...]]:
    """What a value depends on; a new name does not matter (SD01)."""
    return {one.id: (one.kind, one.choices, one.precision, one.result_kind) for one in fields}
