"""The way to a `Control`: the running daemon's admin listener, or, without a daemon, the state itself under its lock."""

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from syncd import errors
from syncd.web import control
from syncd.web.control import Answer, Control

DEFAULT_ADMIN = "127.0.0.1:8484"
CONNECT_WAIT_S = 5.0
# A plan compares both sides in full; large tables take minutes.
ANSWER_WAIT_S = 3_600.0


@contextmanager
def opened(config: Path, environment: str) -> Iterator[Control]:
    """
    The daemon that runs with this spec, or its state.

    Raises:
        StateInUse: another process holds the state and does not answer.
        SpecError: there is no daemon and the spec is wrong.
    """
    remote = running(config, environment)
    if remote is not None:
        yield remote
        return
    from syncd import log, wiring

    log.configure("warning")
    with wiring.open_control(config, environment) as local:
        yield local


def running(config: Path, environment: str) -> "RemoteControl | None":
    """The daemon that runs with this spec, None when nobody listens. Raises SyncdError when it does not answer."""
    remote = RemoteControl(admin_address(config, environment), control.read_token(os.environ))
    return remote if remote.answers() else None


def admin_address(config: Path, environment: str) -> str:
    """`daemon.admin` of a spec that may be wrong elsewhere: the daemon may run with an older one."""
    from syncd.spec import document

    read, problems = document.read(config, environment)
    if not read.tree and problems:
        raise errors.SpecError(tuple(problems))
    daemon = read.tree.get("daemon", {})
    address = daemon.get("admin", DEFAULT_ADMIN) if isinstance(daemon, dict) else DEFAULT_ADMIN
    return address if isinstance(address, str) else DEFAULT_ADMIN


def only_sync(control: Control, sync: str | None) -> str:
    """The sync that is meant: the named one, or the only one. Raises UsageError when there are several."""
    if sync is not None:
        return sync
    names = sorted(control.status()["syncs"])
    if len(names) != 1:
        known = ", ".join(names) or "none"
        raise errors.UsageError(f"which sync? There is: {known}", next_step="add --sync NAME")
    return str(names[0])


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class RemoteControl:
    """
    `Control` over the admin listener.

    Args:
        address: "host:port" or "unix:/path", as in `daemon.admin`.
        token: sent when not "".
    """

    def __init__(self, address: str, token: str = "") -> None:
        self._address = address
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def answers(self) -> bool:
        """Whether a daemon listens there. Raises UsageError when something else does."""
        try:
            status, answer = self._send("GET", "/healthz", None, CONNECT_WAIT_S)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        if status != 200 or answer != {"alive": True}:
            raise self._stranger()
        return True

    def ready(self) -> tuple[bool, str]:
        """`GET /readyz`."""
        _, answer = self._send("GET", "/readyz", None, ANSWER_WAIT_S)
        return bool(answer.get("ready")), str(answer.get("reason", ""))

    def status(self) -> Answer:
        """`GET /status`."""
        return self._get("/status")

    def plan(self, sync: str | None, /) -> Answer:
        """`POST /plan`."""
        return self._post("/plan", sync=sync)

    def apply(self, sync: str | None, digest: str | None, accept: list[str], /) -> Answer:
        """`POST /apply`."""
        return self._post("/apply", sync=sync, digest=digest, accept=accept)

    def pause(self, scope: str, reason: str, /) -> Answer:
        """`POST /pause`."""
        return self._post("/pause", scope=scope, reason=reason)

    def resume(self, scope: str, /) -> Answer:
        """`POST /resume`."""
        return self._post("/resume", scope=scope)

    def conflicts(self, sync: str | None, /) -> Answer:
        """`GET /conflicts`."""
        return self._get("/conflicts", sync=sync)

    def resolve(self, sync: str, record: str, field: str, winner: str, /) -> Answer:
        """`POST /resolve`."""
        return self._post("/resolve", sync=sync, record=record, field=field, winner=winner)

    def hold(self, sync: str, record: str, field: str | None, reason: str, until: str | None, /) -> Answer:
        """`POST /hold`."""
        return self._post("/hold", sync=sync, record=record, field=field, reason=reason, until=until)

    def unhold(self, sync: str, record: str, field: str | None, /) -> Answer:
        """`POST /unhold`."""
        return self._post("/unhold", sync=sync, record=record, field=field)

    def journal(self, sync: str | None, record: str | None, run: str | None, after: int, limit: int, /) -> Answer:
        """`GET /journal`."""
        return self._get("/journal", sync=sync, record=record, run=run, after=after, limit=limit)

    def compare(self, sync: str | None, /) -> Answer:
        """`POST /compare`."""
        return self._post("/compare", sync=sync)

    def reload(self) -> Answer:
        """`POST /reload`."""
        return self._post("/reload")

    def _get(self, path: str, **query: Any) -> Answer:
        given = {name: value for name, value in query.items() if value is not None}
        return self._checked("GET", f"{path}?{urlencode(given)}" if given else path, None)

    def _post(self, path: str, **body: Any) -> Answer:
        return self._checked("POST", path, {name: value for name, value in body.items() if value is not None})

    def _checked(self, method: str, path: str, body: Answer | None) -> Answer:
        try:
            status, answer = self._send(method, path, body, ANSWER_WAIT_S)
        except (ConnectionRefusedError, FileNotFoundError) as error:
            raise errors.SyncdError(f"the daemon at {self._address} has just stopped", next_step="try again") from error
        if status != 200:
            raise self._error(answer)
        return answer

    def _send(self, method: str, path: str, body: Answer | None, timeout_s: float) -> tuple[int, Answer]:
        connection = self._connection(timeout_s)
        headers = {**self._headers, **({"Content-Type": "application/json"} if body is not None else {})}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            read = json.loads(answer.read())
        except (ConnectionRefusedError, FileNotFoundError):
            raise
        except (http.client.HTTPException, ValueError) as error:
            raise self._stranger() from error
        except OSError as error:
            raise errors.SyncdError(
                f"the daemon at {self._address} does not answer: {error}",
                next_step="look at its log; a unix socket is for the daemon's user and group",
            ) from error
        finally:
            connection.close()
        if not isinstance(read, dict):
            raise self._stranger()
        return answer.status, read

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._address.startswith("unix:"):
            return _UnixConnection(self._address.removeprefix("unix:"), timeout_s)
        host, _, port = self._address.rpartition(":")
        # A daemon that listens everywhere also listens here.
        local = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
        if not port.isascii() or not port.isdigit():
            raise errors.UsageError(f'daemon.admin = "{self._address}" is no address', next_step="syncd check")
        return http.client.HTTPConnection(local.strip("[]"), int(port), timeout=timeout_s)

    def _stranger(self) -> errors.UsageError:
        return errors.UsageError(
            f"something that is not syncd answers at {self._address}",
            next_step="change daemon.admin in the spec, or stop what listens there",
        )

    def _error(self, answer: Answer) -> errors.SyncdError:
        told = answer.get("error")
        if not isinstance(told, dict):
            return self._stranger()
        message, next_step = str(told.get("message", "")), str(told.get("next_step", ""))
        match told.get("class"):
            case "SpecError":
                return errors.SpecError(tuple(errors.Problem(**problem) for problem in told.get("problems", [])))
            case "Refused":
                largest = tuple(str(one) for one in told.get("largest", []))
                return errors.Refused(message, next_step=next_step, largest=largest)
            case "UsageError":
                return errors.UsageError(message, next_step=next_step)
            case "StoreError" | "StateInUse":
                return errors.StoreError(message, next_step=next_step)
            case _:
                return errors.SyncdError(message, next_step=next_step)
