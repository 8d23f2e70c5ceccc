"""What a policy sees and what its action means: numbers for an observation, an answer for a number.

One encoding for each kind of job. It is written into a policy's file, so that a policy is never
asked with numbers that it was not trained on. numpy alone: neither Gymnasium nor torch.

Every feature is clipped to -10 .. 10. Of each symbol: the returns of 1, 4, 12, 24, 72 and 168 bars
over their standard deviation, the log of the volatility per bar, the distance from the mean of 168
bars in standard deviations, and the weight held. Then the signals, the loan, and the futures
account, where there are any.
"""

from dataclasses import asdict, dataclass
from math import inf, isfinite, log
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from seawall.agent import AgentInfo, Answer
from seawall.errors import AgentError, RecipeError
from seawall.loan_view import LoanView
from seawall.observation import Observation
from seawall.perpetual_view import PerpetualView
from seawall.units import HOUR_MS, is_perpetual

VERSION = 1
LIMIT = 10.0
Kind = Literal["weights", "signed_weights", "carry", "health", "leverage"]
KINDS: tuple[Kind, ...] = get_args(Kind)
HEALTH_LEVELS = (1.2, 1.4, 1.6, 2.0, 3.0, inf)  # what a guard of a loan may aim at; inf closes it
LEVERAGE_LEVELS = (0.0, 1.0, 2.0, 3.0, 5.0)  # what a guard of a position may aim at

_HORIZONS = (1, 4, 12, 24, 72, 168)
_LONGEST = 168
_LEAST = 8  # bars, below which there is no standard deviation worth the name
_OF_SYMBOL = (
    *(f"return_{n}" for n in _HORIZONS), "log_volatility", "distance_from_mean", "weight",
)  # fmt: skip
_OF_LOAN = (
    "health", "ltv", "distance_to_liquidation", "debt_share", "wallet_share", "gas", "carry",
    "is_pending",
)  # fmt: skip
_OF_FUTURES = ("margin_ratio", "leverage", "distance", "reserve_share", "funding", "hours_left")

