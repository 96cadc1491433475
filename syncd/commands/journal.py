"""`syncd journal`: what was written?"""

from pathlib import Path

import click

from syncd.commands import options, remote, render


@click.command()
@options.sync
@click.option("--record", metavar="ID", help="Only this record.")
@click.option("--run", "run_id", metavar="ID", help="Only this run.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Rows after this number; 0: the newest.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many rows.")
@options.spec
@options.as_json
def command(
    config: Path,
    environment: str,
    sync: str | None,
    record: str | None,
    run_id: str | None,
    after: int,
    limit: int,
    as_json: bool,
) -> None:
    """List what was written, with the values before.

    \b
    Example:
      syncd journal --record recAAAAAAAAAAAAAA
    """
    running = remote.running(config, environment)
    if running is not None:
        answer = running.journal(sync, record, run_id, after, limit)
    else:
        from syncd import wiring
        from syncd.flow import control

        with wiring.open_journal(config, environment) as store:
            answer = control.read_journal(store, sync, record, run_id, after, limit)
    click.echo(render.as_json(answer) if as_json else render.journal(answer), nl=False)
