"""
The part of Airtable's formula language that `filterByFormula` and simple formula fields need.

Literals, `{Field}` by name or id, `= != < <= > >= & + - * /`, AND, OR, NOT, IF, BLANK, TRUE, FALSE, RECORD_ID,
CREATED_TIME, LAST_MODIFIED_TIME, IS_AFTER, IS_BEFORE, IS_SAME, DATETIME_PARSE, LOWER, UPPER, LEN. Anything else is
refused. Source: reference/airtable.md 3.1 and 8.2.
"""

# ruff: noqa: ARG005 - every program takes the row, every function the row and its arguments

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?)
    | "(?P<double>(?:[^"\\]|\\.)*)"
    | '(?P<single>(?:[^'\\]|\\.)*)'
    | \{(?P<field>(?:[^}\\]|\\.)*)\}
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign><=|>=|!=|[=<>&+\-*/(),])
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


class FormulaError(Exception):
    """The text is no formula we can read, or names a field that is not there (`unknown` then holds the names)."""

    def __init__(self, unknown: tuple[str, ...] = ()) -> None:
        """Keep the unknown names."""
        super().__init__(*unknown)
        self.unknown = unknown


class Row(Protocol):
    """What a formula may ask of one record."""

    @property
    def record_id(self) -> str:
        """The record's id."""

    @property
    def created_at(self) -> datetime:
        """When it was made."""

    @property
    def modified_at(self) -> datetime:
        """When an editable cell last changed."""

    def value(self, field_id: str) -> Any:
        """A cell in REST form, None when empty."""


Program = Callable[[Row], Any]


def parse(text: str, resolve: Callable[[str], str | None]) -> Program:
    """
    Compile a formula.

    Args:
        text: the formula.
        resolve: a field's name or id → its id, None when there is no such field.

    Raises:
        FormulaError: not readable, or unknown field names.
    """
    parser = _Parser(tokens=_tokens(text), resolve=resolve, unknown=[])
    program = parser.expression()
    if parser.at < len(parser.tokens):
        raise FormulaError
    if parser.unknown:
        raise FormulaError(tuple(parser.unknown))
    return program


def keeps(program: Program, row: Row) -> bool:
    """Whether a filter keeps the row: not 0, false, "", NaN, [] or an error."""
    try:
        result = program(row)
    except (TypeError, ValueError, ZeroDivisionError):
        return False
    return bool(result) and result == result  # noqa: PLR0124 - NaN is the value that differs from itself


def computed_value(program: Program, row: Row) -> Any:
    """A formula field's cell: the value, None when empty, or the error object of reference/airtable.md 4.1."""
    try:
        value = program(row)
    except ZeroDivisionError:
        return {"specialValue": "NaN"}
    except (TypeError, ValueError):
        return {"error": "#ERROR!"}
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z"
    if value is None or value == "" or value is False:
        return None
    return value


