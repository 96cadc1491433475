"""Names for things, so that one kind of id is never passed for another. Their shapes are each service's own."""

from dataclasses import dataclass
from typing import NewType

SyncName = NewType("SyncName", str)
BaseId = NewType("BaseId", str)  # app…
TableId = NewType("TableId", str)  # tbl…
ViewId = NewType("ViewId", str)  # viw…
FieldId = NewType("FieldId", str)  # fld…
RecordId = NewType("RecordId", str)  # rec…
RepositoryId = NewType("RepositoryId", str)  # a UUID in braces: survives renames
AccountId = NewType("AccountId", str)  # a UUID in braces
EndpointId = NewType("EndpointId", str)  # ours; stands in the webhook's URL
HookId = NewType("HookId", str)  # the service's id of the webhook
RunId = NewType("RunId", str)  # sortable by time
OperationId = NewType("OperationId", str)  # one planned changing request


@dataclass(frozen=True, slots=True, order=True)
class PullRequestKey:
    """A pull request's number is unique only inside its destination repository (reference/bitbucket.md 1)."""

    repository: RepositoryId
    number: int

    def __str__(self) -> str:
        return f"{self.repository}#{self.number}"
