"""Options that many commands share, and the shape of all of them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def spec(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--config` and `--environment`: which spec."""
    config = click.option(
        "--config",
        type=click.Path(path_type=Path),
        default=Path("config"),
        show_default=True,
        envvar="SYNCD_CONFIG",
        help="Spec file or directory.",
    )
    environment = click.option(
        "--environment", metavar="NAME", default="", envvar="SYNCD_ENVIRONMENT", help="Lay NAME.toml over the spec."
    )
    return config(environment(function))


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
sync = click.option("--sync", metavar="NAME", default=None, help="Only this sync.")


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on a terminal that something takes its time; elsewhere say nothing."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield
