"""The public listener with everything that stands behind it in production: intake, both verifiers, the state in a file."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.airtable import delivery as airtable_delivery
from syncd.bitbucket import delivery as bitbucket_delivery
from syncd.flow import intake
from syncd.model.event import Endpoint
from syncd.model.ids import EndpointId
from syncd.store import sqlite
from syncd.web import hooks
from tests.web import listening
from tests.web.listening import SECRET, StillClock, ask, post, signed

MAC_KEY = b"0123456789abcdef"


def _endpoint(name: str, provider: str, active: bool = True) -> Endpoint:
    return Endpoint(
        id=EndpointId(name), provider=provider, connection="acme", subject="{r}", hook=f"h-{name}", active=active
    )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[sqlite.SqliteStore, int]]:
    store = sqlite.SqliteStore.open(tmp_path / "syncd.db")
    for endpoint in (_endpoint("e1", "bitbucket"), _endpoint("a1", "airtable"), _endpoint("old", "bitbucket", False)):
        store.save_endpoint(endpoint, base64.b64encode(MAC_KEY).decode() if endpoint.provider == "airtable" else None)
    made = intake.Intake(
        store,
        StillClock(),
        {
            "airtable": lambda found, headers, body: airtable_delivery.verify(
                headers, body, store.load_secret(found.id)
            ),
            "bitbucket": lambda _, headers, body: bitbucket_delivery.verify(headers, body, [SECRET.decode()]),
        },
        lambda delivery: f"not read here: {delivery.sequence}",
        lambda delivery: "",
        timedelta(seconds=5),
    )
    app = hooks.build(made, StillClock())
    with listening.serving(hooks=app) as where:
        yield store, where["hooks"]
    app.close()
    store.close()


def test_an_acknowledged_delivery_is_in_the_state_with_its_bytes(place: tuple[sqlite.SqliteStore, int]) -> None:
    store, port = place
    body = b'{"push": "\xff not even UTF-8'
    assert ask(port, signed(body, "X-Event-Key: repo:push", "X-Request-UUID: r1"))[0] == 200
    (found,) = store.load_deliveries(10)
    assert (found.endpoint, found.body, found.headers["x-event-key"]) == ("e1", body, "repo:push")


def test_a_delivery_that_is_sent_again_is_kept_once(place: tuple[sqlite.SqliteStore, int]) -> None:
    store, port = place
    for attempt in ("1", "2", "3"):
        assert ask(port, signed(b"{}", "X-Request-UUID: r1", f"X-Attempt-Number: {attempt}"))[0] == 200
    assert len(store.load_deliveries(10)) == 1


def test_a_ping_of_airtable_is_verified_with_the_key_that_airtable_gave(place: tuple[sqlite.SqliteStore, int]) -> None:
    store, port = place
    mac = "hmac-sha256=" + hmac.new(MAC_KEY, b"{}", hashlib.sha256).hexdigest()
    assert ask(port, post("/hooks/airtable/a1", b"{}", f"X-Airtable-Content-MAC: {mac}"))[0] == 200
    assert ask(port, post("/hooks/airtable/a1", b"{ }", f"X-Airtable-Content-MAC: {mac}"))[0] == 401
    assert len(store.load_deliveries(10)) == 1


@pytest.mark.parametrize("path", ["/hooks/bitbucket/old", "/hooks/bitbucket/a1", "/hooks/airtable/e1"])
def test_a_deactivated_endpoint_or_one_of_the_other_service_is_unknown(
    place: tuple[sqlite.SqliteStore, int], path: str
) -> None:
    assert ask(place[1], signed(b"{}", path=path))[0] == 404


def test_one_signature_never_counts_as_the_other_services(place: tuple[sqlite.SqliteStore, int]) -> None:
    mac = "hmac-sha256=" + hmac.new(SECRET, b"{}", hashlib.sha256).hexdigest()
    assert ask(place[1], post("/hooks/bitbucket/e1", b"{}", f"X-Airtable-Content-MAC: {mac}"))[0] == 401


def test_a_state_that_is_closed_answers_503(place: tuple[sqlite.SqliteStore, int]) -> None:
    store, port = place
    store.close()
    assert ask(port, signed(b"{}"))[0] == 503
