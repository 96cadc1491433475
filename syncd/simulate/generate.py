"""
A seed becomes a scenario: what people do, what goes wrong, which net is stretched. Swarm: each scenario leaves out most kinds
of acts and faults, so that no mixture drowns another; times cluster at boundaries.
"""

# ruff: noqa: ARG001 - every kind of ordinary work takes the same arguments

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from syncd import errors
from syncd.simulate import making, setting, table, world
from syncd.simulate.fault import FaultId, Ground
from syncd.simulate.scenario import Net, Op, Scenario
from syncd.spec import load

_NETS = (Net.ALL, Net.ALL, Net.HOOKS, Net.SWEEP, Net.POLLING)
# Acts that no event tells of, and those that no list by update time shows: only the sweep sees them.
_SWEEP_ONLY = {Net.HOOKS: frozenset({"deploy"}), Net.POLLING: frozenset({"deploy", "build"})}
# What only reads the present or harms nobody may come with any other fault; these are kept apart.
_ALONE = frozenset({
    FaultId.ST11, FaultId.SP04, FaultId.BU02, FaultId.SD01, FaultId.SD02, FaultId.SD03, FaultId.SD04, FaultId.SD05, FaultId.SD07,
    FaultId.SD08,
})  # fmt: skip
# A loss that no net but the sweep repairs.
_NEEDS_SWEEP = frozenset({
    FaultId.AW01, FaultId.AW02, FaultId.AW03, FaultId.AW04, FaultId.BW03, FaultId.BW13, FaultId.BW19,
})  # fmt: skip
# What a net has to bear, mostly as the only one: without this hardly any life would meet both.
_STRAINS = {
    Net.ALL: (FaultId.AW14,),
    Net.HOOKS: (FaultId.BW01, FaultId.BW02, FaultId.BW02, FaultId.BW04, FaultId.BW07),
    Net.POLLING: (FaultId.CL01, FaultId.CL01, FaultId.CL02, FaultId.CL03),
    Net.SWEEP: (FaultId.CL01, FaultId.CL02, FaultId.CL02, FaultId.CL03, FaultId.SD03),
}
# What only a guard of small numbers stops.
_TIGHT = frozenset({FaultId.BU01, FaultId.BU02, FaultId.BU03})


def scenario(home: setting.Setting, seed: int, faults: Sequence[FaultId] | None = None) -> Scenario:
    """
    The scenario of a seed; the same in every process.

    Args:
        faults: what goes wrong, instead of what is drawn.
    """
    random = Random(seed)
    net = random.choice(_NETS)
    kinds = list(_faults(random, net) if faults is None else faults)
    # Variants of the spec and drawn behaviour of the services apart: each pair needs a synced world of its own.
    variant = random.choice(["", "", "", "", *home.variants[1:]])
    if not variant and "tight" in home.variants and _TIGHT.intersection(kinds):
        variant = random.choice(("", "tight"))
    drawn = 0 if variant else random.choice((0, *range(1, setting.CHOICES_DRAWN + 1)))
    narrow = bool(variant) or random.random() < 0.6
    # Long enough for the first sweep after the start's.
    minutes = random.choice((6, 6, 6, 8) if net is Net.SWEEP else (5, 6, 6, 8))
    last_s = minutes * 60.0 - 5.0
    spec = home.spec(variant, net, narrow)
    others = tuple(name for name in home.variants if name != variant)
    # In the order in which acts name them.
    grounds = [_ground(home, spec, key, random, net, last_s, others) for key in sorted(spec.file.sync)]
    if not grounds:
        raise errors.UsageError(
            "the spec has no sync, so there is nothing to live through", next_step="add a [sync.NAME]"
        )
    troubles: list[Any] = []
    deaths: list[Any] = []
    store: list[Any] = []
    if variant == "both" and faults is None and random.random() < 0.5:
        # What this variant is there for, and what hardly ever happens by itself.
        kinds.append(FaultId.SECOND)
    if FaultId.PR01 not in kinds and faults is None and Random(f"{seed}: death").random() < 0.1:
        # More of these than of any other fault: half of the promises are about them.
        kinds.append(FaultId.PR01)
    if faults is None and random.random() < 0.15:
        strain = random.choice(_STRAINS[net])
        kinds = [strain] if strain in _ALONE else [*kinds, strain]
    ops = _ordinary(grounds, random, len(kinds))
    for chosen in kinds:
        at = _moment(random, last_s)
        number = _some_sync(grounds, random)
        made = making.MAKERS[chosen](_at(grounds[number], at))
        if made is None:
            continue
        ops += [_of(number, op) for op in made.ops]
        troubles += made.troubles
        deaths += made.deaths
        store += made.store
    return Scenario(
        seed=seed,
        variant=variant,
        choices=drawn,
        narrow=narrow,
        net=net,
        minutes=minutes,
        latency_ms=random.choice((0, 20, 50, 150, 400)),
        fresh=random.random() < 0.02,
        ops=tuple(sorted(ops, key=lambda op: op.at_s)),
        troubles=tuple(troubles),
        deaths=tuple(deaths),
        store=tuple(store),
    )


