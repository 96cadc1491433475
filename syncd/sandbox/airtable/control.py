"""
What people, automations and administrators do beside the API: the verbs of `AirtableMachine.control`.

Set-up and access are in `setup`, edits of records and schema in `person`; here are the table of verbs and the reads.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from syncd.sandbox.airtable import hooks, payload, person, ping, refusal, schema, setup
from syncd.sandbox.airtable.act import Act
from syncd.sandbox.airtable.reading import Look, show
from syncd.sandbox.airtable.world import Record, World, milliseconds
from syncd.sandbox.wire import Change, LogEntry


def act(world: World, verb: str, arguments: Mapping[str, Any], now: datetime) -> tuple[str, tuple[Change, ...], Any]:
    """
    Do one verb.

    Returns:
        Who acted, what truly changed, and the verb's own answer.

    Raises:
        ValueError: unknown verb, missing argument, something named that is not there, a value the field refuses.
    """
    function = VERBS.get(verb)
    if function is None:
        raise ValueError(f"unknown verb {verb!r}; known: {', '.join(sorted(VERBS))}, log")
    step = Act(world=world, arguments=arguments, now=now)
    try:
        answer = function(step)
    except refusal.Refusal as refused:
        raise ValueError(f"{verb}: {refused.body}") from refused
    except schema.FieldSpecError as wrong:
        raise ValueError(f"{verb}: {wrong}") from wrong
    except KeyError as missing:
        raise ValueError(f"{verb}: missing or unknown: {missing}") from missing
    except (TypeError, AttributeError) as misshapen:
        # The arguments come over HTTP: a list where an object belongs is the caller's mistake, not a crash of the front.
        raise ValueError(f"{verb}: an argument has the wrong shape: {misshapen}") from misshapen
    return step.actor, tuple(step.changes), answer


def log_rows(log: list[LogEntry], arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`log`: the entries after `since` (a sequence number), as plain JSON."""
    return [
        {
            "sequence": entry.sequence,
            "at": milliseconds(entry.at),
            "actor": entry.actor,
            "method": entry.method,
            "path": entry.path,
            "status": entry.status,
            "changes": [
                {
                    "kind": change.kind,
                    "object": change.object,
                    "attribute": change.attribute,
                    "before": change.before,
                    "after": change.after,
                }
                for change in entry.changes
            ],
        }
        for entry in log[int(arguments.get("since", 0)) :]
    ]


def _true(step: Act, record: Record) -> dict[str, Any]:
    shown = show(step.world, record, Look(by_id=bool(step.arguments.get("by_id"))), step.now)
    return {**shown, "table": record.table.id, "modifiedTime": milliseconds(record.modified_at)}


def _record(step: Act) -> Any:
    """`record {base?, record}`: the row as it truly is, or null when it is deleted."""
    record = step.base().records.get(step.arguments["record"])
    return None if record is None else _true(step, record)


def _records(step: Act) -> Any:
    """`records {base?, table}`: all rows of a table, oldest first."""
    return [_true(step, record) for record in step.table().records.values()]


def _schema(step: Act) -> Any:
    """`schema {base?}`: the tables, with visible fields."""
    return {"tables": [schema.describe_table(table, True) for table in step.base().tables.values()]}


def _hooks(step: Act) -> Any:
    """`hooks {base?}`: the list of hooks, with their secrets and the numbers of the payloads still held."""
    found = []
    for hook in step.base().hooks.values():
        payload.prune(hook, step.now)
        found.append(
            {
                **hooks.entry(hook, step.now),
                "macSecretBase64": ping.secret_text(hook.secret),
                "payloadNumbers": [each.number for each in hook.payloads],
                "broken": hook.broken,
            }
        )
    return found


def _usage(step: Act) -> Any:
    """`usage {base?}`: calls of this month and the quota."""
    workspace = step.base().workspace
    return {
        "workspace": workspace.id,
        "month": list(workspace.month),
        "spent": workspace.spent,
        "monthly": workspace.monthly,
    }


_READERS: dict[str, Callable[[Act], Any]] = {
    "record": _record,
    "records": _records,
    "schema": _schema,
    "hooks": _hooks,
    "usage": _usage,
}
READS = frozenset(_READERS)
VERBS: dict[str, Callable[[Act], Any]] = {**setup.VERBS, **person.VERBS, **_READERS}
