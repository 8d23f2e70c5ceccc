"""Closed trades: from flat to flat, their profits adding up to the account's."""

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.fill import Fill
from seawall.trades import closed_trades


def fill(
    quantity: float, price: float, *, fee: float = 0.0, time_ms: int = 0, symbol: str = "ETH/USDT"
) -> Fill:
    """Return a fill of which only these matter."""
    return Fill(
        time_ms=time_ms, bar_ms=time_ms, order_id="1", symbol=symbol, quantity=quantity,
        price=price, raw_price=price, trigger_price=nan, slippage=0.0, fee=fee,
        liquidity="taker", rule="market", is_ambiguous=False,
    )  # fmt: skip


def test_a_round_trip_in_parts() -> None:
    """Buy 1 at 100 and 1 at 110, sell 2 at 120, fees 1 + 1 + 2: 240 - 210 - 4 = 26."""
    (trade,) = closed_trades(
        [
            fill(1, 100, fee=1, time_ms=1),
            fill(1, 110, fee=1, time_ms=2),
            fill(-2, 120, fee=2, time_ms=3),
        ]
    )
    assert (trade.quantity, trade.entry_price, trade.exit_price) == (2.0, 105.0, 120.0)
    assert (trade.pnl, trade.fees) == (26.0, 4.0)
    assert (trade.entry_ms, trade.exit_ms) == (1, 3)
    assert trade.return_fraction == pytest.approx(26 / 210)


def test_a_fill_that_crosses_zero_ends_one_trade_and_begins_the_next() -> None:
    """Long 1 at 100, sell 3 at 110, buy 2 at 100: +10, then +20 short; the fee splits 1 to 2."""
    first, second = closed_trades([fill(1, 100), fill(-3, 110, fee=3), fill(2, 100)])
    assert [first.pnl, first.fees] == pytest.approx([9.0, 1.0])
    assert [second.quantity, second.pnl] == pytest.approx([-2.0, 18.0])


def test_an_open_position_is_no_closed_trade() -> None:
    """It is marked in the equity and listed nowhere else."""
    assert closed_trades([fill(1, 100), fill(-0.5, 120)]) == []


def test_coins_owned_before_the_start_have_no_entry() -> None:
    """Selling 2 of 5 given coins closes nothing; what is bought and sold on top does."""
    trades = closed_trades(
        [fill(-2, 100), fill(-3, 100), fill(1, 100), fill(-1, 130)], {"ETH/USDT": 5.0}
    )
    assert [trade.pnl for trade in trades] == [30.0]


steps = st.lists(
    st.tuples(
        st.sampled_from([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0]), st.floats(1.0, 1e4), st.floats(0, 5)
    ),
    min_size=1, max_size=40,
)  # fmt: skip


@given(steps)
def test_profits_of_trades_add_up_to_the_cash_once_flat(
    moves: list[tuple[float, float, float]],
) -> None:
    """However fills come, once the position is closed the sum of profits is the change of cash."""
    fills = [fill(quantity, price, fee=fee) for quantity, price, fee in moves]
    rest = sum(f.quantity for f in fills)
    if rest:
        fills.append(fill(-rest, 100.0))
    cash = sum(-f.quantity * f.price - f.fee for f in fills)
    assert sum(t.pnl for t in closed_trades(fills)) == pytest.approx(cash, rel=1e-9, abs=1e-6)


def test_what_ends_a_given_short_is_no_closed_trade() -> None:
    """Short 10 at the start: buying 5 and selling 5 again closes nothing that was opened."""
    assert closed_trades([fill(5, 90), fill(-5, 80)], {"ETH/USDT": -10.0}) == []
    (trade,) = closed_trades([fill(12, 90), fill(-2, 95)], {"ETH/USDT": -10.0})
    assert (trade.quantity, trade.pnl) == (2.0, 10.0)
