"""`syncd demo`: the main job, told as it happens, by the real daemon against both emulated services."""

import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from syncd.commands import escape
from syncd.commands.stage import SYNC, Stage

NAMES = (
    "Export as CSV",
    "Two-factor login",
    "Search by tag",
    "Offline mode",
    "Invoice reminders",
    "Keyboard shortcuts",
    "Usage statistics",
)
REPOSITORIES = {"Web": "web", "API": "api"}


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="Changes names, order and faults.")
@click.option("--keep", is_flag=True, help="Leave everything running at the end, until Ctrl-C.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where spec, state and log go; default: a new one.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("config"),
    show_default=True,
    help="The sample spec.",
)
def command(seed: int, keep: bool, folder: Path | None, config: Path) -> int:
    """Run the main job against a local sandbox and tell what happens.

    Both services are emulated on loopback, the daemon is the real one, in a process of its own. Every line that tells
    of a change carries the run and the number of its journal row.

    \b
    Example:
      syncd demo --seed 7
    """
    from syncd import wiring

    # The daemon is a process of its own and would outlive a demo that is told to end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    place = folder or Path(tempfile.mkdtemp(prefix="syncd-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    stage = Stage(place, config, seed, wiring.SystemClock().now)
    for service in stage.services:
        service.start()
    try:
        Story(stage).tell()
        if keep:
            _wait(stage)
    finally:
        status = stage.end()
        for service in stage.services:
            service.stop()
    click.echo(f"\nThe daemon ended with exit status {status}. Spec, state and log are in {place}")
    if folder is None and not keep and status == 0:
        shutil.rmtree(place)
        click.echo("(removed; --folder DIR keeps them)")
    return status


def _wait(stage: Stage) -> None:
    click.echo("\nEverything goes on running. In another terminal:")
    for name, secret in stage.environment.items():
        click.echo(f"  export {name}={secret}")
    click.echo(f"  syncd status --config {stage.config}")
    click.echo(f"  curl http://{stage.admin}/status")
    try:
        # In the same try: whoever reads the line may press it at once.
        click.echo("Ctrl-C ends it.")
        stage.wait_forever()
    except KeyboardInterrupt:
        return


