"""
Files → one document with the place of every key: reading, bounds, merging of a directory, overlays, the hash.

Nothing here knows what a key means, but for the few names that merging and overlays are about.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syncd import errors
from syncd.spec import locate, nearest

BYTES_MAX = 64 * 1024  # reference/reliability.md SP08
FILES_MAX = 64
# Of all files together; a spec of every repository that one token can serve has a tenth of it.
TOTAL_BYTES_MAX = 4 * BYTES_MAX
# Each problem has its suggestions looked up; a file with more is no spec yet, and nobody reads on.
PROBLEMS_MAX = 200
# What TOML promises to every reader, and far more than any key here takes.
_WHOLE_NUMBER_BITS_MAX = 63
_BARE = re.compile(r"[A-Za-z0-9_-]+")
# Below these keys stand names that people chose: always quoted, as STYLE section 9 shows.
_NAMED = ("fields", "actions", "map")
_MERGED = ("airtable", "bitbucket", "sync")
_OVERLAY_SYNC = ("base", "table", "view")
# A password in a URL, or an unbroken run as long as a token: somebody may have put it under the wrong key.
_LIKE_A_SECRET = re.compile(r"(?<=://)[^/@\s]+(?=@)|[A-Za-z0-9_=+.-]{32,}")
_SECRETS = ("token", "secret", "oauth", "key")


@dataclass(slots=True)
class Document:
    """
    One parsed spec, not yet checked.

    Args:
        tree: the merged tables.
        folder: where relative paths start.
        places: path → (file, place).
        hash: SHA-256 of the canonical content of all files that take part.
        overlays: files of the folder without `version` that were left out: overlays of other environments.
    """

    tree: dict[str, Any]
    folder: Path
    places: dict[locate.Path, tuple[str, locate.Place]] = field(default_factory=dict)
    hash: str = ""
    overlays: tuple[str, ...] = ()
    default_file: str = ""

    def problem(self, path: locate.Path, expected: str, *, show: bool = True, warning: bool = False) -> errors.Problem:
        """A problem at the place of `path`, or of what is around it when it stands nowhere."""
        around = path
        while around and around not in self.places:
            around = around[:-1]
        file, place = self.places.get(around, (self.default_file, locate.Place(0, 0)))
        return errors.Problem(
            file=file,
            line=place.line,
            column=place.column,
            key=key_of(path),
            got=self._got(path) if show else "",
            expected=expected,
            warning=warning,
        )

    def at(self, path: locate.Path) -> Any:
        """What stands at `path`; None when nothing does."""
        value: Any = self.tree
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """The names below a table of tables; () when it is none."""
        found = self.tree.get(key)
        return tuple(found) if isinstance(found, dict) else ()

    def _got(self, path: locate.Path) -> str:
        value = self.at(path)
        if any(part in _SECRETS for part in path):
            # The last line of defence for a secret that stands where only its place may.
            return "" if value is None else "…"
        if isinstance(value, str):
            shown = _LIKE_A_SECRET.sub("…", value)
            return json.dumps(shown if len(shown) <= 120 else shown[:119] + "…", ensure_ascii=False)
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value) if isinstance(value, int | float) else ""


def key_of(path: locate.Path) -> str:
    """A path as people write it: `sync.features.fields."PR state".owner`, `transitions[2]`."""
    text = ""
    for index, part in enumerate(path):
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        named = index > 0 and path[index - 1] in _NAMED and path[0] == "sync"
        shown = part if _BARE.fullmatch(part) and not named else json.dumps(part, ensure_ascii=False)
        text += f".{shown}" if text else shown
    return text


def read(path: Path, environment: str = "") -> tuple[Document, list[errors.Problem]]:
    """
    Read a spec: one file, or every `*.toml` of a directory, and the overlay of an environment.

    Args:
        path: file or directory.
        environment: "stage" lays `stage.toml`, beside the spec, over it; "" none.

    Returns:
        What could be read, and every problem of reading, merging and laying over.
    """
    problems: list[errors.Problem] = []
    is_folder = _ask(path, Path.is_dir, problems)
    folder = path if is_folder else path.parent
    document = Document(tree={}, folder=folder, default_file=str(path))
    if not problems and not _ask(path, Path.exists, problems):
        problems = problems or [_whole(path, "a spec file or a directory with some; `syncd init` writes one")]
    if problems:
        return document, problems
    overlay = folder / f"{environment}.toml" if environment else None
    parts: list[Part | None] = []
    bytes_left = TOTAL_BYTES_MAX
    for file in _files(path, overlay, problems):
        part, size = _parse(file, problems)
        bytes_left -= size
        if bytes_left < 0:
            problems.append(_whole(path, f"at most {TOTAL_BYTES_MAX // 1024} KiB in all files together"))
            break
        parts.append(part)
    hashes: list[Any] = []
    left_out: list[str] = []
    for file, tree, places in (part for part in parts if part is not None):
        if is_folder and "version" not in tree and set(tree) <= set(_MERGED):
            left_out.append(str(file))
            continue
        _merge(document, str(file), tree, places, problems)
        hashes.append(tree)
    document.overlays = tuple(left_out)
    if overlay is not None:
        laid = _overlay(document, overlay, problems)
        hashes.append(laid)
    canonical = json.dumps(hashes, sort_keys=True, ensure_ascii=False, default=str)
    document.hash = hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
    return document, problems


def _ask(path: Path, question: Callable[[Path], bool], problems: list[errors.Problem]) -> bool:
    """A question to the file system about a path; False after noting why it has no answer."""
    try:
        return question(path)
    except OSError as exc:
        problems.append(_whole(path, f"a readable file: {(exc.strerror or type(exc).__name__).lower()}"))
        return False


def _files(path: Path, overlay: Path | None, problems: list[errors.Problem]) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.glob("*.toml") if not file.name.endswith(".lock.toml") and file != overlay)
    if not found:
        problems.append(_whole(path, "at least one *.toml file; `syncd init` writes one"))
    if len(found) > FILES_MAX:
        problems.append(_whole(path, f"at most {FILES_MAX} spec files in one directory"))
    return found[:FILES_MAX]


def _whole(file: Path, expected: str) -> errors.Problem:
    return errors.Problem(file=str(file), line=0, column=0, key="", got="", expected=expected)


Part = tuple[Path, dict[str, Any], dict[locate.Path, locate.Place]]


def _parse(file: Path, problems: list[errors.Problem]) -> tuple[Part | None, int]:
    """One file, or None after noting why not, and its size. That and its depth are bounded before tomllib sees it."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(BYTES_MAX + 1)
    except OSError as exc:
        problems.append(_whole(file, f"a readable file: {(exc.strerror or type(exc).__name__).lower()}"))
        return None, 0
    if len(raw) > BYTES_MAX:
        problems.append(
            _whole(file, f"at most {BYTES_MAX // 1024} KiB; split the spec into several files of one directory")
        )
        return None, len(raw)
    return _parsed(file, raw, problems), len(raw)


