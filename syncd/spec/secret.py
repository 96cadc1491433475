"""
Where a secret is (env, file, credential), and its text once read, which hides itself.

A spec holds only the place. Texts are read at start and at SIGHUP; neither an error nor a repr ever shows one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from syncd import errors

# Tokens and shared secrets have tens to hundreds of characters; a larger file is the wrong file.
BYTES_MAX = 16_384


class Kind(Enum):
    """Which key of `{ env = "NAME" }` and its like was used."""

    ENV = "env"
    FILE = "file"
    CREDENTIAL = "credential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """
    The place of a secret.

    Args:
        kind: environment variable, file, or a file of systemd's `LoadCredential=`.
        name: the variable, path or credential. For a file: relative to the spec's folder, or absolute.
        key: its key path in the spec; `file`, `line`, `column`: where that stands. They are no part of its identity.
    """

    kind: Kind
    name: str
    key: str = field(default="", compare=False)
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)

    def __repr__(self) -> str:
        return f"Secret({self.kind.value}={self.name!r})"


@dataclass(frozen=True, slots=True, repr=False)
class Revealed:
    """A secret's text. Only `.text` gives it away; printing, formatting and repr do not."""

    text: str

    def __repr__(self) -> str:
        return "Revealed(***)"

    __str__ = __repr__


def read(secret: Secret, environment: Mapping[str, str], base: Path) -> Revealed:
    """
    Read a secret's text.

    Args:
        secret: where it is.
        environment: the process's environment; `CREDENTIALS_DIRECTORY` is looked up in it.
        base: the spec's folder, for relative paths.

    Raises:
        SpecError: it is missing, empty, unreadable, not text, or has several lines. Names the place, never the text.
    """
    text, problem = _text(secret, environment, base)
    if not problem:
        text = text.rstrip("\r\n")
        if not text.strip():
            problem = "is empty"
        elif any(ord(character) < 32 or ord(character) == 127 for character in text):
            problem = "has several lines or control characters; a token or shared secret is one line"
    if problem:
        raise errors.SpecError(
            (
                errors.Problem(
                    file=secret.file,
                    line=secret.line,
                    column=secret.column,
                    key=secret.key,
                    got=f'{{ {secret.kind.value} = "{secret.name}" }}',
                    expected=f"{_place(secret)} {problem}",
                ),
            )
        )
    return Revealed(text)


def _text(secret: Secret, environment: Mapping[str, str], base: Path) -> tuple[str, str]:
    """The raw text and "", or "" and what is wrong."""
    if secret.kind is Kind.ENV:
        return (environment[secret.name], "") if secret.name in environment else ("", "is not set")
    folder = base
    if secret.kind is Kind.CREDENTIAL:
        if not environment.get("CREDENTIALS_DIRECTORY"):
            return "", "cannot be read: CREDENTIALS_DIRECTORY is not set (systemd sets it for LoadCredential=)"
        folder = Path(environment["CREDENTIALS_DIRECTORY"])
    try:
        with (folder / secret.name).open("rb") as stream:
            raw = stream.read(BYTES_MAX + 1)
    except OSError as exc:
        return "", f"cannot be read: {(exc.strerror or type(exc).__name__).lower()}"
    if len(raw) > BYTES_MAX:
        return "", f"is larger than {BYTES_MAX} bytes"
    try:
        return raw.decode("utf-8"), ""
    except UnicodeDecodeError:
        return "", "is not UTF-8 text"


def _place(secret: Secret) -> str:
    noun = {Kind.ENV: "environment variable", Kind.FILE: "file", Kind.CREDENTIAL: "credential"}[secret.kind]
    return f"{noun} {secret.name}"
