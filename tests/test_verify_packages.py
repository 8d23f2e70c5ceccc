"""Contracts from npm: what is missing is said, sources are gathered whole, results are kept."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from seawall.errors import ToolError
from seawall.verify import packages
from seawall.verify.packages import (
    compile_sources,
    fetch,
    gather_sources,
    missing_tools,
    own_contracts,
    read_artifact,
)


def test_missing_pyrevm_is_the_reason_to_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no wheel of pyrevm, the proofs say so instead of failing."""
    monkeypatch.setitem(sys.modules, "pyrevm", None)
    assert "pip install 'seawall[evm]'" in (missing_tools() or "")


def test_missing_npm_is_the_reason_to_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Node.js nothing can be fetched or compiled."""
    monkeypatch.setitem(sys.modules, "pyrevm", packages)  # any module: it only has to be there
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert (missing_tools() or "").startswith("npm and node not on the path: install")


def test_a_package_that_cannot_be_fetched_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without npm the error names what was wanted, and nothing is left in the cache."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ToolError, match=r"npm is needed to fetch a-package@1\.0\.0 and is missing"):
        fetch("a-package", "1.0.0", tmp_path)
    assert list((tmp_path / "packages").iterdir()) == []


def test_what_was_fetched_once_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run needs no npm and no network."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    folder = tmp_path / "packages" / "aave-core-v3-1.19.3"
    folder.mkdir(parents=True)
    assert fetch("@aave/core-v3", "1.19.3", tmp_path) == folder


def test_sources_are_gathered_with_all_they_import(tmp_path: Path) -> None:
    """Relative names, other roots and lists of names are followed; what is commented out is not."""
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "deep" / "A.sol").write_text(
        "import {B, C} from '../B.sol';\nimport \"lib/C.sol\";\n// import './D.sol';\ncontract A {}"
    )
    (tmp_path / "src" / "B.sol").write_text("import './deep/A.sol';")
    (tmp_path / "C.sol").write_text("contract C {}")
    roots = {"src/": tmp_path / "src", "lib/": tmp_path}
    assert list(gather_sources(["src/deep/A.sol"], roots)) == [
        "lib/C.sol",
        "src/B.sol",
        "src/deep/A.sol",
    ]


def test_a_source_under_no_root_is_named(tmp_path: Path) -> None:
    """The error says which file is missing and where it was looked for."""
    with pytest.raises(ToolError, match=r"must lie under src/, is 'src/A.sol': add its root"):
        gather_sources(["src/A.sol"], {"src/": tmp_path})


def test_compiled_contracts_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same request is answered from the cache; another setting is another request."""
    asked: list[str] = []

    def compile_once(request: str, _solc: str, _cache: Path | None) -> dict[str, object]:
        asked.append(request)
        code = {"object": "6000", "linkReferences": {"L.sol": {"L": [{"start": 1, "length": 20}]}}}
        return {"A.sol": {"A": {"abi": [], "evm": {"bytecode": code}}}}

    monkeypatch.setattr(packages, "_compile", compile_once)
    first = compile_sources({"A.sol": "contract A {}"}, ["A"], solc="0.8.27", cache=tmp_path)
    again = compile_sources({"A.sol": "contract A {}"}, ["A"], solc="0.8.27", cache=tmp_path)
    assert first == again
    assert (first["A"].bytecode, first["A"].links) == ("6000", {"L": (1,)})
    assert len(asked) == 1
    compile_sources(
        {"A.sol": "contract A {}"},
        ["A"],
        solc="0.8.27",
        settings={"viaIR": True},
        cache=tmp_path,
    )
    assert [json.loads(x)["settings"].get("viaIR") for x in asked] == [None, True]


def test_a_contract_that_is_not_in_the_sources_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that the compiler does not know is an error, not an empty contract."""
    monkeypatch.setattr(packages, "_compile", lambda *_: {"A.sol": {}})
    with pytest.raises(ToolError, match="must be defined once in the sources, A is 0x"):
        compile_sources({"A.sol": ""}, ["A"], solc="0.8.27", cache=tmp_path)


def test_a_shipped_artifact_is_read(tmp_path: Path) -> None:
    """Hardhat's file of a contract gives its interface, its code and where libraries go."""
    path = tmp_path / "Pool.json"
    stored = {
        "contractName": "Pool",
        "abi": [{"type": "constructor", "inputs": []}],
        "bytecode": "0x60__$placeholder$__",
        "linkReferences": {"x/Logic.sol": {"Logic": [{"start": 1, "length": 20}]}},
    }
    path.write_text(json.dumps(stored))
    artifact = read_artifact(path)
    assert (artifact.name, artifact.bytecode[:2], artifact.links) == ("Pool", "60", {"Logic": (1,)})


@pytest.mark.evm
@pytest.mark.skipif(missing_tools() is not None, reason=missing_tools() or "")
def test_what_does_not_compile_is_one_line(tmp_path: Path) -> None:
    """The compiler's first error is passed on."""
    own_contracts()  # skips below are about the network, not about this test
    with pytest.raises(ToolError, match=r"solc 0.8.19 must compile the sources, says \w+Error"):
        compile_sources({"A.sol": "contract A {"}, ["A"], solc="0.8.19", cache=tmp_path)
