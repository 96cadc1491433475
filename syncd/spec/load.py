"""Files → a checked `Spec`, or every problem at once. Names of tables, fields and repositories stay names here."""

import hashlib
import types
import typing
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from syncd import errors
from syncd.spec import document as documents
from syncd.spec import lint, locate, nearest, schema
from syncd.spec.document import PROBLEMS_MAX
from syncd.spec.expression import ExpressionError, Template, parse_template
from syncd.spec.types import RECORD_NAMES

TEMPLATE_BYTES_MAX = 64 * 1024
_WANTED = {
    "string_type": "a text in quotes",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a table",
    "model_type": "a table",
    "list_type": "a list",
    "missing": "this key; it is required",
}
_PLACEHOLDERS: dict[str | int, Any] = {
    "airtable": {"base": "?", "table": "?"},
    "bitbucket": "?",
    "link": {"branch": "{{ record_id }}"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """
    A spec without problems, still with names.

    Args:
        file: the checked tables.
        document: the same as read, with the place of every key.
        templates: description templates by sync and action name.
        hash: of all files that take part; stands in every run and journal row.
        folder: where relative paths, of secrets too, start.
        warnings: what is allowed and still looks wrong.
    """

    file: schema.File
    document: documents.Document
    templates: Mapping[tuple[str, str], Template]
    hash: str
    folder: Path
    warnings: tuple[errors.Problem, ...] = ()


def load(path: Path, environment: str = "") -> Spec:
    """
    Read and check a spec.

    Args:
        path: a file, or a directory whose `*.toml` files are merged.
        environment: name of the overlay to lay over it; "" for none.

    Raises:
        SpecError: with every problem of every file, ordered by place.
    """
    document, problems = documents.read(path, environment)
    if not document.tree and problems:
        raise errors.SpecError(tuple(problems))
    file, shape_problems = _validate(document)
    problems += shape_problems
    templates: dict[tuple[str, str], Template] = {}
    warnings: list[errors.Problem] = []
    # With problems of shape, what is left without the wrong parts is checked all the same: all errors at once.
    checked, cut = (file, set[str]()) if file is not None else _remainder(document)
    if checked is not None:
        templates = _templates(checked, document, problems)
        for problem in lint.check(checked, document, templates):
            if not _speaks_of(problem.key, cut):
                (warnings if problem.warning else problems).append(problem)
            if max(len(problems), len(warnings)) >= PROBLEMS_MAX:
                break
    if problems or file is None:
        raise errors.SpecError(_shortened(ordered(problems), document))
    return Spec(
        file=file,
        document=document,
        templates=templates,
        hash=_hash(document, templates),
        folder=document.folder,
        warnings=ordered(warnings),
    )


def ordered(problems: Iterable[errors.Problem]) -> tuple[errors.Problem, ...]:
    """By file, line and column, each once."""
    return tuple(
        sorted(set(problems), key=lambda found: (found.file, found.line, found.column, found.key, found.expected))
    )


def _shortened(problems: tuple[errors.Problem, ...], document: documents.Document) -> tuple[errors.Problem, ...]:
    """The first of very many, and a word about the rest."""
    if len(problems) < PROBLEMS_MAX:
        return problems
    rest = errors.Problem(
        file=document.default_file,
        line=0,
        column=0,
        key="",
        got="",
        expected=f"fewer problems: after {PROBLEMS_MAX} of them syncd looks no further",
    )
    return (*problems[:PROBLEMS_MAX], rest)


def _speaks_of(key: str, cut: set[str]) -> bool:
    """Whether a key is one that was cut out, or below one."""
    ends = [index for index, character in enumerate(key) if character in ".["]
    return key in cut or any(key[:end] in cut for end in ends)


def _hash(document: documents.Document, templates: Mapping[tuple[str, str], Template]) -> str:
    digest = hashlib.sha256(document.hash.encode())
    for key in sorted(templates):
        digest.update(repr((key, templates[key].source)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _validate(document: documents.Document) -> tuple[schema.File | None, list[errors.Problem]]:
    try:
        return schema.File.model_validate(document.tree), []
    except ValidationError as exc:
        found = exc.errors(include_url=False, include_input=False)
        return None, [
            problem
            for error in found[:PROBLEMS_MAX]
            for problem in _problems(document, error["type"], tuple(error["loc"]), error)
        ]


def _problems(
    document: documents.Document, kind: str, loc: locate.Path, error: Mapping[str, Any]
) -> list[errors.Problem]:
    """One error of pydantic in our words; an expression may have several problems, a line each."""
    path = tuple(part for part in loc if part != "[key]")
    context = error.get("ctx", {})
    if kind == "extra_forbidden":
        return [document.problem(path, _unknown_key(path), show=False)]
    if kind == "missing" and path == ("version",):
        return [document.problem(path, "version = 1 at the top of the file", show=False)]
    if kind == "literal_error":
        choices = [str(choice).strip("'") for choice in context["expected"].replace(" or ", ", ").split(", ")]
        got = document.at(path)
        return [document.problem(path, nearest.listed("one of", got if isinstance(got, str) else "", choices))]
    if kind == "expected":
        return [document.problem(path, line) for line in context["expected"].splitlines()]
    if kind == "greater_than_equal":
        return [document.problem(path, f"a whole number, {context['ge']} or more")]
    if kind in _WANTED:
        return [document.problem(path, _WANTED[kind], show=kind != "missing")]
    # Other bounds: pydantic's sentence names the bound and not the input.
    return [document.problem(path, str(error["msg"][:1].lower() + error["msg"][1:]))]


def _unknown_key(path: locate.Path) -> str:
    model = _model_at(path[:-1])
    key = str(path[-1])
    if model is None:
        return "no key here"
    if key in schema.NOT_YET.get(model.__name__, ()):
        return "not yet supported by this version; leave it out"
    known = [info.alias or name for name, info in model.model_fields.items()]
    return f"no such key. {nearest.listed('Keys', key, known)}"


def _model_at(path: locate.Path) -> type[BaseModel] | None:
    """The model that describes the table at `path`."""
    here: Any = schema.File
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            found = [info for name, info in here.model_fields.items() if part in (name, info.alias)]
            here = _bare(found[0].annotation) if found else None
        else:
            here = _bare(typing.get_args(here)[-1]) if typing.get_args(here) else None
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _bare(annotation: Any) -> Any:
    """An annotation without `Annotated` and `| None`."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return _bare(next(part for part in typing.get_args(annotation) if part is not type(None)))
    return annotation


def _remainder(document: documents.Document) -> tuple[schema.File | None, set[str]]:
    """
    The spec without the parts that have problems of shape, and the keys of what was cut out.

    What a sync cannot be without is replaced by a placeholder. None when nothing is left that makes sense.
    """
    tree = deepcopy(document.tree)
    tree["version"] = 1
    cut_keys: set[str] = set()
    # A cut may leave its table without something required, which then goes too: at most once per level.
    for _ in range(locate.DEPTH_MAX):
        try:
            return schema.File.model_validate(tree), cut_keys
        except ValidationError as exc:
            found = exc.errors(include_url=False, include_input=False)
            cuts = {_unit(tuple(error["loc"]), error["type"]) for error in found}
            cut_keys |= {documents.key_of(cut) for cut in cuts}
            # Highest index first, so that the others keep theirs.
            for cut in sorted(cuts, key=lambda path: [str(part).zfill(6) for part in path], reverse=True):
                _cut(tree, cut)
    return None, cut_keys


def _unit(loc: locate.Path, kind: str) -> locate.Path:
    """The smallest part whose absence makes no new problem."""
    if kind == "extra_forbidden":
        return loc
    own = 0 if kind == "missing" else 1
    if loc[:1] != ("sync",):
        return loc[:2] if loc[:1] in (("airtable",), ("bitbucket",)) else loc[:1]
    if len(loc) < 3 or loc[2] in _PLACEHOLDERS:
        return loc[:3]
    if loc[2] == "fields":
        # Without its attribute or expression a field means something else.
        return loc[:4] if len(loc) > 4 and loc[4] in ("bitbucket", "value") else loc[: 4 + own]
    if loc[2:4] == ("status", "transitions") and len(loc) > 4:
        return loc[: 5 + own]
    return loc[:4] if loc[2] == "actions" else loc[: 3 + own]


def _cut(tree: Any, path: locate.Path) -> None:
    for part in path[:-1]:
        try:
            tree = tree[part]
        except (KeyError, IndexError, TypeError):
            return
    if len(path) == 3 and path[0] == "sync" and path[2] in _PLACEHOLDERS and isinstance(tree, dict):
        tree[path[2]] = _PLACEHOLDERS[path[2]]
    elif isinstance(tree, dict):
        tree.pop(path[-1], None)
    elif isinstance(tree, list) and isinstance(path[-1], int) and path[-1] < len(tree):
        del tree[path[-1]]


def _templates(
    file: schema.File, document: documents.Document, problems: list[errors.Problem]
) -> dict[tuple[str, str], Template]:
    """Every description template, read and parsed; a template is found beside the spec and nowhere above it."""
    found: dict[tuple[str, str], Template] = {}
    # Each file once, however many actions name it.
    read: dict[str, Template | str] = {}
    for sync_name, sync in file.sync.items():
        for name, action in sync.actions.items():
            made = action.create_pull_request
            if made is None or made.description_file is None:
                continue
            path: locate.Path = ("sync", sync_name, "actions", name, "create_pull_request", "description_file")
            name_of_file = made.description_file
            if name_of_file not in read:
                read[name_of_file] = _template(document.folder, name_of_file)
            template = read[name_of_file]
            if isinstance(template, Template):
                found[sync_name, name] = template
            else:
                problems.append(document.problem(path, template))
    return found


def _template(folder: Path, name: str) -> Template | str:
    """The parsed template, or what was expected instead."""
    try:
        return parse_template(_template_text(folder, name), RECORD_NAMES)
    except ExpressionError as exc:
        return f"a template without errors: {'; '.join(exc.problems)}"
    except OSError as exc:
        reason = (exc.strerror or type(exc).__name__).lower()
    except (ValueError, RuntimeError) as exc:
        # The second: pathlib's word for links that lead in a circle.
        reason = str(exc)
    return f"a text file below {folder}: {reason}"


def _template_text(folder: Path, name: str) -> str:
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise ValueError("it lies outside of the spec's folder")
    with file.open("rb") as stream:
        raw = stream.read(TEMPLATE_BYTES_MAX + 1)
    if len(raw) > TEMPLATE_BYTES_MAX:
        raise ValueError(f"it is larger than {TEMPLATE_BYTES_MAX // 1024} KiB")
    return raw.decode("utf-8")
