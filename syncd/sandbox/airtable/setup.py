"""Control verbs that build the world and govern access, limits and webhooks."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from syncd.sandbox.airtable import cells, limits, person, ping, schema
from syncd.sandbox.airtable.act import Act
from syncd.sandbox.airtable.action import Action
from syncd.sandbox.airtable.world import ROLES, SCOPES, Base, Token, User, Workspace


def add_user(step: Act) -> Any:
    """`add_user {name, email?, id?}` → `{id}`."""
    name = step.arguments["name"]
    user = User(
        id=step.arguments.get("id") or step.world.new_id("usr"),
        name=name,
        email=step.arguments.get("email") or f"{name.lower().replace(' ', '.')}@example.com",
    )
    step.world.users[user.id] = user
    return {"id": user.id}


def add_token(step: Act) -> Any:
    """`add_token {user, token?, scopes?, bases?, expires_at?, integration?}` → `{token}`; all scopes unless named."""
    given = step.arguments
    expires = given.get("expires_at")
    scopes = frozenset(given.get("scopes", SCOPES))
    if not scopes <= SCOPES:
        raise ValueError(f"add_token: unknown scopes {sorted(scopes - SCOPES)}; known: {sorted(SCOPES)}")
    value = given.get("token") or f"{step.world.new_id('pat')}.{step.world.rng.getrandbits(256):064x}"
    step.world.tokens[value] = Token(
        value=value,
        user=step.user(),
        scopes=scopes,
        bases=None if given.get("bases") is None else set(given["bases"]),
        expires_at=None if expires is None else datetime.fromisoformat(expires),
        integration=given.get("integration"),
    )
    return {"token": value}


def add_base(step: Act) -> Any:
    """
    `add_base {name, id?, workspace?, monthly?, tables, roles}` → ids.

    `tables` have the shape of the schema answer, with `views[].filter` and `records` (`{id?, fields, comments?}`) added;
    `roles` maps users (id, e-mail or name) to none, read, comment, edit, create or owner. Nothing here makes a payload.
    The answer is `{id, tables: {name: {id, fields: {name: id}, views: {name: id}, records: [id]}}}`.
    """
    given = step.arguments
    workspace_id = given.get("workspace") or step.world.new_id("wsp")
    workspace = step.world.workspaces.setdefault(workspace_id, Workspace(id=workspace_id))
    workspace.monthly = given.get("monthly", workspace.monthly)
    base = Base(id=given.get("id") or step.world.new_id("app"), name=given["name"], workspace=workspace)
    for key, role in given["roles"].items():
        user = next((each for each in step.world.users.values() if key in (each.id, each.email, each.name)), None)
        if user is None or role not in ROLES:
            raise KeyError(f"role {role!r} of user {key!r}")
        base.roles[user.id] = role
    maker = next(iter(base.roles))
    action = Action(world=step.world, base=base, source="client", user_id=maker, now=step.now)
    for spec in given["tables"]:
        schema.new_table(action, spec)
    # Two passes: a link cell may name a row of a later table.
    rows = [_row(action, spec["name"], each) for spec in given["tables"] for each in spec.get("records", ())]
    draft = cells.Draft(
        world=step.world, base=base, user=step.world.users[maker], now=step.now, typecast=False, choices=[]
    )
    for record, fields in rows:
        for field_id, value in person.read_cells(draft, record.table, record, fields).items():
            action.put(record, field_id, value)
    action.commit()
    # Only now, so that a base that could not be built is not there at all.
    step.world.bases[base.id] = base
    step.changes.extend(action.changes)
    return _ids(base)


def _row(action: Action, table_name: str, spec: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    table = next(each for each in action.base.tables.values() if each.name == table_name)
    record = action.create(table, {}, record_id=spec.get("id"))
    settable = {key: value for key, value in spec["fields"].items() if not table_field(table, key).computed}
    for key, value in spec["fields"].items():
        if key not in settable:
            record.given[table_field(table, key).id] = value
    return record, settable


def table_field(table: Any, key: str) -> Any:
    """A field of a table by id or name. Raises KeyError."""
    field = table.find_field(key)
    if field is None:
        raise KeyError(f"field {key!r} of table {table.name}")
    return field


def _ids(base: Base) -> dict[str, Any]:
    tables = {
        table.name: {
            "id": table.id,
            "fields": {field.name: field.id for field in table.fields.values()},
            "views": {view.name: view.id for view in table.views.values()},
            "records": list(table.records),
        }
        for table in base.tables.values()
    }
    return {"id": base.id, "tables": tables}


# ---------------------------------------------------------------------------------------------------------- access


def revoke_token(step: Act) -> Any:
    """`revoke_token {token}`: from now on 401."""
    step.world.tokens[step.arguments["token"]].revoked = True


def restore_token(step: Act) -> Any:
    """`restore_token {token}`."""
    step.world.tokens[step.arguments["token"]].revoked = False


def remove_grant(step: Act) -> Any:
    """`remove_grant {base?, token}`: the token no longer reaches the base, 403."""
    token = step.world.tokens[step.arguments["token"]]
    held = set(step.world.bases) if token.bases is None else token.bases
    token.bases = held - {step.base().id}


def restore_grant(step: Act) -> Any:
    """`restore_grant {base?, token}`."""
    token = step.world.tokens[step.arguments["token"]]
    if token.bases is not None:
        token.bases = token.bases | {step.base().id}


def set_role(step: Act) -> Any:
    """`set_role {base?, user, role}`: none, read, comment, edit, create or owner."""
    role = step.arguments["role"]
    if role not in ROLES:
        raise ValueError(f"set_role: no role {role!r}; roles: {', '.join(ROLES)}")
    step.base().roles[step.user().id] = role


# ---------------------------------------------------------------------------------------------------------- limits


def set_limits(step: Act) -> Any:
    """`set_limits {base_per_second?, user_per_second?, …}`: the fields of `world.Limits`; null lifts a rate."""
    try:
        step.world.limits = replace(step.world.limits, **step.arguments)
    except TypeError as error:
        raise ValueError(f"set_limits: {error}") from error


def set_quota(step: Act) -> Any:
    """`set_quota {base?, monthly}`: calls a month of the base's workspace; null lifts it."""
    step.base().workspace.monthly = step.arguments["monthly"]


