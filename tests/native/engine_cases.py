"""Arrow types that the engine reads, each with a column that assumes it and values that it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from engine_driver import Column

WORDS = ["", "a", "A", "ä", "zebra", "Ω", "the quick brown fox", "a" * 300, "k\u212a", "x\0y", "%", "_", "🦊"]


@dataclass(frozen=True)
class Case:
    """`arrow`: the type; `column`: as assumed; `values(random, n)`: n values without NULL; `result`: the type of the result."""

    name: str
    arrow: pa.DataType
    column: Column
    values: Callable[[np.random.Generator, int], pa.Array]
    result: pa.DataType

    def array(self, seed: int, rows: int, nulls: float) -> pa.Array:
        random = np.random.default_rng(seed)
        values = self.values(random, rows)
        if nulls == 0:
            return values
        kept = pa.array(random.random(rows) >= nulls)
        if isinstance(values, pa.DictionaryArray):
            return pa.DictionaryArray.from_arrays(masked(values.indices, kept), values.dictionary)
        if values.type == pa.string_view():
            return masked(values.cast(pa.string()), kept).cast(values.type)
        return masked(values, kept)


def masked(values: pa.Array, kept: pa.Array) -> pa.Array:
    return pc.if_else(kept, values, pa.scalar(None, values.type))


def integers(arrow: pa.DataType, low: int, high: int) -> Callable[[np.random.Generator, int], pa.Array]:
    def values(random: np.random.Generator, rows: int) -> pa.Array:
        drawn = random.integers(low, high, rows, np.int64, endpoint=True)
        drawn[: min(rows, 2)] = (low, high)[: min(rows, 2)]
        return pa.array(drawn).cast(arrow)

    return values


def decimals(arrow: pa.DataType, low: int, high: int) -> Callable[[np.random.Generator, int], pa.Array]:
    """Unscaled values from low to high, written into the buffer: sign-extended little-endian words."""

    def values(random: np.random.Generator, rows: int) -> pa.Array:
        drawn = random.integers(low, high, rows, np.int64, endpoint=True)
        if arrow.bit_width < 64:
            words = drawn.astype(np.int32)
        else:
            words = np.repeat(drawn >> 63, arrow.bit_width // 64)
            words[:: arrow.bit_width // 64] = drawn
        return pa.Array.from_buffers(arrow, rows, [None, pa.py_buffer(words)], 0)

    return values


def floats(arrow: pa.DataType) -> Callable[[np.random.Generator, int], pa.Array]:
    def values(random: np.random.Generator, rows: int) -> pa.Array:
        drawn = random.normal(size=rows) * 1000
        special = [np.nan, np.inf, -np.inf, -0.0, 5e-324, 6e-8, 0.5]
        drawn[: min(rows, len(special))] = special[:rows]
        return pa.array(drawn.astype(arrow.to_pandas_dtype()), arrow)

    return values


def texts(arrow: pa.DataType) -> Callable[[np.random.Generator, int], pa.Array]:
    def values(random: np.random.Generator, rows: int) -> pa.Array:
        return pa.array([WORDS[word] for word in random.integers(0, len(WORDS), rows)], pa.string()).cast(arrow)

    return values


def encoded(values: Callable[[np.random.Generator, int], pa.Array], index: pa.DataType) -> Callable[..., pa.Array]:
    """The same values, dictionary-encoded; the first values have some that no row uses."""

    def dictionary(random: np.random.Generator, rows: int) -> pa.Array:
        entries = values(random, 50)
        codes = random.integers(0, 40, rows)
        return pa.DictionaryArray.from_arrays(pa.array(codes).cast(index), entries)

    return dictionary


def booleans(random: np.random.Generator, rows: int) -> pa.Array:
    return pa.array(random.random(rows) < 0.5)


def integer_case(bits: int, signed: bool, machine: str, low: int, high: int) -> Case:
    arrow = getattr(pa, f"{'' if signed else 'u'}int{bits}")()
    column = Column("v", "integer", machine, bits, signed, low=low, high=high)
    return Case(f"{arrow}_{machine}", arrow, column, integers(arrow, low, high), arrow)


def decimal_case(arrow: pa.DataType, machine: str, low: int, high: int) -> Case:
    column = Column("v", "decimal", machine, precision=arrow.precision, scale=arrow.scale, low=low, high=high)
    result = pa.decimal128(arrow.precision, arrow.scale)
    return Case(f"decimal{arrow.bit_width}_{machine}", arrow, column, decimals(arrow, low, high), result)


def timestamp_case(unit: str) -> Case:
    arrow = pa.timestamp(unit)
    column = Column("v", "timestamp", "int64", low=-(10**16), high=10**16)
    factor = {"s": 10**6, "ms": 10**3, "us": 1, "ns": 1}[unit]

    def values(random: np.random.Generator, rows: int) -> pa.Array:
        drawn = random.integers(-(10**15), 10**15, rows) // factor * (1000 if unit == "ns" else 1)
        return pa.array(drawn).cast(arrow)

    return Case(f"timestamp_{unit}", arrow, column, values, pa.timestamp("us"))


def date64(random: np.random.Generator, rows: int) -> pa.Array:
    return pa.array(random.integers(-30_000, 30_000, rows).astype(np.int32)).cast(pa.date32()).cast(pa.date64())


def varchar(name: str, arrow: pa.DataType, values: Callable[..., pa.Array]) -> Case:
    column = Column("v", "varchar", "int8", low=0, high=19, strings=20)
    return Case(name, arrow, column, values, pa.string())


DATE = Column("v", "date", "int32", low=-40_000, high=40_000)
MONEY = pa.decimal128(15, 2)

CASES = [
    integer_case(8, True, "int8", -128, 127),
    integer_case(16, True, "int16", -32768, 32767),
    integer_case(32, True, "int32", -(2**31), 2**31 - 1),
    integer_case(64, True, "int64", -(2**63), 2**63 - 1),
    integer_case(64, True, "int8", 5, 100),
    integer_case(64, True, "int16", -300, -200),
    integer_case(64, True, "int32", -70_000, 70_000),
    integer_case(32, True, "int8", -1, 7),
    integer_case(8, False, "int16", 0, 255),
    integer_case(16, False, "int32", 0, 65535),
    integer_case(32, False, "int64", 0, 2**32 - 1),
    integer_case(64, False, "int64", 0, 2**63 - 1),
    decimal_case(pa.decimal32(7, 2), "int32", -9_999_999, 9_999_999),
    decimal_case(pa.decimal64(15, 2), "int64", -(10**14), 10**14),
    decimal_case(MONEY, "int8", 0, 10),
    decimal_case(MONEY, "int16", 100, 5000),
    decimal_case(MONEY, "int32", -(10**9), 10**9),
    decimal_case(pa.decimal128(38, 4), "int64", -(2**63), 2**63 - 1),
    decimal_case(pa.decimal256(30, 3), "int64", -(2**62), 2**62),
    Case("date32", pa.date32(), DATE, lambda r, n: pa.array(r.integers(-30_000, 30_000, n).astype(np.int32)).cast(pa.date32()), pa.date32()),
    Case("date64", pa.date64(), DATE, date64, pa.date32()),
    *(timestamp_case(unit) for unit in ("s", "ms", "us", "ns")),
    Case("bool", pa.bool_(), Column("v", "boolean", "bool"), booleans, pa.bool_()),
    Case("half", pa.float16(), Column("v", "float", "float32", 32), floats(pa.float16()), pa.float32()),
    Case("float", pa.float32(), Column("v", "float", "float32", 32), floats(pa.float32()), pa.float32()),
    Case("double", pa.float64(), Column("v", "float", "float64", 64), floats(pa.float64()), pa.float64()),
    Case("double_as_float", pa.float64(), Column("v", "float", "float32", 64), floats(pa.float64()), pa.float64()),
    varchar("string", pa.string(), texts(pa.string())),
    varchar("large_string", pa.large_string(), texts(pa.large_string())),
    varchar("string_view", pa.string_view(), texts(pa.string_view())),
    *(
        varchar(f"dictionary_{index}", pa.dictionary(index, pa.string()), encoded(texts(pa.string()), index))
        for index in (pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64())
    ),
    varchar("dictionary_large", pa.dictionary(pa.int32(), pa.large_string()), encoded(texts(pa.large_string()), pa.int32())),
    Case(
        "dictionary_int", pa.dictionary(pa.int16(), pa.int64()), Column("v", "integer", "int16", 64, low=-999, high=999),
        encoded(integers(pa.int64(), -999, 999), pa.int16()), pa.int64(),
    ),
    Case(
        "dictionary_double", pa.dictionary(pa.int16(), pa.float64()), Column("v", "float", "float64", 64),
        encoded(floats(pa.float64()), pa.int16()), pa.float64(),
    ),
    Case(
        "dictionary_date", pa.dictionary(pa.int8(), pa.date32()), DATE,
        encoded(lambda r, n: pa.array(r.integers(-30_000, 30_000, n).astype(np.int32)).cast(pa.date32()), pa.int8()), pa.date32(),
    ),
]  # fmt: skip
BY_NAME = {case.name: case for case in CASES}
