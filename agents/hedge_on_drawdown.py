"""Hedge a loan's collateral with a short perpetual when it is in danger, and lift it afterwards."""

from typing import ClassVar, Literal

from seawall import Decision, Observation, Wake
from seawall.action import Order
from seawall.errors import RecipeError
from seawall.perpetual_action import Transfer
from seawall.perpetual_view import PerpetualView
from seawall.units import DAY_MS, YEAR_MS

from ._margin import DUST, SOON, send, wait
from ._parameters import number, one_of, whole_number
from ._protection import need_loan

_NEARLY_ALL = 0.95  # of the margin there is: fees and the next open need some
_FOREVER = Wake(after_ms=100 * YEAR_MS)


class HedgeOnDrawdown:
    """Sell a perpetual short for a share of the collateral while the loan is in danger.

    It keeps the price from hurting, not the health factor: that still falls with the price, and
    what the short earns lies on the exchange. Without a perpetual in the market it sleeps.

    Parameters:
        measure: ``"health"`` of the loan, or ``"drawdown"`` of the market's first symbol from its
            highest close of the last ``n`` bars.
        hedge_at, lift_at: levels of it; by default 1.25 and 1.4 of health, 0.15 and 0.05 of
            drawdown.
        share: of the collateral's value that is sold short, > 0.
        leverage: of the short's margin, which is moved from the spot side as far as there is cash.
        band: drift of the hedge that is let be, as a share of it.
        n: bars, of a drawdown.
        symbol: the contract; left out: the first.
    """

    guards: ClassVar[str] = "loan"

    def __init__(
        self,
        *,
        measure: Literal["health", "drawdown"] = "health",
        hedge_at: float | None = None,
        lift_at: float | None = None,
        share: float = 1.0,
        leverage: float = 3.0,
        band: float = 0.1,
        n: int = 720,
        symbol: str | None = None,
    ) -> None:
        self.measure = one_of("measure", measure, ("health", "drawdown"))
        self.by_health = self.measure == "health"
        usual = (1.25, 1.4) if self.by_health else (0.15, 0.05)
        least, most = (1.0, float("inf")) if self.by_health else (0.0, 1.0)
        hedge = usual[0] if hedge_at is None else hedge_at
        lift = usual[1] if lift_at is None else lift_at
        self.hedge_at = number("hedge_at", hedge, above=least, at_most=most)
        self.lift_at = number("lift_at", lift, above=least, at_most=most)
        if not (self.hedge_at < self.lift_at if self.by_health else self.lift_at < self.hedge_at):
            words = "above" if self.by_health else "below"
            raise RecipeError(
                f"agent.lift_at must be {words} agent.hedge_at, is {lift:g} with hedge_at = "
                f"{hedge:g}: an action would set off the next; correct one of them"
            )
        self.share = number("share", share, above=0.0)
        self.leverage = number("leverage", leverage, above=0.0)
        self.band = number("band", band, above=0.0)
        self.n = whole_number("n", n)
        self.symbol = symbol

    def decide(self, observation: Observation) -> Decision:
        """Hedge, lift or adjust the hedge, or sleep."""
        loan, view = need_loan(observation), observation.perpetual
        if view is None:
            return Decision(reason="there is no perpetual to hedge with", wake=_FOREVER)
        held = -view.position(self.symbol).quantity
        level = loan.health if self.by_health else self._find_drawdown(observation)
        mark = view.mark(self.symbol)
        if not mark > 0:
            return wait("the perpetual is not listed yet")
        is_hedged = held > 0
        wanted = self.share * loan.collateral_usd / mark if self._needs(level, is_hedged) else 0.0
        if wanted == 0.0 and is_hedged:
            return self._trade(view, -held, f"{self.measure} is {level:.3f}: lift the hedge")
        if abs(wanted - held) <= self.band * wanted:
            return Decision(wake=self._find_wake(is_hedged=is_hedged))
        why = f"{self.measure} is {level:.3f}, hedge {wanted:.6g}"
        return self._go(view, wanted - held, wanted * mark / self.leverage, why)

    def _needs(self, level: float, is_hedged: bool) -> bool:  # noqa: FBT001 - two plain values
        """Return whether the loan should be hedged: from one level on, until the other."""
        limit = self.lift_at if is_hedged else self.hedge_at
        return level < limit if self.by_health else level > limit

    def _go(self, view: PerpetualView, change: float, needed: float, why: str) -> Decision:
        """Sell ``change`` base units more, with margin behind them, or buy some back."""
        if change < 0:
            return self._trade(view, change, why)
        if view.on_the_way:
            return Decision(wake=SOON)
        missing = needed - view.equity
        amount = min(missing, view.reserve)
        if amount > max(DUST, 0.01 * needed):
            return send(Transfer(source="spot", target="perpetual", amount=amount), why)
        carried = _NEARLY_ALL * view.available * self.leverage / view.mark(self.symbol)
        if not carried > self.band * change:
            return wait(f"{why}: no margin is left")
        return self._trade(view, min(change, carried), why)

    def _trade(self, view: PerpetualView, change: float, why: str) -> Decision:
        """Sell ``change`` base units short; < 0 buys back."""
        symbol = self.symbol or view.symbols[0]
        is_back = change < 0
        side: Literal["buy", "sell"] = "buy" if is_back else "sell"
        order = Order(symbol=symbol, side=side, quantity=abs(change), reduce_only=is_back)
        return send(order, why)

    def _find_drawdown(self, observation: Observation) -> float:
        prices = observation.prices()[-self.n :]
        return 1.0 - float(prices[-1] / prices.max()) if len(prices) else 0.0

    def _find_wake(self, *, is_hedged: bool) -> Wake | None:
        """Return when to look again; a drawdown is looked at on every bar."""
        if not self.by_health:
            return None
        if is_hedged:
            return Wake(health_above=self.lift_at, after_ms=DAY_MS)
        return Wake(health_below=self.hedge_at)
