"""Which events a Bitbucket repository's webhook can be asked for (reference/bitbucket.md 5)."""

ACTIVE = (
    "repo:push",
    "repo:fork",
    "repo:updated",
    "repo:transfer",
    "repo:commit_comment_created",
    "repo:commit_status_created",
    "repo:commit_status_updated",
    "pullrequest:created",
    "pullrequest:updated",
    "pullrequest:fulfilled",
    "pullrequest:rejected",
    "pullrequest:approved",
    "pullrequest:unapproved",
    "pullrequest:changes_request_created",
    "pullrequest:changes_request_removed",
    "pullrequest:comment_created",
    "pullrequest:comment_updated",
    "pullrequest:comment_deleted",
    "pullrequest:comment_resolved",
    "pullrequest:comment_reopened",
)
RETIRED = ("issue:created", "issue:updated", "issue:comment_created")
# Words of the spec → events. Comments and forks change nothing that is mapped, but "all" means all.
GROUPS = {"push": ("repo:push",), "all": ACTIVE}


def expand(names: list[str]) -> tuple[str, ...]:
    """The event keys that a source asks for, without the retired ones, each once."""
    keys = [key for name in names for key in GROUPS.get(name, (name,)) if key not in RETIRED]
    return tuple(dict.fromkeys(keys))
