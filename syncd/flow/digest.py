"""The name of a plan: what a person accepted is what is sent, or nothing is."""

import hashlib
import json

from syncd.model import value
from syncd.model.change import Attribute, Cell, CreateBranch, Plan, Write
from syncd.model.value import Unknown


def of(plan: Plan) -> str:
    """Twelve characters that stand for every change of a plan, whatever the instant it was made at."""
    rows: list[list[str]] = []
    for planned in plan.records:
        rows.extend(_write(write) for write in planned.writes)
        rows.extend(
            [one.record, one.rule, one.repository, one.name if isinstance(one, CreateBranch) else one.source]
            for one in planned.actions
        )
    content = json.dumps([plan.sync, plan.spec_hash, sorted(rows)], ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _write(write: Write) -> list[str]:
    before = "?" if isinstance(write.before, Unknown) else value.dump(write.before)
    match write.target:
        case Cell(field=field):
            return [write.record, field, before, value.dump(write.after)]
        case Attribute(pull_request=key, name=name):
            return [write.record, str(key), name, before, value.dump(write.after)]
