"""`syncd hold`: leave a record alone."""

from datetime import UTC, datetime
from pathlib import Path

import click

from syncd import errors
from syncd.commands import options, remote, render


@click.command()
@click.argument("record")
@click.argument("field", required=False)
@click.option("--reason", required=True, help="Why, for everybody who looks at the status.")
@click.option("--until", metavar="TIME", help="When it ends by itself, e.g. 2026-12-01 or 2026-12-01T18:00+01:00.")
@options.sync
@options.spec
@options.as_json
def command(
    config: Path,
    environment: str,
    record: str,
    field: str | None,
    reason: str,
    until: str | None,
    sync: str | None,
    as_json: bool,
) -> None:
    """Write nothing to a RECORD, or to one FIELD of it, for now.

    Both sides may go on changing; what differs at the end is then put in step. A TIME without a zone is UTC.

    \b
    Example:
      syncd hold recAAAAAAAAAAAAAA Details --reason "legal review" --until 2026-12-01
    """
    end = read_instant(until) if until is not None else None
    with remote.opened(config, environment) as control:
        answer = control.hold(
            remote.only_sync(control, sync), record, field, reason, end.isoformat() if end is not None else None
        )
    told = f"{field} of {record} is held" if field else f"{record} is held"
    lasting = f" until {end.isoformat()}" if end is not None else f" until: syncd unhold {record}"
    click.echo(render.as_json(answer) if as_json else render.plain(f"{told}{lasting}\n"), nl=False)


def read_instant(text: str) -> datetime:
    """An ISO 8601 date or time as an aware UTC instant; without a zone it is UTC. Raises UsageError."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise errors.UsageError(
            f'"{text}" is no time', next_step="write it as 2026-12-01 or 2026-12-01T18:00+01:00"
        ) from error
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
