"""Judges of the process: what it accepts, asks, hides, shows and survives (I16, I20 to I22, I29 to I32, I35)."""

import math
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from urllib.parse import quote, unquote

from syncd.simulate.case import Case, Violation, own_columns
from syncd.simulate.judges.effects import PATIENCE, REFUSALS, broken, clock_was_set, riding
from syncd.simulate.world import CANARY, PEOPLE_AT
from syncd.store.columns import sqlite3

_RUN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def processed(case: Case) -> Iterator[Violation]:
    """I16: what was acknowledged is processed."""
    if case.inbox:
        yield broken("I16", f"{case.inbox} acknowledged delivery(ies) were never processed")
    for status in case.evidence.forged:
        if status not in (401, 404, 503):
            yield broken("I16", f"a forged delivery was answered with {status}")


def switch(case: Case) -> Iterator[Violation]:
    """I20: two seconds after the kill switch no changing request starts."""
    for begin, end, scope, _ in _spans(case):
        for service in case.logs:
            if (scope == "to-airtable" and service != "airtable") or (
                scope == "to-bitbucket" and service != "bitbucket"
            ):
                continue
            for one in case.requests(service):
                changing = one.method not in ("GET",) and not one.path.split("?")[0].endswith("/listRecords")
                hooks = "/hooks" in one.path or "/webhooks" in one.path
                if changing and begin + timedelta(seconds=2) < one.at < end and not (hooks and scope != "all"):
                    yield broken(
                        "I20", f"{one.method} {one.path} although {scope} was paused at {begin:%H:%M:%S}", one.at
                    )


def _spans(case: Case) -> Iterator[tuple[datetime, datetime, str, int]]:
    """When each scope was paused, and how many statuses had been seen when it was released."""
    open_since: dict[str, datetime] = {}
    for at, scope, on, seen in case.evidence.pauses:
        if on:
            open_since.setdefault(scope, at)
        elif scope in open_since:
            yield open_since.pop(scope), at, scope, seen
    for scope, at in open_since.items():
        yield at, case.marks["end"], scope, len(case.evidence.statuses)


def budgets(case: Case) -> Iterator[Violation]:
    """I21: no 429 of our own making, no request into a penalty, and never more than our share of a second."""
    for service in case.logs:
        throttled = [one for one in case.requests(service) if one.status == 429]
        if throttled and not case.contended:
            yield broken("I21", f"{len(throttled)} answer(s) of 429 that nobody else caused", throttled[0].at)
    # As syncd was told it: a fault may have spoilt the answer.
    for first, service in case.evidence.throttled:
        for one in case.requests(service):
            meta = "/meta/" in one.path
            if (
                timedelta(milliseconds=200) < one.at - first < timedelta(seconds=29)
                and not meta
                and not _unsaved(case, first)
            ):
                yield broken("I21", f"{one.method} {one.path} while {service} asked us to wait", one.at)
                return
    for base in case.spans[-1][1].airtable.values():
        most = max(1, math.ceil(5 * base.share))
        times = [one.at for one in case.requests("airtable") if f"/{base.base}" in one.path and one.status != 429]
        for index in range(len(times) - most):
            first, last = times[index], times[index + most]
            # A process that dies within a second of its first request has not kept yet what it used.
            if last - first < timedelta(milliseconds=990) and not any(
                first < one <= last for one in case.evidence.starts
            ):
                yield broken(
                    "I21", f"{most + 1} requests to {base.base} within a second; {most} are ours", times[index]
                )
                return


def _unsaved(case: Case, at: datetime) -> bool:
    """Whether the process ended as it heard of it, the disk did not take it, or an older state was put in its place."""
    deaths = any(timedelta(0) <= one - at < timedelta(seconds=1) for one, _ in case.evidence.deaths)
    lost = (*case.disk_struck, *case.evidence.restored_at)
    return deaths or any(timedelta(0) <= one - at < timedelta(seconds=30) for one in lost)


