"""What the futures side answers where it refuses: codes and texts that differ from spot's.

Source: Binance USD-M futures, error codes.
"""

from seawall.sandbox.decimals import to_text
from seawall.sandbox.refusals import ApiError


def short_of_margin() -> ApiError:
    """Return the refusal of an order that the margin does not carry."""
    return ApiError(-2019, "Margin is insufficient.")


def would_trigger() -> ApiError:
    """Return the refusal of a conditional order whose trigger is reached already."""
    return ApiError(-2021, "Order would immediately trigger.")


def nothing_to_reduce() -> ApiError:
    """Return the refusal of an order that only reduces where it has nothing to reduce."""
    return ApiError(-2022, "ReduceOnly Order is rejected.")


def too_many_orders() -> ApiError:
    """Return the refusal of one open order too many."""
    return ApiError(-2025, "Reach max open order limit.")


def beyond_bracket() -> ApiError:
    """Return the refusal of a position that the leverage does not allow."""
    return ApiError(-2027, "Exceeded the maximum allowable position at current leverage.")


def leverage_too_small() -> ApiError:
    """Return the refusal of a leverage whose margin is not there."""
    return ApiError(-2028, "Leverage is smaller than permitted: insufficient margin balance.")


def invalid_callback() -> ApiError:
    """Return the refusal of a callback rate outside 0.1 to 10."""
    return ApiError(-2007, "Invalid callBack rate.")


def too_fine() -> ApiError:
    """Return the refusal of a number with more decimals than the market has."""
    return ApiError(-1111, "Precision is over the maximum defined for this asset.")


def unknown_listen_key() -> ApiError:
    """Return the refusal to prolong a key that is not there."""
    return ApiError(-1125, "This listenKey does not exist.")


def price_too_high(limit: int) -> ApiError:
    """Return the refusal of a limit above what the last price allows."""
    return ApiError(-4016, f"Limit price can't be higher than {to_text(limit)}.")


def price_too_low(limit: int) -> ApiError:
    """Return the refusal of a limit below what the last price allows."""
    return ApiError(-4024, f"Limit price can't be lower than {to_text(limit)}.")


def off_tick() -> ApiError:
    """Return the refusal of a price between two ticks."""
    return ApiError(-4014, "Price not increased by tick size.")


def price_above_max() -> ApiError:
    """Return the refusal of a price that the market does not know."""
    return ApiError(-4002, "Price greater than max price.")


def no_price() -> ApiError:
    """Return the refusal of a price of zero."""
    return ApiError(-4001, "Price less than or equal to zero.")


def no_quantity() -> ApiError:
    """Return the refusal of a quantity of zero."""
    return ApiError(-4003, "Quantity less than or equal to zero.")


def quantity_too_large() -> ApiError:
    """Return the refusal of an order that is too large."""
    return ApiError(-4005, "Quantity greater than max quantity.")


def invalid_leverage(leverage: int) -> ApiError:
    """Return the refusal of a leverage that no bracket has."""
    return ApiError(-4028, f"Leverage {leverage} is not valid")


def too_many_stops() -> ApiError:
    """Return the refusal of one conditional order too many."""
    return ApiError(-4045, "Reach max stop order limit.")


def same_margin_type() -> ApiError:
    """Return the answer to a margin type that is the one there is."""
    return ApiError(-4046, "No need to change margin type.")


def margin_type_with_orders() -> ApiError:
    """Return the refusal to change the margin type under open orders."""
    return ApiError(-4047, "Margin type cannot be changed if there exists open orders.")


def margin_type_with_position() -> ApiError:
    """Return the refusal to change the margin type of a position."""
    return ApiError(-4048, "Margin type cannot be changed if there exists position.")


def margin_of_cross() -> ApiError:
    """Return the refusal to move margin of a position that is not isolated."""
    return ApiError(-4049, "Add margin only support for isolated position.")


def cross_too_small() -> ApiError:
    """Return the refusal to add more margin than is free."""
    return ApiError(-4050, "Cross balance insufficient.")


def isolated_too_small() -> ApiError:
    """Return the refusal to take more margin than a position can spare."""
    return ApiError(-4051, "Isolated balance insufficient.")


def margin_of_nothing() -> ApiError:
    """Return the refusal to move margin without a position."""
    return ApiError(-4054, "Cannot add position margin: position is 0.")


def amount_not_positive() -> ApiError:
    """Return the refusal of an amount of zero."""
    return ApiError(-4055, "Amount must be positive.")


def same_position_mode() -> ApiError:
    """Return the answer to a position mode that is the one there is."""
    return ApiError(-4059, "No need to change position side.")


def wrong_position_side() -> ApiError:
    """Return the refusal of a side of hedge mode."""
    return ApiError(-4061, "Order's position side does not match user's setting.")


def improper_reduce_only() -> ApiError:
    """Return the refusal of ``reduceOnly`` where it cannot stand."""
    return ApiError(-4062, "Invalid or improper reduceOnly value.")


def not_offered() -> ApiError:
    """Return the refusal of hedge mode, which this exchange does not have."""
    return ApiError(-4084, "Method is not allowed currently. Coming soon.")


def duplicate_client_id() -> ApiError:
    """Return the refusal of a client's id that an open order has."""
    return ApiError(-4116, "ClientOrderId is duplicated.")


def needs_algo() -> ApiError:
    """Return the refusal of a conditional order at the endpoint of plain ones."""
    return ApiError(
        -4120,
        "Order type not supported for this endpoint. Please use the Algo Order API endpoints "
        "instead.",
    )


def one_close_order() -> ApiError:
    """Return the refusal of a second order that closes all in one direction."""
    return ApiError(
        -4130,
        "An open stop or take profit order with GTE and closePosition in the direction is "
        "existing.",
    )


def no_close_of(kind: str) -> ApiError:
    """Return the refusal of ``closePosition`` for a type that does not know it."""
    return ApiError(-4136, f"Target strategy invalid for orderType {kind},closePosition true")


def isolated_leverage_down() -> ApiError:
    """Return the refusal to lower the leverage of an isolated position."""
    return ApiError(
        -4161, "Leverage reduction is not supported in Isolated Margin Mode with open positions"
    )


def notional_too_small(least: int) -> ApiError:
    """Return the refusal of an order that is worth too little."""
    shown = to_text(least).rstrip("0").rstrip(".")
    return ApiError(
        -4164,
        f"Order's notional must be no smaller than {shown} (unless you choose reduce only).",
    )


def not_fillable() -> ApiError:
    """Return the refusal of a fill-or-kill order."""
    return ApiError(
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected. The "
        "order will not be recorded in the order history",
    )


def would_take() -> ApiError:
    """Return the refusal of a post-only order that would take."""
    return ApiError(
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. "
        "The order will not be recorded in the order history",
    )


def no_need_to_modify() -> ApiError:
    """Return the refusal of a change that changes nothing."""
    return ApiError(-5027, "No need to modify the order.")
