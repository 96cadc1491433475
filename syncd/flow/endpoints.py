"""
The webhooks on both sides: registered, adopted, kept alive, made again when they are gone.

One per Airtable base and one per listed Bitbucket repository. Without `public_url` only Airtable gets one, which pings
nobody and stores payloads; Bitbucket is polled. Ours are recognised by their exact URL, never by a description.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from syncd import errors, log, ports
from syncd.flow import changes, full_compare
from syncd.flow.context import Context
from syncd.model.change import Side
from syncd.model.event import Endpoint
from syncd.model.ids import EndpointId, HookId
from syncd.model.schema import Repository

_log = log.logger("flow.endpoints")

# An Airtable hook lives seven days; a listing or a refresh gives it seven more (reference/airtable.md 5.1).
RENEW_BEFORE = timedelta(hours=48)
CHECK_EVERY = timedelta(hours=1)


def path(provider: str, endpoint: EndpointId) -> str:
    """The path under which an endpoint is reached (SPEC section 5)."""
    return f"/hooks/{provider}/{endpoint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensured:
    """
    What came of a look at the webhooks.

    Args:
        missed: something may have been missed, because a hook was made, or made again: compare in full.
        problems: by base or repository (its slug), why its hook could not be seen to.
        later: those that the kill switch holds: seen to when it is off. That is no trouble.
    """

    missed: bool
    problems: Mapping[str, errors.SyncdError]
    later: frozenset[str] = frozenset()

    @property
    def problem(self) -> errors.SyncdError | None:
        """All problems as one error; None when there is none."""
        if not self.problems:
            return None
        for error in self.problems.values():
            if isinstance(error, errors.Throttled):
                return error
        subject, first = next(iter(self.problems.items()))
        others = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        message = f"{subject}: {first.message}{others}"
        if isinstance(first, errors.Unauthorised) and all(_refused(one) for one in self.problems.values()):
            # The credential itself, tried each minute (AT12). One place that stays forbidden is tried ever more rarely.
            return errors.Unauthorised(
                message, service=first.service, request=first.request, status=first.status, next_step=first.next_step
            )
        return errors.SyncdError(message, next_step=first.next_step)


def _refused(error: errors.SyncdError) -> bool:
    return isinstance(error, errors.Unauthorised) and error.status == 401


def ensure(
    context: Context,
    now: datetime,
    secrets: Callable[[str], Sequence[str]],
    only: Collection[str] | None = None,
) -> Ensured:
    """
    See that every webhook of this sync's connections is there, ours, alive and set as the spec wants.

    One base or repository that cannot be managed does not keep the others from theirs (reliability.md BB11, I22).

    Args:
        secrets: the configured hook secrets of a repository (slug), the current one first. It may raise SpecError.
        only: look at these alone, by the names in `Ensured.problems` and `Ensured.later`; None: at all.
    """
    missed = False
    problems: dict[str, errors.SyncdError] = {}
    later: set[str] = set()
    subjects: dict[str, tuple[Side, Callable[[], bool]]] = {
        context.sync.base: (Side.AIRTABLE, lambda: _ensure_airtable(context, now))
    }
    if context.rules.daemon.public_url:
        for repository in context.sync.repositories:
            look = partial(_ensure_bitbucket, context, repository, now, secrets)
            subjects[repository.slug] = (Side.BITBUCKET, look)
    for subject, (side, see_to) in subjects.items():
        if only is not None and subject not in only:
            continue
        if context.switch.paused(context.name, side):
            later.add(subject)
            continue
        try:
            missed = see_to() or missed
        except errors.Paused:
            later.add(subject)
        except errors.SpecError as error:
            why = "; ".join(one.expected for one in error.problems)
            problems[subject] = errors.UsageError(f"its webhook's secret: {why}", next_step="syncd check")
        except errors.ServiceError as error:
            problems[subject] = error
    return Ensured(missed=missed, problems=problems, later=frozenset(later))


def of_airtable(context: Context) -> Endpoint | None:
    """The active endpoint of this sync's base."""
    for endpoint in context.store.load_endpoints():
        if endpoint.provider == "airtable" and endpoint.active and endpoint.subject == context.sync.base:
            return endpoint
    return None


# ------------------------------------------------------------------------------------------------------- Airtable


def _ensure_airtable(context: Context, now: datetime) -> bool:
    url = context.rules.daemon.public_url
    known = of_airtable(context)
    listed = {hook.hook: hook for hook in context.catalogue.fetch_hooks()}
    if known is not None:
        hook = listed.get(HookId(known.hook))
        if hook is not None and _fits(hook, url and url + path("airtable", known.id), now):
            _keep_alive(context, known, hook, now)
            return False
        _log.warning("endpoint.lost", endpoint=known.id, provider="airtable", found=hook is not None)
        if hook is not None:
            context.catalogue.send_hook_deletion(hook.hook)
        context.store.save_endpoint(replace(known, active=False), None)
    # The secret is shown once: a hook of an earlier install cannot be taken over, only replaced (AW12, AW13).
    prefix = url + "/hooks/airtable/"
    for hook in listed.values():
        if url and hook.url.startswith(prefix) and (known is None or hook.hook != known.hook):
            context.catalogue.send_hook_deletion(hook.hook)
    id = context.ids.endpoint()
    made = context.catalogue.create_hook(url + path("airtable", id) if url else "")
    endpoint = Endpoint(
        id=id,
        provider="airtable",
        connection=context.sync.airtable,
        subject=context.sync.base,
        hook=made.hook,
        active=True,
        cursor=1,
        expires=made.expires,
        created_at=now,
    )
    full_compare.forget(context, base=context.sync.base)
    context.store.save_endpoint(endpoint, made.secret)
    _log.info("endpoint.created", endpoint=id, provider="airtable", pings=bool(url))
    return True


