"""
Durable acks per second: the listener with the state on disk against the same listener that stores nothing.

Both are served in turn, several times, because a machine is not equally fast from one second to the next; each pair of
rounds gives one ratio, and the median of them counts.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.figure import Bound, Figure
from bench.sender import Load

ROUNDS = 3
SECONDS = 4.0
CONNECTIONS = 64
BODY_BYTES = 12 * 1024
_FIRST_STEP = 10_000_000


def run(
    rounds: int = ROUNDS, seconds: float = SECONDS, connections: int = CONNECTIONS, body_bytes: int = BODY_BYTES
) -> list[Figure]:
    """The row "Durable acks/s", and the receiver's slowest acknowledgements under that load."""
    stored, dropped = [], []
    # Beside the project, not in the system's folder for temporary files: that may be memory, where no commit waits for a disk.
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        for number in range(rounds):
            first = number * _FIRST_STEP
            dropped.append(load(Path(folder), "drop", connections, seconds, body_bytes, first))
            stored.append(load(Path(folder), "store", connections, seconds, body_bytes, first))
    return figures(stored, dropped, connections, body_bytes)


def figures(stored: list[Load], dropped: list[Load], connections: int, body_bytes: int) -> list[Figure]:
    """What the rounds came to. A refused delivery is no slow one: it makes the figure worthless."""
    if refused := sum(one.refused for one in (*stored, *dropped)):
        raise RuntimeError(f"the listener refused {refused} deliveries; look at its output above")
    ratios = [one.acks_per_second / other.acks_per_second for one, other in zip(stored, dropped, strict=True)]
    with_store = statistics.median(one.acks_per_second for one in stored)
    without = statistics.median(one.acks_per_second for one in dropped)
    load = f"{body_bytes // 1024} KB, {connections} connections"
    return [
        Figure(
            name="Durable acks/s / acks/s without storing",
            measured=statistics.median(ratios),
            bound=Bound.AT_LEAST,
            limit=0.75,
            note=f"{with_store:,.0f}/s against {without:,.0f}/s; {load}; pairs {min(ratios):.2f} to {max(ratios):.2f}",
        ),
        Figure(
            name="Durable acks: slowest of a hundred (p99)",
            measured=statistics.median(one.p99_ms for one in stored),
            bound=Bound.AT_MOST,
            limit=500,
            unit="ms",
            note=f"p50 {statistics.median(one.p50_ms for one in stored):.1f} ms; {load}, as fast as it takes them",
        ),
    ]


def load(folder: Path, way: str, connections: int, seconds: float, body_bytes: int, first: int) -> Load:
    """One round against one fresh process."""
    serve = [sys.executable, "-m", "bench.receiver", str(folder), way]
    with subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        port = receiver.stdout.readline().strip()
        if not port:
            raise RuntimeError("the listener did not start; look at its output above")
        send = [port, str(connections), str(seconds), str(body_bytes), str(first)]
        sent = subprocess.run(
            [sys.executable, "-m", "bench.sender", *send], stdout=subprocess.PIPE, text=True, check=True
        )
        receiver.communicate(timeout=30)
    return Load(**json.loads(sent.stdout))
