"""The short text by which a full compare tells that a record is as its last plan left it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from syncd.flow import collect
from syncd.flow.context import Context
from syncd.model import value
from syncd.model.ids import FieldId, RecordId
from syncd.model.record import Record
from syncd.model.value import Unknown, Value
from tests.flow.house import START, Lab


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Lab(Path(tmp_path_factory.mktemp("lab")), hooks=False).crew.workers[0].context


def of(context: Context, *cells: Value | Unknown, in_view: bool = True) -> str:
    named: Mapping[FieldId, Value | Unknown] = dict(zip(context.sync.fetch, cells, strict=False))
    return collect.fingerprint(
        context, Record(id=RecordId("recAAAAAAAAAAAAAA"), created_at=START, cells=named, in_view=in_view)
    )


def test_equal_records_have_one_fingerprint(context: Context) -> None:
    assert of(context, value.text("Login"), value.number(3)) == of(context, value.text("Login\n"), value.number("3.0"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param((value.text("a"),), (value.text("b"),), id="another text"),
        pytest.param((value.text("a"), value.NOTHING), (value.NOTHING, value.text("a")), id="another field"),
        pytest.param(
            (value.text("a\x1f1 b"), value.text("c")),
            (value.text("a"), value.text("b\x1f1 c")),
            id="a text that holds the separator",
        ),
        pytest.param((value.text("7"),), (value.number(7),), id="another type"),
        pytest.param((value.text("null"),), (value.NOTHING,), id="a text that spells an empty cell"),
        pytest.param((Unknown("an error"),), (value.text("an error"),), id="an error"),
    ],
)
def test_a_difference_in_any_cell_shows(
    context: Context, one: tuple[Value | Unknown, ...], other: tuple[Value | Unknown, ...]
) -> None:
    assert of(context, *one) != of(context, *other)


def test_leaving_the_view_shows(context: Context) -> None:
    assert of(context, value.text("a")) != of(context, value.text("a"), in_view=False)
