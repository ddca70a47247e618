"""What an entry of the table of scalar functions says, and how DuckDB picks among overloads.

A function is computed in one of two places. Those over text (and those that give text) have an `evaluate`: the host computes
them once for each distinct string, or each combination of few values, and rows look their results up; constants are folded by
the very same code. All others are computed by the machine, by the function of the same name in `lowering/expressions/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qtensor.expressions import Literal, LiteralValue
from qtensor.functions.operators import (
    ANY_DECIMAL,
    OperandType,
    TypeRuleError,
    implicit_cast_cost,
    integer_as_decimal,
    natural_type,
)
from qtensor.types import Boolean, Decimal, Float, Integer, SqlType, Varchar
from qtensor.values.texts import ConversionError

Constants: TypeAlias = Sequence[LiteralValue]
ResultRule: TypeAlias = Callable[[Sequence[SqlType], Constants], SqlType]


@dataclass(frozen=True)
class Overload:
    """One list of parameters. `result` is a type, or a rule from the operands' types and the values of those that are literals.

    ANY_DECIMAL stands for any DECIMAL: the operand keeps its own. With `variadic` the last parameter may come again.
    """

    parameters: tuple[SqlType, ...]
    result: SqlType | ResultRule
    variadic: bool = False

    def expanded(self, count: int) -> tuple[SqlType, ...] | None:
        """The parameters for so many operands; None if they cannot be as many."""
        if self.variadic and count > len(self.parameters):
            return self.parameters + self.parameters[-1:] * (count - len(self.parameters))
        return self.parameters if count == len(self.parameters) else None


@dataclass(frozen=True)
class Evaluated:
    """What a function gave: storage values (large_string, int64, float64 or bool), NULLs among them; which elements failed."""

    values: pa.Array
    failed: NDArray[np.bool_] | None = None
    message: str = ""


HostArgument: TypeAlias = pa.Array | LiteralValue
Evaluate: TypeAlias = Callable[[Sequence[HostArgument], int], Evaluated]


@dataclass(frozen=True)
class ScalarFunction:
    """A function of SQL under its DuckDB `names`, the first of which a `Call` has.

    `evaluate` (of the host) takes each argument as an array of `length` elements or, if constant, as one value.
    NULL: if any argument is NULL, so is the result, unless `sees_nulls`. `gives_null`: the result may be NULL for arguments that
    are not. `fails`: there are arguments for which the function is an error; `checked`: constants among them are refused when the
    query is bound, before any row. `failure` is said of rows, if it is more than that. `range` bounds the integers it gives.
    """

    names: tuple[str, ...]
    overloads: tuple[Overload, ...]
    evaluate: Evaluate | None = None
    sees_nulls: bool = False
    gives_null: bool = False
    fails: bool = False
    checked: bool = False
    failure: str = ""
    range: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        return self.names[0]


@dataclass(frozen=True)
class Resolved:
    """The overload that was chosen: to what each operand is cast, and what the function gives."""

    operands: tuple[SqlType, ...]
    result: SqlType


def resolve(function: ScalarFunction, written: str, operands: Sequence[OperandType], constants: Constants) -> Resolved:
    """The overload that DuckDB chooses: the cheapest implicit casts.

    Raises:
        TypeRuleError: no overload takes these operands, or several do equally well.
    """
    priced: list[tuple[int, Overload, tuple[SqlType, ...]]] = []
    for overload in function.overloads:
        parameters = overload.expanded(len(operands))
        costs = (
            [implicit_cast_cost(s, t) for s, t in zip(operands, parameters, strict=True)] if parameters is not None else [None]
        )
        if parameters is not None and None not in costs:
            priced.append((sum(cost for cost in costs if cost is not None), overload, parameters))
    shown = f"{written}({', '.join(str(natural_type(operand)) for operand in operands)})"
    if not priced:
        known = " or ".join(signature_text(written, overload) for overload in function.overloads[:3])
        raise TypeRuleError(f"there is no {shown}, but {known}")
    least = min(cost for cost, _, _ in priced)
    cheapest = [(overload, parameters) for cost, overload, parameters in priced if cost == least]
    if len(cheapest) > 1:
        choices = " or ".join(signature_text(written, overload) for overload, _ in cheapest[:2])
        raise TypeRuleError(f"{shown} could mean {choices}; an explicit cast is needed")
    overload, parameters = cheapest[0]
    types = tuple(own_decimal(operand) if t == ANY_DECIMAL else t for operand, t in zip(operands, parameters, strict=True))
    return Resolved(types, overload.result(types, constants) if callable(overload.result) else overload.result)


def value_of(function: ScalarFunction, constants: Constants, type: SqlType) -> Literal | None:
    """What a function of the host gives for constants; None if it is an error, or computed by the machine."""
    if function.evaluate is None:
        return None
    if any(value is None for value in constants) and not function.sees_nulls:
        return Literal(None, type)
    result = function.evaluate(constants, 1)
    return Literal(result.values[0].as_py(), type) if result.failed is None else None


def signature_text(name: str, overload: Overload) -> str:
    parameters = ["DECIMAL" if parameter == ANY_DECIMAL else str(parameter) for parameter in overload.parameters]
    return f"{name}({', '.join(parameters)}{', ...' if overload.variadic else ''})"


def own_decimal(operand: OperandType) -> Decimal:
    """The DECIMAL that an operand is or becomes."""
    match natural_type(operand):
        case Decimal() as own:
            return own
        case Integer() as own:
            return integer_as_decimal(own)
        case _:
            return Decimal(18, 3)


def takes(*parameters: SqlType, result: SqlType | ResultRule) -> Overload:
    return Overload(parameters, result)


def arrow_type(type: SqlType) -> pa.DataType:
    """How the host holds results of `type`.

    >>> from qtensor.types import BIGINT, BOOLEAN, DOUBLE
    >>> arrow_type(BIGINT), arrow_type(BOOLEAN), arrow_type(DOUBLE)
    (DataType(int64), DataType(bool), DataType(double))
    """
    match type:
        case Varchar():
            return pa.large_string()
        case Boolean():
            return pa.bool_()
        case Float():
            return pa.float64()
        case _:
            return pa.int64()


def each(function: Callable[..., LiteralValue], type: SqlType) -> Evaluate:
    """An `evaluate` from a function of single values; it fails for elements for which that raises ConversionError."""

    def evaluate(arguments: Sequence[HostArgument], length: int) -> Evaluated:
        columns: list[Iterable[LiteralValue]] = [
            argument.to_pylist() if isinstance(argument, pa.Array) else [argument] * length for argument in arguments
        ]
        values: list[LiteralValue] = []
        failed = np.zeros(length, np.bool_)
        message = ""
        rows = zip(*columns, strict=True) if columns else [()] * length
        for index, row in enumerate(rows):
            try:
                values.append(function(*row))
            except ConversionError as error:
                values.append(None)
                failed[index], message = True, message or str(error)
        return Evaluated(pa.array(values, arrow_type(type)), failed if message else None, message)

    return evaluate


def vectorised(function: Callable[..., pa.Array], type: SqlType) -> Evaluate:
    """An `evaluate` from a function of an array first and constants after it, as those of pyarrow.compute are.

    Where another argument than the first differs by row, it goes through the distinct values of those one by one.
    """

    def evaluate(arguments: Sequence[HostArgument], length: int) -> Evaluated:
        first, *others = arguments
        texts = first if isinstance(first, pa.Array) else pa.array([first] * length, pa.large_string())
        if not any(isinstance(other, pa.Array) for other in others):
            return guarded(function, texts, others, type)
        columns = [other.to_pylist() if isinstance(other, pa.Array) else [other] * length for other in others]
        rows: dict[tuple[LiteralValue, ...], list[int]] = {}
        for index, row in enumerate(zip(*columns, strict=True)):
            rows.setdefault(row, []).append(index)
        parts = [guarded(function, texts.take(pa.array(indices)), row, type) for row, indices in rows.items()]
        order = np.argsort(np.array([index for indices in rows.values() for index in indices], np.int64), kind="stable")
        merged = pa.concat_arrays([pa.array([], arrow_type(type)), *(part.values for part in parts)])
        message = next((part.message for part in parts if part.message), "")
        failed = [np.zeros(len(part.values), np.bool_) if part.failed is None else part.failed for part in parts]
        return Evaluated(merged.take(pa.array(order)), np.concatenate(failed)[order] if message else None, message)

    return evaluate


def guarded(function: Callable[..., pa.Array], texts: pa.Array, constants: Sequence[LiteralValue], type: SqlType) -> Evaluated:
    """The function of an array and constants; if it is not defined for these constants, it fails for every element."""
    try:
        return Evaluated(function(texts, *constants).cast(arrow_type(type)))
    except ConversionError as error:
        return Evaluated(pa.nulls(len(texts), arrow_type(type)), np.ones(len(texts), np.bool_), str(error))
