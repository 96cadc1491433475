"""`syncd resolve`: decide a conflict."""

from pathlib import Path

import click

from syncd.commands import options, remote, render


@click.command()
@click.argument("record")
@click.argument("field")
@click.option(
    "--winner", type=click.Choice(["airtable", "bitbucket"]), required=True, help="Whose value both sides get."
)
@options.sync
@options.spec
@options.as_json
def command(
    config: Path, environment: str, record: str, field: str, winner: str, sync: str | None, as_json: bool
) -> None:
    """Decide a conflict of a RECORD's FIELD, named as in `syncd conflicts`.

    The value that loses stays in the journal.

    \b
    Example:
      syncd resolve recAAAAAAAAAAAAAA Reviewers --winner airtable
    """
    with remote.opened(config, environment) as control:
        answer = control.resolve(remote.only_sync(control, sync), record, field, winner)
    done = f"{field} of {record}: the value of {winner} stands; it is written with the next run.\n"
    click.echo(render.as_json(answer) if as_json else render.plain(done), nl=False)
