"""Who moved since both sides last agreed, for one field. SPEC section 3, "Per field"."""

from enum import Enum

from syncd.model.value import Unknown, Value


class Moved(Enum):
    """Which side no longer holds what both had in common."""

    NOBODY = "nobody"  # the sides are equal
    AIRTABLE = "airtable"
    BITBUCKET = "bitbucket"
    BOTH = "both"
    FIRST_CONTACT = "first contact"  # they differ and never agreed


def moved(agreed: Value | Unknown, airtable: Value, bitbucket: Value) -> Moved:
    """
    Say which side moved since both last agreed, for one field.

    Args:
        agreed: what both sides held after the last run; `UNKNOWN` if they never agreed.
        airtable: what Airtable holds now, normalised (`model.value`).
        bitbucket: what Bitbucket holds now, normalised.

    Returns:
        One answer for every triple of values; never raises.
    """
    # Equal sides agree whatever was agreed before: two people who made the same edit are not in conflict.
    if airtable == bitbucket:
        return Moved.NOBODY
    if isinstance(agreed, Unknown):
        return Moved.FIRST_CONTACT
    # From here the sides differ, so at most one of them can still hold the agreed value.
    if airtable == agreed:
        return Moved.BITBUCKET
    if bitbucket == agreed:
        return Moved.AIRTABLE
    return Moved.BOTH
