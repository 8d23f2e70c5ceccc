"""From a recipe's loan to numbers: the dated rules and parameters of the protocol, by epoch.

An epoch is a part of the window in which nothing of them changes; where governance changed
something inside the window, the loan meets it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from seawall.errors import RecipeError
from seawall.loan_recipe import LoanSection
from seawall.market.series import FloatArray
from seawall.units import BPS, to_time_ms, to_time_text
from seawall.venues.gas import GAS_UNITS
from seawall.venues.lending import layout, parameters
from seawall.venues.lending.rules import ACTIVATIONS, RULES, rules_at

NATIVE = "ETH"
EMODE_ETH = 1  # Aave v3 Ethereum: assets correlated with ETH
FLASH_PREMIUM_BPS = {"v2": 9.0, "v3": 5.0, "morpho": 0.0}
STOREFRONT = 0.5  # cUSDCv3, launch configuration
MORPHO_TARGET_RATE = 0.04  # AdaptiveCurveIRM, initial rate at target
MORPHO_TARGET = 0.9
Market = Literal["aave-v2", "aave-v3", "compound-v3-usdc"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Epoch:
    """What holds from ``since_ms`` on.

    Attributes:
        name: such as ``"aave v3.0"``.
        risk: float64, shape (n_assets, n_parameters), as in ``layout``.
        rules: float64, as in ``layout``, without the feeds' thresholds.
        borrow_rate, supply_rate: of each asset at the stated utilisation, per year.
    """

    since_ms: int
    name: str
    risk: FloatArray
    rules: FloatArray
    borrow_rate: FloatArray
    supply_rate: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class LoanTermsOfTime:
    """The epochs of a window, and what has to be said about them."""

    epochs: tuple[Epoch, ...]
    labels: tuple[str, ...]
    flash_premium: float
    has_flash_loans: bool


def find_terms(
    loan: LoanSection, names: tuple[str, ...], since_ms: int, until_ms: int
) -> LoanTermsOfTime:
    """Return what holds for a loan from ``since_ms`` to ``until_ms``.

    Raises:
        RecipeError: the market does not exist then, or does not know an asset.
    """
    if NATIVE in (loan.collateral, loan.debt):
        raise RecipeError("loan.collateral and loan.debt are tokens, one is ETH: write WETH")
    if loan.protocol == "aave":
        return _aave(loan, names, since_ms, until_ms)
    if loan.rules != "dated":
        raise RecipeError(
            f"loan.rules names versions of Aave, the protocol is {loan.protocol}: leave it out"
        )
    if loan.e_mode:
        raise RecipeError(f"loan.e_mode belongs to Aave v3, the protocol is {loan.protocol}")
    if loan.protocol == "compound":
        return _compound(loan, names, since_ms)
    return _morpho(loan, names, since_ms)


def _aave(
    loan: LoanSection, names: tuple[str, ...], since_ms: int, until_ms: int
) -> LoanTermsOfTime:
    name = rules_at(since_ms).name if loan.rules == "dated" else loan.rules
    market: Market = "aave-v2" if name == "v2" else "aave-v3"
    labels = []
    first_ms = parameters.starts_ms(market)
    if loan.rules != "dated" and (since_ms < first_ms or name != rules_at(since_ms).name):
        labels.append(f"counterfactual: rules of Aave {name} on {to_time_text(since_ms)[:10]}")
    shift_ms = max(first_ms - since_ms, 0)  # before the market began: its first parameters
    changes = {since_ms}
    if not shift_ms:
        for asset in _lent(names):
            rows = parameters.history(market, asset)
            changes |= {row.since_ms for row in rows if since_ms < row.since_ms < until_ms}
        modes = parameters.emode_history(market, EMODE_ETH) if loan.e_mode else ()
        changes |= {mode.since_ms for mode in modes if since_ms < mode.since_ms < until_ms}
    if loan.rules == "dated" and name != "v2":
        starts = (to_time_ms(activation.since) for activation in ACTIVATIONS)
        changes |= {start for start in starts if since_ms < start < until_ms}
    epochs = []
    for at_ms in sorted(changes):
        version = name
        if loan.rules == "dated" and market == "aave-v3":
            version = rules_at(at_ms).name
        epochs.append(
            _aave_epoch(loan, names, market, version=version, at_ms=at_ms, shift_ms=shift_ms)
        )
    key = "v2" if market == "aave-v2" else "v3"
    return LoanTermsOfTime(
        epochs=tuple(epochs),
        labels=tuple(labels),
        flash_premium=_premium(loan, FLASH_PREMIUM_BPS[key]),
        has_flash_loans=True,
    )


def _premium(loan: LoanSection, usual_bps: float) -> float:
    given = loan.flash_premium_bps
    return (usual_bps if given is None else given) * BPS


def _lent(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name != NATIVE)


def _aave_epoch(
    loan: LoanSection,
    names: tuple[str, ...],
    market: Market,
    *,
    version: str,
    at_ms: int,
    shift_ms: int,
) -> Epoch:
    risk = np.zeros((len(names), layout.N_PARAMETERS))
    risk[:, layout.BONUS] = 1.0
    risk[:, layout.HEALTH_IN_BPS] = not RULES[version].health_from_sum
    risk[:, layout.LTV_IN_BPS] = True
    borrow, supply = np.zeros(len(names)), np.zeros(len(names))
    seen_ms = at_ms + shift_ms
    emode = None
    if loan.e_mode:
        if not RULES[version].has_emode:
            raise RecipeError(
                f"loan.e_mode needs Aave v3, the rules are {version}: leave it out, or move the "
                "window"
            )
        emode = parameters.emode_at(market, EMODE_ETH, seen_ms)
        for asset in (loan.collateral, loan.debt):
            if asset not in emode.assets:
                raise RecipeError(
                    f"loan.e_mode is for {', '.join(emode.assets)}, the loan has {asset}: leave it "
                    "out, or change the loan"
                )
    for k, asset in enumerate(names):
        if asset == NATIVE:
            continue
        row = parameters.parameters_at(market, asset, seen_ms)
        in_emode = emode if emode is not None and asset in emode.assets else None
        values = in_emode or row
        fill_risk(
            risk[k], loan, asset,
            threshold=values.threshold, max_ltv=values.ltv, bonus=values.bonus,
            protocol_fee=row.protocol_fee if version != "v2" else 0.0,
        )  # fmt: skip
        _fill_curve(risk[k], row)
        used = loan.rates.utilisation_of(asset)
        borrow[k], supply[k] = row.borrow_rate(used), row.supply_rate(used)
        _size_pool(risk[k], loan, asset, used)
    code = {"v2": layout.AAVE_V2, "v3.0": layout.AAVE_V3_0}.get(version, layout.AAVE_V3_3)
    return Epoch(
        since_ms=at_ms,
        name=f"aave {version}",
        risk=risk,
        rules=_to_rules(loan, names, code),
        borrow_rate=borrow,
        supply_rate=supply,
    )


def _fill_curve(risk: FloatArray, row: parameters.AssetParameters) -> None:
    risk[layout.BASE_RATE], risk[layout.OPTIMAL] = row.base, row.optimal
    risk[layout.SLOPE_1], risk[layout.SLOPE_2] = row.slope1, row.slope2
    risk[layout.RESERVE_FACTOR] = row.reserve_factor


def _size_pool(risk: FloatArray, loan: LoanSection, asset: str, used: float) -> None:
    """Note a pool's size; own size then moves its rate."""
    supplied = loan.rates.pool_supply.get(asset, 0.0)
    risk[layout.POOL_SUPPLY], risk[layout.POOL_DEBT] = supplied, supplied * used


