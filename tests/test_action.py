"""Actions: valid by construction, JSON both ways."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.action import (
    Action,
    Cancel,
    Order,
    OrderType,
    TargetWeight,
    from_json,
    json_schema,
    to_json,
)
from seawall.errors import AgentError

price = st.floats(1e-6, 1e9)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """Return any order that a venue could take."""
    kind: OrderType = draw(st.sampled_from(["market", "limit", "stop", "stop_limit", "trailing"]))
    is_cash = kind == "market" and draw(st.booleans())
    return Order(
        symbol="ETH/USDT",
        side=draw(st.sampled_from(["buy", "sell"])),
        type=kind,
        quantity=None if is_cash else draw(price),
        cash=draw(price) if is_cash else None,
        limit_price=draw(price) if kind in ("limit", "stop_limit") else None,
        stop_price=draw(price) if kind in ("stop", "stop_limit") else None,
        trail_fraction=draw(st.floats(1e-4, 0.5)) if kind == "trailing" else None,
        post_only=kind == "limit" and draw(st.booleans()),
    )


weights = st.builds(TargetWeight, symbol=st.just("ETH/USDT"), weight=st.floats(-5, 5))
actions = st.one_of(orders(), weights, st.builds(Cancel, order_id=st.text(min_size=1)))


@given(actions)
def test_an_action_survives_json(action: Action) -> None:
    """What is written is read back equal, to the bit of every number."""
    assert from_json(to_json(action)) == action


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({}, "exactly one of quantity and cash"),
        ({"quantity": 1.0, "cash": 1.0}, "exactly one of quantity and cash"),
        ({"quantity": -1.0}, "quantity must be a finite number > 0"),
        ({"quantity": float("nan")}, "quantity must be a finite number > 0"),
        ({"quantity": 1.0, "type": "limit"}, "limit_price belongs to"),
        ({"quantity": 1.0, "stop_price": 3.0}, "stop_price belongs to"),
        ({"cash": 5.0, "type": "limit", "limit_price": 3.0}, "cash sizes a market order"),
        ({"quantity": 1.0, "type": "trailing"}, "exactly one of trail_amount"),
        ({"quantity": 1.0, "time_in_force": "gtd"}, "good_until_ms belongs to"),
        ({"quantity": 1.0, "post_only": True}, "post_only belongs to"),
        ({"quantity": 1.0, "side": "Buy"}, "side must be one of buy, sell, is 'Buy'"),
        ({"quantity": 1.0, "side": None}, "side must be one of buy, sell, is None"),
        ({"quantity": 1.0, "type": "foo"}, "type must be one of market, limit"),
        ({"quantity": 1.0, "type": ["limit"]}, "type must be one of market, limit"),
        ({"quantity": 1.0, "time_in_force": "day"}, "time_in_force must be one of gtc"),
        ({"quantity": "1"}, "quantity must be a real number, is '1'"),
        ({"quantity": True}, "quantity must be a real number, is True"),
        ({"quantity": np.ones(2)}, "quantity must be a real number, is array"),
        ({"quantity": 10**400}, "quantity must be a finite number > 0, is inf"),
        ({"quantity": 1.0, "stop_loss": "5%"}, "stop_loss must be a real number"),
        ({"quantity": 1.0, "client_id": 7}, "client_id must be text, is 7"),
        ({"quantity": 1.0, "symbol": 7}, "symbol must be text, is 7"),
        ({"quantity": 1.0, "post_only": "no"}, "post_only must be True or False"),
        *(
            ({"quantity": 1.0, "time_in_force": "gtd", "good_until_ms": t}, "whole milliseconds")
            for t in ("now", 1.5, float("nan"), -1, 10**13, 10**5000, True)
        ),
    ],
)
def test_an_order_that_no_venue_could_take_is_refused(wrong: dict[str, object], rule: str) -> None:
    """The constructor says which rule it breaks."""
    values: dict[str, object] = {"symbol": "ETH/USDT", "side": "buy", **wrong}
    with pytest.raises(AgentError, match=rule):
        Order(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("weight", ["1", None, True, float("nan"), 10**400, np.ones(1), 1j])
def test_a_weight_is_a_finite_real_number(weight: object) -> None:
    """Whatever else is given is refused when the action is made, not in the middle of a run."""
    with pytest.raises(AgentError, match="weight must be a"):
        TargetWeight(symbol="ETH/USDT", weight=weight)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [10**30, np.float32(0.5), np.int64(2), 3])
def test_numbers_of_every_kind_end_as_floats(number: float) -> None:
    """What comes out of numpy, or is a huge int, is the same float everywhere after."""
    weight = TargetWeight(symbol="ETH/USDT", weight=number).weight
    order = Order(symbol="ETH/USDT", side="buy", quantity=number, stop_loss=number)
    assert type(weight) is type(order.quantity) is type(order.stop_loss) is float
    assert weight == order.quantity == order.stop_loss == float(number)


def test_a_whole_time_ends_as_an_int() -> None:
    """1,700,000,000,000 ms may come as a numpy int or a float."""
    for time_ms in (np.int64(1_700_000_000_000), 1.7e12):
        order = Order(
            symbol="ETH/USDT",
            side="buy",
            quantity=1.0,
            time_in_force="gtd",
            good_until_ms=time_ms,  # type: ignore[arg-type]
        )
        assert order.good_until_ms == 1_700_000_000_000
        assert type(order.good_until_ms) is int


def test_a_name_that_no_file_could_hold_is_replaced_alike_everywhere() -> None:
    """A lone surrogate becomes ? in an order's name and in the wish to cancel it by that name."""
    order = Order(symbol="ETH/USDT", side="buy", quantity=1.0, client_id="dip \ud800")
    assert order.client_id == Cancel(order_id="dip \ud800").order_id == "dip ?"
    to_json(order).encode("utf-8")
    with pytest.raises(AgentError, match="order_id must be text, is 7"):
        Cancel(order_id=7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"kind": "bomb"}', '{"kind": "cancel"}', '{"kind": "order"}', "nan"]
)
def test_what_is_no_action_is_refused_in_one_line(text: str) -> None:
    """Bad JSON never gives a traceback from the depths."""
    with pytest.raises(AgentError, match="not an action") as caught:
        from_json(text)
    assert "\n" not in str(caught.value)


def test_the_schema_names_every_action() -> None:
    """Whoever writes an agent in another language can read what may be asked."""
    text = json.dumps(json_schema())
    assert all(name in text for name in ("TargetWeight", "Order", "Cancel", "target_weight"))
