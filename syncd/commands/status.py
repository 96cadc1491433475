"""`syncd status`: how are the syncs?"""

from pathlib import Path

import click

from syncd.commands import options, remote, render


@click.command()
@options.spec
@options.as_json
def command(config: Path, environment: str, as_json: bool) -> None:
    """Show how the syncs are: of the running daemon, or of the state when none runs.

    OPERATIONS.md says what each reason means and what to type.

    \b
    Example:
      syncd status --json
    """
    with remote.opened(config, environment) as control:
        answer = control.status()
    click.echo(render.as_json(answer) if as_json else render.status(answer), nl=False)
