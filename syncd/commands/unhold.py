"""`syncd unhold`: the end of a hold."""

from pathlib import Path

import click

from syncd.commands import options, remote, render


@click.command()
@click.argument("record")
@click.argument("field", required=False)
@options.sync
@options.spec
@options.as_json
def command(config: Path, environment: str, record: str, field: str | None, sync: str | None, as_json: bool) -> None:
    """Release the hold on a RECORD, or on one FIELD of it.

    \b
    Example:
      syncd unhold recAAAAAAAAAAAAAA Details
    """
    with remote.opened(config, environment) as control:
        answer = control.unhold(remote.only_sync(control, sync), record, field)
    done = f"{field + ' of ' if field else ''}{record} is no longer held.\n"
    click.echo(render.as_json(answer) if as_json else render.plain(done), nl=False)
