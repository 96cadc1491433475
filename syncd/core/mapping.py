"""A field rule applied: work → value, value → work, an expression's outcome → value; and what expressions see."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from syncd.core import link
from syncd.model import value
from syncd.model.ids import RepositoryId
from syncd.model.schema import Field
from syncd.model.situation import Situation
from syncd.model.value import NOTHING, Boolean, Options, Text, Unknown, Value
from syncd.model.work import Branch, Build, Commit, Deployment, List, PullRequest
from syncd.spec.attributes import ATTRIBUTES, PRIMARIES, Kind, empty_element
from syncd.spec.expression import Expression
from syncd.spec.rules import FieldRule, SyncRules

_ONE_LINE = frozenset({"singleLineText", "email", "url", "phoneNumber"})
_TEXTS = _ONE_LINE | {"multilineText", "richText"}
_NUMBERS = frozenset({"number", "percent", "currency", "rating", "duration"})
_LINE_ENDS = re.compile(r"\s*[\r\n]\s*")
_WORST_FIRST = ("FAILED", "STOPPED", "INPROGRESS", "SUCCESSFUL")
_WORST_RANK = {state: rank for rank, state in enumerate(_WORST_FIRST)}


@dataclass(frozen=True, slots=True)
class Unfit:
    """A value that cannot stand where it should. `reason` is for people."""

    reason: str


# ------------------------------------------------------------------------------------------- attributes of work


def approvers(pull_request: PullRequest, rules: SyncRules) -> list[str]:
    """Who approves and counts: neither the author nor a bot."""
    return sorted(one for one in pull_request.approved_by if one != pull_request.author and one not in rules.bots)


def _slug(repository: RepositoryId, rules: SyncRules) -> str:
    for known in rules.repositories:
        if known.id == repository:
            return known.slug
    return repository


# One function per kind: all attributes at once, as these are the innermost lines of every plan. None is empty; moments
# are still datetimes, `_shown` makes texts of them.
def _pull_request(pr: PullRequest, rules: SyncRules) -> dict[str, Any]:
    counted = approvers(pr, rules) if pr.approved_by else []
    return {
        "id": pr.key.number,
        "repository": _slug(pr.key.repository, rules),
        "url": pr.url,
        "title": link.title_without_prefix(pr.title, rules),
        "description": pr.description,
        "state": pr.state,
        "queued": pr.queued,
        "draft": pr.draft,
        "author": pr.author or None,
        "reviewers": sorted(pr.reviewers),
        "approvals": len(counted),
        "approved_by": counted,
        "changes_requested_by": sorted(pr.changes_requested_by),
        "source_branch": pr.source_branch,
        "destination_branch": pr.destination_branch,
        "source_commit": pr.source_commit or None,
        "merge_commit": pr.merge_commit or None,
        "comment_count": pr.comment_count,
        "open_tasks": pr.open_tasks,
        "created_on": pr.created_on,
        "updated_on": pr.updated_on,
        "merged_on": pr.merged_on,
        "closed_by": pr.closed_by or None,
        "reason": pr.reason or None,
    }


# The same words once more, for those that fields are mapped to most.
_SHORT: Mapping[str, Callable[[PullRequest, SyncRules], Any]] = {
    "title": lambda pr, rules: link.title_without_prefix(pr.title, rules),
    "description": lambda pr, _: pr.description,
    "reviewers": lambda pr, _: sorted(pr.reviewers),
    "state": lambda pr, _: pr.state,
    "draft": lambda pr, _: pr.draft,
    "source_commit": lambda pr, _: pr.source_commit or None,
    "merged_on": lambda pr, _: pr.merged_on,
}


def _branch(branch: Branch, rules: SyncRules) -> dict[str, Any]:
    return {
        "name": branch.name,
        "repository": _slug(branch.repository, rules),
        "url": branch.url,
        "target_commit": branch.target_commit,
        "target_on": branch.target_on,
        "author": branch.author or None,
        "ahead": bool(branch.ahead),
    }


def _commit(commit: Commit, rules: SyncRules) -> dict[str, Any]:
    return {
        "hash": commit.hash,
        "repository": _slug(commit.repository, rules),
        "url": commit.url,
        "message": commit.message,
        "author": commit.author or None,
        "date": commit.date,
    }


def _build(build: Build, _rules: SyncRules) -> dict[str, Any]:
    return {
        "key": build.key,
        "name": build.name,
        "state": build.state,
        "url": build.url or None,
        "commit": build.commit,
        "updated_on": build.updated_on,
    }


def _deployment(deployment: Deployment, _rules: SyncRules) -> dict[str, Any]:
    return {
        "environment": deployment.environment,
        "environment_type": deployment.environment_type,
        "state": deployment.state,
        "commit": deployment.commit,
        "release": deployment.release or None,
        "url": deployment.url or None,
        "completed_on": deployment.completed_on,
    }


_ATTRIBUTES_OF: Mapping[str, Callable[[Any, SyncRules], dict[str, Any]]] = {
    "pr": _pull_request,
    "branch": _branch,
    "commit": _commit,
    "build": _build,
    "deployment": _deployment,
}


def _needs(attribute: str) -> frozenset[List]:
    """The lists that must be complete before the attribute of a primary means anything."""
    primary = attribute.partition(".")[0]
    lists = {PRIMARIES[primary]}
    if primary in ("branch", "build"):
        # The primary's source branch and builds are meant: which is the primary must be known first.
        lists.add(List.PULL_REQUESTS)
    return frozenset(lists)


_MOMENTS = {
    kind: tuple(entry.key for entry in ATTRIBUTES.values() if entry.primary == kind and entry.kind is Kind.INSTANT)
    for kind in PRIMARIES
}
NEEDS: Mapping[str, frozenset[List]] = {name: _needs(name) for name in ATTRIBUTES}


def source(attribute: str, linked: link.Linked) -> PullRequest | Branch | Commit | Build | Deployment | None:
    """The piece of work that `pr.…`, `branch.…`, `build.…` or `deployment.…` speaks of; None when there is none."""
    match attribute.partition(".")[0]:
        case "pr":
            return linked.primary
        case "branch":
            return _primary_branch(linked)
        case "build":
            return _worst_build(linked)
        case "commit":
            return linked.commits[0] if linked.commits else None
        case _:
            return linked.deployments[0] if linked.deployments else None


def _primary_branch(linked: link.Linked) -> Branch | None:
    primary = linked.primary
    if primary is not None:
        for branch in linked.branches:
            if branch.name == primary.source_branch and branch.repository == primary.source_repository:
                return branch
    return linked.branches[0] if linked.branches else None


def _worst_build(linked: link.Linked) -> Build | None:
    """The worst of the primary's builds, the newest among equals."""
    head = linked.primary.source_commit if linked.primary is not None else ""
    if not head:
        return None
    builds = [build for build in linked.builds if build.commit.startswith(head)]
    # `builds` is newest first and `min` keeps the first of equals. An unknown state is never taken for success.
    return min(builds, key=lambda build: _WORST_RANK.get(build.state, 0), default=None)


