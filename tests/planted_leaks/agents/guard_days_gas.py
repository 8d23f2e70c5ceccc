"""A planted leak: a guard that knows in the morning what the day's gas will cost on average."""

from typing import ClassVar

import numpy as np

from seawall.agent import Decision
from seawall.loan_action import TargetHealth
from seawall.market.catalog import Catalog
from seawall.market.series import SeriesKey
from seawall.observation import Observation

KEY = SeriesKey("signal", "gas", "ethereum_avg.gas_price_gwei", "1d")


class GuardDaysGas:
    """Aim higher on a cheap day."""

    guards: ClassVar[str] = "loan"

    def __init__(self) -> None:
        self.gas = Catalog().read_signal(KEY)

    def decide(self, observation: Observation) -> Decision | None:
        """Look up the day that has begun."""
        loan = observation.loan
        day = int(np.searchsorted(self.gas.time_ms, observation.time_ms, "right")) - 1
        if loan is None or loan.pending or loan.health > 1.3 or day < 0:
            return None
        target = 1.5 + 1.0 / float(self.gas.value[day])
        return Decision(actions=(TargetHealth(health=target),), reason="below 1.3")
