"""A failure as people read it: what was promised, what happened when, and how to see it again."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from syncd.simulate.case import Case, Violation
from syncd.simulate.fault import FaultId
from syncd.simulate.scenario import Scenario

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
_USUAL = frozenset({"Sync run"})


def story(case: Case, violations: Sequence[Violation], rows_max: int = 40) -> str:
    """The timeline of a scenario: acts, troubles, deaths and what syncd wrote, in order, then what was broken."""
    begun = case.marks["begun"]
    lines: list[tuple[datetime, str]] = [(begun, f"syncd runs, both sides agree; net: {case.scenario.net.value}")]
    for at, verb, arguments, done in case.evidence.told:
        lines.append((at, f"{_act(verb, arguments)}{'' if done else ' (refused: no act)'}"))
    for trouble in case.scenario.troubles:
        lines.append(
            (_later(begun, trouble.at_s), f"trouble: {_name(trouble.fault)} ({trouble.service or 'both services'})")
        )
    for trouble_of_disk in case.scenario.store:
        lines.append(
            (begun, f"trouble: {_name(trouble_of_disk.fault)}, at statement {trouble_of_disk.after + 1} of its kind")
        )
    lines += [
        (at, f"the process dies ({where}) and starts again") for at, where in case.evidence.deaths if where != "restart"
    ]
    lines += [(case.marks["healed"], "everything works again"), (case.marks["settled"], "syncd has come to rest")]
    lines += _written(case)
    lines += [(one.at, f"✗ {one.text}") for one in violations if one.at is not None]
    shown = [f"  {_clock(begun, at)}  {text}" for at, text in sorted(lines, key=lambda line: line[0])]
    if len(shown) > rows_max:
        half = rows_max // 2
        shown = [*shown[:half], f"  … {len(shown) - rows_max} more …", *shown[-half:]]
    return "\n".join(shown)


def verdict(violations: Iterable[Violation]) -> str:
    """The broken promises, each once."""
    found = list(violations)
    names = sorted({one.invariant for one in found})
    lines = []
    for name in names:
        first = next(one for one in found if one.invariant == name)
        lines.append(f"{name} ({PROMISES.get(name, 'a promise')}): {first.text}")
    return "\n".join(lines)


def summary(scenario: Scenario) -> str:
    """One line about a scenario."""
    return f"{scenario.events} event(s), net {scenario.net.value}, {scenario.minutes} minutes, seed {scenario.seed}"


def _later(begun: datetime, seconds: float) -> datetime:
    from datetime import timedelta

    return begun + timedelta(seconds=seconds)


def _clock(begun: datetime, at: datetime) -> str:
    seconds = max(0, int((at - begun).total_seconds()))
    return f"{seconds // 60:>3}:{seconds % 60:02d}"


def _name(fault: str) -> str:
    return f"{fault}, {FaultId[fault].value}" if fault in FaultId.__members__ else fault


def _act(verb: str, arguments: Mapping[str, Any]) -> str:
    told = dict(arguments)
    who = f"{told.pop('user')}: " if "user" in told else ""
    words = ", ".join(
        f"{name} {value!r}" if not isinstance(value, Mapping) else _cells(value) for name, value in told.items()
    )
    return f"{who}{verb.replace('_', ' ')} {words}".rstrip()


def _cells(cells: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} := {_short(value)}" for name, value in cells.items())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _written(case: Case) -> list[tuple[datetime, str]]:
    found = []
    names: dict[str, str] = {known.id: known.name for sync in case.syncs() for known in sync.table_fields.values()}
    for effect in case.effects:
        name = names.get(effect.change.attribute, effect.change.attribute)
        if effect.own and effect.change.kind in ("record", "pull_request", "branch") and name not in _USUAL:
            if effect.entry.method == "POST" and name not in ("title", "target"):
                continue
            text = (
                f"syncd: {effect.change.object} {name} {_short(effect.change.before)} → {_short(effect.change.after)}"
            )
            found.append((effect.entry.at, text))
    return found
