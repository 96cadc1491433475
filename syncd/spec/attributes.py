"""
The attributes of work, one table: what expressions may read, what fields may be mapped to, what may be written.

SPEC section 2 "Attributes of work"; the closed sets of states are those of reference/bitbucket.md 6.3, 7.3 and 7.4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from syncd.model.work import List

Scalar = str | int | bool | list[str] | None


class Kind(Enum):
    """The type of an attribute; its value is how people are told."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    INSTANT = "instant"
    TEXTS = "list of texts"


# SPEC: "a missing primary has all its attributes, empty (numbers 0, booleans false, lists [], the rest null)".
EMPTY: Mapping[Kind, Scalar] = {
    Kind.TEXT: None,
    Kind.NUMBER: 0,
    Kind.BOOLEAN: False,
    Kind.INSTANT: None,
    Kind.TEXTS: [],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """
    One attribute of one kind of work.

    Args:
        name: with its primary, e.g. "pr.title".
        writable: syncd may write it to Bitbucket.
        required: Bitbucket never lets it be empty, so it is never emptied.
        values: every value it can have, for closed sets; () otherwise.
    """

    name: str
    kind: Kind
    writable: bool = False
    required: bool = False
    values: tuple[str, ...] = ()

    @property
    def primary(self) -> str:
        """The primary it belongs to, e.g. "pr"."""
        return self.name.partition(".")[0]

    @property
    def key(self) -> str:
        """Its name on an element of the list, e.g. "title"."""
        return self.name.partition(".")[2]


# The primary's name in expressions → the list it is the first of.
PRIMARIES: Mapping[str, List] = {
    "pr": List.PULL_REQUESTS,
    "branch": List.BRANCHES,
    "commit": List.COMMITS,
    "build": List.BUILDS,
    "deployment": List.DEPLOYMENTS,
}

_TEXTS = {
    "pr": "repository url title description state author source_branch destination_branch source_commit merge_commit closed_by reason",
    "branch": "name repository url target_commit author",
    "commit": "hash repository url message author",
    "build": "key name state url commit",
    "deployment": "environment environment_type state commit release url",
}
_OTHERS = {
    Kind.NUMBER: ("pr.id", "pr.approvals", "pr.comment_count", "pr.open_tasks"),
    Kind.BOOLEAN: ("pr.queued", "pr.draft", "branch.ahead"),
    Kind.TEXTS: ("pr.reviewers", "pr.approved_by", "pr.changes_requested_by"),
    Kind.INSTANT: (
        "pr.created_on",
        "pr.updated_on",
        "pr.merged_on",
        "branch.target_on",
        "commit.date",
        "build.updated_on",
        "deployment.completed_on",
    ),
}
_WRITABLE = frozenset({"pr.title", "pr.description", "pr.reviewers", "pr.destination_branch", "pr.draft"})
_REQUIRED = frozenset({"pr.title", "pr.destination_branch"})
_VALUES = {
    "pr.state": ("OPEN", "MERGED", "DECLINED", "SUPERSEDED"),
    "build.state": ("SUCCESSFUL", "FAILED", "INPROGRESS", "STOPPED"),
    "deployment.state": ("UNDEPLOYED", "IN_PROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"),
    "deployment.environment_type": ("Test", "Staging", "Production"),
}


def _table() -> dict[str, Attribute]:
    kinds = {f"{primary}.{key}": Kind.TEXT for primary, keys in _TEXTS.items() for key in keys.split()}
    kinds |= {name: kind for kind, names in _OTHERS.items() for name in names}
    return {
        name: Attribute(
            name=name, kind=kind, writable=name in _WRITABLE, required=name in _REQUIRED, values=_VALUES.get(name, ())
        )
        for name, kind in sorted(kinds.items())
    }


ATTRIBUTES: Mapping[str, Attribute] = _table()
# Named by SPEC, but nothing fetches them yet.
NOT_YET: frozenset[str] = frozenset({"pr.source_commit_full", "pr.merge_commit_full"})

# List → key → attribute: what a quantifier over that list may name.
BY_LIST: Mapping[List, Mapping[str, Attribute]] = {
    members: {entry.key: entry for entry in ATTRIBUTES.values() if entry.primary == primary}
    for primary, members in PRIMARIES.items()
}


_EMPTY_ELEMENTS: Mapping[List, Mapping[str, Any]] = {
    members: {key: EMPTY[entry.kind] for key, entry in attributes.items()} for members, attributes in BY_LIST.items()
}


def empty_element(members: List) -> dict[str, Any]:
    """A missing primary of that list: all its attributes, empty. Its empty lists are shared: nobody adds to them."""
    return dict(_EMPTY_ELEMENTS[members])
