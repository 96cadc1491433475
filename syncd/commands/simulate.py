"""`syncd simulate`: a spec against the faults of both services, on virtual time, without touching anything real."""

import shlex
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from syncd import errors
from syncd.commands import escape, options, render

if TYPE_CHECKING:
    from syncd.simulate.campaign import Tally
    from syncd.simulate.case import Violation
    from syncd.simulate.scenario import Scenario
    from syncd.simulate.setting import Setting

_SHOWN = 3
_BROKEN = 1
_OUR_FAULT = 3


@click.command()
@click.option("--scenarios", type=click.IntRange(1), default=300, show_default=True, help="How many to play.")
@click.option("--seed", type=int, default=1, show_default=True, help="The first one; each takes the next number.")
@click.option(
    "--replay",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Play one scenario from its JSON file instead.",
)
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Write shrunk failures here, as JSON.")
@click.option("--coverage", is_flag=True, help="Also list faults that never struck and branches never taken.")
@options.spec
@options.as_json
def command(
    scenarios: int,
    seed: int,
    replay: Path | None,
    keep: Path | None,
    coverage: bool,
    config: Path,
    environment: str,
    as_json: bool,
) -> int:
    """Try the spec against faults, in a simulated world; nothing real is touched.

    The whole daemon runs on virtual time against both services, emulated, with tables and repositories that fit the spec:
    people edit, answers are lost, deliveries come late, twice or never, the clock jumps, the process dies. Whatever breaks
    a promise of syncd is shrunk to the few events that matter and told as a timeline. No secret of yours is read.

    Promises about threads, several processes, real disks and sockets have tests of their own and are not tried here.

    \b
    Exit codes: 0 every promise was kept; 1 one was broken;
    2 the spec, an option or a replayed file is wrong; 3 the simulation itself failed.

    \b
    Example:
      syncd simulate --config config --scenarios 100 --seed 7
    """
    from syncd import log
    from syncd.simulate import campaign, generate, setting

    log.silence()
    home = setting.Setting(config, environment)
    again = f"syncd simulate --config {shlex.quote(str(config))}"
    again += f" --environment {shlex.quote(environment)}" if environment else ""
    tally = campaign.Tally()
    if replay is not None:
        given = _replayed(home, replay)
        lives: list[Life] = [(f"--replay {shlex.quote(str(replay))}", lambda: given)]
    else:
        lives = [
            (f"--scenarios 1 --seed {number}", partial(generate.scenario, home, number))
            for number in range(seed, seed + scenarios)
        ]
    try:
        failures = _play(home, lives, tally)
        told = [_smaller(home, failure, again, keep) for failure in failures[:_SHOWN]] if not as_json or keep else []
    except _Failed as failed:
        click.echo(_our_fault(failed, again), err=True)
        return _OUR_FAULT
    if as_json:
        click.echo(render.as_json(_as_json(tally, failures, told, again)), nl=False)
    else:
        for index, one in enumerate(told):
            click.echo(f"\n{index + 1}. {one['story']}")
        click.echo(_verdict(tally), nl=False)
        if coverage:
            click.echo(f"Faults that never struck: {', '.join(tally.never_struck) or 'none'}")
            click.echo(f"Branches never taken: {', '.join(tally.never_seen) or 'none'}")
    return _BROKEN if tally.failed else 0


class _Failed(Exception):
    """The simulation itself failed, in a scenario that is named by the options that play it again."""


@contextmanager
def _ours(named: str) -> Iterator[None]:
    """Tell a mistake of ours apart from a broken promise and from an error of the spec."""
    try:
        yield
    except errors.SyncdError:
        raise
    except Exception as error:
        # The top of the command.
        raise _Failed(named) from error


# The options that play it again, and what to play; once it was played also what it broke.
Life = tuple[str, Callable[[], "Scenario"]]
Failure = tuple[str, "Scenario", "list[Violation]"]


def _play(home: "Setting", lives: list[Life], tally: "Tally") -> list[Failure]:
    """Play all; the failures, those that break a promise which no earlier one breaks first."""
    from syncd.simulate import campaign

    failures: list[Failure] = []
    with _progress("scenarios", len(lives)) as advance:
        for named, make in lives:
            before = len(tally.failed)
            with _ours(named):
                campaign.one(home, make(), tally)
            failures += [(named, *found) for found in tally.failed[before:]]
            advance()
    seen: set[str] = set()
    first: list[Failure] = []
    rest: list[Failure] = []
    for failure in failures:
        broken = {one.invariant for one in failure[2]}
        (rest if broken <= seen else first).append(failure)
        seen |= broken
    return [*first, *rest]


