"""One adopted house per module: the daemon starts once, its tests use records of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.running import House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A running daemon whose first plan was accepted, against services with limits of their own."""
    made = House(tmp_path_factory.mktemp("house"))
    with made.open():
        made.start()
        made.adopt()
        yield made


@pytest.fixture
def own_house(tmp_path: Path) -> Iterator[House]:
    """Both services and a spec; the test starts the daemon, and may do to it what it likes."""
    made = House(tmp_path / "house")
    with made.open():
        yield made
