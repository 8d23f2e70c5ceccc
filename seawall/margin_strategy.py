"""The job of guarding a leveraged position on a futures account."""

from seawall.agent import Decision, to_margin_decision
from seawall.errors import RecipeError
from seawall.strategy import AgentStrategy


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