def stubborn(case: Case) -> Iterator[Violation]:
    """I22: what is refused for ever is tried a few times, not for ever, and rarely while nothing changes."""
    yield from _impatient(case)
    counted: Counter[tuple[str, str]] = Counter()
    for _, service, method, path, _, status in case.evidence.sent:
        if status in (400, 422) and service == "bitbucket":
            counted[method, path] += 1
    outside = sum(1 for one in case.effects if not one.own)
    for (method, path), times in counted.items():
        if times > 6 + outside:
            yield broken("I22", f"{method} {path} was refused {times} times")


def _impatient(case: Case) -> Iterator[Violation]:
    """The same request again, soon after it was refused, although nothing changed meanwhile."""
    if clock_was_set(case):
        return
    # What we wrote ourselves is news, too; what only tells of the refusal is none.
    silent = riding(case) | {field for sync in case.syncs() for field in own_columns(sync)}
    told = [one.entry.at for one in case.effects if not (one.own and one.change.attribute in silent)]
    refused: dict[tuple[str, str, str], datetime] = {}
    for at, service, method, path, body, status in case.evidence.sent:
        if "hooks" in path:
            continue
        asked = (method, path, _without_run(case, body))
        before = refused.pop(asked, None)
        moved = before is not None and (
            any(before - timedelta(seconds=60) < one <= at for one in told)
            or any(
                before <= one <= at for one in (*case.evidence.applies, *(one for one, _, _ in case.evidence.reloads))
            )
            # What could not be kept, or was not yet, is not known.
            or any(before <= one <= at for one in (*case.disk_struck, *(died for died, _ in case.evidence.deaths)))
        )
        if before is not None and at - before < PATIENCE and not moved:
            waited = int((at - before).total_seconds())
            yield broken("I22", f"{method} {path} to {service} again {waited} s after it was refused, for nothing", at)
        if status in REFUSALS:
            refused[asked] = at


def _without_run(case: Case, body: bytes) -> str:
    text = body.decode("utf-8", "backslashreplace")
    return _RUN.sub("", text) if riding(case) else text


def secrets(case: Case) -> Iterator[Violation]:
    """I29 and I30: no secret and nothing of unmapped fields in the state, in status or in the log."""
    shown = repr(case.status) + "\n".join(case.evidence.log)
    for secret in case.secrets:
        if any(form.encode() in case.image for form in _forms(secret)):
            yield broken("I29", "a token or webhook secret stands in the state")
        if any(form in shown for form in _forms(secret)):
            yield broken("I29", "a token or webhook secret stands in the status or the log")
    for address in _addresses(case.image):
        yield broken("I30", f"an address of a person stands in the state, {address}")
    if PEOPLE_AT in shown:
        yield broken("I30", "an address of a person stands in the status or the log")
    if f"{CANARY} cell".encode() in case.image:
        yield broken("I30", "a cell that no rule names stands in the state")
    if f"{CANARY} cell" in shown or f"{CANARY} stranger" in shown:
        yield broken("I30", "a cell that no rule names stands in the status or the log")


@cache
def _forms(secret: str) -> tuple[str, ...]:
    """A secret as it is, in hex, as a part of a URL, and in base64 wherever it begins in what was encoded."""
    raw = secret.encode()
    found = [secret, raw.hex(), quote(secret, safe="")]
    for before in range(3):
        # What stands around it changes the first and the last letters only.
        text = b64encode(b"\0" * before + raw).decode()
        found.append(text[4 if before else 0 : len(text) - 4])
    return tuple(found)


def _addresses(image: bytes) -> list[str]:
    """Where the state holds a person's address: anywhere but in deliveries, which are kept as they came for a while."""
    if PEOPLE_AT.encode() not in image:
        return []
    opened = sqlite3.connect(":memory:")
    # A file with a log says so in these two bytes (https://sqlite.org/fileformat2.html 1.3.3); an image in memory can have none.
    opened.deserialize(image[:18] + b"\x01\x01" + image[20:])
    found = []
    for (table,) in opened.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        for column in [row[1] for row in opened.execute(f'PRAGMA table_info("{table}")')]:
            where = f'instr(CAST("{column}" AS TEXT), ?)'
            held = opened.execute(f'SELECT 1 FROM "{table}" WHERE {where} LIMIT 1', (PEOPLE_AT,)).fetchone()
            if held and (table, column) != ("inbox", "body"):
                found.append(f"{table}.{column}")
    opened.close()
    return found


