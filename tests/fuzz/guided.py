"""
Coverage-guided fuzzing of everything that takes foreign bytes: an input that reaches a new arc is kept and mutated further.

    python -m tests.fuzz.guided [--target NAME] [--seconds N] [--seed S] [--save]

Arcs (line to line) are seen with `sys.settrace`, in the files of the target only. One seed makes one sequence of inputs;
how far it gets depends on the machine. Exits 1 when a property fails.
"""

import argparse
import gc
import io
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from syncd import log
from tests.fuzz import on_hooks, on_spec, on_wire
from tests.fuzz.target import CORPUS, Target, kept, measured, timed

TARGETS: dict[str, Target] = {target.name: target for target in (*on_hooks.TARGETS, *on_wire.TARGETS, *on_spec.TARGETS)}
# How often an input is also measured for memory, which costs several times as much as running it.
MEASURED_EVERY = 200
FAILURES_MAX = 5
_SHRINKS_MAX = 400
ROOT = Path(log.__file__).parent

Arc = tuple[str, int, int]


@dataclass(slots=True)
class Failure:
    """A property that failed, and the smallest input found that makes it fail."""

    key: str
    told: str
    data: bytes


@dataclass(slots=True, kw_only=True)
class Report:
    """What a search did. `slowest_s` and `largest_bytes` are of a single input."""

    target: str
    runs: int = 0
    arcs: int = 0
    kept: int = 0
    cpu_s: float = 0.0
    slowest_s: float = 0.0
    largest_bytes: int = 0
    failures: list[Failure] = field(default_factory=list)


class Arcs:
    """Follows the arcs of some files while it is on."""

    def __init__(self, files: frozenset[str]) -> None:
        self._files = files
        self.seen: set[Arc] = set()
        self.fresh: set[Arc] = set()

    def run(self, call: Callable[[], Any]) -> None:
        """Call it; afterwards `fresh` holds the arcs that no call before had."""
        self.fresh = set()
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            call()
        finally:
            sys.settrace(before)
            self.fresh -= self.seen
            self.seen |= self.fresh

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        file = frame.f_code.co_filename
        if file not in self._files:
            return None
        last = -frame.f_code.co_firstlineno
        fresh = self.fresh

        def step(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            if event == "line":
                fresh.add((file, last, frame.f_lineno))
                last = frame.f_lineno
            return step

        return step


def search(target: Target, seconds: float, seed: int, failures_max: int = FAILURES_MAX) -> Report:
    """
    Fuzz one target for so many seconds of CPU.

    Args:
        seed: of the sequence of inputs.
        failures_max: the search ends after so many different ones.
    """
    random, report = Random(f"{target.name} {seed}"), Report(target=target.name)
    arcs = Arcs(frozenset(str(ROOT / file) for file in target.files))
    seeds = [data for _, data in kept(target.name)] + target.seeds()
    pool, interesting = list(seeds), list[bytes]()
    started_s = time.process_time()
    while report.cpu_s < seconds and len(report.failures) < failures_max:
        # First all seeds as they are; then mutations, of the newest finds most often.
        if pool:
            data = pool.pop()
        elif random.randint(0, 3) == 0:
            data = target.mutate(random.choice(seeds), random)
        else:
            newest = -random.randint(1, min(20, len(interesting)))
            at = random.choice((random.randrange(len(interesting)), newest))
            data = target.mutate(interesting[at], random)
        report.runs += 1
        report.cpu_s = time.process_time() - started_s
        try:
            arcs.run(partial(target.run, data))
            if report.runs % MEASURED_EVERY == 0:
                report.largest_bytes = max(report.largest_bytes, measured(target, data))
            if arcs.fresh or report.runs % 20 == 0:
                report.slowest_s = max(report.slowest_s, timed(target, data))
        except Exception as error:  # noqa: BLE001 - what is searched for
            _note(report, target, data, error)
            interesting = interesting or [data]
            continue
        if arcs.fresh or not interesting:
            interesting.append(data)
    report.arcs, report.kept = len(arcs.seen), len(interesting)
    return report


def _note(report: Report, target: Target, data: bytes, error: Exception) -> None:
    key = key_of(error)
    if any(found.key == key for found in report.failures):
        return
    told = "".join(traceback.format_exception(error, limit=-6))
    report.failures.append(Failure(key=key, told=told, data=smallest(target, data, key)))


def key_of(error: BaseException) -> str:
    """What makes two failures one: the exception's class and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/fuzz/" not in frame.filename] or frames
    last = ours[-1] if not isinstance(error, AssertionError) else frames[-2 if len(frames) > 1 else -1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


def smallest(target: Target, data: bytes, key: str) -> bytes:
    """The input with ever smaller pieces cut out as long as the same failure stays."""
    tries, size = 0, max(len(data) // 2, 1)
    while size and tries < _SHRINKS_MAX:
        at = 0
        while at < len(data) and tries < _SHRINKS_MAX:
            shorter = data[:at] + data[at + size :]
            tries += 1
            if _fails_alike(target, shorter, key):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def _fails_alike(target: Target, data: bytes, key: str) -> bool:
    try:
        timed(target, data)
    except Exception as error:  # noqa: BLE001 - what is looked for
        return key_of(error) == key
    return False


def close() -> None:
    """Give back what the targets share: a state, an event loop, a folder."""
    on_hooks.STAND.close()
    on_spec.FOLDER.close()
    gc.collect()


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description="coverage-guided fuzzing")
    parser.add_argument("--target", choices=sorted(TARGETS), help="only this one")
    parser.add_argument("--seconds", type=float, default=20.0, help="of CPU, per target (default 20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", action="store_true", help="write failing inputs to the corpus, for ever after")
    options = parser.parse_args(arguments)
    # What the listener says of a broken store is meant; here it is asked for a thousand times.
    log.configure("critical", io.StringIO())
    failed = False
    for name in [options.target] if options.target else sorted(TARGETS):
        report = search(TARGETS[name], options.seconds, options.seed)
        failed = failed or bool(report.failures)
        _tell(report)
        for index, failure in enumerate(report.failures):
            if options.save:
                folder = CORPUS / name
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"found-{options.seed}-{index}").write_bytes(failure.data)
    print(f"resident at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")
    close()
    return int(failed)


def _tell(report: Report) -> None:
    rate = report.runs / max(report.cpu_s, 0.001)
    print(
        f"{report.target}: {report.runs} inputs, {rate:.0f}/s, {report.arcs} arcs, {report.kept} kept, slowest "
        f"{report.slowest_s * 1000:.0f} ms, at most {report.largest_bytes // 1024} KiB, {len(report.failures)} failures",
        flush=True,
    )
    for failure in report.failures:
        print(f"  {failure.key}\n    smallest input ({len(failure.data)} bytes): {failure.data[:400]!r}")
        print("    " + failure.told.replace("\n", "\n    "))


if __name__ == "__main__":
    sys.exit(main())
