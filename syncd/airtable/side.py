"""One Airtable base as the flow sees it: `ports.Catalogue` over the client and the codec."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from requests.adapters import BaseAdapter

from syncd import errors, ports, transport
from syncd.airtable import client, delivery, shape, translate
from syncd.airtable.client import Client
from syncd.model.event import Changes
from syncd.model.ids import AccountId, BaseId, FieldId, HookId, RecordId, TableId, ViewId
from syncd.model.record import Record
from syncd.model.schema import Field, Table

T = TypeVar("T")

# Everything of the base, and what stood in a cell before (I07). No filter names an id, so that no deletion of a table, view
# or field can break the hook (reference/airtable.md 5.2).
_SPECIFICATION: Mapping[str, Any] = {
    "options": {
        "filters": {"dataTypes": ["tableData", "tableFields", "tableMetadata"]},
        "includes": {"includePreviousCellValues": True},
    }
}


def open_side(
    *,
    base_url: str,
    base: BaseId,
    token: str,
    gate: ports.Gate,
    clock: ports.Clock,
    user_agent: str,
    paused: transport.Paused = transport.never_paused,
    adapter: BaseAdapter | None = None,
) -> "AirtableSide":
    """
    A side with a session of its own, for one worker thread.

    Args:
        base_url: the API root without `/v0`, e.g. `https://api.airtable.com`.
        gate: the credential's and the base's budgets.
        paused: the kill switch of this side.
        adapter: stands in for the network; None is the real one.

    Raises:
        ValueError: the address is none, the token is empty, or the base id is none.
    """
    session = transport.open_session(
        service=client.SERVICE,
        base_url=base_url,
        gate=gate,
        clock=clock,
        explain=translate.explain,
        user_agent=user_agent,
        reads=client.reads,
        paused=paused,
        adapter=adapter,
    )
    return AirtableSide(Client(session, base_url=base_url, base=base, token=token), base)


class AirtableSide:
    """Implements `ports.Catalogue` (reference/airtable.md). One per worker thread, like its client."""

    def __init__(self, calls: Client, base: BaseId) -> None:
        self._client = calls
        self._base = base
        self._account: AccountId | None = None

    def fetch_account(self) -> AccountId:
        """The account behind the token; always asked, as a check of the credential."""
        self._account = AccountId(self._client.whoami())
        return self._account

    def fetch_tables(self) -> tuple[Table, ...]:
        """The schema of the base."""
        return self._client.tables(lambda raw: translate.parse_tables(self._base, raw))

    # ------------------------------------------------------------------------------------------------------ records

    def fetch_listing(
        self, table: TableId, view: ViewId | None, fields: Sequence[Field], odd: ports.TakeOdd | None = None
    ) -> tuple[Record, ...]:
        """Every record of the table, or of the view; one that moved between pages while they were read stands once (AT09)."""
        return tuple(self.fetch_each(table, view, fields, lambda record: record, odd).values())

    def fetch_each(
        self,
        table: TableId,
        view: ViewId | None,
        fields: Sequence[Field],
        take: Callable[[Record], T],
        odd: ports.TakeOdd | None = None,
    ) -> Mapping[RecordId, T]:
        """Likewise, of which only what `take` makes of each record is kept. `take` may see a record twice."""

        unread: dict[RecordId, str] = {}

        def read(raw: Any) -> tuple[RecordId, T] | None:
            record = _record(raw, fields, None if odd is None else unread)
            return None if record is None else (record.id, take(record))

        found = dict(
            one for one in self._client.records(read, table, fields=_ids(fields), view=view) if one is not None
        )
        _tell_odd(unread, found, odd)
        return found

    def fetch_records(
        self,
        table: TableId,
        view: ViewId | None,
        fields: Sequence[Field],
        ids: Sequence[RecordId],
        odd: ports.TakeOdd | None = None,
    ) -> Mapping[RecordId, Record]:
        """
        These records, a hundred to a request: first in the view, which alone knows what it shows, then in the table.

        Raises:
            Rejected: the view is gone or hidden (`VIEW_ID_NOT_FOUND`, `VIEW_NAME_NOT_FOUND`): nothing is known (SD07).
        """
        wanted = tuple(dict.fromkeys(ids))
        unread: dict[RecordId, str] | None = None if odd is None else {}
        found = self._fetch_some(table, view, fields, wanted, unread, in_view=True)
        if view is not None:
            outside = tuple(record for record in wanted if record not in found and record not in (unread or ()))
            found |= self._fetch_some(table, None, fields, outside, unread, in_view=False)
        _tell_odd(unread or {}, found, odd)
        return found

    def _fetch_some(
        self,
        table: TableId,
        view: ViewId | None,
        fields: Sequence[Field],
        ids: Sequence[RecordId],
        unread: dict[RecordId, str] | None,
        *,
        in_view: bool,
    ) -> dict[RecordId, Record]:
        found: dict[RecordId, Record] = {}
        for start in range(0, len(ids), client.PAGE_RECORDS):
            chunk = ids[start : start + client.PAGE_RECORDS]
            asked = frozenset(chunk)
            for record in self._client.records(
                lambda raw: _record(raw, fields, unread, in_view=in_view),
                table,
                fields=_ids(fields),
                view=view,
                only=chunk,
            ):
                if record is not None and record.id in asked:
                    found[record.id] = record
        return found

    def fetch_is_gone(self, table: TableId, record: RecordId) -> bool:
        """Whether the table has this record no longer: the service's own 404, or it lives in another table now."""
        if not self._client.record_exists(table, record):
            return True
        return not self._client.records(
            lambda raw: shape.identity(raw, "id", "rec", "a record"), table, fields=(), only=(record,)
        )

    def send_cells(
        self, table: TableId, fields: Sequence[Field], updates: Sequence[ports.CellUpdate]
    ) -> Mapping[RecordId, Record]:
        """
        Change the named cells of one to ten records in one request, all or nothing.

        Returns:
            The records as the service answered. Whether they still are in the view is not in the answer: `in_view` is True.

        Raises:
            Rejected: nothing was written. With the code `UNFIT_VALUE` nothing was sent either: a value has no form there.
            Unclear: the answer was lost, or does not name every record.
        """
        columns = {field.id: field for field in fields}
        changes: dict[RecordId, dict[FieldId, Any]] = {}
        for update in updates:
            cells = changes.setdefault(update.record, {})
            for name, wanted in update.cells.items():
                try:
                    cells[name] = translate.encode(columns[name], wanted)
                except ValueError as unfit:
                    raise errors.Rejected(
                        f"{update.record}: {unfit}; nothing was sent",
                        service=client.SERVICE,
                        request="",
                        code="UNFIT_VALUE",
                        detail=str(unfit),
                    ) from unfit
        answered = self._client.update(lambda raw: translate.parse_record(raw, fields), table, changes)
        found = {record.id: record for record in answered if record.id in changes}
        if len(found) < len(changes):
            asked = f"PATCH /v0/{self._base}/{table}"
            raise errors.Unclear(
                f"{asked}: the answer leaves out {len(changes) - len(found)} of {len(changes)} records",
                service=client.SERVICE,
                request=asked,
                code="BROKEN_ANSWER",
            )
        return found

    # ----------------------------------------------------------------------------------------------------- webhooks

    def fetch_changes(self, hook: HookId, cursor: int, fields: Mapping[FieldId, Field]) -> Changes:
        """One page of a webhook's payloads; the first call also asks who we are."""
        own = self._account or self.fetch_account()
        return self._client.payloads(lambda raw: delivery.parse_changes(raw, cursor, fields, own), hook, cursor)

    def fetch_hooks(self) -> tuple[ports.HookState, ...]:
        """Every webhook of the base that the token may see."""
        return tuple(self._client.hooks(_hook_state))

    def create_hook(self, url: str) -> ports.NewHook:
        """A webhook on all data and fields of the base; "" makes one that only stores payloads."""
        body: dict[str, Any] = {"specification": dict(_SPECIFICATION)}
        if url:
            body["notificationUrl"] = url
        return self._client.create_hook(_new_hook, body)

    def send_hook_renewal(self, hook: HookId) -> datetime:
        """Seven more days from now; the new expiry. Raises Gone when it expired: it cannot be brought back."""
        return self._client.refresh_hook(_expiry, hook)

    def send_hook_notifying(self, hook: HookId) -> None:
        """Switch pings on again."""
        self._client.enable_notifications(hook)

    def send_hook_deletion(self, hook: HookId) -> None:
        """Remove a webhook of ours."""
        try:
            self._client.delete_hook(hook)
        except errors.Gone:
            # Gone already is what was wanted.
            return


