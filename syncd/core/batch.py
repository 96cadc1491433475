"""How many changes go together, and in which order: Airtable in tens, Bitbucket one pull request at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from syncd.model.change import Attribute, Cell, Priority, RecordPlan, Write
from syncd.model.ids import PullRequestKey, RecordId

# reference/airtable.md 3.3: at most ten records in one request.
RECORDS_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordUpdate:
    """All cells of one record that change in one request. `writes` are ordered by field."""

    record: RecordId
    writes: tuple[Write, ...]

    @property
    def priority(self) -> Priority:
        """That of its most urgent write."""
        return min(write.priority for write in self.writes)


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestUpdate:
    """All attributes of one pull request that change in one request, whichever records they come from."""

    pull_request: PullRequestKey
    writes: tuple[Write, ...]

    @property
    def priority(self) -> Priority:
        """That of its most urgent write."""
        return min(write.priority for write in self.writes)


Batch = tuple[RecordUpdate, ...]


def of_airtable(plans: Iterable[RecordPlan], *, adoption: bool = False) -> tuple[Batch, ...]:
    """
    The Airtable writes of some plans as requests.

    Args:
        adoption: include writes of rules that nobody accepted yet (only `syncd apply` does).

    Returns:
        Batches of one to ten records, each record in one of them, the most urgent first, then by record id.
    """
    updates = [
        RecordUpdate(record=plan.record, writes=writes)
        for plan in plans
        if (writes := _cells(plan.writes, adoption=adoption))
    ]
    updates.sort(key=lambda update: (update.priority, update.record))
    return tuple(tuple(updates[start : start + RECORDS_MAX]) for start in range(0, len(updates), RECORDS_MAX))


def of_bitbucket(plans: Iterable[RecordPlan], *, adoption: bool = False) -> tuple[PullRequestUpdate, ...]:
    """The Bitbucket writes of some plans, folded per pull request; the most urgent first, then by pull request."""
    folded: dict[PullRequestKey, list[Write]] = {}
    for plan in plans:
        for write in plan.writes:
            if isinstance(write.target, Attribute) and (adoption or not write.adoption):
                folded.setdefault(write.target.pull_request, []).append(write)
    updates = [
        PullRequestUpdate(pull_request=key, writes=tuple(sorted(writes, key=lambda write: (write.what, write.record))))
        for key, writes in folded.items()
    ]
    return tuple(sorted(updates, key=lambda update: (update.priority, update.pull_request)))


def split(batch: Batch) -> tuple[Batch, ...]:
    """
    A refused batch in two halves; a batch of one cannot be split: that record is the culprit and is parked (AT10).

    Returns:
        Two batches, or none.
    """
    if len(batch) < 2:
        return ()
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]


def _cells(writes: Sequence[Write], *, adoption: bool) -> tuple[Write, ...]:
    """The writes to cells, ordered by field."""
    kept = [
        (write.target.field, write)
        for write in writes
        if isinstance(write.target, Cell) and (adoption or not write.adoption)
    ]
    return tuple(write for _, write in sorted(kept, key=lambda entry: entry[0]))
