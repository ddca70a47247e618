"""Evaluates, before a run, what a program takes from the host: scalars of literals, and tables made from dictionaries of text.

All work here is per distinct string, never per row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from qtensor.errors import ExecutionError
from qtensor.expressions import Literal
from qtensor.like import PatternError, matches
from qtensor.lowering.physical import PhysicalPlan, SizedTable
from qtensor.lowering.values import (
    CodeOf,
    ColumnDictionary,
    Dictionary,
    FormatTable,
    FormattedDictionary,
    HostScalar,
    HostTable,
    LikeTable,
    LiteralDictionary,
    LiteralScalar,
    MemberTable,
    ParsedTable,
    ParsesTable,
    PositionOf,
    RemapTable,
    UnionDictionary,
)
from qtensor.texts import ConversionError, format_value, parse_text
from qtensor.types import SqlType


@dataclass
class HostInputs:
    """Binds a plan to its literals and to the dictionaries of its tables' columns."""

    literals: Sequence[Literal]
    column_dictionary: Callable[[str, int], pa.Array]
    resolved: dict[Dictionary, pa.Array] = field(default_factory=dict)

    def scalars(self, plan: PhysicalPlan) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The vectors of run-time scalars, int64[k] and float64[m]."""
        integers = np.array([self.scalar(scalar) for scalar in plan.scalars], np.int64)
        floats = np.array([self.literals[scalar.literal].value for scalar in plan.float_scalars], np.float64)
        return integers, floats

    def scalar(self, scalar: HostScalar) -> int:
        match scalar:
            case LiteralScalar(literal, _, factor, clamp):
                value = self.literals[literal].value
                assert isinstance(value, int)
                scaled = value * factor
                return scaled if clamp is None else min(max(scaled, clamp.low), clamp.high)
            case CodeOf(literal, dictionary):
                strings = self.strings(dictionary)
                code: int | None = pc.index(strings, self.text(literal)).as_py() if len(strings) else -1
                return -1 if code is None else code
            case PositionOf(literal, dictionary, inclusive):
                compare = pc.less_equal if inclusive else pc.less
                return int(pc.sum(compare(self.strings(dictionary), self.text(literal))).as_py() or 0)
            case _:
                assert_never(scalar)

    def text(self, literal: int) -> pa.Scalar:
        return pa.scalar(self.literals[literal].value, pa.large_string())

    def strings(self, dictionary: Dictionary) -> pa.Array:
        """The sorted distinct strings of a dictionary, large_string."""
        if dictionary not in self.resolved:
            self.resolved[dictionary] = self.resolve(dictionary)
        return self.resolved[dictionary]

    def resolve(self, dictionary: Dictionary) -> pa.Array:
        match dictionary:
            case ColumnDictionary(table, column):
                return self.column_dictionary(table, column)
            case LiteralDictionary(literals):
                return sorted_distinct([pa.array([self.literals[slot].value for slot in literals], pa.large_string())])
            case UnionDictionary(parts):
                return sorted_distinct([self.strings(part) for part in parts])
            case FormattedDictionary():
                return sorted_distinct([pa.array(texts_of(dictionary), pa.large_string())])
            case _:
                assert_never(dictionary)

    def table(self, sized: SizedTable) -> NDArray[Any]:
        """A table as the program takes it: padded with zeros to its size."""
        values = self.entries(sized.table)
        padded = np.zeros(sized.size, np.dtype(sized.dtype))
        padded[: len(values)] = values
        return padded

    def entries(self, table: HostTable) -> NDArray[Any]:
        match table:
            case LikeTable(dictionary, pattern, escape, ignore_case):
                escape_text = "" if escape is None else str(self.literals[escape].value)
                pattern_text = str(self.literals[pattern].value)
                try:
                    return as_numpy(matches(self.strings(dictionary), pattern_text, escape_text, ignores_case=ignore_case))
                except PatternError as error:
                    raise ExecutionError(str(error)) from error
            case MemberTable(dictionary, literals):
                members = pa.array([self.literals[slot].value for slot in literals], pa.large_string())
                return as_numpy(pc.is_in(self.strings(dictionary), members))
            case RemapTable(source, target):
                return as_numpy(pc.fill_null(pc.index_in(self.strings(source), self.strings(target)), -1))
            case FormatTable(dictionary):
                texts = pa.array(texts_of(dictionary), pa.large_string())
                return as_numpy(pc.index_in(texts, self.strings(dictionary)))
            case ParsedTable(dictionary, type):
                values = [converted(text, type) for text in self.strings(dictionary).to_pylist()]
                return np.array([0 if value is None else value for value in values])
            case ParsesTable(dictionary, type):
                texts = self.strings(dictionary).to_pylist()
                return np.array([converted(text, type) is not None for text in texts], np.bool_)
            case _:
                assert_never(table)


def as_numpy(array: pa.Array) -> NDArray[Any]:
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values


def sorted_distinct(parts: Sequence[pa.Array]) -> pa.Array:
    """The distinct strings of several arrays in the order of code points, which is that of their UTF-8 bytes."""
    strings = pc.unique(pa.chunked_array(parts, pa.large_string()))
    return strings.take(pc.sort_indices(strings))


def converted(text: str, type: SqlType) -> int | float | bool | None:
    """The value of a string cast to `type` in the encoded domain, None where it is no such value."""
    try:
        value = parse_text(text, type)
    except ConversionError:
        return None
    assert isinstance(value, int | float)
    return value


def texts_of(dictionary: FormattedDictionary) -> list[str]:
    """The text of each value from low to high, as CAST to VARCHAR writes it."""
    return [format_value(value, dictionary.type) for value in range(dictionary.low, dictionary.high + 1)]