def _parsed(file: Path, raw: bytes, problems: list[errors.Problem]) -> Part | None:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        problems.append(errors.Problem(file=str(file), line=line, column=1, key="", got="", expected="UTF-8 text"))
        return None
    found: dict[locate.Path, locate.Place] = {}
    try:
        found = locate.places(text)
    except locate.DepthError as exc:
        expected = f"at most {locate.DEPTH_MAX} levels of keys and nested values"
        problems.append(
            errors.Problem(
                file=str(file), line=exc.place.line, column=exc.place.column, key="", got="", expected=expected
            )
        )
        return None
    except ValueError:
        # Not TOML: tomllib says it better, below.
        pass
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as exc:
        problems.append(_not_toml(file, text, str(exc)))
        return None
    huge = [
        path for path, value in _values(tree) if isinstance(value, int) and value.bit_length() > _WHOLE_NUMBER_BITS_MAX
    ]
    for path in huge:
        # Python reads any size, and fails later, where it is to be shown (DA10).
        place = _place_around(found, path)
        expected = f"a whole number of at most {_WHOLE_NUMBER_BITS_MAX} bits"
        problems.append(
            errors.Problem(
                file=str(file), line=place.line, column=place.column, key=key_of(path), got="", expected=expected
            )
        )
    return None if huge else (file, tree, found)


def _values(tree: Any, path: locate.Path = ()) -> Iterable[tuple[locate.Path, Any]]:
    """Everything that is neither table nor array, with its path."""
    inside: Iterable[tuple[str | int, Any]]
    if isinstance(tree, dict):
        inside = tree.items()
    elif isinstance(tree, list):
        inside = enumerate(tree)
    else:
        yield path, tree
        return
    for key, inner in inside:
        yield from _values(inner, (*path, key))


def _place_around(places: Mapping[locate.Path, locate.Place], path: locate.Path) -> locate.Place:
    """The place of a path, or of what is around it when it stands nowhere."""
    while path and path not in places:
        path = path[:-1]
    return places.get(path, locate.Place(0, 0))


