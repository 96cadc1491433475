"""
A fault of our own, or a value that nobody foresaw, in one thing: it alone is set apart, all others go on (I22, PR10).

What the services and the state refuse has its own errors and its own ways; this is for everything else.
"""

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from syncd import errors

K = TypeVar("K")
R = TypeVar("R")


def apart(keys: Sequence[K], do: Callable[[Sequence[K]], R], trip: Callable[[K, Exception], None]) -> list[R]:
    """
    Do something to all keys together; when that trips, to each half, until the culprits are alone.

    Costs nothing while nothing trips.

    Args:
        do: changes nothing but what it returns: it is called again with parts of the keys.
        trip: told each key that trips by itself.

    Returns:
        What `do` returned for the parts that went well, in the order of the keys.

    Raises:
        SyncdError: no fault of one key; nothing was tried again.
    """
    if not keys:
        return []
    try:
        return [do(keys)]
    except errors.SyncdError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the others; `trip` keeps and shows it
        if len(keys) == 1:
            trip(keys[0], error)
            return []
    half = len(keys) // 2
    return [*apart(keys[:half], do, trip), *apart(keys[half:], do, trip)]


def told(error: BaseException) -> str:
    """The fault in a sentence for people: its kind and its place, never a value."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"syncd itself failed on it ({type(error).__name__}{place}); the log says where, please report it"


def trace(error: BaseException) -> str:
    """The way to the fault for the log, innermost first: places only, because a message may quote a cell (I30)."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
