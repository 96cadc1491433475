"""
What in an expression could make a text or list without end, found without running it (reference/reliability.md SP08, I36).

MiniJinja's fuel counts instructions, not what one of them makes. So a product is of numbers only, a name is given only to
what was picked and not to what was put together, and the pieces of one expression are counted. Filters bound themselves.
"""

from collections.abc import Iterator, Sequence

from syncd.model.work import List
from syncd.spec.attributes import BY_LIST, PRIMARIES, Kind
from syncd.spec.tokens import Token, unquote

# Far above any honest expression; each of them may copy the longest text there is.
JOINS_MAX = 100
LEAVES_MAX = 200
# A text in a list in a list is written with its quotes escaped, each time anew.
LIST_DEPTH_MAX = 3

_KEYWORDS = frozenset({"and", "or", "not", "if", "else", "elif", "in", "is", "for", "set"})
_MAKING = frozenset({"~", "+", "*", "**", "{"})
_NUMERIC = frozenset({"abs", "bool", "float", "int", "length", "round", "sum"})
_NUMERIC_CALLS = frozenset({"any", "all", "count"})
_PRODUCT = "`*` multiplies numbers only: a text or list would be repeated. Make it a number: (…) | int"


def too_much(tokens: Sequence[Token]) -> Iterator[str]:
    """Why one expression is put together from too much."""
    if sum(token.kind == "sign" and token.text in ("~", "+") for token in tokens) > JOINS_MAX:
        yield f"more than {JOINS_MAX} times `~` or `+`"
    names = (token.kind == "name" and not _is(tokens, at - 1, ".|") for at, token in enumerate(tokens))
    if sum(names) > LEAVES_MAX:
        yield f"more than {LEAVES_MAX} names"
    if _list_depth(tokens) > LIST_DEPTH_MAX:
        yield f"more than {LIST_DEPTH_MAX} lists inside each other"


def _list_depth(tokens: Sequence[Token]) -> int:
    """How deep lists, objects and tuples are written into each other."""
    # Of each open bracket: whether it makes a list, whether a comma would make it one, the deepest list inside.
    open_brackets: list[list[int]] = [[0, 0, 0]]
    for at, token in enumerate(tokens):
        if token.kind != "sign":
            continue
        if token.text in "([{":
            attached = _is_attached(tokens, at)
            open_brackets.append([int(token.text != "(" and not attached), int(token.text == "(" and not attached), 0])
        elif token.text == "," and open_brackets[-1][1]:
            open_brackets[-1][0] = 1
        elif token.text in ")]}" and len(open_brackets) > 1:
            is_list, _, inside = open_brackets.pop()
            open_brackets[-1][2] = max(open_brackets[-1][2], inside + is_list)
    return open_brackets[0][2]


def made_not_picked(tokens: Sequence[Token]) -> bool:
    """Whether what gets a name is put together there: doubled by every turn or statement, it would have no end."""
    for at, token in enumerate(tokens):
        if token.kind != "sign":
            continue
        if token.text in _MAKING:
            return True
        if token.text in "([" and not _is_attached(tokens, at):
            end = _closing(tokens, at)
            if token.text == "(" or any(_is_value(tokens[inside]) for inside in range(at + 1, end)):
                return True
    return False


def _is_value(token: Token) -> bool:
    return token.kind == "name" and token.text not in ("true", "false", "none")


