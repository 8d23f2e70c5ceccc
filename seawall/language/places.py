"""Where a cassette lies: a path as it stands, or a name beside the data or the shipped recipes."""

from importlib import import_module
from pathlib import Path

from seawall.errors import RecordingError
from seawall.language.cassette import SUFFIX, Mode
from seawall.market.catalog import Catalog

FOLDER = "cassettes"


def find_cassette(name: str, mode: Mode = "replay") -> Path:
    """Return the file of a cassette.

    A name is ``<catalog>/cassettes/NAME.cassette``; to replay, one that lies in ``backtests/`` of
    Seawall or of the workspace will do where the catalog has none.

    Raises:
        RecordingError: the name is no name of a file.
    """
    if name.endswith(SUFFIX):
        return Path(name)
    if not name or Path(name).name != name or name.startswith("."):
        raise RecordingError(
            f"a cassette is a name, or a path that ends in {SUFFIX}, is {name!r}: rename it"
        )
    own = Catalog().root / FOLDER / f"{name}{SUFFIX}"
    if mode != "replay" or own.is_file():
        return own
    folders = import_module("seawall.backtests").__path__
    shipped = (Path(folder) / f"{name}{SUFFIX}" for folder in folders)
    return next((path for path in shipped if path.is_file()), own)
