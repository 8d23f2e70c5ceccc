"""No leak: a guard that opens the catalog itself, takes what has closed, and counts its gas."""

from typing import ClassVar

import numpy as np

from seawall.agent import Decision
from seawall.loan_action import TargetHealth
from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey
from seawall.observation import Observation


class GuardHonestHours:
    """Deleverage after a fall; all that it knows of the loan is in its reason."""

    guards: ClassVar[str] = "loan"

    def __init__(self, *, venue: str = "tripwire") -> None:
        self.candles = Catalog().read_candles(SeriesKey("candles", venue, "ETH/USDT", "1h"))

    def decide(self, observation: Observation) -> Decision | None:
        """Follow the newest hour that has closed."""
        loan, candles = observation.loan, self.candles
        n = int(np.searchsorted(candles.close_ms, observation.time_ms, "right"))
        if loan is None or loan.pending or n < 2:
            return None
        if candles.close[n - 1] > 0.985 * candles.close[n - 2]:
            return None
        rates = {name: f"{rate:.9f}" for name, rate in loan.borrow_rate.items()}
        seen = f"gas {loan.gas_price_gwei:.9f}, wallet {loan.wallet_usd:.9f}, rates {rates}, "
        seen += f"debt {loan.debt_usd:.9f}, prices {dict(loan.prices)}"
        return Decision(actions=(TargetHealth(health=loan.health + 0.02),), reason=seen)
