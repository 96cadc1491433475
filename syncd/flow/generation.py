"""
Is the state the newest there is? An older one knows old agreed values: what it would turn back is somebody's later edit (I25).

Two witnesses stand outside the state file: a small file beside it that counts along, and our own run ids in the records.
A state that is not believed puts every sync into adoption (SPEC section 3): agreed values count as unknown, nothing is
written and nothing is made before a person looked at the plan and applied it.
"""

import contextlib
import json
import re
import threading
from collections.abc import Iterable
from datetime import datetime, timedelta

from syncd import errors, log, ports
from syncd.model.change import Side
from syncd.model.ids import OperationId, RecordId, RunId, SyncName
from syncd.model.outcome import Result

_log = log.logger("flow.generation")

_KEY = "generation"
# Beside every run, so often at most.
EVERY = timedelta(minutes=1)
# The clocks of two machines may differ; an id of a later time was typed by somebody (CL06).
AHEAD = timedelta(days=1)
_RUN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def doubt_key(sync: SyncName) -> str:
    """Where the state keeps why it is not believed, until a person applied a plan of that sync."""
    return f"doubt:{sync}"


class Generation:
    """
    Counts the state's generations, one per run and at most one a minute, first in the state, then outside.

    Args:
        witness: what holds the count outside the state; None: nothing does, as in the simulator.
    """

    def __init__(self, store: ports.Store, witness: ports.Witness | None, clock: ports.Clock, ids: ports.Ids) -> None:
        self._store = store
        self._witness = witness
        self._clock = clock
        self._lock = threading.Lock()
        self._at: datetime | None = None
        kept = json.loads(store.load_text(_KEY) or "{}")
        self._lineage, self._number = str(kept.get("lineage", "")), int(kept.get("number", 0))
        # Of a state that an earlier version left nobody knows; there has been a witness as soon as it counted on.
        self._seen = bool(kept.get("seen", self._number > 1))
        self.doubt = "" if witness is None else self._compared(witness.read())
        # A state that is not believed begins anew: it is the newest from now on, whatever it was a copy of.
        if not self._lineage or self.doubt:
            self._lineage, self._seen = str(ids.endpoint()), False

    def _compared(self, text: str | None) -> str:
        """Why the state is not the newest, or ""."""
        if not self._lineage:
            # A new state, or one of a version that did not count: nothing is accepted in the first, nothing known of the second.
            return ""
        if text is None:
            if not self._seen:
                # It was never there: the process died before it wrote it, or the folder takes no files.
                return ""
            return "nothing beside the state file says that it is the newest: it was copied or restored"
        lineage, _, number = text.partition(" ")
        if not number.isdecimal():
            return ""
        if lineage != self._lineage:
            return "the state file is another one than was last at work here"
        if int(number) > self._number:
            return f"the state file is older than what was at work here: generation {self._number} of {int(number)}"
        return ""

    def advance(self) -> None:
        """One more generation: something is about to be sent."""
        if self._witness is None:
            return
        with self._lock:
            self._at = self._clock.now()
            # Said before the next one is written: a missing witness proves something only where there was one.
            self._seen = self._seen or (self._witness.read() or "").startswith(f"{self._lineage} ")
            self._number += 1
            kept = {"lineage": self._lineage, "number": self._number, "seen": self._seen}
            self._store.save_text(_KEY, json.dumps(kept))
            # After the commit: what is outside is never ahead of a state that lost nothing.
            self._witness.write(f"{self._lineage} {self._number}")

    def advance_now_and_then(self) -> None:
        """One more, unless there was one within the last minute."""
        if self._at is None or not timedelta(0) <= self._clock.now() - self._at < EVERY:
            # With a full disk nothing is sent either; what must be told of it, the state itself tells.
            with contextlib.suppress(errors.StoreError):
                self.advance()


def disbelieve(
    store: ports.Store, ids: ports.Ids, syncs: Iterable[tuple[SyncName, str]], why: str, now: datetime
) -> None:
    """
    Put syncs into adoption, durable, with the reason in status and in the journal.

    Args:
        syncs: each with the spec's hash.
    """
    for sync, spec_hash in syncs:
        run, operation = ids.run(), ids.operation()
        store.save_text(doubt_key(sync), why)
        store.save_accepted(sync, frozenset(), now)
        row = ports.RunRow(run=run, sync=sync, spec_hash=spec_hash, started_at=now, changes=0, clears=0, ended_at=now)
        # Already ended, in one transaction: no request hangs on it, by which a start would find it half done.
        store.save_intents(row, (), [_entry(sync, run, operation, spec_hash, why, now)])
        _log.error("state.doubted", sync=sync, reason=why)


def _entry(
    sync: SyncName, run: RunId, operation: OperationId, spec_hash: str, why: str, now: datetime
) -> ports.JournalEntry:
    return ports.JournalEntry(
        sync=sync,
        run=run,
        operation=operation,
        spec_hash=spec_hash,
        record=RecordId(""),
        side=Side.AIRTABLE,
        kind="state not believed",
        object="",
        field="",
        place="the state",
        before="null",
        after="null",
        owner="syncd",
        rule="",
        reason=why,
        at=now,
        state=Result.APPLIED.value,
        ended_at=now,
    )


def is_run(text: str, now: datetime) -> bool:
    """Whether a text looks like the id of a run: a UUIDv7, which sorts by time, and of no time that is still to come."""
    if not _RUN.fullmatch(text):
        return False
    # Milliseconds since 1970 (RFC 9562 5.7).
    return int(text[:8] + text[9:13], 16) <= (now + AHEAD).timestamp() * 1000


def _doubted_run_key(sync: SyncName) -> str:
    """Where the state keeps the newest run id that made it be doubted: a person who applied a plan has seen that one."""
    return f"doubted-run:{sync}"


def unknown_run(store: ports.Store, sync: SyncName, newest: str) -> str:
    """
    Why the state is older than the records say, or "". Each run id is a reason once.

    Args:
        newest: the latest run id that stands in a record.
    """
    runs = store.load_runs(sync, 1)
    if not newest or not runs or newest <= max(runs[0].run, store.load_text(_doubted_run_key(sync)) or ""):
        return ""
    if store.load_journal(run=RunId(newest), limit=1):
        return ""
    return (
        f"run {newest} wrote to a record, and this state knows nothing of it: it is older, or another syncd is at work"
    )


def disbelieve_for_run(
    store: ports.Store, ids: ports.Ids, sync: tuple[SyncName, str], newest: str, now: datetime
) -> None:
    """Put a sync, with the spec's hash, into adoption when the newest run id in its records is none of this state's."""
    if why := unknown_run(store, sync[0], newest):
        disbelieve(store, ids, [sync], why, now)
        # Last: a crash before it costs a doubt too many, never one too few.
        store.save_text(_doubted_run_key(sync[0]), newest)
