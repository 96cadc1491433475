"""The exported requirements are those of the lock, each with its hashes; what pyproject asks for is locked."""

import re
import tomllib

import pytest

from tests import shared

LOCK = tomllib.loads((shared.ROOT / "uv.lock").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((shared.ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def locked() -> dict[str, dict[str, set[str]]]:
    """Name → version → hashes of everything that the lock holds."""
    found: dict[str, dict[str, set[str]]] = {}
    for package in LOCK["package"]:
        files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
        found.setdefault(package["name"], {})[package["version"]] = {one["hash"] for one in files}
    return found


@pytest.mark.parametrize("export", ["requirements.txt", "requirements-dev.txt"])
def test_every_exported_requirement_is_the_locked_one_with_its_hashes(export: str) -> None:
    text = (shared.ROOT / export).read_text(encoding="utf-8").replace("\\\n", " ")
    rows = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(rows) > 30
    known = locked()
    for row in rows:
        matched = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", row)
        assert matched is not None, row
        hashes = set(re.findall(r"--hash=(sha256:[0-9a-f]{64})", row))
        assert hashes
        assert hashes == known[matched[1]][matched[2]], matched[0]


def test_everything_that_the_project_asks_for_is_locked_and_justified() -> None:
    text = (shared.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    names = [re.split(r"[<>=\[ ]", requirement, maxsplit=1)[0].lower() for requirement in asked]
    assert set(names) <= set(locked())
    for requirement in asked:
        assert re.search(re.escape(f'"{requirement}",') + r"\s+# \S", text), f"{requirement} has no reason beside it"