def _faults(random: Random, net: Net) -> list[FaultId]:
    """None, one, some or many kinds; those that change everything come alone."""
    usable = [one for one in FaultId if one not in _NEEDS_SWEEP or net in (Net.ALL, Net.SWEEP)]
    many = random.choice((0, 1, 1, 1, 2, 2, 3))
    chosen = random.sample(usable, k=many)
    alone = [one for one in chosen if one in _ALONE]
    if alone:
        chosen = [one for one in chosen if one not in _ALONE][
            : 1 if alone[0] in (FaultId.ST11, FaultId.SP04) else 2
        ] + alone[:1]
    return chosen


def _moment(random: Random, last_s: float) -> float:
    at = random.choice((0.0, 5.0, 30.0, 120.0, 240.0, random.uniform(0, last_s), random.uniform(0, last_s)))
    return round(min(at, last_s), 1)


def _some_sync(grounds: Sequence[Ground], random: Random) -> int:
    return random.randrange(len(grounds)) if len(grounds) > 1 else 0


def _of(number: int, op: Op) -> Op:
    """The act in another sync than the first."""
    return replace(op, arguments={**op.arguments, "sync": number}) if number else op


def _ground(
    home: setting.Setting,
    spec: load.Spec,
    key: str,
    random: Random,
    net: Net,
    last_s: float,
    variants: tuple[str, ...],
) -> Ground:
    sync = spec.file.sync[key]
    text = next((name for name, rule in sync.fields.items() if rule.bitbucket == "pr.description"), "")
    status = sync.status
    slugs = world.slugs_of(spec, spec.file.bitbucket[sync.bitbucket])
    return Ground(
        random=random,
        at_s=0.0,
        last_s=last_s,
        net=net,
        title=next((name for name, rule in sync.fields.items() if rule.bitbucket == "pr.title"), ""),
        text=text,
        status="" if status is None else status.field,
        states=() if status is None else tuple(status.states),
        url=sync.link.url or "",
        owned=tuple(name for name, rule in sync.fields.items() if rule.owner == "bitbucket" and not rule.map),
        view=sync.airtable.view or "",
        variants=variants,
        slugs=len(slugs),
        variables={
            "hold": sync.record.hold,
            "create_in": sync.create_in,
            "filled_in": home.filled_in(spec, key),
            "primary": table.primary_of(sync),
        },
    )


def _at(ground: Ground, at_s: float) -> Ground:
    return replace(ground, at_s=at_s)


# ------------------------------------------------------------------------------------------- ordinary work


def _ordinary(grounds: Sequence[Ground], random: Random, stirred: int) -> list[Op]:
    """What people do on an ordinary day, a random part of it left out; `stirred` is how much is done beside faults already."""
    kinds = [one for one in _WORK if random.random() < 0.5] or [_WORK[0]]
    if any(ground.variables["filled_in"] for ground in grounds):
        # What the spec's own conditions read is what people fill in most.
        kinds += [_fill_in, _fill_in]
    ops: list[Op] = []
    for _ in range(max(0, random.choice((1, 2, 3, 3, 5)) - stirred)):
        number, make = _some_sync(grounds, random), random.choice(kinds)
        ground = grounds[number]
        made = make(ground, random, _moment(random, ground.last_s))
        if made is None or made.verb in _SWEEP_ONLY.get(ground.net, ()):
            continue
        ops.append(_of(number, made))
        if made.verb == "build" and random.random() < 0.5:
            # A head has several builds mostly, and they disagree.
            ops.append(_of(number, _other_build(made, random)))
    return ops


def _other_build(build: Op, random: Random) -> Op:
    """Of the same head, by another name."""
    state = random.choice([one for one in _BUILD_STATES if one != build.arguments["state"]])
    key = "lint" if build.arguments["key"] == "ci" else "ci"
    at = round(build.at_s + random.choice((0.0, 1.0, 70.0)), 1)
    return replace(build, at_s=at, arguments={**build.arguments, "key": key, "state": state})


def _edit_title(on: Ground, random: Random, at: float) -> Op | None:
    cells = {on.title: f"Title {random.randrange(1000)}"}
    return Op(at_s=at, verb="edit", arguments={"record": on.record, "cells": cells}) if on.title else None