def incomplete(lists: frozenset[List], situation: Situation) -> str:
    """Why something that reads these lists cannot be decided; "" when all of them are complete."""
    missing = situation.work.incomplete
    if not missing:
        return ""
    told = [
        f"{entry.value} are not completely known ({missing[entry]})"
        for entry in List
        if entry in lists and entry in missing
    ]
    return "; ".join(told)


def unread(expression: Expression, situation: Situation, linked: link.Linked, rules: SyncRules) -> str:
    """Why this expression cannot be evaluated now: an incomplete list, a cell or an answer that is missing; else ""."""
    reason = incomplete(expression.lists, situation)
    if reason:
        return reason
    for name in expression.record_fields:
        field = _field(name, rules)
        cell = NOTHING if field is None else situation.record.cells.get(field.id, NOTHING)
        if isinstance(cell, Unknown):
            return f'the cell "{name}" cannot be read{_because(cell)}'
    if List.BRANCHES in expression.lists and "ahead" in expression.source:
        for branch in linked.branches:
            if branch.ahead is None:
                return f"whether {branch.name} has commits is not known yet"
    if List.PULL_REQUESTS in expression.lists and "merged_on" in expression.source:
        for pull_request in linked.pull_requests:
            if pull_request.state == "MERGED" and pull_request.merged_on is None:
                return f"when pull request #{pull_request.key.number} was merged is not known yet"
    return ""


