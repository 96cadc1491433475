"""The base, the workspace and the shortest spec that tests of this room share; SPEC section 2 has the same names."""

import json
from pathlib import Path

from syncd import errors
from syncd.model.ids import BaseId, FieldId, RepositoryId, TableId, ViewId
from syncd.model.schema import Field, Repository, Table, View
from syncd.spec import load, resolve

ROOT = Path(__file__).resolve().parents[2]
STATES = ("Planned", "Ready", "In Progress", "In Review", "Merged", "Released")
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Name": ("singleLineText", ()),
    "Details": ("multilineText", ()),
    "Status": ("singleSelect", STATES),
    "Repo": ("singleSelect", ("Web", "API")),
    "PR URL": ("url", ()),
    "PR state": ("singleSelect", ("Open", "Merged", "Declined", "Superseded")),
    "Last commit": ("singleLineText", ()),
    "Merged at": ("dateTime", ()),
    "Build": ("singleSelect", ("SUCCESSFUL", "FAILED", "INPROGRESS", "STOPPED")),
    "Confidence": ("number", ()),
    "Approved": ("checkbox", ()),
    "Due": ("date", ()),
    "Score": ("formula", ()),
    "Sync run": ("singleLineText", ()),
    "Sync state": ("singleLineText", ()),
    "Sync note": ("multilineText", ()),
    "Hold sync": ("checkbox", ()),
}


def field_id(name: str) -> FieldId:
    """The id of a field of `table()`: fld and its name, filled up."""
    return FieldId(("fld" + "".join(character for character in name if character.isalnum())).ljust(17, "0"))


def field(name: str, kind: str, choices: tuple[str, ...] = ()) -> Field:
    return Field(
        id=field_id(name), name=name, kind=kind, choices=choices, result_kind="number" if kind == "formula" else ""
    )


def table(*, extra: tuple[Field, ...] = (), without: tuple[str, ...] = ()) -> Table:
    """The table "Features"."""
    fields = tuple(field(name, *kind) for name, kind in KINDS.items() if name not in without)
    return Table(
        base=BaseId("appROADMAP0000001"),
        id=TableId("tblFEATURES000001"),
        name="Features",
        primary=field_id("Name"),
        fields=(*fields, *extra),
        views=(View(id=ViewId("viwENGINEERING001"), name="Engineering", kind="grid"),),
    )


def repository(slug: str) -> Repository:
    return Repository(id=RepositoryId(f"{{{slug}}}"), workspace="acme", slug=slug, name=slug, main_branch="main")


REPOSITORIES = tuple(repository(slug) for slug in ("web", "api", "docs"))

HEAD = """version = 1
[airtable.roadmap]
base = "appROADMAP0000001"
token = { env = "SYNCD_AIRTABLE_TOKEN" }
[bitbucket.acme]
workspace = "acme"
token = { env = "SYNCD_BITBUCKET_TOKEN" }
[[bitbucket.acme.sources]]
repositories = ["web"]
secret = { env = "SYNCD_HOOK_SECRET" }
"""
SYNC = """[sync.features]
airtable = { base = "roadmap", table = "Features" }
bitbucket = "acme"
[sync.features.link]
branch = "feature/{{ record_id }}"
"""


def loaded(folder: Path, text: str, environment: str = "") -> load.Spec:
    """The spec that this text is."""
    (folder / "syncd.toml").write_text(text, encoding="utf-8")
    return load.load(folder / "syncd.toml", environment)


def resolved(
    spec: load.Spec, *, remembered: dict[str, str] | None = None, tables: tuple[Table, ...] = ()
) -> resolve.Resolved:
    """The spec against the table and workspace of this module."""
    return resolve.resolve(
        spec, {"roadmap": tables or (table(),)}, {"acme": REPOSITORIES}, Path("/var/lib/syncd"), remembered
    )


def shown(problems: tuple[errors.Problem, ...], folder: Path) -> str:
    """Problems as people read them (STYLE section 9), with paths below `folder` shortened."""
    lines: list[str] = []
    for found in problems:
        file = found.file.removeprefix(f"{folder}/")
        place = f"{file}:{found.line}:{found.column}" if found.line else file
        got = f" = {found.got}" if found.got else ""
        lines.append(f"{place}  {found.key}{got}".rstrip() + ("  (warning)" if found.warning else ""))
        lines.append("    " + found.expected.replace(str(folder), "FOLDER"))
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A text as TOML writes it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
