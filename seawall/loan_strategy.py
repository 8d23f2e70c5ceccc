"""The job of guarding a loan, and the loop of one of its bars.

A ``LoanStrategy`` asks its agent at a close, as every job does. While the agent sleeps and nobody
else listens, it lets the broker live through the bars ahead and the engine jump over them.
"""

from typing import Any, ClassVar

import numpy as np

from seawall.action import Action
from seawall.agent import Decision, to_loan_decision
from seawall.loan_action import (
    LOAN_ACTIONS,
    Bundle,
    LoanAction,
    TargetHealth,
    describe_loan_action,
)
from seawall.loan_view import LoanView
from seawall.observation import Observation
from seawall.rebalancing import is_there, to_health
from seawall.strategy import AgentStrategy

_CHUNK = 4_096  # closes looked through at once for a price level


class LoanStrategy(AgentStrategy):
    """A job whose agent answers actions on a loan, or a target health factor.

    Its broker is a ``LoanBroker``, or one that has one. A job derives from it and overrides
    ``permit``.

    Attributes:
        has_hedges: whether the job may trade the market's perpetuals beside the loan.
    """

    broker: Any
    has_hedges: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._planned: tuple[TargetHealth, LoanView, Bundle | None] | None = None

    # The loop of one bar --------------------------------------------------------------------------

    def next(self) -> None:
        """At the close: ask; then, if the agent sleeps, go on to the bar that wakes it."""
        self._step = step = len(self) - 1
        self._ask(self._clock_ms[step], step)
        if self._wake_ms > self._clock_ms[step] and not self._is_halted:
            self._jump(step)

    def _jump(self, step: int) -> None:
        """Live through the bars until the agent wakes, where nobody else would notice."""
        cerebro: Any = self.env
        if not cerebro.grants_sleep:
            return
        world = self.broker.world
        bar = step - world.first_step
        last = len(world) - 1
        until = min(self._bar_of_time(), self._bar_of_price(bar), last)
        if until <= bar + 1:
            return
        wake = self._wake
        reached = self.broker.live_until(
            until + 1,
            health_below=-np.inf if wake.health_below is None else wake.health_below,
            health_above=np.inf if wake.health_above is None else wake.health_above,
            at_fill=wake.at_fill,
        )
        cerebro.sleep(self.broker.stamp_of(reached))

    def _bar_of_time(self) -> int:
        """Return the first bar that closes when the agent wants to be asked."""
        return int(np.searchsorted(self.broker.world.close_ms, self._wake_ms))

    def _bar_of_price(self, bar: int) -> int:
        """Return the first bar after ``bar`` that closes beyond a price level of the wish."""
        found = len(self.broker.world)
        for levels, sign in ((self._wake.above, 1.0), (self._wake.below, -1.0)):
            for symbol, level in levels.items():
                found = min(found, self._find_crossing(symbol, level, sign, bar, found))
        return found

    def _find_crossing(self, symbol: str, level: float, sign: float, bar: int, stop: int) -> int:
        first = self.broker.world.first_step
        closed = self.session.n_closed[symbol]
        closes = self.broker.closes[symbol]
        for start in range(bar + 1, stop, _CHUNK):
            rows = closed[first + start : first + min(start + _CHUNK, stop)] - 1
            hit = np.flatnonzero(sign * (closes[rows] - level) > 0)
            if hit.size:
                return start + int(hit[0])
        return stop

    # What differs from trading --------------------------------------------------------------------

    def read_answer(self, answer: object) -> Decision:
        """Return an agent's answer as a decision on the loan."""
        hedges = self.perpetuals if self.has_hedges else ()
        return to_loan_decision(answer, self.broker.world.names, self.symbols, hedges)

    def find_actions(self) -> tuple[str, ...]:
        """Return the kinds of the actions on a loan, and of what hedges it."""
        hedges = super().find_actions() if self.has_hedges else ()
        return (*(one.kind for one in LOAN_ACTIONS), *hedges)

    def find_assets(self) -> tuple[str, ...]:
        """Return the assets of the loan."""
        names: tuple[str, ...] = self.broker.world.names
        return names

    def see_loan(self) -> LoanView:
        """Return the loan at this close."""
        view: LoanView = self.broker.see(self._step - self.broker.world.first_step)
        return view

    def _is_woken(self) -> bool:
        wake = self._wake
        bar = self._step - self.broker.world.first_step
        health = self.broker.see(bar).health
        if wake.health_below is not None and health < wake.health_below:
            return True
        if wake.health_above is not None and health > wake.health_above:
            return True
        if wake.at_fill and self.broker.has_happened(bar):
            return True
        return super()._is_woken()

    def _carry_out(self, action: Action, observation: Observation) -> None:
        bar = self._step - self.broker.world.first_step
        if isinstance(action, TargetHealth):
            if observation.loan is not None:
                self._go_to(action, observation.loan, bar)
        elif isinstance(action, LOAN_ACTIONS):
            self._send_loan(action, bar)
        else:
            super()._carry_out(action, observation)

    def plan(self, target: TargetHealth, loan: LoanView) -> Bundle | None:
        """Return the steps to a health factor, as ``to_health``; ``None`` where there are none.

        Asked when a target is permitted and again when it is sent: they are found once.
        """
        known = self._planned
        if known is None or known[0] is not target or known[1] is not loan:
            known = self._planned = (target, loan, to_health(loan, target.health))
        return known[2]

    def _go_to(self, target: TargetHealth, loan: LoanView, bar: int) -> None:
        """Send the steps to a health factor, or say that there are none."""
        bundle = self.plan(target, loan)
        if bundle is not None:
            self._send_loan(bundle, bar)
        elif not is_there(loan, target.health):
            reason = (
                f"nothing can be done: with {loan.debt_usd:,.0f} USD of debt, "
                f"{loan.collateral_usd:,.0f} USD of collateral and {loan.terms.depth_usd:,.0f} USD "
                "on a side of the pool no step is possible that is worth its gas: ask for another "
                "target"
            )
            self._record("refused", describe_loan_action(target), reason=reason)

    def _send_loan(self, action: LoanAction, bar: int) -> None:
        self.broker.send(action, self._reason, bar)
