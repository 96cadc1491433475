"""What the command tests share: run `syncd` in this process against a daemon that is a fake behind the real listener."""

import os
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import syncd
from syncd import errors
from syncd.commands import main as commands
from syncd.web import admin, server
from tests.web import listening
from tests.web.controlling import FakeControl

GOLDEN = Path(__file__).parent / "golden"


@dataclass
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


class Caller:
    """Runs commands with a spec whose admin address is the fake daemon's."""

    def __init__(self, capsys: pytest.CaptureFixture[str], config: Path) -> None:
        self._capsys = capsys
        self.config = config

    def __call__(self, *arguments: str, spec: bool = True) -> Result:
        with pytest.raises(SystemExit) as ended:
            commands.main([*arguments, *(["--config", str(self.config)] if spec else [])])
        out, err = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, out, err)


def a_spec(folder: Path, admin_address: str) -> Path:
    """A spec file that says only where the daemon is."""
    file = folder / "spec.toml"
    file.write_text(f'version = 1\n[daemon]\nadmin = "{admin_address}"\n')
    return file


@dataclass
class FakeSwitch:
    """The kill switch in memory."""

    files: dict[str, str] = field(default_factory=dict)

    def paused(self, sync: object, side: object) -> str:
        return self.files.get("all", "")

    def pause(self, scope: str, reason: str) -> None:
        self.files[scope] = reason

    def resume(self, scope: str) -> bool:
        return self.files.pop(scope, None) is not None

    def scopes(self) -> Mapping[str, str]:
        return self.files


@dataclass
class FakeWiring:
    """Stands for `syncd.wiring`: a state without a daemon."""

    control: FakeControl = field(default_factory=FakeControl)
    switch: FakeSwitch = field(default_factory=FakeSwitch)
    problems: list[errors.Problem] | errors.SpecError = field(default_factory=list)
    trouble: Exception | None = None
    exit_status: int = 0
    asked: list[Any] = field(default_factory=list)

    @contextmanager
    def open_control(self, config: Path, environment: str) -> Iterator[FakeControl]:
        self.asked.append(("open_control", config, environment))
        if self.trouble is not None:
            raise self.trouble
        yield self.control

    def open_switch(self, config: Path, environment: str) -> FakeSwitch:
        self.asked.append(("open_switch", config, environment))
        return self.switch

    def check(self, config: Path, environment: str, live: bool) -> list[errors.Problem]:
        self.asked.append(("check", config, environment, live))
        if isinstance(self.problems, errors.SpecError):
            raise self.problems
        return self.problems

    def run_daemon(self, config: Path, environment: str) -> int:
        self.asked.append(("run_daemon", config, environment))
        return self.exit_status


def wire(monkeypatch: pytest.MonkeyPatch, wiring: FakeWiring) -> None:
    """Put the fake in the place of `syncd.wiring`, which commands import when they need it."""
    module: Any = types.ModuleType("syncd.wiring")
    for name in ("open_control", "open_switch", "check", "run_daemon"):
        setattr(module, name, getattr(wiring, name))
    monkeypatch.setitem(sys.modules, "syncd.wiring", module)
    monkeypatch.setattr(syncd, "wiring", module, raising=False)


class Relay:
    """A control whose target the running test sets, so that one server serves a whole module."""

    target: FakeControl

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


@contextmanager
def daemon() -> Iterator[tuple[Relay, int]]:
    """A fake daemon behind the real admin listener."""
    relay = Relay()
    with listening.serving(admin=admin.build(relay, server.Address(host="127.0.0.1", port=0))) as where:
        yield relay, where["admin"]


def golden(name: str, text: str) -> None:
    """The text is what it was. After a wanted change: SYNCD_GOLDEN=write, then read the difference in git."""
    file = GOLDEN / name
    if os.environ.get("SYNCD_GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"{name} differs; SYNCD_GOLDEN=write renews it"
