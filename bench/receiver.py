"""
The listener for hooks in a process of its own: `python -m bench.receiver FOLDER store|drop`.

Both ways verify the signature and go through the same writer thread; "drop" alone stores nothing. Prints its port, and
serves until its standard input ends.
"""

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from bench.sender import ENDPOINT, SECRET
from syncd import log, ports, wiring
from syncd.bitbucket import delivery
from syncd.flow import intake
from syncd.model.event import Endpoint
from syncd.model.ids import EndpointId
from syncd.store import sqlite
from syncd.web import hooks, server


class _Dropping(intake.Intake):
    """Takes deliveries and keeps none: what the listener costs without the disk."""

    def save(self, arrived: Sequence[ports.Arrived]) -> None:
        """Nothing."""


def main(folder: Path, way: str) -> None:
    """Serve."""
    log.configure("warning")
    store = sqlite.SqliteStore.open(folder / f"{way}.db")
    endpoint = Endpoint(
        id=EndpointId(ENDPOINT), provider="bitbucket", connection="acme", subject="{web}", hook="{hook}", active=True
    )
    store.save_endpoint(endpoint, None)
    clock = wiring.SystemClock()
    kind = {"store": intake.Intake, "drop": _Dropping}[way]
    verifiers: dict[str, intake.Verifier] = {
        "bitbucket": lambda _, headers, body: delivery.verify(headers, body, [SECRET])
    }
    receiver = kind(store, clock, verifiers, wiring.read_bitbucket, wiring.read_ping, timedelta(seconds=5))
    app = hooks.build(receiver, clock)
    listeners = server.Listeners(
        [server.Listener(name="hooks", address=server.Address(host="127.0.0.1", port=0), app=app)]
    )
    listeners.start()
    print(listeners.address("hooks").port, flush=True)
    sys.stdin.read()
    listeners.stop()
    app.close()
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
