"""What the tests of the simulator share."""

import pytest

from syncd.simulate import setting
from tests.simulation import homes


@pytest.fixture(scope="session")
def home() -> setting.Setting:
    """The sample spec, with its synced worlds."""
    return homes.home()
