"""Targets: the expression parser, templates, the spec loader on one file, and on a directory with an overlay."""

import copy
import re
import resource
import tempfile
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from syncd import errors
from syncd.spec import expression, load, locate, rehearse
from tests.fuzz import generate, mutate
from tests.fuzz.target import Target, require
from tests.spec import world

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SPEC_FILES = (
    *("spec/document.py", "spec/load.py", "spec/locate.py", "spec/lint.py", "spec/machine.py", "spec/types.py"),
    *("spec/circles.py", "spec/resolve.py", "spec/parts.py", "spec/fit.py", "spec/names.py"),
)
# Longer ones are evaluated once: MiniJinja reads them each time anew.
EVALUATED_MAX = 1000
GROWN_BYTES_MAX = 128 * 1024 * 1024
LANGUAGE_FILES = ("spec/expression.py", "spec/growth.py", "spec/syntax.py", "spec/tokens.py")
EXAMPLE = (world.ROOT / "config/syncd.toml").read_bytes()
MIDDLE = (world.HEAD + world.SYNC).encode()
SEPARATOR = b"\n#---\n"
_SCOPES = [scope for _, scope in rehearse.scopes(world.table().fields, world.STATES)]
# The last one with a long text and a large number in every cell, of which something could be made without end.
_LONG = {key: 10**9 if isinstance(held, int) else "a'\\\x01" * 2_000 for key, held in _SCOPES[1]["record"].items()}
_SCOPES.append({**_SCOPES[1], "name": "a'\\\x01" * 2_000, "record": _LONG})
_FIRST_PART = re.compile(r"[A-Za-z0-9_-]+")


def decoded(data: bytes) -> str:
    """The text of an input; other bytes become lone surrogates, which a parser is to refuse as well."""
    return data.decode("utf-8", "surrogateescape")


# ------------------------------------------------------------------------------------------- the language


