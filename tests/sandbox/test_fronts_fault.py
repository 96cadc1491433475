"""Injected faults: what is applied, what the client sees, and what becomes of deliveries, over both fronts."""

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import requests

from syncd.sandbox.adapter import MachineAdapter
from syncd.sandbox.fault import Fault, FaultKind, FaultyMachine
from syncd.sandbox.server import SandboxServer
from syncd.sandbox.wire import Delivery
from tests.sandbox.airtable_setup import START, Lab, lab

Send = Callable[[], requests.Response]


def over_http(service: Lab, machine: FaultyMachine) -> Iterator[tuple[requests.Session, str]]:
    with SandboxServer(machine, "127.0.0.1", 0, service.clock) as server, requests.Session() as session:
        session.trust_env = False
        yield session, server.url


def in_process(service: Lab, machine: FaultyMachine) -> Iterator[tuple[requests.Session, str]]:
    with requests.Session() as session:
        session.mount(
            "https://", MachineAdapter(machine, service.clock, lambda waited: service.clock.forward(seconds=waited))
        )
        yield session, "https://api.airtable.com"


@pytest.fixture
def service() -> Lab:
    return lab()


@pytest.fixture
def machine(service: Lab) -> FaultyMachine:
    return FaultyMachine(service.machine, "airtable")


@pytest.fixture(params=[over_http, in_process], ids=["http", "adapter"])
def send(request: pytest.FixtureRequest, service: Lab, machine: FaultyMachine) -> Iterator[Send]:
    """Send one create through the front."""
    for session, root in request.param(service, machine):
        headers = {"authorization": f"Bearer {service.token}"}
        yield partial(
            session.post, root + service.rows(), json={"fields": {"Name": "a"}}, headers=headers, timeout=(5, 0.2)
        )


def made(service: Lab) -> int:
    return len(service.control("records", table="Features"))


ANSWERED: list[Any] = [
    pytest.param({"kind": "refuse"}, 0, 503, "text/html", id="refuse"),
    pytest.param({"kind": "refuse", "status": 500, "body": "x"}, 0, 500, "text/html", id="refuse with a status"),
    pytest.param({"kind": "throttle"}, 0, 429, "application/json; charset=utf-8", id="throttle"),
    pytest.param({"kind": "fail_after"}, 1, 502, "text/html", id="fail after"),
    pytest.param({"kind": "html"}, 1, 200, "text/html", id="html"),
    pytest.param({"kind": "cut"}, 1, 200, "application/json; charset=utf-8", id="cut"),
    pytest.param({"kind": "error_shaped"}, 1, 200, "application/json; charset=utf-8", id="error shaped"),
]


@pytest.mark.parametrize(("fault", "applied", "status", "kind"), ANSWERED)
def test_spoilt_answer_says_nothing_true_about_what_was_applied(
    send: Send, service: Lab, machine: FaultyMachine, fault: dict[str, Any], applied: int, status: int, kind: str
) -> None:
    machine.control("set_fault", fault, START)
    answer = send()
    assert (answer.status_code, answer.headers["content-type"]) == (status, kind)
    assert made(service) == applied
    if fault["kind"] == "cut":
        with pytest.raises(requests.exceptions.JSONDecodeError):
            answer.json()
    elif fault["kind"] == "error_shaped":
        assert "error" in answer.json()
    assert send().json()["fields"]["Name"] == "a"
    assert machine.control("fault_hits", {}, START) == {fault["kind"]: 1}


LOST: list[Any] = [
    pytest.param({"kind": "close_before"}, 0, requests.ConnectionError, id="closed before"),
    pytest.param({"kind": "lose_reply"}, 1, requests.ConnectionError, id="reply lost"),
    pytest.param({"kind": "hang"}, 0, requests.ReadTimeout, id="never answered"),
    pytest.param({"kind": "hang", "applied": True}, 1, requests.ReadTimeout, id="applied and never answered"),
]


