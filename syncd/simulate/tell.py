"""A failure as people read it: what was promised, what happened when, and how to see it again."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from syncd.simulate import words
from syncd.simulate.case import Case, Effect, Violation
from syncd.simulate.fault import FaultId
from syncd.simulate.scenario import Net, Op, Scenario, Trouble

PROMISES: Mapping[str, str] = {
    "I01": "both sides agree once everything works again",
    "I02": "once both sides agree, nothing is written any more",
    "I03": "the owner's side of a field is never written",
    "I04": "nothing is touched that is not mapped and linked",
    "I05": "a write changes only what it is about",
    "I06": "what both sides changed is asked, not overwritten",
    "I07": "an edit that was overwritten unseen is told",
    "I08": "nothing is overruled in silence",
    "I09": "our own writes cause no further writes",
    "I10": "nothing is made twice",
    "I11": "what a rule makes is made",
    "I12": "the status follows the graph",
    "I13": "what cannot be seen is not taken for deleted",
    "I14": "every write stands in the journal before it is sent",
    "I16": "what was acknowledged is processed, with deliveries alone",
    "I18": "missing deliveries are repaired by the full compare alone",
    "I19": "polling alone misses nothing",
    "I20": "the kill switch stops every write within two seconds",
    "I21": "budgets are kept",
    "I22": "what is refused for ever is not tried for ever",
    "I26": "a changed rule writes nothing before it is accepted",
    "I27": "the schema is never changed",
    "I29": "secrets stay in",
    "I30": "only mapped fields are kept",
    "I31": "it never needs a person to start again",
    "I32": "nothing is sent or acknowledged after a commit has failed",
    "I36": "it comes to rest",
    "I35": "the status tells the truth",
    "I37": "a shared pull request is written for one record",
}
NETS: Mapping[Net, str] = {
    Net.ALL: "deliveries arrive, and a full compare every ten minutes repairs what they missed",
    Net.HOOKS: "deliveries alone tell syncd of changes; no full compare runs",
    Net.POLLING: "syncd asks every two minutes; no delivery arrives, and no full compare runs",
    Net.SWEEP: "no delivery ever arrives; a full compare every five minutes sees what changed",
}
# Which verbs of the sandbox an act is made of, where it is another one.
_MADE_OF: Mapping[str, tuple[str, ...]] = {
    "edit_many": ("edit",),
    "delete_many": ("delete",),
    "branch": ("push",),
    "open_pull_request": ("create_pull_request",),
    "strange_pull_request": ("create_pull_request",),
    "approve": ("approve", "unapprove"),
    "build": ("set_status",),
}
_SERVICES = {"airtable": "Airtable", "bitbucket": "Bitbucket", None: "both services"}
_SAME_MAX = 5
# Elsewhere than on a terminal lines are as long as they are.
WIDTH = 100


def story(case: Case, violations: Sequence[Violation], rows_max: int = 60, width: int = WIDTH) -> str:
    """The timeline of a scenario: acts, troubles, deaths and what syncd wrote, in order, and where a promise broke."""
    begun, named = case.marks["begun"], words.Words(case)
    lines: list[tuple[datetime, str]] = [(begun, _beginning(case.scenario))]
    lines += _acts(case, named)
    lines += _troubles(case)
    lines += [
        (at, f"syncd is killed, {_where(where)}, and starts again")
        for at, where in case.evidence.deaths
        if where != "restart"
    ]
    lines += _store(case)
    lines += [(case.marks["healed"], "from here on everything works, and nobody does anything")]
    lines += [(case.marks["settled"], "syncd has nothing left to do")]
    if case.marks["end"] > case.marks["settled"]:
        further = (
            "syncd is asked for a full compare" if case.scenario.seed % 2 else "syncd is stopped and started again"
        )
        lines += [(case.marks["settled"], f"to see whether it is at rest, {further}")]
    lines += words.written(case, named)
    placed = [one for one in violations if one.at is not None]
    first = list({one.text: one for one in reversed(placed)}.values())[::-1]
    lines += [(one.at, f"✗ {named.text(one.text)}") for one in first[:_SAME_MAX] if one.at is not None]
    if len(placed) > len(first[:_SAME_MAX]) and (last := placed[-1].at) is not None:
        lines.append((last, f"✗ and {len(placed) - len(first[:_SAME_MAX])} more like these"))
    shown = [_row(begun, at, text, width) for at, text in sorted(lines, key=lambda line: line[0])]
    if len(shown) > rows_max:
        half = rows_max // 2
        shown = [*shown[:half], f"          … {len(shown) - 2 * half} more …", *shown[-half:]]
    return "\n".join(shown)


def verdict(violations: Iterable[Violation], case: Case | None = None) -> str:
    """
    The broken promises, each once, with its first case.

    Args:
        case: for the names of what is spoken of; without it ids are shown.
    """
    found = list(violations)
    named = None if case is None else words.Words(case)
    lines = []
    for name in sorted({one.invariant for one in found}):
        same = [one for one in found if one.invariant == name]
        more = f" (and {len(same) - 1} more)" if len(same) > 1 else ""
        text = same[0].text if named is None else named.text(same[0].text)
        lines.append(f"{name} ({PROMISES.get(name, 'a promise')}): {text}{more}")
    return "\n".join(lines)


def summary(scenario: Scenario) -> str:
    """One line about a scenario."""
    events = f"{scenario.events} event{'' if scenario.events == 1 else 's'}"
    return f"{events} in {scenario.minutes} minutes; found with seed {scenario.seed}"


def _beginning(scenario: Scenario) -> str:
    how = NETS[scenario.net]
    if scenario.variant:
        how += f". The spec has a change here: {words.VARIANTS.get(scenario.variant, scenario.variant)}"
    if scenario.fresh:
        return f"syncd starts for the first time; nobody has accepted its plan yet. {how[0].upper()}{how[1:]}"
    return f"syncd runs, and both sides agree. {how[0].upper()}{how[1:]}"


def _row(begun: datetime, at: datetime, text: str, width: int) -> str:
    seconds = max(0, int((at - begun).total_seconds()))
    clock = f"{seconds // 60:>5}:{seconds % 60:02d}  "
    plain = " ".join(text.split())
    return textwrap.fill(
        plain,
        width=max(width, 40),
        initial_indent=clock,
        subsequent_indent=" " * (len(clock) + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _acts(case: Case, named: words.Words) -> list[tuple[datetime, str]]:
    """What people did; what the world refused was no act."""
    by_entry: dict[tuple[str, int], list[Effect]] = {}
    for effect in case.effects:
        if not effect.own and effect.entry.method == "CONTROL":
            by_entry.setdefault((effect.service, effect.entry.sequence), []).append(effect)
    waiting = list(by_entry.values())
    slugs = {str(number): name for number, name in enumerate(dict.fromkeys(map(named.repository, case.repositories)))}
    found = []
    for at, verb, given, done in case.evidence.told:
        if not done:
            continue
        paths = _MADE_OF.get(verb, (verb,))
        mine = next((one for one in waiting if one[0].entry.at == at and one[0].entry.path in paths), [])
        if mine:
            waiting.remove(mine)
        text = words.act(named, verb, given, mine, slugs)
        op = next((one for one in case.scenario.ops if (one.verb, one.arguments) == (verb, given)), None)
        found.append((at, f"{text}{_meanwhile(op)}"))
    return found


def _meanwhile(op: Op | None) -> str:
    if op is None or op.during is None:
        return ""
    writes = op.during.method in ("PATCH", "PUT") or (op.during.method == "POST" and "list" not in op.during.route)
    kind = "write to" if writes else "question to"
    return f", while a {kind} {_SERVICES[op.during.service]} is on its way"


def _troubles(case: Case) -> list[tuple[datetime, str]]:
    begun, found = case.marks["begun"], []
    for trouble in case.scenario.troubles:
        if not case.evidence.hits[trouble.fault]:
            continue
        name = (
            f"{FaultId[trouble.fault].value} ({trouble.fault})"
            if trouble.fault in FaultId.__members__
            else trouble.fault
        )
        found.append((begun + timedelta(seconds=trouble.at_s), f"trouble begins: {name}{_which(trouble)}"))
        if trouble.until_s is not None and begun + timedelta(seconds=trouble.until_s) < case.marks["healed"]:
            found.append((begun + timedelta(seconds=trouble.until_s), f"trouble ends: {name}"))
    return found


def _which(trouble: Trouble) -> str:
    """Which requests or deliveries, and how many of them."""
    what = "delivery" if trouble.kind.endswith(("_delivery", "_deliveries")) else "request"
    kind = {"PATCH": "write", "PUT": "write", "POST": "POST request", "GET": "read"}.get(trouble.method or "", what)
    many = (
        "for every"
        if trouble.count is None
        else f"{trouble.count} times, for a"
        if trouble.count > 1
        else "once, for a"
    )
    later = f", after the first {trouble.after if trouble.after > 1 else ''}".rstrip() if trouble.after else ""
    route = f" at …{trouble.route.rstrip('$')}" if trouble.route else ""
    return f"; {many} {kind} {'from' if kind in ('delivery', 'read') else 'to'} {_SERVICES.get(trouble.service, 'a service')}{route}{later}"


def _store(case: Case) -> list[tuple[datetime, str]]:
    names = sorted({one.fault for one in case.scenario.store})
    name = " or ".join(f"{FaultId[one].value} ({one})" for one in names if one in FaultId.__members__)
    return [
        (
            at,
            f"the state cannot be written or read: {name or error}; {'syncd ends and starts again' if ended else 'it tries again'}",
        )
        for at, error, ended in case.evidence.store_failures
    ]


def _where(where: str) -> str:
    """Where a process died: "before bitbucket: PUT"."""
    when, _, rest = where.partition(" ")
    port, _, what = rest.partition(": ")
    if port == "store":
        return f"just {when} it stores something ({what})"
    return f"just {when} a request to {_SERVICES.get(port, port)} ({what})"
