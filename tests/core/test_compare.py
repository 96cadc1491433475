"""Who moved: one answer for every triple."""

import pytest

from syncd.core import compare
from syncd.core.compare import Moved
from syncd.model.value import UNKNOWN
from tests.build import val

ROWS = [
    ("sides equal and agreed", "a", "a", "a", Moved.NOBODY),
    ("sides equal, though agreed on another", "a", "b", "b", Moved.NOBODY),
    ("sides equal, never agreed", UNKNOWN, "b", "b", Moved.NOBODY),
    ("both empty, never agreed", UNKNOWN, None, None, Moved.NOBODY),
    ("airtable moved", "a", "b", "a", Moved.AIRTABLE),
    ("airtable emptied", "a", None, "a", Moved.AIRTABLE),
    ("bitbucket moved", "a", "a", "b", Moved.BITBUCKET),
    ("both moved, differently", "a", "b", "c", Moved.BOTH),
    ("never agreed, both full", UNKNOWN, "b", "c", Moved.FIRST_CONTACT),
    ("never agreed, one empty", UNKNOWN, None, "c", Moved.FIRST_CONTACT),
    ("sets in another order", ["x", "y"], ["y", "x"], ["x", "y"], Moved.NOBODY),
]


@pytest.mark.parametrize(
    ("agreed", "airtable", "bitbucket", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_compare_says_who_moved(agreed: object, airtable: object, bitbucket: object, expected: Moved) -> None:
    known = UNKNOWN if agreed is UNKNOWN else val(agreed)
    assert compare.moved(known, val(airtable), val(bitbucket)) is expected
