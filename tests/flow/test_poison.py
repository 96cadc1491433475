"""One delivery that trips a fault of ours stops none of those behind it (I22); it is kept and shown."""

from datetime import timedelta
from pathlib import Path

import pytest

from syncd.model.event import Delivery, Event
from tests.flow.house import Lab


def test_a_delivery_that_trips_a_fault_is_quarantined_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(tmp_path)
    lab.run(timedelta(minutes=1))
    lab.apply()
    lab.run(timedelta(minutes=5))
    read = lab.house.intake._read
    tripped: list[int] = []

    def tripping(delivery: Delivery) -> Event | str:
        if not tripped:
            tripped.append(delivery.sequence)
            raise KeyError("a key that every body had until today")
        return read(delivery)

    monkeypatch.setattr(lab.house.intake, "_read", tripping)
    repository, number = lab.world.pull_requests["Audit log"]
    lab.work("edit_pull_request", repository=repository, id=number, title="better title", user="grace")
    lab.work("approve", repository=repository, id=number, user="ada")
    lab.run(timedelta(minutes=5))
    assert tripped
    assert lab.store.counts().inbox == 0
    assert "Audit log" in lab.work("pull_request", repository=repository, id=number)["title"]
