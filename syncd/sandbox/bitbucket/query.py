"""
The filter language `q` and the order `sort` (reference/bitbucket.md 8.2), over tables of getters: field name → value of one object.

A getter gives a string, number, boolean, aware datetime, None, or a tuple of these, of which any may match.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from syncd.sandbox.bitbucket.errors import ApiError

Thing = TypeVar("Thing")
Getter = Callable[[Any], Any]
Getters = Mapping[str, Getter]
Test = Callable[[Any], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<op>!=|!~|>=|<=|=|~|>|<)|(?P<mark>[(),])|(?P<word>[^\s()=!~<>,"]+))""",
    re.VERBOSE,
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:?\d\d)?)?$")
_NUMBER = re.compile(r"-?\d+(\.\d+)?$")


def compile_filter(text: str, getters: Getters) -> Test:
    """
    Turn a `q` into a test of one object.

    Raises:
        ApiError: 400, when the text cannot be parsed or names a field without getter.
    """
    parser = _Parser(_tokens(text), getters)
    test = parser.disjunction()
    if parser.more():
        raise _bad(f"unexpected {parser.peek()!r}")
    return test


def names_field(text: str, field: str) -> bool:
    """Whether a `q` compares the field `field`."""
    return any(kind == "word" and value == field for kind, value in _tokens(text))


def ordered(things: Sequence[Thing], sort: str, getters: Getters) -> list[Thing]:
    """
    The objects in the order of one field, `-` in front for descending; names sort naturally, None comes first.

    Raises:
        ApiError: 400, when the field cannot be sorted by.
    """
    descending = sort.startswith("-")
    name = sort.lstrip("-")
    getter = getters.get(name)
    if getter is None:
        raise _bad(f'Invalid field name: "{name}"', "sort")
    return sorted(things, key=lambda thing: _sort_key(getter(thing)), reverse=descending)


def instant(text: str) -> datetime:
    """An ISO 8601 text as an aware instant; without an offset it is UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _sort_key(value: Any) -> tuple[Any, ...]:
    if value is None:
        return (0,)
    if isinstance(value, str):
        parts = re.split(r"(\d+)", value.lower())
        return (1, [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts], value)
    return (1, value)


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            if not text[place:].strip():
                break
            raise _bad(f"cannot read {text[place : place + 20]!r}")
        found.append((str(match.lastgroup), str(match.group(str(match.lastgroup)))))
        place = match.end()
    return found


def _bad(text: str, field: str = "q") -> ApiError:
    return ApiError(400, f"{field}: {text}", fields={field: [text]})


class _Parser:
    """Recursive descent over the tokens: OR binds weaker than AND, AND weaker than parentheses and comparisons."""

    def __init__(self, tokens: list[tuple[str, str]], getters: Getters) -> None:
        self._tokens = tokens
        self._place = 0
        self._getters = getters

    def more(self) -> bool:
        return self._place < len(self._tokens)

    def peek(self) -> str:
        return self._tokens[self._place][1] if self.more() else ""

    def take(self, expected: str | None = None) -> tuple[str, str]:
        if not self.more() or (expected is not None and self.peek().upper() != expected):
            raise _bad(f"expected {expected or 'more'} but found {self.peek()!r}")
        self._place += 1
        return self._tokens[self._place - 1]

    def disjunction(self) -> Test:
        tests = [self.conjunction()]
        while self.peek().upper() == "OR":
            self.take()
            tests.append(self.conjunction())
        return tests[0] if len(tests) == 1 else lambda thing: any(test(thing) for test in tests)

    def conjunction(self) -> Test:
        tests = [self.term()]
        while self.peek().upper() == "AND":
            self.take()
            tests.append(self.term())
        return tests[0] if len(tests) == 1 else lambda thing: all(test(thing) for test in tests)

    def term(self) -> Test:
        if self.peek() == "(":
            self.take()
            test = self.disjunction()
            self.take(")")
            return test
        return self.comparison()

    def comparison(self) -> Test:
        kind, name = self.take()
        getter = self._getters.get(name)
        if kind != "word" or getter is None:
            raise _bad(f'Invalid field name: "{name}"')
        operator = self.take()[1].upper()
        if operator == "NOT":
            self.take("IN")
            wanted = self.values()
            return lambda thing: not any(_equal(getter(thing), one) for one in wanted)
        if operator == "IN":
            wanted = self.values()
            return lambda thing: any(_equal(getter(thing), one) for one in wanted)
        compare = _OPERATORS.get(operator)
        if compare is None:
            raise _bad(f"unknown operator {operator!r}")
        value = self.value()
        return lambda thing: compare(getter(thing), value)

    def values(self) -> list[Any]:
        self.take("(")
        found = [self.value()]
        while self.peek() == ",":
            self.take()
            found.append(self.value())
        self.take(")")
        return found

    def value(self) -> Any:
        kind, text = self.take()
        if kind == "string":
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind != "word":
            raise _bad(f"expected a value but found {text!r}")
        lowered = text.lower()
        if lowered in _LITERALS:
            return _LITERALS[lowered]
        if _DATE.match(text):
            try:
                return instant(text)
            except ValueError:
                raise _bad(f"not a date: {text}") from None
        if _NUMBER.match(text):
            return float(text)
        raise _bad(f"not a value: {text}")


_LITERALS: dict[str, Any] = {"null": None, "true": True, "false": False}


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(found, tuple):
        return any(_equal(one, wanted) for one in found) if found else wanted is None
    if isinstance(found, datetime) and isinstance(wanted, str):
        return found == _moment(wanted)
    return bool(found == wanted)


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(found, tuple):
        return any(_contains(one, wanted) for one in found)
    return isinstance(found, str) and str(wanted).lower() in found.lower()


def _moment(text: str) -> datetime | None:
    try:
        return instant(text)
    except ValueError:
        return None


def _ordering(check: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(found: Any, wanted: Any) -> bool:
        if isinstance(found, tuple):
            return any(compare(one, wanted) for one in found)
        if isinstance(found, datetime) and isinstance(wanted, str):
            wanted = _moment(wanted)
        if found is None or wanted is None:
            return False
        try:
            return check(found, wanted)
        except TypeError:
            return False

    return compare


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": _equal,
    "!=": lambda found, wanted: not _equal(found, wanted),
    "~": _contains,
    "!~": lambda found, wanted: not _contains(found, wanted),
    ">": _ordering(lambda found, wanted: found > wanted),
    ">=": _ordering(lambda found, wanted: found >= wanted),
    "<": _ordering(lambda found, wanted: found < wanted),
    "<=": _ordering(lambda found, wanted: found <= wanted),
}