def _because(cell: Unknown) -> str:
    return f" ({cell.reason})" if cell.reason else ""


# ------------------------------------------------------------------------------------------- what expressions see


class Scope(Mapping[str, Any]):
    """
    Every name of SPEC "Expressions", made when it is first asked for: most conditions read one list.

    `status` may be set again: actions see the status after the machine has moved.
    """

    def __init__(self, situation: Situation, linked: link.Linked, rules: SyncRules) -> None:
        self._situation = situation
        self._linked = linked
        self._rules = rules
        self._made: dict[str, Any] = {}
        self._elements: dict[int, dict[str, Any]] = {}

    def with_status(self, status: str | None) -> "Scope":
        """The same scope, in which the record has that status."""
        self._made["status"] = status
        return self

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _MAKERS[name](self)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_MAKERS)

    def __len__(self) -> int:
        return len(_MAKERS)

    def _element(self, kind: str, found: Any) -> dict[str, Any]:
        made = self._elements.get(id(found))
        if made is None:
            made = _ATTRIBUTES_OF[kind](found, self._rules)
            for key in _MOMENTS[kind]:
                made[key] = _shown(made[key])
            self._elements[id(found)] = made
        return made

    def _all(self, kind: str, found: tuple[Any, ...]) -> list[dict[str, Any]]:
        return [self._element(kind, one) for one in found]

    def _one(self, kind: str) -> dict[str, Any]:
        found = source(kind, self._linked)
        return empty_element(PRIMARIES[kind]) if found is None else self._element(kind, found)

    def _record(self) -> dict[str, Any]:
        cells = self._situation.record.cells
        made: dict[str, Any] = {}
        for name, field in self._rules.table_fields.items():
            cell = cells.get(field.id, NOTHING)
            if cell is NOTHING or isinstance(cell, Unknown):
                seen: Any = False if field.kind == "checkbox" else None
            else:
                seen = value.plain(cell)
            made[name] = seen
            made[field.id] = seen
        return made

    def _name(self) -> Any:
        cell = self._situation.record.cells.get(self._rules.primary, NOTHING)
        return None if isinstance(cell, Unknown) else value.plain(cell)

    def _status(self) -> Any:
        status = self._rules.status
        cell = NOTHING if status is None else self._situation.record.cells.get(status.field.id, NOTHING)
        return None if isinstance(cell, Unknown) else value.plain(cell)


_MAKERS: Mapping[str, Callable[[Scope], Any]] = {
    "record": Scope._record,
    "record_id": lambda scope: scope._situation.record.id,
    "name": Scope._name,
    "status": Scope._status,
    "today": lambda scope: scope._situation.now.astimezone(UTC).date().isoformat(),
    "now": lambda scope: value.format_instant(scope._situation.now),
    "branches": lambda scope: scope._all("branch", scope._linked.branches),
    "prs": lambda scope: scope._all("pr", scope._linked.pull_requests),
    "commits": lambda scope: scope._all("commit", scope._linked.commits),
    "builds": lambda scope: scope._all("build", scope._linked.builds),
    "deployments": lambda scope: scope._all("deployment", scope._linked.deployments),
    "pr": lambda scope: scope._one("pr"),
    "branch": lambda scope: scope._one("branch"),
    "commit": lambda scope: scope._one("commit"),
    "build": lambda scope: scope._one("build"),
    "deployment": lambda scope: scope._one("deployment"),
}


