"""`syncd run`: the daemon."""

from pathlib import Path

import click

from syncd.commands import options


@click.command()
@options.spec
def command(config: Path, environment: str) -> int:
    """Run the daemon until a signal ends it.

    Logs one JSON line per event on standard error; SYNCD_LOG_LEVEL is debug, info (the default), warning or error.
    SIGHUP reads the spec again; an invalid one is reported and not taken over. A sync that nobody has accepted yet only
    plans: see `syncd plan`, then `syncd apply`.

    \b
    Example:
      syncd run --config /etc/syncd
    """
    from syncd import log, wiring
    from syncd.settings import Settings

    log.configure(Settings().log_level)
    return wiring.run_daemon(config, environment)