Features = NDArray[np.float32]
Step = NDArray[np.float32] | NDArray[np.int64] | int | np.integer


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """The numbers of one job.

    Attributes:
        kind: what an action is: weights of a spot account (-1 .. 1 is 0 .. 1 each, scaled down
            where they are more than all), signed weights on perpetuals, the share of a carry, or
            the place in a list of levels: 0 leaves all as it is, 1 is the first level.
        n_symbols, n_signals, has_loan, has_perpetual: what there is to see.
    """

    kind: Kind
    n_symbols: int
    n_signals: int
    has_loan: bool
    has_perpetual: bool
    version: int = VERSION

    @classmethod
    def of(cls, info: AgentInfo, observation: Observation) -> "Encoding":
        """Return the encoding of a job, from what an agent is told and shows first."""
        return cls(
            kind=find_kind(info, observation),
            n_symbols=len(observation.symbols),
            n_signals=len(observation.signal_names),
            has_loan=observation.loan is not None,
            has_perpetual=observation.perpetual is not None,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each feature, in order."""
        found = [f"{name}_{place}" for place in range(self.n_symbols) for name in _OF_SYMBOL]
        found += [f"signal_{place}" for place in range(self.n_signals)]
        found += [f"loan_{name}" for name in _OF_LOAN] if self.has_loan else []
        found += [f"futures_{name}" for name in _OF_FUTURES] if self.has_perpetual else []
        return tuple(found)

    @property
    def n_choices(self) -> int:
        """How many actions there are to choose from; 0 where an action is numbers."""
        return len(self.levels) + 1 if self.levels else 0

    @property
    def n_numbers(self) -> int:
        """How many numbers an action is, each -1 to 1; 0 where it is a choice."""
        if self.levels:
            return 0
        return 1 if self.kind == "carry" else self.n_symbols

    @property
    def levels(self) -> tuple[float, ...]:
        """What a choice may aim at."""
        return {"health": HEALTH_LEVELS, "leverage": LEVERAGE_LEVELS}.get(self.kind, ())

    def encode(self, observation: Observation) -> Features:
        """Return the features of an observation: float32, shape (n_features,)."""
        found: list[float] = []
        for symbol in observation.symbols:
            found += _see_symbol(observation, symbol)
        for name in observation.signal_names:
            found.append(_squash(observation.signal(name)))
        if observation.loan is not None:
            found += _see_loan(observation.loan)
        if observation.perpetual is not None:
            found += _see_futures(observation.perpetual, observation.time_ms)
        clean = np.nan_to_num(np.array(found), nan=0.0, posinf=LIMIT, neginf=-LIMIT)
        features: Features = np.clip(clean, -LIMIT, LIMIT).astype(np.float32)
        return features

    def decode(self, action: Step, observation: Observation) -> Answer:
        """Return the answer that an action stands for.

        Raises:
            AgentError: it is none of the action space.
        """
        if self.levels:
            place = int(np.asarray(action).item())
            if not 0 <= place <= len(self.levels):  # -1 would be the last one
                raise AgentError(f"an action must be 0 to {len(self.levels)}, is {place}")
            return self.levels[place - 1] if place else None
        numbers = np.clip(np.asarray(action, dtype=np.float64).ravel(), -1.0, 1.0)
        if len(numbers) != self.n_numbers:
            raise AgentError(f"an action must have {self.n_numbers} numbers, has {len(numbers)}")
        if self.kind == "signed_weights":
            return self._to_weights(numbers, observation)
        shares = (numbers + 1.0) / 2.0
        if self.kind == "carry":
            return float(shares[0])
        return self._to_weights(shares, observation)

    def _to_weights(self, numbers: NDArray[np.float64], observation: Observation) -> Answer:
        numbers = numbers / max(float(np.abs(numbers).sum()), 1.0)
        return dict(zip(observation.symbols, numbers.tolist(), strict=True))

    def to_dict(self) -> dict[str, object]:
        """Return it as plain values."""
        return asdict(self)


def find_kind(info: AgentInfo, observation: Observation) -> Kind:
    """Return what an action is in a job."""
    if observation.loan is not None:
        return "health"
    if info.guarded:
        return "leverage"
    if observation.perpetual is None:
        return "weights"
    has_spot = any(not is_perpetual(symbol) for symbol in observation.symbols)
    return "carry" if has_spot else "signed_weights"


def check_fits(trained: Encoding, here: Encoding) -> None:
    """Raise RecipeError where a policy was trained on other numbers than it is asked with."""
    if trained.version != here.version:
        raise RecipeError(
            f"a policy is trained on encoding {here.version}, this one on {trained.version}: "
            "train it again"
        )
    if trained != here:
        theirs, ours = trained.to_dict(), here.to_dict()
        apart = ", ".join(f"{k} {theirs[k]} not {ours[k]}" for k in ours if theirs[k] != ours[k])
        raise RecipeError(
            f"a policy sees what it was trained on, {len(trained.names)} numbers, here there are "
            f"{len(here.names)} ({apart}): take a recipe of its kind, or train another"
        )


def _see_symbol(observation: Observation, symbol: str) -> list[float]:
    prices = observation.prices(symbol)[-(_LONGEST + 1) :]
    weight = observation.weight(symbol)
    if len(prices) <= _LEAST:
        return [0.0] * (len(_OF_SYMBOL) - 1) + [weight]
    logs = np.log(prices)
    spread = max(float(np.diff(logs).std()), _TINY)
    last = len(logs) - 1
    returns = [
        float(logs[-1] - logs[-1 - n]) / (spread * n**0.5) if n <= last else 0.0 for n in _HORIZONS
    ]
    deviation = max(float(logs.std()), _TINY)
    distance = float(logs[-1] - logs.mean()) / deviation
    return [*returns, log(spread / _USUAL_VOLATILITY), distance, weight]


def _see_loan(loan: LoanView) -> list[float]:
    equity = max(loan.equity_usd, _DUST_USD)
    price = loan.liquidation_price()
    here = loan.prices[loan.terms.collateral]
    distance = 1.0 - price / here if isfinite(price) and here > 0 else 1.0
    earned = loan.supply_rate[loan.terms.collateral] * loan.collateral_usd
    paid = loan.borrow_rate[loan.terms.debt] * loan.debt_usd
    return [
        min(loan.health, 4.0),
        loan.ltv,
        distance,
        loan.debt_usd / equity,
        loan.wallet_usd / equity,
        _squash(loan.gas_price_gwei) / 3.0,
        10.0 * (earned - paid) / equity,
        float(loan.pending > 0),
    ]


def _see_futures(view: PerpetualView, time_ms: int) -> list[float]:
    equity = max(view.equity, _DUST_USD)
    positions = list(view.positions.values())
    notional = sum(one.quantity * one.mark_price for one in positions)
    near = min((one.distance for one in positions if isfinite(one.distance)), default=1.0)
    rates = [view.funding_rate(symbol) for symbol in view.symbols]
    soonest = min(view.next_funding_ms(symbol) for symbol in view.symbols)
    return [
        view.margin_ratio,
        notional / equity,
        near,
        view.reserve / (equity + view.reserve),
        1e4 * float(np.nan_to_num(rates).mean()),
        (soonest - time_ms) / (8 * HOUR_MS),
    ]


def _squash(value: float) -> float:
    """Return a number of any size on a scale that a network can read."""
    return float(np.sign(value) * np.log1p(abs(value)))


_TINY = 1e-9
_USUAL_VOLATILITY = 0.005  # of an hourly bar: about where its log should be 0
_DUST_USD = 1.0
