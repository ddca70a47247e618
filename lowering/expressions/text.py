"""Text functions: evaluated once for each string of the dictionary on the host, then one look-up for each row."""

from __future__ import annotations

from qtensor.errors import UnsupportedError
from qtensor.expressions import Call, Expr, Literal
from qtensor.functions.scalars.function import ScalarFunction
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.ir.kernel import DType, Ref
from qtensor.lowering.ir.ranges import Range, range_of_type
from qtensor.lowering.ir.values import (
    COMBINATIONS,
    DOMAIN,
    CalledDictionary,
    Choices,
    Domain,
    HostCall,
    LateCall,
    LatePart,
    LikeTable,
    MappedDictionary,
    ResultTable,
    ResultTest,
    Value,
)
from qtensor.optimise.enums import MEMBER, PLACE
from qtensor.types import BOOLEAN, Boolean, Float, Varchar

_WRITTEN = {
    "append": "the operator ||",
    "like_escape": "LIKE",
    "ilike_escape": "ILIKE",
    PLACE: "the order of an ENUM",
    MEMBER: "the conversion to an ENUM",
}


def lower_host_call(lowerer: Lowerer, call: Call, arguments: list[Value], function: ScalarFunction) -> Value:
    """A function that the host evaluates: before a run for every value that its arguments may have, and rows look their results
    up; texts of too many values after the run.
    """
    nulls = [isinstance(argument, Literal) and argument.value is None for argument in call.arguments]
    if any(nulls) and not function.sees_nulls:
        return lowerer.null(call.type)
    try:
        return lower_by_table(lowerer, call, arguments, function)
    except UnsupportedError:
        if not isinstance(call.type, Varchar):
            raise
        return lower_late(lowerer, call, arguments, function)


def lower_by_table(lowerer: Lowerer, call: Call, arguments: list[Value], function: ScalarFunction) -> Value:
    """Raises UnsupportedError: there are too many values."""
    described: list[int | Choices] = []
    index: Ref | None = None
    values = [value for value, expr in zip(arguments, call.arguments, strict=True) if not isinstance(expr, Literal)]
    for value, expr in zip(arguments, call.arguments, strict=True):
        if isinstance(expr, Literal):
            described.append(lowerer.bindings.literal(expr))
            continue
        choice, position = choices(lowerer, call, value, alone=len(values) == 1, sees_nulls=function.sees_nulls)
        described.append(choice)
        if index is not None:
            scaled = lowerer.builder.emit("multiply", index, lowerer.integer(choice.stride, "int32"), dtype="int32")
            position = lowerer.builder.emit("add", scaled, position, dtype="int32")
        index = position
    host_call = HostCall(function.name, tuple(described))
    if len(values) > 1 and host_call.size > COMBINATIONS:
        shown = " x ".join(f"{choice.stride:,}" for choice in host_call.choices)
        raise UnsupportedError(
            f"not supported yet: {written(function)} of {shown} different values, more than {COMBINATIONS:,} combinations",
            hint="Of one text column and constants, it takes any number of values.",
        )
    valid = None if function.sees_nulls else lowerer.builder.both(*(value.valid for value in values))
    return looked_up(lowerer, call, function, host_call, lowerer.integer(0, "int32") if index is None else index, valid)


def lower_late(lowerer: Lowerer, call: Call, arguments: list[Value], function: ScalarFunction) -> Value:
    """A text that is made after the run, of its arguments."""
    elements: list[Ref] = []
    described: list[int | LatePart | LateCall] = []
    for value, expr in zip(arguments, call.arguments, strict=True):
        if isinstance(expr, Literal):
            described.append(lowerer.bindings.literal(expr))
            continue
        first = len(elements)
        elements += value.elements or (value.data,)
        valid = None if value.valid is None else len(elements)
        elements += [] if value.valid is None else [value.valid]
        if isinstance(value.dictionary, CalledDictionary):
            described.append(value.dictionary.call.moved(first, valid))
        else:
            described.append(LatePart(value.type, first, valid, value.dictionary))
    dictionary = CalledDictionary(LateCall(function.name, tuple(described), span=call.span))
    return Value(call.type, elements[0], elements=tuple(elements), dictionary=dictionary)


