from collections import deque
from collections.abc import Iterator
from typing import Any

from .comminfo import CommInfoBase
from .metabase import Params

class OrderExecutionBit:
    dt: float
    size: float
    price: float
    closed: float
    opened: float
    closedvalue: float
    openedvalue: float
    closedcomm: float
    openedcomm: float
    value: float
    comm: float
    pnl: float
    psize: float
    pprice: float

class OrderData:
    dt: float
    size: float
    remsize: float
    price: float
    pricelimit: float
    pclose: float
    trailamount: float
    trailpercent: float
    plimit: float
    value: float
    comm: float
    margin: float | None
    pnl: float
    psize: float
    pprice: float
    exbits: deque[OrderExecutionBit]
    def __len__(self) -> int: ...
    def __getitem__(self, key: int) -> OrderExecutionBit: ...
    def iterpending(self) -> Iterator[OrderExecutionBit]: ...
    def getpending(self) -> list[OrderExecutionBit]: ...
    def markpending(self) -> None: ...
    def add(self, dt: float, size: float, price: float, **kwargs: float) -> None: ...

class Order:
    Market: int
    Close: int
    Limit: int
    Stop: int
    StopLimit: int
    StopTrail: int
    StopTrailLimit: int
    Historical: int
    Created: int
    Submitted: int
    Accepted: int
    Partial: int
    Completed: int
    Canceled: int
    Cancelled: int
    Expired: int
    Margin: int
    Rejected: int
    Buy: int
    Sell: int
    ExecTypes: list[str]
    OrdTypes: list[str]
    Status: list[str]
    DAY: Any
    params: Any
    p: Params
    ref: int
    status: int
    ordtype: int
    owner: Any
    data: Any
    size: float
    price: float | None
    pricelimit: float | None
    exectype: int
    valid: Any
    tradeid: int
    oco: Order | None
    trailamount: float | None
    trailpercent: float | None
    parent: Order | None
    transmit: bool
    histnotify: bool
    triggered: bool
    info: Any
    broker: Any
    comminfo: CommInfoBase | None
    created: OrderData
    executed: OrderData
    dteos: float
    pannotated: float | None
    plen: int
    _active: bool
    _limitoffset: float
    def __init__(self, **kwargs: Any) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def isbuy(self) -> bool: ...
    def issell(self) -> bool: ...
    def alive(self) -> bool: ...
    def active(self) -> bool: ...
    def activate(self) -> None: ...
    def clone(self) -> Order: ...
    def submit(self, broker: Any = None) -> None: ...
    def accept(self, broker: Any = None) -> None: ...
    def reject(self, broker: Any = None) -> bool: ...
    def cancel(self) -> None: ...
    def margin(self) -> None: ...
    def completed(self) -> None: ...
    def partial(self) -> None: ...
    def expire(self) -> bool: ...
    def trailadjust(self, price: float) -> None: ...
    def addinfo(self, **kwargs: Any) -> None: ...
    def addcomminfo(self, comminfo: CommInfoBase) -> None: ...
    def getstatusname(self, status: int | None = None) -> str: ...
    def getordername(self, exectype: int | None = None) -> str: ...
    def ordtypename(self, ordtype: int | None = None) -> str: ...
    def execute(
        self,
        dt: float,
        size: float,
        price: float,
        closed: float,
        closedvalue: float,
        closedcomm: float,
        opened: float,
        openedvalue: float,
        openedcomm: float,
        margin: float | None,
        pnl: float,
        psize: float,
        pprice: float,
    ) -> None: ...

class BuyOrder(Order): ...
class SellOrder(Order): ...
