"""A step that ends in the middle, by a state that cannot be written for a moment or by anything unforeseen, begins anew."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd import errors
from tests.flow.house import Lab

METHODS = ["load_remembered", "save_intents", "save_sent", "commit", "save_work", "save_processed", "save_changes"]


def _once(method: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    calls: list[int] = []

    def failing(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise error
        return method(*args, **kwargs)

    return failing


@pytest.mark.parametrize("error", [errors.StoreError("the disk is full"), RuntimeError("unforeseen")], ids=type)
@pytest.mark.parametrize("method", METHODS)
def test_a_step_that_broke_off_once_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, error: Exception
) -> None:
    lab = Lab(tmp_path)
    lab.run(timedelta(minutes=1))
    lab.apply()
    lab.run(timedelta(minutes=5))
    lab.edit("Login page", Status="Ready")
    repository, number = lab.world.pull_requests["Audit log"]
    lab.work("edit_pull_request", repository=repository, id=number, title="better title", user="grace")
    monkeypatch.setattr(lab.store, method, _once(getattr(lab.store, method), error))
    if method == "load_remembered" and isinstance(error, RuntimeError):
        # It might be one record's own: tried again in parts, at once.
        lab.run(timedelta(minutes=5))
    else:
        with pytest.raises(type(error)):
            lab.run(timedelta(minutes=5))
    # The daemon's thread tries again after a while; here, at once.
    lab.run(timedelta(minutes=10))
    branches = [name for name in lab.work("branches", repository="web") if lab.world.records["Login page"] in name]
    assert len(branches) == 1
    assert "Audit log" in lab.work("pull_request", repository=repository, id=number)["title"]
    assert lab.control.status()["state"] == "ok"
    assert not lab.store.load_unfinished(lab.crew.workers[0].context.name)
