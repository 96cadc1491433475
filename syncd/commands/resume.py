"""`syncd resume`: the end of a pause."""

from pathlib import Path

import click

from syncd.commands import options, render, scope


@click.command()
@click.argument("what", metavar="[SCOPE]", default="all")
@options.spec
@options.as_json
def command(config: Path, environment: str, what: str, as_json: bool) -> None:
    """Go on writing in a scope that was paused.

    SCOPE is all (the default), sync.NAME, to-airtable or to-bitbucket. Other scopes stay paused.

    \b
    Example:
      syncd resume to-bitbucket
    """
    answer = scope.switch(config, environment).resume(scope.require(what))
    click.echo(render.as_json(answer) if as_json else render.paused(answer["paused"]), nl=False)
