"""The unmodified atlassian-python-api over real HTTP on loopback, and a receiver that gets signed deliveries."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from threading import Thread
from typing import Any

import pytest
import requests
from atlassian.bitbucket import cloud as library

from syncd.sandbox.bitbucket.deliveries import signature
from syncd.sandbox.bitbucket.machine import BitbucketMachine
from syncd.sandbox.server import SandboxServer

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
Cloud: Any = library.Cloud  # the library has no types


class Ticking:
    """A clock that moves a second with every look."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    machine = BitbucketMachine(3)
    for verb, arguments in (
        ("add_workspace", {"slug": "acme"}),
        ("add_user", {"nickname": "ada"}),
        ("add_user", {"nickname": "bob"}),
        ("add_repository", {"name": "Web"}),
        ("add_token", {"name": "sync-bot", "secret": "t0ken"}),
        ("add_token", {"kind": "api", "user": "ada", "secret": "ada-api-token"}),
        ("push", {"repository": "web", "branch": "feature/rec1", "commits": 3, "user": "bob"}),
    ):
        machine.control(verb, arguments, START)
    with SandboxServer(machine, "127.0.0.1", 0, Ticking(), delivery_timeout_s=10) as running:
        yield running


@pytest.fixture
def cloud(server: SandboxServer) -> Iterator[Any]:
    with requests.Session() as session:
        session.trust_env = False
        yield Cloud(url=server.url, token="t0ken", session=session)


@pytest.fixture
def repository(cloud: Any) -> Any:
    return cloud.repositories.get("acme", "web")


def test_repositories_are_listed_and_read(cloud: Any, repository: Any) -> None:
    assert repository.name == "Web"
    assert [one.slug for one in cloud.workspaces.get("acme").repositories.each()] == ["web"]
    assert [one.slug for one in cloud.workspaces.each()] == ["acme"]


def test_branches_are_made_listed_and_read(repository: Any) -> None:
    head = repository.branches.get("main").hash
    assert repository.branches.create("feature/rec2", head).name == "feature/rec2"
    assert sorted(one.name for one in repository.branches.each(sort="name")) == ["feature/rec1", "feature/rec2", "main"]
    assert [one.name for one in repository.branches.each(q='name ~ "REC2"')] == ["feature/rec2"]


def test_a_pull_request_lives_its_life_through_the_library(repository: Any) -> None:
    made = repository.pullrequests.create("A title", "feature/rec1", description="Text")
    assert (made.id, made.title, made.destination_branch, made.is_open) == (1, "A title", "main", True)
    assert [one.id for one in repository.pullrequests.each()] == [1]
    made.comment("First")
    assert [one.raw for one in made.comments()] == ["First"]
    task = made.add_task("Do it")
    assert [one.description for one in made.tasks()] == ["Do it"]
    task.update("Do it well")
    assert [one.description for one in made.tasks()] == ["Do it well"]
    task.delete()
    assert list(made.tasks()) == []
    assert len(list(made.commits)) == 3
    made.approve()
    assert [one.has_approved for one in repository.pullrequests.get(1).participants()] == [True]
    made.unapprove()
    made.request_changes()
    assert [one.has_changes_requested for one in repository.pullrequests.get(1).participants()] == [True]
    made.unrequest_changes()
    made.merge(merge_strategy="squash", close_source_branch=True)
    merged = repository.pullrequests.get(1)
    assert merged.is_merged
    assert [one.name for one in repository.branches.each()] == ["main"]


def test_a_pull_request_is_declined_through_the_library(repository: Any) -> None:
    made = repository.pullrequests.create("A title", "feature/rec1")
    made.decline()
    assert repository.pullrequests.get(1).is_declined


def test_builds_are_posted_and_shown_on_the_pull_request(repository: Any) -> None:
    made = repository.pullrequests.create("A title", "feature/rec1")
    commit = next(iter(made.commits))
    commit.add_build("ci", url="https://ci.example.com/1", refname="feature/rec1", state="FAILED")
    assert [(one.key, one.failed, one.commit) for one in made.builds()] == [("ci", True, commit.hash)]
    commit.get_build("ci").update(state="SUCCESSFUL", url="https://ci.example.com/2")
    assert [one.successful for one in commit.builds()] == [True]


def test_hooks_are_managed_through_the_library(repository: Any) -> None:
    hook = repository.hooks.create("https://x.example.com/h", "mine", ["repo:push"])
    assert [one.uuid() for one in repository.hooks.each()] == [hook.uuid()]
    hook.update(active=False)
    assert [one.active() for one in repository.hooks.each()] == [False]
    hook.delete()
    assert list(repository.hooks.each()) == []


def test_paths_page_through_everything(server: SandboxServer, cloud: Any) -> None:
    for number in range(25):
        server.machine.control("push", {"repository": "web", "branch": f"b{number:02}", "user": "bob"}, START)
    names = [one["name"] for one in cloud._get_paged("repositories/acme/web/refs/branches", params={"sort": "name"})]
    assert len(names) == 27
    commits = list(cloud._get_paged("repositories/acme/web/commits", params={"pagelen": 7}))
    assert len({one["hash"] for one in commits}) == len(commits) == 29
    assert all(one.startswith(server.url) for one in (commits[0]["links"]["self"]["href"],))


def test_an_api_token_is_basic_with_the_e_mail_address_only(server: SandboxServer) -> None:
    def nickname(user: str) -> str:
        with requests.Session() as session:
            session.trust_env = False
            return str(
                Cloud(url=server.url, username=user, password="ada-api-token", session=session).get("user")["nickname"]
            )

    assert nickname("ada@acme.dev") == "ada"
    with pytest.raises(requests.HTTPError, match="Token is invalid, expired"):
        nickname("ada")


def test_errors_arrive_with_their_message(cloud: Any) -> None:
    with pytest.raises(requests.HTTPError, match="Repository acme/none not found"):
        cloud.repositories.get("acme", "none")
    with pytest.raises(requests.HTTPError, match="There is no API hosted at this URL"):
        cloud.get("nonsense")


def test_a_receiver_gets_signed_deliveries_and_a_repeat_after_503(server: SandboxServer, repository: Any) -> None:
    received: Queue[tuple[dict[str, str], bytes]] = Queue()
    answers = iter((503, 200, 200))

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.put(({key.lower(): value for key, value in self.headers.items()}, body))
            self.send_response(next(answers))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Stay silent."""

    receiver = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = Thread(target=lambda: receiver.serve_forever(poll_interval=0.01))
    thread.start()
    try:
        url = f"http://127.0.0.1:{receiver.server_port}/hooks/bitbucket/e1"
        repository.post("hooks", {"url": url, "events": ["repo:push"], "secret": "hush", "active": True})
        repository.branches.create("x", "main")
        first, second = received.get(timeout=10), received.get(timeout=10)
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()
    assert first[0]["x-hub-signature"] == second[0]["x-hub-signature"] == signature("hush", first[1])
    assert (first[0]["x-attempt-number"], second[0]["x-attempt-number"]) == ("1", "2")
    assert first[0]["x-request-uuid"] == second[0]["x-request-uuid"]
    assert first[0]["x-event-key"] == "repo:push"
