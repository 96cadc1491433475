"""
One reading of a large world in a process of its own: `python -m bench.sweep_child FOLDER compare|plain`.

"compare" is the daemon's full compare; "plain" reads the same rows through the same clients and compares dicts with what
it read before. Prints CPU seconds, how much was found, and the process's peak of memory, as JSON.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import sweep_world
from syncd import log
from syncd.flow import full_compare
from syncd.flow.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one reading took. `differing`: records or rows that are not as before; there should be none."""

    records: int
    differing: int
    cpu_s: float
    peak_mib: float


def read(folder: Path, way: str) -> Reading:
    """Read the world in `folder` once."""
    context = sweep_world.open_world(folder)
    records, differing, cpu_s = {"compare": _compare, "plain": _plain}[way](context)
    context.store.close()
    return Reading(records=records, differing=differing, cpu_s=cpu_s, peak_mib=_peak_mib())


def _compare(context: Context) -> tuple[int, int, float]:
    started = time.process_time()
    found = full_compare.compare(context, sweep_world.NOW, lambda: "")
    spent = time.process_time() - started
    if found.unread:
        raise RuntimeError(f"repositories could not be read: {found.unread[:3]}")
    return found.records, found.marked, spent


def _plain(context: Context) -> tuple[int, int, float]:
    before, _ = _rows(context)
    started = time.process_time()
    now, records = _rows(context)
    differing = sum(1 for key, row in now.items() if before.get(key) != row)
    return records, differing, time.process_time() - started


def _rows(context: Context) -> tuple[dict[Any, Any], int]:
    """Every row that a compare reads, by what names it."""
    sync, changelog = context.sync, context.changelog
    rows: dict[Any, Any] = {
        record.id: record.cells for record in context.catalogue.fetch_listing(sync.table, sync.view, context.fields())
    }
    records = len(rows)
    for repository in sync.repositories:
        rows[repository.id] = changelog.fetch_repository(repository.id)
        for one in changelog.fetch_pull_requests(repository, sweep_world.NOW):
            rows[one.key] = one
        for branch in changelog.fetch_branches(repository):
            rows[repository.id, branch.name] = branch
            if sweep_world.is_open(branch.name):
                rows[repository.id, branch.target_commit] = changelog.fetch_builds(
                    repository, branch.target_commit[:12]
                )
        rows[repository.id, "deployments"] = changelog.fetch_deployments(repository, frozenset())
    return rows, records


def _peak_mib() -> float:
    """The most memory that this process ever held; Linux counts it anew for each program, unlike `getrusage`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell a process's peak of memory: run it on Linux")


if __name__ == "__main__":
    log.configure("error")
    print(json.dumps(asdict(read(Path(sys.argv[1]), sys.argv[2]))))
