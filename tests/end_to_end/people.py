"""People at work on both sides of a house, each with a seed of their own, and services that take their time."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

from tests.end_to_end.running import House

REPOSITORIES = {"Web": "web", "API": "api"}


def slowness(seed: int) -> Callable[[], tuple[float, float]]:
    """Services that take their time before or after they make a change: a kill then finds requests without an answer."""
    dice = random.Random(seed)

    def waits() -> tuple[float, float]:
        wait = dice.uniform(0.0, 0.2)
        return (wait, 0.0) if dice.random() < 0.5 else (0.0, wait)

    return waits


@dataclass
class People:
    """Product managers in Airtable and developers in Bitbucket, each with a thread and a seed of their own."""

    house: House
    seed: int
    features: int
    made: list[str] = field(default_factory=list)
    old: list[str] = field(default_factory=list)
    acts: int = 0
    problems: list[BaseException] = field(default_factory=list)
    stopping: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        """Records that were agreed on long ago, and have a pull request."""
        self.old = [self.house.world.records[name] for name in ("Rate limits", "Audit log")]

    def manage(self) -> None:
        """Add features, change names and details, and sometimes a status that is not theirs to change."""
        dice, house, number = random.Random(self.seed), self.house, 0
        while not self.stopping.wait(dice.uniform(0.02, 0.25)):
            number += 1
            self.acts += 1
            drawn = dice.random()
            if len(self.made) < self.features and drawn < 0.2:
                self.made.append(house.new_record(f"Feature {number}", dice.choice(sorted(REPOSITORIES))))
            elif drawn < 0.5:
                house.edit(dice.choice([*self.old, *self.made]), Name=f"Feature {number}")
            elif drawn < 0.9:
                house.edit(dice.choice([*self.old, *self.made]), Details=f"Version {number}.")
            else:
                # A state that syncd never saw otherwise would be taken as it stands: only of the old ones.
                house.edit(dice.choice(self.old), Status="Released")

    def develop(self) -> None:
        """Push to the branches that syncd made, open what it drafted, build, approve, retitle and merge."""
        dice, house = random.Random(self.seed + 1000), self.house
        while not self.stopping.wait(dice.uniform(0.02, 0.25)):
            record = dice.choice([*self.old, *self.made])
            slug = REPOSITORIES[house.cells(record)["Repo"]]
            branches, found = house.branches(record), house.pull_requests(record)
            if not branches:
                continue
            self.acts += 1
            if not found or dice.random() < 0.3:
                house.in_bitbucket("push", repository=slug, branch=branches[0], commits=1, user="grace")
            elif found[0]["state"] == "OPEN":
                self._review(dice, slug, found[0])

    def _review(self, dice: random.Random, slug: str, found: dict[str, Any]) -> None:
        def act(verb: str, user: str, **arguments: Any) -> None:
            self.house.in_bitbucket(verb, repository=slug, user=user, **arguments)

        match dice.randrange(6):
            case 0:
                act("edit_pull_request", "grace", id=found["id"], draft=not found["draft"])
            case 1:
                act("edit_pull_request", "grace", id=found["id"], title=f"mine {dice.random()}")
            case 2:
                state = dice.choice(["SUCCESSFUL", "FAILED", "INPROGRESS"])
                act("set_status", "grace", commit=found["source_commit"], key="ci", state=state)
            case 3:
                act("approve", "ada", id=found["id"])
            case 4:
                act("unapprove" if found["verdicts"] else "approve", "ada", id=found["id"])
            case _:
                if not found["draft"] and dice.random() < 0.25:
                    act("merge", "ada", id=found["id"])

    def run(self, work: Any) -> None:
        """A thread's top: what goes wrong there fails the test."""
        try:
            work()
        except BaseException as error:
            self.problems.append(error)
            raise


@contextmanager
def people(house: House, seed: int, features: int) -> Iterator[People]:
    busy = People(house, seed, features)
    threads = [Thread(target=busy.run, args=(work,)) for work in (busy.manage, busy.develop)]
    for thread in threads:
        thread.start()
    try:
        yield busy
    finally:
        busy.stopping.set()
        for thread in threads:
            thread.join()
    assert busy.problems == []