def _not_toml(file: Path, text: str, told: str) -> errors.Problem:
    """tomllib's own sentence at its own place; it never repeats a value, at most a key or one character."""
    match = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", told)
    lines = text.splitlines() or [""]
    line, column = (int(match[1]), int(match[2])) if match and match[1] else (len(lines), len(lines[-1]) + 1)
    reason = told[: match.start()] if match else "not TOML"
    return errors.Problem(
        file=str(file),
        line=line,
        column=column,
        key="",
        got="",
        expected=f"valid TOML: {reason[:1].lower()}{reason[1:]}",
    )


def _merge(
    document: Document,
    file: str,
    tree: Mapping[str, Any],
    places: Mapping[locate.Path, locate.Place],
    problems: list[errors.Problem],
) -> None:
    taken: set[locate.Path] = set()
    for key, value in tree.items():
        path: locate.Path = (key,)
        if key in _MERGED and isinstance(value, dict):
            target = document.tree.setdefault(key, {})
            for name, inner in value.items():
                if isinstance(target, dict) and name in target:
                    problems.append(_twice(document, file, places, (key, name)))
                elif isinstance(target, dict):
                    target[name] = inner
                    taken.add((key, name))
            document.places.setdefault(path, (file, places.get(path, locate.Place(0, 0))))
        elif key in document.tree and key != "version":
            problems.append(_twice(document, file, places, path))
        elif key not in document.tree:
            document.tree[key] = value
            taken.add(path)
    for path, place in places.items():
        if path[:1] in taken or path[:2] in taken:
            document.places[path] = (file, place)


def _twice(
    document: Document, file: str, places: Mapping[locate.Path, locate.Place], path: locate.Path
) -> errors.Problem:
    place = places.get(path, locate.Place(0, 0))
    first_file, first = document.places.get(path, ("", locate.Place(0, 0)))
    expected = f"each table once; it stands in {first_file}:{first.line} already"
    return errors.Problem(file=file, line=place.line, column=place.column, key=key_of(path), got="", expected=expected)


def _overlay(document: Document, overlay: Path, problems: list[errors.Problem]) -> Any:
    """Lay the overlay over the document; what it may not change is noted and left as it is."""
    known = len(problems)
    if not _ask(overlay, Path.exists, problems):
        if len(problems) > known:
            return None
        names = sorted(Path(name).stem for name in document.overlays)
        problems.append(
            _whole(overlay, f"the overlay of this environment. {nearest.listed('Overlays', overlay.stem, names)}")
        )
        return None
    part, _ = _parse(overlay, problems)
    if part is None:
        return None
    _, tree, places = part
    file = str(overlay)

    def refuse(path: locate.Path, expected: str) -> None:
        place = places.get(path, locate.Place(0, 0))
        problems.append(
            errors.Problem(file=file, line=place.line, column=place.column, key=key_of(path), got="", expected=expected)
        )

    laid: set[locate.Path] = set()
    for path in _leaves(tree):
        if len(problems) >= PROBLEMS_MAX:
            break
        if path[0] in ("airtable", "bitbucket") and len(path) > 2:
            if path[1] not in document.names(str(path[0])):
                refuse(
                    path[:2],
                    f"a connection of the spec. {nearest.listed('Connections', str(path[1]), document.names(str(path[0])))}",
                )
                continue
        elif path[0] == "sync" and len(path) == 4 and path[2] == "airtable" and path[3] in _OVERLAY_SYNC:
            if path[1] not in document.names("sync"):
                refuse(
                    path[:2],
                    f"a sync of the spec. {nearest.listed('Syncs', str(path[1]), document.tree.get('sync', {}))}",
                )
                continue
        elif path != ("version",):
            refuse(
                path,
                "nothing here: an overlay may change connections, tables (base, table, view of a sync) and secrets only",
            )
            continue
        _put(document.tree, path, tree)
        laid.add(path)
    for inner, place in places.items():
        if any(inner[:length] in laid for length in range(1, len(inner) + 1)):
            document.places[inner] = (file, place)
    return tree


def _leaves(tree: Any, path: locate.Path = ()) -> Iterable[locate.Path]:
    """Paths of everything that replaces as a whole: values, arrays, and the place of a secret."""
    if isinstance(tree, dict) and not (path and (path[-1] in _SECRETS or not tree)):
        for key, inner in tree.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield path


def _put(target: Any, path: locate.Path, source: Any) -> None:
    for part in path[:-1]:
        source = source[part]
        if not isinstance(target.get(part), dict):
            target[part] = {}
        target = target[part]
    target[path[-1]] = source[path[-1]]
