"""
What people can ask of syncd, by a command or by the admin listener: every method takes and returns plain, JSON-ready things.

It works on the state and the services directly, so it is the same with a running daemon (which calls it) and without one
(where the command holds the state's lock).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from syncd import errors, log, ports
from syncd.flow import cycle, digest, full_compare, generation, health, outcomes, planning, refusal
from syncd.flow.context import Context
from syncd.model import value
from syncd.model.change import AgreedKey, CreateBranch, Plan, RecordPlan, RecordState, Side, Write
from syncd.model.ids import FieldId, RecordId, RunId, SyncName
from syncd.model.situation import Hold

_log = log.logger("flow.control")


class Control:
    """
    Args:
        contexts: the syncs as they are now; asked each time, because a reload replaces them.
        vital: what health is computed from, at this moment.
        wake: tell the workers that there is something to do.
        want_compare: ask a sync's worker for a full compare.
        reload: read the spec again; returns what came of it.
        exclusive: a lock per sync, so that a command's plan and the worker's pass never run together.
        stop: why an apply should end between two requests, because the process or its spec does; "" to go on.
    """

    def __init__(
        self,
        *,
        contexts: Callable[[], Sequence[Context]],
        vital: Callable[[], health.Vital],
        clock: ports.Clock,
        wake: Callable[[], None],
        want_compare: Callable[[SyncName], None],
        reload: Callable[[], Mapping[str, Any]],
        exclusive: Callable[[SyncName], Any],
        ready: Callable[[], tuple[bool, str]],
        stop: Callable[[], str] = lambda: "",
    ) -> None:
        self._contexts = contexts
        self._vital = vital
        self._clock = clock
        self._wake = wake
        self._want_compare = want_compare
        self._reload = reload
        self._exclusive = exclusive
        self._ready = ready
        self._stop = stop

    # ------------------------------------------------------------------------------------------------- looking

    def status(self) -> dict[str, Any]:
        """`GET /status`, SPEC section 5."""
        return health.status(self._vital())

    def ready(self) -> tuple[bool, str]:
        """Whether work may be taken, and why not."""
        return self._ready()

    def conflicts(self, sync: str | None) -> dict[str, Any]:
        """All open conflicts."""
        rows = [
            {
                "sync": context.name,
                "record": conflict.record,
                "field": conflict.field,
                "what": conflict.what,
                "pull_request": str(conflict.pull_request) if conflict.pull_request else None,
                "airtable": value.plain(conflict.airtable),
                "bitbucket": value.plain(conflict.bitbucket),
                "reason": conflict.reason,
            }
            for context in self._chosen(sync)
            for conflict in context.store.load_conflicts(context.name)
        ]
        return {"conflicts": rows}

    def journal(self, sync: str | None, record: str | None, run: str | None, after: int, limit: int) -> dict[str, Any]:
        """Journal rows in order; without `after` the newest."""
        return read_journal(self._chosen(sync)[0].store, sync, record, run, after, limit)

    # ------------------------------------------------------------------------------------------ plan and apply

    def plan(self, sync: str | None) -> dict[str, Any]:
        """Compare both sides in full and show what would be done. Makes no write request."""
        return {"plans": [self._plan(context) for context in self._chosen(sync)]}

    def _plan(self, context: Context) -> dict[str, Any]:
        with self._exclusive(context.name):
            now = self._clock.now()
            for repository in context.sync.repositories:
                full_compare.compare_repository(context, repository.id, now)
            ids, names = self._listed(context)
            # As `apply` reads it, which tries again what was refused.
            made = planning.make(context, ids, now, again=True)
            verdict = cycle.judge(context, made.plan, made.collected.situations, now, accepting=True)
            return render(context, made.plan, names, "; ".join(verdict.reasons), verdict.largest)

    def apply(self, sync: str | None, plan_digest: str | None, accept: list[str]) -> dict[str, Any]:
        """
        Carry out what a plan shows, rules in adoption included, and accept them.

        Args:
            plan_digest: the plan that the person saw; another one now is refused. Or the name that health gives to records
                that are missing all at once: with `accept` they may go.
            accept: "mass-change" lets the plan pass the guard, and what stands refused of missing records.

        Raises:
            Refused: the plan changed since it was shown, or the guard refuses it.
        """
        unknown = sorted(set(accept) - {"mass-change"})
        if unknown:
            raise errors.UsageError(f"nothing called {unknown[0]!r} can be accepted; there is: mass-change")
        ran: list[tuple[Context, str, outcomes.Tally]] = []
        try:
            for context in self._chosen(sync):
                ran.append((context, *self._apply(context, plan_digest, "mass-change" in accept)))
        finally:
            if any(tally.refused for _, _, tally in ran):
                # As the worker does: it may name a field that is gone, or has another type now. After the last of them, as a
                # reload ends what is under way.
                self._reload()
            self._wake()
        return {"runs": [_ran(*one) for one in ran], "plans_left": 0}

    def _apply(self, context: Context, plan_digest: str | None, accept_mass_change: bool) -> tuple[str, outcomes.Tally]:
        """Returns the run's id, and what it did."""
        with self._exclusive(context.name):
            now = self._clock.now()
            paused = context.switch.paused(context.name, None)
            if paused:
                raise errors.Refused(
                    f"{context.name} is paused: {paused}", next_step=f"syncd resume sync.{context.name}"
                )
            emptied = (context.store.load_text(full_compare.emptied_key(context.name)) or "").partition("\n")[0]
            if emptied and accept_mass_change and plan_digest in {None, emptied}:
                context.store.save_acceptance_once(context.name, emptied)
                self._want_compare(context.name)
                if plan_digest is not None:
                    return "", outcomes.Tally()
            for repository in context.sync.repositories:
                problem = full_compare.compare_repository(context, repository.id, now)
                if problem is not None:
                    why = full_compare.unreadable(repository.slug, problem)
                    raise errors.SyncdError(f"{why}; nothing was applied", next_step="syncd status")
            refused = refusal.standing(context)
            # A refused plan is accepted as it was: of its records alone, and of the daemon's without rules in adoption.
            if refused is not None and refused.digest == plan_digest:
                ids, accepting = list(refused.records), refused.accepting
            else:
                ids, accepting = self._listed(context)[0], True
            keys = self._claim(context, ids, now)
            try:
                done = cycle.carry_out(
                    context,
                    keys,
                    now,
                    self._stop,
                    accepting=accepting,
                    accept_mass_change=accept_mass_change,
                    expected=plan_digest,
                    by="command",
                )
            except errors.SyncdError:
                context.store.release_records(keys, now, failed=False)
                raise
            if done.schema_changed:
                self._reload()
                raise errors.Refused(
                    f"{context.name}: the fields of the table changed since the spec was read; nothing was applied",
                    next_step="syncd plan",
                )
            if done.verdict:
                raise errors.Refused(
                    done.verdict,
                    next_step=f"syncd apply {done.digest} --accept mass-change",
                    largest=done.largest,
                )
            after = self._clock.now()
            if accepting:
                context.store.save_accepted(context.name, context.sync.accepts(), after)
                context.store.save_text(generation.doubt_key(context.name), "")
            else:
                # What waited behind the refusal goes on.
                known = sorted(context.store.load_known(context.name))
                context.store.mark_records(context.name, known, ports.Lane.COMPARE, after, after)
            return done.run, done.tally or outcomes.Tally()

    def _claim(self, context: Context, ids: Sequence[RecordId], now: datetime) -> list[ports.DirtyRecord]:
        context.store.mark_records(context.name, ids, ports.Lane.EDIT, now, now)
        wanted = set(ids)
        claimed = cycle.claim_all(context, now)
        foreign = [key for key in claimed if key.record not in wanted]
        if foreign:
            context.store.release_records(foreign, now, failed=False)
        return [key for key in claimed if key.record in wanted]

    def _listed(self, context: Context) -> tuple[list[RecordId], dict[RecordId, str]]:
        sync = context.sync
        names: dict[RecordId, str] = {}
        listed = context.catalogue.fetch_listing(
            sync.table, sync.view, context.fields(), lambda one: names.update({RecordId(one.name): ""})
        )
        for record in listed:
            cell = record.cells.get(sync.primary)
            plain = None if cell is None or isinstance(cell, value.Unknown) else value.plain(cell)
            names[record.id] = "" if plain is None else str(plain)
        known = context.store.load_known(context.name)
        return sorted({*names, *known}), names

    # ---------------------------------------------------------------------------------------- people's decisions

    def pause(self, scope: str, reason: str) -> dict[str, Any]:
        """Stop changing requests of a scope: "all", "sync.NAME", "to-airtable", "to-bitbucket"."""
        self._scope(scope)
        switch = self._chosen(None)[0].switch
        switch.pause(scope, reason)
        return {"paused": dict(switch.scopes())}

    def resume(self, scope: str) -> dict[str, Any]:
        """Let them start again."""
        self._scope(scope)
        switch = self._chosen(None)[0].switch
        if not switch.resume(scope):
            raise errors.UsageError(f"{scope} is not paused", next_step="syncd status")
        self._wake()
        return {"paused": dict(switch.scopes())}

    def _scope(self, scope: str) -> None:
        scopes = ["all", "to-airtable", "to-bitbucket", *(f"sync.{context.name}" for context in self._contexts())]
        if scope not in scopes:
            raise errors.UsageError(f"there is no scope {scope!r} to pause; there is: {', '.join(scopes)}")

    def resolve(self, sync: str, record: str, field: str, winner: str) -> dict[str, Any]:
        """Decide a conflict: the value of `winner` stands."""
        if winner not in {"airtable", "bitbucket"}:
            raise errors.UsageError(f"a conflict is won by airtable or bitbucket, not by {winner!r}")
        (context,) = self._chosen(sync)
        decided = 0
        for conflict in context.store.load_conflicts(context.name):
            if conflict.record == record and field in {conflict.field, conflict.what}:
                key = AgreedKey(conflict.field, conflict.pull_request)
                side = Side(winner)
                decided += context.store.save_resolution(context.name, conflict.record, key, side, self._clock.now())
        if not decided:
            raise errors.UsageError(f"{record} has no open conflict on {field!r}", next_step="syncd conflicts")
        self._wake()
        return {"resolved": decided, "sync": sync, "record": record, "field": field, "winner": winner}

    def hold(self, sync: str, record: str, field: str | None, reason: str, until: str | None) -> dict[str, Any]:
        """Do not write to a record, or to one field of it, until somebody releases it, or until a time."""
        (context,) = self._chosen(sync)
        end = None
        if until:
            try:
                end = datetime.fromisoformat(until)
            except ValueError as error:
                raise errors.UsageError(f"{until!r} is no time; write it as 2026-12-31T18:00:00+00:00") from error
            if end.tzinfo is None:
                raise errors.UsageError(f"{until!r} has no time zone; write it as 2026-12-31T18:00:00+00:00")
        hold = Hold(record=RecordId(record), field=self._field(context, field), reason=reason, until=end)
        _log.info("hold.set", sync=sync, record=record, field=hold.field)
        context.store.save_hold(context.name, hold, self._clock.now())
        self._wake()
        return {"held": _hold(context, hold)}

    def unhold(self, sync: str, record: str, field: str | None) -> dict[str, Any]:
        """Release a hold."""
        (context,) = self._chosen(sync)
        place = self._field(context, field)
        if not context.store.delete_hold(context.name, RecordId(record), place, self._clock.now()):
            raise errors.UsageError(f"{record} is not held", next_step="syncd status")
        self._wake()
        _log.info("hold.released", sync=sync, record=record, field=field)
        return {"released": {"sync": sync, "record": record, "field": field}}

    def _field(self, context: Context, name: str | None) -> FieldId | None:
        if name is None:
            return None
        found = context.sync.table_fields.get(name)
        if found is None:
            raise errors.UsageError(f"{context.sync.table_name} has no field {name!r}")
        return found.id

    def compare(self, sync: str | None) -> dict[str, Any]:
        """Compare both sides in full as soon as possible."""
        names = [context.name for context in self._chosen(sync)]
        for name in names:
            self._want_compare(name)
        self._wake()
        return {"comparing": names}

    def reload(self) -> dict[str, Any]:
        """Read the spec again, as SIGHUP does."""
        return dict(self._reload())

    def _chosen(self, sync: str | None) -> Sequence[Context]:
        contexts = self._contexts()
        if sync is None:
            return contexts
        found = [context for context in contexts if context.name == sync]
        if not found:
            names = ", ".join(context.name for context in contexts)
            raise errors.UsageError(f"there is no sync {sync!r}; there is: {names}")
        return found


