"""Values as people may see them: nothing in a cell can move a cursor, turn text around or forge a line (DA02, DA03)."""

import json
import unicodedata
from typing import Any

WIDTH = 60
EMPTY = "(empty)"
# Control, format (bidi, zero-width), surrogate, private use, unassigned; line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def text(raw: object) -> str:
    """One line without a character that is invisible or has an effect; everything else as it is."""
    return "".join(_visible(character) for character in str(raw))


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    if character in _SHORT:
        return _SHORT[character]
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def value(raw: Any, start: int = 0) -> str:
    """
    A value of a plan or journal: texts in quotes, at most `WIDTH` characters of them.

    Args:
        start: the first character of a long text that matters; what is before it is left out.
    """
    if raw is None or raw in ("", []):
        return EMPTY
    if isinstance(raw, list) and all(isinstance(one, str) for one in raw):
        return ", ".join(value(one) for one in raw)
    if not isinstance(raw, str):
        return text(json.dumps(raw, ensure_ascii=False, sort_keys=True))
    start = max(0, min(start - 10, len(raw) - WIDTH)) if len(raw) > WIDTH else 0
    piece = raw[start : start + WIDTH]
    before = "…" if start else ""
    after = f"… ({len(raw)} characters)" if start + WIDTH < len(raw) else ""
    return f'{before}"{text(piece)}"{after}'


def change(before: Any, after: Any) -> str:
    """Old → new; of two long texts the part where they begin to differ."""
    start = 0
    if isinstance(before, str) and isinstance(after, str):
        start = next(
            (place for place, (old, new) in enumerate(zip(before, after, strict=False)) if old != new),
            min(len(before), len(after)),
        )
    return f"{value(before, start)} → {value(after, start)}"
