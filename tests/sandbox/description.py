"""
Requests and answers against the official description of Bitbucket Cloud (`reference/bitbucket-openapi.json`, Swagger 2.0).

`validate_request` and `validate_response` raise AssertionError with every problem. What the live service is known to do otherwise
stands in `DEVIATIONS`, one row per place with the recording that proves it. How the description is read:

- `allOf` is inheritance: the parts are merged, so that `additionalProperties: false` means "nothing outside all parts".
- `discriminator`: every object anywhere whose `type` names a definition that requires one is also checked against it.
- null is not allowed where nothing says so (Swagger 2.0 has no null and the description no `x-nullable`).
- A request need not carry `type`: the description's own examples of request bodies do not.
- A status of 400 and above that an operation does not name has the standard error body (the description's narrative says so).
"""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import jsonschema

from tests import shared

FILE = "reference/bitbucket-openapi.json"
FIXTURES = "fixtures/bitbucket"
Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One place that does not fit: a JSON pointer with list places as `*`, and the keyword that failed there."""

    pointer: str
    keyword: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """
    What the live service does otherwise.

    `route` and `pointer` are patterns: `*` is one segment, `**` any number. `fixture` is a recording (`proof_of`: the definition it
    is an instance of, list or page items one by one) that shows the same problem at a place that fits `pointer`.
    """

    route: str
    pointer: str
    keyword: str
    fixture: str
    proof_of: str
    reason: str


def present() -> bool:
    """Whether the description lies beside the project; tests of behaviour run without it, those of the description say why not."""
    return (shared.SHARED / FILE).exists()


@cache
def _document() -> dict[str, Any]:
    loaded: dict[str, Any] = shared.load(FILE)
    return loaded


@cache
def _definitions() -> dict[str, Schema]:
    """Every definition as JSON Schema draft 4, inheritance merged."""
    return {name: _converted(schema) for name, schema in _document()["definitions"].items()}


def _parts(schema: Schema) -> Iterator[Schema]:
    if "$ref" in schema:
        yield from _parts(_document()["definitions"][schema["$ref"].rpartition("/")[2]])
        return
    for part in schema.get("allOf", ()):
        yield from _parts(part)
    yield {key: value for key, value in schema.items() if key != "allOf"}


def _converted(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_converted(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    merged: Schema = {}
    closed = True
    for part in _parts(schema):
        for key, value in part.items():
            if key == "properties":
                merged.setdefault("properties", {}).update(copy.deepcopy(value))
            elif key == "required" and isinstance(value, list):
                merged["required"] = sorted({*merged.get("required", ()), *value})
            elif key not in ("discriminator", "description", "title", "example", "default"):
                merged[key] = value
        closed = closed and part.get("additionalProperties") is False
    merged["additionalProperties"] = not closed
    if not closed:
        del merged["additionalProperties"]
    if None in merged.get("enum", ()):
        merged["type"] = [merged.get("type", "string"), "null"]
    for key in ("properties",):
        if key in merged:
            merged[key] = {name: _converted(value) for name, value in merged[key].items()}
    if isinstance(merged.get("items"), dict):
        merged["items"] = _converted(merged["items"])
    return merged


@cache
def _discriminated() -> frozenset[str]:
    """The definitions that require a `type`, by which they are told apart."""
    return frozenset(name for name, schema in _definitions().items() if "type" in schema.get("required", ()))


@cache
def _validator(name: str) -> Any:
    return jsonschema.Draft4Validator({"$ref": f"#/definitions/{name}", "definitions": _definitions()})


def _check(schema: Schema) -> Any:
    return jsonschema.Draft4Validator({**_converted(schema), "definitions": _definitions()})


def _flat(errors: Any, prefix: str = "") -> Iterator[Problem]:
    for error in errors:
        pointer = prefix + "".join(f"/{'*' if isinstance(part, int) else part}" for part in error.absolute_path)
        if error.validator == "additionalProperties":
            for key in sorted(set(error.instance) - set(error.schema.get("properties", {}))):
                yield Problem(pointer=f"{pointer}/{key}", keyword="additionalProperties", text="is not described")
        elif error.validator == "required":
            for key in error.validator_value:
                if key not in error.instance:
                    yield Problem(pointer=f"{pointer}/{key}", keyword="required", text="is missing")
        elif error.validator in ("anyOf", "oneOf"):
            yield from _flat(error.context, prefix)
        else:
            yield Problem(pointer=pointer, keyword=str(error.validator), text=error.message[:160])


def _typed(body: Any, pointer: str = "") -> Iterator[Problem]:
    """Every object inside that names its own definition."""
    if isinstance(body, list):
        for one in body:
            yield from _typed(one, f"{pointer}/*")
    elif isinstance(body, dict):
        name = body.get("type")
        if isinstance(name, str) and name in _discriminated():
            yield from _flat(_validator(name).iter_errors(body), pointer)
        for key, value in body.items():
            yield from _typed(value, f"{pointer}/{key}")


def problems_of(definition: str, body: Any) -> set[tuple[str, str]]:
    """Pointer and keyword of every problem of one instance of a definition."""
    found = [*_flat(_validator(definition).iter_errors(body)), *_typed(body)]
    return {(one.pointer, one.keyword) for one in found}


@cache
def _paths() -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((path, tuple(path.strip("/").split("/"))) for path in _document()["paths"])


@cache
def route_of(method: str, path: str) -> str | None:
    """The description's path for a request, None when it has none; refs and keys may contain slashes."""
    segments = path.removeprefix("/2.0").strip("/").split("/")
    for at in range(3, len(segments)):
        if segments[at - 1] in ("branches", "tags") and segments[at - 2] == "refs":
            segments = [*segments[:at], "/".join(segments[at:])]
            break
    best: tuple[int, str] | None = None
    for template, parts in _paths():
        if len(parts) != len(segments) or method.lower() not in _document()["paths"][template]:
            continue
        if all(part.startswith("{") or part == segment for part, segment in zip(parts, segments, strict=True)):
            literal = sum(not part.startswith("{") for part in parts)
            if best is None or literal > best[0]:
                best = (literal, template)
    return None if best is None else best[1]