def _shown(raw: Any) -> Any:
    return value.format_instant(raw) if isinstance(raw, datetime) else raw


def _field(name: str, rules: SyncRules) -> Field | None:
    found = rules.table_fields.get(name)
    return found if found is not None else next((one for one in rules.table_fields.values() if one.id == name), None)


# ------------------------------------------------------------------------------------------- values of a field


def attribute_value(rule: FieldRule, found: Any, rules: SyncRules) -> Value | Unfit | Unknown:
    """
    An attribute of work as its field's value.

    Args:
        rule: a rule with an attribute.
        found: the piece of work that the attribute is of (`source`); None when there is none.

    Returns:
        The value; `Unknown` when Bitbucket has not been asked; `Unfit` when the field cannot hold it.
    """
    if found is None:
        return NOTHING
    kind, _, key = (rule.attribute or "").partition(".")
    raw = _attribute(kind, key, found, rules)
    if raw is None and key == "merged_on" and found.state == "MERGED":
        return Unknown(f"when pull request #{found.key.number} was merged is not known yet")
    if key == "ahead" and found.ahead is None:
        return Unknown(f"whether {found.name} has commits is not known yet")
    if rule.map and raw is not None:
        mapped = rule.map.get(_key_of(raw))
        if mapped is None:
            return Unfit(f'{rule.attribute} is "{_key_of(raw)}", for which "{rule.field.name}" has no value')
        raw = mapped
    elif rule.attribute == "pr.title":
        return value.text(link.title_line(raw, rules))
    return fit(raw, rule.field)


def _attribute(kind: str, key: str, found: Any, rules: SyncRules) -> Any:
    """One attribute, without making all of them where it stands as it is."""
    short = _SHORT.get(key) if kind == "pr" else None
    if short is not None:
        return short(found, rules)
    return _ATTRIBUTES_OF[kind](found, rules)[key]


def cell_value(rule: FieldRule, cell: Value, rules: SyncRules) -> Value:
    """A cell in the form in which it is compared with the attribute: a title is one line that Bitbucket can hold."""
    if isinstance(cell, Text) and cell.raw is not None and not rule.map and rule.attribute == "pr.title":
        return value.text(link.title_line(cell.raw, rules))
    if isinstance(cell, value.Number) and rule.field.precision is not None:
        return value.number(cell.number, rule.field.precision)
    return cell


def written_value(rule: FieldRule, wanted: Value) -> Value | Unfit:
    """
    A field's value as the attribute's, for writing it to Bitbucket; the prefix of a title is put on by `plan`.

    Returns:
        The value; `Unfit` when the map does not say which attribute value is meant, or only a hash of it is known.
    """
    kind = ATTRIBUTES[rule.attribute or ""].kind
    if isinstance(wanted, Text) and wanted.raw is None and wanted.key.startswith("sha256:"):
        return Unfit(f'"{rule.field.name}" is remembered by its hash only')
    if not rule.map or (wanted is NOTHING and kind is not Kind.BOOLEAN):
        return wanted
    shown = value.plain(wanted)
    meant = [name for name, mapped in rule.map.items() if mapped == shown]
    if len(meant) != 1:
        which = "no value" if not meant else f"several values ({', '.join(sorted(meant))})"
        return Unfit(f'"{rule.field.name}" is {_quoted(shown)}, which stands for {which} of {rule.attribute}')
    if kind is Kind.BOOLEAN:
        return value.boolean(meant[0] == "true")
    return value.text(meant[0])


