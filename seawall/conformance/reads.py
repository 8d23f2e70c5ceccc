"""Which files a run reads past its catalog: what the tripwire cannot cut, it has to name.

Seen: every file that Python opens for reading, whatever its suffix (numpy and pandas open theirs so
too), every SQLite database, and the paths given to pyarrow's own readers. Left out: code, time
zones and settings of the system, what the process has written itself, and the small files of
Seawall and of the workspace (``OWN_SUFFIXES``).

Not seen: what other native libraries (HDF5, polars, DuckDB), pyarrow's file systems or child
processes read, and what comes over the network.
"""

import os
import site
import sys
import sysconfig
import zoneinfo
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import seawall
from seawall import workspace_folders

OWN_SUFFIXES = (".py", ".pyc", ".toml", ".css", ".js", ".txt")
_CODE = (".py", ".pyc")
_COMPILED = (".nbi", ".nbc")  # numba's caches, wherever they are kept
_METADATA = (".dist-info", ".egg-info")
_SYSTEM = ("/proc", "/sys", "/dev", "/etc")
_WRITES = os.O_WRONLY | os.O_RDWR
_FUNCTIONS = {
    "pyarrow": ("memory_map",),
    "pyarrow.csv": ("open_csv", "read_csv"),
    "pyarrow.dataset": ("dataset", "parquet_dataset"),
    "pyarrow.feather": ("read_feather", "read_table"),
    "pyarrow.json": ("read_json",),
    "pyarrow.parquet": ("read_pandas", "read_table"),
}
_CLASSES = ("ParquetDataset", "ParquetFile")
_PATH_NAMES = ("input_file", "metadata_path", "path", "path_or_paths", "source")


class Reads:
    """The files that this process reads past its catalog, from ``listen`` on.

    Attributes:
        files: their real paths, so far.
    """

    def __init__(self, *, catalog: str, original: str) -> None:
        """Take the catalog of this process, and the one it is a copy of (``""``: none)."""
        self.files: set[str] = set()
        self._catalog = _to_roots([catalog])
        self._original = _to_roots([original])
        self._installed = _to_roots(_find_installed())
        self._own = _to_roots(_find_own())
        self._written: set[str] = set()

    def listen(self) -> None:
        """Listen to all that is opened from now on; nothing takes it back but the process's end."""
        for module_name, names in _FUNCTIONS.items():
            module = import_module(module_name)
            for name in names:
                setattr(module, name, self._heard(getattr(module, name), 0))
        parquet, arrow = import_module("pyarrow.parquet"), import_module("pyarrow")
        for name in _CLASSES:
            kind = getattr(parquet, name)
            kind.__init__ = self._heard(kind.__init__, 1)
        # It is a class that cannot be changed: one derived from it takes its place.
        heard = {"__init__": self._heard(lambda *_arguments, **_options: None, 1)}
        vars(arrow)["OSFile"] = type("OSFile", (vars(arrow)["OSFile"],), heard)
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "sqlite3.connect":
            self._note(arguments[0])
        elif event == "open":
            path, _, flags = arguments
            self._note(path, flags if isinstance(flags, int) else 0)

    def _heard(self, read: Callable[..., Any], place: int) -> Callable[..., Any]:
        """Return a reader that says first which paths it is given, at ``place`` or by name."""

        @wraps(read)
        def heard(*arguments: Any, **options: Any) -> Any:
            if "w" not in str(options.get("mode", (*arguments, "", "")[place + 1])):
                for path in _find_paths(arguments[place : place + 1], options):
                    self._note(path, is_folder_read=True)
            return read(*arguments, **options)

        return heard

    def _note(self, path: object, flags: int = 0, *, is_folder_read: bool = False) -> None:
        """Keep a path if it is read, and neither the catalog's nor anything harmless."""
        real = _to_real(path)
        if not real:
            return
        if flags & _WRITES and (flags & (os.O_TRUNC | os.O_EXCL) or not Path(real).exists()):
            self._written.add(real)
        if flags & os.O_WRONLY or real in self._written or _is_in(real, self._catalog):
            return
        is_there = Path(real).is_file() or (is_folder_read and Path(real).is_dir())
        if is_there and (_is_in(real, self._original) or not self._is_harmless(real)):
            self.files.add(real)

    def _is_harmless(self, real: str) -> bool:
        if _is_in(real, self._installed) or real.endswith(_COMPILED):
            return True
        if real.endswith(OWN_SUFFIXES) and _is_in(real, self._own):
            return True
        if Path(real).parent.name.endswith(_METADATA):
            return True
        return real.endswith(_CODE) and _is_in(real, _to_roots(sys.path))


def _find_installed() -> list[str]:
    """Return where Python and its packages are installed, and where the system keeps settings."""
    installed = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
    installed += [*sysconfig.get_paths().values(), site.getusersitepackages()]
    return [*installed, *site.getsitepackages(), *zoneinfo.TZPATH, *_SYSTEM]


def _find_own() -> list[str]:
    """Return the folders of Seawall, of what ships with it, and of the workspace."""
    packages = (seawall, *(import_module(f"seawall.{kind}") for kind in workspace_folders.KINDS))
    found = [folder for package in packages for folder in package.__path__]
    return [*found, str(workspace_folders.WORKSPACE or "")]


def _to_roots(folders: Iterable[str]) -> tuple[str, ...]:
    """Return the folders as beginnings of the paths in them."""
    real = {os.path.realpath(folder) for folder in folders if folder}
    return tuple(folder.rstrip(os.sep) + os.sep for folder in real)


def _is_in(real: str, roots: tuple[str, ...]) -> bool:
    return (real + os.sep).startswith(roots)


def _find_paths(given: Sequence[object], options: Mapping[str, object]) -> list[object]:
    sources = [*given, *(options[name] for name in _PATH_NAMES if name in options)]
    return [p for s in sources for p in (s if isinstance(s, (list, tuple)) else [s])]


def _to_real(path: object) -> str:
    """Return the real path; ``""`` for what is none, such as a file's number."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        return ""
    try:
        return os.path.realpath(os.fsdecode(path).removeprefix("file://"))
    except (OSError, ValueError):  # whoever opens it is told so
        return ""