def response_problems(method: str, path: str, status: int, body: Any) -> list[Problem]:
    """Every problem of one JSON answer, the known deviations included."""
    template = route_of(method, path)
    if template is None:
        return (
            []
            if status in (404, 405, 410)
            else [Problem(pointer="", keyword="route", text=f"{method} {path} is not described")]
        )
    operation = _document()["paths"][template][method.lower()]
    described = operation["responses"].get(str(status))
    if described is None:
        if status < 400:
            return [Problem(pointer="", keyword="status", text=f"{status} is not described")]
        described = {"schema": {"$ref": "#/definitions/error"}}
    schema = described.get("schema")
    found = list(_typed(body))
    if schema is not None and body is not None:
        found = [*_flat(_check(schema).iter_errors(body)), *found]
    return list({(one.pointer, one.keyword): one for one in found}.values())


def validate_response(method: str, path: str, status: int, body: Any) -> frozenset[Deviation]:
    """
    Require that an answer fits the description or a known deviation.

    Args:
        path: as requested, with or without `/2.0`, without query.
        body: parsed JSON; None for an empty answer. Texts that are not JSON (429) are outside the description.

    Returns:
        The deviations that were needed.
    """
    used: set[Deviation] = set()
    wrong: list[str] = []
    template = route_of(method, path) or path
    for one in response_problems(method, path, status, body):
        known = [row for row in DEVIATIONS if excuses(row, f"{method} {template}", one)]
        used.update(known)
        if not known:
            wrong.append(f"  {one.pointer or '/'}: {one.keyword}: {one.text}")
    assert not wrong, f"{method} {path} → {status} does not fit the description:\n" + "\n".join(wrong)
    return frozenset(used)


def excuses(row: Deviation, route: str, problem: Problem) -> bool:
    """Whether a row of the table covers a problem of a route."""
    return row.keyword == problem.keyword and _fits(row.route, route) and _fits(row.pointer, problem.pointer)


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    text = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    return re.compile(text)


def _fits(pattern: str, text: str) -> bool:
    return _pattern(pattern).fullmatch(text) is not None


def proves(row: Deviation) -> bool:
    """Whether the recording of a row shows the same problem of the same definition."""
    recorded = json.loads(shared.path(f"{FIXTURES}/{row.fixture}").read_text(encoding="utf-8"))
    items = (
        recorded
        if isinstance(recorded, list)
        else recorded.get("values", [recorded])
        if isinstance(recorded, dict)
        else [recorded]
    )
    return any(
        keyword == row.keyword and (_fits(row.pointer, pointer) or _fits(row.pointer, f"/values/*{pointer}"))
        for item in items
        for pointer, keyword in problems_of(row.proof_of, item)
    )


