"""
A scenario is data: the world it begins in, what people do, what goes wrong, where the process dies. JSON, replayed from itself.

The seed only says where it came from. Selectors name a service, a verb, a route and the n-th match, never the number of a
request, so that taking one thing out does not move the others.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Net(Enum):
    """Which safety nets are stretched: one must not hide another's bug."""

    ALL = "all"
    HOOKS = "hooks"
    POLLING = "polling"
    SWEEP = "sweep"


@dataclass(frozen=True, slots=True, kw_only=True)
class During:
    """
    The moment in which a request is under way: it has left syncd and has not reached the service. The n-th match counts.

    Args:
        body: stands in what is sent.
    """

    service: str
    method: str
    route: str = ""
    after: int = 0
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """
    Somebody does something.

    Args:
        at_s: seconds after the start; with `during`, the earliest.
        verb: a word of `people.VERBS`.
        arguments: JSON-ready; records and pull requests are named by their position in the world.
        fault: the id of reliability.md that this act makes; "" for ordinary work.
    """

    at_s: float
    verb: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    during: During | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """
    A fault on requests or deliveries, from `at_s` to `until_s`.

    Args:
        fault: the id of reliability.md.
        kind: a `sandbox.fault.FaultKind`, or one of `stage.NETWORK`.
        service, method, route, event, after, count, more: as in `sandbox.fault.Fault`.
    """

    fault: str
    kind: str
    at_s: float = 0.0
    until_s: float | None = None
    service: str | None = None
    method: str | None = None
    route: str = ""
    event: str = ""
    after: int = 0
    count: int | None = 1
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """
    The process ends at a port call, as by SIGKILL.

    Args:
        port: "store", "airtable" or "bitbucket".
        what: the store's method, or the request's method.
        when: "before" or "after" the call.
        after: so many matches pass.
    """

    port: str
    what: str
    when: str = "before"
    after: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTrouble:
    """
    A statement of the state fails.

    Args:
        fault: ST01 (full), ST02 (read error), ST03 (commit fails), ST04 (locked).
        statement: how it begins, e.g. "COMMIT".
        after: so many matches pass.
        count: so many fail.
    """

    fault: str
    statement: str = "COMMIT"
    after: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    One week, or ten minutes, of the daemon's life.

    Args:
        variant: which change of the spec it is about; "" is the spec as it is.
        choices: the seed of what the services leave open; 0 takes the documents' own answers.
        minutes: how long people and faults are at work.
        latency_ms: how long a request takes, one way.
        fresh: begin before the first `syncd apply` instead of in a synced world.
        narrow: with one repository instead of all that the spec names.
    """

    seed: int = 0
    variant: str = ""
    choices: int = 0
    net: Net = Net.ALL
    minutes: int = 10
    latency_ms: int = 50
    fresh: bool = False
    narrow: bool = False
    ops: tuple[Op, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    deaths: tuple[Death, ...] = ()
    store: tuple[StoreTrouble, ...] = ()

    @property
    def events(self) -> int:
        """How many things happen: what shrinking makes smaller."""
        return len(self.ops) + len(self.troubles) + len(self.deaths) + len(self.store)


def dump(scenario: Scenario) -> str:
    """As JSON for people: one event per line, what is as usual left out."""
    raw = asdict(scenario)
    raw["net"] = scenario.net.value
    usual = asdict(Scenario())
    usual["net"] = Net.ALL.value
    kept = {name: value for name, value in raw.items() if value != usual[name]}
    for name, kind in _PARTS.items():
        if name in kept:
            defaults = {
                key: {} if each.default_factory is dict else each.default
                for key, each in kind.__dataclass_fields__.items()
            }
            kept[name] = [{key: value for key, value in one.items() if value != defaults[key]} for one in kept[name]]
    lines = []
    for name, value in kept.items():
        if name in _PARTS:
            inner = ",\n".join(f"    {json.dumps(one, ensure_ascii=True)}" for one in value)
            lines.append(f'  "{name}": [\n{inner}\n  ]')
        else:
            lines.append(f'  "{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def load(text: str) -> Scenario:
    """What `dump` wrote. Raises ValueError on anything else."""
    try:
        raw = json.loads(text)
        parts: dict[str, Any] = {
            name: tuple(_part(kind, one) for one in raw.pop(name, ())) for name, kind in _PARTS.items()
        }
        net = Net(raw.pop("net", Net.ALL.value))
        return Scenario(net=net, **parts, **raw)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no scenario: {error}") from error


def _part(kind: type[Any], raw: Mapping[str, Any]) -> Any:
    given = dict(raw)
    if given.get("during") is not None:
        given["during"] = During(**given["during"])
    return kind(**given)


_PARTS: Mapping[str, type[Any]] = {"ops": Op, "troubles": Trouble, "deaths": Death, "store": StoreTrouble}
