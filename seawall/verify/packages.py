"""Contracts from npm: fetched once, compiled once, kept in a cache outside the repository.

``npm pack`` brings the published tarball and runs none of its scripts. The compiler is npm's
``solc``, a compiled JavaScript file that needs ``node`` and nothing else.

Compiled results are stored under the hash of compiler, settings and sources, so a second run reads
one JSON file.
"""

import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

import platformdirs

from seawall.errors import ToolError

FETCH_SECONDS = 180
COMPILE_SECONDS = 600
# Contracts of ours that stand in for what surrounds a protocol: tokens and a price feed.
OWN_COMPILER = "0.8.19"
_IMPORT = re.compile(r"""^\s*import\s+(?:[^"';]*?\bfrom\s+)?["']([^"']+)["']\s*;""", re.MULTILINE)
# Reads standard JSON, writes standard JSON; the compiler's other files want packages of their own.
_RUN_SOLC = """
const compiler = require(process.argv[1]);
const compile = compiler.cwrap('solidity_compile', 'string', ['string', 'number', 'number']);
process.stdout.write(compile(require('fs').readFileSync(0, 'utf8'), 0, 0));
"""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A compiled contract: its interface, and its creation code as hex digits.

    ``links`` maps the name of each library that the code calls to the byte offsets where the
    library's address goes.
    """

    name: str
    abi: tuple[Mapping[str, Any], ...]
    bytecode: str
    links: Mapping[str, tuple[int, ...]]


def default_cache() -> Path:
    """Return the folder that fetched and compiled contracts are kept in."""
    return platformdirs.user_cache_path("seawall") / "contracts"


def missing_tools() -> str | None:
    """Return why contracts cannot be fetched and run on this machine, or ``None`` if they can.

    A network that is down is found later, by ``fetch``.
    """
    try:
        import pyrevm  # noqa: F401 - whether it can be imported is the question
    except ImportError:
        return "pyrevm is not installed: pip install 'seawall[evm]' (Python 3.10 to 3.12)"
    absent = [tool for tool in ("npm", "node") if shutil.which(tool) is None]
    return (
        f"{' and '.join(absent)} not on the path: install Node.js 18 or newer" if absent else None
    )


def fetch(name: str, version: str, cache: Path | None = None) -> Path:
    """Return the folder of an unpacked npm package, fetched on the first call.

    Raises:
        ToolError: npm is missing, or cannot bring the package.
    """
    packages = (cache or default_cache()) / "packages"
    folder = packages / f"{name.replace('@', '').replace('/', '-')}-{version}"
    if folder.is_dir():
        return folder
    packages.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=packages) as scratch:
        spec = f"{name}@{version}"
        _run(["npm", "pack", "--silent", spec], FETCH_SECONDS, f"fetch {spec}", cwd=Path(scratch))
        (tarball,) = Path(scratch).glob("*.tgz")
        unpacked = Path(scratch) / "unpacked"
        with tarfile.open(tarball) as archive:
            archive.extractall(unpacked, filter="data")
        (top,) = unpacked.iterdir()
        _move_into_place(top, folder)
    return folder


def read_artifact(path: Path) -> Artifact:
    """Return a contract that its package ships compiled, from hardhat's JSON file."""
    stored = json.loads(path.read_text())
    return _to_artifact(
        stored["contractName"], stored["abi"], stored["bytecode"], stored["linkReferences"]
    )


@cache
def find_artifact(folder: Path, name: str) -> Artifact:
    """Return the contract of a name that a package ships compiled, anywhere below a folder."""
    (path,) = folder.rglob(f"{name}.json")
    return read_artifact(path)


