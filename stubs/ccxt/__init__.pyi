"""The part of ccxt that Seawall uses: public market data through the synchronous client."""

from collections.abc import Mapping
from typing import Any

__version__: str
exchanges: list[str]
DECIMAL_PLACES: int
SIGNIFICANT_DIGITS: int
TICK_SIZE: int

class BaseError(Exception): ...
class ExchangeError(BaseError): ...
class BadSymbol(ExchangeError): ...
class NotSupported(ExchangeError): ...
class OperationFailed(BaseError): ...
class NetworkError(OperationFailed): ...
class DDoSProtection(NetworkError): ...
class RateLimitExceeded(NetworkError): ...
class ExchangeNotAvailable(NetworkError): ...
class RequestTimeout(NetworkError): ...

class Exchange:
    id: str
    name: str
    has: Mapping[str, Any]
    markets: dict[str, Any] | None
    symbols: list[str] | None
    timeframes: dict[str, str] | None
    options: dict[str, Any]
    precisionMode: int
    timeout: int
    last_response_headers: Mapping[str, str] | None
    enableLastJsonResponse: bool
    last_json_response: Any
    urls: dict[str, Any]
    session: Any
    enableRateLimit: bool
    rateLimit: float
    def __init__(self, config: Mapping[str, Any] = ...) -> None: ...
    def load_markets(self, reload: bool = ..., params: Mapping[str, Any] = ...) -> dict[str, Any]: ...
    def market(self, symbol: str) -> dict[str, Any]: ...
    def fetch_time(self, params: Mapping[str, Any] = ...) -> int | None: ...
    def fetch_ohlcv(
        self,
        symbol: str,
        timeframe: str = ...,
        since: int | None = ...,
        limit: int | None = ...,
        params: Mapping[str, Any] = ...,
    ) -> list[list[Any]]: ...
    def fetch_funding_rate_history(
        self,
        symbol: str | None = ...,
        since: int | None = ...,
        limit: int | None = ...,
        params: Mapping[str, Any] = ...,
    ) -> list[dict[str, Any]]: ...

class binance(Exchange): ...
class binanceusdm(Exchange): ...
