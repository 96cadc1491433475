"""Plans, status, journal, conflicts and errors as plain text: one line per fact, aligned, nothing in it that could mislead."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from syncd import errors
from syncd.commands import escape
from syncd.web.control import Answer

_LARGEST_MAX = 10
# A longer cell pushes its own line aside instead of every line.
_COLUMN_MAX = 44


def as_json(answer: object) -> str:
    """JSON for programs. ASCII only, so that no value can do anything to a terminal."""
    return json.dumps(answer, indent=2) + "\n"


# ----------------------------------------------------------------------------------------------------------- plans


def plans(answer: Answer) -> str:
    """Every plan, one after the other."""
    return "\n".join(_plan(plan) for plan in answer["plans"]) or "No sync in this spec.\n"


def has_changes(answer: Answer) -> bool:
    """Whether applying would do something, or a person must decide something first: `plan --exit-code`."""
    return any(
        plan["refused"] or any(plan["totals"][key] for key in ("writes", "actions", "conflicts"))
        for plan in answer["plans"]
    )


def _plan(plan: Answer) -> str:
    lines = [
        f"{escape.text(plan['sync'])}: plan {escape.text(plan['digest'])} at {instant(plan['at'])}, spec {plan['spec_hash'][:12]}"
    ]
    if plan["adoption"]:
        lines.append("  In adoption: rules were never accepted. Nothing is written before `syncd apply`.")
    if plan["refused"]:
        lines.append(f"  REFUSED: {escape.text(plan['refused']['reason'])}")
        lines += [f"    {escape.text(one)}" for one in plan["refused"]["largest"][:_LARGEST_MAX]]
        lines.append(f"  If that is meant: syncd apply {escape.text(plan['digest'])} --accept mass-change")
    # Where everything waits for acceptance, the line above says it for all.
    mark = any(not change["adoption"] for record in plan["records"] for change in record["changes"])
    for record in plan["records"]:
        lines += ["", *_record(record, mark)]
    lines += ["", totals(plan["totals"])]
    return "\n".join(lines) + "\n"


def instant(iso: str) -> str:
    """A moment to the second, in UTC."""
    try:
        return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    except ValueError:
        return escape.text(iso)


def heading(record: Answer) -> str:
    """A record by name, id and state."""
    name = escape.text(record["name"]) or "(no name)"
    status = f", status {escape.text(record['status'])}" if record["status"] else ""
    return f"{name}  {escape.text(record['record'])}  {escape.text(record['state'])}{status}"


def old_to_new(change: Answer) -> str:
    """What a change does; of a status write every state that it passes."""
    if len(change["path"]) > 2:
        return " → ".join(escape.value(state) for state in change["path"])
    return escape.change(change["before"], change["after"])


def _record(record: Answer, mark: bool) -> list[str]:
    rows = [
        [
            change["side"],
            escape.text(change["what"]),
            old_to_new(change),
            f"owner {escape.text(change['owner'])}",
            escape.text(change["reason"]) + (" (not accepted yet)" if mark and change["adoption"] else ""),
        ]
        for change in record["changes"]
    ]
    lines = [f"  {heading(record)}"]
    if record["note"]:
        lines.append(f"    note       {escape.text(record['note'])}")
    lines += aligned(rows, "    ")
    lines += [
        f"    {escape.text(one['kind'])}  {escape.text(one['object'])}  {escape.text(one['rule'])}: {escape.text(one['reason'])}"
        for one in record["actions"]
    ]
    lines += [
        f"    conflict   {escape.text(one['field'])}  airtable {escape.value(one['airtable'])}"
        f" | bitbucket {escape.value(one['bitbucket'])}  {escape.text(one['reason'])}"
        for one in record["conflicts"]
    ]
    lines += [f"    refused    {escape.text(one['rule'])}: {escape.text(one['reason'])}" for one in record["refusals"]]
    lines += [f"    pending    {escape.text(one)}" for one in record["pending"]]
    lines += [f"    held       {escape.text(one)}" for one in record["held"]]
    return lines


def totals(counts: Mapping[str, int]) -> str:
    """The last line of a plan."""
    if not any(value for key, value in counts.items() if key != "records"):
        return f"{_count(counts['records'], 'record')}, nothing to do."
    parts = [_count(counts["writes"], "write"), _count(counts["actions"], "action")]
    parts += [
        f"{counts[key]} {word}"
        for key, word in (("conflicts", "in conflict"), ("pending", "pending"), ("held", "held"))
    ]
    return f"{_count(counts['records'], 'record')}: {', '.join(parts)}."


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def runs(answer: Answer) -> str:
    """What became of an applied plan."""
    lines = []
    for run in answer["runs"]:
        told = ", ".join(
            f"{run[key]} {word}"
            for key, word in (
                ("applied", "applied"),
                ("refused", "refused by a service"),
                ("unknown", "with an unknown outcome, being looked up"),
                ("retried", "to be tried again"),
            )
            if run[key] or key == "applied"
        )
        lines.append(
            f"{escape.text(run['sync'])}: {_count(run['records'], 'record')}, {told}; run {run['run'] or '(none)'}"
        )
    if answer["plans_left"]:
        lines.append(f"{_count(answer['plans_left'], 'plan')} left: syncd plan")
    return "\n".join(lines or ["Nothing to do."]) + "\n"


# ---------------------------------------------------------------------------------------------------------- status


def status(answer: Answer) -> str:
    """The state of the daemon for a person at a terminal."""
    lines = [f"state    {answer['state']}", f"version  {answer['version']}, spec {str(answer['spec_hash'])[:12]}"]
    lines += [f"  - {escape.text(reason)}" for reason in answer["reasons"]]
    lines += [f"  paused  {escape.text(scope)}: {escape.text(why)}" for scope, why in answer.get("paused", {}).items()]
    lines += _section("sync", _SYNC_COLUMNS, answer["syncs"])
    if answer["queue"]:
        lines += ["", "queue    " + ", ".join(f"{number} {name}" for name, number in answer["queue"].items())]
    lines += _quarantine(answer.get("quarantine", {}))
    lines += _section("webhook", _ENDPOINT_COLUMNS, answer["endpoints"])
    lines += _section("budget", _BUDGET_COLUMNS, answer["budgets"])
    holds = [
        f"  {escape.text(hold['sync'])}  {escape.text(hold['record'])}  {escape.text(hold['field'] or '(whole record)')}"
        f"  until {instant(hold['until']) if hold['until'] else 'released'}: {escape.text(hold['reason'])}"
        for hold in answer.get("holds", [])
    ]
    lines += ["", "holds", *holds] if holds else []
    return "\n".join(lines) + "\n"


_SYNC_COLUMNS = {
    "adoption": "adoption",
    "records": "records",
    "linked": "linked",
    "in_sync": "in sync",
    "pending": "pending",
    "held": "held",
    "conflicts": "conflicts",
    "errors": "errors",
    "lag_seconds": "lag s",
    "repair_time_seconds": "repair s",
    "last_compare": "last compare",
    "last_run": "last run",
}
_ENDPOINT_COLUMNS = {
    "provider": "provider",
    "subject": "subject",
    "active": "active",
    "last_delivery": "last delivery",
    "expires": "expires",
    "score": "score",
}
_QUARANTINE_COLUMNS = {"endpoint": "webhook", "received_at": "received", "event": "event", "reason": "reason"}
_BUDGET_COLUMNS = {"limit": "limit", "used": "used", "resets": "resets"}


def _quarantine(answer: Mapping[str, Any]) -> list[str]:
    """Nothing while everything could be read."""
    if not answer.get("count"):
        return []
    rows = {str(one["delivery"]): one for one in answer["newest"]}
    deliveries = "delivery" if answer["count"] == 1 else "deliveries"
    lines = ["", f"quarantine  {answer['count']} {deliveries} could not be read; the newest:"]
    return lines + _section("delivery", _QUARANTINE_COLUMNS, rows)[1:]


def _section(title: str, columns: Mapping[str, str], rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    table = [[title, *columns.values()]]
    table += [[escape.text(name), *(_cell(row.get(key)) for key in columns)] for name, row in rows.items()]
    return ["", *aligned(table, "")]


def _cell(raw: object) -> str:
    match raw:
        case None:
            return "-"
        case bool():
            return "yes" if raw else "no"
        case float():
            return f"{raw:g}"
        case str() if len(raw) > 18 and raw[4:5] == "-" and "T" in raw:
            return instant(raw)
        case _:
            return escape.text(raw)


def aligned(rows: Sequence[Sequence[str]], indent: str) -> list[str]:
    """Rows of equal length as lines, each column as wide as its widest cell of at most `_COLUMN_MAX`."""
    widths = [
        max((len(cell) for cell in column if len(cell) <= _COLUMN_MAX), default=0) for column in zip(*rows, strict=True)
    ]
    return [
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


# ------------------------------------------------------------------------------------------- journal and conflicts


def journal(answer: Answer) -> str:
    """Journal rows, one line each."""
    rows = [
        [
            str(row["sequence"]),
            instant(row["at"]),
            escape.text(row["sync"]),
            escape.text(row["record"]),
            row["side"],
            escape.text(row["place"]) or escape.text(row["kind"]),
            escape.change(row["before"], row["after"]),
            f"owner {escape.text(row['owner'])}",
            row["state"],
            escape.text(row["error"] or row["reason"]),
        ]
        for row in answer["rows"]
    ]
    return _lines(aligned(rows, ""), "No journal rows.")


def conflicts(answer: Answer) -> str:
    """Open conflicts, each with what to type."""
    lines: list[str] = []
    for one in answer["conflicts"]:
        what = escape.text(one["what"])
        lines += [
            f"{escape.text(one['sync'])}  {escape.text(one['record'])}  {what}: {escape.text(one['reason'])}",
            f"    airtable   {escape.value(one['airtable'])}",
            f"    bitbucket  {escape.value(one['bitbucket'])}",
            f'    decide     syncd resolve {escape.text(one["record"])} "{what}" --winner airtable|bitbucket',
        ]
    return _lines(lines, "No conflicts.")


def _lines(lines: Iterable[str], otherwise: str) -> str:
    return "\n".join(list(lines) or [otherwise]) + "\n"


def paused(scopes: Mapping[str, str]) -> str:
    """Which scopes are paused, with their reasons."""
    lines = [f"paused  {escape.text(scope)}{': ' if why else ''}{escape.text(why)}" for scope, why in scopes.items()]
    return _lines(lines, "Nothing is paused.")


def plain(line: str) -> str:
    """One line that we made from what the user typed."""
    return escape.text(line.rstrip("\n")) + "\n"


# ---------------------------------------------------------------------------------------------------------- errors


def problems(found: Sequence[errors.Problem]) -> str:
    """
    The problems of a spec, each with its place, and what to do.

    The last line says how many stop the daemon; warnings do not.
    """
    lines = []
    for one in found:
        place = f"{one.file}:{one.line}:{one.column}" if one.line else one.file
        got = f" = {escape.text(one.got)}" if one.got else ""
        mark = "warning: " if one.warning else ""
        lines += [f"{escape.text(place)}  {escape.text(one.key)}{got}", f"    {mark}{escape.text(one.expected)}"]
    wrong = sum(not one.warning for one in found)
    if wrong:
        lines.append(f"{_count(wrong, 'problem')}, nothing was started. Check again with: syncd check")
    else:
        lines.append(f"The spec is valid, with {_count(len(found), 'warning')}." if found else "The spec is valid.")
    return "\n".join(lines) + "\n"


def error(raised: errors.SyncdError) -> str:
    """An error in words, once, with what to type next."""
    if isinstance(raised, errors.SpecError):
        return problems(raised.problems)
    lines = [f"error: {escape.text(raised.message)}"]
    if isinstance(raised, errors.Refused):
        lines += [f"    {escape.text(one)}" for one in raised.largest[:_LARGEST_MAX]]
    if raised.next_step:
        lines.append(f"next: {escape.text(raised.next_step)}")
    return "\n".join(lines) + "\n"
