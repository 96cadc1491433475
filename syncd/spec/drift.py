"""
What a service had at an earlier start and has no more: which rules use it, so that they alone are blocked.

SPEC section 3, "Contract"; reliability.md SD02 to SD08. A start is not stricter than the daemon that was running: that one
cannot refuse either.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from syncd.spec import locate, rules
from syncd.spec.expression import Expression


@dataclass(frozen=True, slots=True)
class Gone:
    """What of one sync is gone: the rest of each place below `[sync.x]`, and what is wrong with it."""

    places: Mapping[locate.Path, str]

    @property
    def status(self) -> bool:
        """Whether the status machine waits."""
        return any(path[0] == "status" for path in self.places)

    def blocks_field(self, rule: rules.FieldRule) -> bool:
        """Whether this field waits: for its own column, an option, or a status that its value reads."""
        named = any(path[0] == "fields" and rule.key == f"fields.{_quoted(path[1])}" for path in self.places)
        return named or self._reads_status(rule.value)

    def blocks_action(self, rule: rules.ActionRule) -> bool:
        """Whether this action waits: for what it reads, for where it makes things, or for how it names them."""
        own = any(path[0] == "actions" and rule.key == f"actions.{_quoted(path[1])}" for path in self.places)
        where = any(path[0] in {"create_in", "link"} and path != ("link", "url") for path in self.places)
        return own or where or self._reads_status(rule.when)

    def everything(self, where: Expression | None) -> bool:
        """Whether nothing of the sync may be written: its scope, or whom people hold, is not known."""
        scope = any(path[0] == "airtable" or path == ("record", "hold") for path in self.places)
        return scope or self._reads_status(where)

    def told(self) -> tuple[str, ...]:
        """One sentence each, for status."""
        return tuple(
            f"{_shown(path)} is blocked, and what depends on it: {reason}"
            for path, reason in sorted(self.places.items(), key=lambda item: str(item[0]))
        )

    def _reads_status(self, made: Expression | None) -> bool:
        return self.status and made is not None and "status" in made.names


def of(sync: str, lost: Mapping[locate.Path, str]) -> Gone:
    """What of this sync is gone."""
    return Gone({path[2:]: reason for path, reason in lost.items() if path[:2] == ("sync", sync)})


def _quoted(key: object) -> str:
    return json.dumps(str(key), ensure_ascii=False)


def _shown(path: locate.Path) -> str:
    return ".".join(key if isinstance(key, str) and key.isidentifier() else _quoted(key) for key in path)
