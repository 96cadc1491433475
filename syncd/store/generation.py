"""
How far the state has come, written beside it: a state file that is older than this was put there (reliability.md ST11).

Its name does not begin like the state file's, so that a backup of `syncd.db*` does not take it along.
"""

import contextlib
import os
from pathlib import Path


class GenerationFile:
    """
    Implements `ports.Witness`.

    Args:
        state: the state file.
    """

    def __init__(self, state: Path) -> None:
        self._path = state.with_name(f"generation-of-{state.name}")

    def read(self) -> str | None:
        """As `ports.Witness.read`. A file that cannot be read says nothing."""
        try:
            return self._path.read_text("ascii")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            return ""

    def write(self, text: str) -> None:
        """As `ports.Witness.write`. One that cannot be written stays behind, which proves nothing and costs nothing."""
        fresh = self._path.with_name(self._path.name + ".new")
        with contextlib.suppress(OSError):
            # Without waiting for the disk: after a power cut it may be behind the state, never ahead of it.
            fresh.write_text(text, "ascii")
            os.chmod(fresh, 0o600)
            os.replace(fresh, self._path)