def spend_quota(step: Act) -> Any:
    """`spend_quota {base?, calls}`: as if other integrations had made these calls."""
    limits.spend(step.base().workspace, int(step.arguments["calls"]), step.now)


def consume_rate(step: Act) -> Any:
    """`consume_rate {base?, requests}`: another client's requests at this instant → `{refused}`."""
    return {"refused": limits.consume(step.world, step.base(), int(step.arguments["requests"]), step.now)}


def forget_offsets(step: Act) -> Any:
    """`forget_offsets {}`: a restart of the service; every running listing dies."""
    step.world.snapshots.clear()


# ----------------------------------------------------------------------------------------------------------- hooks


def drop_payloads(step: Act) -> Any:
    """`drop_payloads {base?, hook?, keep?}`: the oldest payloads go as after seven days, `keep` (default 0) stay."""
    hook = step.hook()
    while len(hook.payloads) > int(step.arguments.get("keep", 0)):
        hook.payloads.popleft()


def expire_hook(step: Act) -> Any:
    """`expire_hook {base?, hook?, days_ago?}`: it expired now, or that many days ago (gone after seven)."""
    step.hook().expires_at = step.now - timedelta(days=float(step.arguments.get("days_ago", 0)))


def disable_hook(step: Act) -> Any:
    """`disable_hook {base?, hook?}`: `isHookEnabled` false, no further payloads."""
    step.hook().enabled = False


def ring(step: Act) -> Any:
    """`ring {base?, hook?}`: a spurious ping (5.4: "may be spurious")."""
    ping.ring(step.world, step.base(), step.hook(), step.now)


VERBS: dict[str, Callable[[Act], Any]] = {
    function.__name__: function
    for function in (
        add_user,
        add_token,
        add_base,
        revoke_token,
        restore_token,
        remove_grant,
        restore_grant,
        set_role,
        set_limits,
        set_quota,
        spend_quota,
        consume_rate,
        forget_offsets,
        drop_payloads,
        expire_hook,
        disable_hook,
        ring,
    )
}
