"""Fields and values for the tests of this room."""

from datetime import UTC, date, datetime
from typing import Any

from hypothesis import strategies as st

from syncd.airtable import translate
from syncd.model import value
from syncd.model.ids import FieldId
from syncd.model.schema import Field
from syncd.model.value import NOTHING, TRUE, Day, Value

CHOICES = ("Planned", "Ready", "In Review", "Ünïcode ✓", " edge ")
PRECISIONS = {"number": 2, "currency": 2, "percent": 4}


def a_field(kind: str, **rest: Any) -> Field:
    """A field of that type, as the schema of `TABLE` describes it."""
    defaults: dict[str, Any] = {"precision": PRECISIONS.get(kind)}
    if kind in ("singleSelect", "multipleSelects"):
        defaults["choices"] = CHOICES
    return Field(id=FieldId(f"fld{kind}"), name=kind, kind=kind, **{**defaults, **rest})


# What both services and JSON can carry: no lone surrogates, no control characters but tab and line ends.
_PIECES = [
    "\n",
    "\r\n",
    "\t",
    " ",
    "* ",
    "- ",
    "+ ",
    "\u200c",
    "e\u0301",
    "👩\u200d👩\u200d👧",
    "\u202e",
    "'",
    '"',
    "\\",
]
sound_text = st.lists(
    st.one_of(st.characters(exclude_categories=("Cs", "Cc")), st.sampled_from(_PIECES)), max_size=40
).map("".join)
any_text = st.text(max_size=40)


def numbers(precision: int | None) -> st.SearchStrategy[Value]:
    """Numbers as an attribute or expression gives them, rounded as the field rounds."""
    raw: st.SearchStrategy[int | float] = st.one_of(
        st.integers(-(2**53), 2**53), st.floats(-1e9, 1e9, allow_nan=False, allow_infinity=False)
    )
    return raw.map(lambda found: value.number(found, precision))


_instants = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC)).map(value.instant)  # noqa: DTZ001 - hypothesis wants naive bounds

# By kind: values that the field can hold.
VALUES: dict[str, st.SearchStrategy[Value]] = {
    **{kind: sound_text.map(value.text) for kind in ("singleLineText", "multilineText", "email", "url", "phoneNumber")},
    "richText": sound_text.map(value.rich_text),
    "number": numbers(2),
    "currency": numbers(2),
    "percent": numbers(4),
    "duration": numbers(None),
    "rating": st.integers(1, 10).map(value.number),
    "checkbox": st.just(TRUE),
    "singleSelect": st.sampled_from(CHOICES).map(value.text),
    "multipleSelects": st.frozensets(st.sampled_from(CHOICES)).map(value.options),
    "date": st.dates(date(1, 1, 1)).map(Day),
    "dateTime": _instants,
}
assert VALUES.keys() == translate.WRITABLE


def held_by(kind: str) -> st.SearchStrategy[Value]:
    """Values of one kind, the empty one included."""
    return st.one_of(st.just(NOTHING), VALUES[kind])


any_json: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        any_text,
        st.sampled_from(["2026-11-21", "2026-11-21T06:00:00.000Z", "0001-01-01T00:00:00+14:00", "NaN"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["error", "specialValue", "id", "name", "linkedRecordIds", "valuesByLinkedRecordId", "x"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)