def _edit_text(on: Ground, random: Random, at: float) -> Op | None:
    cells = {on.text: random.choice((f"Text {random.randrange(1000)}", f"Line\nLine {random.randrange(100)}", ""))}
    return Op(at_s=at, verb="edit", arguments={"record": on.record, "cells": cells}) if on.text else None


def _edit_status(on: Ground, random: Random, at: float) -> Op | None:
    cells = {on.status: random.choice(on.states[:3] if random.random() < 0.6 else on.states)} if on.status else {}
    return Op(at_s=at, verb="edit", arguments={"record": on.record, "cells": cells}) if on.status else None


def _edit_foreign(on: Ground, random: Random, at: float) -> Op | None:
    """A person edits a cell that Bitbucket owns."""
    owned = on.owned
    if not owned:
        return None
    value = "somebody's" if random.random() < 0.8 else ""
    name = random.choice([one for one in owned if "at" not in one.lower().split()] or owned)
    return Op(at_s=at, verb="edit", arguments={"record": on.record, "cells": {name: value}, "user": "grace"})


def _hold(on: Ground, random: Random, at: float) -> Op | None:
    hold = on.variables["hold"]
    return (
        None
        if not hold
        else Op(at_s=at, verb="edit", arguments={"record": on.record, "cells": {hold: random.random() < 0.5}})
    )


def _fill_in(on: Ground, random: Random, at: float) -> Op | None:
    """A field that conditions or templates read, and that no rule writes."""
    known = on.variables["filled_in"]
    if not known:
        return None
    name = random.choice(sorted(known))
    cells = {name: table.plain(random.choice(known[name]))}
    return Op(at_s=at, verb="edit", arguments={"record": on.record, "cells": cells})


def _create(on: Ground, random: Random, at: float) -> Op | None:
    cells: dict[str, Any] = {on.variables["primary"]: f"New {random.randrange(1000)}"}
    if on.status:
        cells[on.status] = random.choice(on.states[:2])
    if on.variables["create_in"] is not None:
        cells[on.variables["create_in"].field] = random.choice(list(on.variables["create_in"].map))
    cells |= {name: table.plain(random.choice(values)) for name, values in on.variables["filled_in"].items()}
    return Op(at_s=at, verb="create", arguments={"cells": cells})


def _delete(on: Ground, random: Random, at: float) -> Op | None:
    return Op(at_s=at, verb="delete", arguments={"record": random.randrange(7)})


def _push(on: Ground, random: Random, at: float) -> Op | None:
    return Op(at_s=at, verb="push", arguments={"record": random.randrange(8)})


def _open(on: Ground, random: Random, at: float) -> Op | None:
    return Op(
        at_s=at, verb="edit_pull_request", arguments={"pull_request": on.pull_request, "draft": random.random() < 0.3}
    )


def _pr_title(on: Ground, random: Random, at: float) -> Op | None:
    """The other side of the title."""
    return Op(
        at_s=at,
        verb="edit_pull_request",
        arguments={"pull_request": random.randrange(2), "title": f"Theirs {random.randrange(1000)}"},
    )


def _pr_text(on: Ground, random: Random, at: float) -> Op | None:
    text = random.choice((f"Theirs {random.randrange(1000)}", ""))
    return Op(at_s=at, verb="edit_pull_request", arguments={"pull_request": random.randrange(2), "description": text})


def _merge(on: Ground, random: Random, at: float) -> Op | None:
    return Op(at_s=at, verb="merge", arguments={"pull_request": on.pull_request})


def _decline(on: Ground, random: Random, at: float) -> Op | None:
    return Op(at_s=at, verb="decline", arguments={"pull_request": on.pull_request})


def _approve(on: Ground, random: Random, at: float) -> Op | None:
    user = random.choice(world.PEOPLE)
    return Op(
        at_s=at, verb="approve", arguments={"pull_request": on.pull_request, "user": user, "yes": random.random() < 0.8}
    )


def _build(on: Ground, random: Random, at: float) -> Op | None:
    state = random.choice(_BUILD_STATES)
    return Op(
        at_s=at,
        verb="build",
        arguments={"pull_request": random.randrange(3), "state": state, "key": random.choice(("ci", "lint"))},
    )


def _deploy(on: Ground, random: Random, at: float) -> Op | None:
    where = random.choice(("Production", "Staging"))
    return Op(at_s=at, verb="deploy", arguments={"repository": random.randrange(on.slugs), "environment": where})


_BUILD_STATES = ("SUCCESSFUL", "FAILED", "INPROGRESS")
_WORK = (
    _edit_title, _edit_text, _edit_status, _edit_status, _edit_foreign, _hold, _create, _delete, _push, _push, _open, _pr_title,
    _pr_text, _merge, _decline, _approve, _build, _deploy,
)  # fmt: skip