class Products:
    """The factors of every `*` of an expression: `problems`, and the fields of the record whose type must be a number's."""

    def __init__(self, tokens: Sequence[Token], local: dict[str, List | None]) -> None:
        self._tokens = tokens
        self._local = local
        self.problems: list[str] = []
        self.fields: set[str] = set()
        for at, token in enumerate(tokens):
            if token.kind == "sign" and token.text == "*" and not (self._before(at - 1) and self._after(at + 1)):
                self.problems = [_PRODUCT]
                return

    def _before(self, end: int) -> bool:
        """Whether the operand that ends there is a number."""
        begin = end
        while begin > 0:
            if _is(self._tokens, begin, ")]"):
                begin = _opening(self._tokens, begin)
                if not _is_attached(self._tokens, begin):
                    break
            elif not _is(self._tokens, begin - 1, ".|"):
                break
            else:
                begin -= 1
            begin -= 1
        return self._is_number(begin, end)

    def _after(self, begin: int) -> bool:
        """Whether the operand that begins there is a number."""
        while _is(self._tokens, begin, "-+"):
            begin += 1
        end = begin if not _is(self._tokens, begin, "([") else _closing(self._tokens, begin)
        while end + 1 < len(self._tokens) and _is(self._tokens, end + 1, ".|(["):
            end = end + 2 if _is(self._tokens, end + 1, ".|") else _closing(self._tokens, end + 1)
        return self._is_number(begin, end)

    def _is_number(self, begin: int, end: int) -> bool:
        operand = self._tokens[begin : end + 1]
        if not operand:
            return False
        filters = [
            operand[at + 1].text
            for at, token in enumerate(operand[:-1])
            if token.kind == "sign" and token.text == "|" and _depth(operand, at) == 0
        ]
        if filters:
            return filters[-1] in _NUMERIC
        first = operand[0]
        if first.kind == "number" or first.text in ("true", "false"):
            return len(operand) == 1
        if _is(operand, 0, "("):
            return _closing(operand, 0) == len(operand) - 1 and self._adds_numbers(operand[1:-1])
        if first.kind != "name":
            return False
        if _is(operand, 1, "("):
            return first.text in _NUMERIC_CALLS and _closing(operand, 1) == len(operand) - 1
        return self._is_number_attribute(operand)

    def _is_number_attribute(self, operand: Sequence[Token]) -> bool:
        member = ""
        if len(operand) == 3 and _is(operand, 1, "."):
            member = operand[2].text
        elif len(operand) == 4 and _is(operand, 1, "[") and operand[2].kind == "string":
            member = unquote(operand[2].text)
        root = operand[0].text
        if root == "record" and member:
            # Its type is known when the table is.
            self.fields.add(member)
            return True
        members = PRIMARIES.get(root) or self._local.get(root)
        entry = BY_LIST[members].get(member) if members is not None else None
        return entry is not None and entry.kind in (Kind.NUMBER, Kind.BOOLEAN)

    def _adds_numbers(self, tokens: Sequence[Token]) -> bool:
        """Whether in parentheses nothing but numbers is reckoned with; conditions may compare whatever they like."""
        at = 0
        while at < len(tokens):
            if _is(tokens, at, "-+"):
                at += 1
                continue
            end = at if not _is(tokens, at, "([") else _closing(tokens, at)
            while end + 1 < len(tokens) and _is(tokens, end + 1, ".|(["):
                end = end + 2 if _is(tokens, end + 1, ".|") else _closing(tokens, end + 1)
            part = Products([], self._local)
            part._tokens = tokens
            if not part._is_number(at, end):
                return False
            self.fields |= part.fields
            at = end + 1
            if at < len(tokens) and tokens[at].text == "if":
                at = next((index for index in range(at, len(tokens)) if tokens[index].text == "else"), len(tokens))
            elif at < len(tokens) and tokens[at].text not in ("+", "-", "*", "/", "//", "%", "**"):
                return False
            at += 1
        return True


def _is(tokens: Sequence[Token], at: int, signs: str) -> bool:
    return 0 <= at < len(tokens) and tokens[at].kind == "sign" and tokens[at].text in signs


def _is_attached(tokens: Sequence[Token], at: int) -> bool:
    """Whether a bracket calls or subscribes what stands before it."""
    if at == 0:
        return False
    before = tokens[at - 1]
    if before.kind == "name":
        return before.text not in _KEYWORDS
    return before.kind == "string" or _is(tokens, at - 1, ")]")


def _closing(tokens: Sequence[Token], at: int) -> int:
    """The bracket that closes the one at `at`; the last token without one."""
    depth = 0
    for index in range(at, len(tokens)):
        depth += _is(tokens, index, "([{") - _is(tokens, index, ")]}")
        if depth == 0:
            return index
    return len(tokens) - 1


def _opening(tokens: Sequence[Token], at: int) -> int:
    depth = 0
    for index in range(at, -1, -1):
        depth += _is(tokens, index, ")]}") - _is(tokens, index, "([{")
        if depth == 0:
            return index
    return 0


def _depth(tokens: Sequence[Token], at: int) -> int:
    return sum(_is(tokens, index, "([{") - _is(tokens, index, ")]}") for index in range(at))
