"""
Where the recorded payloads and the official description lie: beside the project's root, never inside it (their licences are not ours).

`SYNCD_SHARED` names another place. When they are missing a test fails in CI and is skipped, with the reason, elsewhere.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SYNCD_SHARED", ROOT.parent / "shared"))


def path(relative: str) -> Path:
    """The file or folder `relative` of the shared material; fails under CI=true and skips elsewhere when it is missing."""
    found = SHARED / relative
    if not found.exists():
        reason = (
            f"{relative} is not beside the project; set SYNCD_SHARED to the folder that holds reference/ and fixtures/"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def load(relative: str) -> Any:
    """The parsed JSON of one shared file."""
    return json.loads(path(relative).read_text(encoding="utf-8"))


def names(folder: str, pattern: str = "*.json") -> list[str]:
    """The sorted file names of a shared folder; empty when it is missing, so that collection never fails."""
    return sorted(entry.name for entry in (SHARED / folder).glob(pattern))
