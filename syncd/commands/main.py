"""`syncd`: which commands there are, and how every one of them ends."""

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from syncd import errors

# Name -> one line of help. A command's module is imported only when it is called: `syncd --help` stays quick.
COMMANDS = {
    "check": "Check the spec, without and with the services.",
    "plan": "Show what would be written, without writing.",
    "apply": "Carry out what the plan shows.",
    "run": "Run the daemon.",
    "status": "Show how the syncs are.",
    "pause": "Stop writing: everything, one sync or one direction.",
    "resume": "Go on writing.",
    "conflicts": "List what both sides changed and a person decides.",
    "resolve": "Decide a conflict.",
    "hold": "Write nothing to a record, or one field of it, for now.",
    "unhold": "Release a hold.",
    "journal": "List what was written, with the values before.",
    "demo": "Run the main job against a local sandbox and tell what happens.",
    "simulate": "Try the spec against faults, in a simulated world.",
    "sandbox": "Run both services on this machine, to play with.",
    "schema": "Print the JSON Schema of the spec, for editors.",
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and loads one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 — click gives it
        """In the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 — click gives it
        """Import the module of that name; its command is called `command`."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"syncd.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 — click gives it
        """The list of commands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="syncd")
def cli() -> None:
    """Keep an Airtable base and Bitbucket Cloud repositories in step.

    \b
    Exit codes: 0 done; 1 failed, try again; 2 usage or invalid spec;
    3 `plan --exit-code` found changes; 7 refused, a person must decide.

    \b
    Example:
      syncd check && syncd plan
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit code (SPEC section 4)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal without UTF-8 shows an escape instead of ending the command.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = cli.main(args=arguments, prog_name="syncd", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = errors.UsageError.exit_status
    except (click.Abort, KeyboardInterrupt):
        status = 130
    except errors.SyncdError as error:
        from syncd.commands import render

        click.echo(render.error(error), nl=False, err=True)
        status = error.exit_status
    sys.exit(status if isinstance(status, int) else 0)
