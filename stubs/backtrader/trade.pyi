import datetime as _datetime
from typing import Any

class Trade:
    Created: int
    Open: int
    Closed: int
    status_names: list[str]
    ref: int
    status: int
    tradeid: int
    size: float
    price: float
    value: float
    commission: float
    pnl: float
    pnlcomm: float
    isclosed: bool
    isopen: bool
    justopened: bool
    baropen: int
    barclose: int
    barlen: int
    dtopen: float
    dtclose: float
    data: Any
    long: bool
    history: list[Any]
    def open_datetime(self, tz: Any = None, naive: bool = True) -> _datetime.datetime: ...
    def close_datetime(self, tz: Any = None, naive: bool = True) -> _datetime.datetime: ...