@pytest.mark.parametrize(("fault", "applied", "error"), LOST)
def test_lost_reply_raises_what_requests_raises(
    send: Send, service: Lab, machine: FaultyMachine, fault: dict[str, Any], applied: int, error: type[Exception]
) -> None:
    machine.control("set_fault", fault, START)
    with pytest.raises(error):
        send()
    assert made(service) == applied
    assert send().status_code == 200


def test_hanging_request_moves_the_clock_of_the_simulation(service: Lab, machine: FaultyMachine) -> None:
    machine.arm(Fault(kind=FaultKind.HANG))
    for session, root in in_process(service, machine):
        with pytest.raises(requests.ReadTimeout):
            session.get(root + "/v0/meta/whoami", timeout=(3, 20))
    assert service.clock.now == START + timedelta(seconds=20)


SELECTED: list[Any] = [
    pytest.param({"method": "GET"}, [200, 200, 200], id="another method"),
    pytest.param({"route": "/webhooks"}, [200, 200, 200], id="another route"),
    pytest.param({"service": "bitbucket"}, [200, 200, 200], id="another service"),
    pytest.param({"method": "POST", "route": "/Features$"}, [503, 200, 200], id="the first"),
    pytest.param({"after": 1}, [200, 503, 200], id="the second"),
    pytest.param({"count": 2}, [503, 503, 200], id="two"),
    pytest.param({"count": None}, [503, 503, 503], id="all"),
]


@pytest.mark.parametrize(("selector", "statuses"), SELECTED)
def test_fault_strikes_what_it_selects(
    machine: FaultyMachine, service: Lab, selector: Any, statuses: list[int]
) -> None:
    machine.control("set_fault", {"kind": "refuse", **selector}, START)
    for session, root in in_process(service, machine):
        headers = {"authorization": f"Bearer {service.token}"}
        got = [session.post(root + service.rows(), json={"fields": {}}, headers=headers).status_code for _ in range(3)]
        assert got == statuses
    assert machine.control("faults", {}, START)[0]["hits"] == statuses.count(503)


def test_cleared_fault_strikes_no_more(machine: FaultyMachine, service: Lab) -> None:
    first = machine.control("set_fault", {"kind": "refuse", "count": None}, START)["fault"]
    machine.control("set_fault", {"kind": "throttle", "count": None}, START)
    machine.control("clear_faults", {"fault": first}, START)
    for session, root in in_process(service, machine):
        assert session.get(root + "/v0/meta/whoami").status_code == 429
        machine.control("clear_faults", {}, START)
        assert session.get(root + "/v0/meta/whoami").status_code == 401


@pytest.mark.parametrize(
    "wrong", [{"kind": "explode"}, {"kind": "refuse", "colour": "red"}, {"kind": "cut", "route": "("}]
)
def test_wrong_fault_is_refused_with_the_kinds(machine: FaultyMachine, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="lose_reply"):
        machine.control("set_fault", wrong, START)


# ------------------------------------------------------------------------------------------------------- deliveries


class Post:
    """The deliveries of two hooks, as a receiver that answers 200 would see them."""

    def __init__(self, service: Lab, machine: FaultyMachine) -> None:
        self.service = service
        self.machine = machine
        self.hooks = [service.hook(url=f"https://example.com/{at}") for at in range(2)]

    def change(self) -> None:
        self.service.create({"Name": "a"})

    def arrive(self, until: datetime) -> list[Delivery]:
        seen: list[Delivery] = []
        while (due_at := self.machine.next_due_at()) is not None and due_at <= until:
            self.service.clock.now = max(due_at, self.service.clock.now)
            for delivery in self.machine.due(self.service.clock.now):
                seen.append(delivery)
                self.machine.delivered(delivery, 200, self.service.clock.now)
        self.service.clock.now = until
        return seen