def _ran(context: Context, run: str, tally: outcomes.Tally) -> dict[str, Any]:
    return {
        "run": run,
        "sync": context.name,
        "applied": tally.applied,
        "refused": tally.refused,
        "unknown": tally.unknown,
        "retried": tally.retried,
        "records": tally.records,
    }


def read_journal(
    store: ports.Store, sync: str | None, record: str | None, run: str | None, after: int, limit: int
) -> dict[str, Any]:
    """Journal rows of a state, as `Control.journal` answers them; needs neither service."""
    rows = store.load_journal(
        sync=SyncName(sync) if sync else None,
        record=RecordId(record) if record else None,
        run=RunId(run) if run else None,
        after=after,
        limit=limit,
        newest=after == 0,
    )
    return {"rows": [_journal_row(row) for row in rows]}


def render(
    context: Context, planned: Plan, names: Mapping[RecordId, str], refused: str, largest: Sequence[str]
) -> dict[str, Any]:
    """A plan as JSON-ready values: only records with something to tell."""
    told = [one for one in planned.records if _tells(one)]
    return {
        "sync": planned.sync,
        "spec_hash": planned.spec_hash,
        "at": planned.at.isoformat(),
        "digest": digest.of(planned),
        "adoption": not context.sync.accepts() <= context.store.load_accepted(context.name),
        "refused": {"reason": refused, "largest": list(largest)} if refused else None,
        "totals": {
            "records": len(planned.records),
            "writes": sum(len(one.writes) for one in planned.records),
            "actions": sum(len(one.actions) for one in planned.records),
            "conflicts": sum(len(one.conflicts) for one in planned.records),
            "pending": sum(1 for one in planned.records if one.pending),
            "held": sum(1 for one in planned.records if one.held),
        },
        "records": [_record(one, names.get(one.record, "")) for one in told],
    }


