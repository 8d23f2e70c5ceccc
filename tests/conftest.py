"""What all tests share."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real market data, or skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real market data is not here: ../shared/data is absent")
    return SHARED_DATA
