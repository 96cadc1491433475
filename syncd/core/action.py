"""What is made once for a record: natural keys, what to look for first, what to wait for. SPEC section 3, "Actions"."""

import re
from dataclasses import dataclass
from typing import assert_never

from syncd.core import link, scoping
from syncd.model import value
from syncd.model.change import Action, CreateBranch, CreatePullRequest
from syncd.model.ids import PullRequestKey, RecordId, RepositoryId
from syncd.model.schema import Repository
from syncd.model.situation import Made, Situation
from syncd.model.value import NOTHING, Text, Unknown
from syncd.model.work import Branch, List
from syncd.spec.expression import ExpressionError
from syncd.spec.rules import ActionRule, CreateBranchRule, CreatePullRequestRule, SyncRules

# What git refuses in a branch name (git check-ref-format), and what people cannot see (DA02, DA09).
_REFUSED = re.compile(r"[\x00-\x20\x7f~^:?*\[\\\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")
# Of a path component in git's files, less room for a lock's suffix.
BRANCH_CHARACTERS_MAX = 200
_LOOKED_FOR = frozenset({List.BRANCHES, List.PULL_REQUESTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    What becomes of one action rule; at most one part is set.

    Args:
        action: what is to be made.
        found: what would be made exists already (`object_of_branch`, `object_of_pull_request`): remember it as made.
        pending: why it waits. `person`: it waits for somebody, who is told in the note.
        refusal: why it is not made, or not made again, in words for the note.
    """

    action: Action | None = None
    found: str = ""
    pending: str = ""
    person: bool = False
    refusal: str = ""


_NOTHING_TO_DO = Verdict()


def object_of_branch(repository: RepositoryId, name: str) -> str:
    """How a made branch is remembered (`Made.object`)."""
    return f"{repository}:{name}"


def object_of_pull_request(key: PullRequestKey) -> str:
    """How a made pull request is remembered (`Made.object`)."""
    return str(key)


def decide(
    rule: ActionRule, situation: Situation, linked: link.Linked, scope: scoping.Scope, rules: SyncRules
) -> Verdict:
    """
    What one action rule makes of the situation; the rule is accepted, and the record in scope and not held.

    Args:
        scope: with the status as it is after this plan.
    """
    reason = scoping.unread(rule.when, situation, linked, rules) or scoping.incomplete(_LOOKED_FOR, situation)
    if reason:
        return Verdict(pending=reason)
    try:
        wanted = bool(rule.when.evaluate(scope))
    except ExpressionError as exc:
        return Verdict(refusal=f"{rule.key}: its condition fails: {exc.message}")
    made = situation.made.get(rule.key)
    if made is not None:
        return _made_before(rule, made, situation, linked, wanted=wanted)
    if not wanted:
        return _NOTHING_TO_DO
    match rule:
        case CreateBranchRule():
            return _branch(rule, situation, linked, scope, rules)
        case CreatePullRequestRule():
            return _pull_request(rule, situation, linked, scope, rules)
        case _:
            assert_never(rule)


def _made_before(rule: ActionRule, made: Made, situation: Situation, linked: link.Linked, *, wanted: bool) -> Verdict:
    """Once per rule and record, for ever: a vanished or declined object is reported, never made again."""
    if made.intended:
        return Verdict(pending=f"{rule.key}: whether it was made is being looked up")
    if isinstance(rule, CreateBranchRule):
        if wanted and not linked.branches:
            return Verdict(refusal=f"{rule.key}: the branch was made once and is gone; it is not made again")
        return _NOTHING_TO_DO
    # Among all of the work: one that was found instead of made need not be linked.
    found = next(
        (pr for pr in situation.work.pull_requests if made.object in (object_of_pull_request(pr.key), pr.url)), None
    )
    if found is None:
        gone = wanted and not linked.pull_requests
        return (
            Verdict(refusal=f"{rule.key}: the pull request was made once and is gone; it is not made again")
            if gone
            else _NOTHING_TO_DO
        )
    if found.state in ("DECLINED", "SUPERSEDED") and linked.primary is found:
        told = f"{rule.key}: pull request #{found.key.number} was {found.state.lower()}; another one is not made"
        return Verdict(refusal=told)
    return _NOTHING_TO_DO


# ------------------------------------------------------------------------------------------- branches


def _branch(
    rule: CreateBranchRule, situation: Situation, linked: link.Linked, scope: scoping.Scope, rules: SyncRules
) -> Verdict:
    record = situation.record.id
    found = _branch_of(record, linked)
    if found is not None:
        return Verdict(found=object_of_branch(found.repository, found.name))
    place = _place(rule, situation, rules)
    if isinstance(place, Verdict):
        return place
    start = rule.start or place.main_branch
    if not start:
        return Verdict(
            pending=f"{rule.key}: the repository {place.slug} is empty, so a branch has nothing to begin at",
            person=True,
        )
    try:
        name = branch_name(rules.link.branch.render(scope), record)
    except ExpressionError as exc:
        return Verdict(refusal=f"{rule.key}: the branch's name fails: {exc.message}")
    action = CreateBranch(
        record=record, rule=rule.key, reason=f"holds: {rule.when.source}", repository=place.id, name=name, start=start
    )
    return Verdict(action=action)


def _branch_of(record: RecordId, linked: link.Linked) -> Branch | None:
    """By the record's id, never by the full name: the part behind the id changes with the record's name."""
    return next((branch for branch in linked.branches if record in branch.name), None)


def _place(rule: ActionRule, situation: Situation, rules: SyncRules) -> Repository | Verdict:
    """Where new work is made, or what is missing to know it."""
    chosen, missing = _chosen(situation, rules)
    found = next((repository for repository in rules.repositories if repository.id == chosen), None)
    if found is None:
        return Verdict(pending=f"{rule.key}: {missing or 'its repository cannot be seen'}", person=True)
    return found


def _chosen(situation: Situation, rules: SyncRules) -> tuple[RepositoryId | None, str]:
    """The repository, or None and what is missing to know it."""
    place = rules.create_in
    if place is None or place.field is None:
        only = rules.repositories[0].id if place is None and len(rules.repositories) == 1 else place and place.only
        return (only, "") if only else (None, "nothing says in which repository the work begins (create_in)")
    name = next((known.name for known in rules.table_fields.values() if known.id == place.field), place.field)
    cell = situation.record.cells.get(place.field, NOTHING)
    if cell is NOTHING or isinstance(cell, Unknown):
        return None, f'"{name}" is empty; it says in which repository the work begins'
    shown = str(value.plain(cell))
    chosen = place.choices.get(shown)
    if chosen is None:
        known = ", ".join(sorted(place.choices))
        return None, f'"{name}" is "{shown}", for which no repository is named; there are: {known}'
    return chosen, ""


def branch_name(rendered: str, record: RecordId) -> str:
    """
    A name that git takes and by which the record is found again.

    Args:
        rendered: the spec's template, filled in.
    """
    name = _REFUSED.sub("-", rendered).replace("@{", "-").replace("..", "-")
    parts = [_part(part) for part in name.split("/")]
    name = "/".join(part for part in parts if part)
    if record not in name:
        name = f"{record}-{name}" if name and "/" not in name else f"{name}/{record}".lstrip("/")
    if len(name) > BRANCH_CHARACTERS_MAX:
        end = name.index(record) + len(record)
        # The id is kept, whatever it costs of what stands around it.
        name = name[:BRANCH_CHARACTERS_MAX] if end <= BRANCH_CHARACTERS_MAX else f"feature/{record}"
    return "/".join(_part(part) for part in name.split("/"))


def _part(part: str) -> str:
    trimmed = part.strip("-.")
    while trimmed.endswith(".lock"):
        trimmed = trimmed.removesuffix(".lock").strip("-.")
    return trimmed if trimmed != "@" else ""


# ------------------------------------------------------------------------------------------- pull requests


def _pull_request(
    rule: CreatePullRequestRule, situation: Situation, linked: link.Linked, scope: scoping.Scope, rules: SyncRules
) -> Verdict:
    record = situation.record.id
    sources = {(branch.repository, branch.name) for branch in linked.branches}
    for found in situation.work.pull_requests:
        # In any state: the service would rewrite an open one, and a closed one is a person's decision (BB18).
        if (found.source_repository, found.source_branch) in sources:
            return Verdict(found=object_of_pull_request(found.key))
    ahead = next((branch for branch in linked.branches if branch.ahead), None)
    if ahead is None:
        waits = "its branch has no commits yet" if linked.branches else "there is no branch yet"
        return Verdict(pending=f"{rule.key}: {waits}")
    repository = next((known for known in rules.repositories if known.id == ahead.repository), None)
    destination = rule.into or (repository.main_branch if repository is not None else "")
    if not destination or destination == ahead.name:
        return Verdict(pending=f"{rule.key}: there is no branch to merge {ahead.name} into", person=True)
    name = situation.record.cells.get(rules.primary, NOTHING)
    if not isinstance(name, Text) or name.raw is None:
        return Verdict(pending=f"{rule.key}: the record has no name yet, and a pull request needs a title", person=True)
    try:
        description = "" if rule.description is None else rule.description.render(scope)
    except ExpressionError as exc:
        return Verdict(refusal=f"{rule.key}: the description fails: {exc.message}")
    action = CreatePullRequest(
        record=record,
        rule=rule.key,
        reason=f"holds: {rule.when.source}",
        repository=ahead.repository,
        source=ahead.name,
        destination=destination,
        title=link.title_with_prefix(record, link.title_line(name.raw, rules), rules),
        description=description,
        draft=rule.draft,
    )
    return Verdict(action=action)
