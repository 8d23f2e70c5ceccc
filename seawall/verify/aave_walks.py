"""Random steps for an Aave market, aimed at where rules bite: limits, dust, rounding, bad debt.

The steps look at the market they are for, so that most of them are allowed and some just are not.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seawall.verify.aave_market import UNLIMITED, Market, Step, UserState

FINE = 3**39  # fractions are drawn in steps of 1/FINE: no power of ten, so no round wei
DAY_S = 86_400
YEAR_S = 365 * DAY_S
BPS = 10**4
WAD = 10**18
HIGHEST_PRICE = 10**16  # 1e-8 USD: what no asset is worth, and what no product overflows at
_WALK_WEIGHTS = {
    "warp": 13,
    "set_price": 9,
    "supply": 14,
    "borrow": 18,
    "repay": 10,
    "withdraw": 10,
    "liquidate": 21,
    "set_emode": 2,
    "use_as_collateral": 3,
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What random steps are about: assets with their units and first prices, and the actors."""

    units: Mapping[str, int]
    prices: Mapping[str, int]
    actors: Sequence[str]
    provider: str = "provider"
    borrower: str = "borrower"
    liquidator: str = "liquidator"
    correlated: Sequence[str] = ()

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the assets."""
        return tuple(self.units)


class Dice:
    """Draws from a seeded generator, in integers that stay exact beyond 64 bits."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def chance(self, probability: float) -> bool:
        """Return true with a probability."""
        return bool(self._rng.random() < probability)

    def one_of(self, items: Sequence[str]) -> str:
        """Return one of some names."""
        return items[int(self._rng.integers(len(items)))]

    def some_of(self, items: Sequence[str], count: int) -> list[str]:
        """Return so many different names."""
        return [items[int(i)] for i in self._rng.permutation(len(items))[:count]]

    def weighted(self, weights: Mapping[str, float]) -> str:
        """Return one of some names by their weights."""
        total = sum(weights.values())
        shares = [weight / total for weight in weights.values()]
        return list(weights)[int(self._rng.choice(len(shares), p=shares))]

    def between(self, low: float, high: float) -> float:
        """Return a number drawn evenly from a range."""
        return float(self._rng.uniform(low, high))

    def log_between(self, low: float, high: float) -> float:
        """Return a number drawn evenly on a logarithmic scale."""
        return math.exp(self._rng.uniform(math.log(low), math.log(high)))

    def part(self, whole: int, low: float = 0.0, high: float = 1.0) -> int:
        """Return a part of an amount, at least 1, odd to the last wei."""
        fraction = int(self._rng.integers(int(low * FINE), int(high * FINE) + 1))
        return max(1, whole * fraction // FINE)


def worth(scene: Scene, asset: str, dollars: float, prices: Mapping[str, int]) -> int:
    """Return how much of an asset some dollars buy, in wei, at least 1."""
    return max(1, int(dollars * 10**8) * scene.units[asset] // prices[asset])


def opening(scene: Scene) -> Iterator[Step]:
    """Yield steps that fill a market: a deep pool, some debt, and indices that are no round number.

    The provider also borrows, so that no reserve's rates are zero.
    """
    yield from (
        Step(
            verb="supply",
            user=scene.provider,
            asset=asset,
            amount=worth(scene, asset, 50e6, scene.prices),
        )
        for asset in scene.symbols
    )
    for number, asset in enumerate(scene.symbols):
        dollars = 10e6 + 4e6 * number + 0.123457
        amount = worth(scene, asset, dollars, scene.prices)
        yield Step(verb="borrow", user=scene.provider, asset=asset, amount=amount)
        yield Step(verb="warp", amount=40 * DAY_S + 12_345 * number + 7)


def walk(
    dice: Dice, scene: Scene, market: Market, steps: int, prices: dict[str, int]
) -> Iterator[Step]:
    """Yield a supply by each actor, then random steps by all.

    ``prices`` are those that stand, and are kept up to date.

    The market is looked at between the steps, so the caller performs each before the next.
    """
    for user in scene.actors:
        if user != scene.provider:
            asset, dollars = dice.one_of(scene.symbols), dice.log_between(1e3, 1e6)
            amount = worth(scene, asset, dollars, prices)
            yield Step(verb="supply", user=user, asset=asset, amount=amount)
    for _ in range(steps):
        verb = dice.weighted(_WALK_WEIGHTS)
        yield _MAKERS[verb](dice, scene, market, prices)


def _warp(dice: Dice, _scene: Scene, _market: Market, _prices: dict[str, int]) -> Step:
    return Step(verb="warp", amount=int(dice.log_between(1, 30 * DAY_S)))


def _set_price(dice: Dice, scene: Scene, _market: Market, prices: dict[str, int]) -> Step:
    asset = dice.one_of(scene.symbols)
    width = 0.25 if dice.chance(0.2) else 0.04
    first = scene.prices[asset]
    moved = int(prices[asset] * math.exp(dice.between(-width, width)))
    prices[asset] = min(max(moved, first // 4), first * 4)
    return Step(verb="set_price", asset=asset, amount=prices[asset])


def _supply(dice: Dice, scene: Scene, _market: Market, prices: dict[str, int]) -> Step:
    asset = dice.one_of(scene.symbols)
    dollars = dice.log_between(10, 3e6)
    amount = int(dice.between(0, 5)) if dice.chance(0.04) else worth(scene, asset, dollars, prices)
    return Step(verb="supply", user=dice.one_of(scene.actors), asset=asset, amount=amount)


def _borrow(dice: Dice, scene: Scene, market: Market, prices: dict[str, int]) -> Step:
    user = dice.one_of(scene.actors)
    asset = dice.one_of(scene.symbols)
    state = market.user(user)
    room = max(state.collateral_base * state.ltv_bps // BPS - state.debt_base, 10**8)
    whole = room * scene.units[asset] // prices[asset]
    amount = int(dice.between(0, 5)) if dice.chance(0.04) else dice.part(whole, 0.02, 1.15)
    return Step(verb="borrow", user=user, asset=asset, amount=amount)


def _repay(dice: Dice, scene: Scene, market: Market, _prices: dict[str, int]) -> Step:
    user = dice.one_of(scene.actors)
    state = market.user(user)
    asset = dice.one_of(sorted(state.borrowed) or scene.symbols)
    return Step(verb="repay", user=user, asset=asset, amount=_some_or_all(dice, state.debt[asset]))


def _withdraw(dice: Dice, scene: Scene, market: Market, _prices: dict[str, int]) -> Step:
    user = dice.one_of(scene.actors)
    state = market.user(user)
    held = sorted(asset for asset, amount in state.collateral.items() if amount)
    asset = dice.one_of(held or scene.symbols)
    amount = _some_or_all(dice, state.collateral[asset])
    return Step(verb="withdraw", user=user, asset=asset, amount=amount)


def _liquidate(dice: Dice, scene: Scene, market: Market, prices: dict[str, int]) -> Step:
    """Liquidate who is weakest; where nobody is weak enough, mostly make him so instead."""
    states = {name: market.user(name) for name in scene.actors if name != scene.provider}
    weakest = min(states, key=lambda name: states[name].health_wad)
    if states[weakest].health_wad >= WAD and dice.chance(0.7):
        step = next(_sink(dice, states[weakest], dict(prices)), None)
        if step is not None:
            first = scene.prices[step.asset]
            prices[step.asset] = min(max(step.amount, first // 10), first * 10)
            return replace(step, amount=prices[step.asset])
    borrower = weakest if dice.chance(0.85) else dice.one_of(scene.actors)
    state = market.user(borrower)
    liquidator = dice.one_of(scene.actors) if dice.chance(0.1) else scene.liquidator
    return liquidation(dice, scene, state, borrower=borrower, liquidator=liquidator)


def _set_emode(dice: Dice, scene: Scene, _market: Market, _prices: dict[str, int]) -> Step:
    user = dice.one_of(scene.actors)
    return Step(verb="set_emode", user=user, amount=int(dice.chance(0.5)))


def _use_as_collateral(dice: Dice, scene: Scene, market: Market, _prices: dict[str, int]) -> Step:
    user = dice.one_of(scene.actors)
    held = sorted(asset for asset, amount in market.user(user).collateral.items() if amount)
    asset = dice.one_of(held or scene.symbols)
    enabled = int(dice.chance(0.6))
    return Step(verb="use_as_collateral", user=user, asset=asset, amount=enabled)


_Maker = Callable[[Dice, Scene, Market, dict[str, int]], Step]
_MAKERS: Mapping[str, _Maker] = {
    "warp": _warp,
    "set_price": _set_price,
    "supply": _supply,
    "borrow": _borrow,
    "repay": _repay,
    "withdraw": _withdraw,
    "liquidate": _liquidate,
    "set_emode": _set_emode,
    "use_as_collateral": _use_as_collateral,
}


def liquidation(
    dice: Dice, scene: Scene, state: UserState, *, borrower: str, liquidator: str
) -> Step:
    """Return a liquidation: mostly of what is there, for part, nearly all, or more than all."""
    collateral = dice.one_of(sorted(state.used_as_collateral) or scene.symbols)
    debt = dice.one_of(sorted(state.borrowed) or scene.symbols)
    if dice.chance(0.04):
        collateral = dice.one_of(scene.symbols)
    if dice.chance(0.04):
        debt = dice.one_of(scene.symbols)
    owed = state.debt[debt]
    how = dice.weighted({"all": 40, "part": 28, "nearly": 20, "exactly": 8, "dust": 4})
    amount = {
        "all": UNLIMITED,
        "part": dice.part(owed),
        "nearly": dice.part(owed, 0.9, 1.0),
        "exactly": owed,
        "dust": int(dice.between(0, 4)),
    }[how]
    return Step(
        verb="liquidate",
        user=liquidator,
        asset=collateral,
        amount=amount,
        borrower=borrower,
        debt=debt,
    )


def scenario(
    dice: Dice, scene: Scene, market: Market, prices: dict[str, int], attempts: int = 3
) -> Iterator[Step]:
    """Yield the life of one loan: taken, fallen under water, liquidated more than once.

    Small loans on purpose, for the rules about dust; deep falls, for bad debt.
    """
    yield from _take_loan(dice, scene, market, prices)
    yield Step(verb="warp", amount=int(dice.log_between(1, YEAR_S)))
    for _ in range(attempts):
        if market.user(scene.borrower).health_wad >= WAD and dice.chance(0.85):
            yield from _sink(dice, market.user(scene.borrower), prices)
        state = market.user(scene.borrower)
        if not state.borrowed and dice.chance(0.9):
            return
        yield liquidation(dice, scene, state, borrower=scene.borrower, liquidator=scene.liquidator)
        if dice.chance(0.5):
            yield Step(verb="warp", amount=int(dice.log_between(1, DAY_S)))


def _take_loan(dice: Dice, scene: Scene, market: Market, prices: dict[str, int]) -> Iterator[Step]:
    borrower = scene.borrower
    in_emode = bool(scene.correlated) and dice.chance(0.12)
    choice = scene.correlated if in_emode else scene.symbols
    if in_emode:
        yield Step(verb="set_emode", user=borrower, amount=1)
    dollars = dice.log_between(500, 6000) if dice.chance(0.45) else dice.log_between(100, 2e6)
    backing = dice.some_of(choice, 1 + dice.chance(0.5))
    for asset in backing:
        amount = worth(scene, asset, dollars * dice.between(0.3, 1.0), prices)
        yield Step(verb="supply", user=borrower, asset=asset, amount=amount)
    others = [asset for asset in choice if asset not in backing]
    if dice.chance(0.1) or not others:
        others = list(choice)  # an asset may back a debt in itself
    for asset in dice.some_of(others, 1 + dice.chance(0.5)):
        state = market.user(borrower)
        room = max(state.collateral_base * state.ltv_bps // BPS - state.debt_base, 1)
        amount = dice.part(room * scene.units[asset] // prices[asset], 0.45, 1.0)
        yield Step(verb="borrow", user=borrower, asset=asset, amount=amount)


def _sink(dice: Dice, state: UserState, prices: dict[str, int]) -> Iterator[Step]:
    """Move prices so that a loan's health factor falls where the rules have their edges."""
    low, high = {"edge": (0.94, 1.003), "middle": (0.85, 0.99), "deep": (0.2, 0.9)}[
        dice.weighted({"edge": 45, "middle": 25, "deep": 30})
    ]
    factor = dice.between(low, high) * WAD / max(state.health_wad, 1)
    lowered = sorted(state.used_as_collateral - state.borrowed)
    raised = sorted(state.borrowed - state.used_as_collateral)
    moved = lowered
    if raised and (dice.chance(0.3) or not lowered):
        moved, factor = raised, 1 / max(factor, 1e-9)
    for asset in moved:
        prices[asset] = max(1, min(int(prices[asset] * factor), HIGHEST_PRICE))
        yield Step(verb="set_price", asset=asset, amount=prices[asset])


def _some_or_all(dice: Dice, amount: int) -> int:
    how = dice.weighted({"part": 60, "all": 20, "exactly": 10, "more": 10})
    more = amount + 1 + dice.part(amount)
    return {"part": dice.part(amount), "all": UNLIMITED, "exactly": amount, "more": more}[how]
