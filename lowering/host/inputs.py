"""Evaluates, before a run, what a program takes from the host: scalars of literals, and tables made from dictionaries of text.

All of that is done per distinct string, never per row; only `HostInputs.called`, after a run, is by the rows of its result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, assert_never

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as arrow
from numpy.typing import NDArray

from qtensor.errors import ExecutionError, InternalError
from qtensor.expressions import Literal
from qtensor.functions.scalars.function import Evaluated, HostArgument
from qtensor.functions.scalars.registry import SCALARS
from qtensor.lowering.host.late_texts import TextLists, joined
from qtensor.lowering.host.text_programs import made_of_texts
from qtensor.lowering.ir.physical import PhysicalPlan, SizedTable
from qtensor.lowering.ir.ranges import INT64_MAX, INT64_MIN
from qtensor.lowering.ir.values import (
    CalledDictionary,
    Choices,
    CodeOf,
    ColumnDictionary,
    Dictionary,
    Domain,
    FormatTable,
    FormattedDictionary,
    HostCall,
    HostScalar,
    HostTable,
    JoinedDictionary,
    LateCall,
    LatePart,
    LeastOf,
    LikeTable,
    ListedTable,
    LiteralDictionary,
    LiteralScalar,
    MappedDictionary,
    MemberTable,
    ModelTable,
    NumbersTable,
    NumberTable,
    ParsedTable,
    ParsesTable,
    PositionOf,
    RemapTable,
    ResultTable,
    ResultTest,
    UnionDictionary,
    WrittenDictionary,
)
from qtensor.lowering.models.text.program import TextProgram
from qtensor.process.cores import available_cores
from qtensor.types import Boolean, SqlType, Varchar
from qtensor.values.like import PatternError, matches
from qtensor.values.texts import ConversionError, format_value, parse_text

PART = 1 << 16  # strings: so many are worth a thread


@dataclass
class HostInputs:
    """Binds a plan to its literals and to the dictionaries of its tables' columns."""

    literals: Sequence[Literal]
    column_dictionary: Callable[[str, int], pa.Array]
    least: Callable[[str, int], int] | None = None  # of the values of a table's column
    programs: Mapping[str, Sequence[TextProgram]] = field(default_factory=dict)  # of models, by name
    resolved: dict[Dictionary, pa.Array] = field(default_factory=dict)
    results: dict[HostCall, tuple[Evaluated, NDArray[np.int64]]] = field(default_factory=dict)

    def arrays(self, plan: PhysicalPlan) -> list[NDArray[Any]]:
        """All that a plan's program takes of it: the scalars, then the tables."""
        return [*self.scalars(plan), *map(self.table, plan.tables)]

    def scalars(self, plan: PhysicalPlan) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The vectors of run-time scalars, int64[k] and float64[m]."""
        integers = np.array([self.scalar(scalar) for scalar in plan.scalars], np.int64)
        literals = [scalar.literal for scalar in plan.float_scalars if isinstance(scalar, LiteralScalar)]
        floats = np.array([self.literals[literal].value for literal in literals], np.float64)
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
            case LeastOf(table, column):
                if self.least is None:
                    raise InternalError("the least value of a column is known of blocks only")
                return self.least(table, column)
            case _:
                assert_never(scalar)

    def text(self, literal: int) -> pa.Scalar:
        return pa.scalar(self.literals[literal].value, pa.large_string())

    def strings(self, dictionary: Dictionary) -> pa.Array:
        """The strings of a dictionary, large_string; sorted and distinct but for a weaker column."""
        if dictionary not in self.resolved:
            self.resolved[dictionary] = self.resolve(dictionary)
        return self.resolved[dictionary]

    def resolve(self, dictionary: Dictionary) -> pa.Array:
        match dictionary:
            case ColumnDictionary(table=table, column=column):
                return self.column_dictionary(table, column)
            case LiteralDictionary(literals):
                return sorted_distinct([pa.array([self.literals[slot].value for slot in literals], pa.large_string())])
            case UnionDictionary(parts):
                found = [self.strings(part) for part in parts]
                return sorted_distinct(found) if is_text(found[0].type) else pa.concat_arrays(found)
            case FormattedDictionary():
                return sorted_distinct([pa.array(texts_of(dictionary), pa.large_string())])
            case MappedDictionary(call):
                return sorted_distinct([self.evaluated(call)[0].values.drop_null()])
            case JoinedDictionary():
                raise InternalError("the texts of string_agg are made of a run's lists")
            case WrittenDictionary() | CalledDictionary():
                raise InternalError("the texts of that many values are made after a run")
            case _:
                assert_never(dictionary)

    def joined(
        self, dictionary: JoinedDictionary, lists: TextLists, groups: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], pa.Array]:
        """The texts of string_agg: see `late_texts.joined`."""
        return joined(lists, groups, self.strings(dictionary.parts), self.text(dictionary.separator))

    def called(self, call: LateCall, part: Callable[[LatePart], pa.Array], valid: Callable[[int], NDArray[np.bool_]]) -> pa.Array:
        """The texts of a call by row, large_string. part: the values of an argument; valid: the element that says what is NULL.

        Raises ExecutionError: the function is not defined for a row's values.
        """
        function = SCALARS[call.function]
        arguments: list[HostArgument] = []
        for argument in call.arguments:
            match argument:
                case LatePart():
                    arguments.append(part(argument))
                case LateCall():
                    arguments.append(self.called(argument, part, valid))
                case literal:
                    arguments.append(self.literals[literal].value)
        columns = [argument for argument in arguments if isinstance(argument, pa.Array)]
        known = np.ones(len(columns[0]), np.bool_) if call.valid is None else valid(call.valid)
        if not function.sees_nulls:
            for column in columns:
                known = known & as_numpy(column.is_valid())
        rows = pa.array(np.flatnonzero(known))
        taken = [argument.take(rows) if isinstance(argument, pa.Array) else argument for argument in arguments]
        assert function.evaluate is not None
        evaluated = function.evaluate(taken, len(rows))
        if evaluated.failed is not None and evaluated.failed.any():
            raise ExecutionError(evaluated.message, spans=[call.span] if call.span else [])
        places = np.zeros(len(known), np.int64)
        places[known] = np.arange(len(rows))
        return evaluated.values.take(pa.array(places, mask=~known))

    def evaluated(self, call: HostCall) -> tuple[Evaluated, NDArray[np.int64]]:
        """What the function gives for each combination of values that there is, and the indices of these combinations."""
        if call not in self.results:
            choices = [self.values_of(choice) for choice in call.choices]
            counts = [len(values) for values, _ in choices]
            places = np.indices(counts).reshape(len(choices), math.prod(counts))
            taken = iter([values.take(pa.array(place)) for (values, _), place in zip(choices, places, strict=True)])
            arguments = [next(taken) if isinstance(item, Choices) else self.literals[item].value for item in call.arguments]
            index = np.zeros(math.prod(counts), np.int64)
            for choice, (_, codes), place in zip(call.choices, choices, places, strict=True):
                index = index * choice.stride + codes[place]
            evaluate = SCALARS[call.function].evaluate if call.function in SCALARS else None
            if evaluate is None:
                raise InternalError(f"{call.function} is no function that the host evaluates")
            self.results[call] = (evaluate(arguments, len(index)), index)
        return self.results[call]

    def values_of(self, choice: Choices) -> tuple[pa.Array, NDArray[np.int64]]:
        """The values that an argument may have, and by which number each goes: a dictionary may hold fewer than it might."""
        match choice.values:
            case Domain(Boolean(), low, high):
                values = pa.array([False, True][low : high + 1])
            case Domain(_, low, high):
                values = pa.array(np.arange(low, high + 1, dtype=np.int64))
            case dictionary:
                values = self.strings(dictionary)
        codes = np.arange(len(values), dtype=np.int64)
        if not choice.nullable:
            return values, codes
        return pa.concat_arrays([values, pa.nulls(1, values.type)]), np.append(codes, choice.size)

    def rows_among(self, parts: Sequence[Dictionary], all_parts: Sequence[Dictionary]) -> NDArray[Any]:
        """For the rows of some dictionaries one after the other their numbers where all stand so."""
        sizes = [len(self.strings(part)) for part in all_parts]
        starts = dict(zip(all_parts, np.cumsum([0, *sizes[:-1]]), strict=True))
        return np.concatenate([starts[part] + np.arange(len(self.strings(part))) for part in parts])

    def result(self, table: ResultTable | ResultTest) -> NDArray[Any]:
        """A function's results, laid out by combination."""
        evaluated, index = self.evaluated(table.call)
        values = evaluated.values
        match table:
            case ResultTable(call, Varchar()):
                found = pc.index_in(values, self.strings(MappedDictionary(call))).fill_null(0)
            case ResultTable():
                found = values.fill_null(False if pa.types.is_boolean(values.type) else 0)
            case ResultTest(test="valid"):
                found = values.is_valid()
            case ResultTest():
                found = pa.array(np.zeros(len(index), np.bool_) if evaluated.failed is None else evaluated.failed)
        entries = as_numpy(found)
        placed = np.zeros(table.call.size, entries.dtype)
        placed[index] = entries
        return placed

    def table(self, sized: SizedTable) -> NDArray[Any]:
        """A table as the program takes it: padded with zeros to its size, an ascending one with its last number."""
        values = self.entries(sized.table)
        if isinstance(sized.table, NumbersTable):
            return np.pad(values, (0, sized.size - len(values)), mode="edge")
        padded = np.zeros(sized.size, np.dtype(sized.dtype))
        padded[: len(values)] = values
        return padded

    def entries(self, table: HostTable) -> NDArray[Any]:
        match table:
            case LikeTable(dictionary, pattern, escape, ignore_case):
                escape_text = "" if escape is None else str(self.literals[escape].value)
                pattern_text = str(self.literals[pattern].value)
                try:
                    return each_part(
                        self.strings(dictionary),
                        lambda strings: matches(strings, pattern_text, escape_text, ignores_case=ignore_case),
                    )
                except PatternError as error:
                    raise ExecutionError(str(error)) from error
            case MemberTable(dictionary, literals):
                members = pa.array([self.literals[slot].value for slot in literals], pa.large_string())
                return as_numpy(pc.is_in(self.strings(dictionary), members))
            case RemapTable(source, UnionDictionary(parts)) if not is_text(self.strings(source).type):
                return self.rows_among(source.parts if isinstance(source, UnionDictionary) else (source,), parts)
            case RemapTable(source, target):
                return as_numpy(pc.fill_null(pc.index_in(self.strings(source), self.strings(target)), -1))
            case FormatTable(dictionary):
                texts = pa.array(texts_of(dictionary), pa.large_string())
                return as_numpy(pc.index_in(texts, self.strings(dictionary)))
            case ParsedTable(dictionary, type):
                return np.array([parsed(text, type) for text in self.strings(dictionary).to_pylist()])
            case ParsesTable(dictionary, type):
                texts = self.strings(dictionary).to_pylist()
                return np.array([converted(text, type) is not None for text in texts], np.bool_)
            case ResultTable() | ResultTest():
                return self.result(table)
            case ListedTable(literals, None):
                return np.array([0 if literal < 0 else self.literals[literal].value for literal in literals])
            case ListedTable(literals, dictionary):
                assert dictionary is not None
                listed = [None if literal < 0 else self.literals[literal].value for literal in literals]
                return as_numpy(pc.index_in(pa.array(listed, pa.large_string()), self.strings(dictionary)).fill_null(0))
            case NumberTable(literals, low, high):
                found = np.zeros(high - low + 1, np.bool_)
                numbers = (self.literals[literal].value for literal in literals)
                found[[number - low for number in numbers if isinstance(number, int) and low <= number <= high]] = True
                return found
            case ModelTable(dictionary, model, output):
                return made_of_texts(self.programs[model], self.strings(dictionary), output)
            case NumbersTable(literals, bits):
                return np.sort(self.numbers(literals, bits))
            case _:
                assert_never(table)

    def numbers(self, literals: Sequence[int], bits: int | None) -> NDArray[np.int64]:
        """Numeric literals as int64; floats of `bits` bits by their order keys."""
        values = [self.literals[literal].value for literal in literals]
        if bits is None:
            return np.array(values, np.int64)
        return order_keys(np.array(values, np.float32 if bits == 32 else np.float64)).astype(np.int64)