class Story:
    """The steps in their order, and the lines they print."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._number = 0
        self._rows_told = 0
        self._told: list[int] = []
        self.name = stage.random.choice(NAMES)
        self.repo = stage.random.choice(sorted(REPOSITORIES))
        self.repository = REPOSITORIES[self.repo]
        self.record = ""
        self.pull_request = 0

    def tell(self) -> None:
        """All of it."""
        stage = self.stage
        self._title("The daemon starts")
        self._say(f"ready after {stage.start():.1f} s; status: http://{stage.admin}/status")
        self._adopt()
        self._ready()
        self._commit()
        self._open()
        # The seed decides in which order things go wrong before the end.
        troubles: list[Callable[[], None]] = [self._wrong_side, self._lost_delivery, self._killed]
        stage.random.shuffle(troubles)
        for trouble in troubles:
            trouble()
        self._merge()
        self._end()

    # -------------------------------------------------------------------------------------------------- steps

    def _adopt(self) -> None:
        self._title("Adoption: a plan before any write")
        before = len(self._writes())
        (plan,) = self.stage.control.plan(SYNC)["plans"]
        totals = plan["totals"]
        self._say(
            f"plan {plan['digest']}: {totals['writes']} writes on {totals['records']} records; "
            f"requests that changed something so far: {len(self._writes()) - before}"
        )
        for record in plan["records"][:2]:
            for change in record["changes"][:3]:
                self._say(
                    f"  {record['name']}: {change['what']} {_shown(change['before'])} → {_shown(change['after'])}"
                )
        self._say("  …")
        answer = self.stage.control.apply(SYNC, plan["digest"], [])
        self._say(f"syncd apply {plan['digest']}: {answer['runs'][0]['applied']} changes applied")
        self._settle()
        self._tell_rows(most=4)

    def _ready(self) -> None:
        self._title(f'A product manager adds "{self.name}" and moves it to Ready')
        created = self.stage.in_airtable(
            "create",
            table="Features",
            user="ada@acme.dev",
            cells={"Name": self.name, "Status": "Ready", "Repo": self.repo, "Details": f"{self.name}, as discussed."},
        )
        self.record = created["id"]
        took = self.stage.wait_for(lambda: bool(self._branch()), "the branch is there")
        self._say(f"after {took:.1f} s the branch {self._branch()} is in acme/{self.repository}")
        self._tell_rows()

    def _commit(self) -> None:
        self._title("A developer commits")
        self.stage.in_bitbucket(
            "push",
            repository=self.repository,
            branch=self._branch(),
            commits=[f"Start {self.name.lower()}\n"],
            user="grace",
        )
        took = self.stage.wait_for(lambda: self._found() is not None, "the draft pull request is there")
        found = self._found()
        assert found is not None  # waited for above
        self.pull_request = found["id"]
        self._say(f'after {took:.1f} s there is draft pull request #{self.pull_request}: "{found["title"]}"')
        self._until("Status", "In Progress")

    def _open(self) -> None:
        self._title("She opens it for review, and a colleague approves")
        self._work("edit_pull_request", draft=False, user="grace")
        self._until("Status", "In Review")
        self._work("approve", user="ada")
        self._until("Confidence", 30)

    def _wrong_side(self) -> None:
        self._title("A colleague changes the title in Bitbucket, which Airtable owns")
        self._work("edit_pull_request", title="better title", user="grace")
        took = self.stage.wait_for(lambda: self.name in str(self._pull_request()["title"]), "the title is put right")
        self._say(f'after {took:.1f} s it is "{self._pull_request()["title"]}" again')
        self._tell_rows()

    def _lost_delivery(self) -> None:
        self._title("A delivery is lost: Bitbucket believes that it arrived")
        self.stage.in_bitbucket("set_fault", kind="drop_delivery", count=None)
        build = self.stage.random.choice(("SUCCESSFUL", "FAILED"))
        head = self._pull_request()["source_commit"]
        self.stage.in_bitbucket(
            "set_status", repository=self.repository, commit=head, key="ci", state=build, refname=self._branch()
        )
        self._say(f"the build says {build}; nobody tells syncd. A full compare is asked for: POST /compare")
        self.stage.control.compare(SYNC)
        self._until("Build", build)
        self.stage.in_bitbucket("clear_faults")

    def _killed(self) -> None:
        self._title("The daemon is killed (kill -9) while an edit is on its way")
        details = f"{self.name}, with more detail."
        self.stage.in_airtable("edit", record=self.record, cells={"Details": details}, user="ada@acme.dev")
        self.stage.kill()
        self._say(f"killed; back and ready after {self.stage.start():.1f} s")
        took = self.stage.wait_for(lambda: self._pull_request()["description"] == details, "the description follows")
        self._say(f"after {took:.1f} s the pull request's description holds the edit")
        self._settle()
        self._tell_rows()
        found = [one for one in self._pull_requests() if self.record in one["title"]]
        branches = [name for name in self._branches() if self.record in name]
        self._say(f"nothing was made twice: {len(branches)} branch, {len(found)} pull request for this record")

    def _merge(self) -> None:
        self._title("It is merged")
        self._work("merge", user="ada")
        self._until("Status", "Merged")
        self._settle()
        self._tell_rows()
        cells = self.stage.cells(self.record)
        for field in ("Status", "PR state", "Merged at", "Last commit", "PR URL"):
            self._say(f"  {field:<12} {cells.get(field)}")

    def _end(self) -> None:
        self._title("At the end")
        self._settle()
        (plan,) = self.stage.control.plan(SYNC)["plans"]
        totals = plan["totals"]
        self._say(f"a new plan holds {totals['writes']} writes and {totals['actions']} actions")
        rows = self._journal(0)
        held = {row["sequence"] for row in rows}
        self._say(
            f"`syncd journal` holds {len(rows)} rows; of the {len(self._told)} told above "
            f"{len(held.intersection(self._told))} are among them"
        )
        status = self.stage.control.status()
        self._say(f"state: {status['state']}{''.join(f'; {reason}' for reason in status['reasons'])}")

    # -------------------------------------------------------------------------------------------------- looking

    def _until(self, field: str, wanted: Any) -> None:
        took = self.stage.wait_for(
            lambda: self.stage.cells(self.record).get(field) == wanted, f"{field} of {self.name} is {wanted}"
        )
        self._say(f"after {took:.1f} s {field} is {wanted}")
        self._settle()
        self._tell_rows()

    def _settle(self) -> None:
        def quiet() -> bool:
            queue = self.stage.control.status()["queue"]
            return not queue["inbox"] and not queue["dirty"]

        self.stage.wait_for(quiet, "the queue is empty")

    def _branches(self) -> dict[str, Any]:
        found: dict[str, Any] = self.stage.in_bitbucket("branches", repository=self.repository)
        return found

    def _branch(self) -> str:
        return next((name for name in self._branches() if self.record in name), "")

    def _pull_requests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.stage.in_bitbucket("pull_requests", repository=self.repository)
        return found

    def _found(self) -> dict[str, Any] | None:
        return next((one for one in self._pull_requests() if self.record in one["title"]), None)

    def _pull_request(self) -> dict[str, Any]:
        found: dict[str, Any] = self.stage.in_bitbucket(
            "pull_request", repository=self.repository, id=self.pull_request
        )
        return found

    def _work(self, verb: str, **arguments: Any) -> None:
        self.stage.in_bitbucket(verb, repository=self.repository, id=self.pull_request, **arguments)

    def _writes(self) -> list[Any]:
        return [
            entry
            for machine in (self.stage.airtable, self.stage.bitbucket)
            for entry in machine.inner.log
            if entry.changes and entry.method != "CONTROL" and "hooks" not in entry.path
        ]

    # -------------------------------------------------------------------------------------------------- telling

    def _title(self, text: str) -> None:
        self._number += 1
        click.echo(f"\n{self._number}. {text}")

    def _say(self, text: str) -> None:
        click.echo(f"   {text}")

    def _journal(self, after: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while found := self.stage.control.journal(SYNC, None, None, after, 1000)["rows"]:
            rows += found
            after = rows[-1]["sequence"]
        return rows

    def _tell_rows(self, most: int = 12) -> None:
        """The journal rows since last time, each with its run and number."""
        rows = self._journal(self._rows_told)
        for row in rows[:most]:
            self._told.append(row["sequence"])
            change = f"{_shown(row['before'])} → {_shown(row['after'])}"
            self._say(f"run {row['run']} row {row['sequence']:>3}  {row['side']:<9} {row['place']}: {change}")
        if len(rows) > most:
            self._say(f"… and {len(rows) - most} more rows, up to {rows[-1]['sequence']}")
        if rows:
            self._rows_told = rows[-1]["sequence"]


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    text = escape.text(value)
    return f'"{text}"' if len(text) <= 50 else f'"{text[:49]}…"'
