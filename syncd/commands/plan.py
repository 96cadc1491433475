"""`syncd plan`: what would be written?"""

from pathlib import Path

import click

from syncd.commands import markdown, options, remote, render

CHANGES_FOUND = 3


@click.command()
@options.sync
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also save it, for `syncd apply FILE`.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown.")
@click.option("--exit-code", is_flag=True, help="Exit with 3 when there is something to do.")
@options.spec
@options.as_json
def command(
    config: Path,
    environment: str,
    sync: str | None,
    out: Path | None,
    as_markdown: bool,
    as_json: bool,
    exit_code: bool,
) -> int:
    """Show what would be written, without writing.

    Compares both sides in full. Each change stands with its owner and its reason.

    \b
    Example:
      syncd plan --sync features --out plan.json
    """
    if as_json and as_markdown:
        raise click.UsageError("--json and --markdown: choose one.")
    with remote.opened(config, environment) as control, options.working("comparing both sides"):
        answer = control.plan(sync)
    if out is not None:
        out.write_text(render.as_json(answer), encoding="utf-8")
    shown = render.as_json(answer) if as_json else markdown.plans(answer) if as_markdown else render.plans(answer)
    click.echo(shown, nl=False)
    return CHANGES_FOUND if exit_code and render.has_changes(answer) else 0
