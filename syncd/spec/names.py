"""
Names of the spec → ids of the services, with the nearest name when there is none.

Until `syncd lock` exists, what a name meant at an earlier start is handed in and handed out again (SPEC "Contract"): so
a rename is followed by id, and told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from syncd import errors
from syncd.spec import locate, nearest
from syncd.spec.document import Document


@dataclass(slots=True)
class Names:
    """
    One resolution of one spec.

    Args:
        document: for the places.
        remembered: what names meant before: "where/kind/name" → id.
        pins: what they mean now, in the same form.
        problems: everything that was not found, and (warnings) what was renamed.
        lost: what was found at an earlier start and is not any more, by place: it blocks the rules that use it, not the start.
    """

    document: Document
    remembered: Mapping[str, str]
    pins: dict[str, str] = field(default_factory=dict)
    problems: list[errors.Problem] = field(default_factory=list)
    lost: dict[locate.Path, str] = field(default_factory=dict)

    def find(self, where: str, kind: str, name: str, known: Sequence[tuple[str, str]], path: locate.Path) -> str | None:
        """
        The id that a name stands for.

        Args:
            where: what the name belongs to: an id, for the memory.
            kind: "table", "view", "field" or "repository".
            name: as it stands in the spec: a name or an id.
            known: every (id, name) there is.
            path: where the spec says it.

        Returns:
            The id, or None after noting the problem.
        """
        ids = {found_id for found_id, _ in known}
        pin = f"{where}/{kind}/{name}"
        if name in ids:
            self.pins[pin] = name
            return name
        named = [found_id for found_id, found_name in known if found_name == name]
        before = self.remembered.get(pin)
        if before in ids and before is not None:
            self.pins[pin] = before
            if before not in named:
                now = next(found_name for found_id, found_name in known if found_id == before)
                self.note(
                    path, f'the {kind}\'s name: it was renamed to "{now}", and syncd follows it by its id', warning=True
                )
            return before
        if len(named) == 1:
            self.pins[pin] = named[0]
            return named[0]
        if named:
            self.note(path, f"an id, because {len(named)} {kind}s have this name: {', '.join(sorted(named))}")
        else:
            plural = "Repositories" if kind == "repository" else f"{kind.capitalize()}s"
            told = f'no {kind} "{name}". {nearest.listed(plural, name, [found_name for _, found_name in known])}'
            self.miss(pin, path, told)
        return None

    def keep(self, pin: str, meaning: str) -> None:
        """Remember that this was there, or fitted, at this start."""
        self.pins[pin] = meaning

    def miss(self, pin: str, path: locate.Path, expected: str, *, show: bool = True) -> None:
        """Something is not there, or does not fit: drift when an earlier start had it, else a mistake of the spec."""
        before = self.remembered.get(pin)
        if before is None:
            self.note(path, expected, show=show)
            return
        self.pins[pin] = before
        self.lost.setdefault(path, expected)

    def note(self, path: locate.Path, expected: str, *, show: bool = True, warning: bool = False) -> None:
        """Add a problem at a key path."""
        self.problems.append(self.document.problem(path, expected, show=show, warning=warning))
