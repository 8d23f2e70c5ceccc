"""From a probability to a position, with the costs in mind."""

from dataclasses import dataclass

from seawall.units import BPS


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """When an expected return is worth a trade.

    Attributes:
        round_trip: what it costs to go in and out again, as a fraction of the notional, >= 0.
        edge: so many round trips must be expected before one goes in, >= 0.
    """

    round_trip: float
    edge: float = 1.0

    @classmethod
    def from_costs(cls, taker_fee_bps: float, half_spread_bps: float, edge: float) -> "Sizing":
        """Return the sizing of an exchange: fee and half the spread are paid each way."""
        return cls(round_trip=2.0 * (taker_fee_bps + half_spread_bps) * BPS, edge=edge)

    def is_worth_holding(self, expected: float, *, is_held: bool) -> bool:
        """Return whether to be in, at an expected return before costs, as a fraction.

        Who is out goes in where more is expected than ``edge`` round trips cost: no trade that
        would not pay. Who is in stays until a loss is expected: going out and in again costs too.
        """
        return expected > 0.0 if is_held else expected > self.edge * self.round_trip

    def explain(self, probability: float, expected: float) -> str:
        """Return the numbers of a decision, in words."""
        return (
            f"p = {probability:.1%}, {expected / BPS:+.1f} bps expected, a round trip costs "
            f"{self.round_trip / BPS:.1f} bps"
        )
