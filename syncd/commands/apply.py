"""`syncd apply`: carry out a plan."""

import json
import re
from pathlib import Path

import click

from syncd import errors
from syncd.commands import options, remote, render
from syncd.web.control import Answer, Control

_DIGEST = re.compile(r"[0-9a-f]{6,64}")


@click.command()
@click.argument("plan", required=False)
@options.sync
@click.option("--accept", type=click.Choice(["mass-change"]), multiple=True, help="Let the plan pass this guard, once.")
@options.spec
@options.as_json
def command(
    config: Path, environment: str, plan: str | None, sync: str | None, accept: tuple[str, ...], as_json: bool
) -> int:
    """Carry out what the plan shows, and accept its rules.

    PLAN is a file of `syncd plan --out`, or the word that a plan is called by. With it, exactly that plan is carried
    out, or nothing when both sides changed since. Without it, a new plan is made and carried out at once.

    \b
    Example:
      syncd apply plan.json
    """
    with remote.opened(config, environment) as control, options.working("applying"):
        applied = [control.apply(name, digest, list(accept)) for name, digest in _wanted(control, plan, sync)]
    answer: Answer = {
        "runs": [run for one in applied for run in one["runs"]],
        "plans_left": sum(one["plans_left"] for one in applied),
    }
    click.echo(render.as_json(answer) if as_json else render.runs(answer), nl=False)
    return 1 if any(run[key] for run in answer["runs"] for key in ("refused", "unknown", "retried")) else 0


def _wanted(control: Control, plan: str | None, sync: str | None) -> list[tuple[str | None, str | None]]:
    """Which syncs, each with the digest of the plan that was seen."""
    if plan is None:
        return [(sync, None)]
    if not Path(plan).exists() and _DIGEST.fullmatch(plan):
        return [(_sync_of(control, plan, sync), plan)]
    plans = read_plans(Path(plan))
    wanted: list[tuple[str | None, str | None]] = [
        (one["sync"], one["digest"]) for one in plans if sync is None or one["sync"] == sync
    ]
    if not wanted:
        raise errors.UsageError(f"{plan} holds no plan of {sync}", next_step=f"syncd plan --sync {sync} --out {plan}")
    return wanted


def _sync_of(control: Control, digest: str, sync: str | None) -> str:
    if sync is None:
        for name, state in control.status()["syncs"].items():
            if state.get("refused_plan") == digest:
                return str(name)
    return remote.only_sync(control, sync)


def read_plans(file: Path) -> list[Answer]:
    """The plans of a file that `syncd plan --out` wrote. Raises UsageError when it is none."""
    again = "syncd plan --out plan.json"
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise errors.UsageError(f"{file} cannot be read: {error.strerror}", next_step=again) from error
    except ValueError as error:
        raise errors.UsageError(f"{file} is no JSON: {error}", next_step=again) from error
    plans = read.get("plans") if isinstance(read, dict) else None
    if not isinstance(plans, list) or not all(
        isinstance(one, dict) and isinstance(one.get("sync"), str) and isinstance(one.get("digest"), str)
        for one in plans
    ):
        raise errors.UsageError(f"{file} holds no plans", next_step=again)
    return plans
