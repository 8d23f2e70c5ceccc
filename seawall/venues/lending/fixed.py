"""Integer arithmetic as lending contracts do it: wad (1e18), ray (1e27) and basis points.

Python's integers do not overflow; a contract's 256 bits do, which is left out. All arguments are
>= 0, divisors > 0. Where a name says neither ``floor`` nor ``ceil``, halves are rounded up.

Source: Aave ``WadRayMath.sol``, ``PercentageMath.sol``, ``MathUtils.sol`` (v2, v3.0, v3.6).
"""

WAD = 10**18
RAY = 10**27
BPS = 10_000
YEAR_S = 31_536_000
ALL = 2**256 - 1
"""The amount that means "everything there is" to a contract."""

_WAD_TO_RAY = 10**9


def ceil_div(numerator: int, denominator: int) -> int:
    """Return the quotient, rounded up."""
    return -(-numerator // denominator)


def wad_div(a: int, b: int) -> int:
    """Return ``a / b`` in wad."""
    return (a * WAD + b // 2) // b


def ray_mul(a: int, b: int) -> int:
    """Return ``a * b`` of two rays."""
    return (a * b + RAY // 2) // RAY


def ray_mul_floor(a: int, b: int) -> int:
    """Return ``a * b`` of two rays, rounded down."""
    return a * b // RAY


def ray_mul_ceil(a: int, b: int) -> int:
    """Return ``a * b`` of two rays, rounded up."""
    return ceil_div(a * b, RAY)


def ray_div(a: int, b: int) -> int:
    """Return ``a / b`` in ray."""
    return (a * RAY + b // 2) // b


def ray_div_floor(a: int, b: int) -> int:
    """Return ``a / b`` in ray, rounded down."""
    return a * RAY // b


def ray_div_ceil(a: int, b: int) -> int:
    """Return ``a / b`` in ray, rounded up."""
    return ceil_div(a * RAY, b)


def percent_mul(value: int, bps: int) -> int:
    """Return ``bps`` basis points of the value."""
    return (value * bps + BPS // 2) // BPS


def percent_mul_floor(value: int, bps: int) -> int:
    """Return ``bps`` basis points of the value, rounded down."""
    return value * bps // BPS


def percent_mul_ceil(value: int, bps: int) -> int:
    """Return ``bps`` basis points of the value, rounded up."""
    return ceil_div(value * bps, BPS)


def percent_div(value: int, bps: int) -> int:
    """Return the amount of which ``bps`` basis points are the value."""
    return (value * BPS + bps // 2) // bps


def percent_div_floor(value: int, bps: int) -> int:
    """Return the amount of which ``bps`` basis points are the value, rounded down."""
    return value * BPS // bps


def percent_div_ceil(value: int, bps: int) -> int:
    """Return the amount of which ``bps`` basis points are the value, rounded up."""
    return ceil_div(value * BPS, bps)


def linear_growth(rate: int, elapsed_s: int) -> int:
    """Return by what a supply index grows, ray: simple interest on ``rate`` (ray a year)."""
    return RAY + rate * elapsed_s // YEAR_S


def compounded_growth_per_second(rate: int, elapsed_s: int) -> int:
    """Return by what a borrow index grows, ray: v2 cuts the rate to whole rays a second first."""
    if elapsed_s == 0:
        return RAY
    per_second = rate // YEAR_S
    squared = ray_mul(per_second, per_second)
    cubed = ray_mul(squared, per_second)
    pairs = elapsed_s * (elapsed_s - 1)
    second = pairs * squared // 2
    third = pairs * max(elapsed_s - 2, 0) * cubed // 6
    return RAY + per_second * elapsed_s + second + third


def compounded_growth_binomial(rate: int, elapsed_s: int) -> int:
    """Return by what a borrow index grows, ray: v3.0 to v3.3, three terms of the binomial."""
    if elapsed_s == 0:
        return RAY
    squared = ray_mul(rate, rate) // YEAR_S**2
    cubed = ray_mul(squared, rate) // YEAR_S
    pairs = elapsed_s * (elapsed_s - 1)
    second = pairs * squared // 2
    third = pairs * max(elapsed_s - 2, 0) * cubed // 6
    return RAY + rate * elapsed_s // YEAR_S + second + third


def compounded_growth_taylor(rate: int, elapsed_s: int) -> int:
    """Return by what a borrow index grows, ray: v3.4 on, three terms of the exponential."""
    x = rate * elapsed_s // YEAR_S
    return RAY + x + ray_mul(x, x // 2 + ray_mul(x, x // 6))


def average_rate(total: int, rate: int) -> int:
    """Return the rate after the detour over the total debt that v2 and v3.0 take, ray.

    Both weigh variable and stable debt by size; with variable debt alone the weights cancel, but
    their rounding stays: a small total moves the rate.
    """
    weight = total * _WAD_TO_RAY
    return ray_div(ray_mul(weight, rate), weight)
