"""The table that the SQL tests ask about: every column type, with NULLs, duplicates, and the values that go wrong."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

TEXTS = ["", "a", "A", "ab", "b", "a%c", "a_c", "é", "ß", "\U0001f600", "zz ", "ÄÖ"]
HALVES = [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, 100.0, -1024.25, math.inf, -math.inf, math.nan]


def every_type(rows: int, seed: int = 0) -> pa.Table:
    """A table of `rows` rows; the same rows for the same seed.

    id is unique, g and w have no NULLs, the rest has; the floats of x add up exactly, whatever the order; n is NULL throughout.
    """
    random = np.random.default_rng([seed, rows])

    def nullable(values: Sequence[Any], type: pa.DataType, share: float = 0.2) -> pa.Array:
        return pa.array(values, type, mask=random.random(rows) < share, from_pandas=False)

    def integers(low: int, high: int) -> list[int]:
        return [int(value) for value in random.integers(low, high, rows, endpoint=True)]

    def edged(low: int, high: int) -> list[int]:
        """Mostly small numbers, some at the ends of the type."""
        small = integers(max(low, -5), min(high, 5))
        return [low if edge == 0 else high if edge == 1 else value for edge, value in zip(integers(0, 15), small, strict=True)]

    def decimals(low: int, high: int, scale: int) -> list[Decimal]:
        return [Decimal(value).scaleb(-scale) for value in integers(low, high)]

    first_day, first_moment = datetime.date(1970, 1, 1), datetime.datetime(1970, 1, 1)
    moments = [
        first_moment + datetime.timedelta(days=days, seconds=seconds if seconds % 3 else 0, microseconds=seconds % 2)
        for days, seconds in zip(integers(-2000, 12_000), integers(0, 86_399), strict=True)
    ]
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "g": pa.array(integers(-2, 2), pa.int32()),
            "b": nullable([value > 0 for value in integers(0, 2)], pa.bool_()),
            "i8": nullable(edged(-128, 127), pa.int8()),
            "i16": nullable(integers(-300, 300), pa.int16()),
            "i32": nullable(edged(-(1 << 31), (1 << 31) - 1), pa.int32()),
            "i64": nullable(integers(-(10**15), 10**15), pa.int64()),
            "u8": nullable(edged(0, 255), pa.uint8()),
            "u16": nullable(edged(0, 65_535), pa.uint16()),
            "u32": nullable(edged(0, (1 << 32) - 1), pa.uint32()),
            "u64": nullable(integers(0, 10**15), pa.uint64()),
            "f": nullable(random.choice(np.array([0.5, -0.5, 1.5, 0.0, -7.25, 1e10], np.float32), rows), pa.float32()),
            "x": nullable(random.choice(HALVES, rows), pa.float64()),
            "y": pa.array(random.choice([-1.5, 0.25, 2.0, 8.0], rows), pa.float64()),
            "d": nullable(decimals(-99_999, 99_999, 2), pa.decimal128(9, 2)),
            "e": pa.array(decimals(-(10**12), 10**12, 4), pa.decimal128(15, 4)),
            "h": nullable(decimals(-(10**6), 10**6, 3), pa.decimal128(38, 3)),
            "day": nullable([first_day + datetime.timedelta(days=value) for value in integers(-2000, 12_000)], pa.date32()),
            "moment": nullable(moments, pa.timestamp("us")),
            "s": nullable(random.choice(TEXTS, rows).tolist(), pa.string()),
            "w": pa.array(random.choice(["a", "b", "10", "-3", "x"], rows).tolist(), pa.string()),
            "c": nullable(random.choice(["red", "green", "blue"], rows).tolist(), pa.string()).dictionary_encode(),
            "n": pa.nulls(rows, pa.int32()),
        }
    )
