"""
Start, load, `kill -9`, restart, check: so many cycles, and at the end everything that was promised (I31, PR01).

Each cycle kills in another situation, at a moment that the seed draws. Nightly: `make kill-loop CYCLES=300`.
"""

import argparse
import random
import resource
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from tests.end_to_end import judged, proofs
from tests.end_to_end.burst import Client, posting
from tests.end_to_end.disk import Disk, until
from tests.end_to_end.people import people, slowness
from tests.end_to_end.running import House

READY_MAX_S = 10.0
# A process that is to die at a call to the disk makes one every ten seconds at least: it saves its budgets.
DIES_WITHIN_S = 90.0


@dataclass(slots=True, kw_only=True)
class Cycles:
    """
    A house whose daemon dies again and again.

    Args:
        house: adopted, its daemon at work.
        dice: draws situations and moments.
        client: posts deliveries of its own.
    """

    house: House
    disk: Disk
    dice: random.Random
    client: Client
    ready: list[float] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)

    @property
    def situations(self) -> Mapping[str, Callable[[], None]]:
        """By the words that the report has for them."""
        return {
            "at work": self._at_work,
            "between a request and its answer": self._unanswered,
            "at a call to the disk": self._at_a_call,
            "while it starts": self._starting,
            "at a call while it starts": self._starting_at_a_call,
            "in a full compare": self._comparing,
            "in `syncd apply`": self._applying,
            "in a burst of deliveries": self._burst,
        }

    def run(self, count: int) -> None:
        """So many cycles; every situation comes up before one comes again."""
        order: list[str] = []
        for _ in range(count):
            if not order:
                order = self.dice.sample(sorted(self.situations), len(self.situations))
            situation = order.pop()
            self.situations[situation]()
            self.done[situation] += 1
            self.disk.heal()
            self.house.kill()
            self.ready.append(self.house.start())
            assert self.ready[-1] <= READY_MAX_S, (situation, self.ready[-1])
            assert [row[0] for row in self.house.rows("PRAGMA integrity_check")] == ["ok"], situation
            assert "Traceback" not in self.house.told(), situation

    def _pause(self, at_most_s: float) -> None:
        """Until a moment that nobody chose."""
        Event().wait(self.dice.uniform(0.0, at_most_s))

    def _dead(self) -> bool:
        return self.house.exit_status is not None

    def _at_work(self) -> None:
        self._pause(1.5)

    def _unanswered(self) -> None:
        until(lambda: any(one.in_hand for one in self.house.witnesses), "it writes", DIES_WITHIN_S)
        self.house.kill()

    def _at_a_call(self) -> None:
        self.disk.fail("kill", after=self.dice.randrange(60))
        until(self._dead, "it dies at a call to the disk", DIES_WITHIN_S)
        self._count_struck()

    def _starting(self) -> None:
        self.house.kill()
        self.house.spawn()
        self._pause(1.2 * self.ready[-1] if self.ready else 1.5)

    def _starting_at_a_call(self) -> None:
        self.house.kill()
        self.disk.fail("kill", after=self.dice.randrange(12))
        self.house.spawn()
        until(self._dead, "it dies at a call to the disk", DIES_WITHIN_S)
        self._count_struck()

    def _comparing(self) -> None:
        asked = [len(self.house.calls(service)) for service in (0, 1)]
        self.house.control.compare(None)
        until(lambda: [len(self.house.calls(service)) for service in (0, 1)] != asked, "it begins to compare")
        self._pause(0.3)

    def _applying(self) -> None:
        self.house.kill()
        process = self.house.spawn(command=("apply",))
        if self.dice.random() < 0.5:
            self.disk.fail("kill", after=self.dice.randrange(30))
        else:
            wrote = len(self.house.writes())
            until(lambda: process.poll() is not None or len(self.house.writes()) > wrote, "it writes, or has ended")
            self._pause(0.2)
            self.house.kill()
        until(self._dead, "the command ends", DIES_WITHIN_S)
        assert process.returncode in {0, 1, -9}, self.house.told()
        self._count_struck()

    def _burst(self) -> None:
        with posting(self.client, 0.0):
            before = len(self.client.acknowledged())
            until(lambda: len(self.client.acknowledged()) > before, "a delivery is acknowledged")
            self._pause(0.6)
            self.house.kill()

    def _count_struck(self) -> None:
        self.struck.update(f"{one.call} {one.file.partition('-')[2] or 'file'}" for one in self.disk.struck()[:1])