def order_keys(floats: NDArray[Any]) -> NDArray[Any]:
    """What `order_key` in `lowering/expressions/comparison.py` makes of floats, -0 the same as 0."""
    integers = np.dtype(f"int{floats.dtype.itemsize * 8}")
    greatest = np.iinfo(integers).max
    bits = np.where(floats == 0, 0, floats.view(integers))
    return np.where(np.isnan(floats), greatest, np.where(bits < 0, bits ^ greatest, bits))


def as_numpy(array: pa.Array) -> NDArray[Any]:
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values


def each_part(strings: pa.Array, function: Callable[[pa.Array], pa.Array]) -> NDArray[Any]:
    """What `function` gives for each of the strings; of many, on all cores, since Arrow releases the interpreter's lock."""
    workers = min(available_cores(), len(strings) // PART)
    if workers <= 1:
        return as_numpy(function(strings))
    size = -(-len(strings) // workers)
    with ThreadPoolExecutor(workers) as pool:
        parts = pool.map(lambda start: as_numpy(function(strings.slice(start, size))), range(0, len(strings), size))
        return np.concatenate(list(parts))


def is_text(type: pa.DataType) -> bool:
    """Whether a dictionary is of strings, not of rows of another type that are passed on."""
    return bool(arrow.is_large_string(type) or arrow.is_string(type))


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


def parsed(text: str, type: SqlType) -> int | float | bool:
    """The value of a string cast to `type` in the encoded domain, 0 where it is no such value.

    Raises:
        ExecutionError: it is an integer beyond 64 bits.
    """
    value = converted(text, type)
    if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        raise ExecutionError(f"'{text}' as {type}: a {type} beyond 64 bits cannot be computed with")
    return 0 if value is None else value


def texts_of(dictionary: FormattedDictionary) -> list[str]:
    """The text of each value from low to high, as CAST to VARCHAR writes it."""
    return [format_value(value, dictionary.type) for value in range(dictionary.low, dictionary.high + 1)]
