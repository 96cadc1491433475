"""
What the admin listener and the commands ask of the daemon, in plain arguments and JSON-ready answers.

Three implementations: `flow.control` inside the daemon (or a command that holds the state itself), `commands.remote` over
the admin listener, and a fake in the tests.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from syncd import errors

TOKEN_VARIABLE = "SYNCD_ADMIN_TOKEN"
TOKEN_CREDENTIAL = "admin-token"

# A JSON object as it travels; its keys stand with each method.
Answer = dict[str, Any]


class Control(Protocol):
    """
    Every method may raise any `errors.SyncdError`: `UsageError` for a name that does not exist, `Refused` for what a
    person must decide, `StoreError`, `ServiceError`. `sync` None means all syncs. Instants are ISO 8601 in UTC.
    """

    def status(self) -> Answer:
        """SPEC section 5, "GET /status"; `paused` maps scopes to reasons."""

    def ready(self) -> tuple[bool, str]:
        """Whether work may be taken, and if not why."""

    def plan(self, sync: str | None, /) -> Answer:
        """
        What would be written, without writing.

        Returns:
            {"plans": [{sync, spec_hash, at, digest, adoption, refused: null | {reason, largest: [text]},
            totals: {records, writes, actions, conflicts, pending, held}, records: [{record, name, state, note, status,
            changes: [{side, what, before, after, owner, rule, reason, kind, path: [text], adoption}],
            actions: [{kind, rule, reason, object}], conflicts: [{field, airtable, bitbucket, reason}],
            refusals: [{rule, reason}], pending: [text], held: [text]}]}]}; only records with something to tell.
        """

    def apply(self, sync: str | None, digest: str | None, accept: list[str], /) -> Answer:
        """
        Plan and carry out; with `digest` only the plan that has it. `accept` names guards to pass: "mass-change".

        Returns:
            {"runs": [{run, sync, applied, refused, unknown, retried, records}], "plans_left": number}.
        """

    def pause(self, scope: str, reason: str, /) -> Answer:
        """Stop changing requests of "all", "sync.NAME", "to-airtable" or "to-bitbucket": {"paused": {scope: reason}}."""

    def resume(self, scope: str, /) -> Answer:
        """Let them go on: {"paused": what is still paused}."""

    def conflicts(self, sync: str | None, /) -> Answer:
        """{"conflicts": [{sync, record, field, what, airtable, bitbucket, reason}]}, the open ones; `resolve` takes `what` too."""

    def resolve(self, sync: str, record: str, field: str, winner: str, /) -> Answer:
        """Decide a conflict for "airtable" or "bitbucket"."""

    def hold(self, sync: str, record: str, field: str | None, reason: str, until: str | None, /) -> Answer:
        """Write nothing to a record, or one field of it, for now."""

    def unhold(self, sync: str, record: str, field: str | None, /) -> Answer:
        """Release such a hold."""

    def journal(self, sync: str | None, record: str | None, run: str | None, after: int, limit: int, /) -> Answer:
        """
        {"rows": [{sequence, run, sync, at, record, side, kind, object, place, before, after, owner, rule, reason, state,
        error}]}, oldest first: those with a sequence above `after`; with 0 the newest.
        """

    def compare(self, sync: str | None, /) -> Answer:
        """Start a full compare now."""

    def reload(self) -> Answer:
        """Read the spec again; an invalid one raises SpecError and the old one stays."""


def read_token(environment: Mapping[str, str]) -> str:
    """
    The admin listener's token: the variable `SYNCD_ADMIN_TOKEN`, else the credential `admin-token`, else "" for none.

    Args:
        environment: the process's variables; systemd sets `CREDENTIALS_DIRECTORY`.
    """
    if token := environment.get(TOKEN_VARIABLE, "").strip():
        return token
    folder = environment.get("CREDENTIALS_DIRECTORY", "")
    file = Path(folder) / TOKEN_CREDENTIAL
    if not folder or not file.exists():
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UsageError(
            f"the credential {TOKEN_CREDENTIAL} cannot be read", next_step="check LoadCredential= in the unit"
        ) from error
