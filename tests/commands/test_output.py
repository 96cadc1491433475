import io
import json

import structlog

from syncd import log


def test_a_logger_made_before_the_set_up_obeys_it() -> None:
    """Modules make theirs when they are imported; a line on standard output would spoil `--json`."""
    early = log.logger("early")
    stream = io.StringIO()
    try:
        log.configure("warning", stream)
        early.info("run.started")
        early.warning("run.finished", record="rec1")
    finally:
        structlog.reset_defaults()
    (line,) = stream.getvalue().splitlines()
    assert {**json.loads(line), "timestamp": ""} == {
        "event": "run.finished",
        "level": "warning",
        "record": "rec1",
        "room": "early",
        "timestamp": "",
    }
