"""The kill switch: one file per scope in `pause/` beside the state. It needs no daemon; `touch` sets it too (SPEC section 3)."""

from collections.abc import Mapping
from pathlib import Path

from syncd import errors
from syncd.model.change import Side
from syncd.model.ids import SyncName

REASON_BYTES_MAX = 500
NO_REASON = "no reason given"


class PauseFiles:
    """
    Implements `ports.Switch`.

    Args:
        directory: where the files lie; made at the first pause.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def paused(self, sync: SyncName | None, side: Side | None) -> str:
        """Why changing requests must not start. Four look-ups of a name; nothing is cached, so a switch works at once."""
        scopes = ["all"]
        if sync is not None:
            scopes.append(f"sync.{sync}")
        if side is not None:
            scopes.append(f"to-{side.value}")
        for scope in scopes:
            file = self._directory / scope
            if file.exists():
                return self._reason(file)
        return ""

    def pause(self, scope: str, reason: str) -> None:
        """Make the file. Raises StoreError when it cannot be made: then nothing is paused."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            (self._directory / scope).write_text((reason or NO_REASON)[:REASON_BYTES_MAX] + "\n", encoding="utf-8")
        except OSError as error:
            raise errors.StoreError(
                f"{scope} cannot be paused: {self._directory} is not writable ({error.strerror})",
                next_step=f"touch {self._directory / scope}",
            ) from error

    def resume(self, scope: str) -> bool:
        """Remove the file; False when there was none."""
        try:
            (self._directory / scope).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise errors.StoreError(
                f"{scope} cannot be resumed: {error.strerror}", next_step=f"rm {self._directory / scope}"
            ) from error
        return True

    def scopes(self) -> Mapping[str, str]:
        """Every scope that is paused, with its reason."""
        if not self._directory.is_dir():
            return {}
        return {file.name: self._reason(file) for file in sorted(self._directory.iterdir()) if file.is_file()}

    def _reason(self, file: Path) -> str:
        try:
            return file.read_text(encoding="utf-8", errors="replace")[:REASON_BYTES_MAX].strip() or NO_REASON
        except OSError:
            return "its pause file cannot be read"
