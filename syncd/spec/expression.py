"""
Conditions, values and templates of a spec: MiniJinja, parsed and checked once, evaluated over plain data.

The only module that imports minijinja (reference/dependencies.md section 9). What is reachable from an expression is
closed by `syntax`; here are the quantifiers, our filters, and the limits.
"""

import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import minijinja

from syncd import errors
from syncd.model.work import List
from syncd.spec import nearest, syntax
from syncd.spec.attributes import PRIMARIES

# Template instructions, not work inside a filter: far above any honest expression, reached in milliseconds.
FUEL = 100_000
SOURCE_CHARACTERS_MAX = 16_384
# MiniJinja's time for a chain of `**` grows with its square, and a spec has room for many chains (SP08).
EXPRESSION_CHARACTERS_MAX = 8_192
# Of what an expression or template gives, and of what a filter takes apart or puts together: twice the longest cell.
TEXT_CHARACTERS_MAX = 200_000
_TICK = timedelta(milliseconds=1)


class ExpressionError(errors.SyncdError):
    """An expression that cannot be parsed, names what does not exist, or fails when it is evaluated."""

    def __init__(self, source: str, problems: tuple[str, ...]) -> None:
        super().__init__(f"{'; '.join(problems)} (in {source!r})", next_step="syncd check")
        self.source = source
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """
    What an expression and a template have in common.

    Args:
        source: as it stands in the spec.
        names: everything it reads, dotted, e.g. "prs", "pr.approvals", "record.Approved", "now".
        lists: the lists of work that must be complete before the outcome means anything.
        record_fields: names (or ids) of the Airtable fields it reads through `record`.
        states: the texts that `status` is compared with.
        factors: the Airtable fields that it multiplies.
    """

    source: str
    names: frozenset[str]
    lists: frozenset[List]
    record_fields: frozenset[str]
    states: frozenset[str]
    factors: frozenset[str]
    _roots: tuple[str, ...] = field(repr=False)

    @property
    def reads_clock(self) -> bool:
        """Whether the outcome may change without any edit."""
        return "now" in self.names or "today" in self.names


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression(_Checked):
    """A condition or a value."""

    _moments: tuple[syntax.Moment, ...] = field(default=(), repr=False)
    _daily: bool = field(default=False, repr=False)

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """
        The outcome over a scope.

        Args:
            scope: every name of SPEC "Expressions", with plain values only (dict, list, str, number, bool, None): the
                methods of anything else would be reachable.

        Raises:
            ExpressionError: a name or key is missing, a type does not fit, or the fuel is used up.
        """
        try:
            found = _ENVIRONMENT.eval_expr(self.source, **{name: scope[name] for name in self._roots})
            return _bounded(found) if isinstance(found, str) else found
        except _TooLong as exc:
            raise ExpressionError(self.source, (str(exc),)) from exc
        except (minijinja.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as exc:
            raise ExpressionError(self.source, (_told(exc),)) from exc

    def wakes_at(self, scope: Mapping[str, Any], now: datetime) -> datetime | None:
        """
        When the outcome may change by the clock alone.

        Args:
            scope: as for `evaluate`.
            now: the instant of the scope.

        Returns:
            The earliest such instant after `now`; None when time alone changes nothing any more. `parse` has refused a
            `now` for which this cannot be told.
        """
        flips: list[datetime] = []
        if self._daily:
            flips.append(datetime.combine(now.date() + timedelta(days=1), time(), UTC))
        for moment in self._moments:
            operand = moment.literal if moment.path is None else scope[moment.path[0]][moment.path[1]]
            flips += _flips(moment.name, operand)
        return min((flip for flip in flips if flip > now), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template(_Checked):
    """A text with expressions in it."""

    def render(self, scope: Mapping[str, Any]) -> str:
        """The text over a scope; as `Expression.evaluate`. An empty value is written as nothing, not as "none"."""
        _METER.characters = 0
        try:
            return _ENVIRONMENT.render_str(self.source, **{name: scope[name] for name in self._roots})
        except _TooLong as exc:
            raise ExpressionError(self.source, (str(exc),)) from exc
        except (minijinja.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as exc:
            raise ExpressionError(self.source, (_told(exc),)) from exc


def parse(source: str) -> Expression:
    """
    Parse and check a value or condition.

    Raises:
        ExpressionError: with every problem: syntax, unknown names and attributes, calls outside the language.
    """
    _require_size(source, EXPRESSION_CHARACTERS_MAX)
    # Both forms must parse, so that neither `}}` nor a lone parenthesis can close what is around the expression.
    free = _require_syntax(source, f"{{{{ {source}\n }}}}")
    _require_syntax(source, f"{{{{ ({source}\n) }}}}")
    usage = syntax.read_expression(source)
    if "now" in usage.open_clock:
        usage.problems.append("compare `now` plainly (now >= pr.merged_on), so that syncd knows when to look again")
    _require_known(source, usage, free)
    return Expression(
        source=source, **_common(usage), _moments=tuple(usage.moments), _daily="today" in usage.open_clock
    )


def parse_template(source: str, names: Sequence[str] = syntax.NAMES) -> Template:
    """
    Parse and check a template.

    Args:
        source: its text.
        names: the names it may use.
    """
    _require_size(source, SOURCE_CHARACTERS_MAX)
    free = _require_syntax(source, source)
    usage = syntax.read_template(source)
    foreign = sorted(usage.roots - set(names))
    usage.problems += [f"`{name}` is not known here. {nearest.listed('Names', name, names)}" for name in foreign]
    _require_known(source, usage, free)
    return Template(source=source, **_common(usage))


def _common(usage: syntax.Usage) -> dict[str, Any]:
    lists = {members for name, members in syntax.LISTS.items() if name in usage.roots}
    lists |= {members for name, members in PRIMARIES.items() if name in usage.roots}
    # The primary's source branch and builds are meant (SPEC "Membership"): which is the primary must be known first.
    if usage.roots & {"branch", "build"}:
        lists.add(List.PULL_REQUESTS)
    return {
        "names": frozenset(usage.names),
        "lists": frozenset(lists),
        "record_fields": frozenset(usage.record_fields),
        "states": frozenset(usage.states),
        "factors": frozenset(usage.factors),
        "_roots": tuple(sorted(usage.roots)),
    }


def _require_size(source: str, characters_max: int) -> None:
    if len(source) > characters_max:
        raise ExpressionError(source[:40] + "…", (f"longer than {characters_max} characters",))
    if not source.strip():
        raise ExpressionError(source, ("empty",))
    try:
        source.encode("utf-8")
    except UnicodeEncodeError:
        raise ExpressionError(source, ("half a character (a lone surrogate)",)) from None


def _require_syntax(source: str, template: str) -> frozenset[str]:
    """The free names as MiniJinja finds them."""
    try:
        return frozenset(_ENVIRONMENT.undeclared_variables_in_str(template))
    except minijinja.TemplateError as exc:
        raise ExpressionError(source, (_told(exc),)) from exc


def _require_known(source: str, usage: syntax.Usage, free: frozenset[str]) -> None:
    if not usage.problems:
        # Two readers of one text: a name that MiniJinja sees and `syntax` does not would go unchecked.
        overlooked = sorted(free - usage.roots - usage.bound - set(syntax.QUANTIFIERS))
        usage.problems += [
            f"`{name}` stands where syncd cannot check it; write this in another way" for name in overlooked
        ]
    if usage.problems:
        raise ExpressionError(source, tuple(usage.problems))


def _told(exc: Exception) -> str:
    """One line about a failure, without values: `debug` is off, and Python's own texts are not repeated."""
    if isinstance(exc, minijinja.TemplateError):
        if exc.kind == "UndefinedError":
            return "something in it is not defined"
        return exc.detail or exc.message.splitlines()[0]
    if isinstance(exc, LookupError):
        return "a name or key in it is missing"
    return f"a value in it has the wrong type ({type(exc).__name__})"


def _flips(name: str, operand: Any) -> list[datetime]:
    """When `name < operand` and its like change; none for an operand that is empty or no moment."""
    if not isinstance(operand, str):
        return []
    try:
        at = datetime.fromisoformat(operand)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        if name == "now":
            return [at, at + _TICK]
        midnight = datetime.combine(at.date(), time(), UTC)
        return [midnight, midnight + timedelta(days=1)]
    except (ValueError, OverflowError):
        # The second: at the end of the calendar, as "9999-12-31" for never; nothing is left to wake for.
        return []


# --- what MiniJinja's fuel does not count (SP08, I36) ---------------------------------------------------------------


class _TooLong(ValueError):
    """A text beyond `TEXT_CHARACTERS_MAX`."""

    def __init__(self) -> None:
        super().__init__(f"a text of more than {TEXT_CHARACTERS_MAX} characters")


class _Meter(threading.local):
    """How much this thread's template has written so far."""

    characters = 0


_METER = _Meter()


def _bounded(text: str) -> str:
    if len(text) > TEXT_CHARACTERS_MAX:
        raise _TooLong
    return text


def _written(value: Any) -> Any:
    """Called with everything that a template writes; an empty value is written as nothing."""
    if value is None:
        return ""
    _METER.characters += _size(value)
    if _METER.characters > TEXT_CHARACTERS_MAX:
        raise _TooLong
    return value


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str) else len(str(value))


# As MiniJinja writes them; what went through Python it would write as Python does.
_SHOWN = {"None": "none", "True": "true", "False": "false"}


def _bounding(name: str) -> Callable[..., Any]:
    """MiniJinja's filter of that name, asked only when what it takes apart and makes stays within bounds."""

    def call(value: Any, *arguments: Any, **named: Any) -> Any:
        if isinstance(value, str):
            _bounded(value)
        if name == "replace" and len(arguments) == 2:
            text, old, new = ("" if part is None else str(part) for part in (value, *arguments))
            if len(text) + text.count(old) * len(new) > TEXT_CHARACTERS_MAX:
                raise _TooLong
        elif name == "join" and isinstance(value, Sized):
            between = _size(arguments[0]) if arguments else 0
            size = len(value) * between
            size += (
                len(value) if isinstance(value, str) else sum(map(_size, value)) if isinstance(value, Iterable) else 0
            )
            if size > TEXT_CHARACTERS_MAX:
                raise _TooLong
            if not isinstance(value, str) and isinstance(value, Iterable):
                value = [_SHOWN.get(str(one), one) if one is None or isinstance(one, bool) else one for one in value]
        scope = {f"given{at}": argument for at, argument in enumerate(arguments)}
        written = ", ".join([*scope, *(f"{key}={key}" for key in named)])
        return _PLAIN.eval_expr(f"value|{name}({written})", value=value, **scope, **named)

    return call


# --- the language's own functions -------------------------------------------------------------------------------------


def _matches(element: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """An attribute matches a value or any of a list; an attribute that is a list matches what it holds."""
    for key, value in wanted.items():
        have = element[key]
        if have == value:
            continue
        if isinstance(have, list):
            if not any(entry in have for entry in (value if isinstance(value, list) else (value,))):
                return False
        elif not isinstance(value, list) or have not in value:
            return False
    return True


def _any(elements: Sequence[Mapping[str, Any]], **wanted: Any) -> bool:
    # A plain loop: `any(...)` over a generator costs half as much again, and this is the innermost step of every plan.
    for element in elements:  # noqa: SIM110
        if _matches(element, wanted):
            return True
    return False


def _all(elements: Sequence[Mapping[str, Any]], **wanted: Any) -> bool:
    return bool(elements) and all(_matches(element, wanted) for element in elements)


def _count(elements: Sequence[Mapping[str, Any]], **wanted: Any) -> int:
    return sum(1 for element in elements if _matches(element, wanted))


def _where(elements: Sequence[Mapping[str, Any]], **wanted: Any) -> list[Mapping[str, Any]]:
    return [element for element in elements if _matches(element, wanted)]


def _slug(value: Any, characters_max: int = 60) -> str:
    """Lower-case ASCII words joined by hyphens, for a branch name; "" when nothing of the text can be kept."""
    ascii_text = unicodedata.normalize("NFKD", "" if value is None else str(value)).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")
    return words[:characters_max].strip("-")


def _truncate_bytes(value: Any, bytes_max: int) -> str:
    """The longest beginning that fits into so many bytes of UTF-8, never half a character."""
    return ("" if value is None else str(value)).encode("utf-8")[:bytes_max].decode("utf-8", "ignore")


def _date(value: Any, layout: str = "%Y-%m-%d") -> str:
    """A moment or day in UTC, laid out as by strftime; "" for an empty one."""
    if value is None or value == "":
        return ""
    at = datetime.fromisoformat(str(value))
    return (
        at.astimezone(UTC) if at.tzinfo is not None else at if "T" in str(value) else date.fromisoformat(str(value))
    ).strftime(layout)


def _strip_prefix(value: Any, prefix: str) -> str:
    return ("" if value is None else str(value)).removeprefix(prefix)


def _environment() -> minijinja.Environment:
    made = minijinja.Environment(
        filters={
            **{name: _bounding(name) for name in ("join", "list", "replace", "sort", "split", "unique")},
            "slug": _slug,
            "truncate_bytes": _truncate_bytes,
            "date": _date,
            "strip_prefix": _strip_prefix,
        },
        globals={"any": _any, "all": _all, "count": _count, "where": _where},
        # With `debug` an error's text shows the values in scope.
        debug=False,
        fuel=FUEL,
        undefined_behavior="strict",
        # Names like "a.html" would turn escaping on; we render text only.
        auto_escape_callback=lambda _name: False,
        finalizer=_written,
        keep_trailing_newline=True,
        pycompat=False,
    )
    for name in ("cycler", "debug", "dict", "joiner", "namespace", "range"):
        made.remove_global(name)
    return made


# Without any of ours, for what ours stand in front of.
_PLAIN = minijinja.Environment(debug=False, undefined_behavior="strict", pycompat=False)
# One for the process: it is only read after this line, and MiniJinja locks it for each call.
_ENVIRONMENT = _environment()
