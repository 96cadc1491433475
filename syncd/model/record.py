"""One Airtable row as read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from syncd.model.ids import FieldId, RecordId
from syncd.model.value import Unknown, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """
    One row of a table.

    Args:
        cells: every field that was asked for: its value, `NOTHING` when empty, `Unknown` (with the reason) when the cell
            holds an error or a form that cannot be read. A field that was not asked for has no key.
        in_view: whether the row is in the sync's view; True for a sync without a view.
    """

    id: RecordId
    created_at: datetime
    cells: Mapping[FieldId, Value | Unknown]
    in_view: bool = True
