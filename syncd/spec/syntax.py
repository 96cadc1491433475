"""
What an expression or template uses, found without running it, and everything in it that is refused.

MiniJinja tells free names, but not `record["Field name"]`, keyword arguments or method calls; and Python's methods are
reachable from it (`prs.clear()` would empty our list). So its tokens are read here, and the grammar is closed: our
quantifiers, listed filters and tests, no methods (reference/reliability.md SP13).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from syncd.model.work import List
from syncd.spec import growth
from syncd.spec.attributes import ATTRIBUTES, BY_LIST, NOT_YET, PRIMARIES, Attribute, Kind
from syncd.spec.nearest import did_you_mean, listed
from syncd.spec.tokens import Token, segments, unquote, words

LISTS = {members.value: members for members in List}
TEXTS = ("record_id", "name", "status", "today", "now")
NAMES = ("record", *TEXTS, *LISTS, *(name for name in PRIMARIES if name != "commit"))
ISSUES_RETIRED = "Bitbucket removed its issue tracker in August 2026"
QUANTIFIERS = ("any", "all", "count", "where")
FILTERS = frozenset(
    {
        "abs",
        "bool",
        "capitalize",
        "date",
        "default",
        "first",
        "float",
        "int",
        "join",
        "last",
        "length",
        "list",
        "lower",
        "map",
        "max",
        "min",
        "replace",
        "reverse",
        "round",
        "slug",
        "sort",
        "split",
        "string",
        "strip_prefix",
        "sum",
        "title",
        "trim",
        "truncate_bytes",
        "unique",
        "upper",
    }
)
TESTS = frozenset(
    {
        "defined",
        "divisibleby",
        "endingwith",
        "even",
        "false",
        "in",
        "lower",
        "none",
        "number",
        "odd",
        "startingwith",
        "string",
        "true",
        "upper",
    }
)
STATEMENTS = frozenset({"elif", "else", "endfor", "endif", "for", "if", "set"})

# Of one expression; what follows is most likely wrong for the same reason.
PROBLEMS_MAX = 20

_KEYWORDS = frozenset(
    {"False", "None", "True", "and", "elif", "else", "false", "if", "in", "is", "none", "not", "or", "true"}
)
_COMPARISONS = frozenset({"<", "<=", ">", ">="})
_ENDS = frozenset({"", "and", "or", "if", "else", ")"})
_BEGINS = frozenset({"", "and", "or", "not", "if", "else", "("})


@dataclass(frozen=True, slots=True)
class Moment:
    """`now` or `today` compared with something: `path` is its dotted name, or None for the written-out `literal`."""

    name: str
    path: tuple[str, str] | None
    literal: str


@dataclass(slots=True)
class Usage:
    """
    What the tokens use.

    Args:
        open_clock: `now` or `today`, where they stand in another form than a plain comparison.
        bound: names that the template itself makes.
        factors: fields of the record that are multiplied, so must be numbers.
    """

    names: set[str] = field(default_factory=set)
    roots: set[str] = field(default_factory=set)
    record_fields: set[str] = field(default_factory=set)
    states: set[str] = field(default_factory=set)
    moments: list[Moment] = field(default_factory=list)
    open_clock: set[str] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)
    factors: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


def read_expression(source: str) -> Usage:
    """What a single expression uses; MiniJinja must have parsed it already."""
    usage = Usage()
    _Reader(usage, {}).read(list(words(source)))
    return usage


def read_template(source: str) -> Usage:
    """What a template uses; MiniJinja must have parsed it already."""
    usage = Usage()
    statements = list(segments(source))
    local: dict[str, List | None] = {"loop": None}
    for is_statement, tokens in statements:
        if is_statement:
            _bind(tokens, local, usage)
    usage.bound |= local.keys()
    reader = _Reader(usage, local)
    for is_statement, tokens in statements:
        reader.read(_body(tokens) if is_statement else tokens)
    return usage


def _bind(tokens: Sequence[Token], local: dict[str, List | None], usage: Usage) -> None:
    """Note the names that a statement makes, with the list they run over where that is plain."""
    verb = tokens[0].text if tokens else ""
    if verb not in STATEMENTS:
        usage.problems.append(
            f"statement `{verb}` is not part of the language. {listed('Statements', verb, sorted(STATEMENTS))}"
        )
        return
    picked = _body(list(tokens))
    if verb == "set":
        made = [tokens[1].text]
        members = None
    elif verb == "for":
        split = next((index for index, token in enumerate(tokens) if token.text == "in"), len(tokens))
        made = [token.text for token in tokens[1:split] if token.kind == "name"]
        members = LISTS.get(tokens[split + 1].text) if len(tokens) == split + 2 else None
        # The condition picks among what is there.
        picked = picked[: next((at for at, token in enumerate(picked) if token.text == "if"), len(picked))]
    else:
        return
    if growth.made_not_picked(picked):
        usage.problems.append(
            f"`{verb}` names what is there already; put texts and lists together where they are written"
        )
    for name in made:
        if name in NAMES or name in QUANTIFIERS:
            usage.problems.append(f"`{name}` has a meaning already; call it something else")
        local[name] = members


def _body(tokens: list[Token]) -> list[Token]:
    """The expression inside a statement."""
    verb = tokens[0].text if tokens else ""
    if verb == "set":
        return tokens[3:]
    if verb == "for":
        split = next((index for index, token in enumerate(tokens) if token.text == "in"), len(tokens))
        return tokens[split + 1 :]
    return tokens[1:]


class _Reader:
    """Reads one run of tokens after the other into one `Usage`."""

    def __init__(self, usage: Usage, local: dict[str, List | None]) -> None:
        self.usage = usage
        self.local = local
        self.tokens: list[Token] = []

    def read(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        products = growth.Products(tokens, self.local)
        self.usage.factors |= products.fields
        for problem in (*growth.too_much(tokens), *products.problems):
            self._refuse(problem)
        for index, token in enumerate(tokens):
            if len(self.usage.problems) >= PROBLEMS_MAX:
                return
            before, after = self._text(index - 1), self._text(index + 1)
            if token.kind == "name":
                self._name(index, token.text, before, after)
            elif after == "(" and (token.kind != "sign" or token.text in (")", "]", "}")):
                self._refuse("the outcome of an expression cannot be called")
            elif token.text in ("]", ")") and after == "." and self._kind(index + 2) == "name":
                self._element_attribute(self._text(index + 2))

    def _text(self, index: int) -> str:
        if not 0 <= index < len(self.tokens):
            return ""
        token = self.tokens[index]
        # A string that reads "and" is no keyword.
        return token.text if token.kind != "string" else '"'

    def _kind(self, index: int) -> str:
        return self.tokens[index].kind if 0 <= index < len(self.tokens) else ""

    def _literal(self, index: int) -> str:
        return unquote(self.tokens[index].text)

    def _refuse(self, problem: str) -> None:
        if problem not in self.usage.problems:
            self.usage.problems.append(problem)

    def _name(self, index: int, name: str, before: str, after: str) -> None:
        if before == ".":
            if after == "(":
                self._refuse(f"`.{name}(…)`: methods cannot be called; use a filter")
            elif self._kind(index - 2) in ("string", "number") or self._text(index - 3) == ".":
                self._refuse(f"`.{name}`: a value has no attributes")
        elif before == "|":
            if name not in FILTERS:
                self._refuse(f"no filter `{name}`.{did_you_mean(name, FILTERS)}")
            elif name == "map" and (
                after != "(" or self._text(index + 2) != "attribute" or self._text(index + 3) != "="
            ):
                # By name, as a text, it would reach filters that are not of the language.
                self._refuse('`map` takes an attribute: map(attribute="state")')
        elif before == "is" or (before == "not" and self._text(index - 2) == "is"):
            if name not in TESTS and name != "not":
                self._refuse(f"no test `{name}`.{did_you_mean(name, TESTS)}")
        elif name in _KEYWORDS:
            return
        elif after == "(":
            self._call(index, name)
        elif after == "=" and before in ("(", ","):
            if name == "attribute" and self._kind(index + 2) == "string":
                self._element_attribute(self._literal(index + 2))
        else:
            self._root(index, name, after)

    def _root(self, index: int, name: str, after: str) -> None:
        if name in self.local:
            members = self.local[name]
            if members is not None and after == "." and self._kind(index + 2) == "name":
                self._attribute(members, self._text(index + 2))
            return
        if name in QUANTIFIERS:
            self._refuse(f"`{name}` is a question about a list: {name}(prs, …)")
            return
        if name == "issue":
            self._refuse(f"`issue` is retired: {ISSUES_RETIRED}")
            return
        if name not in NAMES:
            self._refuse(f"no name `{name}`. {listed('Names', name, NAMES)}")
            return
        self.usage.roots.add(name)
        member, end = self._member(index)
        if name == "record":
            if member is None:
                self._refuse('a field of the record is written out: record["Field name"]')
            else:
                self.usage.record_fields.add(member)
                self.usage.names.add(f"record.{member}")
        elif name in PRIMARIES:
            if member is None:
                self._refuse(
                    f"`{name}` always exists; ask any({PRIMARIES[name].value}), or name an attribute: {name}.url"
                )
            else:
                entry = self._attribute(PRIMARIES[name], member)
                if entry is not None:
                    self.usage.names.add(entry.name)
                    self._compared(index, end, entry)
        else:
            self.usage.names.add(name)
            if after == ".":
                wanted = (
                    "is a list; ask any(…), or name an attribute of the primary"
                    if name in LISTS
                    else "has no attributes"
                )
                self._refuse(f"`{name}.{self._text(index + 2)}`: `{name}` {wanted}")
        if name == "status":
            self.usage.states.update(self._literals_beside(index, end))
        if name in ("now", "today"):
            self._clock(index, name)

    def _member(self, index: int) -> tuple[str | None, int]:
        """What follows a root: `.name` or `["name"]`, and the index of the last token of it."""
        if self._text(index + 1) == "." and self._kind(index + 2) == "name":
            return self._text(index + 2), index + 2
        if self._text(index + 1) == "[" and self._kind(index + 2) == "string" and self._text(index + 3) == "]":
            return self._literal(index + 2), index + 3
        return None, index

    def _attribute(self, members: List, key: str) -> Attribute | None:
        known = BY_LIST[members]
        if key in known:
            return known[key]
        primary = next(name for name, found in PRIMARIES.items() if found is members)
        if f"{primary}.{key}" in NOT_YET:
            self._refuse(f"`{primary}.{key}` is not yet supported")
        else:
            self._refuse(f"{members.value} have no attribute `{key}`. {listed('Attributes', key, known)}")
        return None

    def _element_attribute(self, key: str) -> None:
        known = {entry.key for entry in ATTRIBUTES.values()}
        if key not in known:
            self._refuse(f"no work has an attribute `{key}`.{did_you_mean(key, known)}")

    def _compared(self, index: int, end: int, entry: Attribute) -> None:
        for literal in self._literals_beside(index, end):
            self._allowed(entry, literal)

    def _allowed(self, entry: Attribute, literal: str) -> None:
        if entry.values and literal not in entry.values:
            self._refuse(f'{entry.name} is never "{literal}". {listed("Values", literal, entry.values)}')

    def _literals_beside(self, begin: int, end: int) -> list[str]:
        """The texts that the name between both indexes is compared with by `==`, `!=` or `in [...]`."""
        found: list[str] = []
        if self._text(end + 1) in ("==", "!=") and self._kind(end + 2) == "string":
            found.append(self._literal(end + 2))
        if self._text(begin - 1) in ("==", "!=") and self._kind(begin - 2) == "string":
            found.append(self._literal(begin - 2))
        start = end + 2 if self._text(end + 1) == "not" else end + 1
        if self._text(start) == "in" and self._text(start + 1) in ("[", "("):
            at = start + 2
            while self._kind(at) == "string":
                found.append(self._literal(at))
                at += 2 if self._text(at + 1) == "," else 1
        return found

    def _call(self, index: int, name: str) -> None:
        if name == "in_view":
            self._refuse("`in_view(…)` is not yet supported")
            return
        if name not in QUANTIFIERS:
            self._refuse(f"no function `{name}`. {listed('Functions', name, QUANTIFIERS)}")
            return
        members = self._list_of(index + 2)
        if members is None:
            self._refuse(f"`{name}(…)` asks about one of the lists: {', '.join(LISTS)}")
            return
        for at, (key, values) in self._arguments(index + 1):
            if not key:
                self._refuse(f"`{name}({members.value}, …)`: argument {at} needs an attribute: name=value")
                continue
            entry = self._attribute(members, key)
            if entry is not None:
                self._matched(entry, values)

    def _list_of(self, index: int) -> List | None:
        """The list that the argument at `index` is, through nested `where(...)`."""
        while self._text(index) == "where" and self._text(index + 1) == "(":
            index += 2
        if self._kind(index) != "name" or self._text(index + 1) not in (",", ")"):
            return None
        name = self._text(index)
        return LISTS.get(name) or self.local.get(name)

    def _arguments(self, opening: int) -> Iterator[tuple[int, tuple[str, list[Token]]]]:
        """Every argument of a call after the first, as (number, (keyword or "", tokens of its value))."""
        depth, number, current = 0, 1, list[Token]()
        for token in self.tokens[opening:]:
            if token.kind == "sign" and token.text in "([{":
                depth += 1
            if token.kind == "sign" and token.text in ")]}":
                depth -= 1
            if depth == 0 or (depth == 1 and token.text == "," and token.kind == "sign"):
                if number > 1 and current:
                    named = len(current) > 1 and current[1].text == "="
                    yield number, (current[0].text, current[2:]) if named else ("", current)
                number, current = number + 1, []
                if depth == 0:
                    return
            elif depth > 1 or token.text != "(":
                current.append(token)

    def _matched(self, entry: Attribute, values: list[Token]) -> None:
        """A keyword of a quantifier against the attribute's type: a wrong one would never match, silently."""
        literals = [token for token in values if token.kind in ("string", "number") or token.text in ("true", "false")]
        plain = all(
            token.kind in ("string", "number") or token.text in ("true", "false", "[", "]", ",") for token in values
        )
        if not plain:
            return
        for token in literals:
            kind = {"string": (Kind.TEXT, Kind.TEXTS, Kind.INSTANT), "number": (Kind.NUMBER,)}.get(
                token.kind, (Kind.BOOLEAN,)
            )
            if entry.kind not in kind:
                self._refuse(f"{entry.name} is of type {entry.kind.value}; {token.text} never matches")
            elif token.kind == "string":
                self._allowed(entry, unquote(token.text))

    def _clock(self, index: int, name: str) -> None:
        """Note when `now` or `today` may change the outcome, if it is compared plainly with something."""
        moment = None
        if self._text(index + 1) in _COMPARISONS and self._text(index - 1) in _BEGINS:
            moment = self._operand_after(index + 2, name)
        elif self._text(index - 1) in _COMPARISONS and self._text(index + 1) in _ENDS:
            moment = self._operand_before(index - 2, name)
        if moment is None:
            self.usage.open_clock.add(name)
        elif moment.path is None and not _is_moment(moment.literal):
            self._refuse(f'"{moment.literal}" is no instant; write "2026-12-31" or "2026-12-31T12:00:00Z"')
        else:
            self.usage.moments.append(moment)

    def _operand_after(self, index: int, name: str) -> Moment | None:
        if self._kind(index) == "string":
            return Moment(name, None, self._literal(index)) if self._text(index + 1) in _ENDS else None
        member, end = self._member(index)
        if member is None or self._text(end + 1) not in _ENDS or not self._has_members(index):
            return None
        return Moment(name, (self._text(index), member), "")

    def _operand_before(self, index: int, name: str) -> Moment | None:
        if self._kind(index) == "string":
            return Moment(name, None, self._literal(index)) if self._text(index - 1) in _BEGINS else None
        begin = index - (3 if self._text(index) == "]" else 2)
        member, end = self._member(begin)
        if member is None or end != index or self._text(begin - 1) not in _BEGINS or not self._has_members(begin):
            return None
        return Moment(name, (self._text(begin), member), "")

    def _has_members(self, index: int) -> bool:
        """Whether the name there is one of a whole object: `status["x"]` may stand behind an `and` and never be asked."""
        return self._text(index) == "record" or self._text(index) in PRIMARIES


def _is_moment(literal: str) -> bool:
    try:
        datetime.fromisoformat(literal)
    except ValueError:
        return False
    return True
