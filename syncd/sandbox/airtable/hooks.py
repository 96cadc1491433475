"""The webhook endpoints: create, list, delete, refresh, enable, payloads (reference/airtable.md 5.1, 5.2, 5.3, 5.5)."""

from datetime import datetime, timedelta
from typing import Any

from syncd.sandbox.airtable import payload, ping, refusal
from syncd.sandbox.airtable.call import Call
from syncd.sandbox.airtable.world import Base, Hook, World, milliseconds, shaped
from syncd.sandbox.choices import EmptiedLog, InvalidCursor

_DATA_TYPES = frozenset({"tableData", "tableFields", "tableMetadata"})
_CHANGE_TYPES = frozenset({"add", "remove", "update"})
_SOURCES = frozenset(
    {
        "client",
        "publicApi",
        "formSubmission",
        "formPageSubmission",
        "automation",
        "system",
        "sync",
        "anonymousUser",
        "unknown",
    }
)
_FILTERS = frozenset(
    {
        "dataTypes",
        "recordChangeScope",
        "changeTypes",
        "fromSources",
        "sourceOptions",
        "watchDataInFieldIds",
        "watchSchemasOfFieldIds",
    }
)
_INCLUDES = frozenset({"includeCellValuesInFieldIds", "includePreviousCellValues", "includePreviousFieldDefinitions"})


def create_hook(call: Call) -> Any:
    """`POST /v0/bases/{base}/webhooks`: the secret is shown in this answer only."""
    call.need("webhook:manage")
    call.need_role("create")
    body = call.body(frozenset({"notificationUrl", "specification"}))
    specification = _specification(call.base, body.get("specification"))
    _need_data_scopes(call, specification)
    url = body.get("notificationUrl")
    if url is not None and not (isinstance(url, str) and url.startswith(("https://", "http://"))):
        raise refusal.bad_request()
    _bury(call.base, call.now)
    integration = call.token.integration
    if len(call.base.hooks) >= call.world.limits.hooks_per_base:
        raise refusal.too_many_hooks()
    own = sum(1 for hook in call.base.hooks.values() if integration is not None and hook.integration == integration)
    if own >= call.world.limits.hooks_per_integration:
        raise refusal.too_many_hooks_for_integration()
    hook = Hook(
        id=call.world.new_id("ach"),
        url=url,
        specification=specification,
        secret=call.world.rng.randbytes(128),
        expires_at=_expiry(call.world, call.now),
        integration=integration,
    )
    call.base.hooks[hook.id] = hook
    return {
        "id": hook.id,
        "macSecretBase64": ping.secret_text(hook.secret),
        "expirationTime": milliseconds(hook.expires_at),
    }


def list_hooks(call: Call) -> Any:
    """`GET /v0/bases/{base}/webhooks`; an OAuth token sees only its integration's."""
    call.need("webhook:manage")
    _bury(call.base, call.now)
    integration = call.token.integration
    seen = [hook for hook in call.base.hooks.values() if integration is None or hook.integration == integration]
    return {"webhooks": [entry(hook, call.now) for hook in seen]}


def entry(hook: Hook, now: datetime) -> dict[str, Any]:
    """One entry of the list. A hook whose filters broke still looks healthy here (5.2)."""
    return {
        "id": hook.id,
        "specification": hook.specification,
        "notificationUrl": hook.url,
        "cursorForNextPayload": hook.next_number,
        "lastNotificationResult": hook.last_result,
        "areNotificationsEnabled": hook.notifies,
        "lastSuccessfulNotificationTime": ping.last_success(hook),
        "isHookEnabled": ping.active(hook, now),
        "expirationTime": milliseconds(hook.expires_at),
    }


def delete_hook(call: Call) -> Any:
    """`DELETE …/{ach}`: an empty answer."""
    call.need("webhook:manage")
    call.need_role("create")
    hook = _hook(call)
    del call.base.hooks[hook.id]
    return None


def refresh_hook(call: Call) -> Any:
    """`POST …/{ach}/refresh`: seven days from now, while it is active; afterwards it cannot be brought back."""
    call.need("webhook:manage")
    call.need_role("create")
    hook = _hook(call)
    # How the service refuses an expired hook is not documented; 404 is what clients report for a hook that is gone (5.5).
    if not ping.active(hook, call.now):
        raise refusal.missing_hook()
    hook.expires_at = _expiry(call.world, call.now)
    return {"expirationTime": milliseconds(hook.expires_at)}


def enable_notifications(call: Call) -> Any:
    """`POST …/{ach}/enableNotifications`."""
    call.need("webhook:manage")
    call.need_role("create")
    hook = _hook(call)
    body = call.body(frozenset({"enable"}))
    if not isinstance(body.get("enable"), bool):
        raise refusal.bad_request()
    hook.notifies = body["enable"]
    return {}


