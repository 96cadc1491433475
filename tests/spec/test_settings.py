"""The daemon's environment."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from syncd.settings import Settings


def test_the_environment_of_systemd_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/syncd:/var/lib/other")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/syncd.service")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("SYNCD_LOG_LEVEL", "debug")
    monkeypatch.setenv("SYNCD_CONFIG", "/etc/syncd")
    found = Settings()
    assert found.state_path == Path("/var/lib/syncd")
    assert found.credentials_directory == Path("/run/credentials/syncd.service")
    assert (found.notify_socket, found.watchdog_usec, found.log_level) == ("/run/systemd/notify", 30_000_000, "debug")
    assert found.config == Path("/etc/syncd")


def test_without_an_environment_everything_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "SYNCD_LOG_LEVEL", "SYNCD_CONFIG", "WATCHDOG_USEC"):
        monkeypatch.delenv(name, raising=False)
    found = Settings()
    assert (found.config, found.state_path, found.watchdog_usec) == (Path("config"), Path("state"), 0)


def test_a_wrong_setting_is_refused_and_settings_are_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError):
        Settings().watchdog_usec = 1
    monkeypatch.setenv("SYNCD_LOG_LEVEL", "loud")
    with pytest.raises(ValidationError):
        Settings()
