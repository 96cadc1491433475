"""`syncd pause`: the kill switch."""

from pathlib import Path

import click

from syncd.commands import options, render, scope


@click.command()
@click.argument("what", metavar="[SCOPE]", default="all")
@click.option("--reason", default="", help="Why, for everybody who looks at the status.")
@options.spec
@options.as_json
def command(config: Path, environment: str, what: str, reason: str, as_json: bool) -> None:
    """Stop writing: everything, one sync or one direction.

    SCOPE is all (the default), sync.NAME, to-airtable or to-bitbucket. Works with and without a daemon, and asks no
    service: from two seconds later no changing request starts. Receiving, reading and planning go on. Without a daemon
    it makes the file pause/SCOPE beside the state; set STATE_DIRECTORY as the service has it.

    \b
    Example:
      syncd pause to-bitbucket --reason "release freeze"
    """
    answer = scope.switch(config, environment).pause(scope.require(what), reason)
    click.echo(render.as_json(answer) if as_json else render.paused(answer["paused"]), nl=False)