_NEW_BRANCH: Schema = {
    "type": "object",
    "required": ["name", "target"],
    "properties": {
        "name": {"type": "string"},
        "target": {
            "type": "object",
            "required": ["hash"],
            "properties": {"hash": {"type": "string"}},
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}
_REQUESTS: dict[str, Schema] = {
    # The description shows no body schema for these; see reference/bitbucket-openapi.PROVENANCE.md and bitbucket.md 3, 7.2.
    "POST /repositories/{workspace}/{repo_slug}/refs/branches": _NEW_BRANCH,
    "POST /repositories/{workspace}/{repo_slug}/hooks": {"$ref": "#/definitions/webhook_subscription"},
    "PUT /repositories/{workspace}/{repo_slug}/hooks/{uid}": {"$ref": "#/definitions/webhook_subscription"},
    "POST /workspaces/{workspace}/hooks": {"$ref": "#/definitions/webhook_subscription"},
    "PUT /workspaces/{workspace}/hooks/{uid}": {"$ref": "#/definitions/webhook_subscription"},
}
_NULLABLE_IN_REQUESTS = {"/secret"}
"""Null is meant there by the description's own text: it removes the secret."""


def request_problems(method: str, path: str, body: Any) -> list[Problem]:
    """Every problem of one JSON request body."""
    template = route_of(method, path)
    if template is None:
        return [Problem(pointer="", keyword="route", text=f"{method} {path} is not described")]
    operation = _document()["paths"][template][method.lower()]
    schema = _REQUESTS.get(f"{method} {template}")
    if schema is None:
        schema = next((one["schema"] for one in operation.get("parameters", ()) if one.get("in") == "body"), None)
    if schema is None or body is None:
        return []
    found = _flat(_check(schema).iter_errors(body))
    return [
        one
        for one in found
        if not (one.keyword == "required" and one.pointer.endswith("/type"))
        and not (one.keyword == "type" and one.pointer in _NULLABLE_IN_REQUESTS)
    ]


def validate_request(method: str, path: str, body: Any) -> None:
    """
    Require that a request's JSON body fits the description.

    Args:
        path: as requested, with or without `/2.0`, without query.
        body: parsed JSON; None for an empty body.
    """
    found = request_problems(method, path, body)
    text = "\n".join(f"  {one.pointer or '/'}: {one.keyword}: {one.text}" for one in found)
    assert not found, f"{method} {path} does not fit the description:\n{text}"


DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/merge_commit",
        keyword="type",
        fixture="api--pullrequests-list-pagelen-50--jenkins-branch-source.json",
        proof_of="pullrequest",
        reason="null until it is merged",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/closed_by",
        keyword="type",
        fixture="api--pullrequests-list-pagelen-50--jenkins-branch-source.json",
        proof_of="pullrequest",
        reason="null until it is closed",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/*/repository",
        keyword="type",
        fixture="api--pullrequest-no-dest-repo--gildas-bitbucket-cli.json",
        proof_of="pullrequest",
        reason="null when that repository is gone",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/participants/*/participated_on",
        keyword="type",
        fixture="api--pr--danger-js.json",
        proof_of="pullrequest",
        reason="null for a reviewer who did nothing yet",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/source/commit/links",
        keyword="additionalProperties",
        fixture="api--pullrequests-list-pagelen-50--jenkins-branch-source.json",
        proof_of="pullrequest",
        reason="a whole commit reference",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/destination/commit/links",
        keyword="additionalProperties",
        fixture="api--pullrequests-list-pagelen-50--jenkins-branch-source.json",
        proof_of="pullrequest",
        reason="a whole commit reference",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/merge_commit/links",
        keyword="additionalProperties",
        fixture="api--pullrequests-state-all--devlake.json",
        proof_of="pullrequest",
        reason="a whole commit reference",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/source/commit/type",
        keyword="additionalProperties",
        fixture="api--pullrequests-list-pagelen-50--jenkins-branch-source.json",
        proof_of="pullrequest",
        reason="a whole commit reference",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/destination/commit/type",
        keyword="additionalProperties",
        fixture="api--pullrequests-list-pagelen-50--jenkins-branch-source.json",
        proof_of="pullrequest",
        reason="a whole commit reference",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/merge_commit/type",
        keyword="additionalProperties",
        fixture="api--pullrequests-state-all--devlake.json",
        proof_of="pullrequest",
        reason="a whole commit reference",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/source/branch/links",
        keyword="additionalProperties",
        fixture="api--pullrequests-list-pagelen-50--jenkins-branch-source.json",
        proof_of="pullrequest",
        reason="an empty object",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/links/request-changes",
        keyword="additionalProperties",
        fixture="api--pullrequests-list-pagelen-50--jenkins-branch-source.json",
        proof_of="pullrequest",
        reason="a link more",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/links/statuses",
        keyword="additionalProperties",
        fixture="api--pullrequests-list-pagelen-50--jenkins-branch-source.json",
        proof_of="pullrequest",
        reason="a link more",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/rendered/title/type",
        keyword="additionalProperties",
        fixture="api--pr--danger-js.json",
        proof_of="pullrequest",
        reason="rendered texts name their type",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/rendered/description/type",
        keyword="additionalProperties",
        fixture="api--pr--danger-js.json",
        proof_of="pullrequest",
        reason="rendered texts name their type",
    ),
    Deviation(
        route="* /repositories/**",
        pointer="**/summary/type",
        keyword="additionalProperties",
        fixture="api--pullrequests-list-pagelen-50--jenkins-branch-source.json",
        proof_of="pullrequest",
        reason="rendered texts name their type",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/content/type",
        keyword="additionalProperties",
        fixture="api--pr-comments-inline--devlake.json",
        proof_of="pullrequest_comment",
        reason="rendered texts name their type",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/inline/from",
        keyword="type",
        fixture="api--pr-comments-inline--devlake.json",
        proof_of="pullrequest_comment",
        reason="null on a whole file",
    ),
    Deviation(
        route="* /**/pullrequests**",
        pointer="**/inline/to",
        keyword="type",
        fixture="api--pr-comments-inline--devlake.json",
        proof_of="pullrequest_comment",
        reason="null on a whole file",
    ),
    Deviation(
        route="* /repositories/**",
        pointer="**/links/source",
        keyword="additionalProperties",
        fixture="api--repository--jenkins-branch-source.json",
        proof_of="repository",
        reason="a link more",
    ),
    Deviation(
        route="* /repositories/**",
        pointer="**/links/branches",
        keyword="additionalProperties",
        fixture="api--repository--jenkins-branch-source.json",
        proof_of="repository",
        reason="a link more",
    ),
    Deviation(
        route="* /repositories/**",
        pointer="**/links/tags",
        keyword="additionalProperties",
        fixture="api--repository--jenkins-branch-source.json",
        proof_of="repository",
        reason="a link more",
    ),
    Deviation(
        route="* /repositories/**",
        pointer="**/project/links/self",
        keyword="additionalProperties",
        fixture="api--repository--jenkins-branch-source.json",
        proof_of="repository",
        reason="a link more",
    ),
    Deviation(
        route="* /repositories/**",
        pointer="**/parent",
        keyword="type",
        fixture="api--repository--jenkins-branch-source.json",
        proof_of="repository",
        reason="null outside forks",
    ),
    Deviation(
        route="* /**/statuses**",
        pointer="**/refname",
        keyword="type",
        fixture="api--commit-statuses-build--jenkins-branch-source.json",
        proof_of="commitstatus",
        reason="null when no branch was named",
    ),
    Deviation(
        route="GET /workspaces/{workspace}",
        pointer="/links/hooks",
        keyword="additionalProperties",
        fixture="api--workspace--gildas-bitbucket-cli.json",
        proof_of="workspace",
        reason="a link more",
    ),
    Deviation(
        route="GET /workspaces/{workspace}",
        pointer="/links/html_overview",
        keyword="additionalProperties",
        fixture="api--workspace--gildas-bitbucket-cli.json",
        proof_of="workspace",
        reason="a link more",
    ),
    Deviation(
        route="* /**",
        pointer="/error/fields",
        keyword="additionalProperties",
        fixture="api--error-badrequest-nobranch--gildas-bitbucket-cli.json",
        proof_of="error",
        reason="which fields were refused",
    ),
    Deviation(
        route="* /**",
        pointer="/error/detail",
        keyword="type",
        fixture="api--error-privileges--gildas-bitbucket-cli.json",
        proof_of="error",
        reason="an object for a missing scope",
    ),
    Deviation(
        route="GET /repositories/**/pipelines",
        pointer="**/links/type",
        keyword="required",
        fixture="api--pipeline--gildas-bitbucket-cli.json",
        proof_of="pipeline",
        reason="links have no type",
    ),
    Deviation(
        route="GET /repositories/**/pipelines",
        pointer="**/links/self/type",
        keyword="required",
        fixture="api--pipeline--gildas-bitbucket-cli.json",
        proof_of="pipeline",
        reason="links have no type",
    ),
    Deviation(
        route="GET /repositories/**/refs/tags**",
        pointer="**/message",
        keyword="type",
        fixture="repo-push--jenkins-branch-source-tag-created.json",
        proof_of="object",
        reason="null on a lightweight tag",
    ),
    Deviation(
        route="GET /repositories/**/refs/tags**",
        pointer="**/date",
        keyword="type",
        fixture="repo-push--jenkins-branch-source-tag-created.json",
        proof_of="object",
        reason="null on a lightweight tag",
    ),
    Deviation(
        route="GET /repositories/**/refs/tags**",
        pointer="**/tagger",
        keyword="type",
        fixture="repo-push--jenkins-branch-source-tag-created.json",
        proof_of="object",
        reason="null on a lightweight tag",
    ),
)