def _record(
    raw: Any, fields: Sequence[Field], unread: dict[RecordId, str] | None, *, in_view: bool = True
) -> Record | None:
    """
    A record; None when it is odd, which `unread` then holds.

    Raises:
        ShapeError: also when nothing but the whole listing can be blamed: without an id nobody knows whose it is.
    """
    try:
        return translate.parse_record(raw, fields, in_view=in_view)
    except shape.ShapeError as error:
        id = raw.get("id") if isinstance(raw, dict) else None
        if unread is None or not isinstance(id, str) or not shape.is_id(id, "rec"):
            raise
        unread[RecordId(id)] = str(error)
        return None


def _tell_odd(unread: Mapping[RecordId, str], found: Mapping[RecordId, Any], odd: ports.TakeOdd | None) -> None:
    # One that stood on two pages may have been read on the other (AT09).
    for record, reason in sorted(unread.items()):
        if odd is not None and record not in found:
            odd(ports.Odd(name=record, reason=reason))


def _ids(fields: Sequence[Field]) -> tuple[FieldId, ...]:
    return tuple(field.id for field in fields)


def _hook_state(raw: Any) -> ports.HookState:
    """One entry of the hook list (reference/airtable.md 5.3)."""
    url = raw.get("notificationUrl") if isinstance(raw, dict) else None
    hook = HookId(shape.identity(raw, "id", "ach", "a webhook"))
    following = raw.get("cursorForNextPayload")
    if isinstance(following, bool) or not isinstance(following, int) or not 1 <= following <= shape.NUMBER_MAX:
        raise shape.ShapeError("a webhook has no fitting number 'cursorForNextPayload'")
    return ports.HookState(
        hook=hook,
        # One that no store takes is not ours, and must not cost the whole list.
        url=shape.sound(url) if isinstance(url, str) else "",
        healthy=raw.get("isHookEnabled") is True,
        notifying=raw.get("areNotificationsEnabled") is True,
        next_payload=following,
        expires=shape.moment(raw.get("expirationTime")),
    )


def _new_hook(raw: Any) -> ports.NewHook:
    secret = shape.text(raw, "macSecretBase64", "the new webhook")
    if not secret.isascii():
        raise shape.ShapeError("the secret of the new webhook is not Base64")
    return ports.NewHook(
        hook=HookId(shape.identity(raw, "id", "ach", "the new webhook")),
        secret=secret,
        expires=shape.moment(raw.get("expirationTime")),
    )


def _expiry(raw: Any) -> datetime:
    found = shape.moment(shape.mapping(raw, "the renewal").get("expirationTime"))
    if found is None:
        raise shape.ShapeError("the renewal has no moment 'expirationTime'")
    return found
