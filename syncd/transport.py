"""
The one HTTP session that both services' libraries speak through: host, time-outs, budgets and errors in one place.

What it holds (reference/reliability.md AT01-AT07, AT11-AT13, BB01-BB08, BB13, NE01-NE05):

- nothing leaves for another host than the connection's, and nothing but a read follows a redirect;
- nothing changing leaves while the kill switch is on: it is asked last, after every wait (I20);
- nothing is sent before the gate was charged, and nothing is ever sent twice: neither here nor below;
- every answer ends as a 2xx with readable JSON or as one `errors.ServiceError`; a changing request whose outcome is
  not certain ends as `Unclear`, whatever went wrong;
- no error carries a query, a body or a credential, neither in its text nor in its chain.
"""

import base64
import io
import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter

from syncd import errors, ports

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
# Checked at every piece of an answer, so the longest exchange is this plus one read time-out.
DEADLINE_S = 60.0
BODY_BYTES_MAX = 32 * 1024 * 1024
# The gate's longest wait inside a request; a longer one goes back to the queue.
PACE_MAX_S = 1.0
REDIRECTS_MAX = 3
# Silence after a 429 of which the gate says nothing better (reference/airtable.md 8.1).
PENALTY_S = 30.0

_PIECE_BYTES = 64 * 1024
_DETAIL_LENGTH_MAX = 300
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}

# (status, parsed JSON of the body or None) → (the service's error code or "", its text or ""). Never raises.
Explain = Callable[[int, Any], tuple[str, str]]
# (method, path) → whether it only reads; some reads are POSTs.
Reads = Callable[[str, str], bool]
# Why changing requests may not leave now; "" when they may.
Paused = Callable[[], str]


def reads_by_method(method: str, path: str) -> bool:  # noqa: ARG001 - one of the forms of `Reads`
    """The plain rule: GET, HEAD and OPTIONS read, everything else changes something."""
    return method in _READING_METHODS


def never_paused() -> str:
    """For what no kill switch holds: tests and tools that only read."""
    return ""


