from typing import Any, ClassVar

from .lineiterator import IndicatorBase

class Indicator(IndicatorBase):
    _indcol: ClassVar[dict[str, Any]]