def test_deliveries_are_dropped_delayed_doubled_and_swapped(service: Lab, machine: FaultyMachine) -> None:
    post = Post(service, machine)

    def urls(seconds: float) -> list[str]:
        post.change()
        return [each.url[-1] for each in post.arrive(service.clock.now + timedelta(seconds=seconds))]

    first, second = (each[-1] for each in sorted(f"{hook} {at}" for at, hook in enumerate(post.hooks)))
    assert urls(10) == [first, second]
    machine.control("set_fault", {"kind": "drop_delivery", "route": f"/{first}$"}, START)
    assert urls(10) == [second]
    machine.control("set_fault", {"kind": "delay_delivery", "route": f"/{first}$", "delay_s": 5}, START)
    assert urls(3) == [second]
    assert [each.url[-1] for each in post.arrive(service.clock.now + timedelta(seconds=10))] == [first]
    machine.control("set_fault", {"kind": "duplicate_delivery", "route": f"/{second}$"}, START)
    assert urls(10) == [first, second, second]
    machine.control("set_fault", {"kind": "swap_deliveries", "count": 2}, START)
    assert urls(10) == [second, first]
    assert machine.control("fault_hits", {}, START) == {
        "delay_delivery": 1,
        "drop_delivery": 1,
        "duplicate_delivery": 1,
        "swap_deliveries": 2,
    }


def test_half_a_swap_goes_out_in_the_end(service: Lab, machine: FaultyMachine) -> None:
    post = Post(service, machine)
    machine.control("set_fault", {"kind": "swap_deliveries", "count": 3, "delay_s": 30}, START)
    post.change()
    assert post.arrive(START + timedelta(seconds=20)) == []
    assert len(post.arrive(START + timedelta(seconds=40))) == 2


def test_dropped_delivery_can_look_unanswered_and_is_retried(service: Lab, machine: FaultyMachine) -> None:
    hook = service.hook()
    machine.control("set_fault", {"kind": "drop_delivery", "status": 0}, START)
    service.create({"Name": "a"})
    assert machine.due(service.clock.forward(seconds=1)) == ()
    assert service.entry(hook)["lastNotificationResult"]["willBeRetried"] is True
    (again,) = machine.due(service.clock.forward(seconds=10))
    assert again.attempt == 2


def test_same_calls_meet_the_same_faults() -> None:
    def run() -> list[int]:
        service = lab()
        machine = FaultyMachine(service.machine, "airtable")
        machine.arm(Fault(kind=FaultKind.REFUSE, after=3, count=4))
        machine.arm(Fault(kind=FaultKind.FAIL_AFTER, method="POST", after=2, count=None))
        rng = random.Random(4)
        got: list[int] = []
        for session, root in in_process(service, machine):
            headers = {"authorization": f"Bearer {service.token}"}
            for _ in range(30):
                method = rng.choice(["GET", "POST"])
                body: Any = {"fields": {}} if method == "POST" else None
                got.append(session.request(method, root + service.rows(), json=body, headers=headers).status_code)
        return got

    first = run()
    assert first == run()
    assert {200, 502, 503} <= set(first)


def test_throttling_speaks_the_words_of_its_service(service: Lab) -> None:
    """Reference/bitbucket.md section 9: 46 bytes of plain text, no Retry-After."""
    machine = FaultyMachine(service.machine, "bitbucket")
    machine.arm(Fault(kind=FaultKind.THROTTLE, service="bitbucket"))
    for session, root in in_process(service, machine):
        answer = session.get(root + "/2.0/user")
        assert (answer.status_code, answer.headers["content-type"], len(answer.content)) == (429, "text/plain", 46)
        assert "retry-after" not in answer.headers


def test_refusal_can_carry_headers(service: Lab, machine: FaultyMachine) -> None:
    machine.control("set_fault", {"kind": "refuse", "headers": {"retry-after": "7"}}, START)
    for session, root in in_process(service, machine):
        assert session.get(root + "/v0/meta/whoami").headers["Retry-After"] == "7"