def fill_risk(
    risk: FloatArray,
    loan: LoanSection,
    asset: str,
    *,
    threshold: float,
    max_ltv: float,
    bonus: float,
    protocol_fee: float,
) -> None:
    """Fill one asset's row; what the recipe gives wins."""
    own = loan.parameters.get(asset)
    risk[layout.THRESHOLD], risk[layout.MAX_LTV] = threshold, max_ltv
    risk[layout.BONUS], risk[layout.PROTOCOL_FEE] = max(bonus, 1.0), protocol_fee
    if own is None:
        return
    for column, given in (
        (layout.THRESHOLD, own.threshold),
        (layout.MAX_LTV, own.max_ltv),
        (layout.PROTOCOL_FEE, own.protocol_fee),
    ):
        if given is not None:
            risk[column] = given
    if own.bonus is not None:
        risk[layout.BONUS] = 1.0 + own.bonus
    if not risk[layout.MAX_LTV] <= risk[layout.THRESHOLD] < 1:
        raise RecipeError(
            f"loan.parameters.{asset}: max_ltv <= threshold < 1 must hold, are "
            f"{risk[layout.MAX_LTV]:g} and {risk[layout.THRESHOLD]:g}: give both"
        )
    if not risk[layout.BONUS] * risk[layout.THRESHOLD] < 1:
        raise RecipeError(
            f"loan.parameters.{asset}: (1 + bonus) x threshold must be below 1, is "
            f"{risk[layout.BONUS] * risk[layout.THRESHOLD]:.4f}: each liquidation would leave the "
            "loan sicker; give a smaller bonus"
        )


