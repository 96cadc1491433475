"""What is not known of work, and why: unknown is not empty (SPEC section 3)."""

from collections.abc import Iterable, Mapping

from syncd import ports
from syncd.flow.context import Context
from syncd.model.ids import RepositoryId
from syncd.model.work import List


def incomplete(context: Context, views: Mapping[RepositoryId, ports.RepositoryView]) -> Mapping[List, str]:
    """For each list that is not known to be complete, why; the same for every record of the sync."""
    reasons = []
    for repository in context.sync.repositories:
        view = views.get(repository.id)
        if view is None or (view.listed_at is None and not view.trouble):
            reasons.append(f"{repository.slug} was not read yet")
        elif view.trouble:
            reasons.append(view.trouble)
        elif view.unread:
            reasons.append(f"{repository.slug} has {view.unread} change(s) that were not read yet")
    if not reasons:
        return {}
    return dict.fromkeys(List, "; ".join(reasons))


def unknown(context: Context, views: Mapping[RepositoryId, ports.RepositoryView]) -> Iterable[RepositoryId]:
    """The repositories that a record may wait for: of each, its lists or some of its objects are not known."""
    for repository in context.sync.repositories:
        view = views.get(repository.id)
        if view is None or view.listed_at is None or view.trouble or view.unread or view.parked:
            yield repository.id


def unread_of(own: ports.LinkedWork) -> Mapping[List, str]:
    """As `incomplete`, for the records alone that an object belongs to which cannot be read."""
    return dict.fromkeys(List, own.unread) if own.unread else {}
