"""A loan's books: every change of wallet, collateral and debt, double entry, and the check of them.

Assets are written ``wallet:ETH``, ``collateral:WETH`` and ``debt:USDC``; what is owed is negative.
"""

from collections.abc import Sequence

import numpy as np

from seawall.errors import LedgerError
from seawall.market.series import FloatArray
from seawall.venues.ledger import Entry, Ledger
from seawall.venues.lending import layout, race
from seawall.venues.lending.transactions import Moved

_ACCOUNTS = (
    ("collateral", layout.COLLATERAL, 1.0),
    ("debt", layout.DEBT, -1.0),
    ("wallet", layout.WALLET, 1.0),
)
_TOLERANCE = 1e-9


class Books:
    """The ledger of one loan.

    Args:
        state: of the loan, as in ``layout``.
        names: of its assets, in order.
        ledger: of the account that the loan is a part of; one of its own by default.

    Attributes:
        ledger: every entry.
        moved_usd: what other venues of the account have sent to the wallet less what they have got,
            USD as it was then.
        owed: USD, for the agent's thinking; the wallet does not pay it.
    """

    def __init__(
        self, state: FloatArray, names: tuple[str, ...], ledger: Ledger | None = None
    ) -> None:
        self.ledger = Ledger() if ledger is None else ledger
        self.moved_usd = 0.0
        self.owed = 0.0
        self._is_alone = ledger is None
        self._state, self._names = state, names
        self._interest = np.zeros((2, len(names)))

    def open(self, time_ms: int) -> None:
        """Book what is owned and owed at the start."""
        self.post(
            time_ms,
            [
                Moved(kind="initial", account=account, asset=name, amount=sign * float(amount))
                for account, place, sign in _ACCOUNTS
                for name, amount in zip(self._names, self._block(place), strict=True)
            ],
        )

    def post(self, time_ms: int, moved: Sequence[Moved]) -> None:
        """Book one transaction."""
        self.ledger.post(
            time_ms, [Entry(m.kind, f"{m.account}:{m.asset}", m.amount) for m in moved]
        )

    def post_interest(self, time_ms: int) -> None:
        """Book the interest since it was last booked."""
        so_far = np.stack([self._block(layout.EARNED), self._block(layout.ACCRUED)])
        fresh = so_far - self._interest
        self._interest = so_far
        moved = [
            Moved(kind="interest", account=account, asset=name, amount=sign * float(amount))
            for account, row, sign in (("collateral", fresh[0], 1.0), ("debt", fresh[1], -1.0))
            for name, amount in zip(self._names, row, strict=True)
            if amount
        ]
        if moved:
            self.post(time_ms, moved)

    def post_liquidation(self, time_ms: int, event: FloatArray) -> None:
        """Book what one liquidation seized and repaid."""
        i, j = int(event[layout.COLLATERAL_ASSET]), int(event[layout.DEBT_ASSET])
        seized, repaid = float(event[layout.SEIZED]), float(event[layout.REPAID])
        self.post(
            time_ms,
            [
                Moved(
                    kind="liquidation", account="collateral", asset=self._names[i], amount=-seized
                ),
                Moved(kind="liquidation", account="debt", asset=self._names[j], amount=repaid),
            ],
        )

    def post_left_over(self, time_ms: int) -> None:
        """Book what the protocol wrote off, or what an absorption moved beside it."""
        moved = []
        for account, place, sign in _ACCOUNTS[:2]:
            for name, amount in zip(self._names, self._block(place), strict=True):
                rest = sign * float(amount) - self.ledger.balance(f"{account}:{name}")
                if rest:
                    moved.append(Moved(kind="bad_debt", account=account, asset=name, amount=rest))
        if moved:
            self.post(time_ms, moved)

    def wallet(self, asset: str) -> float:
        """Return the tokens of an asset in the wallet."""
        return float(self._block(layout.WALLET)[self._names.index(asset)])

    def mark(self, asset: str) -> float:
        """Return what an asset was last valued at, USD per token."""
        return float(self._block(layout.MARK)[self._names.index(asset)])

    def move(self, asset: str, tokens: float, time_ms: int, entries: Sequence[Entry]) -> None:
        """Let tokens come into the wallet (> 0) or leave it, as ``entries`` say."""
        self._block(layout.WALLET)[self._names.index(asset)] += tokens
        self.moved_usd += tokens * self.mark(asset)
        self.ledger.post(time_ms, entries)

    def charge(self, amount: float, time_ms: int) -> None:
        """Book what the agent's thinking has cost, USD > 0."""
        self.owed += amount
        self.ledger.post(time_ms, [Entry("thinking", "owed:USD", -amount)])

    def balances(self) -> dict[str, float]:
        """Return what the ledger has to agree with."""
        balances = {
            f"{account}:{name}": sign * float(amount)
            for account, place, sign in _ACCOUNTS
            for name, amount in zip(self._names, self._block(place), strict=True)
        }
        return balances | ({"owed:USD": -self.owed} if self.owed else {})

    def check(self, equity: FloatArray, gross_usd: float) -> None:
        """Compare the entries with the balances, and the parts of the equity's change with it.

        A ledger that other venues write into too is compared by the account that owns it.

        Args:
            equity: USD, from the start to the end.
            gross_usd: the largest collateral there was: what the tolerance is measured by.

        Raises:
            LedgerError: they differ.
        """
        if self._is_alone:
            self.ledger.check(self.balances())
        change = float(equity[-1] - equity[0]) - self.moved_usd
        parts = float(race.parts_of(self._state, len(self._names)).sum())
        if not abs(change - parts) <= _TOLERANCE * max(gross_usd, abs(float(equity[0]))):
            raise LedgerError(
                f"the parts of the equity change must add up to it, are {parts!r} and {change!r}: "
                "a defect of Seawall, please report it"
            )

    def _block(self, place: int) -> FloatArray:
        return race.block(self._state, place, len(self._names))
