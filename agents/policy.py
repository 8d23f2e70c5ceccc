"""A policy trained by reinforcement learning with stable-baselines3."""

from dataclasses import replace

from seawall import Observation, Wake
from seawall.agent import AgentInfo, Answer
from seawall.errors import AgentLost, RecipeError
from seawall.gym.encoding import Encoding, check_fits
from seawall.gym.policy_file import find_path, load_policy, read_note


class Policy:
    """Answers what a trained policy does, always its most probable action.

    ``seawall train RECIPE`` makes the file. It does any job of the kind that it was trained for.
    Loading it runs code that is in it: load your own.

    Parameters:
        path: the file, a zip; a relative one lies in the workspace, or the working directory.
    """

    def __init__(self, *, path: str) -> None:
        if not isinstance(path, str) or not path:
            raise RecipeError(f"agent.path must be text, is {path!r}: name the file of a policy")
        self.path = find_path(path)
        read_note(self.path)  # before the run: a file that will not do is not found out after it
        self._fits = False

    def begin(self, info: AgentInfo) -> None:
        """Load the policy."""
        self._info, self._policy, self._fits = info, load_policy(self.path), False
        self._due_ms: int | None = None

    def decide(self, observation: Observation) -> Answer:
        """Return the policy's answer, and sleep as long as it did in training."""
        encoding, every_ms = self._policy.encoding, self._policy.every_ms
        if not self._fits:
            self._check(observation)
        if every_ms and self._info.read is None:  # served: a number alone is sent, without a wake
            if self._due_ms is not None and observation.time_ms < self._due_ms:
                return None
            self._due_ms = observation.time_ms + every_ms
        action, _ = self._policy.model.predict(encoding.encode(observation), deterministic=True)
        answer = encoding.decode(action, observation)
        if not every_ms or self._info.read is None:
            return answer
        decision = self._info.read(answer)
        return replace(decision, wake=Wake(after_ms=every_ms))

    def _check(self, observation: Observation) -> None:
        """Stop the run where the policy sees what it was not trained on: it would abstain."""
        try:
            check_fits(self._policy.encoding, Encoding.of(self._info, observation))
        except RecipeError as error:
            raise AgentLost(str(error)) from None
        self._fits = True
