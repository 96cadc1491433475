"""
The sweep that finds nothing: CPU per record beside the plainest comparison there is, its growth, and peak memory.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import sweep_world
from bench.figure import Bound, Figure
from bench.sweep_child import Reading

SMALL = 10_000
LARGE = 100_000
ROUNDS = 3
MEMORY_MIB_MAX = 256


def run(small: int = SMALL, large: int = LARGE, rounds: int = ROUNDS) -> list[Figure]:
    """The row "No-op sweep", for two sizes; the large one takes so long that a moment's noise is lost in it, and is read once."""
    found = {small: measure(small, rounds), large: measure(large, 1)}
    figures = []
    for records, (compare, plain) in found.items():
        each_us = compare.cpu_s / records * 1e6
        figures.append(
            Figure(
                name=f"No-op sweep, {records:,} records: CPU / reading and comparing dicts",
                measured=compare.cpu_s / plain.cpu_s,
                bound=Bound.AT_MOST,
                limit=2,
                note=f"{each_us:.0f} against {plain.cpu_s / records * 1e6:.0f} µs of CPU per record",
            )
        )
    each = {records: compare.cpu_s / records for records, (compare, _) in found.items()}
    figures.append(
        Figure(
            name="No-op sweep: CPU per record, large / small",
            measured=each[large] / each[small],
            bound=Bound.AT_MOST,
            # Linear within what caches and the collector of garbage cost.
            limit=1.25,
            note=f"{large:,} against {small:,} records",
        )
    )
    compare, plain = found[large]
    figures.append(
        Figure(
            name=f"No-op sweep, {large:,} records: peak memory",
            measured=compare.peak_mib,
            bound=Bound.AT_MOST,
            limit=MEMORY_MIB_MAX,
            unit="MiB",
            note=f"the whole process; {found[small][0].peak_mib:.0f} MiB at {small:,}",
        )
    )
    figures.append(
        Figure(
            name=f"No-op sweep, {large:,} records: CPU",
            measured=compare.cpu_s,
            bound=Bound.AT_MOST,
            limit=60,
            unit="s",
            note="of one full compare",
        )
    )
    return figures


def measure(records: int, rounds: int) -> tuple[Reading, Reading]:
    """Build a world of so many records, and read it both ways in turn; the median of the rounds."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        folder = Path(name)
        sweep_world.build(folder, records)
        both = [(_read(folder, "compare", records), _read(folder, "plain", records)) for _ in range(rounds)]
    return _median([one for one, _ in both]), _median([other for _, other in both])


def _read(folder: Path, way: str, records: int) -> Reading:
    done = subprocess.run(
        [sys.executable, "-m", "bench.sweep_child", str(folder), way], stdout=subprocess.PIPE, text=True, check=True
    )
    reading = Reading(**json.loads(done.stdout))
    if (reading.records, reading.differing) != (records, 0):
        raise RuntimeError(f"the world was not in step: {reading}")
    return reading


def _median(readings: list[Reading]) -> Reading:
    return Reading(
        records=readings[0].records,
        differing=0,
        cpu_s=statistics.median(one.cpu_s for one in readings),
        peak_mib=max(one.peak_mib for one in readings),
    )
