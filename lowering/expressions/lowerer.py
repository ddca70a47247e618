"""The lowerer: an expression tree to a `Value`; the sibling files hold one function for each kind of node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar, assert_never

from qtensor.errors import InternalError, Span, UnsupportedError
from qtensor.expressions import Literal
from qtensor.lowering.ir.kernel import DType, KernelBuilder, Ref
from qtensor.lowering.ir.physical import Check, ModelUse, SizedTable
from qtensor.lowering.ir.ranges import BIT, INT64, Range, literal_range, range_of_type
from qtensor.lowering.ir.values import (
    COMBINATIONS,
    CalledDictionary,
    CodeOf,
    ColumnDictionary,
    Dictionary,
    FormattedDictionary,
    HostScalar,
    HostTable,
    JoinedDictionary,
    LiteralDictionary,
    LiteralScalar,
    MappedDictionary,
    NumbersTable,
    RemapTable,
    UnionDictionary,
    Value,
    WrittenDictionary,
)
from qtensor.lowering.models.model import Model
from qtensor.lowering.storage.levels import Level, serves
from qtensor.types import BOOLEAN, Array, Boolean, Float, Integer, Interval, SqlType, Unsupported, Varchar

Item = TypeVar("Item")

LONGEST_CHAIN = 32  # selections one upon the other
FORMATTED_VALUES = 1 << 16  # CAST to VARCHAR writes the texts of a range before a run: no more than this many
JOINED_LATE = "not supported yet: to compute with a result of string_agg, to compare it or to order by it"


def slot_of(items: list[Item], item: Item) -> int:
    """The position of `item` in `items`, appended if it is not there."""
    if item not in items:
        items.append(item)
    return items.index(item)


@dataclass
class Bindings:
    """What the kernels of one query take at run time, collected while lowering: literals, scalars, tables, models, checks.

    swept: by the name of a parameter all values that its literals are to serve, where a program is for several of them.
    """

    dictionary_sizes: Mapping[tuple[str, int], int]
    models: Mapping[str, Model]
    parameters_are_free: bool = False
    swept: Mapping[str, Sequence[Literal]] = field(default_factory=dict)
    literals: dict[Literal, int] = field(default_factory=dict)  # with their slots
    scalars: list[HostScalar] = field(default_factory=list)
    float_scalars: list[HostScalar] = field(default_factory=list)
    tables: list[SizedTable] = field(default_factory=list)
    used_models: list[ModelUse] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    lists: int = 0  # how many of a ListAccumulator were begun

    def literal(self, literal: Literal) -> int:
        """The slot of a literal; equal ones share it, so that equal expressions stay equal. (1 = True = 1.0: types decide.)"""
        return self.literals.setdefault(literal, len(self.literals))

    def range_of(self, literal: Literal, value: int) -> Range:
        """What a program allows an integer literal to be: numbers of its size; where parameters are free all of its type."""
        bounds = literal_range(value)
        for other in self.alternatives(literal):
            assert isinstance(other.value, int)
            bounds = bounds | literal_range(other.value)
        if self.parameters_are_free and literal.parameter is not None:
            bounds = bounds | range_of_type(literal.type)
        return bounds & INT64

    def alternatives(self, literal: Literal) -> Sequence[Literal]:
        """All that stand in the place of a literal, in a sweep over values of its parameter."""
        return () if literal.parameter is None else self.swept.get(literal.parameter, ())

    def size_of(self, dictionary: Dictionary) -> int:
        """An upper bound of the number of strings in `dictionary`."""
        match dictionary:
            case ColumnDictionary(table=table, column=column):
                return self.dictionary_sizes[table, column]
            case LiteralDictionary(literals):
                return len(literals)
            case UnionDictionary(parts):
                return sum(self.size_of(part) for part in parts)
            case FormattedDictionary(_, low, high):
                return high - low + 1
            case MappedDictionary(call):
                return call.size
            case JoinedDictionary():
                raise UnsupportedError(JOINED_LATE)
            case WrittenDictionary(type):
                raise written_late(type)
            case CalledDictionary():
                raise called_late()
            case _:
                assert_never(dictionary)


@dataclass
class Lowerer:
    """Lowers expressions over `columns` into `builder`.

    `guard` is the condition under which the expression at hand is evaluated (the branch of a CASE): an error elsewhere is none.
    `pending` are the checks of the expressions lowered so far, for the pipeline to turn into steps.
    """

    builder: KernelBuilder
    columns: tuple[Value, ...]
    bindings: Bindings
    guard: Ref | None = None
    pending: list[tuple[Ref, int]] = field(default_factory=list)

    @contextmanager
    def guarded(self, condition: Ref | None) -> Iterator[None]:
        outer = self.guard
        self.guard = self.builder.both(outer, condition)
        yield
        self.guard = outer

    def check(self, condition: Ref, valid: Ref | None, message: str, span: Span | None) -> None:
        """An error for rows where `condition` holds, the operands are valid and the expression is evaluated at all."""
        failing = self.builder.definite(self.builder.both(condition, valid, self.guard))
        if not self.builder.is_constant(failing, False):
            self.pending.append((failing, slot_of(self.bindings.checks, Check(message, span))))

    def require(self, value: Value, level: Level) -> None:
        """Refuse to take codes of text for more than they are: `text_levels` then asked for less than is needed."""
        if isinstance(value.dictionary, JoinedDictionary) and level != "plain":
            raise UnsupportedError(JOINED_LATE)
        if isinstance(value.dictionary, WrittenDictionary) and level == "ordered":
            raise written_late(value.dictionary.type)
        if isinstance(value.dictionary, CalledDictionary):
            raise called_late()
        if value.dictionary is not None and not serves(level_of(value.dictionary), level):
            raise InternalError(f"codes of {value.dictionary} are not {level}")

    def integer(self, value: int, dtype: DType = "int64") -> Ref:
        return self.builder.constant(value, dtype)

    def null(self, type: SqlType) -> Value:
        """NULL of any type."""
        invalid = self.builder.constant(False, "bool")
        match type:
            case Float(bits):
                return Value(type, self.builder.constant(0.0, "float32" if bits == 32 else "float64"), invalid, may_be_nan=False)
            case Boolean():
                return Value(type, invalid, invalid)
            case Array(element, length):
                zero = self.null(element).data
                return Value(type, zero, invalid, elements=(zero,) * length)
            case _:
                dictionary = LiteralDictionary(()) if isinstance(type, Varchar) else None
                return Value(type, self.builder.constant(0, "int8"), invalid, range=Range(0, 0), dictionary=dictionary)

    def literal(self, literal: Literal) -> Value:
        match literal:
            case Literal(value=None, type=type):
                return self.null(type)
            case Literal(value=bool(value)):
                return Value(BOOLEAN, self.builder.constant(value, "bool"))
            case Literal(value=str(), type=type):
                slot = self.bindings.literal(literal)
                return Value(type, self.builder.constant(0, "int8"), range=Range(0, 0), dictionary=LiteralDictionary((slot,)))
            case Literal(value=float(), type=Float(bits) as type):
                dtype: DType = "float32" if bits == 32 else "float64"
                scalar = LiteralScalar(self.bindings.literal(literal), "float64")
                slot = slot_of(self.bindings.float_scalars, scalar)
                ref = self.builder.emit("float_scalar", dtype="float64", attribute=slot)
                nan = any(other.value != other.value for other in (literal, *self.bindings.alternatives(literal)))
                return Value(type, self.builder.convert(ref, dtype), may_be_nan=nan)
            case Literal(value=int(value), type=type):
                if Range(value, value) not in INT64:
                    raise UnsupportedError(f"the number {value} exceeds 64 bits: compute with it as DOUBLE")
                bounds = self.bindings.range_of(literal, value)
                slot = self.bindings.literal(literal)
                return Value(type, self.scalar(LiteralScalar(slot, bounds.dtype), bounds.dtype), range=bounds)
            case _:
                return self.null(literal.type)  # an INTERVAL: its consumer reads the literal itself

    def scalar(self, scalar: HostScalar, dtype: DType) -> Ref:
        """A run-time scalar, bound as int64 and known to fit `dtype`."""
        slot = slot_of(self.bindings.scalars, scalar)
        return self.builder.convert(self.builder.emit("scalar", dtype="int64", attribute=slot), dtype)

    def look_up(self, table: HostTable, size: int, index: Ref, dtype: DType) -> Ref:
        """table[index]; indices are within the table by construction, its size is rounded up to a power of two."""
        padded = max(1, 1 << (size - 1).bit_length())
        slot = slot_of(self.bindings.tables, SizedTable(table, padded, dtype))
        return self.builder.emit("table", self.builder.convert(index, "int32"), dtype=dtype, attribute=slot)

    def search(self, table: NumbersTable, size: int, number: Ref) -> Ref:
        """Whether an int64 is in a sorted table."""
        padded = max(1, 1 << (size - 1).bit_length())
        slot = slot_of(self.bindings.tables, SizedTable(table, padded, "int64"))
        return self.builder.emit("among", number, dtype="bool", attribute=slot)

    def narrow(self, value: Value, span: Span | None = None) -> Value:
        """`value` as one int64; a two-limb sum that does not fit is an error, never a wrapped number."""
        if value.low is None:
            return value
        high = value.data
        wide = self.builder.either(
            self.builder.compare("less", high, self.integer(-(1 << 31))),
            self.builder.compare("greater_equal", high, self.integer(1 << 31)),
        )
        self.check(wide, value.valid, "a sum beyond 64 bits can be selected, but not computed with further", span)
        shifted = self.builder.emit("multiply", high, self.integer(1 << 32), dtype="int64")
        data = self.builder.emit("add", shifted, value.low, dtype="int64")
        return replace(value, data=data, low=None, range=INT64)

    def recode(self, value: Value, target: Dictionary) -> Value:
        """A text value's codes in another dictionary that holds all its strings, or the rows that a value stands for."""
        source = value.dictionary
        assert source is not None
        if source == target or source == LiteralDictionary(()):
            return replace(value, dictionary=target)
        size = self.bindings.size_of(target)
        bounds = Range(0, max(0, size - 1))
        if not isinstance(value.type, Unsupported):
            self.require(replace(value, dictionary=target), "unique")
        if isinstance(source, LiteralDictionary) and len(source.literals) == 1:
            code = self.scalar(CodeOf(source.literals[0], target), bounds.dtype)
            return replace(value, data=code, range=bounds, dictionary=target)
        data = self.look_up(RemapTable(source, target), self.bindings.size_of(source), value.data, "int32")
        return replace(value, data=data, range=bounds, dictionary=target)

    def translate(self, value: Value, target: Dictionary) -> Value:
        """A text value's codes in any other dictionary: -1 where it lacks the string."""
        source = value.dictionary
        assert source is not None
        if source == target or source == LiteralDictionary(()):
            return replace(value, dictionary=target)
        bounds = Range(-1, max(0, self.bindings.size_of(target) - 1))
        if isinstance(source, LiteralDictionary) and len(source.literals) == 1:
            data = self.scalar(CodeOf(source.literals[0], target), bounds.dtype)
        else:
            data = self.look_up(RemapTable(source, target), self.bindings.size_of(source), value.data, "int32")
        return replace(value, data=data, range=bounds, dictionary=target)

    def merge(self, type: SqlType, branches: list[tuple[Ref, Value]], otherwise: Value) -> Value:
        """The value of the first branch whose condition (never NULL) holds, else `otherwise`; all of one SQL type."""
        if isinstance(type, Interval):
            raise UnsupportedError("not supported yet: a choice between INTERVALs")
        if isinstance(type, Array):
            return self.merge_arrays(type, branches, otherwise)
        values = [self.narrow(value) for _, value in branches] + [self.narrow(otherwise)]
        dictionary = None
        if isinstance(type, Varchar):
            dictionary = union_of([value.dictionary for value in values if value.dictionary is not None])
            values = [self.recode(value, dictionary) for value in values]
        bounds = None
        if all(value.range is not None for value in values):
            bounds = values[0].range or BIT
            for value in values[1:]:
                bounds = bounds | (value.range or BIT)
            values = [replace(value, data=self.builder.convert(value.data, bounds.dtype)) for value in values]
        conditions = [condition for condition, _ in branches]
        data = self.choice(conditions, [value.data for value in values])
        valid = None
        if any(value.valid is not None for value in values):
            valid = self.choice(conditions, [self.builder.definite(value.valid) for value in values])
        nan = any(value.may_be_nan for value in values)
        return Value(type, data, valid, range=bounds, dictionary=dictionary, may_be_nan=nan)

    def choice(self, conditions: Sequence[Ref], values: Sequence[Ref]) -> Ref:
        """The value of the first condition that holds, else the last of `values`.

        Of many conditions a tree: a chain of a thousand selections takes LLVM 20 s, and four times as long for twice as many.
        """
        *chosen, otherwise = values
        if len(chosen) > LONGEST_CHAIN:
            half = len(chosen) // 2
            first = self.choice(conditions[:half], chosen[: half + 1])
            rest = self.choice(conditions[half:], values[half:])
            return self.builder.select(self.any_of(conditions[:half]), first, rest)
        for condition, value in zip(reversed(conditions), reversed(chosen), strict=True):
            otherwise = self.builder.select(condition, value, otherwise)
        return otherwise

    def any_of(self, conditions: Sequence[Ref]) -> Ref:
        """Whether one of them holds: of halves, which `choice` has asked for as well."""
        if len(conditions) == 1:
            return conditions[0]
        half = len(conditions) // 2
        return self.builder.either(self.any_of(conditions[:half]), self.any_of(conditions[half:]))

    def merge_arrays(self, type: Array, branches: list[tuple[Ref, Value]], otherwise: Value) -> Value:
        """As `merge`, element by element."""

        def element(value: Value, position: int) -> Value:
            return Value(type.element, value.elements[position], value.valid)

        merged = [
            self.merge(type.element, [(taken, element(value, at)) for taken, value in branches], element(otherwise, at))
            for at in range(type.length)
        ]
        return Value(type, merged[0].data, merged[0].valid, elements=tuple(part.data for part in merged))