def as_text(value: Any) -> str:
    """A value as text, as `&` and link names show it."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(as_text(each) for each in value)
    if isinstance(value, dict):
        return str(value.get("name") or value.get("text") or value.get("filename") or value.get("label") or "")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise FormulaError
        found.append((match.lastgroup, match.group(match.lastgroup)))
        at = match.end()
    return found


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match.group(1), match.group(1)), text)


@dataclass(slots=True, kw_only=True)
class _Parser:
    """Recursive descent over the tokens: comparison < sum and & < product < term."""

    tokens: list[tuple[str, str]]
    resolve: Callable[[str], str | None]
    unknown: list[str]
    at: int = 0

    def peek(self, *signs: str) -> str | None:
        """The next sign if it is one of these."""
        if self.at < len(self.tokens):
            kind, text = self.tokens[self.at]
            if kind == "sign" and text in signs:
                return text
        return None

    def take(self, sign: str) -> None:
        """Step over a sign that must stand here."""
        if self.peek(sign) is None:
            raise FormulaError
        self.at += 1

    def expression(self) -> Program:
        """A comparison, or something smaller."""
        return self.chain(
            self.sum, {"=": _equal, "!=": _unequal, "<": _less, "<=": _at_most, ">": _more, ">=": _at_least}
        )

    def sum(self) -> Program:
        """Sums and joins of text."""
        return self.chain(self.product, {"+": _add, "-": _subtract, "&": lambda a, b: as_text(a) + as_text(b)})

    def product(self) -> Program:
        """Products."""
        return self.chain(self.term, {"*": _multiply, "/": _divide})

    def chain(self, inner: Callable[[], Program], signs: dict[str, Callable[[Any, Any], Any]]) -> Program:
        """Left-associative operators of one strength."""
        left = inner()
        while (sign := self.peek(*signs)) is not None:
            self.at += 1
            left = _binary(signs[sign], left, inner())
        return left

    def term(self) -> Program:
        """A literal, a field, a call, a bracket or a negative."""
        if self.peek("("):
            self.at += 1
            inside = self.expression()
            self.take(")")
            return inside
        if self.peek("-"):
            self.at += 1
            operand = self.term()
            return lambda row: -_number(operand(row))
        if self.at >= len(self.tokens):
            raise FormulaError
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            number = float(text)
            return lambda row: number
        if kind in {"double", "single"}:
            literal = _unescape(text)
            return lambda row: literal
        if kind == "field":
            return self.field(_unescape(text))
        if kind == "word":
            return self.call(text) if self.peek("(") else self.field(text)
        raise FormulaError

    def field(self, key: str) -> Program:
        """A column; an unknown one is collected, so that all are named at once."""
        field_id = self.resolve(key)
        if field_id is None:
            self.unknown.append(key)
            return lambda row: None
        return lambda row: row.value(field_id)

    def call(self, name: str) -> Program:
        """A function with its arguments."""
        self.take("(")
        arguments: list[Program] = []
        while not self.peek(")"):
            arguments.append(self.expression())
            if self.peek(","):
                self.at += 1
            elif not self.peek(")"):
                raise FormulaError
        self.take(")")
        entry = _FUNCTIONS.get(name.upper())
        if entry is None or not entry[0] <= len(arguments) <= entry[1]:
            raise FormulaError
        function = entry[2]
        return lambda row: function(row, arguments)


def _binary(function: Callable[[Any, Any], Any], left: Program, right: Program) -> Program:
    return lambda row: function(left(row), right(row))


def _number(value: Any) -> float:
    if value is None or value == "":
        return 0
    if isinstance(value, int | float):
        return value
    raise TypeError(value)


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise TypeError(value)
    parsed = datetime.fromisoformat(value)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _equal(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return (left or None) == (right or None)
    if isinstance(left, datetime) or isinstance(right, datetime):
        return _moment(left) == _moment(right)
    if isinstance(left, list | dict | str) or isinstance(right, list | dict | str):
        return as_text(left) == as_text(right)
    return bool(left == right)


def _unequal(left: Any, right: Any) -> bool:
    return not _equal(left, right)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def ordered(left: Any, right: Any) -> bool:
        if isinstance(left, datetime) or isinstance(right, datetime):
            return compare(_moment(left), _moment(right))
        if isinstance(left, str) and isinstance(right, str):
            return compare(left, right)
        return compare(_number(left), _number(right))

    return ordered


_less = _ordered(operator.lt)
_at_most = _ordered(operator.le)
_more = _ordered(operator.gt)
_at_least = _ordered(operator.ge)


def _add(left: Any, right: Any) -> float:
    return _number(left) + _number(right)


def _subtract(left: Any, right: Any) -> float:
    return _number(left) - _number(right)


def _multiply(left: Any, right: Any) -> float:
    return _number(left) * _number(right)


def _divide(left: Any, right: Any) -> float:
    return _number(left) / _number(right)


def _choose(row: Row, arguments: list[Program]) -> Any:
    if arguments[0](row):
        return arguments[1](row)
    return arguments[2](row) if len(arguments) == 3 else None


_MANY = 1000
_FUNCTIONS: dict[str, tuple[int, int, Callable[[Row, list[Program]], Any]]] = {
    "AND": (1, _MANY, lambda row, given: all(each(row) for each in given)),
    "OR": (1, _MANY, lambda row, given: any(each(row) for each in given)),
    "NOT": (1, 1, lambda row, given: not given[0](row)),
    "IF": (2, 3, _choose),
    "BLANK": (0, 0, lambda row, given: None),
    "TRUE": (0, 0, lambda row, given: True),
    "FALSE": (0, 0, lambda row, given: False),
    "RECORD_ID": (0, 0, lambda row, given: row.record_id),
    "CREATED_TIME": (0, 0, lambda row, given: row.created_at),
    "LAST_MODIFIED_TIME": (0, 0, lambda row, given: row.modified_at),
    "IS_AFTER": (2, 2, lambda row, given: _moment(given[0](row)) > _moment(given[1](row))),
    "IS_BEFORE": (2, 2, lambda row, given: _moment(given[0](row)) < _moment(given[1](row))),
    "IS_SAME": (2, 2, lambda row, given: _moment(given[0](row)) == _moment(given[1](row))),
    "DATETIME_PARSE": (1, 1, lambda row, given: _moment(given[0](row))),
    "LOWER": (1, 1, lambda row, given: as_text(given[0](row)).lower()),
    "UPPER": (1, 1, lambda row, given: as_text(given[0](row)).upper()),
    "LEN": (1, 1, lambda row, given: len(as_text(given[0](row)))),
}
