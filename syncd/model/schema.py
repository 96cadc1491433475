"""An Airtable table as the schema call describes it, and a Bitbucket repository: what names are resolved against."""

from dataclasses import dataclass

from syncd.model.ids import BaseId, FieldId, RepositoryId, TableId, ViewId


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """
    One field of a table.

    Args:
        kind: the schema's type name, e.g. "singleSelect"; unknown ones occur (reference/airtable.md 4.2).
        choices: option names of selects, in order; () otherwise.
        precision: digits behind the point of number, percent and currency; None otherwise.
        result_kind: of formula, rollup and lookup: the type of their result; "" otherwise.
    """

    id: FieldId
    name: str
    kind: str
    choices: tuple[str, ...] = ()
    precision: int | None = None
    result_kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of a table; `kind` is "grid", "form", …"""

    id: ViewId
    name: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table with its fields and views, in the order of the schema."""

    base: BaseId
    id: TableId
    name: str
    primary: FieldId
    fields: tuple[Field, ...]
    views: tuple[View, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """
    One Bitbucket repository.

    Args:
        slug: the last segment of `full_name`; changes on a rename, unlike `id`.
        main_branch: "" when the repository is empty.
    """

    id: RepositoryId
    workspace: str
    slug: str
    name: str
    main_branch: str
    url: str = ""