def list_payloads(call: Call) -> Any:
    """
    `GET …/{ach}/payloads?cursor=&limit=`; keeps an active hook alive for seven more days.

    A cursor whose payloads were dropped is no error: the answer starts at the oldest that is left (5.5).
    """
    call.need("webhook:manage")
    hook = _hook(call)
    _need_data_scopes(call, hook.specification)
    size = _number(call.query("limit"), call.world.limits.payload_page)
    if size is None or not 1 <= size <= call.world.limits.payload_page:
        raise refusal.bad_request()
    cursor = _number(call.query("cursor"), 1)
    if cursor is None or cursor < 1:
        if call.world.choices.invalid_cursor is InvalidCursor.REFUSED:
            raise refusal.bad_request()
        return {"payloads": [], "cursor": hook.next_number, "mightHaveMore": False, "payloadFormat": "v0"}
    payload.prune(hook, call.now)
    if ping.active(hook, call.now):
        hook.expires_at = _expiry(call.world, call.now)
    oldest = hook.payloads[0].number if hook.payloads else hook.next_number
    if cursor >= oldest:
        start = cursor
    elif hook.payloads or call.world.choices.emptied_log is EmptiedLog.NEXT_NUMBER:
        start = oldest
    else:
        start = cursor
    skip = start - oldest
    page = [hook.payloads[at].body for at in range(max(skip, 0), min(skip + size, len(hook.payloads)))]
    return {
        "payloads": page,
        "cursor": start + len(page),
        "mightHaveMore": bool(page) and start + len(page) < hook.next_number,
        "payloadFormat": "v0",
    }


def _number(text: str | None, default: int) -> int | None:
    if text is None:
        return default
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None


def _expiry(world: World, now: datetime) -> datetime:
    return now + timedelta(days=world.limits.hook_life_days)


def _bury(base: Base, now: datetime) -> None:
    """Forget hooks seven days after they expired."""
    for hook in [each for each in base.hooks.values() if now >= each.expires_at + timedelta(days=7)]:
        del base.hooks[hook.id]


def _hook(call: Call) -> Hook:
    if not shaped(call.parts[4], "ach"):
        raise refusal.no_such_route()
    _bury(call.base, call.now)
    hook = call.base.hooks.get(call.parts[4])
    if hook is None or (call.token.integration is not None and hook.integration != call.token.integration):
        raise refusal.missing_hook()
    return hook


def _need_data_scopes(call: Call, specification: dict[str, Any]) -> None:
    """Reading what a hook tells needs the scope of the data itself (2.3)."""
    data_types = set(specification["options"]["filters"]["dataTypes"])
    if "tableData" in data_types:
        call.need("data.records:read")
    if data_types - {"tableData"}:
        call.need("schema.bases:read")


def _specification(base: Base, value: Any) -> dict[str, Any]:
    """The specification, checked; ids only, no names. Keys without a value are dropped."""
    options = value.get("options") if isinstance(value, dict) else None
    filters = options.get("filters") if isinstance(options, dict) else None
    if not isinstance(options, dict) or not isinstance(filters, dict):
        raise refusal.bad_request()
    includes = options.get("includes")
    filters = {key: each for key, each in filters.items() if each is not None}
    data_types = filters.get("dataTypes")
    if not isinstance(data_types, list) or not data_types or not _FILTERS.issuperset(filters):
        raise refusal.bad_request()
    for key, allowed in (("dataTypes", _DATA_TYPES), ("changeTypes", _CHANGE_TYPES), ("fromSources", _SOURCES)):
        given = filters.get(key, [])
        if not isinstance(given, list) or not all(isinstance(each, str) and each in allowed for each in given):
            raise refusal.bad_request()
    _check_ids(base, filters)
    checked: dict[str, Any] = {"options": {"filters": filters}}
    if includes is not None:
        if not isinstance(includes, dict) or not _INCLUDES.issuperset(includes):
            raise refusal.bad_request()
        checked["options"]["includes"] = includes
    return checked


def _check_ids(base: Base, filters: dict[str, Any]) -> None:
    fields = {each for table in base.tables.values() for each in table.fields}
    for key in ("watchDataInFieldIds", "watchSchemasOfFieldIds"):
        given = filters.get(key, [])
        if not isinstance(given, list) or not all(isinstance(each, str) and each in fields for each in given):
            raise refusal.bad_request()
    scope = filters.get("recordChangeScope")
    if not isinstance(scope, str | None):
        raise refusal.bad_request()
    views = {view.id: view for table in base.tables.values() for view in table.views.values()}
    if scope is None or scope in base.tables:
        return
    # Form and list views are not supported as a scope (5.2).
    if scope not in views or views[scope].type in {"form", "list"}:
        raise refusal.bad_request()
