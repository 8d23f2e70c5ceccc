"""An exchange's keys, from the environment: the one place that looks for them.

Only what an exchange does not tell to everybody needs them. They are read when they are used, and
neither stored nor printed.
"""

import os
from typing import NamedTuple


class ApiKeys(NamedTuple):
    """The key and the secret of one account."""

    key: str
    secret: str


def key_names(exchange: str) -> tuple[str, str]:
    """Return the variables for one exchange: ``BINANCE_API_KEY`` and ``BINANCE_API_SECRET``."""
    name = exchange.upper()
    return f"{name}_API_KEY", f"{name}_API_SECRET"


def find_keys(exchange: str) -> ApiKeys | None:
    """Return the keys of one exchange, None where the environment has not both."""
    key, secret = (os.environ.get(name, "") for name in key_names(exchange))
    return ApiKeys(key, secret) if key and secret else None
