"""Plans as Markdown, for a comment or a ticket: no value can add markup, mention a person or close an issue (DA07)."""

import re

from syncd.commands import escape, render
from syncd.web.control import Answer

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@:.-])")


def plans(answer: Answer) -> str:
    """Every plan as a section; one bullet per change."""
    return "\n".join(_plan(plan) for plan in answer["plans"]) or "No sync in this spec.\n"


def code(text: str) -> str:
    """A code span around any text, with more backticks than the text has in a row."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def words(raw: object) -> str:
    """Plain words: every character that Markdown could take for markup is escaped."""
    return _SPECIAL.sub(r"\\\1", escape.text(raw))


def _plan(plan: Answer) -> str:
    lines = [f"## {words(plan['sync'])}", "", f"Plan {code(plan['digest'])} at {render.instant(plan['at'])}."]
    if plan["adoption"]:
        lines += ["", "**In adoption:** nothing is written before `syncd apply`."]
    if plan["refused"]:
        lines += ["", f"**Refused:** {words(plan['refused']['reason'])}", ""]
        lines += [f"- {words(one)}" for one in plan["refused"]["largest"]]
    for record in plan["records"]:
        lines += ["", f"### {code(render.heading(record))}", "", *_record(record)]
    lines += ["", render.totals(plan["totals"])]
    return "\n".join(lines) + "\n"


def _record(record: Answer) -> list[str]:
    lines = [f"- note: {words(record['note'])}"] if record["note"] else []
    lines += [
        f"- {one['side']} **{words(one['what'])}**: {code(render.old_to_new(one))} (owner {words(one['owner'])}): "
        f"{words(one['reason'])}"
        for one in record["changes"]
    ]
    lines += [
        f"- {words(one['kind'])} {code(escape.text(one['object']))} ({words(one['rule'])}): {words(one['reason'])}"
        for one in record["actions"]
    ]
    lines += [
        f"- conflict **{words(one['field'])}**: airtable {code(escape.value(one['airtable']))}, "
        f"bitbucket {code(escape.value(one['bitbucket']))}: {words(one['reason'])}"
        for one in record["conflicts"]
    ]
    lines += [f"- refused {words(one['rule'])}: {words(one['reason'])}" for one in record["refusals"]]
    lines += [f"- pending: {words(one)}" for one in record["pending"]]
    lines += [f"- held: {words(one)}" for one in record["held"]]
    return lines
