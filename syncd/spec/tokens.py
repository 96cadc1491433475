"""The words of an expression, and the expressions inside a template. Reads only what MiniJinja has parsed before."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"\s*(?:(?P<string>\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')|(?P<name>[^\W\d]\w*)"
    r"|(?P<number>0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<sign>==|!=|<=|>=|//|\*\*|[^\s\w]))",
    re.DOTALL,
)
_OPENING = re.compile(r"\{([{%#])[-+]?")
_CLOSING = {"{": re.compile(r"\s*[-+]?\}\}"), "%": re.compile(r"\s*[-+]?%\}")}


@dataclass(frozen=True, slots=True)
class Token:
    """One word of an expression; `kind` is string, number, name or sign."""

    kind: str
    text: str


def words(source: str) -> Iterator[Token]:
    """Every word of an expression, in order."""
    for match in _TOKEN.finditer(source):
        kind = match.lastgroup or "sign"
        yield Token(kind, match[kind])


def segments(source: str) -> Iterator[tuple[bool, list[Token]]]:
    """
    Every `{{ … }}` and `{% … %}` of a template, as (is a statement, its words); comments and text left out.

    As MiniJinja does it, an end counts only outside of brackets: the first `}}` of `{{ {"a": {}} }}` is none.
    """
    at = 0
    while opening := _OPENING.search(source, at):
        kind, at = opening[1], opening.end()
        if kind == "#":
            end = source.find("#}", at)
            at = len(source) if end < 0 else end + 2
            continue
        found, at = _until(_CLOSING[kind], source, at)
        yield kind == "%", found


def _until(closing: re.Pattern[str], source: str, at: int) -> tuple[list[Token], int]:
    """The words from `at` to the end that `closing` describes, and where that ends."""
    found: list[Token] = []
    depth = 0
    while match := _TOKEN.match(source, at):
        if depth <= 0 and (end := closing.match(source, at)):
            return found, end.end()
        kind = match.lastgroup or "sign"
        found.append(Token(kind, match[kind]))
        if kind == "sign":
            depth += (match[kind] in "([{") - (match[kind] in ")]}")
        at = match.end()
    return found, len(source)


def unquote(quoted: str) -> str:
    """The text of a string token. MiniJinja's escapes are those of JSON, which Python's literals read alike."""
    try:
        decoded = ast.literal_eval(quoted.replace("\n", "\\n"))
    except (SyntaxError, ValueError):
        return quoted[1:-1]
    return str(decoded)
