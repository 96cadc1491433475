"""
Input that ends the process: what was under way when it died is tried again in ever smaller groups, and what is alone
under way at the third death is set apart (reliability.md PR10).

A process that is killed from outside leaves the same trace. So a key is set apart for a while only, longer each time,
and forgotten as soon as it was worked on to the end.
"""

import json
from collections.abc import Sequence
from datetime import datetime

from syncd import ports
from syncd.core import retry
from syncd.model.ids import RecordId

DEATHS_MAX = 3
# How many are under way together after so many deaths.
_GROUPS = {1: 32, 2: 1}


class Trial:
    """
    What of one kind of keys is under way, durable.

    Args:
        name: of the kind: a sync's records, the deliveries.
    """

    def __init__(self, store: ports.Store, name: str, now: datetime) -> None:
        """What the last process left under way counts as one more death of each of its keys."""
        self._store = store
        self._place = f"under-way:{name}"
        self._deaths: dict[str, tuple[int, datetime]] = {}
        # Not of a death: records whose request tripped a fault of ours while others travelled in it; from then on alone.
        self.tripped: frozenset[RecordId] = frozenset()
        text = store.load_text(self._place)
        if not text:
            return
        kept = json.loads(text)
        self._deaths = {key: (count, datetime.fromisoformat(at)) for key, (count, at) in kept["deaths"].items()}
        if kept["keys"]:
            self._deaths |= {key: (self.deaths(key) + 1, now) for key in kept["keys"]}
            self._save(())

    def deaths(self, key: str) -> int:
        """In how many processes in a row, at their end, the key was under way."""
        return self._deaths.get(key, (0,))[0]

    def apart_until(self, key: str, now: datetime) -> datetime | None:
        """Until when the key is set apart; None when it may be tried."""
        if self.deaths(key) < DEATHS_MAX:
            return None
        count, at = self._deaths[key]
        until = at + retry.patience(count - DEATHS_MAX)
        # A clock that was set back does not keep it for ever.
        return until if at <= now < until else None

    def groups(self, keys: Sequence[str]) -> list[Sequence[str]]:
        """The keys in their order, in groups that may be under way together: the more deaths, the fewer in one."""
        if not self._deaths:
            return [keys] if keys else []
        found: list[list[str]] = []
        room = 0
        for key in keys:
            most = _GROUPS.get(self.deaths(key), 1) if self.deaths(key) else len(keys)
            if found and len(found[-1]) < min(room, most):
                found[-1].append(key)
                room = min(room, most)
            else:
                found.append([key])
                room = most
        return list(found)

    def enter(self, keys: Sequence[str]) -> None:
        """These are under way from now on."""
        self._save(keys)

    def leave(self, keys: Sequence[str]) -> None:
        """They were worked on to the end, or given back by a process that lives."""
        for key in keys:
            self._deaths.pop(key, None)
        self._save(())

    def _save(self, keys: Sequence[str]) -> None:
        deaths = {key: [count, at.isoformat()] for key, (count, at) in sorted(self._deaths.items())}
        self._store.save_text(self._place, json.dumps({"keys": list(keys), "deaths": deaths}) if keys or deaths else "")
