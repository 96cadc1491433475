"""
What the documents of both services leave open, one enum per point, so that a run can be made under each answer.

Sources: reference/airtable.md section 11 (and the points marked (?) in 3.4, 5.5 and 5.6) and reference/bitbucket.md section 15.
Two points have one answer only and are no choice here: an Airtable upsert that matches several records is refused with 422, and
the body of Bitbucket's 429 is plain text.
"""

import random
from dataclasses import dataclass, fields
from enum import Enum


class UpsertAnswerOrder(Enum):
    """Airtable: in which order an upsert's answer lists its records."""

    UPDATED_THEN_CREATED = "updated_then_created"
    AS_REQUESTED = "as_requested"


class UnsortedListOrder(Enum):
    """Airtable: the order of a list with neither `sort` nor `view`."""

    BY_ID = "by_id"
    ARBITRARY = "arbitrary"


class ClearedCell(Enum):
    """Airtable: how a cleared cell stands in `current` (or a formerly empty one in `previous`) of a payload."""

    NULL = "null"
    ABSENT = "absent"


class PayloadCreatedTime(Enum):
    """Airtable: `createdTime` of a created record in a payload."""

    WHOLE_SECONDS_LATER = "whole_seconds_later"
    MILLISECONDS = "milliseconds"


class MissingRecord(Enum):
    """Airtable: the body of the 404 for a record that does not exist."""

    MODEL_ID_NOT_FOUND = "model_id_not_found"
    NOT_FOUND = "not_found"


class UnknownToken(Enum):
    """Airtable: the error type of the 401."""

    AUTHENTICATION_REQUIRED = "authentication_required"
    UNAUTHORIZED = "unauthorized"


class RatePenalty(Enum):
    """Airtable: what follows a 429."""

    THIRTY_SECONDS = "thirty_seconds"
    EXCESS_ONLY = "excess_only"


class PingGaps(Enum):
    """Airtable: the gaps between the retries of a ping, doubling from 10 s."""

    JITTERED = "jittered"
    PLAIN = "plain"


class InvalidCursor(Enum):
    """Airtable: the answer to a payload listing whose cursor is not a positive number."""

    REFUSED = "refused"
    EMPTY_PAGE = "empty_page"


class EmptiedLog(Enum):
    """Airtable 5.5 (?): the cursor answered to an old cursor when all payloads are gone."""

    NEXT_NUMBER = "next_number"
    SAME_CURSOR = "same_cursor"


class EmptyMergeKey(Enum):
    """Airtable 3.4 (?): whether an upsert's null key matches rows whose key cell is empty."""

    MATCHES_EMPTY = "matches_empty"
    ALWAYS_CREATES = "always_creates"


class PersonCreates(Enum):
    """Airtable 5.6 (?): how a row made in the client app shows in payloads."""

    EMPTY_ROW_THEN_CELLS = "empty_row_then_cells"
    AT_ONCE = "at_once"


class ComputedChanges(Enum):
    """Airtable 5.6 (?): whether a computed cell's change stands in its cause's payload or in a further one."""

    SAME_PAYLOAD = "same_payload"
    FURTHER_PAYLOAD = "further_payload"


class PayloadSplit(Enum):
    """Airtable 5.6: "one action can be split over several payloads"; how many records one payload takes at most."""

    BY_25 = 25
    BY_3 = 3


class PullRequestPut(Enum):
    """Bitbucket: what a `PUT` of a pull request does with what it does not name."""

    PARTIAL = "partial"
    OMITTED_REVIEWERS_DROPPED = "omitted_reviewers_dropped"
    REPLACES_ALL = "replaces_all"


class SecondPost(Enum):
    """Bitbucket: what a second `POST` for the same branches overwrites."""

    ALL = "all"
    TITLE_AND_CLOSE_ONLY = "title_and_close_only"


class ReviewerNaming(Enum):
    """Bitbucket: by which id a reviewer may be named."""

    UUID_ONLY = "uuid_only"
    ACCOUNT_ID_TOO = "account_id_too"


