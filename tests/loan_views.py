"""Loans made by hand: the view of one bar, built from balances and prices."""

from collections.abc import Mapping
from dataclasses import replace
from math import inf

import numpy as np

from seawall.loan_view import LoanTerms, LoanView
from seawall.venues.gas import GAS_UNITS
from seawall.venues.lending import layout

ASSETS = ("WETH", "USDC", "ETH")
ETH_USDC = LoanTerms(
    protocol="aave v3.0",
    assets=ASSETS,
    collateral="WETH",
    debt="USDC",
    threshold={"WETH": 0.83, "USDC": 0.80, "ETH": 0.0},
    max_ltv={"WETH": 0.805, "USDC": 0.77, "ETH": 0.0},
    bonus={"WETH": 0.05, "USDC": 0.045, "ETH": 0.0},
    swap_fee=0.0005,
    depth_usd=50_000_000.0,
    flash_premium=0.0005,
    has_flash_loans=True,
    gas_units=GAS_UNITS,
    delay_ms=12_000,
)
STAKED = replace(
    ETH_USDC,
    assets=("wstETH", "WETH", "ETH"),
    collateral="wstETH",
    debt="WETH",
    threshold={"wstETH": 0.93, "WETH": 0.93, "ETH": 0.0},
    max_ltv={"wstETH": 0.90, "WETH": 0.90, "ETH": 0.0},
    bonus={"wstETH": 0.01, "WETH": 0.01, "ETH": 0.0},
)
PRICES = {"WETH": 2_000.0, "wstETH": 2_300.0, "USDC": 1.0, "ETH": 2_000.0}


def make_loan(
    *,
    collateral: float | None = None,
    health: float | None = None,
    debt: float | None = None,
    wallet: Mapping[str, float] | None = None,
    terms: LoanTerms = ETH_USDC,
    prices: Mapping[str, float] = PRICES,
    market: Mapping[str, float] | None = None,
    gas_gwei: float = 20.0,
    spent_usd: float = 0.0,
    pending: int = 0,
) -> LoanView:
    """Return the view of a loan of ``collateral`` tokens (10) at a health factor or with a debt.

    ``market``: market prices that differ from the oracle's. The wallet holds 1 ETH for gas.
    """
    c, d = terms.collateral, terms.debt
    held = 10.0 if collateral is None else collateral
    limit = held * prices[c] * terms.threshold[c]
    owed = debt if debt is not None else (limit / health / prices[d] if health else 0.0)
    purse = {"ETH": 1.0, **(wallet or {})}
    paid = {**prices, **(market or {})}
    row = to_row(
        terms=terms,
        collateral={c: held},
        debt={d: owed},
        wallet=purse,
        prices=prices,
        market=paid,
        gas_gwei=gas_gwei,
        spent_usd=spent_usd,
    )
    return LoanView(row, terms, pending)


def to_row(
    *,
    terms: LoanTerms,
    collateral: Mapping[str, float],
    debt: Mapping[str, float],
    wallet: Mapping[str, float],
    prices: Mapping[str, float],
    market: Mapping[str, float],
    gas_gwei: float = 20.0,
    spent_usd: float = 0.0,
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the row of a trace that shows these balances at these prices."""

    def value(tokens: Mapping[str, float], at: Mapping[str, float]) -> float:
        return sum(amount * at[asset] for asset, amount in tokens.items())

    n = len(terms.assets)
    row = np.zeros(layout.trace_width(n))
    weighted = {a: x * terms.threshold[a] for a, x in collateral.items()}
    allowed = {a: x * terms.max_ltv[a] for a, x in collateral.items()}
    limit, owed = value(weighted, prices), value(debt, prices)
    row[layout.SHOWN_HEALTH] = row[layout.SHOWN_MIN_HEALTH] = limit / owed if owed else inf
    row[layout.SHOWN_COLLATERAL_USD] = value(collateral, prices)
    row[layout.SHOWN_DEBT_USD] = owed
    row[layout.SHOWN_WALLET_USD] = value(wallet, market)
    held = value(collateral, market) + value(wallet, market)
    row[layout.SHOWN_EQUITY] = held - value(debt, market)
    row[layout.SHOWN_GAS] = gas_gwei
    row[layout.SHOWN_SPENT] = spent_usd
    row[layout.SHOWN_LIMIT_USD] = limit
    row[layout.SHOWN_BORROWABLE_USD] = value(allowed, prices)
    blocks = (
        (layout.T_COLLATERAL, collateral),
        (layout.T_DEBT, debt),
        (layout.T_WALLET, wallet),
        (layout.T_ORACLE, prices),
        (layout.T_PRICE, market),
    )
    for place, tokens in blocks:
        start = layout.N_TRACE + place * n
        row[start : start + n] = [tokens.get(asset, 0.0) for asset in terms.assets]
    return row