def _fits(hook: ports.HookState, url: str, now: datetime) -> bool:
    alive = hook.expires is None or hook.expires > now
    return hook.url == url and hook.healthy and alive


def _keep_alive(context: Context, known: Endpoint, hook: ports.HookState, now: datetime) -> None:
    expires = hook.expires
    if hook.next_payload > known.cursor:
        context.store.save_text(changes.noted_key(known), str(hook.next_payload))
    if expires is not None and expires - now < RENEW_BEFORE:
        expires = context.catalogue.send_hook_renewal(hook.hook)
        _log.info("endpoint.renewed", endpoint=known.id, expires=expires.isoformat())
    if hook.url and not hook.notifying:
        context.catalogue.send_hook_notifying(hook.hook)
        _log.info("endpoint.renewed", endpoint=known.id, pings="on again")
    if expires != known.expires:
        context.store.save_endpoint(replace(known, expires=expires), None)


# ------------------------------------------------------------------------------------------------------ Bitbucket


def _ensure_bitbucket(
    context: Context, repository: Repository, now: datetime, secrets: Callable[[str], Sequence[str]]
) -> bool:
    events = source_of(context, repository.slug)
    if events is None:
        return False
    secret = secrets(repository.slug)[0]
    prefix = context.rules.daemon.public_url + "/hooks/bitbucket/"
    known = next(
        (
            endpoint
            for endpoint in context.store.load_endpoints()
            if endpoint.provider == "bitbucket" and endpoint.active and endpoint.subject == repository.id
        ),
        None,
    )
    listed = context.changelog.fetch_hooks(repository)
    own = [hook for hook in listed if hook.url.startswith(prefix)]
    if known is not None:
        hook = next((one for one in own if one.url == prefix + known.id), None)
        if hook is not None:
            _remove_doubles(context, repository, own, keep=hook)
            return _set_right(context, repository, known, hook, events, secret)
        _log.warning("endpoint.lost", endpoint=known.id, provider="bitbucket", repository=repository.slug)
        made = context.changelog.create_hook(repository, prefix + known.id, events, secret)
        full_compare.forget(context, repository=repository.id)
        context.store.save_endpoint(replace(known, hook=made.hook), None)
        return True
    if own:
        # A hook of an earlier state of ours: its URL names the endpoint, our secret makes it ours again.
        hook = own[0]
        _remove_doubles(context, repository, own, keep=hook)
        context.changelog.send_hook(repository, hook.hook, hook.url, events, secret)
        id = EndpointId(hook.url.removeprefix(prefix))
        full_compare.forget(context, repository=repository.id)
        context.store.save_endpoint(_endpoint(context, repository, id, hook.hook, now), None)
        _log.info("endpoint.adopted", endpoint=id, provider="bitbucket", repository=repository.slug)
        return True
    id = context.ids.endpoint()
    made = context.changelog.create_hook(repository, prefix + id, events, secret)
    full_compare.forget(context, repository=repository.id)
    context.store.save_endpoint(_endpoint(context, repository, id, made.hook, now), None)
    _log.info("endpoint.created", endpoint=id, provider="bitbucket", repository=repository.slug)
    return True


def source_of(context: Context, slug: str) -> tuple[str, ...] | None:
    """The events that the spec wants of a repository; None when no source names it."""
    for source in context.bitbucket.sources:
        if source.repositories is None or slug in source.repositories:
            return source.events
    return None


def _endpoint(context: Context, repository: Repository, id: EndpointId, hook: HookId, now: datetime) -> Endpoint:
    return Endpoint(
        id=id,
        provider="bitbucket",
        connection=context.sync.bitbucket,
        subject=repository.id,
        hook=hook,
        active=True,
        created_at=now,
    )


def _remove_doubles(
    context: Context, repository: Repository, own: Sequence[ports.HookState], keep: ports.HookState
) -> None:
    for hook in own:
        if hook.hook != keep.hook:
            context.changelog.send_hook_deletion(repository, hook.hook)


def _set_right(
    context: Context,
    repository: Repository,
    known: Endpoint,
    hook: ports.HookState,
    events: tuple[str, ...],
    secret: str,
) -> bool:
    if known.hook != hook.hook:
        context.store.save_endpoint(replace(known, hook=hook.hook), None)
    # What was asked for and does not exist any more cannot be subscribed to: a subset is right when nothing is missing twice.
    wanted = set(events)
    told = f"hook-events:{known.id}"
    if hook.healthy and (wanted == set(hook.events) or context.store.load_text(told) == _events_key(events, hook)):
        return False
    context.changelog.send_hook(repository, hook.hook, hook.url, events, secret)
    after = next((one for one in context.changelog.fetch_hooks(repository) if one.hook == hook.hook), hook)
    context.store.save_text(told, _events_key(events, after))
    _log.info("endpoint.renewed", endpoint=known.id, provider="bitbucket", repository=repository.slug)
    return not hook.healthy


def _events_key(events: Sequence[str], hook: ports.HookState) -> str:
    return ",".join(sorted(events)) + "|" + ",".join(sorted(hook.events))
