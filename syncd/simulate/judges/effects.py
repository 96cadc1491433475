"""What the judges share: what syncd truly changed, and how a broken promise is told."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from syncd.simulate.case import Case, Effect, Violation

Judge = Callable[[Case], Iterator[Violation]]


def broken(invariant: str, text: str, at: datetime | None = None) -> Violation:
    """A promise that was broken: which, in words, and when."""
    return Violation(invariant=invariant, text=text, at=at)


def is_create(effect: Effect) -> bool:
    """Whether it came with a new branch or pull request; merging, declining and approving are POSTs, too."""
    return effect.entry.method == "POST" and effect.entry.path.split("?")[0].endswith(
        ("/pullrequests", "/refs/branches")
    )


def cells_changed(case: Case) -> list[Effect]:
    """Cells that syncd changed, without the id of the run that rides along."""
    ignored = riding(case)
    return [one for one in case.own("record") if one.change.attribute not in ignored]


def riding(case: Case) -> set[str]:
    """Ids of the fields that hold the run's id, which rides in every write."""
    return {
        sync.columns.run_id.id
        for _, rules in case.spans
        for sync in rules.syncs.values()
        if sync.columns.run_id is not None
    }


def attributes_changed(case: Case) -> list[Effect]:
    """Attributes of pull requests that syncd changed, without those it made."""
    return [one for one in case.own("pull_request") if not is_create(one)]


# SPEC has a refusal stand until something changes; what only the service knows of is tried rarely (OPERATIONS.md).
PATIENCE = timedelta(minutes=15)
# Statuses of what is refused for what it says.
REFUSALS = (400, 422)


def clock_was_set(case: Case) -> bool:
    """Whether our clock jumped: then its stamps and the world's cannot be compared."""
    return any(verb in ("jump", "suspend") for _, verb, _, _ in case.evidence.told)


def field_name(case: Case, field: str) -> str:
    """What people call a field."""
    return next(
        (known.name for sync in case.syncs() for known in sync.table_fields.values() if known.id == field), field
    )


def forgotten(case: Case, effect: Effect) -> bool:
    """Whether it came after the backup that was put in the state's place later: the rows of it went with the state."""
    for restored in case.evidence.restored_at:
        kept = [at for at, verb, _, done in case.evidence.told if verb == "remember_state" and done and at < restored]
        if kept and max(kept) <= effect.entry.at <= restored:
            return True
    return False
