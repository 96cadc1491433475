"""
Key path → line and column in a TOML text. tomllib keeps no positions, so this reads the same text once more.

It runs before tomllib and bounds what that parser is given: tomllib needs seconds for a dotted key of 20,000 parts and
recurses into nested arrays (reference/reliability.md SP08). On a text that tomllib refuses, `places` raises or returns
what it likes; only `DepthError` is a verdict.
"""

import re
import tomllib
from typing import NamedTuple

# Our own schema needs seven: sync.NAME.actions.NAME.create_branch.from, and one more inside an array.
DEPTH_MAX = 16

Path = tuple[str | int, ...]


class Place(NamedTuple):
    """Where a key, a table header or an array element begins; both count from 1, in characters."""

    line: int
    column: int


class DepthError(ValueError):
    """A key with too many parts, or values nested too deeply. `place` is where it begins."""

    def __init__(self, place: Place) -> None:
        super().__init__(f"more than {DEPTH_MAX} levels at line {place.line}, column {place.column}")
        self.place = place


_BLANK = re.compile(r"[ \t]*")
_FILLER = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]}#\n]+")


def places(text: str) -> dict[Path, Place]:
    """
    Find every key, table and array element of a TOML document.

    Args:
        text: a document that tomllib accepts; see the module's first lines for others.

    Returns:
        Path → place. A key's place is its last part; an array element's place is its value; a table that several
        headers name has the first one's place.

    Raises:
        DepthError: a key has more than `DEPTH_MAX` parts, or values are nested deeper than that.
        ValueError: the text is not TOML.
    """
    return _Scanner(text).document()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line_at = 0
        self.line = 1
        self.found: dict[Path, Place] = {}
        self.array_sizes: dict[Path, int] = {}

    def document(self) -> dict[Path, Place]:
        table: Path = ()
        while True:
            self._skip(_FILLER)
            if self.at >= len(self.text):
                return self.found
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._assignment(table, depth=1)

    def _header(self) -> Path:
        is_element = self.text.startswith("[[", self.at)
        self.at += 2 if is_element else 1
        parts = self._key()
        self._expect("]]" if is_element else "]")
        path: Path = ()
        for name, place in parts[:-1]:
            path = self._open((*path, name), place)
        name, place = parts[-1]
        path = (*path, name)
        if not is_element:
            return self._open(path, place)
        self.found.setdefault(path, place)
        index = self.array_sizes.get(path, 0)
        self.array_sizes[path] = index + 1
        self.found[(*path, index)] = place
        return (*path, index)

    def _open(self, path: Path, place: Place) -> Path:
        """A header's table; inside an array of tables, its newest element (TOML 1.0 "Array of Tables")."""
        self.found.setdefault(path, place)
        return (*path, self.array_sizes[path] - 1) if path in self.array_sizes else path

    def _assignment(self, table: Path, *, depth: int) -> None:
        path = table
        for name, place in self._key():
            path = (*path, name)
            self.found.setdefault(path, place)
        self._expect("=")
        self._skip(_BLANK)
        self._value(path, depth=depth)

    def _value(self, path: Path, *, depth: int) -> None:
        opener = self.text[self.at : self.at + 1]
        if opener in ("[", "{") and depth > DEPTH_MAX:
            raise DepthError(self._here())
        if opener == "[":
            self._members(path, "]", depth=depth)
        elif opener == "{":
            self._members(path, "}", depth=depth)
        elif opener in ('"', "'"):
            self._skip(_STRING)
        else:
            self._skip(_PLAIN)

    def _members(self, path: Path, closer: str, *, depth: int) -> None:
        self.at += 1
        index = 0
        while True:
            self._skip(_FILLER)
            if self.text.startswith(closer, self.at):
                self.at += 1
                return
            if closer == "]":
                self.found[(*path, index)] = self._here()
                self._value((*path, index), depth=depth + 1)
                index += 1
            else:
                self._assignment(path, depth=depth + 1)
            self._skip(_FILLER)
            if self.text.startswith(",", self.at):
                self.at += 1

    def _key(self) -> list[tuple[str, Place]]:
        parts: list[tuple[str, Place]] = []
        while True:
            self._skip(_BLANK)
            place = self._here()
            if len(parts) >= DEPTH_MAX:
                raise DepthError(parts[0][1])
            begin = self.at
            if self.text[begin : begin + 1] in ('"', "'"):
                self._skip(_STRING)
                parts.append((_unquote(self.text[begin : self.at]), place))
            else:
                self._skip(_BARE)
                parts.append((self.text[begin : self.at], place))
            self._skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def _expect(self, token: str) -> None:
        self._skip(_BLANK)
        if not self.text.startswith(token, self.at):
            raise ValueError(f"expected {token!r} at line {self._here().line}")
        self.at += len(token)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"not TOML at line {self._here().line}")
        self.at = match.end()

    def _here(self) -> Place:
        """The place of `at`. Lines are counted onwards from the last question, so that a scan stays linear."""
        newlines = self.text.count("\n", self.line_at, self.at)
        if newlines:
            self.line += newlines
            self.line_at = self.text.rindex("\n", self.line_at, self.at) + 1
        return Place(self.line, self.at - self.line_at + 1)


def _unquote(quoted: str) -> str:
    if "\\" not in quoted:
        return quoted[1:-1]
    decoded: str = tomllib.loads(f"key = {quoted}")["key"]
    return decoded