def fit(raw: Any, field: Field) -> Value | Unfit:
    """
    Anything that an attribute or an expression gives, as a value that the field can hold.

    Args:
        raw: text, number, truth, datetime, list of texts or None.

    Returns:
        The value as Airtable reads it back (reference/airtable.md 4.2), or why the field cannot hold it.
    """
    if raw is None or raw in ("", []):
        return NOTHING
    if field.kind in _TEXTS:
        return _as_text(raw, field)
    if field.kind in _NUMBERS:
        return _as_number(raw, field)
    match field.kind:
        case "checkbox":
            return value.boolean(raw) if isinstance(raw, bool) else _unfit(raw, field, "true or false")
        case "singleSelect":
            return _as_option(raw, field)
        case "multipleSelects":
            return _as_options(raw, field)
        case "date" | "dateTime":
            return _as_moment(raw, field)
    return Unfit(f'"{field.name}" is a {field.kind} field, which syncd cannot write')


def _as_text(raw: Any, field: Field) -> Value | Unfit:
    if isinstance(raw, bool):
        shown = "true" if raw else ""
    elif isinstance(raw, str):
        shown = raw
    elif isinstance(raw, int | float):
        shown = str(raw)
    elif isinstance(raw, datetime):
        shown = value.format_instant(raw)
    elif isinstance(raw, list):
        shown = ", ".join(str(entry) for entry in raw)
    else:
        return _unfit(raw, field, "text")
    # A line end in a one-line cell would not read back.
    return value.text(_LINE_ENDS.sub(" ", shown) if field.kind in _ONE_LINE else shown)


def _as_number(raw: Any, field: Field) -> Value | Unfit:
    if isinstance(raw, int | float | str) and not isinstance(raw, bool):
        try:
            return value.number(raw, field.precision)
        except (ValueError, ArithmeticError):
            pass
    return _unfit(raw, field, "a number")


def _as_option(raw: Any, field: Field) -> Value | Unfit:
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        return _unfit(raw, field, "the name of an option")
    chosen = value.text(str(raw))
    if field.choices and isinstance(chosen, Text) and chosen.key not in field.choices:
        return Unfit(f'"{field.name}" has no option "{chosen.key}"; options: {", ".join(field.choices)}')
    return chosen


def _as_options(raw: Any, field: Field) -> Value | Unfit:
    names = [raw] if isinstance(raw, str) else raw
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return _unfit(raw, field, "a list of option names")
    strange = [name for name in names if field.choices and name not in field.choices]
    if strange:
        return Unfit(f'"{field.name}" has no option "{strange[0]}"; options: {", ".join(field.choices)}')
    return value.options(names)


def _as_moment(raw: Any, field: Field) -> Value | Unfit:
    wanted = "a moment (ISO 8601)" if field.kind == "dateTime" else "a day (ISO 8601)"
    if not isinstance(raw, str | datetime):
        return _unfit(raw, field, wanted)
    try:
        moment = raw if isinstance(raw, datetime) else datetime.fromisoformat(raw)
    except ValueError:
        return _unfit(raw, field, wanted)
    if field.kind == "date":
        return value.Day(moment.astimezone(UTC).date() if moment.tzinfo else moment.date())
    if moment.tzinfo is None:
        if isinstance(raw, str) and len(raw) > len(date.min.isoformat()):
            return _unfit(raw, field, "a moment with its time zone")
        moment = moment.replace(tzinfo=UTC)
    return value.instant(moment)


def _key_of(raw: Any) -> str:
    return str(raw).lower() if isinstance(raw, bool) else str(raw)


def _unfit(raw: Any, field: Field, wanted: str) -> Unfit:
    return Unfit(f'"{field.name}" needs {wanted}, not {_quoted(raw)}')


def _quoted(raw: Any) -> str:
    shown = str(raw)
    return f'"{shown[:60]}"' if isinstance(raw, str) else f"{shown[:60]}"


def is_empty(found: Value) -> bool:
    """Whether the value is the empty one."""
    return found is NOTHING


def removed(before: Value | Unknown, after: Value) -> int:
    """How many values a write takes away: a value emptied counts one, a set each name that goes."""
    if isinstance(before, Options):
        return len(before.names - (after.names if isinstance(after, Options) else frozenset()))
    emptied = after is NOTHING and before is not NOTHING and not isinstance(before, Unknown | Boolean)
    return 1 if emptied else 0
