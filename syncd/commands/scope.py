"""What `pause` and `resume` share: scopes of the kill switch, and the way to it with and without a daemon."""

import re
from collections.abc import Mapping
from pathlib import Path

import click

from syncd import errors, ports
from syncd.commands import remote

_SCOPE = re.compile(r"all|to-airtable|to-bitbucket|sync\.[A-Za-z0-9_-]+")


def require(scope: str) -> str:
    """The scope itself. Raises UsageError when there can be no such scope."""
    if _SCOPE.fullmatch(scope) is None:
        raise errors.UsageError(
            f'"{scope}" is no scope; expected all, sync.NAME, to-airtable or to-bitbucket', next_step="syncd pause all"
        )
    return scope


class Files:
    """The kill switch where no daemon is asked: the files beside the state that this shell's settings name."""

    def __init__(self, switch: ports.Switch) -> None:
        self._switch = switch

    def pause(self, scope: str, reason: str, /) -> Mapping[str, Mapping[str, str]]:
        """Make the file."""
        self._switch.pause(scope, reason)
        return {"paused": dict(self._switch.scopes())}

    def resume(self, scope: str, /) -> Mapping[str, Mapping[str, str]]:
        """Remove the file. Raises UsageError when there is none."""
        if not self._switch.resume(scope):
            raise errors.UsageError(f"{scope} is not paused", next_step="syncd status")
        return {"paused": dict(self._switch.scopes())}


def switch(config: Path, environment: str) -> "remote.RemoteControl | Files":
    """
    The running daemon, which knows where its state is; else the files.

    A daemon that listens and does not answer is paused by its file: it reads that before every changing request.
    """
    try:
        daemon = remote.running(config, environment)
    except errors.SyncdError as error:
        click.echo(f"{error.message}; its file is used, in the state directory of this shell.", err=True)
        daemon = None
    if daemon is not None:
        return daemon
    from syncd import wiring

    return Files(wiring.open_switch(config, environment))
