"""Hold a fixed leverage, long or short, and trade back to it when it has drifted."""

from typing import Literal

from seawall.action import TargetWeight
from seawall.agent import Decision
from seawall.observation import Observation

from ._margin import find_traded
from ._parameters import number, one_of

Side = Literal["long", "short"]


class FixedLeverage:
    """Hold ``leverage`` times the equity, over all symbols; perpetuals where the market has any.

    Without trading a long's leverage falls as the price rises, and rises as it falls: trading back
    buys high and sells low, and is what leveraged tokens do.

    Parameters:
        leverage: gross notional over equity, > 0.
        side: ``"long"`` or ``"short"``.
        band: drift that is let be, as a share of the leverage.

    Source: Cheng and Madhavan, "The Dynamics of Leveraged and Inverse Exchange-Traded Funds",
    Journal of Investment Management 7 (2009).
    """

    def __init__(self, *, leverage: float = 2.0, side: Side = "long", band: float = 0.1) -> None:
        self.leverage = number("leverage", leverage, above=0.0)
        self.side = one_of("side", side, ("long", "short"))
        self.band = number("band", band, above=0.0)

    def decide(self, observation: Observation) -> Decision | None:
        """Return the target weights that have drifted, else ``None``."""
        symbols = find_traded(observation)
        if not symbols:
            return None
        each = self.leverage / len(symbols) * (1.0 if self.side == "long" else -1.0)
        drifts = {symbol: observation.weight(symbol) - each for symbol in symbols}
        moved = [symbol for symbol, gap in drifts.items() if abs(gap) > self.band * abs(each)]
        if not moved:
            return None
        words = ", ".join(f"{s} is at {each + drifts[s]:.3g}" for s in moved)
        actions = tuple(TargetWeight(symbol=symbol, weight=each) for symbol in moved)
        return Decision(actions=actions, reason=f"{words}, should be {each:.3g}")
