"""Leverage brackets: shipped, checked, kept in the catalog, imported and fetched."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from math import inf
from pathlib import Path

import ccxt
import numpy as np
import pytest
from binance_server import BinanceServer, Fault, point_at
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.cli import main
from seawall.errors import DataError
from seawall.market import bracket_files
from seawall.market import download as download_module
from seawall.market.bracket_files import (
    find_brackets,
    import_brackets,
    store_brackets,
    stored_brackets,
)
from seawall.market.brackets import Brackets, Tier, find_shipped, from_ccxt, shipped_brackets
from seawall.market.catalog import Catalog
from seawall.units import to_time_ms
from seawall.venues.perpetual import layout
from seawall.venues.perpetual.tables import to_table

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
SERVER_DAY = "2026-11-05"


def tiers_of(*rows: tuple[float, float, float]) -> tuple[Tier, ...]:
    """Return tiers of cap, rate and leverage that join, with the amounts of the formula."""
    made: list[Tier] = []
    floor = rate = amount = 0.0
    for cap, next_rate, leverage in rows:
        amount += floor * (next_rate - rate)
        made.append(
            Tier(floor=floor, cap=cap, rate=next_rate, amount=amount, max_leverage=leverage)
        )
        floor, rate = cap, next_rate
    return tuple(made)


def brackets_of(day: str, *rows: tuple[float, float, float], symbol: str = ETH) -> Brackets:
    """Return brackets of a day."""
    rows = rows or ((50_000.0, 0.01, 50.0), (100_000.0, 0.05, 10.0))
    return Brackets(symbol=symbol, seen_ms=to_time_ms(day), source="test", tiers=tiers_of(*rows))


def in_ccxt(tiers: tuple[Tier, ...]) -> list[dict[str, object]]:
    """Return tiers as ccxt and freqtrade write them."""
    return [
        {
            "minNotional": tier.floor, "maxNotional": tier.cap, "maxLeverage": tier.max_leverage,
            "maintenanceMarginRate": tier.rate, "info": {"cum": str(tier.amount)},
        }
        for tier in tiers
    ]  # fmt: skip


def test_four_tables_ship() -> None:
    """BTC and ETH, 2024-10-24 with 125x and 2026-09-29 with 150x, twelve tiers each."""
    shipped = {one.name: one for one in shipped_brackets()}
    assert sorted(shipped) == [
        f"{symbol} {day}" for symbol in (BTC, ETH) for day in ("2024-10-24", "2026-09-29")
    ]
    assert {one.max_leverage for name, one in shipped.items() if "2024" in name} == {125.0}
    assert {one.max_leverage for name, one in shipped.items() if "2026" in name} == {150.0}
    assert {len(one.tiers) for one in shipped.values()} == {12}
    assert all("freqtrade" in one.source for one in shipped.values())


@pytest.mark.parametrize(
    ("symbol", "day", "number", "expected"),
    [
        (BTC, "2024-10-24", 3, (600e3, 3e6, 0.0065, 950.0, 75.0)),
        (BTC, "2024-10-24", 12, (1.2e9, 1.8e9, 0.5, 421_481_450.0, 1.0)),
        (BTC, "2026-09-29", 1, (0.0, 300e3, 0.004, 0.0, 150.0)),
        (BTC, "2026-09-29", 5, (12e6, 70e6, 0.02, 132_000.0, 25.0)),
        (ETH, "2024-10-24", 7, (65e6, 150e6, 0.05, 2_006_450.0, 10.0)),
        (ETH, "2026-09-29", 6, (50e6, 65e6, 0.025, 382_000.0, 20.0)),
        (ETH, "2026-09-29", 11, (530e6, 800e6, 0.25, 80_507_000.0, 2.0)),
    ],
)
def test_tiers_are_those_of_the_source(
    symbol: str, day: str, number: int, expected: tuple[float, float, float, float, float]
) -> None:
    """Floor, cap, rate, amount and leverage; BTC, tier 3: 600,000 * 0.0015 + 50 = 950."""
    table = next(one for one in find_shipped("binanceusdm", symbol) if one.day == day)
    tier = table.tiers[number - 1]
    assert (tier.floor, tier.cap, tier.rate, tier.amount, tier.max_leverage) == expected


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(shipped_brackets()), st.integers(0, 10))
def test_margin_is_continuous_from_tier_to_tier(table: Brackets, k: int) -> None:
    """At a cap, this tier's margin and the next one's are the same."""
    below, above = table.tiers[k], table.tiers[k + 1]
    at_cap = below.cap * below.rate - below.amount
    assert at_cap == pytest.approx(above.floor * above.rate - above.amount, rel=1e-12)


def test_leverage_caps_the_notional() -> None:
    """ETH 2024: 20x up to 65 million, 21x up to 50, 125x up to 50,000, 126x not at all."""
    table = find_shipped("binance", ETH)[0]
    assert [table.largest(x) for x in (20, 21, 125, 126)] == [65e6, 50e6, 50e3, 0.0]


@pytest.mark.parametrize(
    ("tier", "change", "message"),
    [
        (0, {"floor": 1.0}, "must begin at 0"),
        (1, {"floor": 40_000.0}, "must begin at 50,000"),
        (1, {"cap": 50_000.0}, "must end above its floor"),
        (1, {"cap": inf}, "must end above its floor"),
        (1, {"rate": 0.01}, "must have a rate above 0.01"),
        (1, {"amount": 2_001.0}, "must have the amount 2,000"),
        (1, {"amount": float("nan")}, "must have the amount 2,000"),
        (1, {"max_leverage": 51.0}, "must have a leverage from 1 to 50"),
        (0, {"max_leverage": 100.0}, "must ask for more margin at first than is to be kept"),
    ],
)
def test_tiers_that_do_not_join_are_refused(
    tier: int, change: dict[str, float], message: str
) -> None:
    """50,000 * (0.05 - 0.01) = 2,000 is the second amount; the message names tier and rule."""
    good = brackets_of("2025-01-01")
    tiers = list(good.tiers)
    tiers[tier] = replace(tiers[tier], **change)
    with pytest.raises(DataError, match=rf"tier {tier + 1} of the brackets of .* {message}"):
        replace(good, tiers=tuple(tiers))


def test_brackets_without_a_tier_are_refused() -> None:
    """Nothing is no table."""
    with pytest.raises(DataError, match="must have a tier"):
        replace(brackets_of("2025-01-01"), tiers=())


def test_ccxt_without_amounts_gets_those_of_the_formula() -> None:
    """Other exchanges than Binance do not tell the amount; a number that is missing is named."""
    table = find_shipped("binance", BTC)[0]
    tiers = in_ccxt(table.tiers)
    for tier in tiers:
        del tier["info"]
    seen = {"symbol": BTC, "venue": "bybit", "source": "test"}
    made = from_ccxt(tiers, seen_ms=0, **seen)
    expected = np.array([tier.amount for tier in table.tiers])
    assert [tier.amount for tier in made.tiers] == pytest.approx(expected, rel=1e-12)
    assert made.venue == "bybit"
    tiers[2]["maxNotional"] = None
    with pytest.raises(DataError, match="maxNotional is None"):
        from_ccxt(tiers, seen_ms=0, **seen)


def test_the_venue_reads_padded_arrays() -> None:
    """Two tiers beside twelve: behind the second the floor is inf and no leverage is allowed."""
    table = to_table([find_shipped("binance", ETH)[0], brackets_of("2025-01-01")])
    assert table.shape == (2, 12, layout.N_TIER)
    assert table[0, 2].tolist() == [600e3, 3e6, 0.0065, 950.0, 75.0]
    assert table[1, 1].tolist() == [50e3, 100e3, 0.05, 2_000.0, 10.0]
    assert np.isinf(table[1, 2:, layout.FLOOR]).all()
    assert not table[1, 2:, layout.MAX_LEVERAGE].any()


def test_the_catalog_keeps_tables_beside_the_shipped_ones(tmp_path: Path) -> None:
    """A table of another day joins them in order; of the same day, the catalog's counts."""
    catalog = Catalog(tmp_path)
    between, instead = brackets_of("2025-06-01"), brackets_of("2026-09-29")
    store_brackets(catalog, instead)
    store_brackets(catalog, between)
    shipped = find_shipped("binance", ETH)
    assert find_brackets(catalog, "binance", ETH) == (shipped[0], between, instead)
    assert find_brackets(catalog, "binanceusdm", ETH) == (shipped[0], between, instead)
    assert find_brackets(catalog, "bybit", ETH) == ()
    assert stored_brackets(catalog) == [between, instead]
    assert catalog.keys() == []  # they are no series


