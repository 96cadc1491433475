"""A client that posts signed deliveries one after the other, whatever becomes of the daemon, and remembers each answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Thread

import requests

from tests.end_to_end.running import House


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One delivery: when its sending began, and the answer; None when there was none."""

    request: str
    at: datetime
    status: int | None


@dataclass(slots=True, kw_only=True)
class Client:
    """
    Args:
        house: whose listener it posts to.
        endpoint: an active Bitbucket endpoint.
        name: begins the id of each delivery.
    """

    house: House
    endpoint: str
    name: str
    posted: list[Posted] = field(default_factory=list)

    def post(self) -> int | None:
        """One more; the status of its answer."""
        request = f"{self.name}-{len(self.posted)}"
        at = self.house.clock()
        try:
            status = self.house.deliver(self.endpoint, f'{{"id": "{request}"}}'.encode(), "repo:push", request)
        except (requests.RequestException, OSError):
            status = None
        self.posted.append(Posted(request=request, at=at, status=status))
        return status

    def acknowledged(self) -> list[Posted]:
        """Those that were answered with success."""
        return [one for one in self.posted if one.status is not None and one.status < 300]

    def require_kept(self) -> int:
        """I16: every acknowledged one is in the state, and processed or quarantined. Returns how many there were."""
        kept = {row["request"]: row["disposition"] for row in self.house.rows("SELECT request, disposition FROM inbox")}
        for one in self.acknowledged():
            assert one.status == 200, one
            assert kept.get(one.request) is not None, one
        return len(self.acknowledged())


@contextmanager
def posting(client: Client, pause_s: float = 0.01) -> Iterator[Client]:
    """Meanwhile the client posts without an end."""
    stopping = Event()

    def post() -> None:
        while not stopping.wait(pause_s):
            client.post()

    thread = Thread(target=post)
    thread.start()
    try:
        yield client
    finally:
        stopping.set()
        thread.join()
