"""`syncd check`: is the spec right?"""

from pathlib import Path

import click

from syncd import errors
from syncd.commands import options, render


@click.command()
@click.option("--live", is_flag=True, help="Also ask the services: permissions, names, budgets.")
@options.spec
@options.as_json
def command(config: Path, environment: str, live: bool, as_json: bool) -> int:
    """Check the spec, without and with the services.

    Lists every problem with file, line and key. Warnings do not stop the daemon.

    \b
    Example:
      syncd check --live
    """
    from syncd import log, wiring

    log.configure("warning")
    try:
        with options.working("checking"):
            found = tuple(wiring.check(config, environment, live))
    except errors.SpecError as error:
        found = error.problems
    if as_json:
        rows = [{name: getattr(one, name) for name in errors.Problem.__dataclass_fields__} for one in found]
        click.echo(render.as_json({"problems": rows}), nl=False)
    else:
        click.echo(render.problems(found), nl=False)
    return 0 if all(one.warning for one in found) else errors.SpecError.exit_status
