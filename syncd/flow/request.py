"""The changing requests of a run: which changes travel in each, its operation and its journal rows. Nothing is sent here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from syncd import ports
from syncd.core import batch
from syncd.flow import operation
from syncd.flow.context import Context
from syncd.model import value
from syncd.model.change import Action, Cell, CreateBranch, Kind, RecordPlan, Side, Write
from syncd.model.ids import RecordId, RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One changing request: the operation, the changes that travel in it, and how it is sent."""

    operation: ports.Operation
    writes: tuple[Write, ...] = ()
    action: Action | None = None
    together: batch.Batch = ()

    @property
    def records(self) -> tuple[RecordId, ...]:
        """The records whose changes travel in it."""
        if self.action is not None:
            return (self.action.record,)
        return tuple(sorted({write.record for write in self.writes}))


class Requests:
    """The requests of one run."""

    def __init__(self, context: Context, run: RunId) -> None:
        self._context = context
        self._run = run

    def of_plans(self, plans: Sequence[RecordPlan], now: datetime) -> list[Step]:
        steps: list[Step] = []
        for together in batch.of_airtable(plans, adoption=True):
            steps.append(self.of_cells(together, now))
        for update in batch.of_bitbucket(plans, adoption=True):
            request = operation.attributes_request(update.pull_request, update.writes)
            sending = self._operation(Side.BITBUCKET, "attributes", request, now)
            steps.append(Step(operation=sending, writes=update.writes))
        for action in (action for plan in plans for action in plan.actions):
            kind = "branch" if isinstance(action, CreateBranch) else "pull_request"
            sending = self._operation(Side.BITBUCKET, kind, operation.action_request(action), now)
            steps.append(Step(operation=sending, action=action))
        return steps

    def of_cells(self, together: batch.Batch, now: datetime) -> Step:
        writes = tuple(write for update in together for write in update.writes)
        sending = self._operation(Side.AIRTABLE, "cells", operation.cells_request(writes), now)
        return Step(operation=sending, writes=writes, together=together)

    def _operation(self, side: Side, kind: str, request: Mapping[str, Any], now: datetime) -> ports.Operation:
        return ports.Operation(
            id=self._context.ids.operation(),
            sync=self._context.name,
            run=self._run,
            side=side,
            kind=kind,
            request=request,
            at=now,
        )

    def entries(self, steps: Sequence[Step], now: datetime) -> list[ports.JournalEntry]:
        entries = []
        for step in steps:
            for write in step.writes:
                entries.append(self.entry(step, write, now))
            if step.action is not None:
                entries.append(self._action_entry(step, step.action, now))
        return entries

    def entry(self, step: Step, write: Write, now: datetime) -> ports.JournalEntry:
        target = write.target
        return ports.JournalEntry(
            sync=self._context.name,
            run=self._run,
            operation=step.operation.id,
            spec_hash=self._context.rules.spec_hash,
            record=write.record,
            side=write.side,
            kind=write.kind.value,
            object=write.record if isinstance(target, Cell) else str(target.pull_request),
            field=target.field if isinstance(target, Cell) else target.name,
            place=write.what,
            before=operation.dump(write.before),
            after=operation.dump(write.after),
            owner=write.owner.value,
            rule=write.rule,
            reason=write.reason if len(write.path) < 3 else f"{write.reason} ({' → '.join(write.path)})",
            at=now,
        )

    def _action_entry(self, step: Step, action: Action, now: datetime) -> ports.JournalEntry:
        made = action.name if isinstance(action, CreateBranch) else f"{action.source} → {action.destination}"
        return ports.JournalEntry(
            sync=self._context.name,
            run=self._run,
            operation=step.operation.id,
            spec_hash=self._context.rules.spec_hash,
            record=action.record,
            side=Side.BITBUCKET,
            kind="create branch" if isinstance(action, CreateBranch) else "create pull request",
            object=f"{action.repository}:{made}",
            field="",
            place="branch" if isinstance(action, CreateBranch) else "pull request",
            before="null",
            after=operation.dump(value.text(made)),
            owner="syncd",
            rule=action.rule,
            reason=action.reason,
            at=now,
        )


def places(step: Step) -> str:
    """What a request was to change, for people; the columns about syncd itself only when there is nothing else."""
    if step.action is not None:
        return "the new branch" if isinstance(step.action, CreateBranch) else "the new pull request"
    mapped = [write.what for write in step.writes if write.kind is not Kind.COLUMN]
    return ", ".join(dict.fromkeys(mapped or [write.what for write in step.writes]))