def test_a_killed_write_leaves_the_old_table_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A draft that never got its name is not read, and the next write takes its place."""
    catalog = Catalog(tmp_path)
    old, new = brackets_of("2025-06-01"), brackets_of("2025-06-01", (10.0, 0.5, 1.0))
    store_brackets(catalog, old)

    def die(draft: Path, _path: Path) -> None:
        draft.write_text(draft.read_text(encoding="utf-8")[:40], encoding="utf-8")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bracket_files, "put_whole", die)
        with pytest.raises(KeyboardInterrupt):
            store_brackets(catalog, new)
    assert stored_brackets(catalog) == [old]
    store_brackets(catalog, new)
    assert stored_brackets(catalog) == [new]


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 2}', '{"schema_version": 1}'])
def test_a_damaged_table_is_named(tmp_path: Path, text: str) -> None:
    """The message names the file and says to delete it."""
    catalog = Catalog(tmp_path)
    store_brackets(catalog, brackets_of("2025-06-01"))
    (path,) = tmp_path.rglob("*.json")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"2025-06-01\.json.*delete it"):
        find_brackets(catalog, "binance", ETH)


def write_tiers(path: Path, *symbols: str) -> Path:
    """Write a file as freqtrade's, with the same tiers for each symbol."""
    tiers = in_ccxt(find_shipped("binance", ETH)[1].tiers)
    path.write_text(json.dumps(dict.fromkeys(symbols, tiers)), encoding="utf-8")
    return path


