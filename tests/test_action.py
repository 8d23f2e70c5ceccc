"""Actions: valid by construction, JSON both ways."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.action import Action, Cancel, Order, TargetWeight, from_json, json_schema, to_json
from seawall.errors import AgentError

price = st.floats(1e-6, 1e9)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """Return any order that a venue could take."""
    kind = draw(st.sampled_from(["market", "limit", "stop", "stop_limit", "trailing"]))
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
    ],
)
def test_an_order_that_no_venue_could_take_is_refused(wrong: dict[str, object], rule: str) -> None:
    """The constructor says which rule it breaks."""
    values: dict[str, object] = {"symbol": "ETH/USDT", "side": "buy", **wrong}
    with pytest.raises(AgentError, match=rule):
        Order(**values)  # type: ignore[arg-type]


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
