"""`syncd journal` after the daemon ended: the state alone is read, neither service is asked."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests import shared
from tests.flow.house import Lab


def test_the_journal_is_read_from_the_state_alone(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    lab.step()
    lab.apply()
    told = lab.control.journal(None, None, None, 0, 1000)["rows"]
    assert told
    (tmp_path / "state").mkdir()
    lab.store.backup(tmp_path / "state" / "syncd.db")
    shutil.copytree(shared.ROOT / "config", tmp_path / "config")
    spec = tmp_path / "config" / "syncd.toml"
    # Nobody listens there: a command that asked the daemon or a service would fail.
    spec.write_text(spec.read_text().replace('"127.0.0.1:8484"', f'"unix:{tmp_path}/admin"'))
    done = subprocess.run(
        [sys.executable, "-m", "syncd", "journal", "--config", str(tmp_path / "config"), "--limit", "1000", "--json"],
        env={"STATE_DIRECTORY": str(tmp_path / "state"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["rows"] == told