def test_freqtrades_file_is_imported(tmp_path: Path) -> None:
    """Perpetuals are taken; delivery contracts and names that make no folder are told."""
    dated, unnamed = f"{ETH}-261225", "币安/USDT:USDT"
    path = write_tiers(
        tmp_path / "binance_leverage_tiers.json", ETH, "SOL/USDC:USDC", dated, unnamed
    )
    catalog = Catalog(tmp_path / "catalog")
    found = import_brackets(path, catalog, as_of="2025-03-01")
    assert [one.name for one in found.tables] == [f"{ETH} 2025-03-01", "SOL/USDC:USDC 2025-03-01"]
    assert found.passed_over == (dated, unnamed)
    assert stored_brackets(catalog) == list(found.tables)
    one = import_brackets(path, catalog, as_of="2025-04-01", symbol=ETH, venue="other")
    assert [(t.venue, t.name) for t in one.tables] == [("other", f"{ETH} 2025-04-01")]


@pytest.mark.parametrize(
    ("text", "as_of", "message"),
    [
        (None, "2025-03-01", "there is no file"),
        ("{", "2025-03-01", "must be JSON"),
        ("[]", "2025-03-01", "list of tiers by symbol"),
        ('{"ETH/USDT:USDT": 1}', "2025-03-01", "list of tiers by symbol"),
        ('{"ETH/USDT:USDT": [1]}', "2025-03-01", "a tier is 1"),
        ('{"SOL/USDT:USDT": []}', "2025-03-01", "has no brackets of 'ETH/USDT:USDT'"),
        ('{"ETH/USDT:USDT": []}', None, "say --as-of"),
    ],
)
def test_another_file_is_refused(
    tmp_path: Path, text: str | None, as_of: str | None, message: str
) -> None:
    """Each with what is wrong, and nothing is stored."""
    path = tmp_path / "tiers.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    catalog = Catalog(tmp_path / "catalog")
    with pytest.raises(DataError, match=message):
        import_brackets(path, catalog, as_of=as_of, symbol=ETH)
    assert stored_brackets(catalog) == []


