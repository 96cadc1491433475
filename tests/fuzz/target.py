"""What a target is: bytes go in, and nothing but what is declared may come out."""

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import shared
from tests.fuzz import mutate

CORPUS = Path(__file__).with_name("corpus")
# Of one input of at most 64 KiB, on a machine that others use too; what is right takes a hundredth of it.
CPU_S_MAX = 1.0
MEMORY_BYTES_MAX = 64 * 1024 * 1024


class Violation(AssertionError):
    """A property does not hold for an input. Any other exception that leaves a target is one as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    One door for foreign bytes.

    Args:
        files: modules of syncd, below its root, whose arcs guide the search.
        seeds: what the search starts from; never empty.
        run: feeds one input; ends without an exception when all properties hold.
        mutate: makes an input from another.
        cpu_s_max: the longest that one input may take.
    """

    name: str
    files: tuple[str, ...]
    seeds: Callable[[], list[bytes]]
    run: Callable[[bytes], None]
    mutate: mutate.Mutator
    cpu_s_max: float = CPU_S_MAX
    memory_bytes_max: int = MEMORY_BYTES_MAX


def require(holds: object, what: str) -> None:
    """Raise Violation unless it holds."""
    if not holds:
        raise Violation(what)


def timed(target: Target, data: bytes) -> float:
    """Run one input; the CPU seconds it took. Raises Violation above the limit."""
    before_s = time.process_time()
    target.run(data)
    took_s = time.process_time() - before_s
    # A second look: on a shared machine the collector, or a neighbour's cache, can have been in between.
    if took_s > target.cpu_s_max:
        before_s = time.process_time()
        target.run(data)
        took_s = min(took_s, time.process_time() - before_s)
    require(took_s <= target.cpu_s_max, f"took {took_s:.2f} s of CPU for {len(data)} bytes")
    return took_s


def measured(target: Target, data: bytes) -> int:
    """Run one input; the most bytes that Python held for it. Raises Violation above the limit."""
    with _traced() as peak:
        target.run(data)
        found = peak()
    require(found <= target.memory_bytes_max, f"held {found} bytes for {len(data)}")
    return found


@contextmanager
def _traced() -> Iterator[Callable[[], int]]:
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def recorded(service: str) -> list[tuple[str, bytes]]:
    """The recorded payloads of a service that are not huge, by name; read where they lie, [] when they are missing."""
    found = [
        (name, (shared.SHARED / f"fixtures/{service}/{name}").read_bytes())
        for name in shared.names(f"fixtures/{service}")
    ]
    return [(name, body) for name, body in found if len(body) < mutate.BYTES_MAX - 16]


def kept(name: str) -> list[tuple[str, bytes]]:
    """The inputs of a target's corpus: each once made one of its properties fail."""
    return [(file.name, file.read_bytes()) for file in sorted((CORPUS / name).glob("*"))]
