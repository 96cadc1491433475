"""
A webhook delivery: is it Bitbucket's, and what may have changed? Pure; bounded in time and memory whatever the body says.

An event is a hint: `parse` says which keys are dirty and nothing else of the body travels on. Sources: reference/bitbucket.md
sections 4 to 6 and the faults BW06, BW10, BW11 and BW18 of reference/reliability.md.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from syncd.bitbucket import shape, translate
from syncd.model.event import Dirt, DirtyWork, Event
from syncd.model.ids import RepositoryId

SIGNATURE_HEADER = b"x-hub-signature"
EVENT_HEADER = "x-event-key"

BODY_BYTES_MAX = 1 << 20
"""What the listener lets in (SPEC section 5); nothing larger is parsed."""
BRANCHES_MAX = 50
"""A push that moves more branches than this makes the repository dirty instead of each of them."""
NAME_LENGTH_MAX = 1024

_SIGNATURE = re.compile(rb"sha256=[0-9a-f]{64}")
_EVENT_KEY = re.compile(r"[a-z_]{1,32}:[a-z_]{1,64}")
_BRANCH_TYPES = frozenset({"branch", "named_branch"})

# Events that change nothing we mirror: comments on commits, forks (they are repositories of their own), project settings,
# and the traces of pipelines, which have another format altogether.
_NOT_CONCERNING = frozenset({"repo:fork", "repo:commit_comment_created", "project:updated", "pipeline:span_created"})


class Unreadable(Exception):
    """A body that is not JSON, or not in bounds; the caller puts the delivery in quarantine. The text never quotes the body."""


def verify(headers: Sequence[tuple[bytes, bytes]], body: bytes, secrets: Sequence[str]) -> str:
    """
    Check the signature of a delivery, in constant time, before anything is parsed.

    Args:
        headers: as received; names in any case.
        body: the raw bytes.
        secrets: the configured one, or old and new while one is being rotated (BW08). An empty one never verifies.

    Returns:
        "" when one of the secrets made the signature; else "missing", "doubled", "malformed" or "wrong".
        `sha1=` and upper case are malformed: the service sends neither (reference/bitbucket.md 4).
    """
    signatures = [value for name, value in headers if name.lower() == SIGNATURE_HEADER]
    if not signatures:
        return "missing"
    if len(signatures) > 1:
        return "doubled"
    if _SIGNATURE.fullmatch(signatures[0]) is None:
        return "malformed"
    good = False
    for secret in secrets:
        # surrogateescape gives back the very bytes of a secret that was read from a file or the environment.
        key = secret.encode("utf-8", "surrogateescape")
        expected = b"sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest().encode("ascii")
        # No early end: how long this takes must not tell which of two secrets is in use.
        good = (hmac.compare_digest(expected, signatures[0]) and key != b"") or good
    return "" if good else "wrong"


def parse(headers: Mapping[str, str], body: bytes) -> Event:
    """
    Say what a delivery may have changed.

    Args:
        headers: at least `X-Event-Key`, in any case: the body does not repeat it (reference/bitbucket.md 4).
        body: the raw bytes of a verified delivery.

    Returns:
        An event for every JSON there is: what cannot be read makes the whole repository dirty, and `problem` says so.
        Tags are not mirrored and make nothing dirty.

    Raises:
        Unreadable: not JSON in UTF-8, nested too deeply, or over 1 MiB.
    """
    kind = next((value for name, value in headers.items() if name.lower() == EVENT_HEADER), "")
    loaded = _load(body)
    known_kind = _EVENT_KEY.fullmatch(kind) is not None
    if not known_kind:
        kind = ""
    if not isinstance(loaded, dict):
        return Event(kind=kind, repository=None, dirty=(), problem="the body is not an object")
    repository = _repository(loaded.get("repository"))
    if not known_kind:
        return _whole(kind, repository, "no event key in the headers")
    if kind.startswith("issue:"):
        # The issue tracker was removed in August 2026; recorded deliveries replay.
        return Event(kind=kind, repository=repository, dirty=(), retired=True)
    if kind in _NOT_CONCERNING:
        return Event(kind=kind, repository=repository, dirty=())
    if kind.startswith("pullrequest:"):
        return _pull_request(kind, repository, loaded)
    if kind == "repo:push":
        return _push(kind, repository, loaded)
    if kind.startswith("repo:commit_status_"):
        return _commit_status(kind, repository, loaded)
    # repo:updated, repo:transfer, repo:deleted, repo:imported, repo:created, and every key that does not exist yet.
    return _whole(kind, repository, "")


def _load(body: bytes) -> Any:
    if len(body) > BODY_BYTES_MAX:
        raise Unreadable("the body is larger than 1 MiB")
    try:
        return json.loads(body.decode("utf-8"), parse_int=_parse_int, parse_float=_ignore, parse_constant=_refuse)
    except UnicodeDecodeError:
        raise Unreadable("the body is not UTF-8") from None
    except RecursionError:
        raise Unreadable("the body is nested too deeply") from None
    except ValueError:
        raise Unreadable("the body is not JSON") from None


def _parse_int(digits: str) -> int | None:
    # Ids have at most 19 digits; a longer number costs quadratic time and means nothing here.
    return int(digits) if len(digits) <= 19 else None


def _ignore(_: str) -> None:
    return None


def _refuse(name: str) -> None:
    raise ValueError(name)


def _whole(kind: str, repository: RepositoryId | None, problem: str) -> Event:
    if repository is None:
        return Event(kind=kind, repository=None, dirty=(), problem=problem or "the body names no repository")
    return Event(
        kind=kind,
        repository=repository,
        dirty=(DirtyWork(repository=repository, dirt=Dirt.REPOSITORY),),
        problem=problem,
    )


def _pull_request(kind: str, repository: RepositoryId | None, loaded: shape.Json) -> Event:
    pull_request = _object(loaded.get("pullrequest"))
    # A number counts inside the destination repository, whoever names another one (reference/bitbucket.md 1).
    home = _repository(_object(_object(pull_request.get("destination")).get("repository"))) or repository
    number = pull_request.get("id")
    if home is None or not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= shape.NUMBER_MAX:
        return _whole(kind, home, "the body names no pull request")
    # The very attribute that a read will show; dates of comments and approvals need not move it (reference/bitbucket.md 6.3).
    return Event(
        kind=kind,
        repository=home,
        dirty=(DirtyWork(repository=home, dirt=Dirt.PULL_REQUEST, name=str(number)),),
        happened_at=shape.instant_or_none(pull_request.get("updated_on")),
    )


def _push(kind: str, repository: RepositoryId | None, loaded: shape.Json) -> Event:
    # No `happened_at`: the only dates of a push are its commits', and those are their authors' clocks.
    changes = _object(loaded.get("push")).get("changes")
    if repository is None or not isinstance(changes, list) or not changes:
        return _whole(kind, repository, "the push lists no changes")
    branches: dict[str, None] = {}
    for change in changes:
        refs = [_object(change).get(side) for side in ("old", "new")]
        named = [ref for ref in refs if isinstance(ref, dict)]
        if not named:
            return _whole(kind, repository, "a change of the push names no ref")
        for ref in named:
            name, type_name = ref.get("name"), ref.get("type")
            if not isinstance(type_name, str):
                return _whole(kind, repository, "a change of the push has an unknown form")
            if type_name in {"tag", "annotated_tag"}:
                continue
            if type_name not in _BRANCH_TYPES or not _is_name(name):
                return _whole(kind, repository, "a change of the push has an unknown form")
            branches[name] = None
        if len(branches) > BRANCHES_MAX:
            return _whole(kind, repository, "")
    return Event(
        kind=kind,
        repository=repository,
        dirty=tuple(DirtyWork(repository=repository, dirt=Dirt.BRANCH, name=name) for name in branches),
    )


def _commit_status(kind: str, repository: RepositoryId | None, loaded: shape.Json) -> Event:
    status = _object(loaded.get("commit_status"))
    commit = translate.status_commit(status)
    if repository is None or not commit:
        return _whole(kind, repository, "the body names no commit")
    return Event(
        kind=kind,
        repository=repository,
        dirty=(DirtyWork(repository=repository, dirt=Dirt.COMMIT, name=commit),),
        happened_at=shape.instant_or_none(status.get("updated_on")),
    )


def _object(value: Any) -> shape.Json:
    return value if isinstance(value, dict) else {}


def _repository(value: Any) -> RepositoryId | None:
    identity = shape.uuid_or_none(_object(value).get("uuid"))
    return None if identity is None else RepositoryId(identity)


def _is_name(value: Any) -> TypeGuard[str]:
    # What is no name in git can neither be stored (lone surrogates, NUL) nor be read back.
    if not isinstance(value, str) or not 0 < len(value) <= NAME_LENGTH_MAX:
        return False
    return all(char >= " " and char != "\x7f" and not "\ud800" <= char <= "\udfff" for char in value)
