"""The rules of Aave by version: what changed between them, and when each began on Ethereum.

Source: Aave ``protocol-v2`` 1.0.1, ``core-v3`` 1.19.3 and ``aave-v3-origin`` 3.6.0 for v2, v3.0 and
v3.6; the feature and change lists of ``aave-v3-origin`` (``docs/3.3`` to ``docs/3.7``) between.
Left out of every version: stable-rate debt, isolation and siloed mode, the L2 sequencer's sentinel,
grace periods after a pause, flash loans, and transfers of aTokens between users.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from seawall.errors import RecipeError
from seawall.units import to_time_ms, to_time_text

RulesName = Literal["v2", "v3.0", "v3.3", "v3.4", "v3.5", "v3.6", "v3.7"]


@dataclass(frozen=True, kw_only=True)
class AaveRules:
    """What distinguishes one version of Aave from the others.

    Attributes:
        name: v3.0 stands for v3.0 to v3.2, which liquidate alike.
        compounding: how the borrow index grows; see ``fixed``.
        rounds_against_user: balances, mints, burns and values; else half-up, and values down.
        close_factor: ``half`` of a reserve's debt; ``by_health``: half, all of it at a health
            factor <= 0.95; ``position``: half of the whole debt, all of the reserve's at a health
            factor <= 0.95 or where either side is under 2,000 dollars.
        has_emode: efficiency modes exist.
        records_deficit: a liquidation that takes the last collateral burns the debt that is left,
            and none may leave dust.
        allows_self_liquidation: a borrower may liquidate himself.
        averages_rate: the supply rate goes through an average over the total debt, and rounds.
        pays_with_rates: liquidity counts as moved once the rates are set (virtual accounting); else
            when tokens move, which matters where collateral and debt are the same asset.
        flags_by_shares: a debt or collateral is gone when its scaled balance is; else when the
            amounts are equal.
        checks_after_borrow: health and loan to value are checked on the debt as it then is.
        health_from_sum: the health factor does not go through a threshold in whole basis points.
        emode_replaces: an efficiency mode replaces an asset's own flags instead of adding to them.
        rounds_against_liquidator: directed rounding of what is seized; and the last collateral is
            recognised by shares, not by value.
        accrues_twice: the treasury's share is booked twice where collateral and debt are the same.
    """

    name: RulesName
    compounding: Literal["per_second", "binomial", "taylor"]
    close_factor: Literal["half", "by_health", "position"]
    rounds_against_user: bool = False
    has_emode: bool = False
    records_deficit: bool = False
    allows_self_liquidation: bool = True
    averages_rate: bool = False
    pays_with_rates: bool = False
    flags_by_shares: bool = False
    checks_after_borrow: bool = False
    health_from_sum: bool = False
    emode_replaces: bool = False
    rounds_against_liquidator: bool = False
    accrues_twice: bool = False

    @property
    def is_v2(self) -> bool:
        """Whether these are v2's rules, whose pool is a contract of its own."""
        return self.name == "v2"


_V2 = AaveRules(name="v2", compounding="per_second", close_factor="half", averages_rate=True)
_V3_0 = AaveRules(
    name="v3.0",
    compounding="binomial",
    close_factor="by_health",
    has_emode=True,
    averages_rate=True,
)
_V3_3 = replace(
    _V3_0,
    name="v3.3",
    close_factor="position",
    records_deficit=True,
    averages_rate=False,
    pays_with_rates=True,
)
_V3_4 = replace(
    _V3_3, name="v3.4", compounding="taylor", allows_self_liquidation=False, flags_by_shares=True
)
_V3_5 = replace(
    _V3_4,
    name="v3.5",
    rounds_against_user=True,
    checks_after_borrow=True,
    health_from_sum=True,
    accrues_twice=True,
)
_V3_6 = replace(_V3_5, name="v3.6", emode_replaces=True)
_V3_7 = replace(_V3_6, name="v3.7", rounds_against_liquidator=True, accrues_twice=False)

RULES: Mapping[str, AaveRules] = {
    rules.name: rules for rules in (_V2, _V3_0, _V3_3, _V3_4, _V3_5, _V3_6, _V3_7)
}
"""Every version by its name."""


class Activation(NamedTuple):
    """From when on rules held on Ethereum, and where that is known from."""

    since: str
    name: RulesName
    source: str


_TAG = "tag of aave-v3-origin, on-chain days to weeks later"
ACTIVATIONS = (
    Activation("2020-12-03", "v2", "launch of the v2 main market"),
    Activation("2023-01-27", "v3.0", "launch of the v3 market"),
    Activation("2025-02-24", "v3.3", f"{_TAG}; supply rates carry deficits on 2025-03-19"),
    Activation("2025-07-03", "v3.4", "aave.com/docs/resources/changelog"),
    Activation("2025-08-07", "v3.5", "aave.com/docs/resources/changelog"),
    Activation("2026-01-08", "v3.6", f"{_TAG}; governance proposal 433, the second part"),
    Activation("2026-06-01", "v3.7", f"{_TAG}; governance proposal 489, the second part"),
)
"""Ethereum's main market: v2 until v3 opened, then v3; oldest first, UTC."""


def rules_at(time_ms: int) -> AaveRules:
    """Return the rules of Ethereum's main market at a moment.

    Raises:
        RecipeError: the moment is before Aave v2 existed.
    """
    found = [x.name for x in ACTIVATIONS if to_time_ms(x.since) <= time_ms]
    if not found:
        raise RecipeError(
            f"Aave v2 began on {ACTIVATIONS[0].since}, the time is {to_time_text(time_ms)}: "
            'name the rules ("v2") to run a market before its time as a counterfactual'
        )
    return RULES[found[-1]]
