from collections.abc import Callable
from typing import Any

from .linebuffer import LineActions

class Logic(LineActions):
    args: list[Any]
    def __init__(self, *args: Any) -> None: ...

class DivByZero(Logic):
    a: Any
    b: Any
    zero: float

class DivZeroByZero(Logic):
    a: Any
    b: Any
    single: float
    dual: float

class Cmp(Logic):
    a: Any
    b: Any

class CmpEx(Logic):
    a: Any
    b: Any
    r1: Any
    r2: Any
    r3: Any

class If(Logic):
    a: Any
    b: Any
    cond: Any

class MultiLogic(Logic):
    flogic: Callable[..., Any]

class MultiLogicReduce(MultiLogic): ...
class Reduce(MultiLogicReduce): ...
class And(MultiLogicReduce): ...
class Or(MultiLogicReduce): ...
class Max(MultiLogic): ...
class Min(MultiLogic): ...
class Sum(MultiLogic): ...
class Any_(MultiLogic): ...
class All(MultiLogic): ...
