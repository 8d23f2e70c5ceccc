"""How a numerical kernel is compiled: once, cached on disk, IEEE arithmetic.

A kernel is a plain function of numbers and numpy arrays. It does not raise and does not allocate
what it can be given; its caller checks what goes in. ``fastmath`` stays off: the same inputs give
the same bits on every run.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` in nopython mode, cached; a division by zero gives inf or nan."""
    compiled = numba.njit(cache=True, error_model="numpy", fastmath=False)(function)
    return cast("Callable[P, R]", compiled)
