"""`syncd sandbox`: both services on this machine."""

import json
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import click

from syncd import errors
from syncd.commands import render

_PORT = click.IntRange(0, 65_535)


@click.command()
@click.option("--port-airtable", type=_PORT, default=9001, show_default=True, help="0 takes a free one.")
@click.option("--port-bitbucket", type=_PORT, default=9002, show_default=True, help="0 takes a free one.")
@click.option("--seed", type=int, default=1, show_default=True, help="All ids follow from it.")
@click.option(
    "--overlay",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an overlay for a spec like the one in config/, that points at the sandbox.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(port_airtable: int, port_bitbucket: int, seed: int, overlay: Path | None, as_json: bool) -> None:
    """Run both services on this machine, to play with, until it is interrupted.

    Airtable has a base with five features, Bitbucket a workspace acme with the repositories web and api. What people
    would do is posted to URL/_sandbox/VERB. Everything is forgotten at the end.

    \b
    Example:
      syncd sandbox --overlay config/sandbox.toml
    """
    from syncd import wiring
    from syncd.commands import world
    from syncd.sandbox.airtable.machine import AirtableMachine
    from syncd.sandbox.bitbucket.machine import BitbucketMachine
    from syncd.sandbox.server import SandboxServer

    clock = wiring.SystemClock().now
    # Bitbucket's deliveries name its own address, so the port is needed before the server is there.
    port_bitbucket = port_bitbucket or _free_port()
    airtable = AirtableMachine(seed)
    bitbucket = BitbucketMachine(seed, url=f"http://127.0.0.1:{port_bitbucket}/2.0")
    made = world.features_world(airtable, bitbucket, clock())
    stop = threading.Event()
    try:
        first = SandboxServer(airtable, "127.0.0.1", port_airtable, clock)
        second = SandboxServer(bitbucket, "127.0.0.1", port_bitbucket, clock, delivery_timeout_s=10.0)
    except OSError as error:
        raise errors.UsageError(
            f"the sandbox cannot have its ports: {error.strerror}",
            next_step="syncd sandbox --port-airtable 0 --port-bitbucket 0",
        ) from error
    with first, second:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        told = _told(first.url, second.url, made)
        if overlay is not None:
            overlay.write_text(_overlay(told), encoding="utf-8")
        click.echo(render.as_json(told) if as_json else _text(told, made, overlay), nl=False)
        stop.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _told(airtable: str, bitbucket: str, made: Any) -> dict[str, Any]:
    from syncd.commands import world

    return {
        "airtable": {"url": airtable, "base": made.base, "table": made.table, "token": world.AIRTABLE_TOKEN},
        "bitbucket": {"url": f"{bitbucket}/2.0", "workspace": world.WORKSPACE, "token": world.BITBUCKET_TOKEN},
        "hook_secret": world.HOOK_SECRET,
        "records": dict(made.records),
    }


def _overlay(told: dict[str, Any]) -> str:
    """An overlay with the two addresses; secrets stay in the environment."""
    return (
        "# Written by `syncd sandbox`: points the spec at both services on this machine.\n"
        f"[airtable.roadmap]\nurl = {json.dumps(told['airtable']['url'])}\n\n"
        f"[bitbucket.acme]\nurl = {json.dumps(told['bitbucket']['url'])}\n"
    )


def _text(told: dict[str, Any], made: Any, overlay: Path | None) -> str:
    airtable, bitbucket = told["airtable"], told["bitbucket"]
    record = next(iter(made.records.values()))
    laid = f" --environment {overlay.stem}" if overlay is not None else ""
    edit = json.dumps({"record": record, "cells": {"Status": "Ready"}})
    lines = [
        f"Airtable   {airtable['url']}  base {airtable['base']}",
        f"Bitbucket  {bitbucket['url']}  workspace {bitbucket['workspace']}",
        "",
        "In another terminal:",
        f"  export SYNCD_AIRTABLE_TOKEN={airtable['token']}",
        f"  export SYNCD_BITBUCKET_TOKEN={bitbucket['token']} SYNCD_HOOK_SECRET={told['hook_secret']}",
        f"  syncd plan{laid}",
        "",
        "Do what a person would do, for example move a record:",
        f"  curl -X POST {airtable['url']}/_sandbox/edit -d '{edit}'",
        "",
        "Records:",
        *(f"  {id}  {name}" for name, id in made.records.items()),
        "",
        "Ctrl-C ends it.",
    ]
    if overlay is None:
        lines.insert(7, "  (--overlay FILE writes an overlay that points the spec here)")
    return "\n".join(lines) + "\n"