def _resident_bytes() -> int:
    """The most that this process ever held, what MiniJinja holds included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_expression(data: bytes) -> None:
    source = decoded(data)
    resident_bytes = _resident_bytes()
    try:
        made = expression.parse(source)
    except expression.ExpressionError as refused:
        _told(refused, source)
        return
    require(expression.parse(made.source) == made, "reading what it shows gives another expression")
    for scope in _SCOPES if len(source) <= EVALUATED_MAX else _SCOPES[-1:]:
        before = copy.deepcopy(scope)
        try:
            made.evaluate(scope)
            wakes_at = made.wakes_at(scope, NOW)
            require(wakes_at is None or wakes_at > NOW, "it wakes in the past")
        except expression.ExpressionError as failed:
            _told(failed, source)
        require(scope == before, "evaluating it changed what it read")
    require(_resident_bytes() - resident_bytes < GROWN_BYTES_MAX, "it grew and grew")


def run_template(data: bytes) -> None:
    source = decoded(data)
    resident_bytes = _resident_bytes()
    try:
        made = expression.parse_template(source)
    except expression.ExpressionError as refused:
        _told(refused, source)
        return
    require(expression.parse_template(made.source) == made, "reading what it shows gives another template")
    for scope in _SCOPES if len(source) <= EVALUATED_MAX else _SCOPES[-1:]:
        before = copy.deepcopy(scope)
        try:
            require(isinstance(made.render(scope), str), "it renders no text")
        except expression.ExpressionError as failed:
            _told(failed, source)
        require(scope == before, "rendering it changed what it read")
    require(_resident_bytes() - resident_bytes < GROWN_BYTES_MAX, "it grew and grew")


def _told(refused: expression.ExpressionError, source: str) -> None:
    require(refused.problems and all(refused.problems), f"refused without a word: {source[:40]!r}")


def _language_seeds() -> list[bytes]:
    tree = tomllib.loads(EXAMPLE.decode("utf-8"))
    found = [text.encode() for text in _texts(tree) if "{{" not in text and "(" in text]
    random = Random(1)
    return [
        *found,
        *(generate.expression(random).encode("utf-8", "surrogatepass") for _ in range(60)),
        b"[1] * 20000000",
        b"(100000000 * name) | length",
        b'record["Name"] * record["Points"]',
    ]


def _template_seeds() -> list[bytes]:
    found = [file.read_bytes() for file in sorted((world.ROOT / "config/templates").iterdir())]
    random = Random(1)
    return [
        *found,
        b"feature/{{ record_id }}",
        *(generate.template(random).encode() for _ in range(60)),
        *(generate.growing(random).encode() for _ in range(120)),
    ]


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for inner in inside for text in _texts(inner)]


def _mutate_words(words: tuple[str, ...]) -> mutate.Mutator:
    def made(data: bytes, random: Random) -> bytes:
        return mutate.of_words(data, random, words) if random.randint(0, 2) else mutate.of_bytes(data, random)

    return made


# --------------------------------------------------------------------------------------------- the loader


class _Folder:
    """A folder for the files of one input; made when it is first needed, removed at the end of the process."""

    def __init__(self) -> None:
        self._made: tempfile.TemporaryDirectory[str] | None = None

    def emptied(self) -> Path:
        if self._made is None:
            self._made = tempfile.TemporaryDirectory(prefix="syncd-fuzz-")
        folder = Path(self._made.name)
        for file in folder.iterdir():
            file.unlink()
        return folder

    def close(self) -> None:
        if self._made is not None:
            self._made.cleanup()
        self._made = None


FOLDER = _Folder()


def run_spec(data: bytes) -> None:
    folder = FOLDER.emptied()
    file = folder / "syncd.toml"
    file.write_bytes(data)
    (folder / "pull_request.md").write_text("{{ record_id }}", encoding="utf-8")
    (folder / "circle.md").symlink_to("circle.md")
    _load(file, "", {str(file): data})
    _places(data)


def run_directory(data: bytes) -> None:
    """Pieces between separators are files of one directory; the last is the overlay "stage"."""
    folder = FOLDER.emptied()
    *pieces, overlay = data.split(SEPARATOR)
    contents = {str(folder / f"{index:02}.toml"): piece for index, piece in enumerate(pieces[:5])}
    contents[str(folder / "stage.toml")] = overlay
    for name, content in contents.items():
        Path(name).write_bytes(content)
    _load(folder, "stage", contents)


def _load(path: Path, environment: str, contents: dict[str, bytes]) -> None:
    try:
        made = load.load(path, environment)
    except errors.SpecError as refused:
        require(refused.problems, "refused without a problem")
        for problem in refused.problems:
            _placed(problem, path, contents)
        return
    for problem in made.warnings:
        _placed(problem, path, contents)
    require(load.load(path, environment).hash == made.hash, "the same files have two hashes")
    try:
        world.resolved(made)
    except errors.SpecError as refused:
        require(refused.problems, "refused without a problem")


def _placed(problem: errors.Problem, path: Path, contents: dict[str, bytes]) -> None:
    require(problem.expected, "a problem without a word")
    require(problem.file == str(path) or problem.file in contents, f"a problem in no file: {problem.file!r}")
    content = contents.get(problem.file, b"")
    # Old Macintosh line ends and form feeds count for some readers and not for others.
    lines = max(len(content.decode("utf-8", "replace").splitlines()), content.count(b"\n") + 1, 1)
    require(0 <= problem.line <= lines, f"line {problem.line} of {lines}")
    require((problem.column > 0) == (problem.line > 0), "half a place")
    first = _FIRST_PART.match(problem.key)
    if problem.line or first is None or len(contents) > 1:
        return
    try:
        tree = tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return
    require(first[0] not in tree, f"{problem.key} stands in the file, and no line is told")


def _places(data: bytes) -> None:
    """Every key that TOML knows has a place, and reading the places ends in nothing undeclared."""
    try:
        text = data.decode("utf-8-sig")
        found = locate.places(text)
    except ValueError:
        return
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError):
        return
    for path in _paths(tree, ()):
        require(path in found, f"{path} has no place")


def _paths(value: Any, path: locate.Path) -> list[locate.Path]:
    inside: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    found = [(*path, key) for key, _ in inside]
    for key, inner in inside:
        found += _paths(inner, (*path, key))
    return found


def _spec_seeds() -> list[bytes]:
    random = Random(1)
    return [EXAMPLE, MIDDLE, *(generate.spec(random).encode() for _ in range(40))]


def _directory_seeds() -> list[bytes]:
    overlay = b'[airtable.roadmap]\ntoken = { env = "X" }\n[sync.features.airtable]\ntable = "T"\n'
    return [
        SEPARATOR.join((world.HEAD.encode(), world.SYNC.encode(), overlay)),
        SEPARATOR.join((EXAMPLE, overlay)),
        SEPARATOR.join((MIDDLE, MIDDLE, overlay)),
        SEPARATOR.join((b"[sync.a]\n", MIDDLE, b"[sync.features]\nquiet = 1\n")),
    ]


TARGETS = (
    Target(
        name="expression",
        files=LANGUAGE_FILES,
        seeds=_language_seeds,
        run=run_expression,
        mutate=_mutate_words(generate.WORDS),
    ),
    Target(
        name="template",
        files=LANGUAGE_FILES,
        seeds=_template_seeds,
        run=run_template,
        mutate=_mutate_words(generate.WORDS),
    ),
    Target(
        name="spec",
        files=SPEC_FILES,
        seeds=_spec_seeds,
        run=run_spec,
        mutate=_mutate_words(generate.SPEC_WORDS),
        # The deadline of one file is two seconds (reference/reliability.md SP08); it is read twice here, and resolved.
        cpu_s_max=4.0,
    ),
    Target(
        name="spec-directory",
        files=SPEC_FILES,
        seeds=_directory_seeds,
        run=run_directory,
        mutate=_mutate_words((*generate.SPEC_WORDS, SEPARATOR.decode())),
        cpu_s_max=4.0,
    ),
)
