"""Determinism by construction: time, randomness, ids and threads come in from outside (reliability.md "Determinism")."""

import ast
from pathlib import Path

import pytest

from tests import shared

# The rooms where the outside is let in.
OPEN = ("wiring.py", "daemon.py", "systemd.py", "web/", "sandbox/server.py", "commands/")
FORBIDDEN = {
    "time": {"time", "sleep", "monotonic", "perf_counter"},
    "random": {"random", "choice", "randint", "shuffle", "uniform", "SystemRandom"},
    "uuid": {"uuid1", "uuid4", "uuid7"},
    "secrets": {"token_hex", "token_bytes", "token_urlsafe", "randbelow"},
    "os": {"urandom"},
    "threading": {"Thread", "Timer", "Event"},
    "datetime": {"now", "utcnow", "today"},
}
FILES = [
    file
    for file in sorted((shared.ROOT / "syncd").rglob("*.py"))
    if not str(file.relative_to(shared.ROOT / "syncd")).startswith(OPEN)
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(shared.ROOT)))
def test_nothing_reads_the_world_but_through_a_port(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    # The class `datetime` is imported by name, the others as modules; a local name is nobody's business.
    modules.add("datetime")
    found = [
        f"line {node.lineno}: {node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in modules
        and node.attr in FORBIDDEN.get(node.value.id, set())
    ]
    found += [
        f"line {node.lineno}: from {node.module} import {alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in FORBIDDEN
        for alias in node.names
        if alias.name in FORBIDDEN[node.module]
    ]
    assert found == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(shared.ROOT)))
def test_nothing_catches_a_death(file: Path) -> None:
    """A bare `except` or one of BaseException that goes on would outlive `kill -9` (reliability.md "Crash")."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "BaseException")
            goes_on = not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            assert not (caught and goes_on), f"line {node.lineno}"