def test_one_bad_symbol_stores_nothing(tmp_path: Path) -> None:
    """All tables of a file are checked before one is stored."""
    good = in_ccxt(find_shipped("binance", ETH)[0].tiers)
    path = tmp_path / "tiers.json"
    path.write_text(json.dumps({ETH: good, BTC: good[1:]}), encoding="utf-8")
    catalog = Catalog(tmp_path / "catalog")
    with pytest.raises(DataError, match="tier 1 of the brackets of BTC"):
        import_brackets(path, catalog, as_of="2025-03-01")
    assert stored_brackets(catalog) == []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[BinanceServer]:
    """Serve brackets of ETHUSDT to whoever signs, and keep catalog and keys apart."""
    monkeypatch.setenv("SEAWALL_DATA", str(tmp_path / "catalog"))
    for name in ("BINANCE_API_KEY", "BINANCE_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    opened = download_module.open_exchange

    def open_here(name: str, market_type: str) -> ccxt.Exchange:
        exchange = opened(name, "swap" if market_type == "swap" else "spot")
        point_at(exchange, running.url)
        exchange.urls["api"] |= {"fapiPrivate": running.url + "/fapi/v1"}
        return exchange

    monkeypatch.setattr(download_module, "open_exchange", open_here)
    rows = [
        {
            "bracket": k, "initialLeverage": int(t.max_leverage), "notionalCap": t.cap,
            "notionalFloor": t.floor, "maintMarginRatio": t.rate, "cum": t.amount,
        }
        for k, t in enumerate(find_shipped("binance", ETH)[1].tiers, start=1)
    ]  # fmt: skip
    answer = json.dumps([{"symbol": "ETHUSDT", "brackets": rows}])
    with BinanceServer(now_ms=to_time_ms(f"{SERVER_DAY}T13:00")) as running:
        running.faults = [Fault(path="/fapi/v1/leverageBracket", body=answer)]
        yield running


def seawall(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run ``seawall data ...`` in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["seawall", "data", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


GET = ("get", "binance", ETH, "--kind", "brackets")


def test_get_without_keys_names_the_remedies(
    server: BinanceServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Binance's endpoint is signed: set keys, or import a file; nothing was asked unsigned."""
    assert seawall(monkeypatch, *GET) == 4
    told = capsys.readouterr().err
    assert "BINANCE_API_KEY and BINANCE_API_SECRET" in told
    assert "import FILE --as-of DATE" in told
    assert not [request for request in server.requests if "leverageBracket" in request]


def test_get_with_keys_stores_the_table_of_the_day(
    server: BinanceServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The day is the exchange's; `data list` shows the table."""
    monkeypatch.setenv("BINANCE_API_KEY", "key")
    monkeypatch.setenv("BINANCE_API_SECRET", "secret")
    assert seawall(monkeypatch, *GET) == 0
    (stored,) = stored_brackets(Catalog())
    assert stored.name == f"{ETH} {SERVER_DAY}"
    assert stored.tiers == find_shipped("binance", ETH)[1].tiers
    assert any("leverageBracket" in request for request in server.requests)
    capsys.readouterr()
    assert seawall(monkeypatch, "list") == 0
    assert "brackets/binance/ETH-USDT:USDT" in capsys.readouterr().out
    assert seawall(monkeypatch, "list", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["kind"], row["symbol"], row["seen"]) == ("brackets", ETH, SERVER_DAY)


def test_import_from_the_command_line(
    server: BinanceServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A JSON file holds brackets: with a day it is taken, without one refused."""
    path = str(write_tiers(tmp_path / "tiers.json", ETH, BTC))
    assert seawall(monkeypatch, "import", path) == 3
    assert "--as-of" in capsys.readouterr().err
    assert seawall(monkeypatch, "import", path, "--as-of", "2025-03-01") == 0
    assert "leverage brackets of 2 contracts, seen 2025-03-01" in capsys.readouterr().out
    assert len(stored_brackets(Catalog())) == 2
    assert server.requests == []


def test_get_of_history_still_says_where_to_begin(
    server: BinanceServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only brackets have no begin."""
    assert seawall(monkeypatch, "get", "binance", ETH) == 2
    assert "--since" in capsys.readouterr().err
    assert server.requests == []
