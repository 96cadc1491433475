"""`syncd schema`: the shape of a spec."""

import click

from syncd.commands import render


@click.command()
def command() -> None:
    """Print the JSON Schema of a spec file, for editors.

    \b
    Example:
      syncd schema > syncd.schema.json
    """
    from syncd.spec import schema

    click.echo(render.as_json(schema.json_schema()), nl=False)
