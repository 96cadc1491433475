"""Tokens of an OAuth consumer, and credentials that are none (reference/bitbucket.md 2)."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from syncd import errors
from syncd.bitbucket import oauth, side
from syncd.bitbucket.client import Credential
from syncd.sandbox.choices import Choices, OAuthTokenLife
from syncd.sandbox.fault import FaultKind
from tests.bitbucket.house import House, OpenGate, StillClock, a_house

ASKED = f"POST {oauth.PATH}"


@pytest.fixture
def house() -> Iterator[House]:
    with a_house() as found:
        yield found


def consumer_of(house: House) -> dict[str, str]:
    made: dict[str, str] = house.do("add_consumer", user="ada")
    return made


def test_one_token_serves_many_requests_and_acts_as_the_consumers_owner(house: House) -> None:
    side = house.open_side(**consumer_of(house))
    assert side.fetch_account() == house.people["ada"]
    side.fetch_branches(house.repository)
    assert house.sent == [ASKED, "GET /2.0/user", "GET /refs/branches"]


@pytest.mark.parametrize("life", OAuthTokenLife)
def test_a_token_is_renewed_before_it_ends_however_long_it_lives(life: OAuthTokenLife) -> None:
    with a_house(Choices(oauth_token_life=life)) as house:
        side = house.open_side(**consumer_of(house))
        for share in (0.0, 0.79, 0.02, 0.79):
            house.clock.at += timedelta(seconds=share * life.value)
            side.fetch_branches(house.repository)
        assert house.sent.count(ASKED) == 2
        assert house.gate.codes == []


def test_a_token_that_ends_before_its_time_is_renewed_once_and_nothing_is_done_twice(house: House) -> None:
    side = house.open_side(**consumer_of(house))
    side.fetch_branches(house.repository)
    (token,) = (secret for secret, one in house.machine.world.tokens.items() if one.kind == "oauth")
    house.do("revoke_token", token=token)
    side.create_branch(house.repository, "feature/x", "main")
    assert house.sent.count(ASKED) == 2
    assert house.sent.count("POST /refs/branches") == 1
    house.arm(FaultKind.REFUSE, status=401, route="refs/branches", count=None)
    with pytest.raises(errors.Unauthorised):
        side.fetch_branches(house.repository)
    assert house.sent.count(ASKED) == 3


def test_a_403_asks_for_no_new_token(house: House) -> None:
    side = house.open_side(**house.do("add_consumer", user="ada", scopes=["repository"]))
    with pytest.raises(errors.Unauthorised):
        side.fetch_pull_requests(house.repository, None)
    assert house.sent.count(ASKED) == 1


def test_a_wrong_secret_is_unauthorised_and_never_quoted(house: House) -> None:
    side = house.open_side(key=consumer_of(house)["key"], secret="canary-secret")
    with pytest.raises(errors.Unauthorised) as refusal:
        side.fetch_branches(house.repository)
    assert "canary" not in str(refusal.value) + refusal.value.detail
    assert house.sent == [ASKED]


def test_a_consumer_that_may_not_ask_in_its_own_name_needs_a_person(house: House) -> None:
    side = house.open_side(**consumer_of(house))
    house.arm(FaultKind.REFUSE, status=400, body='{"error": "unauthorized_client"}', route=oauth.PATH)
    with pytest.raises(errors.Unauthorised) as refusal:
        side.fetch_branches(house.repository)
    assert "private" in refusal.value.next_step


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"access_token": "canary"},
        {"access_token": "canary", "expires_in": 0},
        {"access_token": 3, "expires_in": 9},
        [],
        {"access_token": "canary", "expires_in": 10**30},
    ],
    ids=str,
)
def test_an_answer_without_a_token_is_a_failed_read(house: House, body: Any) -> None:
    side = house.open_side(**consumer_of(house))
    house.arm(FaultKind.REFUSE, status=200, body=json.dumps(body), route=oauth.PATH)
    with pytest.raises(errors.Unreachable) as failure:
        side.fetch_branches(house.repository)
    assert "canary" not in repr(failure.value.__context__) + str(failure.value)


def test_a_lost_token_is_a_failed_read_and_no_unknown_outcome(house: House) -> None:
    side = house.open_side(**consumer_of(house))
    house.arm(FaultKind.LOSE_REPLY, route=oauth.PATH)
    with pytest.raises(errors.Unreachable):
        side.create_branch(house.repository, "feature/x", "main")
    assert house.gate.changes == 0


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://api.bitbucket.org/2.0", "https://bitbucket.org/site/oauth2/access_token"),
        ("http://127.0.0.1:9002/2.0", "http://127.0.0.1:9002/site/oauth2/access_token"),
    ],
)
def test_tokens_come_from_the_services_other_host(base_url: str, expected: str) -> None:
    assert oauth.token_url(base_url) == expected


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"user": "a@b"},
        {"key": "k"},
        {"secret": "s"},
        {"token": "t", "key": "k", "secret": "s"},
        {"key": "k", "secret": "s", "user": "a@b"},
        {"token": "t", "key": "k"},
    ],
    ids=str,
)
def test_a_credential_is_of_one_kind(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="credential"):
        Credential(**given)


def test_a_credential_does_not_show_its_secrets() -> None:
    shown = repr(Credential(token="canary", user="a@b")) + repr(Credential(key="k", secret="canary"))
    assert "canary" not in shown


def test_a_side_needs_a_workspace() -> None:
    with pytest.raises(ValueError, match="workspace"):
        side.open_side(
            base_url="https://api.bitbucket.org/2.0",
            workspace="",
            credential=Credential(token="t"),
            gate=OpenGate(),
            clock=StillClock(),
            user_agent="syncd/tests",
        )
