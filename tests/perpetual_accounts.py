"""Futures accounts with the brackets of Binance, as ``layout`` has them, for tests."""

from math import inf

import numpy as np

from seawall.market.series import FloatArray
from seawall.venues import spot
from seawall.venues.perpetual import layout, liquidation, margin
from seawall.venues.perpetual.positions import trade

BTC, ETH = range(2)
N = 2
START = np.array([60_000.0, 2_500.0])

# Binance USD-M, 2024-10-24: CAP in thousands, RATE in per cent, AMOUNT, MAX_LEVERAGE.
_TO_12M = [
    (50, 0.4, 0, 125), (600, 0.5, 50, 100), (3_000, 0.65, 950, 75), (12_000, 1.0, 11_450, 50),
]  # fmt: skip
BTC_2024 = [
    *_TO_12M, (70_000, 2.0, 131_450, 25), (100_000, 2.5, 481_450, 20),
    (230_000, 5.0, 2_981_450, 10), (480_000, 10.0, 14_481_450, 5),
    (600_000, 12.5, 26_481_450, 4), (800_000, 15.0, 41_481_450, 3),
    (1_200_000, 25.0, 121_481_450, 2), (1_800_000, 50.0, 421_481_450, 1),
]  # fmt: skip
ETH_2024 = [
    *_TO_12M, (50_000, 2.0, 131_450, 25), (65_000, 2.5, 381_450, 20), (150_000, 5.0, 2_006_450, 10),
    (320_000, 10.0, 9_506_450, 5), (400_000, 12.5, 17_506_450, 4), (530_000, 15.0, 27_506_450, 3),
    (800_000, 25.0, 80_506_450, 2), (1_200_000, 50.0, 280_506_450, 1),
]  # fmt: skip
# Binance USD-M, spring 2021, as far as the published example goes.
BTC_2021 = [
    (50, 0.4, 0, 125), (250, 0.5, 50, 100), (1_000, 1.0, 1_300, 50), (5_000, 2.5, 16_300, 20),
    (10_000, 5.0, 141_300, 10),
]  # fmt: skip
ETH_2021 = [
    (10, 0.5, 0, 100), (100, 0.65, 15, 75), (500, 1.0, 365, 50), (1_000, 2.0, 5_365, 25),
    (2_000, 5.0, 35_365, 10), (5_000, 10.0, 135_365, 5), (10_000, 12.5, 260_365, 4),
]  # fmt: skip

Tiers = list[tuple[int, float, int, int]]
FREE = spot.Rules(0.0002, 0.0005, 0.0, 0.0, 0.0, 0.001, 5.0, allows_fee_debt=False)


def tables_of(*contracts: Tiers) -> FloatArray:
    """Return brackets, shape (n, n_tiers, N_TIER); missing rows have FLOOR inf."""
    tables = np.zeros((len(contracts), max(map(len, contracts)), layout.N_TIER))
    tables[:, :, layout.FLOOR] = inf
    for table, tiers in zip(tables, contracts, strict=True):
        floor = 0.0
        for row, (cap, rate, amount, leverage) in zip(table, tiers, strict=False):
            row[:] = floor, cap * 1e3, rate / 100.0, amount, leverage
            floor = cap * 1e3
    return tables


TABLES = tables_of(BTC_2024, ETH_2024)


def terms_of(fee_rate: float = 0.0125, lot_size: float = 0.001) -> FloatArray:
    """Return the terms of liquidation, the same for each contract."""
    terms = np.zeros((N, liquidation.N_TERM))
    terms[:, liquidation.FEE_RATE], terms[:, liquidation.LOT_SIZE] = fee_rate, lot_size
    return terms


class Account:
    """One account: its arrays, the marks, and the sums its equity must keep to."""

    def __init__(
        self,
        wallet: float,
        *,
        isolated: tuple[bool, bool] = (False, False),
        leverage: tuple[float, float] = (10.0, 10.0),
        tables: FloatArray = TABLES,
    ) -> None:
        self.account = np.zeros(layout.N_ACCOUNT)
        self.account[layout.WALLET] = wallet
        self.positions = np.zeros((N, layout.N_POSITION))
        self.positions[:, layout.IS_ISOLATED] = isolated
        self.positions[:, layout.LEVERAGE] = leverage
        self.marks, self.tables, self.terms = START.copy(), tables, terms_of()
        self.events = np.zeros((200, layout.N_EVENT))
        self.n_events, self.first = 0, wallet

    @property
    def state(self) -> tuple[FloatArray, FloatArray]:
        """The two arrays that kernels change."""
        return self.account, self.positions

    @property
    def equity(self) -> float:
        """At the marks."""
        return margin.find_equity(*self.state, self.marks)

    def open(self, i: int, quantity: float, price: float, fee: float = 0.0) -> float:
        """Book a fill, affordable or not."""
        return trade(*self.state, i, quantity, price, fee)

    def set(self, i: int, quantity: float, entry: float, set_aside: float = 0.0) -> None:
        """Put a position there without a trade."""
        columns = [layout.QUANTITY, layout.ENTRY, layout.MARGIN]
        self.positions[i, columns] = quantity, entry, set_aside

    def liquidate(self, which: int) -> int:
        """Liquidate, and return how many steps it took."""
        before = self.n_events
        self.n_events = liquidation.liquidate(
            *self.state, which, self.marks, self.tables, self.terms, self.events, before
        )
        return self.n_events - before

    def liquidate_due(self) -> None:
        """Liquidate all that is due at the marks."""
        for _ in range(100):
            _, who = liquidation.find_breach(*self.state, self.marks, self.marks, self.tables)
            if who == layout.NOBODY:
                return
            self.liquidate(who)
        raise AssertionError(self.positions)

    def find_missing(self) -> float:
        """Return the equity that the sums do not explain: 0.0 but for rounding."""
        unrealised = sum(margin.find_unrealised(self.positions, i, self.marks[i]) for i in range(N))
        a = self.account
        explained = (
            self.first + a[layout.REALISED] + unrealised - a[layout.FEES] + a[layout.FUNDING]
            - a[layout.LIQUIDATION_FEES] + a[layout.INSURED] + a[layout.TRANSFERRED]
        )  # fmt: skip
        return float(self.equity - explained)

    def size(self) -> float:
        """Return the largest amount the sums went through, for relative comparisons."""
        sums = np.abs(self.account).sum() + np.abs(self.positions[:, layout.MARGIN]).sum()
        notional = np.abs(self.positions[:, layout.QUANTITY]) * (
            self.marks + self.positions[:, layout.ENTRY]
        )
        return float(self.first + sums + notional.sum())