def gather_sources(
    entries: Iterable[str], roots: Mapping[str, Path], replaced: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the text of some source files and of all that they import, by source name.

    Args:
        entries: names of the files to start from, such as ``src/contracts/Pool.sol``.
        roots: the folder that stands for each prefix of a name; the longest prefix counts.
        replaced: texts given by name, taken instead of a file.

    Raises:
        ToolError: an imported file is nowhere under the roots.
    """
    found: dict[str, str] = {}
    wanted = list(entries)
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        text = (replaced or {}).get(name)
        found[name] = text = _read_source(name, roots) if text is None else text
        wanted += [_resolve(name, imported) for imported in _IMPORT.findall(text)]
    return dict(sorted(found.items()))


def compile_sources(
    sources: Mapping[str, str],
    contracts: Iterable[str],
    *,
    solc: str,
    settings: Mapping[str, Any] | None = None,
    cache: Path | None = None,
) -> dict[str, Artifact]:
    """Return the named contracts, compiled, by name.

    Args:
        sources: text by source name, closed under imports.
        contracts: names of contracts, each defined once in the sources.
        solc: version of npm's ``solc`` package.
        settings: the compiler's settings but for the selection of outputs, which stands for all
            sources; the optimizer runs 200 times if they do not say.
        cache: the folder to fetch into and to keep results in.

    Raises:
        ToolError: the compiler cannot be had or run, or refuses the sources.
    """
    outputs = {"*": {"*": ["abi", "evm.bytecode.object", "evm.bytecode.linkReferences"]}}
    chosen = {"optimizer": {"enabled": True, "runs": 200}, **(settings or {})}
    request = json.dumps(
        {
            "language": "Solidity",
            "sources": {name: {"content": text} for name, text in sorted(sources.items())},
            "settings": {**chosen, "outputSelection": outputs},
        },
        sort_keys=True,
    )
    digest = sha256(f"{solc}\n{request}".encode()).hexdigest()[:24]
    path = (cache or default_cache()) / "compiled" / f"{digest}.json"
    if not path.is_file():
        _store(path, _compile(request, solc, cache))
    compiled = json.loads(path.read_text())
    return {name: _to_artifact(name, *_pick(compiled, name)) for name in contracts}


def own_contracts(cache: Path | None = None) -> dict[str, Artifact]:
    """Return Seawall's own contracts: ``Token`` and ``PriceFeed``, compiled.

    ``Token(string symbol, uint8 decimals)`` has ``mint(to, amount)`` for everybody; ``PriceFeed``
    has ``set(int256)`` and answers ``latestAnswer``, ``latestRoundData`` and ``decimals``, which
    are 8, as Chainlink's do.
    """
    folder = files("seawall.verify") / "contracts"
    names = ("Token", "PriceFeed")
    sources = {f"{name}.sol": (folder / f"{name}.sol").read_text() for name in names}
    return compile_sources(sources, names, solc=OWN_COMPILER, cache=cache)


def _run(command: list[str], seconds: int, purpose: str, **options: Any) -> str:
    """Return the standard output of a program, or say in one line why there is none."""
    if shutil.which(command[0]) is None:
        raise ToolError(f"{command[0]} is needed to {purpose} and is missing: install Node.js")
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603 - the commands stand in this file
            command, capture_output=True, text=True, timeout=seconds, check=False, **options
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"{command[0]} did not {purpose} within {seconds} s: try again") from None
    if done.returncode != 0:
        last = " ".join(done.stderr.split())[-200:] or f"exit code {done.returncode}"
        raise ToolError(f"{command[0]} could not {purpose} ({last}): is the network up?")
    return done.stdout


def _move_into_place(source: Path, target: Path) -> None:
    """Move a folder that another process may be making at the same moment."""
    try:
        source.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _read_source(name: str, roots: Mapping[str, Path]) -> str:
    for prefix in sorted(roots, key=len, reverse=True):
        path = roots[prefix] / name.removeprefix(prefix)
        if name.startswith(prefix) and path.is_file():
            return path.read_text()
    raise ToolError(f"a source file must lie under {', '.join(roots)}, is {name!r}: add its root")


def _resolve(importer: str, imported: str) -> str:
    """Return the source name that an import means: relative to its file, or as it stands."""
    if not imported.startswith("."):
        return imported
    parts: list[str] = list(PurePosixPath(importer).parent.parts)
    for part in PurePosixPath(imported).parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _compile(request: str, solc: str, cache: Path | None) -> dict[str, Any]:
    compiler = fetch("solc", solc, cache) / "soljson.js"
    answer = json.loads(
        _run(
            ["node", "--max-old-space-size=4096", "-e", _RUN_SOLC, str(compiler)],
            COMPILE_SECONDS,
            f"compile with solc {solc}",
            input=request,
        )
    )
    for problem in answer.get("errors", []):
        if problem["severity"] == "error":
            line = " ".join(problem["formattedMessage"].split())
            raise ToolError(f"solc {solc} must compile the sources, says {line[:300]}")
    contracts: dict[str, Any] = answer["contracts"]
    return contracts


def _store(path: Path, value: object) -> None:
    """Write JSON so that a reader finds the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False) as file:
        json.dump(value, file)
    Path(file.name).replace(path)


def _pick(compiled: Mapping[str, Any], name: str) -> tuple[Any, str, Mapping[str, Any]]:
    found = [unit[name] for unit in compiled.values() if name in unit]
    if len(found) != 1:
        raise ToolError(f"a contract must be defined once in the sources, {name} is {len(found)}x")
    code = found[0]["evm"]["bytecode"]
    return found[0]["abi"], code["object"], code["linkReferences"]


def _to_artifact(
    name: str, abi: Iterable[Mapping[str, Any]], bytecode: str, references: Mapping[str, Any]
) -> Artifact:
    links = {
        library: tuple(int(place["start"]) for place in places)
        for unit in references.values()
        for library, places in unit.items()
    }
    return Artifact(name=name, abi=tuple(abi), bytecode=bytecode.removeprefix("0x"), links=links)