class PipelinesNext(Enum):
    """Bitbucket: whether a page of pipelines carries `next` while more pages exist (BCLOUD-13806: never)."""

    NEVER = "never"
    AS_ELSEWHERE = "as_elsewhere"


class DefaultReviewers(Enum):
    """Bitbucket: default reviewers on pull requests made by API."""

    NOT_ADDED = "not_added"
    ADDED = "added"


class SoonCommentUpdate(Enum):
    """Bitbucket: `pullrequest:comment_updated` soon after the comment's last change."""

    NOT_SENT = "not_sent"
    SENT = "sent"


class IssueTracker(Enum):
    """Bitbucket: issue tracker resources since 2026-08-20."""

    GONE_410 = "gone_410"
    NOT_FOUND_404 = "not_found_404"


class CrossWorkspaceLists(Enum):
    """Bitbucket: cross-workspace lists after CHANGE-2770."""

    GONE_410 = "gone_410"
    NOT_FOUND_404 = "not_found_404"


class ListLag(Enum):
    """Bitbucket: how long a list or search may lag behind a create."""

    NONE = "none"
    UP_TO_30_S = "up_to_30_s"


class OAuthTokenLife(Enum):
    """Bitbucket: life of an OAuth access token, in seconds."""

    SECONDS_7200 = 7200
    SECONDS_3600 = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """One answer to every open point; the defaults are the documents' own, what was recorded or seen last."""

    upsert_answer_order: UpsertAnswerOrder = UpsertAnswerOrder.UPDATED_THEN_CREATED
    unsorted_list_order: UnsortedListOrder = UnsortedListOrder.BY_ID
    cleared_cell: ClearedCell = ClearedCell.NULL
    payload_created_time: PayloadCreatedTime = PayloadCreatedTime.WHOLE_SECONDS_LATER
    missing_record: MissingRecord = MissingRecord.MODEL_ID_NOT_FOUND
    unknown_token: UnknownToken = UnknownToken.AUTHENTICATION_REQUIRED
    rate_penalty: RatePenalty = RatePenalty.THIRTY_SECONDS
    ping_gaps: PingGaps = PingGaps.JITTERED
    invalid_cursor: InvalidCursor = InvalidCursor.REFUSED
    emptied_log: EmptiedLog = EmptiedLog.NEXT_NUMBER
    empty_merge_key: EmptyMergeKey = EmptyMergeKey.MATCHES_EMPTY
    person_creates: PersonCreates = PersonCreates.EMPTY_ROW_THEN_CELLS
    computed_changes: ComputedChanges = ComputedChanges.SAME_PAYLOAD
    payload_split: PayloadSplit = PayloadSplit.BY_25
    pull_request_put: PullRequestPut = PullRequestPut.PARTIAL
    second_post: SecondPost = SecondPost.ALL
    reviewer_naming: ReviewerNaming = ReviewerNaming.UUID_ONLY
    pipelines_next: PipelinesNext = PipelinesNext.NEVER
    default_reviewers: DefaultReviewers = DefaultReviewers.NOT_ADDED
    soon_comment_update: SoonCommentUpdate = SoonCommentUpdate.NOT_SENT
    issue_tracker: IssueTracker = IssueTracker.GONE_410
    cross_workspace_lists: CrossWorkspaceLists = CrossWorkspaceLists.GONE_410
    list_lag: ListLag = ListLag.NONE
    oauth_token_life: OAuthTokenLife = OAuthTokenLife.SECONDS_7200


def draw(rng: random.Random) -> Choices:
    """
    Draw one answer to every point, each value of a point equally likely.

    Args:
        rng: a seeded generator; one number is taken per point, in the order of the fields.
    """
    return Choices(**{point.name: rng.choice(list(point.type)) for point in fields(Choices)})  # type: ignore[arg-type]  # every field's type is its enum