def _replayed(home: "Setting", file: Path) -> "Scenario":
    from syncd.simulate import scenario

    try:
        found = scenario.load(file.read_text(encoding="utf-8"))
        home.require(found)
    except (ValueError, OSError) as error:
        raise errors.UsageError(
            f"{file} is no scenario that can be played with this spec: {error}",
            next_step="--replay takes a file that `syncd simulate --keep FOLDER` wrote for the same spec",
        ) from error
    return found


def _smaller(home: "Setting", failure: Failure, again: str, keep: Path | None) -> dict[str, str]:
    """One failure, shrunk and told."""
    from syncd.simulate import campaign, play, scenario, shrink, tell

    named, failed, violations = failure
    invariant = violations[0].invariant
    with _ours(named), _progress("making the failure smaller", shrink.RUNS_MAX) as advance:
        small = campaign.smallest(home, failed, invariant, each=advance)
        played = play.play(home, small, keep=True)
    assert played.case is not None
    width = shutil.get_terminal_size((tell.WIDTH, 24)).columns if sys.stdout.isatty() else tell.WIDTH
    lines = [
        f"A promise was broken: {tell.PROMISES.get(invariant, invariant)} ({invariant}).",
        f"The smallest case: {tell.summary(small)}. Minutes and seconds:",
        "",
        *tell.story(played.case, played.violations, width=width).splitlines(),
        "",
        *tell.verdict(played.violations, played.case).splitlines(),
    ]
    told = {}
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        file = keep / f"{invariant}-{failed.seed}.json"
        file.write_text(scenario.dump(small), encoding="utf-8")
        told["kept"] = str(file)
        lines.append(f"again, as told: {again} --replay {shlex.quote(str(file))}")
    lines.append(f"again, as found: {again} {named}")
    return told | {"story": "\n".join(escape.text(line) for line in lines)}


def _verdict(tally: "Tally") -> str:
    if tally.failed:
        counted = ", ".join(f"{name} {times}×" for name, times in sorted(tally.broken.items()))
        return f"\n{len(tally.failed)} of {_scenarios(tally.played)} broke a promise: {counted}\n"
    minutes = round(sum(tally.minutes))
    lived = f"{minutes} simulated minutes" if minutes < 600 else f"{minutes / 60:.0f} simulated hours"
    return (
        f"{_scenarios(tally.played)}, {sum(tally.requests)} requests, {lived}, "
        f"{sum(tally.hits.values())} faults, {tally.deaths} restarts: every promise was kept.\n"
    )


def _scenarios(number: int) -> str:
    return f"{number} scenario{'' if number == 1 else 's'}"


def _our_fault(failed: _Failed, again: str) -> str:
    error = failed.__cause__
    assert error is not None
    frames = traceback.extract_tb(error.__traceback__)
    where = f", in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return (
        f"error: the simulation itself failed: {type(error).__name__}: {escape.text(error)}{where}. "
        "This says nothing about your spec.\n"
        f"next: report it with your spec and this command: {again} {failed}"
    )


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[], object]]:
    """A bar on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def _as_json(tally: "Tally", failures: list[Failure], told: list[dict[str, str]], again: str) -> dict[str, Any]:
    from syncd.simulate import tell

    kept = {named: one.get("kept") for (named, _, _), one in zip(failures, told, strict=False)}
    return {
        "scenarios": tally.played,
        "requests_median": tally.median_requests,
        "simulated_minutes": round(sum(tally.minutes)),
        "restarts": tally.deaths,
        "faults": dict(sorted(tally.hits.items())),
        "never_struck": tally.never_struck,
        "never_seen": tally.never_seen,
        "broken": dict(sorted(tally.broken.items())),
        "failed": [
            {
                "seed": failed.seed,
                "violations": tell.verdict(violations).splitlines(),
                "again": f"{again} {named}",
                "kept": kept.get(named),
            }
            for named, failed, violations in failures
        ],
    }
