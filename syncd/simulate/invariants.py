"""
The promises of reliability.md as judges: each reads a `Case` and names what was broken. Pure; a judge that finds nothing to
judge in a scenario says nothing.
"""

from collections.abc import Iterable, Mapping

from syncd.simulate.case import Case, Violation
from syncd.simulate.judges import deciding, ending, journalling, keeping, writing
from syncd.simulate.judges.effects import Judge

JUDGES: Mapping[str, Judge] = {
    "convergence": ending.convergence,
    "quiescence": ending.quiescence,
    "owners": writing.owners,
    "foreign": writing.foreign,
    "other fields": writing.other_fields,
    "collisions": writing.collisions,
    "overwritten": writing.overwritten,
    "echoes": writing.echoes,
    "once": writing.once,
    "graph": deciding.graph,
    "absence": writing.absence,
    "journal": journalling.journal,
    "processed": keeping.processed,
    "switch": keeping.switch,
    "budgets": keeping.budgets,
    "stubborn": keeping.stubborn,
    "secrets": keeping.secrets,
    "fail stop": keeping.fail_stop,
    "health": keeping.health,
    "one lead": writing.one_lead,
    "confirmed": deciding.confirmed,
    "sound": keeping.sound,
}


def judge(case: Case, judges: Iterable[Judge] = tuple(JUDGES.values())) -> list[Violation]:
    """Every promise that was broken, in the order of the judges."""
    case.index()
    return [found for one in judges for found in one(case)]
