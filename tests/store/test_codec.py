"""Work as JSON: what is decoded is what was encoded, and equal values have equal lines."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from syncd.model.ids import AccountId, PullRequestKey, RecordId, RepositoryId
from syncd.model.schema import Repository
from syncd.model.work import Branch, Build, Commit, Deployment, PullRequest
from syncd.store import codec, columns
from tests.build import a_branch, a_pull_request

# Any text that JSON can hold, halves of surrogate pairs and NUL included.
texts = some.text(some.characters(exclude_categories=()), max_size=12)
moments = some.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001  # the zone is drawn apart
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=some.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]),
)
maybe = some.one_of(some.none(), moments)
numbers = some.integers(min_value=0, max_value=2**53)
repositories = texts.map(RepositoryId)
accounts = some.lists(texts.map(AccountId), max_size=3).map(tuple)
records = some.lists(texts.map(RecordId), max_size=3).map(tuple)
keys = some.builds(PullRequestKey, repositories, numbers)

VALUES: dict[type, some.SearchStrategy[Any]] = {
    PullRequest: some.builds(
        PullRequest,
        key=keys,
        title=texts,
        description=texts,
        reviewers=accounts,
        approved_by=accounts,
        source_repository=some.one_of(some.none(), repositories),
        created_on=moments,
        updated_on=moments,
        merged_on=maybe,
        commit_records=records,
    ),
    Branch: some.builds(
        Branch, name=texts, target_on=moments, ahead=some.sampled_from([None, True, False]), commit_records=records
    ),
    Commit: some.builds(Commit, message=texts, date=moments),
    Build: some.builds(Build, updated_on=moments, url=texts),
    Deployment: some.builds(Deployment, completed_on=maybe, environment=texts),
    Repository: some.builds(Repository, name=texts),
}


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_decoding_gives_back_what_was_encoded(kind: Any) -> None:
    @given(VALUES[kind])
    def law(value: Any) -> None:
        line = codec.encode(value)
        assert codec.decode(kind, line) == value
        assert codec.encode(codec.decode(kind, line)) == line
        assert line.isascii()

    law()


def test_equal_values_have_equal_lines_whatever_the_zone_of_their_moments() -> None:
    here = a_branch()
    there = replace(here, target_on=here.target_on.astimezone(timezone(timedelta(hours=2))))
    assert codec.encode(there) == codec.encode(here)


def test_a_field_that_an_older_line_lacks_takes_its_default() -> None:
    line = codec.encode(a_branch()).replace('"ahead":true,', "").replace('"name"', '"gone":1,"name"')
    assert codec.decode(Branch, line) == a_branch(ahead=None)


def test_a_line_without_a_needed_field_is_refused() -> None:
    with pytest.raises(TypeError, match="title"):
        codec.decode(PullRequest, codec.encode(a_pull_request()).replace('"title"', '"other"'))


def test_a_field_of_a_type_that_is_not_known_is_refused() -> None:
    with pytest.raises(TypeError, match="teach"):
        codec._turn(dict[str, int])


@given(moments)
def test_moments_are_exact(at: datetime) -> None:
    assert columns.at(columns.moment(at)) == at
    assert columns.at_or_none(columns.moment_or_none(at)) == at


@given(texts)
def test_every_text_can_be_stored_and_a_whole_one_stays_as_it_is(raw: str) -> None:
    kept = columns.text(raw)
    kept.encode("utf-8")
    if not any("\ud800" <= one <= "\udfff" for one in raw):
        assert kept == raw
