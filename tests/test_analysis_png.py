"""The main figure can be written without a screen, and its absence is explained."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_result import make_result

from seawall.analysis.png import write_png
from seawall.errors import SeawallError


def test_a_png_is_written(tmp_path: Path) -> None:
    """The file is a PNG of 1,800 x 1,350 pixels; dollar signs in a name are no formula."""
    pytest.importorskip("matplotlib")
    result = replace(make_result(500), agent="agents.$x_{$")
    data = write_png(result, tmp_path / "new" / "figure.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    size = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    assert size == (1_800, 1_350)


def test_a_missing_matplotlib_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the message says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SeawallError, match=r"pip install 'seawall\[png\]'"):
        write_png(make_result(100), tmp_path / "figure.png")