def _to_rules(loan: LoanSection, names: tuple[str, ...], code: int) -> FloatArray:
    rules = np.zeros(layout.N_RULES)
    rules[layout.PROTOCOL] = code
    rules[layout.LIQUIDATION_GAS] = GAS_UNITS["transaction"] + GAS_UNITS["liquidation"]
    rules[layout.SWAP_FEE] = loan.swap.fee_bps * BPS
    rules[layout.DEPTH_USD] = loan.swap.depth_usd
    rules[layout.STOREFRONT] = STOREFRONT
    rules[layout.BASE_ASSET] = names.index(loan.debt)
    return rules


def _compound(loan: LoanSection, names: tuple[str, ...], since_ms: int) -> LoanTermsOfTime:
    market: Market = "compound-v3-usdc"
    risk = np.zeros((len(names), layout.N_PARAMETERS))
    risk[:, layout.BONUS] = 1.0
    borrow, supply = np.zeros(len(names)), np.zeros(len(names))
    if loan.debt != "USDC":
        raise RecipeError(
            f"loan.debt must be USDC at Compound's market cUSDCv3, is {loan.debt}: change it"
        )
    for k, asset in enumerate(names):
        if asset == NATIVE:
            continue
        row = parameters.parameters_at(market, asset, since_ms)
        fill_risk(
            risk[k], loan, asset,
            threshold=row.threshold, max_ltv=row.ltv, bonus=1.0, protocol_fee=0.0,
        )  # fmt: skip
        risk[k, layout.LIQUIDATION_FACTOR] = row.liquidation_factor
        if asset == loan.debt:  # collateral earns nothing at Compound v3
            used = loan.rates.utilisation_of(asset)
            _fill_curve(risk[k], row)
            borrow[k] = row.borrow_rate(used)
            _size_pool(risk[k], loan, asset, used)
    epoch = Epoch(
        since_ms=since_ms,
        name="compound v3",
        risk=risk,
        rules=_to_rules(loan, names, layout.COMET),
        borrow_rate=borrow,
        supply_rate=supply,
    )
    labels = (
        "assumption: cUSDCv3 as it was configured at its launch",
        "assumption: flash loans come from Aave v3",
    )
    premium = _premium(loan, FLASH_PREMIUM_BPS["v3"])
    return LoanTermsOfTime(
        epochs=(epoch,), labels=labels, flash_premium=premium, has_flash_loans=True
    )


def _morpho(loan: LoanSection, names: tuple[str, ...], since_ms: int) -> LoanTermsOfTime:
    found = parameters.morpho_at(loan.collateral, loan.debt, since_ms)
    risk = np.zeros((len(names), layout.N_PARAMETERS))
    risk[:, layout.BONUS] = 1.0
    k, j = names.index(loan.collateral), names.index(loan.debt)
    fill_risk(
        risk[k], loan, loan.collateral,
        threshold=found.lltv, max_ltv=found.lltv, bonus=found.incentive, protocol_fee=0.0,
    )  # fmt: skip
    borrow, supply = np.zeros(len(names)), np.zeros(len(names))
    borrow[j] = morpho_rate(loan.rates.utilisation_of(loan.debt))
    epoch = Epoch(
        since_ms=since_ms,
        name="morpho blue",
        risk=risk,
        rules=_to_rules(loan, names, layout.MORPHO),
        borrow_rate=borrow,
        supply_rate=supply,
    )
    premium = _premium(loan, FLASH_PREMIUM_BPS["morpho"])
    labels = (f"assumption: Morpho's rate at target stays at {MORPHO_TARGET_RATE:.0%}",)
    return LoanTermsOfTime(
        epochs=(epoch,), labels=labels, flash_premium=premium, has_flash_loans=True
    )


def morpho_rate(used: float) -> float:
    """Return AdaptiveCurveIRM's borrow rate at a utilisation, with its rate at target standing."""
    if used > MORPHO_TARGET:
        error = (used - MORPHO_TARGET) / (1 - MORPHO_TARGET)
        return MORPHO_TARGET_RATE * (1 + 3 * error)
    return MORPHO_TARGET_RATE * (1 + 0.75 * (used / MORPHO_TARGET - 1))