def written(function: ScalarFunction) -> str:
    """What a query calls a function."""
    return _WRITTEN.get(function.name, function.name)


def choices(lowerer: Lowerer, call: Call, value: Value, *, alone: bool, sees_nulls: bool) -> tuple[Choices, Ref]:
    """What an argument may be, and which of that a row has, int32."""
    nullable = sees_nulls and value.valid is not None
    if value.dictionary is not None:
        size = lowerer.bindings.size_of(value.dictionary)
        # Beside others, a size is rounded up so that a dictionary that grows a little keeps its program.
        choice = Choices(value.dictionary, size if alone else max(1, 1 << (size - 1).bit_length()), nullable)
        position = lowerer.builder.convert(value.data, "int32")
    else:
        bounds = Range(0, 1) if isinstance(value.type, Boolean) else value.range
        if bounds is None or bounds.size > DOMAIN:
            raise UnsupportedError(
                f"not supported yet: {call.function} of a {value.type} that may have more than {DOMAIN:,} values"
            )
        choice = Choices(Domain(value.type, bounds.low, bounds.high), bounds.size, nullable)
        offset = lowerer.integer(bounds.low, "int64")
        difference = lowerer.builder.emit("subtract", lowerer.builder.convert(value.data, "int64"), offset, dtype="int64")
        position = lowerer.builder.convert(difference, "int32")
    if nullable and value.valid is not None:
        position = lowerer.builder.select(value.valid, position, lowerer.integer(choice.size, "int32"))
    return choice, position


def looked_up(
    lowerer: Lowerer, call: Call, function: ScalarFunction, host_call: HostCall, index: Ref, valid: Ref | None
) -> Value:
    """The result of a row's combination."""
    size = host_call.size
    if function.fails:
        failed = lowerer.look_up(ResultTest(host_call, "failed"), size, index, "bool")
        lowerer.check(failed, valid, function.failure or f"{written(function)} of a value that it is not defined for", call.span)
    if function.gives_null:
        valid = lowerer.builder.both(valid, lowerer.look_up(ResultTest(host_call, "valid"), size, index, "bool"))
    dtype: DType
    match call.type:
        case Varchar():
            data = lowerer.look_up(ResultTable(host_call, call.type), size, index, "int32")
            return Value(call.type, data, valid, range=Range(0, max(0, size - 1)), dictionary=MappedDictionary(host_call))
        case Boolean():
            return Value(call.type, lowerer.look_up(ResultTable(host_call, call.type), size, index, "bool"), valid)
        case Float():
            return Value(call.type, lowerer.look_up(ResultTable(host_call, call.type), size, index, "float64"), valid)
        case _:
            bounds = Range(*function.range) if function.range is not None else range_of_type(call.type)
            dtype = bounds.dtype
            return Value(call.type, lowerer.look_up(ResultTable(host_call, call.type), size, index, dtype), valid, range=bounds)


def lower_like(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """LIKE and ILIKE with a constant pattern: % is any text, _ any one character; NULL if text or pattern is."""
    value = arguments[0]
    assert value.dictionary is not None
    for argument in call.arguments[1:]:
        if isinstance(argument, Literal) and argument.value is None:
            return lowerer.null(BOOLEAN)
    pattern, *escape = (constant_text(lowerer, argument) for argument in call.arguments[1:])
    table = LikeTable(value.dictionary, pattern, escape[0] if escape else None, call.function == "ilike")
    data = lowerer.look_up(table, lowerer.bindings.size_of(value.dictionary), value.data, "bool")
    return Value(BOOLEAN, data, value.valid)


def constant_text(lowerer: Lowerer, expr: Expr) -> int:
    if not isinstance(expr, Literal) or not isinstance(expr.value, str):
        raise UnsupportedError("the pattern of LIKE must be a constant")
    return lowerer.bindings.literal(expr)
