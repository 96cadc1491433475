"""`syncd simulate`: a spec against the faults of both services, on virtual time, without touching anything real."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncd.commands import options, render

if TYPE_CHECKING:
    from syncd.simulate.campaign import Tally

_SHOWN = 3


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

    The whole daemon runs on virtual time against both services, emulated: people edit, answers are lost, deliveries come
    late, twice or never, the clock jumps, the process dies. Whatever breaks a promise of syncd is shrunk to the few events
    that matter and told as a timeline. No secret of yours is read.

    \b
    Exit codes: 0 every promise was kept; 1 one was broken.

    \b
    Example:
      syncd simulate --config config --scenarios 100 --seed 7
    """
    from syncd import log
    from syncd.simulate import campaign, scenario, setting

    log.silence()
    with tempfile.TemporaryDirectory(prefix="syncd-simulate-") as folder:
        home = setting.Setting(config, Path(folder), environment)
        tally = campaign.Tally()
        if replay is not None:
            campaign.one(home, scenario.load(replay.read_text(encoding="utf-8")), tally)
        else:
            with _progress(scenarios) as advance:
                tally = campaign.run(home, seed, scenarios, advance)
        if as_json:
            click.echo(render.as_json(_as_json(tally)), nl=False)
        else:
            _tell(home, tally, keep, coverage=coverage)
    return 1 if tally.failed else 0


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], bool]]:
    """A bar on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda _: True
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("scenarios", total=total)

        def advance(done: int) -> bool:
            bar.update(task, completed=done)
            return True

        yield advance


def _tell(home: object, tally: "Tally", keep: Path | None, *, coverage: bool) -> None:
    from syncd.simulate import campaign, play, scenario, setting, tell

    assert isinstance(home, setting.Setting)
    for index, (failed, violations) in enumerate(tally.failed[:_SHOWN]):
        invariant = violations[0].invariant
        small = campaign.smallest(home, failed, invariant)
        again = play.play(home, small, keep=True)
        assert again.case is not None
        click.echo(f"\n{index + 1}. A promise was broken; the smallest case: {tell.summary(small)}\n")
        click.echo(tell.story(again.case, again.violations))
        click.echo(f"\n{tell.verdict(again.violations)}")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            file = keep / f"{invariant}-{failed.seed}.json"
            file.write_text(scenario.dump(small), encoding="utf-8")
            click.echo(f"kept in {file}; again: syncd simulate --replay {file}")
    if tally.failed:
        click.echo(f"\n{len(tally.failed)} of {tally.played} scenarios broke a promise: {_counted(tally)}")
    else:
        click.echo(
            f"{tally.played} scenarios, {sum(tally.requests)} requests, {sum(tally.minutes) / 60:.0f} simulated hours, "
            f"{sum(tally.hits.values())} faults, {tally.deaths} restarts: every promise was kept."
        )
    if coverage:
        click.echo(f"Faults that never struck: {', '.join(tally.never_struck) or 'none'}")
        click.echo(f"Branches never taken: {', '.join(tally.never_seen) or 'none'}")


def _counted(tally: "Tally") -> str:
    return ", ".join(f"{name} {times}×" for name, times in sorted(tally.broken.items()))


def _as_json(tally: "Tally") -> dict[str, object]:
    from syncd.simulate import tell

    return {
        "scenarios": tally.played,
        "requests_median": tally.median_requests,
        "simulated_minutes": round(sum(tally.minutes)),
        "faults": dict(sorted(tally.hits.items())),
        "never_struck": tally.never_struck,
        "never_seen": tally.never_seen,
        "broken": dict(sorted(tally.broken.items())),
        "failed": [
            {"seed": failed.seed, "violations": tell.verdict(violations).splitlines()}
            for failed, violations in tally.failed
        ],
    }
