"""One request as the handlers see it: its parameters, parsed once, read with Binance's refusals."""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar
from urllib.parse import unquote_plus

from seawall.sandbox.accounts import Account
from seawall.sandbox.decimals import parse_decimal
from seawall.sandbox.refusals import ApiError, illegal, missing, too_precise

if TYPE_CHECKING:
    from seawall.sandbox.exchange import Exchange

T = TypeVar("T")
MOST_ROWS = 1_000  # of a list
_LARGEST = 2**63 - 1
_INTEGER = re.compile(r"[0-9]{1,20}")
_LEGAL_DECIMAL = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_CLIENT_ID = re.compile(r"[a-zA-Z0-9\-_.:/]{1,36}")
_LEGAL_CLIENT_ID = r"^[a-zA-Z0-9-_]{1,36}$"

Security = Literal["none", "key", "signed"]


@dataclass(slots=True, kw_only=True)
class Call:
    """One request.

    Attributes:
        method, path: of HTTP; ``query`` and ``body`` as they came, to the byte.
        params: of both, decoded; the first of two with one name is refused by the parser.
        address: the client's, for limits.
        key: what the header ``X-MBX-APIKEY`` says.
        now_ms: the exchange's time.
        account: whose key it is, where the route asks for one.
    """

    method: str
    path: str
    query: bytes
    body: bytes
    params: dict[str, str]
    address: str
    key: str
    now_ms: int
    account: Account | None = None

    @property
    def owner(self) -> Account:
        """The account that sent it.

        Raises:
            ApiError: the route did not ask for a key.
        """
        if self.account is None:
            raise ApiError(-2014, "API-key format invalid.", status=401)
        return self.account

    def text(self, name: str) -> str:
        """Return a mandatory parameter."""
        value = self.params.get(name)
        if not value:
            raise missing(name)
        return value

    def choice(self, name: str, legal: Collection[str], refusal: ApiError) -> str:
        """Return a mandatory parameter that has to be one of ``legal``."""
        value = self.text(name)
        if value not in legal:
            raise refusal
        return value

    def integer(self, name: str) -> int | None:
        """Return a whole number, None where it was not sent."""
        value = self.params.get(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value) or int(value) > _LARGEST:
            raise illegal(name, "^[0-9]{1,20}$")
        return int(value)

    def limit(self, default: int, most: int) -> int:
        """Return how many rows are asked for; more than there may be is cut."""
        value = self.integer("limit")
        if value is None:
            return default
        if value == 0:
            raise ApiError(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(value, most)

    def page(
        self,
        rows: Iterable[T],
        place: Callable[[T], tuple[int, int]],
        *,
        first: str = "",
        default: int = 500,
    ) -> list[T]:
        """Return rows from a number on, in a window of time, or the last ones.

        Args:
            rows: in their order.
            place: returns the number and the time of a row.
            first: the parameter that says from which number on.
            default: how many rows, where the request does not say it.
        """
        limit, least = self.limit(default, MOST_ROWS), self.integer(first) or 0
        since_ms, until_ms = self.integer("startTime"), self.integer("endTime")
        found = []
        for row in rows:
            number, time_ms = place(row)
            if (
                number >= least
                and (since_ms is None or time_ms >= since_ms)
                and (until_ms is None or time_ms <= until_ms)
            ):
                found.append(row)
        is_forward = first in self.params or since_ms is not None
        return found[:limit] if is_forward else found[-limit:]

    def decimal(self, name: str) -> int | None:
        """Return a number in 1e-8 units, None where it was not sent."""
        value = self.params.get(name)
        if value is None:
            return None
        try:
            units = parse_decimal(value)
        except ValueError:
            raise too_precise(name) from None
        if units is None:
            raise illegal(name, _LEGAL_DECIMAL)
        return units

    def client_id(self, name: str) -> str:
        """Return a client's id for an order, empty where it was not sent."""
        value = self.params.get(name, "")
        if value and not _CLIENT_ID.fullmatch(value):
            raise illegal(name, _LEGAL_CLIENT_ID)
        return value


Handler = Callable[["Exchange", Call], object]


class Route(NamedTuple):
    """How one method of one path is answered.

    Attributes:
        handler: returns a JSON value, or bytes that are JSON already.
        weight: of the request, or how it follows from the parameters.
        security: what the request must carry.
        n_orders: how many new orders it is, or how that follows from the parameters.
    """

    handler: Handler
    weight: int | Callable[[Call], int] = 1
    security: Security = "none"
    n_orders: int | Callable[[Call], int] = 0


Routes = dict[tuple[str, str], Route]


def parse_params(query: bytes, body: bytes) -> dict[str, str]:
    """Return the parameters of a query and a form.

    Raises:
        ApiError: one name comes twice, or the bytes are no text.
    """
    params: dict[str, str] = {}
    try:
        for part in (query.decode(), body.decode()):
            for pair in part.split("&") if part else ():
                name, _, value = pair.partition("=")
                if "%" in pair or "+" in pair:
                    name, value = unquote_plus(name), unquote_plus(value)
                if name in params:
                    raise ApiError(-1101, f"Duplicate values for parameter '{name}'.")
                params[name] = value
    except UnicodeDecodeError:
        raise illegal("query", "UTF-8") from None
    return params
