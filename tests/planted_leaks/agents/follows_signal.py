"""No leak: an agent that believes what it is shown. Data with a wrong known_at make it leak."""

from seawall.observation import Observation


class FollowsSignal:
    """Hold while the recipe's first signal is above zero."""

    def decide(self, observation: Observation) -> float | None:
        """Follow the newest value."""
        value = observation.signal(observation.signal_names[0])
        return None if value != value else float(value > 0)  # noqa: PLR0124 - nan
