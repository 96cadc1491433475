"""Input that trips a fault of ours stops nothing but itself; it is kept, shown, and tried again (I22, PR10)."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.bitbucket.side import BitbucketSide
from syncd.core import plan
from syncd.flow import collect, digest, operation
from syncd.flow.trial import DEATHS_MAX, Trial
from syncd.model.change import Plan, RecordPlan
from syncd.model.event import Delivery, Event
from syncd.model.ids import RecordId
from syncd.model.situation import Situation
from syncd.store import sqlite
from tests.flow.house import MINUTE, START, Crash, Lab


def adopted(folder: Path, **named: Any) -> Lab:
    """A lab at rest."""
    lab = Lab(folder, **named)
    lab.adopt()
    lab.run(5 * MINUTE)
    return lab


def test_a_delivery_that_trips_a_fault_is_quarantined_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = adopted(tmp_path)
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


# ------------------------------------------------------------------------------------------------------- exceptions


def _in_plan(poisoned: Callable[[str], bool], fault: BaseException, patch: pytest.MonkeyPatch) -> None:
    inner = plan.plan_record

    def planned(situation: Situation, *more: Any) -> RecordPlan:
        if poisoned(situation.record.id):
            raise fault
        return inner(situation, *more)

    patch.setattr(plan, "plan_record", planned)


def _in_collect(poisoned: Callable[[str], bool], fault: BaseException, patch: pytest.MonkeyPatch) -> None:
    inner = collect._with_link_command

    def linked(context: Any, record: Any, *more: Any) -> Any:
        if poisoned(record.id):
            raise fault
        return inner(context, record, *more)

    patch.setattr(collect, "_with_link_command", linked)


def _in_state(poisoned: Callable[[str], bool], fault: BaseException, patch: pytest.MonkeyPatch) -> None:
    inner = sqlite.SqliteStore.load_remembered

    def loaded(store: Any, sync: Any, records: Any) -> Any:
        if any(poisoned(record) for record in records):
            raise fault
        return inner(store, sync, records)

    patch.setattr(sqlite.SqliteStore, "load_remembered", loaded)


def _in_fingerprint(poisoned: Callable[[str], bool], fault: BaseException, patch: pytest.MonkeyPatch) -> None:
    inner = collect.fingerprint

    def summed(context: Any, record: Any) -> str:
        if poisoned(record.id):
            raise fault
        return inner(context, record)

    patch.setattr(collect, "fingerprint", summed)


PLACES = {"plan": _in_plan, "collect": _in_collect, "state": _in_state, "fingerprint": _in_fingerprint}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_record_that_trips_a_fault_is_set_apart_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Callable[..., None]
) -> None:
    lab = adopted(tmp_path)
    odd = lab.records["Audit log"]
    with monkeypatch.context() as patch:
        place(lambda record: record == odd, KeyError("unforeseen"), patch)
        lab.edit("Audit log", Name="Audit trail")
        lab.edit("Rate limits", Name="Rates")
        lab.edit("Login page", Status="Ready")
        lab.run(2 * MINUTE)
        repository, number = lab.world.pull_requests["Rate limits"]
        assert "Rates" in lab.pull_request(repository, number)["title"]
        assert lab.branches("Login page")
        told = lab.status()
        assert told["syncs"]["features"]["errors"] == 1
        assert "KeyError" in lab.store.load_known(lab.crew.workers[0].context.name)[RecordId(odd)].note
        (shown,) = [one for one in lab.plan()["records"] if one["record"] == odd]
        assert "KeyError" in shown["note"]
        before = lab.requests()["airtable"]
        lab.run(60 * MINUTE)
        assert lab.requests()["airtable"] - before < 60, "it is tried again ever more rarely"
    lab.run(20 * MINUTE)
    repository, number = lab.world.pull_requests["Audit log"]
    assert "Audit trail" in lab.pull_request(repository, number)["title"]
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_apply_carries_out_a_plan_past_a_record_that_trips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(tmp_path)
    lab.run(2 * MINUTE)
    odd = lab.records["Audit log"]
    _in_plan(lambda record: record == odd, ZeroDivisionError(), monkeypatch)
    lab.apply()
    lab.run(2 * MINUTE)
    assert lab.cells("Rate limits")["Sync state"] == "ok"
    assert lab.status()["syncs"]["features"]["errors"] == 1


def _in_request(poisoned: Callable[[str], bool], fault: Exception, patch: pytest.MonkeyPatch) -> None:
    inner = operation._write

    def made(write: Any) -> Any:
        if poisoned(write.record):
            raise fault
        return inner(write)

    patch.setattr(operation, "_write", made)


def _in_encoding(poisoned: Callable[[str], bool], fault: Exception, patch: pytest.MonkeyPatch) -> None:
    from syncd.airtable.side import AirtableSide

    inner = AirtableSide.send_cells

    def sent(side: Any, table: Any, fields: Any, updates: Any) -> Any:
        if any(poisoned(update.record) for update in updates):
            raise fault
        return inner(side, table, fields, updates)

    patch.setattr(AirtableSide, "send_cells", sent)


@pytest.mark.parametrize("place", [_in_request, _in_encoding])
def test_a_record_that_cannot_be_sent_by_a_fault_is_parked_and_travels_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Callable[..., None]
) -> None:
    lab = adopted(tmp_path)
    odd = lab.records["Audit log"]
    with monkeypatch.context() as patch:
        place(lambda record: record == odd, TypeError("unforeseen"), patch)
        repository, number = lab.world.pull_requests["Rate limits"]
        lab.work("edit_pull_request", repository=repository, id=number, draft=False, user="grace")
        repository, number = lab.world.pull_requests["Audit log"]
        lab.work("merge", repository=repository, id=number, user="ada")
        lab.run(10 * MINUTE)
        assert lab.cells("Rate limits")["Status"] == "In Review"
        assert lab.cells("Audit log")["Status"] == "In Review", "its own write is the one that trips"
        assert lab.status()["syncs"]["features"]["errors"] == 1
    lab.edit("Audit log", Details="look again")
    lab.run(30 * MINUTE)
    assert lab.cells("Audit log")["Status"] == "Merged"
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_work_that_trips_a_fault_stops_only_its_own_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = adopted(tmp_path)
    repository, odd = lab.world.pull_requests["Audit log"]
    where, number = lab.world.pull_requests["Rate limits"]
    inner = BitbucketSide.fetch_pull_request
    with monkeypatch.context() as patch:

        def fetched(side: Any, home: Any, asked: int) -> Any:
            if home.slug == repository and asked == odd:
                raise KeyError("unforeseen")
            return inner(side, home, asked)

        patch.setattr(BitbucketSide, "fetch_pull_request", fetched)
        lab.work("approve", repository=repository, id=odd, user="ada")
        lab.work("edit_pull_request", repository=where, id=number, draft=False, user="grace")
        lab.run(2 * MINUTE)
        assert lab.cells("Rate limits")["Status"] == "In Review"
        assert any("KeyError" in reason for reason in lab.status()["reasons"])
    lab.run(30 * MINUTE)
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_an_edit_time_that_cannot_be_read_stops_only_its_own_record(tmp_path: Path) -> None:
    both = '"Details"     = { bitbucket = "pr.description", owner = "both", conflict = "newest" }'
    lab = adopted(tmp_path, edit=lambda text: re.sub(r'^"Details".*$', both, text, flags=re.M))
    from tests.flow.test_unreadable import ANSWERS, spoil

    repository, odd = lab.world.pull_requests["Audit log"]
    mend = spoil(lab, "GET", rf"/pullrequests/{odd}/activity", ANSWERS["broken"])
    lab.edit("Audit log", Details="as Ada sees it")
    lab.work("edit_pull_request", repository=repository, id=odd, description="as Grace sees it", user="grace")
    lab.edit("Rate limits", Name="Rates")
    lab.run(2 * MINUTE)
    where, number = lab.world.pull_requests["Rate limits"]
    assert "Rates" in lab.pull_request(where, number)["title"]
    assert lab.status()["syncs"]["features"]["conflicts"] == 0, "what is not known is no conflict yet"
    assert lab.status()["syncs"]["features"]["pending"] == 1
    mend()
    lab.run(20 * MINUTE)
    assert lab.status()["syncs"]["features"]["pending"] == 0


# ------------------------------------------------------------------------------------------------ the process dies


def test_a_record_that_ends_the_process_is_set_apart_after_its_third_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = adopted(tmp_path)
    odd = lab.records["Audit log"]
    deaths: list[str] = []
    with monkeypatch.context() as patch:

        def poisoned(record: str) -> bool:
            if record == odd:
                deaths.append(record)
                lab.doom.dead = True
            return record == odd

        _in_plan(poisoned, Crash(), patch)
        for name in ("Audit log", "Rate limits", "Login page", "Dark mode"):
            lab.edit(name, Details="said again")
        lab.run(4 * MINUTE)
        assert DEATHS_MAX <= len(deaths) <= DEATHS_MAX + 3, "later it is tried again, ever more rarely"
        repository, number = lab.world.pull_requests["Rate limits"]
        assert lab.pull_request(repository, number)["description"] == "said again"
        assert lab.status()["syncs"]["features"]["errors"] == 1
        lab.run(6 * 60 * MINUTE)
        assert len(deaths) < 15
    lab.run(24 * 60 * MINUTE)
    repository, number = lab.world.pull_requests["Audit log"]
    assert lab.pull_request(repository, number)["description"] == "said again"
    assert lab.status()["state"] == "ok", lab.status()["reasons"]


def test_a_delivery_that_ends_the_process_is_quarantined_after_its_third_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = adopted(tmp_path)
    deaths: list[int] = []

    def poison() -> None:
        read = lab.house.intake._read

        def deadly(delivery: Delivery) -> Event | str:
            if b"better title" in delivery.body:
                deaths.append(delivery.sequence)
                lab.doom.dead = True
                raise Crash
            return read(delivery)

        lab.house.intake._read = deadly

    reopen = lab.open

    def opened(image: bytes | None) -> None:
        reopen(image)
        poison()

    monkeypatch.setattr(lab, "open", opened)
    poison()
    repository, number = lab.world.pull_requests["Audit log"]
    lab.work("edit_pull_request", repository=repository, id=number, title="better title", user="grace")
    lab.work("approve", repository=repository, id=number, user="ada")
    lab.run(10 * MINUTE)
    assert deaths.count(deaths[0]) == DEATHS_MAX
    assert lab.store.counts().inbox == 0
    assert "Audit log" in lab.work("pull_request", repository=repository, id=number)["title"]


def test_groups_get_smaller_with_every_death() -> None:
    store = sqlite.SqliteStore.in_memory()
    keys = [f"rec{number:03}" for number in range(100)]
    trial = Trial(store, "records", START)
    assert [len(group) for group in trial.groups(keys)] == [100]
    trial.enter(keys)
    trial = Trial(store, "records", START)
    assert [len(group) for group in trial.groups(keys)] == [32, 32, 32, 4]
    trial.enter(keys[:32])
    trial = Trial(store, "records", START)
    assert [len(group) for group in trial.groups(keys)] == [*([1] * 32), 32, 32, 4]
    assert trial.apart_until(keys[0], START) is None
    trial.enter(keys[:1])
    trial = Trial(store, "records", START)
    assert trial.apart_until(keys[0], START) == START + MINUTE
    assert trial.apart_until(keys[0], START + MINUTE) is None
    trial.leave(keys)
    assert Trial(store, "records", START).groups(keys) == [keys]


def test_whatever_a_plan_goes_through_is_tried_where_its_record_can_be_set_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = adopted(tmp_path)
    odd = lab.records["Audit log"]
    inner = digest.of

    def named(made: Plan) -> str:
        if any(one.record == odd and one.writes for one in made.records):
            raise OverflowError
        return inner(made)

    monkeypatch.setattr(digest, "of", named)
    lab.edit("Audit log", Name="Audit trail")
    lab.edit("Rate limits", Name="Rates")
    lab.run(2 * MINUTE)
    repository, number = lab.world.pull_requests["Rate limits"]
    assert "Rates" in lab.pull_request(repository, number)["title"]
    assert lab.status()["syncs"]["features"]["errors"] == 1