def open_session(
    *,
    service: str,
    base_url: str,
    gate: ports.Gate,
    clock: ports.Clock,
    explain: Explain,
    user_agent: str,
    reads: Reads = reads_by_method,
    paused: Paused = never_paused,
    adapter: BaseAdapter | None = None,
) -> "GuardedSession":
    """
    A session for one worker thread and one connection; `requests` does not promise that threads may share one.

    Args:
        service: "airtable" or "bitbucket", for errors.
        base_url: the API root; its scheme, host and port are the only ones that are ever spoken to.
        gate: the credential's budgets.
        explain: finds code and text in the service's error bodies.
        reads: which requests change nothing.
        paused: the kill switch, asked directly before each changing request leaves.
        adapter: stands in for the network; None is the real one.

    Raises:
        ValueError: `base_url` is no http(s) address, or holds a credential.
    """
    session = GuardedSession(
        service=service,
        home=_origin(base_url),
        gate=gate,
        clock=clock,
        explain=explain,
        reads=reads,
        paused=paused,
    )
    mounted = HTTPAdapter(max_retries=0) if adapter is None else adapter
    session.mount("https://", mounted)
    session.mount("http://", mounted)
    session.headers["User-Agent"] = user_agent
    return session


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises ValueError, without quoting the address."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("not an address of the form https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address must not hold a credential")
    return parts.scheme, parts.hostname.lower(), parts.port or _PORTS[parts.scheme]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as errors speak of it."""

    text: str
    changing: bool
    secrets: tuple[str, ...]


class GuardedSession(requests.Session):
    """A `requests.Session` that the libraries are given instead of their own. Build it with `open_session`."""

    def __init__(
        self,
        *,
        service: str,
        home: tuple[str, str, int],
        gate: ports.Gate,
        clock: ports.Clock,
        explain: Explain,
        reads: Reads,
        paused: Paused,
    ) -> None:
        """Keep them, and turn off everything that the environment or an answer could add."""
        super().__init__()
        self.service = service
        self.home = home
        self.gate = gate
        self.clock = clock
        self.explain = explain
        self.reads = reads
        self.paused = paused
        # A .netrc entry would replace the credential (reference/airtable.md 9.2).
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """
        As the base class does, but a header or address that cannot be sent is told without quoting it.

        Raises:
            Unauthorised: the credential holds characters that no header may hold.
            Unreachable: the address (of an answer's link) is none.
        """
        broken: requests.RequestException | None = None
        try:
            prepared = super().prepare_request(request)
        except (
            requests.exceptions.InvalidHeader,
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            requests.exceptions.MissingSchema,
        ) as error:
            broken = error
        call = str(request.method).upper()
        if isinstance(broken, requests.exceptions.InvalidHeader):
            raise self._unfit_credential(call)
        if broken is not None:
            raise errors.Unreachable(
                f"{self.service}: an address cannot be read; nothing was sent",
                service=self.service,
                request=call,
                code="BAD_ADDRESS",
            )
        if not all(_sendable(value) for value in prepared.headers.values()):
            raise self._unfit_credential(call)
        return prepared

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # noqa: ARG002 - a library's time-outs, proxies and wish for redirects do not count here
        """
        Send one prepared request and read its whole answer.

        Returns:
            A 2xx answer; its body is JSON, or empty for a changing request.

        Raises:
            Throttled: by the gate (nothing was sent) or by the service.
            ServiceError: whichever of its kinds; see `errors`.
        """
        for _ in range(REDIRECTS_MAX + 1):
            call = self._call(request)
            self._require_home(request, call)
            response = self._exchange(request, call)
            target = response.headers.get("location", "")
            if response.status_code not in _REDIRECTS or not target:
                return response
            request = request.copy()
            request.prepare_url(urljoin(str(request.url), target), None)
        raise self._failed(call, "too many redirects", code="REDIRECT_LOOP")

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - part of the base class
        """
        None: to the base class no answer leads anywhere.

        Even when it is not to follow, it would read the whole body without a bound, and break over an address that is none.
        """
        return None

    # ------------------------------------------------------------------------------------------- one exchange

    def _exchange(self, request: requests.PreparedRequest, call: Call) -> requests.Response:
        """One request and its answer: a 2xx, or a redirect of a read."""
        self.gate.charge(changing=call.changing)
        if call.changing and (reason := self.paused()):
            raise errors.Paused(
                f"paused: {reason}; nothing was sent",
                service=self.service,
                request=call.text,
                code="PAUSED",
                next_step="syncd resume",
            )
        deadline_s = self.clock.monotonic_s() + DEADLINE_S
        failure: Exception | None = None
        try:
            response = self._carry(request)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = error
        # Raised outside the handler: the libraries' own texts quote the address with its query.
        if failure is not None:
            raise self._lost(call, failure)
        body, trouble = self._read(response, deadline_s)
        parsed = _parse(body)
        code, detail = self.explain(response.status_code, parsed) if response.status_code >= 400 else ("", "")
        retry_at = self.gate.observe(response.status_code, dict(response.headers), code)
        if response.status_code >= 300:
            refusal = self._refusal(call, response, code, _shown(detail, call.secrets), retry_at)
            if refusal is not None:
                raise refusal
        elif not trouble and parsed is None and (body.strip() or not call.changing):
            trouble = "the answer is no JSON" if body.strip() else "the answer is empty"
        if trouble and response.status_code < 300:
            raise self._failed(call, trouble, status=response.status_code, code="BROKEN_ANSWER")
        self._keep(response, body, parsed)
        return response

    def _carry(self, request: requests.PreparedRequest) -> requests.Response:
        """Put one request on the wire; the only place that does."""
        return super().send(
            request,
            timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            stream=True,
            verify=True,
            cert=None,
            proxies={},
            allow_redirects=False,
        )

    def _keep(self, response: requests.Response, body: bytes, parsed: Any) -> None:  # noqa: ARG002 - a stand-in keeps what was parsed
        """Give the answer its whole body, for the library that reads it."""
        response.raw = io.BytesIO(body)
        response.encoding = "utf-8-sig"
        response.content  # noqa: B018 - read here, so that it is kept

    def _read(self, response: requests.Response, deadline_s: float) -> tuple[bytes, str]:
        """The body piece by piece, and what went wrong with it: "" when it is whole (AT05)."""
        pieces: list[bytes] = []
        size_bytes = 0
        trouble = ""
        try:
            for piece in _pieces(response):
                pieces.append(piece)
                size_bytes += len(piece)
                if size_bytes > BODY_BYTES_MAX:
                    trouble = f"the answer is larger than {BODY_BYTES_MAX} bytes"
                elif self.clock.monotonic_s() > deadline_s:
                    trouble = f"the answer took longer than {DEADLINE_S:.0f} s"
                if trouble:
                    break
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            trouble = f"the answer broke off ({type(error).__name__})"
        if not trouble and self.clock.monotonic_s() > deadline_s:
            trouble = f"the answer took longer than {DEADLINE_S:.0f} s"
        if trouble:
            response.close()
        return b"".join(pieces), trouble

    # ---------------------------------------------------------------------------------------------- judgement

    def _call(self, request: requests.PreparedRequest) -> Call:
        method = str(request.method).upper()
        path = urlsplit(str(request.url)).path
        return Call(text=f"{method} {path}", changing=not self.reads(method, path), secrets=_secrets(request.headers))

    def _require_home(self, request: requests.PreparedRequest, call: Call) -> None:
        try:
            origin = _origin(str(request.url))
        except ValueError:
            origin = None
        if origin != self.home:
            scheme, host, port = self.home
            elsewhere = "nowhere" if origin is None else f"{origin[0]}://{origin[1]}:{origin[2]}"
            raise errors.Unreachable(
                f"{self.service}: an address leads to {_shown(elsewhere, call.secrets)}, not to {scheme}://{host}:{port}; nothing was sent",
                service=self.service,
                request=call.text.partition(" ")[0],
                code="WRONG_HOST",
            )

    def _refusal(
        self, call: Call, response: requests.Response, code: str, detail: str, retry_at: datetime | None
    ) -> errors.ServiceError | None:
        """What a status outside 2xx means; None for a redirect that may be followed."""
        status = response.status_code
        words = f"{call.text}: {self.service} answered {status} {code}".rstrip()
        kind: type[errors.ServiceError]
        next_step = ""
        if status == 429:
            return errors.Throttled(
                words,
                service=self.service,
                request=call.text,
                retry_at=retry_at or self.clock.now() + timedelta(seconds=PENALTY_S),
                until_month=code == ports.QUOTA_CODE,
                code=code,
                detail=detail,
            )
        if status in _REDIRECTS and (target := response.headers.get("location")):
            if not _is_address(target):
                return self._failed(
                    call, "it leads to an address that cannot be read", status=status, code="BROKEN_ANSWER"
                )
            if not call.changing:
                return None
        if status in {401, 403}:
            kind = errors.Unauthorised
            next_step = "check the connection's token, its scopes and its grants: syncd check --live"
        elif status in {404, 410}:
            kind = errors.Gone
        elif status in _REDIRECTS - {303} and call.changing:
            # The place moved and nothing was done there: its name is to be looked up again (BB13).
            kind, code = errors.Gone, code or "REDIRECTED"
        elif 400 <= status < 500 and status != 408:
            kind = errors.Rejected
        else:
            # 5xx, 408, 303 and what nobody has heard of: whether it was done is not said (reference/airtable.md 7).
            kind = errors.Unclear if call.changing else errors.Unreachable
        return kind(
            words,
            service=self.service,
            request=call.text,
            status=status,
            code=code,
            detail=detail,
            next_step=next_step,
        )

    def _lost(self, call: Call, failure: Exception) -> errors.ServiceError:
        """No answer came. Certainly not sent only when no connection was made; everything else may have been done."""
        name = type(failure).__name__
        if _never_connected(failure):
            return errors.Unreachable(
                f"{call.text}: no connection to {self.service} ({name}); nothing was sent",
                service=self.service,
                request=call.text,
                code="NO_CONNECTION",
            )
        return self._failed(call, f"no answer ({name})", code="NO_ANSWER")

    def _failed(self, call: Call, why: str, *, code: str, status: int | None = None) -> errors.ServiceError:
        """An answer that says nothing: a failed read, or a change that may have been made."""
        kind = errors.Unclear if call.changing else errors.Unreachable
        return kind(f"{call.text}: {why}", service=self.service, request=call.text, status=status, code=code)

    def _unfit_credential(self, call: str) -> errors.Unauthorised:
        return errors.Unauthorised(
            f"{self.service}: the credential holds characters that cannot be sent; nothing was sent",
            service=self.service,
            request=call,
            code="UNFIT_CREDENTIAL",
            next_step="look for line ends, blanks or non-ASCII characters in the secret's file",
        )


# -------------------------------------------------------------------------------------------------------- pure parts


def _is_address(target: str) -> bool:
    """Whether a redirect leads anywhere at all; where is judged before anything is sent there."""
    try:
        requests.PreparedRequest().prepare_url(urljoin("https://any.example/", target), None)
    except ValueError:
        # Of `urljoin`, and of requests, whose errors about addresses are of this class.
        return False
    return True


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The decoded body as it arrives: `iter_content` would wait for a whole piece, however slowly it trickles."""
    raw = response.raw
    if isinstance(raw, urllib3.BaseHTTPResponse):
        return iter(lambda: raw.read1(_PIECE_BYTES, decode_content=True), b"")
    # A stand-in for the network hands over a plain stream; `iter_content` would mark it as consumed for good.
    return iter(lambda: bytes(raw.read(_PIECE_BYTES)), b"")


def _parse(body: bytes) -> Any:
    """The JSON of a body; None when it is none (an answer that is only `null` says nothing either)."""
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _never_connected(failure: BaseException) -> bool:
    """Whether the chain of causes says that no connection was made, or that its certificate was refused."""
    queue: list[Any] = [failure]
    seen: set[int] = set()
    while queue:
        cause = queue.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        # NewConnectionError covers names that do not resolve. Any other TLS error may also break off an answer.
        if isinstance(
            cause,
            requests.ConnectTimeout
            | urllib3.exceptions.NewConnectionError
            | urllib3.exceptions.ConnectTimeoutError
            | ssl.SSLCertVerificationError
            | ConnectionRefusedError,
        ):
            return True
        queue += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
    return False


def _sendable(value: str | bytes) -> bool:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return text.isascii() and text.isprintable()


def _secrets(headers: Any) -> tuple[str, ...]:
    """What must not be quoted: the credential as sent, and the password of a Basic one."""
    sent = headers.get("Authorization", "")
    text = sent.decode("latin-1") if isinstance(sent, bytes) else str(sent)
    scheme, _, credential = text.partition(" ")
    if not credential:
        return (text,) if text else ()
    if scheme.lower() != "basic":
        return (credential,)
    try:
        decoded = base64.b64decode(credential).decode("utf-8", "replace")
    except ValueError:
        return (credential,)
    return tuple(part for part in (credential, decoded.partition(":")[2]) if part)


def _shown(detail: str, secrets: tuple[str, ...]) -> str:
    """A service's text on one line, shortened, without the credential should it be quoted back."""
    for secret in secrets:
        detail = detail.replace(secret, "[removed]")
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in detail).split())
    return line if len(line) <= _DETAIL_LENGTH_MAX else line[: _DETAIL_LENGTH_MAX - 1] + "…"
