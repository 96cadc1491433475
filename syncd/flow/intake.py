"""
From a verified webhook request to dirty keys: durable first, read later.

Nothing here branches on what an event says happened; it only names what may have changed (SPEC section 3, "Level, not edge").
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeVar

from syncd import errors, log, ports
from syncd.flow.trial import DEATHS_MAX, Trial
from syncd.model.event import Delivery, Dirt, DirtyWork, Endpoint, Event
from syncd.model.ids import EndpointId, RepositoryId

_log = log.logger("flow.intake")

# Verify one raw request against an endpoint: "" when it is genuine, else why not, in a word.
Verifier = Callable[[Endpoint, Sequence[tuple[bytes, bytes]], bytes], str]
# Read a Bitbucket delivery: the event, or why it cannot be read.
Reader = Callable[[Delivery], Event | str]
# Read an Airtable ping, which says nothing but that there is news: "" when it is one, else why it cannot be read.
PingReader = Callable[[Delivery], str]

T = TypeVar("T")

# Work that may have changed, and when that happened, if known.
Mark = tuple[DirtyWork, datetime | None]

PROCESS_MAX = 500
REFUSALS_TOLD_EVERY_S = 10.0


class Verdict(Enum):
    """What the listener answers."""

    GOOD = "good"
    UNKNOWN = "unknown"
    REFUSED = "refused"


class Intake:
    """
    The way in for deliveries. Used by the listener's thread (`known`, `verify`, `save`) and by a worker (`process`).

    Args:
        verifiers: one per provider, "airtable" and "bitbucket".
        read: turns a Bitbucket delivery into an event.
        read_ping: says whether an Airtable delivery is a ping.
        trial: of the process, for deliveries by their number.
    """

    def __init__(
        self,
        store: ports.Store,
        clock: ports.Clock,
        verifiers: Mapping[str, Verifier],
        read: Reader,
        read_ping: PingReader,
        quiet: timedelta,
        trial: Trial | None = None,
    ) -> None:
        self._trial = trial
        self._store = store
        self._clock = clock
        self._verifiers = verifiers
        self._read = read
        self._read_ping = read_ping
        self._quiet = quiet
        self._endpoints: Mapping[EndpointId, Endpoint] = {}
        self._repositories: frozenset[RepositoryId] = frozenset()
        self._missed = False
        self._refused = 0
        self._refusal_told_s: float | None = None
        self.refresh(())

    def refresh(self, repositories: Sequence[RepositoryId], quiet: timedelta | None = None) -> None:
        """Take over which endpoints and repositories there are now, after a start, a reload or a registration."""
        self._endpoints = {endpoint.id: endpoint for endpoint in self._store.load_endpoints() if endpoint.active}
        self._repositories = frozenset(repositories)
        self._quiet = quiet if quiet is not None else self._quiet

    def known(self, provider: str, endpoint: str) -> bool:
        """Whether there is an active endpoint of this id for this provider."""
        found = self._endpoints.get(EndpointId(endpoint))
        return found is not None and found.provider == provider

    def verify(self, provider: str, endpoint: str, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> Verdict:
        """Whether a request is genuine. The reason of a refusal is logged, never answered."""
        found = self._endpoints.get(EndpointId(endpoint))
        if found is None or found.provider != provider:
            return Verdict.UNKNOWN
        problem = self._verifiers[provider](found, headers, body)
        if problem:
            self._tell_refusal(endpoint, provider, problem)
            return Verdict.REFUSED
        return Verdict.GOOD

    def _tell_refusal(self, endpoint: str, provider: str, reason: str) -> None:
        """One line for all refusals of a while: whoever knows an endpoint's name cannot fill the log (I36)."""
        self._refused += 1
        now_s = self._clock.monotonic_s()
        if self._refusal_told_s is not None and now_s - self._refusal_told_s < REFUSALS_TOLD_EVERY_S:
            return
        _log.warning(
            "delivery.rejected", endpoint=endpoint, provider=provider, reason=reason, refused_so_far=self._refused
        )
        self._refusal_told_s = now_s

    def save(self, arrived: Sequence[ports.Arrived]) -> None:
        """Make a group of requests durable in one commit. Raises StoreError: then none of them is acknowledged."""
        try:
            numbers = self._store.save_deliveries(arrived)
        except errors.StoreError:
            self._missed = True
            raise
        for number, one in zip(numbers, arrived, strict=True):
            _log.debug("delivery.accepted", delivery=number, endpoint=one.endpoint)

    def take_missed(self) -> bool:
        """Whether a delivery was turned away since the last call, because it could not be stored: its sender gives up in the end."""
        missed, self._missed = self._missed, False
        return missed

    def process(self) -> int:
        """
        Turn stored deliveries into marks, in one transaction.

        Returns:
            How many there were; call again at once when it is `PROCESS_MAX`.
        """
        deliveries = self._store.load_deliveries(PROCESS_MAX)
        if self._trial is None:
            self._process(deliveries)
            return len(deliveries)
        waiting = {str(one.sequence): one for one in deliveries}
        for group in self._trial.groups(list(waiting)):
            self._trial.enter(group)
            try:
                self._process([waiting[key] for key in group])
            except Exception:
                self._trial.leave(group)
                raise
            self._trial.leave(group)
        return len(deliveries)

    def _process(self, deliveries: Sequence[Delivery]) -> None:
        if not deliveries:
            return
        now = self._clock.now()
        processed: list[tuple[int, ports.Disposition, str]] = []
        dirty: list[Mark] = []
        pinged: list[EndpointId] = []
        for delivery in deliveries:
            endpoint = self._endpoints.get(delivery.endpoint)
            if endpoint is None:
                processed.append((delivery.sequence, ports.Disposition.NOT_CONCERNING, "its endpoint was removed"))
            elif endpoint.provider == "airtable":
                # Readable or not, it says that its base has news (BW10).
                pinged.append(endpoint.id)
                processed.append(self._ping(delivery))
            else:
                processed.append(self._event(delivery, endpoint, dirty))
        self._store.save_processed(processed, dirty, pinged, now, now + self._quiet)

    def _read_or_why(self, delivery: Delivery, read: Callable[[Delivery], T]) -> T | str:
        if self._trial is not None and self._trial.deaths(str(delivery.sequence)) >= DEATHS_MAX:
            return f"syncd itself ended {self._trial.deaths(str(delivery.sequence))} times while it read it"
        try:
            return read(delivery)
        except Exception as error:  # noqa: BLE001 - a fault of ours in one must not stop all behind it (I22); it is kept and shown
            return f"reading it failed: {type(error).__name__}"

    def _ping(self, delivery: Delivery) -> tuple[int, ports.Disposition, str]:
        problem = self._read_or_why(delivery, self._read_ping)
        return _quarantined(delivery, problem) if problem else (delivery.sequence, ports.Disposition.MARKED, "ping")

    def _event(self, delivery: Delivery, endpoint: Endpoint, dirty: list[Mark]) -> tuple[int, ports.Disposition, str]:
        event = self._read_or_why(delivery, self._read)
        if isinstance(event, str):
            # What cannot be read may have been about anything of its repository.
            repository = RepositoryId(endpoint.subject)
            if repository in self._repositories:
                dirty.append((DirtyWork(repository=repository, dirt=Dirt.REPOSITORY), None))
            return _quarantined(delivery, event)
        concerning = [work for work in event.dirty if work.repository in self._repositories]
        if not concerning:
            reason = "retired by the service" if event.retired else "no repository or object of this spec"
            _log.debug("event.skipped", delivery=delivery.sequence, kind=event.kind, reason=reason)
            return delivery.sequence, ports.Disposition.NOT_CONCERNING, reason
        dirty.extend((work, event.happened_at) for work in concerning)
        return delivery.sequence, ports.Disposition.MARKED, event.kind


def _quarantined(delivery: Delivery, reason: str) -> tuple[int, ports.Disposition, str]:
    _log.warning("event.quarantined", delivery=delivery.sequence, reason=reason)
    return delivery.sequence, ports.Disposition.QUARANTINED, reason
