"""The unmodified pyairtable against the emulated Airtable, over real HTTP on loopback and over the in-process adapter."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from threading import Thread
from typing import Any

import pytest
import requests
from pyairtable import Api
from pyairtable.formulas import match
from pyairtable.models.webhook import WebhookNotification

from syncd.sandbox.adapter import MachineAdapter
from syncd.sandbox.server import SandboxServer
from tests.sandbox.airtable_setup import ANNA, BOT, Lab, lab


def over_http(service: Lab) -> Iterator[Api]:
    with SandboxServer(service.machine, "127.0.0.1", 0, service.clock) as server:
        api = Api(service.token, timeout=(5, 5), retry_strategy=None, endpoint_url=server.url)
        api.session.trust_env = False
        yield api
        api.session.close()


def in_process(service: Lab) -> Iterator[Api]:
    api = Api(service.token, timeout=(5, 5), retry_strategy=None)
    api.session.mount("https://api.airtable.com", MachineAdapter(service.machine, service.clock))
    yield api
    api.session.close()


@pytest.fixture
def service() -> Lab:
    return lab()


@pytest.fixture(params=[over_http, in_process], ids=["http", "adapter"])
def api(request: pytest.FixtureRequest, service: Lab) -> Iterator[Api]:
    front: Callable[[Lab], Iterator[Api]] = request.param
    yield from front(service)


def test_records_are_made_paged_changed_and_deleted(api: Api, service: Lab) -> None:
    table = api.table(service.base, "Features")
    made = table.batch_create([{"Name": f"row {at:02}", "Estimate": at} for at in range(25)])
    assert len(made) == 25
    pages = list(table.iterate(page_size=10, sort=["Name"]))
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [row["fields"]["Name"] for page in pages for row in page] == [f"row {at:02}" for at in range(25)]
    assert table.first(formula=match({"Name": "row 07"}), fields=["Estimate"])["fields"] == {"Estimate": 7}  # type: ignore[index]  # it is there
    one = table.update(made[0]["id"], {"Status": "Ready"})
    assert one["fields"]["Status"] == "Ready"
    assert table.get(made[0]["id"])["fields"]["Name"] == "row 00"
    table.batch_update([{"id": row["id"], "fields": {"Estimate": 1}} for row in made[:12]])
    assert len(table.all(formula="{Estimate}=1")) == 12
    assert len(table.all(view="Ready only")) == 1
    replaced = table.update(made[0]["id"], {"Name": "only"}, replace=True)
    assert "Status" not in replaced["fields"]
    gone = table.batch_delete([row["id"] for row in made])
    assert all(each["deleted"] for each in gone)
    assert table.all() == []


def test_long_formula_goes_by_post(api: Api, service: Lab) -> None:
    table = api.table(service.base, service.table)
    table.create({"Name": "a"})
    formula = "OR(" + ",".join(f"{{Name}}='{'x' * 40}{at}'" for at in range(500)) + ",{Name}='a')"
    assert len(table.all(formula=formula)) == 1
    assert service.machine.log[-1].path.endswith("/listRecords")


def test_upsert_and_field_ids(api: Api, service: Lab) -> None:
    table = api.table(service.base, "Features")
    known = table.create({"Name": "known"})
    rows: Any = [{"fields": {"Name": "new"}}, {"fields": {"Name": "known", "Estimate": 3}}]
    answer = table.batch_upsert(rows, key_fields=["Name"])
    assert answer["updatedRecords"] == [known["id"]]
    assert len(answer["createdRecords"]) == 1
    by_id = table.get(known["id"], use_field_ids=True)["fields"]
    assert by_id[service.fld("Estimate")] == 3


def test_refusals_come_as_http_errors_with_the_body(api: Api, service: Lab) -> None:
    table = api.table(service.base, "Features")
    with pytest.raises(requests.HTTPError) as caught:
        table.create({"Status": "Nope"})
    assert caught.value.response.status_code == 422
    assert caught.value.response.json()["error"]["type"] == "INVALID_MULTIPLE_CHOICE_OPTIONS"


def test_schema_bases_and_whoami(api: Api, service: Lab) -> None:
    assert api.whoami()["id"] == BOT
    assert [base.name for base in api.bases()] == ["Product"]
    schema = api.base(service.base).schema()
    features = schema.table("Features")
    status = features.field("Status")
    assert [choice.name for choice in status.options.choices] == ["Planned", "Ready", "Done"]  # type: ignore[union-attr]  # it is a select
    assert features.view("All").visible_field_ids is not None
    api.table(service.base, service.table).create_field("Link", "url")
    assert api.base(service.base).schema(force=True).table("Features").field("Link").type == "url"


def test_webhook_is_made_listed_read_and_deleted(api: Api, service: Lab) -> None:
    base = api.base(service.base)
    spec: Any = {"options": {"filters": {"dataTypes": ["tableData"]}}}
    made = base.add_webhook("http://127.0.0.1:9/ping", spec)
    assert len(made.mac_secret_base64) == 172
    base.table("Features").create({"Name": "a"})
    (hook,) = base.webhooks()
    assert hook.cursor_for_next_payload == 2
    assert hook.expiration_time == datetime(2026, 11, 28, 6, tzinfo=UTC)
    (payload,) = hook.payloads()
    assert payload.action_metadata is not None
    assert payload.action_metadata.source == "publicApi"
    assert list(payload.changed_tables_by_id) == [service.table]
    service.clock.forward(days=1)
    hook.extend_expiration()
    hook.disable_notifications()
    assert base.webhooks()[0].are_notifications_enabled is False
    hook.delete()
    assert base.webhooks() == []


def test_comments(api: Api, service: Lab) -> None:
    table = api.table(service.base, "Features")
    row = table.create({"Name": "a"})
    table.add_comment(row["id"], "first")
    service.control("comment", record=row["id"], text="second", user=ANNA)
    assert [each.text for each in table.comments(row["id"])] == ["second", "first"]


class Receiver:
    """A webhook receiver on loopback that keeps what arrives."""

    def __init__(self, status: int) -> None:
        self.got: Queue[tuple[dict[str, str], bytes]] = Queue()
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response_only(status)
                self.send_header("content-length", "0")
                self.end_headers()
                got.put(({name.lower(): value for name, value in self.headers.items()}, body))

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=lambda: self.http.serve_forever(poll_interval=0.01))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/ping"

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def test_server_pumps_signed_pings_over_real_http() -> None:
    service = lab()
    receiver = Receiver(204)
    try:
        with SandboxServer(service.machine, "127.0.0.1", 0, service.clock) as server:
            made = service.ok(
                "POST",
                service.hooks_path,
                {
                    "notificationUrl": receiver.url,
                    "specification": {"options": {"filters": {"dataTypes": ["tableData"]}}},
                },
            )
            answer = requests.post(
                f"{server.url}/_sandbox/create",
                json={"table": "Features", "cells": {"Name": "a"}, "user": ANNA},
                timeout=5,
            )
            record = answer.json()["id"]
            service.clock.forward(seconds=1)
            headers, body = receiver.got.get(timeout=10)
            header = headers["x-airtable-content-mac"]
            note = WebhookNotification.from_request(body.decode(), header, made["macSecretBase64"])
            assert note.webhook.id == made["id"]
            shown = requests.post(f"{server.url}/_sandbox/record", json={"record": record}, timeout=5).json()
            assert shown["fields"]["Name"] == "a"
        assert service.entry(made["id"])["lastNotificationResult"]["success"] is True
    finally:
        receiver.stop()


def test_control_over_http_says_what_is_wrong() -> None:
    service = lab()
    with SandboxServer(service.machine, "127.0.0.1", 0, lambda: datetime(2026, 11, 21, tzinfo=UTC)) as server:
        unknown = requests.post(f"{server.url}/_sandbox/dance", json={}, timeout=5)
        assert unknown.status_code == 400
        assert "unknown verb 'dance'" in unknown.json()["error"]
        assert requests.get(f"{server.url}/_sandbox/records", timeout=5).status_code == 400
        assert requests.post(f"{server.url}/_sandbox/records", data=json.dumps([1]), timeout=5).status_code == 400


def test_server_refuses_to_listen_beyond_loopback() -> None:
    with pytest.raises(ValueError, match="IPv4 loopback only"):
        SandboxServer(lab().machine, "0.0.0.0", 0, lab().clock)
