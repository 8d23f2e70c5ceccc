"""Jobs on a futures account: what they have in common, and guarding a leveraged position."""

from collections.abc import Iterable

from seawall.agent import Decision, to_margin_decision
from seawall.errors import RecipeError
from seawall.perpetual_view import PerpetualView
from seawall.strategy import AgentStrategy


def check_granted(view: PerpetualView, symbols: Iterable[str], leverage: float) -> None:
    """Raise where a contract does not grant the leverage that a job aims at.

    Raises:
        RecipeError: its own leverage is lower; orders would be made smaller without end.
    """
    for symbol in symbols:
        granted = view.position(symbol).leverage
        if granted < leverage:
            raise RecipeError(
                f"strategy.leverage is {leverage:g}, {symbol} is set to {granted:g}x: raise "
                "perpetual.leverage, or lower strategy.leverage"
            )


class MarginStrategy(AgentStrategy):
    """A job whose agent answers actions on a position, or the leverage to aim at.

    A job derives from it and overrides ``permit``.

    Attributes:
        guarded: the contract whose position is guarded.

    Raises:
        RecipeError: the market has no perpetual.
    """

    def __init__(self) -> None:
        super().__init__()
        if not self.perpetuals:
            raise RecipeError(
                f"this job guards a leveraged position, the market has {list(self.symbols)}: name "
                "a perpetual such as ETH/USDT:USDT, and give [perpetual.position]"
            )
        self.guarded = self.session.guarded or self.perpetuals[0]

    def read_answer(self, answer: object) -> Decision:
        """Return an agent's answer as a decision on the position."""
        return to_margin_decision(answer, self.symbols, self.guarded)
