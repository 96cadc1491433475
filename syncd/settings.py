"""The daemon's environment, read once: what systemd sets, and two settings of ours."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """
    Everything that syncd takes from environment variables; secrets are read separately, by `spec.secret`.

    systemd separates several directories by ":"; the first is ours (systemd.exec(5), "STATE_DIRECTORY").
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, hide_input_in_errors=True, populate_by_name=True
    )

    config: Path = Field(default=Path("config"), alias="SYNCD_CONFIG", description="Spec file or directory.")
    environment: str = Field(default="", alias="SYNCD_ENVIRONMENT", description="Overlay to lay over the spec.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", alias="SYNCD_LOG_LEVEL")
    state_directory: str = Field(default="state", alias="STATE_DIRECTORY", description="Where the state file lies.")
    credentials_directory: Path | None = Field(default=None, alias="CREDENTIALS_DIRECTORY")
    notify_socket: str = Field(
        default="", alias="NOTIFY_SOCKET", description="Where readiness and watchdog go (sd_notify)."
    )
    watchdog_usec: int = Field(default=0, ge=0, alias="WATCHDOG_USEC", description="Microseconds; 0: no watchdog.")

    @property
    def state_path(self) -> Path:
        """The folder that relative state paths start at."""
        return Path(self.state_directory.split(":", 1)[0] or "state")
