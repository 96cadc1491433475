"""A large world in step: every record has a branch and a pull request, and the state knows all of it already."""

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from urllib.parse import quote

from bench import pages
from syncd import ports, wiring
from syncd.airtable import side as airtable_side
from syncd.bitbucket import client as bitbucket_client
from syncd.bitbucket import side as bitbucket_side
from syncd.commands import world as worlds
from syncd.core import link
from syncd.flow import collect
from syncd.flow.context import Context
from syncd.model.change import AgreedKey, Agreement, NewLink
from syncd.model.ids import AccountId, PullRequestKey, RecordId, RepositoryId
from syncd.model.schema import Repository
from syncd.model.value import Unknown
from syncd.model.work import PullRequest
from syncd.sandbox.wire import Request
from syncd.store import pause, sqlite
from tests.flow.house import AIRTABLE_URL, BITBUCKET_URL, START, Lab

NOW = START + timedelta(days=1)
# The largest number for which the repair time is stated (reference/reliability.md "T without webhooks").
REPOSITORIES = 50
# Most pull requests of a project are merged; each open one costs a read of its builds.
OPEN_EVERY = 50
ACCOUNT = AccountId("{d827cf70-60e8-4433-8f54-fbaf895589f9}")
_RECORD = re.compile(r"rec(\d{14})")
_DETAILS = "Sign in with e-mail and password; after five failures wait a minute. " * 3


def open_world(folder: Path, *, building: bool = False) -> Context:
    """
    The sync of `config/`, over `REPOSITORIES` repositories, with the state and the answers in `folder`.

    Args:
        building: the files are not there yet.
    """
    with tempfile.TemporaryDirectory() as lab_folder:
        lab = Lab(Path(lab_folder), hooks=False)
        rules = lab.house.rules
    (sample,) = rules.syncs.values()
    sync = replace(sample, repositories=tuple(_repository(number) for number in range(REPOSITORIES)), view=None)
    lab.clock.at = NOW
    gate, adapter = pages.FreeGate(), pages.Pages(folder)
    context = Context(
        rules=replace(rules, syncs={sync.name: sync}),
        sync=sync,
        store=sqlite.SqliteStore.open(folder / "state.db"),
        catalogue=airtable_side.open_side(
            base_url=AIRTABLE_URL,
            base=sync.base,
            token="bench",
            gate=gate,
            clock=lab.clock,
            user_agent=wiring.USER_AGENT,
            adapter=adapter,
        ),
        changelog=bitbucket_side.open_side(
            base_url=BITBUCKET_URL,
            workspace="acme",
            credential=bitbucket_client.Credential(token="bench"),
            gate=gate,
            clock=lab.clock,
            user_agent=wiring.USER_AGENT,
            adapter=adapter,
        ),
        clock=lab.clock,
        ids=lab.outside.ids,
        switch=pause.PauseFiles(folder / "pause"),
    )
    if building:
        for repository in context.sync.repositories:
            context.store.save_repository(repository)
    return context


def build(folder: Path, records: int) -> None:
    """Write the answers of both services and a state that agrees with them."""
    context = open_world(folder, building=True)
    ids = [RecordId(f"rec{number:014d}") for number in range(records)]
    pages.write_list(pages.file_of(folder, "records"), "records", _rows(context, ids), '"offset": "{}"')
    for number, repository in enumerate(context.sync.repositories):
        own = ids[number::REPOSITORIES]
        _write_repository(folder, repository, own)
        _fill_mirror(context, repository, own)
    _fill_records(context)
    context.store.close()


def _repository(number: int) -> Repository:
    slug = f"project-{number}"
    return Repository(
        id=RepositoryId(f"{{00000000-0000-4000-8000-{number:012d}}}"),
        workspace="acme",
        slug=slug,
        name=slug,
        main_branch="main",
        url=f"https://bitbucket.org/acme/{slug}",
    )


def is_open(name: str) -> bool:
    """Whether the pull request of the record or branch of this name is open."""
    return int(_RECORD.findall(name)[0]) % OPEN_EVERY == 0


def _branch_name(record: RecordId) -> str:
    return f"feature/{record}-a-feature-of-some-name"


def _head(record: RecordId) -> str:
    return f"{int(record[3:]) * 0x9E3779B97F4A7C15 % (1 << 160):040x}"


def _rows(context: Context, ids: Sequence[RecordId]) -> Iterator[str]:
    """Each record as Airtable's listing shows it."""
    named = {field.name: field.id for field in context.sync.table_fields.values()}
    for place, record in enumerate(ids):
        number = place // REPOSITORIES + 1
        opened = is_open(record)
        cells = {
            "Name": f"A feature of some name, number {place}",
            "Status": "In Review" if opened else "Merged",
            "Details": _DETAILS + str(place),
            "Repo": "Web",
            "PR URL": f"https://bitbucket.org/acme/project-{place % REPOSITORIES}/pull-requests/{number}",
            "PR state": "Open" if opened else "Merged",
            "Last commit": _head(record)[:12],
            "Build": "SUCCESSFUL",
            "Confidence": 40,
            "Sync run": "01a19b7e-7b40-7c2d-bed4-d57b1e2feb89",
            "Sync state": "ok",
        }
        if not opened:
            cells["Merged at"] = "2026-10-01T08:00:00.000Z"
        fields = {named[name]: cell for name, cell in cells.items()}
        yield json.dumps({"id": record, "createdTime": "2026-09-01T08:00:00.000Z", "fields": fields})


