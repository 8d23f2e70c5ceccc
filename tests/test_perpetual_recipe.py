"""The ``[perpetual]`` section: what it says, and what is refused before anything runs."""

import pytest

from seawall.errors import RecipeError
from seawall.perpetual_recipe import ContractSection, PerpetualSection
from seawall.recipe import Recipe

ETH, BTC = "ETH/USDT:USDT", "BTC/USDT:USDT"


def recipe(symbols: list[str], section: dict[str, object] | None) -> Recipe:
    """Return a recipe of a simulated day with a section."""
    market = {
        "venue": "simulated", "symbols": symbols, "timeframe": "1h",
        "since": "2025-01-01", "until": "2025-01-02",
    }  # fmt: skip
    given: dict[str, object] = {"market": market, "agent": {"name": "agents.do_nothing"}}
    return Recipe.model_validate(given if section is None else given | {"perpetual": section})


def test_contracts_differ_where_they_say_so() -> None:
    """What a contract leaves out is the section's; 0 is a value, not left out."""
    own = ContractSection(margin="isolated", taker_fee_bps=0.0, leverage=3.0)
    section = PerpetualSection(contracts={ETH: own}, leverage=7.0)
    assert (section.mode_of(ETH), section.mode_of(BTC)) == ("isolated", "cross")
    assert (section.leverage_of(ETH), section.leverage_of(BTC)) == (3.0, 7.0)
    assert section.fees_of(ETH) == (2.0, 0.0, 125.0)
    assert section.fees_of(BTC) == (2.0, 5.0, 125.0)


def test_durations_are_read() -> None:
    """Eight hours of funding; money moves at once on an exchange, in 15 minutes over a chain."""
    section = PerpetualSection()
    assert section.funding.interval_ms == 8 * 3_600_000
    assert (section.transfer.delay_ms, section.transfer.loan_delay_ms) == (0, 900_000)
    other = section.transfer.model_copy(update={"delay": "1s", "loan_delay": "0"})
    assert (other.delay_ms, other.loan_delay_ms) == (1_000, 0)


def test_the_section_is_part_of_what_identifies_a_run() -> None:
    """Another leverage is another recipe."""
    ids = {recipe([ETH], {"leverage": leverage}).id for leverage in (5.0, 6.0)}
    assert len(ids | {recipe([ETH], None).id}) == 3


@pytest.mark.parametrize(
    ("symbols", "section", "message"),
    [
        (["ETH/USDT"], {}, r"needs a perpetual in market.symbols.*BASE/QUOTE:QUOTE"),
        ([ETH], {"contracts": {BTC: {"leverage": 2.0}}}, r"contracts names 'BTC/USDT:USDT'"),
        (
            [ETH, "BTC/USDT"],
            {"position": {"symbol": "BTC/USDT", "quantity": 1.0}},
            r"perpetual.position.symbol is 'BTC/USDT'",
        ),
        (
            [ETH],
            {"margin": "cross", "position": {"quantity": 1.0, "margin": "isolated"}},
            r"cannot change while a position is open.*'isolated'.*'cross'",
        ),
        (
            [BTC, ETH],
            {
                "contracts": {ETH: {"margin": "isolated"}},
                "position": {"symbol": ETH, "quantity": 1.0, "margin": "cross"},
            },
            r"cannot change while a position is open.*has 'isolated'",
        ),
        ([ETH], {"position": {}}, r"exactly one of .*quantity and .notional, has none"),
        ([ETH], {"position": {"quantity": 1.0, "notional": 1.0}}, r"exactly one of"),
        ([ETH], {"position": {"quantity": 0.0}}, r"finite number other than 0"),
        ([ETH], {"position": {"notional": float("inf")}}, r"finite number other than 0"),
        ([ETH], {"funding": {"rate": 0.0001}}, r"belongs to source = \"rate\""),
        ([ETH], {"funding": {"source": "rate"}}, r"give both or neither"),
        ([ETH], {"funding": {"interval": "8 h"}}, r"a duration is"),
        ([ETH], {"mark": {"source": "index"}}, r"mark.source"),
        ([ETH], {"brackets": {"missing": "zero"}}, r"brackets.missing"),
        ([ETH], {"leverage": 0.5}, r"leverage"),
        ([ETH], {"margin": "portfolio"}, r"margin"),
    ],
)
def test_what_cannot_be_is_refused(
    symbols: list[str], section: dict[str, object], message: str
) -> None:
    """Each with the key it is about, when the recipe is read."""
    with pytest.raises((RecipeError, ValueError), match=message):
        recipe(symbols, section)


def test_a_position_in_its_contracts_mode_is_taken() -> None:
    """The mode of the contract, said or not; the first perpetual where no symbol is given."""
    section: dict[str, object] = {"margin": "isolated", "position": {"notional": -5_000.0}}
    assert recipe(["ETH/USDT", ETH], section).perpetual is not None
    section = {"margin": "isolated", "position": {"notional": -5_000.0, "margin": "isolated"}}
    assert recipe(["ETH/USDT", ETH], section).perpetual is not None
