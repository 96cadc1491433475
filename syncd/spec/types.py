"""The small types of the spec file: durations, shares, addresses, expressions, secrets. Each with its JSON Schema."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from syncd.spec.expression import Expression, ExpressionError, Template, parse, parse_template

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_SHARE = re.compile(r"([0-9]{1,3})%")
_ADDRESS = re.compile(r"(?:(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}|unix:/.+)")
# What a template may read: the record alone; work does not exist yet when a branch or pull request is made.
RECORD_NAMES = ("record", "record_id", "name", "status", "today")


class TableModel(BaseModel):
    """A table of the spec: strict, complete, frozen; its errors never repeat what was put in."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )


def wrong(expected: str) -> PydanticCustomError:
    """An error whose text is the expectation."""
    return PydanticCustomError("expected", "{expected}", {"expected": expected})


def _duration(raw: Any) -> Any:
    match = _DURATION.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        raise wrong('a duration: a whole number and s, m, h or d, e.g. "90s", "15m", "400d"')
    seconds = int(match[1]) * _UNITS[match[2]]
    if seconds > 100 * 365 * 86_400:
        raise wrong("a duration of less than a hundred years")
    return timedelta(seconds=seconds)


def _share(raw: Any) -> Any:
    match = _SHARE.fullmatch(raw) if isinstance(raw, str) else None
    if match is None or not 1 <= int(match[1]) <= 100:
        raise wrong('a share from "1%" to "100%"')
    return int(match[1]) / 100


def _address(raw: Any) -> Any:
    valid = isinstance(raw, str) and _ADDRESS.fullmatch(raw) is not None
    if valid and not raw.startswith("unix:"):
        valid = 0 < int(raw.rpartition(":")[2]) < 65_536
    if not valid:
        raise wrong('an address: "host:port" or "unix:/path"')
    return raw


def _url(raw: Any) -> Any:
    try:
        parts = urlsplit(raw if isinstance(raw, str) else "")
        plain = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        plain = False
    if not plain or parts.username is not None or parts.query or parts.fragment or any(ch.isspace() for ch in raw):
        raise wrong("a URL: http:// or https://, a host and perhaps a path; without user, query or fragment")
    return raw.rstrip("/")


def _base(raw: Any) -> Any:
    if not isinstance(raw, str) or not re.fullmatch(r"app[A-Za-z0-9]+", raw):
        raise wrong("the base's id, from its URL: app and letters and digits")
    return raw


def _mail(raw: Any) -> Any:
    if not isinstance(raw, str) or not re.fullmatch(r"[^\s@]+@[^\s@]+", raw):
        raise wrong("the e-mail address of the account that the API token belongs to")
    return raw


def _listed(raw: Any) -> Any:
    return [raw] if isinstance(raw, str) else raw


def _expression(raw: Any) -> Expression:
    made: Expression = _parsed(raw, parse)
    return made


def _parsed(raw: Any, parser: Any) -> Any:
    if not isinstance(raw, str):
        raise wrong("an expression in quotes")
    try:
        return parser(raw)
    except ExpressionError as exc:
        # One line each: `load` makes a problem of every line.
        raise wrong("\n".join(exc.problems)) from exc


def _branch(raw: Any) -> Template:
    made: Template = _parsed(raw, lambda source: parse_template(source, RECORD_NAMES))
    if "record_id" not in made.names:
        raise wrong("a template that holds {{ record_id }}: by it the branch is found again")
    return made


def _title(raw: Any) -> Template:
    made: Template = _parsed(raw, lambda source: parse_template(source, ("record_id",)))
    if "record_id" not in made.names:
        raise wrong("a prefix that holds {{ record_id }}: by it the pull request is found again")
    return made


def _text(schema_pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": schema_pattern})


Duration = Annotated[timedelta, BeforeValidator(_duration), _text(f"^{_DURATION.pattern}$")]
Share = Annotated[float, BeforeValidator(_share), _text(f"^{_SHARE.pattern}$")]
Address = Annotated[str, BeforeValidator(_address), _text(f"^{_ADDRESS.pattern}$")]
Url = Annotated[str, BeforeValidator(_url), _text("^https?://[^?#]+$")]
Base = Annotated[str, BeforeValidator(_base), _text("^app[A-Za-z0-9]+$")]
Mail = Annotated[str, BeforeValidator(_mail), _text("^[^\\s@]+@[^\\s@]+$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Names = Annotated[
    list[Name],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Condition = Annotated[Expression, PlainValidator(_expression), WithJsonSchema({"type": "string"})]
BranchTemplate = Annotated[Template, PlainValidator(_branch), WithJsonSchema({"type": "string"})]
TitlePrefix = Annotated[Template, PlainValidator(_title), WithJsonSchema({"type": "string"})]
SideOwner = Literal["airtable", "bitbucket", "both"]
EdgeOwner = Literal["airtable", "bitbucket", "release"]


def _secret(raw: Any) -> Any:
    if not isinstance(raw, dict):
        raise wrong(
            'the place of a secret, never the secret itself: { env = "NAME" }, { file = "PATH" } or { credential = "NAME" }'
        )
    if len(raw) != 1 or next(iter(raw)) not in ("env", "file", "credential"):
        raise wrong('exactly one of { env = "NAME" }, { file = "PATH" } and { credential = "NAME" }')
    ((kind, name),) = raw.items()
    if not isinstance(name, str) or not name:
        raise wrong(f"{kind} to be a name in quotes")
    if kind == "env" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise wrong(
            "env to name an environment variable (letters, digits, _); the secret itself never stands in a spec"
        )
    if kind == "credential" and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise wrong("credential to be the file's name in $CREDENTIALS_DIRECTORY, without a path")
    return (kind, name)


_PLACE_SCHEMA = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
    "properties": {kind: {"type": "string"} for kind in ("env", "file", "credential")},
}
# Kept as (kind, name); `resolve` makes a `secret.Secret` of it, with its place.
SecretPlace = Annotated[
    tuple[str, str],
    PlainValidator(_secret),
    WithJsonSchema(_PLACE_SCHEMA),
]


def _secrets(raw: Any) -> Any:
    if isinstance(raw, list):
        if not 1 <= len(raw) <= 2:
            raise wrong("one secret, or a list of two while one is being rotated")
        return [_secret(entry) for entry in raw]
    return [_secret(raw)]


Secrets = Annotated[
    list[tuple[str, str]],
    PlainValidator(_secrets),
    WithJsonSchema({"anyOf": [_PLACE_SCHEMA, {"type": "array", "items": _PLACE_SCHEMA, "minItems": 1, "maxItems": 2}]}),
]
