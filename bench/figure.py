"""One measured figure beside its limit, and the table of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Bound(Enum):
    """On which side of its limit a figure should be."""

    AT_MOST = "≤"
    AT_LEAST = "≥"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """
    One row.

    Args:
        name: what is measured, in the words of the list of figures.
        measured: in the unit of `limit`.
        limit: what is to be reached.
        unit: "" for a plain ratio.
        note: how the number came about, for people.
    """

    name: str
    measured: float
    bound: Bound
    limit: float
    unit: str = ""
    note: str = ""

    @property
    def ratio(self) -> float:
        """Measured per limit: with AT_MOST good up to 1, with AT_LEAST good from 1 on."""
        return self.measured / self.limit

    @property
    def holds(self) -> bool:
        """Whether the figure is on the right side of its limit."""
        return self.measured <= self.limit if self.bound is Bound.AT_MOST else self.measured >= self.limit


HEADINGS = ("figure", "measured", "limit", "ratio", "verdict", "how")


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table, so that a terminal and a page both can show it."""
    rows = [HEADINGS, *(_row(one) for one in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _row(one: Figure) -> tuple[str, ...]:
    unit = f" {one.unit}" if one.unit else ""
    return (
        one.name,
        _number(one.measured) + unit,
        f"{one.bound.value} {_number(one.limit)}{unit}",
        f"{one.ratio:.2f}",
        "holds" if one.holds else "MISSES",
        one.note,
    )


def _number(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 or number == int(number) else f"{number:.3g}"
