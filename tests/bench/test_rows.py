"""Every row of the benchmark, at a size that proves nothing about speed but that it still runs and counts right."""

import sqlite3
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import acks, calls, figure, pages, plans, sweep_child, sweep_world
from bench.figure import Bound, Figure
from bench.sender import Load
from syncd.flow import work


def test_a_burst_costs_full_batches_and_hardly_a_read_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it is more than what is read in one go."""
    monkeypatch.setattr(work, "CLAIM_MAX", 40)
    writes, reads = calls.run(40)
    assert writes.measured == 1
    assert "2 requests changed 20 records; 200 deliveries" in writes.note
    assert reads.holds


def test_a_sweep_that_finds_nothing_is_read_both_ways(tmp_path: Path) -> None:
    sweep_world.build(tmp_path, 100)
    for way in ("compare", "plain"):
        reading = sweep_child.read(tmp_path, way)
        assert (reading.records, reading.differing) == (100, 0)
        assert reading.cpu_s > 0
        assert reading.peak_mib > 10


def test_a_sweep_that_finds_something_is_no_figure(tmp_path: Path) -> None:
    sweep_world.build(tmp_path, 100)
    listing = pages.file_of(tmp_path, "records")
    listing.write_text(listing.read_text().replace("In Review", "Ready"))
    assert sweep_child.read(tmp_path, "compare").differing == 2


def test_the_listener_acknowledges_what_it_stores(tmp_path: Path) -> None:
    load = acks.load(tmp_path, "store", connections=4, seconds=0.2, body_bytes=1024, first=1)
    assert load.acks_per_second > 0
    assert load.refused == 0
    with sqlite3.connect(tmp_path / "store.db") as state:
        (stored,) = state.execute("SELECT count(*) FROM inbox").fetchone()
    state.close()
    # What was on its way when the time was over was stored too.
    assert stored >= load.acks_per_second * 0.2


def test_refused_deliveries_make_the_figure_worthless() -> None:
    good = Load(acks_per_second=100, p50_ms=1, p99_ms=2, refused=0)
    bad = Load(acks_per_second=900, p50_ms=1, p99_ms=2, refused=1)
    with pytest.raises(RuntimeError, match="refused 1 deliveries"):
        acks.figures([good], [bad], 1, 1024)


def test_plans_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_ROUNDS", 1)
    monkeypatch.setattr(plans, "_PLANS", 2)
    assert all(one.measured > 0 for one in bench.ROWS["plans"]())


@pytest.mark.parametrize(
    ("measured", "bound", "verdict", "ratio"),
    [
        pytest.param(1.5, Bound.AT_MOST, "holds", "0.75", id="below a most"),
        pytest.param(2.5, Bound.AT_MOST, "MISSES", "1.25", id="above a most"),
        pytest.param(2.5, Bound.AT_LEAST, "holds", "1.25", id="above a least"),
        pytest.param(1.5, Bound.AT_LEAST, "MISSES", "0.75", id="below a least"),
    ],
)
def test_the_table_says_on_which_side_of_its_limit_a_figure_is(
    measured: float, bound: Bound, verdict: str, ratio: str
) -> None:
    row = figure.table([Figure(name="X", measured=measured, bound=bound, limit=2)]).splitlines()[-1]
    assert [cell.strip() for cell in row.split("|")][1:6] == ["X", f"{measured}", f"{bound.value} 2", ratio, verdict]


def test_an_unknown_figure_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["speed"]) == 2
    assert "no figure speed; there are: plans, calls, acks, sweep" in capsys.readouterr().err
