"""What every `ports.Store` does with work: a mirror that names exactly the records whose work changed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncd.model.change import NewLink
from syncd.model.ids import RecordId, RepositoryId, SyncName
from syncd.model.schema import Repository
from syncd.ports import Lane, LinkedWork, Marking, RecordCommit, RepositoryView, Store, waiting_key
from tests.build import (
    API,
    HEAD,
    NOW,
    OTHER,
    RECORD,
    WEB,
    a_branch,
    a_build,
    a_commit,
    a_deployment,
    a_key,
    a_pull_request,
    at,
)
from tests.store.kinds import KINDS, State

SYNC, ELSEWHERE = SyncName("features"), SyncName("bugs")
THIRD = RecordId("recCCCCCCCCCCCCCC")
REPOSITORY = Repository(id=WEB, workspace="acme", slug="web", name="Web", main_branch="main", url="https://x")
PULL_REQUEST, BRANCH = a_pull_request(), a_branch()
COMMIT = a_commit(HEAD + "0" * 28)


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[State]:
    with request.param(tmp_path) as opened:
        yield opened


@pytest.fixture
def store(state: State) -> Store:
    return state.store


def save(store: Store, links: Mapping[str, Sequence[RecordId]] | None = None, **more: Any) -> frozenset[RecordId]:
    """What is evidence for SYNC; the records of any sync whose work changed."""
    changed = store.save_work(WEB, links={SYNC: links or {}}, **more)
    return frozenset[RecordId]().union(*changed.values())


def remember(store: Store, record: RecordId, number: int, sync: SyncName = SYNC) -> None:
    link = NewLink(record=record, pull_request=a_key(number), evidence="url")
    store.commit(sync, [RecordCommit(record=record, done=None, state="ok", links=(link,))], [], NOW)


def work_of(store: Store, record: RecordId = RECORD, sync: SyncName = SYNC) -> LinkedWork:
    return store.load_work(sync, [record], [WEB, API])[record]


# ----------------------------------------------------------------------------------------------------- repositories


def test_a_repository_is_remembered_renamed_and_its_troubles_told(state: State) -> None:
    store = state.store
    store.save_repository(REPOSITORY)
    assert store.load_repositories([WEB, API]) == (RepositoryView(repository=REPOSITORY),)

    store.save_trouble(WEB, "404")
    renamed = replace(REPOSITORY, slug="website")
    store.save_repository(renamed)
    assert store.load_repositories([WEB]) == (RepositoryView(repository=renamed, trouble="404"),)

    store = state.restart()
    save(store, listed_at=NOW)
    found = RepositoryView(repository=renamed, listed_at=NOW, trouble="404")
    assert store.load_repositories([WEB]) == (found,), "who knows that it can be read again says so"
    store.save_trouble(WEB, "")
    assert store.load_repositories([WEB]) == (RepositoryView(repository=renamed, listed_at=NOW),)


# ------------------------------------------------------------------------------------------------------- the mirror


def test_work_comes_back_as_it_was_put_in(state: State) -> None:
    fork = a_pull_request(2, source_repository=None, title="Ü \ud800 \x00", merged_on=at(3), closed_by=None)
    save(state.store, pull_requests=[fork, PULL_REQUEST], branches=[BRANCH], deployments=[a_deployment()])
    store = state.restart()

    assert store.load_pull_requests(WEB) == (PULL_REQUEST, fork)
    assert store.load_pull_requests(WEB, [2, 9]) == (fork,)
    assert store.load_pull_requests(WEB, []) == ()
    assert store.load_pull_requests(API) == ()
    assert store.load_branches(WEB) == (BRANCH,)
    assert store.load_branches(API) == ()
    assert store.load_deployments(WEB) == (a_deployment(),)
    assert store.load_deployments(API) == ()


def test_a_record_has_the_work_that_evidence_ties_to_it(store: Store) -> None:
    deployment = a_deployment()
    save(
        store,
        pull_requests=[PULL_REQUEST, a_pull_request(2, source_branch="other", source_commit="0" * 12)],
        branches=[BRANCH, a_branch("other", target_commit="0" * 40)],
        builds={COMMIT.hash: [a_build()]},
        deployments=[deployment],
        commits={"pr:1": [COMMIT]},
        links={"pr:1": [RECORD, OTHER], "branch:" + BRANCH.name: [RECORD], "deployment:" + deployment.id: [RECORD]},
    )

    assert work_of(store) == LinkedWork(
        branches=(BRANCH,),
        pull_requests=(PULL_REQUEST,),
        commits=(COMMIT,),
        builds=(a_build(),),
        deployments=(deployment,),
        records_of={a_key(1): (RECORD, OTHER)},
    )
    assert work_of(store, OTHER) == replace(work_of(store), deployments=())
    assert work_of(store, THIRD) == LinkedWork()
    assert store.load_work(SYNC, [RECORD], [API]) == {RECORD: LinkedWork()}
    assert store.load_work(SYNC, [], [WEB]) == {}


def test_a_remembered_link_ties_like_evidence_but_in_its_sync_only(store: Store) -> None:
    save(store, pull_requests=[PULL_REQUEST], links={"pr:1": [OTHER]})
    remember(store, RECORD, 1)

    assert work_of(store).pull_requests == (PULL_REQUEST,)
    assert work_of(store, OTHER).records_of == {a_key(1): (RECORD, OTHER)}
    assert work_of(store, RECORD, ELSEWHERE) == LinkedWork()


def test_the_source_branch_of_a_linked_pull_request_comes_along_with_its_commits(store: Store) -> None:
    pull_request = a_pull_request(source_branch="plain", source_commit="0" * 12)
    branch = a_branch("plain", target_commit="0" * 40)
    save(
        store,
        pull_requests=[pull_request],
        branches=[branch],
        commits={"branch:plain": [a_commit("0" * 40)]},
        links={"pr:1": [RECORD]},
    )

    assert work_of(store).branches == (branch,)
    assert work_of(store).commits == (a_commit("0" * 40),)


def test_a_branch_of_a_fork_is_not_the_branch_of_that_name_here(store: Store) -> None:
    fork = a_pull_request(source_repository=RepositoryId("{fork}"))
    save(store, pull_requests=[fork], links={"pr:1": [RECORD]})
    assert save(store, branches=[BRANCH]) == frozenset()
    assert work_of(store).branches == ()


@pytest.mark.parametrize(
    ("state_name", "built"), [("OPEN", True), ("MERGED", True), ("DECLINED", False), ("SUPERSEDED", False)]
)
def test_builds_are_those_of_the_heads_of_open_and_merged_pull_requests(
    store: Store, state_name: str, built: bool
) -> None:
    save(store, pull_requests=[a_pull_request(state=state_name)], builds={HEAD: [a_build()]}, links={"pr:1": [RECORD]})
    assert work_of(store).builds == ((a_build(),) if built else ())


def test_lists_are_newest_first(store: Store) -> None:
    pull_requests = [a_pull_request(number, source_commit="") for number in (2, 1, 3)]
    builds = [a_build(key=str(minute), updated_on=at(minute)) for minute in (1, 3, 2)]
    deployments = [a_deployment(id=str(one), completed_on=None if one == 9 else at(one)) for one in (1, 9, 2)]
    save(
        store,
        pull_requests=[*pull_requests, PULL_REQUEST],
        builds={HEAD: builds},
        deployments=deployments,
        links={f"pr:{number}": [RECORD] for number in (1, 2, 3)} | {f"deployment:{one}": [RECORD] for one in (1, 9, 2)},
    )
    found = work_of(store)
    assert [one.key.number for one in found.pull_requests] == [3, 2, 1]
    assert [one.key for one in found.builds] == ["3", "2", "1"]
    assert [one.id for one in found.deployments] == ["9", "2", "1"]


def test_commits_are_those_of_each_object_as_last_read(store: Store) -> None:
    first, second, third = a_commit("1" * 40), a_commit("2" * 40), a_commit("3" * 40)
    links = {"pr:1": [RECORD], "pr:2": [OTHER]}
    pull_requests = [a_pull_request(1), a_pull_request(2, source_branch="other")]
    save(store, pull_requests=pull_requests, commits={"pr:1": [first, second], "pr:2": [third]}, links=links)
    assert {one.hash for one in work_of(store).commits} == {first.hash, second.hash}
    assert {one.hash for one in work_of(store, OTHER).commits} == {third.hash}

    assert save(store, commits={"pr:1": [second, third]}) == {RECORD}
    assert {one.hash for one in work_of(store).commits} == {second.hash, third.hash}
    assert save(store, commits={"pr:1": []}) == {RECORD}
    assert work_of(store).commits == ()
    assert {one.hash for one in work_of(store, OTHER).commits} == {third.hash}


# -------------------------------------------------------------------------------------------------- several syncs


def test_each_sync_has_evidence_of_its_own_for_the_same_work(store: Store) -> None:
    save(store, pull_requests=[PULL_REQUEST], links={"pr:1": [RECORD]})
    changed = store.save_work(WEB, links={ELSEWHERE: {"pr:1": [OTHER]}})
    assert changed[ELSEWHERE] == {OTHER}
    assert work_of(store).records_of == {a_key(1): (RECORD,)}
    assert work_of(store, OTHER, ELSEWHERE).records_of == {a_key(1): (OTHER,)}
    assert work_of(store, OTHER) == work_of(store, RECORD, ELSEWHERE) == LinkedWork()

    store.save_work(WEB, links={ELSEWHERE: {"pr:1": []}})
    assert work_of(store).pull_requests == (PULL_REQUEST,)
    assert work_of(store, OTHER, ELSEWHERE) == LinkedWork()


def test_what_changed_names_the_records_of_every_sync_that_has_it(store: Store) -> None:
    both = {SYNC: {"pr:1": [RECORD]}, ELSEWHERE: {"pr:1": [OTHER]}}
    assert store.save_work(WEB, pull_requests=[PULL_REQUEST], links=both) == {SYNC: {RECORD}, ELSEWHERE: {OTHER}}
    remember(store, THIRD, 1, ELSEWHERE)
    changed = store.save_work(WEB, pull_requests=[a_pull_request(title="New")], links={SYNC: {"pr:1": [RECORD]}})
    assert changed == {SYNC: {RECORD}, ELSEWHERE: {OTHER, THIRD}}


def marked(store: Store, sync: SyncName = SYNC) -> set[RecordId]:
    return {key.record for key in store.claim_records(sync, NOW, 10)}


def test_a_marking_makes_each_sync_s_own_records_dirty_with_the_change(store: Store) -> None:
    links = {SYNC: {"pr:1": [RECORD, THIRD]}, ELSEWHERE: {"pr:1": [RECORD, OTHER]}}
    besides = frozenset({(SYNC, RECORD)})
    store.save_work(
        WEB,
        pull_requests=[PULL_REQUEST],
        links=links,
        marking=Marking(syncs=(SYNC, ELSEWHERE), lane=Lane.EDIT, now=NOW, besides=besides),
    )
    assert marked(store) == {THIRD}
    assert marked(store, ELSEWHERE) == {RECORD, OTHER}


def stand(store: Store, record: RecordId, state: str, **more: Any) -> None:
    store.commit(SYNC, [RecordCommit(record=record, done=None, state=state, **more)], [], NOW)


def test_what_waited_for_a_read_is_marked_when_one_ends(store: Store) -> None:
    marking = Marking(syncs=(SYNC, ELSEWHERE), lane=Lane.EDIT, now=NOW)
    stand(store, RECORD, "pending")
    stand(store, OTHER, "pending", seen="carried out")
    # A record in a graver state may wait for a list as well.
    stand(store, THIRD, "refused")
    store.save_work(WEB, pull_requests=[PULL_REQUEST], marking=marking)
    assert marked(store) == set(), "that was no read that a mark or a compare asked for"
    store.save_work(WEB, listed_at=NOW, marking=marking)
    assert marked(store) == set(), "nothing was planned while the repository was not known"
    store.save_text(waiting_key(SYNC, WEB), "yes")
    store.save_work(WEB, listed_at=NOW, marking=marking)
    assert marked(store) == {RECORD, THIRD}


def test_a_trouble_s_beginning_and_end_may_mark_every_linked_record(store: Store) -> None:
    store.save_repository(REPOSITORY)
    stand(store, RECORD, "ok", linked=True)
    stand(store, OTHER, "ok")
    store.save_trouble(WEB, "404")
    assert marked(store) == set()
    store.save_trouble(WEB, "", Marking(syncs=(SYNC, ELSEWHERE), lane=Lane.RETRY, now=NOW))
    assert marked(store) == {RECORD}
    assert marked(store, ELSEWHERE) == set()


# --------------------------------------------------------------------------------------------------- what changed


def test_reading_the_same_again_changes_no_record(store: Store) -> None:
    everything: dict[str, Any] = {
        "pull_requests": [PULL_REQUEST],
        "branches": [BRANCH],
        "builds": {HEAD: [a_build(), a_build(key="b")]},
        "deployments": [a_deployment()],
        "commits": {"pr:1": [COMMIT], f"branch:{BRANCH.name}": []},
        "links": {"pr:1": [RECORD], "deployment:{deployment}": [OTHER], f"branch:{BRANCH.name}": [RECORD]},
        "branches_complete": True,
        "listed_at": NOW,
    }
    assert save(store, **everything) == {RECORD, OTHER}
    everything["builds"] = {HEAD: [a_build(key="b"), a_build()]}
    assert save(store, **everything) == frozenset()


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        pytest.param({"pull_requests": [a_pull_request(title="New")]}, {RECORD, THIRD}, id="a pull request"),
        pytest.param({"branches": [a_branch(ahead=False)]}, {RECORD, THIRD}, id="the source branch of a pull request"),
        pytest.param({"branches_gone": [BRANCH.name]}, {RECORD, THIRD}, id="its source branch is gone"),
        pytest.param({"branches": [a_branch("lone", ahead=False)]}, {OTHER}, id="a branch of its own"),
        pytest.param({"branches": [BRANCH], "branches_complete": True}, {OTHER}, id="a branch that a full list lacks"),
        pytest.param({"builds": {COMMIT.hash: [a_build("FAILED")]}}, {RECORD, THIRD}, id="a build, by the whole hash"),
        pytest.param({"builds": {HEAD: []}}, {RECORD, THIRD}, id="no builds any more"),
        pytest.param({"deployments": [a_deployment("FAILED")]}, {OTHER}, id="a deployment"),
        pytest.param({"commits": {"pr:1": [a_commit()]}}, {RECORD, THIRD}, id="commits"),
        pytest.param({"links": {"pr:1": [OTHER]}}, {RECORD, OTHER, THIRD}, id="evidence before and after"),
        pytest.param({"links": {"pr:1": []}}, {RECORD, THIRD}, id="evidence that is gone"),
        pytest.param({"builds": {"0" * 40: [a_build()]}}, set(), id="a build of a commit that is nobody's head"),
        pytest.param({"branches_gone": ["never there"]}, set(), id="a branch that was never there"),
        pytest.param({"pull_requests": [a_pull_request(7)]}, set(), id="a pull request without evidence"),
    ],
)
def test_exactly_the_records_whose_work_changed_are_named(
    store: Store, read: dict[str, Any], expected: set[RecordId]
) -> None:
    save(
        store,
        pull_requests=[PULL_REQUEST],
        branches=[BRANCH, a_branch("lone")],
        builds={HEAD: [a_build()]},
        deployments=[a_deployment()],
        links={"pr:1": [RECORD], "branch:lone": [OTHER], "deployment:{deployment}": [OTHER]},
    )
    remember(store, THIRD, 1, ELSEWHERE)
    assert save(store, **read) == expected
    assert save(store, **read) == frozenset()


def test_a_branch_that_is_gone_takes_its_evidence_and_commits_along(store: Store) -> None:
    save(store, branches=[a_branch("lone")], commits={"branch:lone": [a_commit()]}, links={"branch:lone": [RECORD]})
    save(store, branches_gone=["lone"])
    assert work_of(store) == LinkedWork()
    assert save(store, branches=[a_branch("lone")]) == frozenset()
    assert work_of(store) == LinkedWork()


def test_work_without_new_evidence_keeps_what_it_has(store: Store) -> None:
    save(store, pull_requests=[PULL_REQUEST], links={"pr:1": [RECORD]})
    assert save(store, pull_requests=[a_pull_request(title="New")], links={"pr:2": [OTHER]}) == {RECORD, OTHER}
    assert work_of(store).records_of == {a_key(1): (RECORD,)}


def test_a_link_to_no_known_kind_of_work_is_refused_and_nothing_is_saved(store: Store) -> None:
    with pytest.raises(ValueError, match="names no work"):
        save(store, pull_requests=[PULL_REQUEST], links={"issue:1": [RECORD]})
    assert store.load_pull_requests(WEB) == ()
