"""`syncd conflicts`: what must a person decide?"""

from pathlib import Path

import click

from syncd.commands import options, remote, render


@click.command()
@options.sync
@options.spec
@options.as_json
def command(config: Path, environment: str, sync: str | None, as_json: bool) -> None:
    """List what both sides changed and a person decides.

    Nothing is written to such a field until `syncd resolve`, or until both sides are equal again.

    \b
    Example:
      syncd conflicts --sync features
    """
    with remote.opened(config, environment) as control:
        answer = control.conflicts(sync)
    click.echo(render.as_json(answer) if as_json else render.conflicts(answer), nl=False)