def prove(folder: Path, *, cycles: int, seed: int, features: int = 15) -> dict[str, object]:
    """
    Run the cycles in a house of their own, while people work on both sides, and prove what was promised.

    Returns:
        Figures for people.
    """
    began, used = time.perf_counter(), _cpu_s()
    house = House(folder.resolve() / "busy", spec={"floor": "100000"})
    disk = Disk(house)
    # Services without limits and a guard that lets any number of changes pass: this is about crashes, not about pace.
    house.lift_limits()
    with house.open():
        house.start()
        house.adopt()
        begun = {"airtable": len(house.airtable.log), "bitbucket": len(house.bitbucket.log)}
        ((since,),) = house.rows("SELECT coalesce(max(sequence), 0) FROM journal")
        began_at = house.clock()
        client = Client(house=house, endpoint=house.endpoint("bitbucket", house.repository("web")), name="burst")
        loop = Cycles(house=house, disk=disk, dice=random.Random(seed), client=client)
        for number, witness in enumerate(house.witnesses):
            witness.slowness = slowness(seed + number)
        with people(house, seed, features) as busy:
            loop.run(cycles)
        for witness in house.witnesses:
            witness.slowness = None
        figures = _prove_end(house, client, sorted({*busy.made, *house.world.records.values()}))
        assert house.end() == 0
        broken = judged.violations(house, begun, since, began_at)
        assert not broken, "\n".join(f"{one.invariant}: {one.text}" for one in broken)
    return {
        "seed": seed,
        "cycles": dict(loop.done),
        "calls died at": dict(loop.struck),
        "slowest ready s": round(max(loop.ready), 2),
        "median ready s": round(sorted(loop.ready)[len(loop.ready) // 2], 2),
        "acts of people": busy.acts,
        **figures,
        "wall s": round(time.perf_counter() - began),
        "CPU s": round(_cpu_s() - used),
    }


def _prove_end(house: House, client: Client, records: Sequence[str]) -> dict[str, object]:
    # A creation whose answer was lost is looked for during a minute before it counts as not made.
    house.settle(within_s=180)
    # Bitbucket never repeats a delivery that nobody answered: what came while the daemon was down, a full compare finds.
    ended = len(house.log_lines("compare.finished"))
    house.control.compare(None)
    house.wait_for(lambda: len(house.log_lines("compare.finished")) > ended, "both sides are compared")
    house.settle(within_s=180)
    (plan,) = house.control.plan(None)["plans"]
    assert (plan["totals"]["writes"], plan["totals"]["actions"]) == (0, 0), plan
    assert house.log_lines("worker.failed") == []
    for record in records:
        proofs.nothing_is_made_twice(house, record)
        proofs.the_cells_follow_their_owners(house, record)
    return {
        "records": len(records),
        "acknowledged deliveries": proofs.every_acknowledged_delivery_is_processed(house),
        "acknowledged in bursts": f"{client.require_kept()} of {len(client.posted)}",
        "changing requests": proofs.every_changing_request_has_one_operation(house),
        "operations ended": proofs.every_operation_ended(house),
        "answers lost and looked up": len(house.log_lines("write.resolved")),
        "cells written": proofs.no_cell_is_written_twice_with_the_same_value(house),
    }


def first_starts(folder: Path, *, cycles: int, seed: int) -> dict[str, object]:
    """
    Kill the first start, with its migration, at a call to the disk; the next one must need no help (ST09).

    Returns:
        Figures for people.
    """
    dice, ready = random.Random(seed), []
    house = House(folder.resolve() / "fresh")
    disk = Disk(house)
    struck: Counter[str] = Counter()
    house.lift_limits()
    with house.open():
        for cycle in range(cycles):
            for file in house.state.parent.glob("syncd.db*"):
                file.unlink()
            # The first dozens of calls make the file and its tables; each is tried before any is tried again.
            disk.fail("kill", after=cycle if cycle < 12 else dice.randrange(80))
            house.spawn()
            until(lambda: house.exit_status is not None, "it dies at a call to the disk", DIES_WITHIN_S)
            assert house.exit_status == -9, house.told()
            struck.update(f"{one.call} {one.file.partition('-')[2] or 'file'}" for one in disk.struck())
            disk.heal()
            ready.append(house.start())
            assert ready[-1] <= READY_MAX_S
            assert [row[0] for row in house.rows("PRAGMA integrity_check")] == ["ok"]
            assert house.control.status()["syncs"]["features"]["adoption"]
            house.kill()
        assert house.writes() == []
    return {"first starts": cycles, "calls died at": dict(struck), "slowest ready s": round(max(ready), 2)}


def _cpu_s() -> float:
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in found)


def main() -> None:
    """The nightly run: prints its figures and the seed, with which it can be run again."""
    parser = argparse.ArgumentParser(description="kill -9 the daemon, again and again, and prove that nothing is lost")
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None, help="default: another one every time")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    left = given.cycles
    while left > 0:
        # In houses of at most a hundred: each begins with an empty log, in which the proofs look back.
        share = min(left, 100)
        first = max(1, share // 10)
        folder = Path(tempfile.mkdtemp(prefix="syncd-kill-"))
        # What fails leaves the folder behind, with the daemon's log and the state.
        print(f"{share} cycles in {folder}", flush=True)
        for name, value in first_starts(folder, cycles=first, seed=seed).items():
            print(f"  {name}: {value}", flush=True)
        for name, value in prove(folder, cycles=share - first, seed=seed).items():
            print(f"  {name}: {value}", flush=True)
        shutil.rmtree(folder)
        left, seed = left - share, seed + 1
    print("nothing was lost, nothing was doubled")


if __name__ == "__main__":
    main()