def _write_repository(folder: Path, repository: Repository, own: Sequence[RecordId]) -> None:
    """The repository and its branches, in the form that the emulated service gives one of its own."""
    body = {
        "uuid": repository.id,
        "full_name": f"acme/{repository.slug}",
        "name": repository.name,
        "mainbranch": {"name": "main"},
        "links": {"html": {"href": repository.url}},
    }
    pages.file_of(folder, repository.id).write_text(json.dumps(body) + "\n")
    template, name, head = _sample_branch()
    rows = (template.replace(name, _branch_name(one)).replace(head, _head(one)) for one in own)
    path = f"{repository.id}/refs/branches"
    url = f"{BITBUCKET_URL}/repositories/acme/{quote(repository.id)}/refs/branches"
    pages.write_list(pages.file_of(folder, path), "values", rows, f'"next": "{url}?page={{}}"')
    for one in own:
        if is_open(one):
            _write_builds(folder, repository, _head(one))


@cache
def _sample_branch() -> tuple[str, str, str]:
    """A branch's JSON with the name and the hash in it."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder), hooks=False)
        signed = {"authorization": f"Bearer {worlds.BITBUCKET_TOKEN}", "host": "bitbucket.test"}
        asked = Request(method="GET", path="/2.0/repositories/acme/api/refs/branches", headers=signed)
        listed = json.loads(lab.bitbucket.handle(asked, lab.clock.now()).body)["values"]
    sample = next(one for one in listed if one["name"].startswith("feature/"))
    return json.dumps(sample), sample["name"], sample["target"]["hash"]


def _write_builds(folder: Path, repository: Repository, head: str) -> None:
    build = {
        "key": "ci",
        "name": "ci",
        "state": "SUCCESSFUL",
        "url": "https://ci.example.com/1",
        "updated_on": "2026-10-01T08:00:00+00:00",
        "commit": {"hash": head, "links": {"self": {"href": f"{BITBUCKET_URL}/repositories/acme/x/commit/{head}"}}},
    }
    path = f"{repository.id}/commit/{head[:12]}/statuses"
    pages.write_list(pages.file_of(folder, path), "values", [json.dumps(build)], "")


def _fill_mirror(context: Context, repository: Repository, own: Sequence[RecordId]) -> None:
    """What the last compare left of Bitbucket: read by the very clients, so that it is equal."""
    changelog = context.changelog
    branches = [replace(one, ahead=True) for one in changelog.fetch_branches(repository)]
    pull_requests = [_pull_request(repository, number, one) for number, one in enumerate(own, 1)]
    builds = {
        one.source_commit: changelog.fetch_builds(repository, one.source_commit)
        for one in pull_requests
        if one.state == "OPEN"
    }
    links = {f"branch:{branch.name}": link.of_branch(branch) for branch in branches}
    links |= {f"pr:{one.key.number}": tuple(link.evidence(one, context.sync)) for one in pull_requests}
    context.store.save_work(
        repository.id,
        pull_requests=pull_requests,
        branches=branches,
        builds=builds,
        links={context.name: links},
        listed_at=NOW - timedelta(minutes=15),
        branches_complete=True,
    )


def _pull_request(repository: Repository, number: int, record: RecordId) -> PullRequest:
    opened = is_open(record)
    at = NOW - timedelta(days=30)
    return PullRequest(
        key=PullRequestKey(repository.id, number),
        url=f"{repository.url}/pull-requests/{number}",
        title=f"[Airtable: {record}] A feature of some name",
        description=_DETAILS,
        state="OPEN" if opened else "MERGED",
        draft=False,
        queued=False,
        author=ACCOUNT,
        reviewers=(ACCOUNT,),
        approved_by=(),
        changes_requested_by=(),
        source_repository=repository.id,
        source_branch=_branch_name(record),
        destination_branch="main",
        source_commit=_head(record)[:12],
        merge_commit="" if opened else _head(record)[12:24],
        comment_count=2,
        open_tasks=0,
        created_on=at,
        updated_on=at,
        merged_on=None if opened else at,
    )


def _fill_records(context: Context) -> None:
    """What the last pass left of each record."""
    sync = context.sync
    agreed = [rule.field.id for rule in sync.fields]
    commits = []
    for place, record in enumerate(context.catalogue.fetch_listing(sync.table, sync.view, context.fields())):
        key = PullRequestKey(sync.repositories[place % REPOSITORIES].id, place // REPOSITORIES + 1)
        commits.append(
            ports.RecordCommit(
                record=record.id,
                done=None,
                state="ok",
                status="Merged",
                linked=True,
                seen=collect.fingerprint(context, record),
                agreements=tuple(
                    Agreement(key=AgreedKey(field), value=cell)
                    for field in agreed
                    if not isinstance(cell := record.cells[field], Unknown)
                ),
                links=(NewLink(record=record.id, pull_request=key, evidence="title"),),
            )
        )
    context.store.commit(context.name, commits, [], NOW - timedelta(minutes=15))
