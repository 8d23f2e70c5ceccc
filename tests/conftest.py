"""What all tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall import trial_ledger, workspace_folders

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _no_trials() -> Iterator[None]:
    """Keep the tests' runs out of the ledger of trials of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial_ledger, "workspace_ledger", lambda: None)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real market data, or skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real market data is not here: ../shared/data is absent")
    return SHARED_DATA


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder to work in, which is no workspace yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(workspace_folders.VARIABLE, raising=False)
    monkeypatch.setattr(workspace_folders, "WORKSPACE", None)
    return tmp_path
