"""What the exchange answers where it refuses: Binance's codes and texts, HTTP status beside them.

Source: Binance's published error codes; the texts are what clients match on.
"""

from collections.abc import Mapping

BAD_REQUEST, UNAUTHORIZED, TOO_MANY, TEAPOT = 400, 401, 429, 418


class ApiError(Exception):
    """A request is refused with a code, a text and an HTTP status."""

    def __init__(
        self,
        code: int,
        text: str,
        *,
        status: int = BAD_REQUEST,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status
        self.headers = dict(headers or {})

    def shown(self) -> dict[str, object]:
        """Return it as the JSON that a client sees."""
        return {"code": self.code, "msg": self.text}


def missing(name: str) -> ApiError:
    """Return the refusal of a request without a mandatory parameter."""
    return ApiError(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def illegal(name: str, legal: str) -> ApiError:
    """Return the refusal of a parameter with characters that do not belong there."""
    return ApiError(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    )


def too_precise(name: str) -> ApiError:
    """Return the refusal of a number with too many decimals."""
    return ApiError(-1111, f"Parameter '{name}' has too much precision.")


def not_required(name: str) -> ApiError:
    """Return the refusal of a parameter that the order type does not take."""
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")


def filter_failure(name: str) -> ApiError:
    """Return the refusal of an order that a filter of its market forbids."""
    return ApiError(-1013, f"Filter failure: {name}")


def rejected(text: str) -> ApiError:
    """Return the refusal of a new order for what the account or the book is like."""
    return ApiError(-2010, text)


def invalid_symbol() -> ApiError:
    """Return the refusal of a market that is not listed."""
    return ApiError(-1121, "Invalid symbol.")


def invalid_interval() -> ApiError:
    """Return the refusal of a kline interval that is not served."""
    return ApiError(-1120, "Invalid interval.")


def unknown_order() -> ApiError:
    """Return the refusal to cancel what is not open."""
    return ApiError(-2011, "Unknown order sent.")


def no_such_order() -> ApiError:
    """Return the answer to a query for an order that was never accepted."""
    return ApiError(-2013, "Order does not exist.")


def bad_combination() -> ApiError:
    """Return the refusal of parameters that exclude each other."""
    return ApiError(-1128, "Combination of optional parameters invalid.")


def insufficient_balance() -> ApiError:
    """Return the refusal of an order that the account cannot pay."""
    return rejected("Account has insufficient balance for requested action.")


def unknown_path(method: str, path: str) -> ApiError:
    """Return the answer to a path that the exchange does not serve; no client tries it again.

    A page without a code, or code -1000, would pass for an exchange that is out of order.
    """
    return ApiError(-5000, f"Path {path:.100}, Method {method} is invalid", status=404)


def no_such_transfer() -> ApiError:
    """Return the refusal of a transfer between wallets that are not there."""
    return ApiError(-1130, "Data sent for parameter 'type' is not valid.")