def _tells(planned: RecordPlan) -> bool:
    return bool(
        planned.writes or planned.actions or planned.conflicts or planned.refusals or planned.pending or planned.held
    ) or planned.state not in {RecordState.OK, RecordState.OUT_OF_SCOPE}


def _record(planned: RecordPlan, name: str) -> dict[str, Any]:
    return {
        "record": planned.record,
        "name": name,
        "state": planned.state.value,
        "note": planned.note,
        "status": planned.status,
        "changes": [_change(write) for write in planned.writes],
        "actions": [
            {
                "kind": "create branch" if isinstance(action, CreateBranch) else "create pull request",
                "rule": action.rule,
                "reason": action.reason,
                "object": action.name
                if isinstance(action, CreateBranch)
                else f"{action.source} → {action.destination}",
            }
            for action in planned.actions
        ],
        "conflicts": [
            {
                "field": conflict.what,
                "airtable": value.plain(conflict.airtable),
                "bitbucket": value.plain(conflict.bitbucket),
                "reason": conflict.reason,
            }
            for conflict in planned.conflicts
        ],
        "refusals": [{"rule": refusal.rule, "reason": refusal.reason} for refusal in planned.refusals],
        "pending": list(planned.pending),
        "held": list(planned.held),
    }


def _change(write: Write) -> dict[str, Any]:
    return {
        "side": write.side.value,
        "what": write.what,
        "before": None if isinstance(write.before, value.Unknown) else value.plain(write.before),
        "after": value.plain(write.after),
        "owner": write.owner.value,
        "rule": write.rule,
        "reason": write.reason,
        "kind": write.kind.value,
        "path": list(write.path),
        "adoption": write.adoption,
    }


def _hold(context: Context, hold: Hold) -> dict[str, Any]:
    return {
        "sync": context.name,
        "record": hold.record,
        "field": hold.field,
        "reason": hold.reason,
        "until": hold.until.isoformat() if hold.until else None,
    }


def _journal_row(row: ports.JournalEntry) -> dict[str, Any]:
    return {
        "sequence": row.sequence,
        "run": row.run,
        "sync": row.sync,
        "at": row.at.isoformat(),
        "record": row.record,
        "side": row.side.value,
        "kind": row.kind,
        "object": row.object,
        "place": row.place,
        "before": _plain(row.before),
        "after": _plain(row.after),
        "owner": row.owner,
        "rule": row.rule,
        "reason": row.reason,
        "state": row.state,
        "error": row.error,
    }


def _plain(line: str) -> Any:
    return None if line == '"unknown"' else value.plain(value.parse(line))
