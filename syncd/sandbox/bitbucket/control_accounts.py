"""Control verbs of an administrator: workspaces, accounts and credentials."""

from typing import Any

from syncd.sandbox.bitbucket.act import Act
from syncd.sandbox.bitbucket.arguments import Arguments, Verb
from syncd.sandbox.bitbucket.query import instant
from syncd.sandbox.bitbucket.world import Consumer, Token, User, Workspace


def _add_workspace(act: Act, args: Arguments) -> dict[str, str]:
    slug = str(args.take("slug"))
    made = Workspace(
        uuid=act.world.uuid("workspace"), slug=slug, name=args.take("name", slug.title()), created_on=act.now
    )
    act.world.workspaces[slug] = made
    return {"uuid": made.uuid, "slug": slug}


def _new_user(act: Act, nickname: str, display_name: str, email: str, kind: str | None) -> User:
    digest = act.world.digest("account")
    account = f"712020:{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
    user = User(
        uuid=act.world.uuid("user"),
        account_id=account,
        nickname=nickname,
        display_name=display_name,
        email=email,
        created_on=act.now,
        kind=kind,
    )
    act.world.users[user.uuid] = user
    return user


def _add_user(act: Act, args: Arguments) -> dict[str, str]:
    nickname = str(args.take("nickname"))
    display_name, email = args.take("display_name", nickname.title()), args.take("email", f"{nickname}@acme.dev")
    role = args.take("role", "owner" if not act.world.users else "member")
    user = _new_user(act, nickname, display_name, email, None)
    if role is not None:
        args.workspace().members[user.uuid] = role
    return {"uuid": user.uuid, "account_id": user.account_id, "nickname": nickname, "email": email}


def _rename_user(act: Act, args: Arguments) -> None:
    del act
    user = args.user()
    user.display_name, user.nickname = (
        str(args.take("display_name", user.display_name)),
        str(args.take("nickname", user.nickname)),
    )


def _close_user(act: Act, args: Arguments) -> None:
    user = args.user()
    user.active = False
    for workspace in act.world.workspaces.values():
        workspace.members.pop(user.uuid, None)


def _add_token(act: Act, args: Arguments) -> dict[str, str]:
    kind = str(args.take("kind", "access"))
    scopes, expires_at = args.take("scopes", None), args.take("expires_at", None)
    if isinstance(expires_at, str):
        expires_at = instant(expires_at)
    secret = str(args.take("secret", act.world.digest("token")))
    common: dict[str, Any] = {
        "secret": secret,
        "kind": kind,
        "scopes": None if scopes is None else frozenset(scopes),
        "expires_at": expires_at,
    }
    if kind == "api":
        user = args.user()
        token = Token(**common, user=user, limit_key=user.uuid)
    elif kind == "access":
        limited = args.repository() if args.has("repository") else None
        home = args.workspace() if limited is None else limited.workspace
        name = str(args.take("name", "sync-bot"))
        what = "workspace_access_token" if limited is None else "repository_access_token"
        user = _new_user(act, name, name, f"{name}@bots.bitbucket.org", what)
        token = Token(
            **common,
            user=user,
            limit_key=secret,
            workspace=home.uuid,
            repository=None if limited is None else limited.uuid,
        )
    else:
        raise ValueError(f"add_token: kind is 'access' or 'api', not {kind!r}")
    act.world.tokens[secret] = token
    return {"token": secret, "uuid": user.uuid, "user": user.nickname, "email": user.email}


def _switch_token(revoked: bool) -> Verb:
    def verb(act: Act, args: Arguments) -> None:
        secret = args.take("token")
        if secret not in act.world.tokens:
            raise ValueError("there is no such token; make one with add_token")
        act.world.tokens[secret].revoked = revoked

    return verb


def _add_consumer(act: Act, args: Arguments) -> dict[str, str]:
    user, scopes = args.user(), args.take("scopes", None)
    key, secret = (
        str(args.take("key", act.world.digest("consumer")[:18])),
        str(args.take("secret", act.world.digest("consumer")[:32])),
    )
    act.world.consumers[key] = Consumer(
        key=key, secret=secret, user=user, scopes=None if scopes is None else frozenset(scopes)
    )
    return {"key": key, "secret": secret}


VERBS: dict[str, Verb] = {
    "add_workspace": _add_workspace,
    "add_user": _add_user,
    "rename_user": _rename_user,
    "close_user": _close_user,
    "add_token": _add_token,
    "revoke_token": _switch_token(True),
    "restore_token": _switch_token(False),
    "add_consumer": _add_consumer,
}
"""An administrator's: they take `user` themselves, or none at all."""
