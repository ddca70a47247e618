"""Constants as DuckDB's Python API would give them, to be compared with what it does give."""

from __future__ import annotations

import datetime
import decimal
import math

from qtensor import types as t
from qtensor.expressions import Literal

EPOCH = datetime.datetime(1970, 1, 1)


def python_value(literal: Literal) -> object:
    """What `literal` is in Python."""
    match literal:
        case Literal(None, _):
            return None
        case Literal(int(days), t.Date()):
            return (EPOCH + datetime.timedelta(days=days)).date()
        case Literal(int(microseconds), t.Timestamp()):
            return EPOCH + datetime.timedelta(microseconds=microseconds)
        case Literal(int(unscaled), t.Decimal(scale=scale)):
            return decimal.Decimal(unscaled).scaleb(-scale)
        case _:
            return literal.value


def same(ours: object, theirs: object) -> bool:
    """Equal in type and value, with NaN equal to NaN and 0.0 unlike -0.0."""
    if type(ours) is not type(theirs):
        return False
    if not isinstance(ours, float) or not isinstance(theirs, float):
        return ours == theirs
    both_nan = math.isnan(ours) and math.isnan(theirs)
    return both_nan or (ours == theirs and math.copysign(1, ours) == math.copysign(1, theirs))
