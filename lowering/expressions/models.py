"""Calls of models: SQL numbers to the machine types of a model's inputs, and its result back."""

from __future__ import annotations

import numpy as np

from qtensor.errors import Span, UnsupportedError
from qtensor.expressions import Predict
from qtensor.lowering.expressions.arithmetic import integer_range, outside_of
from qtensor.lowering.expressions.casts import decimal_to_double
from qtensor.lowering.expressions.encoder import Encoder, slot_of
from qtensor.lowering.ir.kernel import DType, Ref
from qtensor.lowering.ir.physical import ModelUse
from qtensor.lowering.ir.ranges import BIT, INT64, INT64_MAX, Range, range_of_type
from qtensor.lowering.ir.values import Value
from qtensor.lowering.models.model import Model, argument_called
from qtensor.types import Array, Float, Integer, Varchar, scale_of


def lower_predict(encoder: Encoder, predict: Predict, values: list[Value]) -> Value:
    """Call a model: arguments are converted to its machine types, NULL in any gives NULL.

    Errors, for rows without NULLs: a value that an integer or Boolean input cannot hold, and whatever the model fails for.
    """
    model = encoder.bindings.models[predict.model]
    valid = encoder.builder.both(*(value.valid for value in values))
    operands = tuple(
        model_argument(encoder, model, position, value, valid, predict.span) for position, value in enumerate(values)
    )
    slot = slot_of(encoder.bindings.used_models, ModelUse(model.name, model.digest))
    if model.fails is not None:
        failed = encoder.builder.emit("model", *operands, dtype="bool", attribute=(slot, "failed"))
        encoder.check(failed, valid, f'the model "{model.name}" has no result for a row: {model.fails}', predict.span)

    def output(dtype: DType, element: int | None = None) -> Ref:
        return encoder.builder.emit("model", *operands, dtype=dtype, attribute=(slot, element))

    match model.result:
        case Array(Float(bits), length):
            dtype: DType = "float32" if bits == 32 else "float64"
            elements = tuple(output(dtype, index) for index in range(length))
            return Value(model.result, elements[0], valid, elements=elements)
        case Float(bits):
            return Value(model.result, output("float32" if bits == 32 else "float64"), valid)
        case Integer(64, signed=False):
            return unsigned_result(encoder, model, output("int64"), valid, predict.span)
        case Integer():
            bounds = Range(0, model.classes - 1) if model.classes else range_of_type(model.result)
            return Value(model.result, output(bounds.dtype), valid, range=bounds)
        case _:
            return Value(model.result, output("bool"), valid)


def unsigned_result(encoder: Encoder, model: Model, data: Ref, valid: Ref | None, span: Span | None) -> Value:
    """A UBIGINT whose bits are read as an int64: those from 2**63 on are an error."""
    zero = encoder.integer(0)
    beyond = encoder.builder.compare("less", data, zero)
    encoder.check(beyond, valid, f'the model "{model.name}" gives a number beyond 64 bits with a sign', span)
    return Value(model.result, encoder.builder.select(beyond, zero, data), valid, range=Range(0, INT64_MAX))


def model_argument(encoder: Encoder, model: Model, position: int, value: Value, valid: Ref | None, span: Span | None) -> Ref:
    """A number as a model takes it. Floats are rounded to the nearest; integers and Booleans must have the very value.

    valid: where no argument of the call is NULL.
    """
    if isinstance(value.type, Varchar):
        raise UnsupportedError("text cannot be an argument of a model")
    dtype = model.arguments[position]
    if dtype.kind == "f":
        data = decimal_to_double(encoder, value) if scale_of(value.type) else value.data
        return encoder.builder.convert(data, str(dtype))  # type: ignore[arg-type]  # a NumPy name is a DType
    bounds = BIT if dtype.kind == "b" else Range(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) & INT64
    data, wrong = whole_float(encoder, value, bounds) if isinstance(value.type, Float) else whole_number(encoder, value, bounds)
    if wrong is not None:
        kind = "no BOOLEAN, 0 or 1" if dtype.kind == "b" else f"not a whole number from {bounds.low} to {bounds.high}"
        encoder.check(wrong, valid, f'{argument_called(model, position)} of the model "{model.name}" is {kind}', span)
        data = encoder.builder.select(wrong, encoder.integer(0, encoder.builder.dtype(data)), data)
    return encoder.builder.convert(data, str(dtype))  # type: ignore[arg-type]


def whole_number(encoder: Encoder, value: Value, bounds: Range) -> tuple[Ref, Ref | None]:
    """An integer or DECIMAL as an integer, and where it is none of `bounds` (None: nowhere)."""
    fraction = None
    factor = 10 ** scale_of(value.type)
    if factor > 1:
        if factor > INT64_MAX:  # then 64 bits hold no whole number but 0
            bounds, factor = Range(0, 0), 1
        else:
            span = integer_range(value)
            dtype = (span | Range(-factor, factor)).arithmetic_dtype
            operands = encoder.builder.convert(value.data, dtype), encoder.integer(factor, dtype)
            rest = encoder.builder.emit("remainder", *operands, dtype=dtype)
            fraction = encoder.builder.compare("not_equal", rest, encoder.integer(0, dtype))
            quotient = encoder.builder.emit("quotient", *operands, dtype=dtype)
            value = Value(value.type, quotient, range=Range(-(-span.low // factor) - 1, span.high // factor + 1))
    beyond = outside_of(encoder, value, bounds)
    if fraction is None or beyond is None:
        return value.data, fraction if beyond is None else beyond
    return value.data, encoder.builder.either(fraction, beyond)


def whole_float(encoder: Encoder, value: Value, bounds: Range) -> tuple[Ref, Ref]:
    """A float as an integer, and where it is none of `bounds`: fractions, NaN, infinities and numbers out of range."""
    data = encoder.builder.convert(value.data, "float64")
    # 2**63 - 1 is no double: the bound above is exclusive.
    low, high = (encoder.builder.constant(float(end), "float64") for end in (bounds.low, bounds.high + 1))
    right = encoder.builder.both(
        encoder.builder.compare("equal", data, encoder.builder.emit("truncate", data, dtype="float64")),
        encoder.builder.compare("greater_equal", data, low),
        encoder.builder.compare("less", data, high),
    )
    right = encoder.builder.definite(right)
    safe = encoder.builder.select(right, data, encoder.builder.constant(0.0, "float64"))
    return encoder.builder.convert(safe, bounds.dtype), encoder.builder.negation(right)
