"""Nearest valid names, for the sentence "Did you mean …?"."""

import difflib
from collections.abc import Iterable

# Longer lists of names are cut: a table may have 500 fields (reference/airtable.md 8.1).
NAMES_SHOWN_MAX = 15
# Nobody looks for a slip of the pen among more than those, and each comparison takes a while.
COMPARED_MAX = 500
_CHARACTERS_SHOWN_MAX = 80


def nearest(wrong: str, valid: Iterable[str]) -> str | None:
    """The valid name that looks most like the wrong one; None when none is close, or there are too many to look through."""
    names = sorted(valid, reverse=True)
    if len(names) > COMPARED_MAX:
        return None
    by_folded = {name.casefold(): name for name in names if len(name) <= _CHARACTERS_SHOWN_MAX}
    close = difflib.get_close_matches(wrong.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def listed(kind: str, wrong: str, valid: Iterable[str]) -> str:
    """`States: A, B. Did you mean "A"?`: what there is, and the closest of it."""
    names = list(valid)
    if not names:
        return f"{kind}: none."
    shown = ", ".join(map(_shortened, names[:NAMES_SHOWN_MAX]))
    rest = f" and {len(names) - NAMES_SHOWN_MAX} more" if len(names) > NAMES_SHOWN_MAX else ""
    return f"{kind}: {shown}{rest}.{did_you_mean(wrong, names)}"


def did_you_mean(wrong: str, valid: Iterable[str]) -> str:
    """` Did you mean "A"?`, or nothing."""
    close = nearest(wrong, valid)
    return f' Did you mean "{close}"?' if close is not None else ""


def _shortened(name: str) -> str:
    return name if len(name) <= _CHARACTERS_SHOWN_MAX else name[: _CHARACTERS_SHOWN_MAX - 1] + "…"
