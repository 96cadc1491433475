"""`python -m bench [NAME…]`: measure the named figures, or all of them, and print each beside its limit."""

import sys
from collections.abc import Callable, Mapping, Sequence

from bench import acks, calls, figure, plans, sweep
from bench.figure import Bound, Figure
from syncd import log


def _plans() -> list[Figure]:
    rows = plans.run()
    return [
        Figure(name=name, measured=measured, bound=Bound.AT_LEAST, limit=limit, unit=unit, note="one core")
        for name, measured, limit, unit in rows
    ]


ROWS: Mapping[str, Callable[[], Sequence[Figure]]] = {
    "plans": _plans,
    "calls": calls.run,
    "acks": acks.run,
    "sweep": sweep.run,
}


def main(names: Sequence[str]) -> int:
    """
    Measure and print. A figure that misses its limit is shown, not asserted: machines differ.

    Returns:
        The exit status: 2 for a name that is none.
    """
    unknown = sorted(set(names) - ROWS.keys())
    if unknown:
        print(f"no figure {', '.join(unknown)}; there are: {', '.join(ROWS)}", file=sys.stderr)
        return 2
    log.configure("error")
    found: list[Figure] = []
    for name in names or ROWS:
        print(f"measuring {name} …", file=sys.stderr)
        found += ROWS[name]()
    print(figure.table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
