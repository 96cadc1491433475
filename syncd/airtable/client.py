"""
One method per call of the Airtable API; the only file of this room with HTTP.

pyairtable builds the addresses and speaks over our session; its retries, paging and payload classes are left aside
(reference/airtable.md 9, reference/reliability.md "Traps in the libraries"). An answer of another shape than documented is a
failed read, or an unclear change.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import requests
from pyairtable import Api

from syncd import errors, transport
from syncd.airtable import delivery, shape
from syncd.model.ids import BaseId, FieldId, HookId, RecordId, TableId, ViewId

SERVICE = "airtable"
PAGE_RECORDS = 100
"""The largest page of records (reference/airtable.md 8.1)."""
BATCH_RECORDS = 10
"""The most records of one changing request (reference/airtable.md 3.3)."""
# Ten times the largest base: a listing that goes on beyond it does not end.
PAGES_MAX = 50_000
# How often a listing whose offset died starts again before it is given up for now (AT08).
RESTARTS_MAX = 2

_OFFSET_DIED = "LIST_RECORDS_ITERATOR_NOT_AVAILABLE"
_RECORD_MISSING = frozenset({"MODEL_ID_NOT_FOUND", "NOT_FOUND"})

T = TypeVar("T")


def reads(method: str, path: str) -> bool:
    """Which requests change nothing: a listing may be a POST (reference/airtable.md 3.1)."""
    return method == "GET" or (method == "POST" and path.endswith("/listRecords"))


class Client:
    """
    The calls of one base.

    Args:
        session: of this connection and thread, from `transport.open_session`.
        token: a personal access token or OAuth access token.
        base_url: the API root without `/v0`.
    """

    def __init__(self, session: transport.GuardedSession, *, base_url: str, base: BaseId, token: str) -> None:
        """Put our session under the library. Raises ValueError when token or base id cannot be one."""
        if not token:
            raise ValueError("the Airtable token is empty")
        self._base = _checked(base, "app")
        self._api = Api(
            token,
            timeout=(int(transport.CONNECT_TIMEOUT_S), int(transport.READ_TIMEOUT_S)),
            retry_strategy=None,
            endpoint_url=base_url,
        )
        self._api.session.close()
        self._api.session = session
        # Setting it puts the header on the new session.
        self._api.api_key = token

    # ----------------------------------------------------------------------------------------- account and schema

    def whoami(self) -> str:
        """The id of the token's user; needs no scope (reference/airtable.md 2.3)."""
        return self._ask(lambda raw: shape.identity(raw, "id", "usr", "the account"), "GET", "meta", "whoami")

    def tables(self, parse: Callable[[Any], T]) -> T:
        """The schema of the base, read by `parse`."""
        return self._ask(parse, "GET", "meta", "bases", self._base, "tables")

    # --------------------------------------------------------------------------------------------------- records

    def records(
        self,
        parse: Callable[[Any], T],
        table: TableId,
        *,
        fields: Sequence[FieldId],
        view: ViewId | None = None,
        only: Sequence[RecordId] = (),
    ) -> list[T]:
        """
        All records of a table or view, each read by `parse`; one that stands on two pages comes twice.

        Args:
            only: at most a hundred ids: those of the records that are there.

        Raises:
            Unreachable: the listing never came to an end in one piece.
        """
        options: dict[str, Any] = {
            "fields": list(fields),
            "returnFieldsByFieldId": True,
            "pageSize": PAGE_RECORDS,
        }
        if view is not None:
            options["view"] = _checked(view, "viw")
        if only:
            ids = ",".join(f"RECORD_ID()='{_checked(each, 'rec')}'" for each in only)
            options["filterByFormula"] = f"OR({ids})"
        for _ in range(RESTARTS_MAX + 1):
            found = self._all_pages(parse, table, options)
            if found is not None:
                return found
        raise self._unreachable("POST", table, "the listing's offset died again and again", _OFFSET_DIED)

    def _all_pages(self, parse: Callable[[Any], T], table: TableId, options: Mapping[str, Any]) -> list[T] | None:
        """One attempt; None when its offset died, after some minutes or at a restart of the service."""

        def read(raw: Any) -> tuple[list[T], str | None]:
            page = [parse(each) for each in shape.sequence(raw, "records", "a page of records")]
            following = raw.get("offset")
            return page, None if following is None else shape.text(raw, "offset", "a page of records")

        found: list[T] = []
        offset: str | None = None
        used: set[str] = set()
        for _ in range(PAGES_MAX):
            body = dict(options) if offset is None else {**options, "offset": offset}
            try:
                page, offset = self._ask(read, "POST", self._base, _checked(table, "tbl"), "listRecords", json=body)
            except errors.Rejected as refused:
                if refused.code == _OFFSET_DIED and offset is not None:
                    return None
                raise
            found += page
            if offset is None:
                return found
            if offset in used:
                break
            used.add(offset)
        raise self._unreachable("POST", table, "the listing has no end", "ENDLESS_LISTING")

    def record_exists(self, table: TableId, record: RecordId) -> bool:
        """
        Whether some table of the base has this record: the service looks through all of them (reference/airtable.md 3.2).

        Raises:
            Gone: a 404 of another kind: a path, a table or a proxy, but not this record.
        """
        try:
            self._ask(
                lambda raw: shape.identity(raw, "id", "rec", "a record"),
                "GET",
                self._base,
                _checked(table, "tbl"),
                _checked(record, "rec"),
            )
        except errors.Gone as gone:
            if gone.status == 404 and gone.code in _RECORD_MISSING:
                return False
            raise
        return True

    def update(
        self, parse: Callable[[Any], T], table: TableId, changes: Mapping[RecordId, Mapping[FieldId, Any]]
    ) -> list[T]:
        """
        Change the named cells of one to ten records in one request, all or nothing (reference/airtable.md 3.3).

        Returns:
            The records of the answer, each read by `parse`.
        """
        if not 1 <= len(changes) <= BATCH_RECORDS:
            raise ValueError(f"a batch has 1 to {BATCH_RECORDS} records, not {len(changes)}")
        body = {
            "records": [
                {"id": _checked(record, "rec"), "fields": {_checked(name, "fld"): cell for name, cell in cells.items()}}
                for record, cells in changes.items()
            ],
            "returnFieldsByFieldId": True,
            # On, it would make new select options out of typos (SD06).
            "typecast": False,
        }
        return self._ask(
            lambda raw: [parse(each) for each in shape.sequence(raw, "records", "the answer to a batch")],
            "PATCH",
            self._base,
            _checked(table, "tbl"),
            json=body,
        )

    # -------------------------------------------------------------------------------------------------- webhooks

    def payloads(self, parse: Callable[[Any], T], hook: HookId, cursor: int) -> T:
        """One page of a webhook's payloads from `cursor` on; keeps the hook alive (reference/airtable.md 5.5)."""
        return self._ask(
            parse,
            "GET",
            *self._hook(hook),
            "payloads",
            params={"cursor": cursor, "limit": delivery.PAYLOADS_MAX},
        )

    def hooks(self, parse: Callable[[Any], T]) -> list[T]:
        """Every webhook of the base that the token may see, each read by `parse`."""
        return self._ask(
            lambda raw: [parse(each) for each in shape.sequence(raw, "webhooks", "the list of webhooks")],
            "GET",
            *self._hooks,
        )

    def create_hook(self, parse: Callable[[Any], T], body: Mapping[str, Any]) -> T:
        """Make a webhook; the answer shows its secret, once."""
        return self._ask(parse, "POST", *self._hooks, json=dict(body))

    def refresh_hook(self, parse: Callable[[Any], T], hook: HookId) -> T:
        """Seven more days."""
        return self._ask(parse, "POST", *self._hook(hook), "refresh")

    def enable_notifications(self, hook: HookId) -> None:
        """Turn pings on again."""
        self._ask(_done, "POST", *self._hook(hook), "enableNotifications", json={"enable": True})

    def delete_hook(self, hook: HookId) -> None:
        """Remove a webhook. Raises Gone when there is none."""
        self._ask(_done, "DELETE", *self._hook(hook))

    @property
    def _hooks(self) -> tuple[str, str, str]:
        return "bases", self._base, "webhooks"

    def _hook(self, hook: HookId) -> tuple[str, ...]:
        return *self._hooks, _checked(hook, "ach")

    # ------------------------------------------------------------------------------------------------ one request

    def _ask(
        self,
        parse: Callable[[Any], T],
        method: str,
        *path: str,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> T:
        """One request, and its answer as `parse` reads it. The library's exceptions and our `ShapeError` end here."""
        url = self._api.build_url(*path)
        trouble = ""
        try:
            raw = self._api.request(
                method,
                url,
                params=None if params is None else dict(params),
                json=None if json is None else dict(json),
            )
            return parse(raw)
        except shape.ShapeError as error:
            trouble = f"the answer has another shape than documented: {error}"
        except requests.RequestException as error:
            # Of the library's own, before sending or after reading. Their texts may quote addresses; their names do not.
            trouble = f"the client library failed ({type(error).__name__})"
        kind = errors.Unreachable if reads(method, "/" + "/".join(path)) else errors.Unclear
        asked = f"{method} /v0/{'/'.join(path)}"
        raise kind(f"{asked}: {trouble}", service=SERVICE, request=asked, code="BROKEN_ANSWER")

    def _unreachable(self, method: str, table: TableId, why: str, code: str) -> errors.Unreachable:
        asked = f"{method} /v0/{self._base}/{table}/listRecords"
        return errors.Unreachable(f"{asked}: {why}", service=SERVICE, request=asked, code=code)


def _done(raw: Any) -> None:
    """An answer that has nothing to say: no body, or an object that tells no error."""
    if raw is not None and {"error", "errors"} & shape.mapping(raw, "the answer").keys():
        raise shape.ShapeError("the answer is an error under a status of success")


def _checked(raw: str, prefix: str) -> str:
    """An id that may stand in a path or formula. Raises ValueError for anything else (DA15)."""
    if not shape.is_id(raw, prefix):
        raise ValueError(f"{raw[:40]!r} is no id of the form {prefix}…")
    return str(raw)
