"""What expressions see, and whether it is completely known. SPEC section 2, "Expressions"; section 3, "Unknown is not empty"."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from syncd.core import attribute, link
from syncd.model import value
from syncd.model.schema import Field
from syncd.model.situation import Situation
from syncd.model.value import NOTHING, Unknown
from syncd.model.work import List
from syncd.spec.attributes import PRIMARIES, empty_element
from syncd.spec.expression import Expression
from syncd.spec.rules import SyncRules


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
            made = attribute.ALL_OF[kind](found, self._rules)
            for key in attribute.MOMENTS[kind]:
                made[key] = _shown(made[key])
            self._elements[id(found)] = made
        return made

    def _all(self, kind: str, found: tuple[Any, ...]) -> list[dict[str, Any]]:
        return [self._element(kind, one) for one in found]

    def _one(self, kind: str) -> dict[str, Any]:
        found = attribute.source(kind, self._linked)
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
