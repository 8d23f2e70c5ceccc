"""Lending rates become daily signals, known when their snapshot was taken."""

from pathlib import Path

import pandas as pd
import pytest

from seawall.errors import DataError
from seawall.market.catalog import Catalog
from seawall.market.importer import check_file, import_files
from seawall.market.series import SeriesKey
from seawall.units import DAY_MS, to_time_ms

WETH_BORROW = SeriesKey("signal", "aave-v3-ethereum", "WETH.borrow_rate", "1d")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Return an empty catalog."""
    return Catalog(tmp_path / "catalog")


def write_rates(folder: Path, stamps: list[str], **changes: str) -> Path:
    """Write snapshots of WETH and USDC on Ethereum, and of WETH on another network."""
    frames = [
        pd.DataFrame(
            {
                "timestamp": pd.to_datetime(stamps),
                "network": network,
                "symbol": symbol,
                "liquidity_rate": [0.01 * (n + 1) for n in range(len(stamps))],
                "variable_borrow_rate": [0.02 * (n + 1) for n in range(len(stamps))],
                "ltv": 0.8,
            }
        )
        for network, symbol in (("ethereum", "WETH"), ("ethereum", "USDC"), ("base", "WETH"))
    ]
    path = folder / "defi" / "aave-v3" / "reserves-daily.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.concat(frames).assign(**changes).to_parquet(path)
    return path


STAMPS = ["2025-08-01T00:20", "2025-08-02T00:20", "2025-08-04T13:00"]


def test_each_asset_has_a_supply_and_a_borrow_rate(tmp_path: Path, catalog: Catalog) -> None:
    """Of Ethereum alone; a value describes the day of its snapshot and is known from it on."""
    imported = import_files([write_rates(tmp_path, STAMPS)], catalog)
    assert list(map(str, catalog.keys())) == [
        "signal/aave-v3-ethereum/USDC.borrow_rate/1d",
        "signal/aave-v3-ethereum/USDC.supply_rate/1d",
        "signal/aave-v3-ethereum/WETH.borrow_rate/1d",
        "signal/aave-v3-ethereum/WETH.supply_rate/1d",
    ]
    signal = catalog.read_signal(WETH_BORROW)
    assert signal.value.tolist() == pytest.approx([0.02, 0.04, 0.06])
    assert signal.known_ms.tolist() == [to_time_ms(stamp) for stamp in STAMPS]
    assert signal.time_ms.tolist() == [to_time_ms(stamp[:10]) for stamp in STAMPS]
    assert "1 other networks stay out" in imported[0].notes


def test_the_first_snapshot_of_a_day_stays(tmp_path: Path, catalog: Catalog) -> None:
    """Of two in one day the later is left out and counted: it was known later."""
    stamps = ["2025-08-01T00:20", "2025-08-01T04:08", "2025-08-02T00:20"]
    imported = import_files([write_rates(tmp_path, stamps)], catalog)
    assert catalog.read_signal(WETH_BORROW).value.tolist() == pytest.approx([0.02, 0.06])
    assert "1 later snapshots of a day stay out" in imported[0].notes


def test_one_asset_may_be_asked_for(tmp_path: Path, catalog: Catalog) -> None:
    """``--symbol`` names the asset, ``--venue`` the venue; an unknown asset is refused."""
    path = write_rates(tmp_path, STAMPS)
    import_files([path], catalog, symbol="USDC", venue="aave-v3")
    assert list(map(str, catalog.keys())) == [
        "signal/aave-v3/USDC.borrow_rate/1d",
        "signal/aave-v3/USDC.supply_rate/1d",
    ]
    with pytest.raises(DataError, match="has none of 'DOGE'"):
        import_files([path], catalog, symbol="DOGE")


def test_what_cannot_be_taken_says_why(tmp_path: Path, catalog: Catalog) -> None:
    """Without Ethereum, or in a folder that names no venue, the file is refused."""
    with pytest.raises(DataError, match="lending rates are taken of ethereum"):
        import_files([write_rates(tmp_path, STAMPS, network="base")], catalog)
    elsewhere = tmp_path / "elsewhere" / "rates.parquet"
    elsewhere.parent.mkdir()
    write_rates(tmp_path, STAMPS).rename(elsewhere)
    with pytest.raises(DataError, match="say --venue"):
        import_files([elsewhere], catalog)
    assert catalog.keys() == []


def test_a_file_of_rates_can_be_checked(tmp_path: Path) -> None:
    """The check finds the day without a snapshot in each of the four series."""
    reports = check_file(write_rates(tmp_path, STAMPS))
    assert len(reports) == 4
    assert [finding.rule for report in reports for finding in report.findings] == ["gap"] * 4


@pytest.mark.slow
def test_the_rates_of_the_shared_data_are_taken(shared_data: Path, catalog: Catalog) -> None:
    """67 assets of Ethereum, two series each, 395 days from 2025-07-22 on."""
    path = shared_data / "defi" / "aave-v3" / "reserves-daily.parquet"
    imported = import_files([path], catalog)
    assert len(imported) == 2 * 67
    signal = catalog.read_signal(WETH_BORROW)
    assert (len(signal), signal.time_ms[0]) == (395, to_time_ms("2025-07-22"))
    assert (signal.known_ms - signal.time_ms).max() < DAY_MS
    assert signal.value[0] == pytest.approx(0.044958)
