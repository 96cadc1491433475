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
# Atomic groups: a text is one step, never tried again letter by letter.
_SEGMENT = re.compile(
    r"\{#.*?#\}|(?P<open>\{\{|\{%)[-+]?(?P<code>(?>\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|.)*?)[-+]?(?:\}\}|%\})",
    re.DOTALL,
)


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
    """Every `{{ … }}` and `{% … %}` of a template, as (is a statement, its words); comments and text left out."""
    for match in _SEGMENT.finditer(source):
        if match["open"]:
            yield match["open"] == "{%", list(words(match["code"]))


def unquote(quoted: str) -> str:
    """The text of a string token. MiniJinja's escapes are those of JSON, which Python's literals read alike."""
    try:
        decoded = ast.literal_eval(quoted.replace("\n", "\\n"))
    except (SyntaxError, ValueError):
        return quoted[1:-1]
    return str(decoded)