def fail_stop(case: Case) -> Iterator[Violation]:
    """I32: after a commit that failed nothing is acknowledged and nothing is sent before a new start."""
    spans: list[tuple[datetime, datetime | None]] = [(at, None) for at in case.commits_failed]
    # What had left already is answered after the commit that the listener could not make meanwhile.
    latency = timedelta(milliseconds=case.scenario.latency_ms)
    for at, good in (*spans, *case.disk_full):
        again = min(
            (*(one for one in case.evidence.starts if one > at), *((good,) if good is not None else ())),
            default=case.marks["end"],
        )
        for _, service, method, path, _, _ in (one for one in case.evidence.sent if at + latency < one[0] < again):
            yield broken("I32", f"{method} {path} to {service} after a commit had failed", at)
        if any(at < one[0] < again for one in case.evidence.acks):
            yield broken("I32", "a delivery was acknowledged after a commit had failed", at)


def health(case: Case) -> Iterator[Violation]:
    """I35: the status leaves `ok` within a minute of trouble, and is `ok` when there is none."""
    for begin, _, scope, count in _spans(case):
        for at, status in case.evidence.statuses[:count]:
            if begin + timedelta(seconds=60) < at and status["state"] not in ("paused", "halted"):
                yield broken("I35", f"{scope} is paused, and the state is {status['state']}", at)
    for first, at, service, status in case.evidence.away:
        if status["state"] == "ok" and not any(first <= one <= at and why for one, _, why in case.evidence.reloads):
            # (What a reload met in vain, the daemon's own status tells.)
            yield broken(
                "I35", f"every request to {service} has failed since {first:%H:%M:%S}, and the state is ok", at
            )
    begun: dict[str, datetime] = {}
    for at, what, over in case.evidence.outages:
        if not over:
            begun.setdefault(what, at)
            continue
        since = _met(case, what, begun.pop(what, None), at)
        if since is None or at - since < timedelta(seconds=60):
            continue
        seen = [status for moment, status in case.evidence.statuses if moment == at]
        if seen and seen[-1]["state"] == "ok":
            yield broken("I35", f"{what}: out of reach since {since:%H:%M:%S}, and the state is ok", at)
    skewed = any(verb == "jump" for _, verb, _, _ in case.evidence.told)
    if case.status["state"] == "ok" or skewed or any(sync["refused"] for sync in case.status["syncs"].values()):
        # With a wrong clock a webhook looks as if it ended soon; a refused plan waits for a person.
        return
    reasons = case.status["reasons"]
    expected = any(verb in ("schema", "delete_many") for _, verb, _, _ in case.evidence.told) or any(
        rule[1] for rule in case.evidence.reloads
    )
    if not expected and not case.evidence.restored_at:
        yield broken("I35", f"nothing is wrong any more, and the state is {case.status['state']}: {'; '.join(reasons)}")


def _met(case: Case, what: str, since: datetime | None, until: datetime) -> datetime | None:
    """When the first request met an outage: what is asked nothing is not known to be away."""
    if since is None:
        return None
    service, _, name = what.partition(" ")
    if service == "repository":
        names = {
            known for place, id in case.repositories.items() for known in (place, id) if place.endswith(f"/{name}")
        }
        asked = [one for one in case.requests("bitbucket") if any(known in unquote(one.path) for known in names)]
    else:
        # A credential that is refused names nobody: whoever asks in this world is syncd.
        asked = [one for one in case.logs[service][case.begun[service] :] if one.method != "CONTROL"]
    return next((one.at for one in asked if since <= one.at < until and one.status in (401, 403, 404)), None)


def sound(case: Case) -> Iterator[Violation]:
    """I31: the process never needs a person, and never fails by a mistake of its own."""
    for at, text in case.evidence.internal:
        yield broken("I31", f"a mistake of syncd's own: {text}", at)
    for at, text in case.evidence.failed_starts:
        if at > case.marks["healed"]:
            yield broken("I31", f"it could not start: {text}", at)