def written_late(type: SqlType) -> UnsupportedError:
    """Texts of more numbers than can be written out before a run."""
    message = f"not supported yet: to compute with the text of a {type} that may have more than {FORMATTED_VALUES:,} values"
    hint = "Cast to a narrower type first if that holds them, as in x::SMALLINT::VARCHAR."
    return UnsupportedError(message, hint=hint if isinstance(type, Integer) else "")


def called_late() -> UnsupportedError:
    """Texts of more combinations of values than can be computed before a run."""
    message = f"not supported yet: to compute with a text that is made of more than {COMBINATIONS:,} combinations of values"
    return UnsupportedError(message, hint="It can be selected. Of one text column and constants, any number can be made.")


def level_of(dictionary: Dictionary) -> Level:
    """What codes into `dictionary` tell about its strings: but for columns, all are sorted and distinct."""
    if isinstance(dictionary, JoinedDictionary | CalledDictionary):
        return "plain"
    if isinstance(dictionary, WrittenDictionary):
        return "unique"
    return dictionary.level if isinstance(dictionary, ColumnDictionary) else "ordered"


def union_of(dictionaries: list[Dictionary]) -> Dictionary:
    """One dictionary that holds the strings of all; the dictionary itself when there is just one."""
    parts: list[Dictionary] = []
    literals: list[int] = []
    for dictionary in dictionaries:
        match dictionary:
            case UnionDictionary(inner):
                flat = inner
            case _:
                flat = (dictionary,)
        for part in flat:
            if isinstance(part, LiteralDictionary):
                literals += [slot for slot in part.literals if slot not in literals]
            elif part not in parts:
                parts.append(part)
    if literals or not parts:
        parts.append(LiteralDictionary(tuple(literals)))
    return parts[0] if len(parts) == 1 else UnionDictionary(tuple(parts))
