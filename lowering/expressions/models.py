"""Calls of models: SQL numbers to the machine types of a model's inputs, and its result back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qtensor.errors import Span, UnsupportedError
from qtensor.expressions import Literal, Predict
from qtensor.lowering.expressions.arithmetic import integer_range, outside_of
from qtensor.lowering.expressions.casts import decimal_to_double
from qtensor.lowering.expressions.lowerer import Lowerer, slot_of
from qtensor.lowering.ir.kernel import DType, Ref
from qtensor.lowering.ir.physical import ModelUse, SizedTable
from qtensor.lowering.ir.ranges import BIT, INT64, INT64_MAX, Range, range_of_type
from qtensor.lowering.ir.values import ListedTable, LiteralDictionary, ModelTable, Value
from qtensor.lowering.models.model import TEXT, Model, ModelOutput, argument_called
from qtensor.types import VARCHAR, Array, Float, Integer, Varchar, scale_of

LARGEST_TEXT_TABLE = 1 << 28  # numbers that a model's program makes of all texts of a column


def lower_predict(lowerer: Lowerer, predict: Predict, values: list[Value]) -> Value:
    """Call a model: arguments are converted to its machine types, NULL in any gives NULL.

    Errors, for rows without NULLs: a value that an integer or Boolean input cannot hold, and whatever the model fails for.
    """
    model = lowerer.bindings.models[predict.model]
    valid = lowerer.builder.both(*(value.valid for value in values))
    operands = tuple(
        model_argument(lowerer, model, position, value, valid, predict.span) for position, value in enumerate(values)
    )
    tables = tuple(text_table(lowerer, model, number, values) for number in range(len(model.tables)))
    slot = slot_of(lowerer.bindings.used_models, ModelUse(model.name, model.digest))
    if model.fails is not None:
        failed = lowerer.builder.emit("model", *operands, dtype="bool", attribute=(slot, "failed", *tables))
        lowerer.check(failed, valid, f'the model "{model.name}" has no result for a row: {model.fails}', predict.span)

    def element(dtype: DType, number: int | None) -> Ref:
        return lowerer.builder.emit("model", *operands, dtype=dtype, attribute=(slot, number, *tables))

    whole = ModelOutput("", model.result, 0, model.classes, model.labels)
    output = next((one for one in model.outputs if one.name == predict.output), whole)
    first = output.first if model.outputs else None
    match output.result:
        case Array(Float(bits), length):
            numbers = range(output.first, output.first + length)
            elements = tuple(element("float32" if bits == 32 else "float64", number) for number in numbers)
            return Value(output.result, elements[0], valid, elements=elements)
        case Float(bits):
            return Value(output.result, element("float32" if bits == 32 else "float64", first), valid)
        case Integer(64, signed=False):
            return unsigned_result(lowerer, model, element("int64", first), valid, predict.span)
        case Varchar():
            assert output.labels is not None, "of text a model gives the number of a label"
            number = element(Range(0, len(output.labels) - 1).dtype, first)
            return label_of(lowerer, output.labels, number, valid)
        case Integer():
            bounds = Range(0, output.classes - 1) if output.classes else range_of_type(output.result)
            return Value(output.result, element(bounds.dtype, first), valid, range=bounds)
        case _:
            return Value(output.result, element("bool", first), valid)


def label_of(lowerer: Lowerer, labels: Sequence[str], number: Ref, valid: Ref | None) -> Value:
    """The text that a model means by a number. The labels are literals: others need no other program."""
    slots = tuple(lowerer.bindings.literal(Literal(label, VARCHAR)) for label in labels)
    dictionary = LiteralDictionary(tuple(dict.fromkeys(slots)))
    code = lowerer.look_up(ListedTable(slots, dictionary), len(slots), number, "int32")
    return Value(VARCHAR, code, valid, range=Range(0, len(dictionary.literals) - 1), dictionary=dictionary)


def unsigned_result(lowerer: Lowerer, model: Model, data: Ref, valid: Ref | None, span: Span | None) -> Value:
    """A UBIGINT whose bits are read as an int64: those from 2**63 on are an error."""
    zero = lowerer.integer(0)
    beyond = lowerer.builder.compare("less", data, zero)
    lowerer.check(beyond, valid, f'the model "{model.name}" gives a number beyond 64 bits with a sign', span)
    return Value(model.result, lowerer.builder.select(beyond, zero, data), valid, range=Range(0, INT64_MAX))


def model_argument(lowerer: Lowerer, model: Model, position: int, value: Value, valid: Ref | None, span: Span | None) -> Ref:
    """A number as a model takes it. Floats are rounded to the nearest; integers and Booleans must have the very value.

    valid: where no argument of the call is NULL.
    """
    dtype = model.arguments[position]
    if dtype == TEXT:
        lowerer.require(value, "plain")
        return lowerer.builder.convert(value.data, "int32")
    if dtype.kind == "f":
        data = decimal_to_double(lowerer, value) if scale_of(value.type) else value.data
        return lowerer.builder.convert(data, str(dtype))  # type: ignore[arg-type]  # a NumPy name is a DType
    bounds = BIT if dtype.kind == "b" else Range(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) & INT64
    data, wrong = whole_float(lowerer, value, bounds) if isinstance(value.type, Float) else whole_number(lowerer, value, bounds)
    if wrong is not None:
        kind = "no BOOLEAN, 0 or 1" if dtype.kind == "b" else f"not a whole number from {bounds.low} to {bounds.high}"
        lowerer.check(wrong, valid, f'{argument_called(model, position)} of the model "{model.name}" is {kind}', span)
        data = lowerer.builder.select(wrong, lowerer.integer(0, lowerer.builder.dtype(data)), data)
    return lowerer.builder.convert(data, str(dtype))  # type: ignore[arg-type]


def text_table(lowerer: Lowerer, model: Model, number: int, values: Sequence[Value]) -> int:
    """The slot of a table of what a model's program makes of the texts of an argument.

    Raises UnsupportedError: it would be too large.
    """
    argument, output = model.tables[number]
    dictionary = values[argument].dictionary
    assert dictionary is not None, "the binder gives texts where a model takes them"
    strings = max(1, 1 << (lowerer.bindings.size_of(dictionary) - 1).bit_length())
    size = strings * (output.width or 1)
    if size > LARGEST_TEXT_TABLE:
        raise UnsupportedError(
            f'{argument_called(model, argument)} of the model "{model.name}" may have {strings:,} different texts, and the model '
            f"makes {output.width:,} numbers of each: more than {LARGEST_TEXT_TABLE:,} together are not supported"
        )
    return slot_of(lowerer.bindings.tables, SizedTable(ModelTable(dictionary, model.name, number), size, output.dtype))


def whole_number(lowerer: Lowerer, value: Value, bounds: Range) -> tuple[Ref, Ref | None]:
    """An integer or DECIMAL as an integer, and where it is none of `bounds` (None: nowhere)."""
    fraction = None
    factor = 10 ** scale_of(value.type)
    if factor > 1:
        if factor > INT64_MAX:  # then 64 bits hold no whole number but 0
            bounds, factor = Range(0, 0), 1
        else:
            span = integer_range(value)
            dtype = (span | Range(-factor, factor)).arithmetic_dtype
            operands = lowerer.builder.convert(value.data, dtype), lowerer.integer(factor, dtype)
            rest = lowerer.builder.emit("remainder", *operands, dtype=dtype)
            fraction = lowerer.builder.compare("not_equal", rest, lowerer.integer(0, dtype))
            quotient = lowerer.builder.emit("quotient", *operands, dtype=dtype)
            value = Value(value.type, quotient, range=Range(-(-span.low // factor) - 1, span.high // factor + 1))
    beyond = outside_of(lowerer, value, bounds)
    if fraction is None or beyond is None:
        return value.data, fraction if beyond is None else beyond
    return value.data, lowerer.builder.either(fraction, beyond)


def whole_float(lowerer: Lowerer, value: Value, bounds: Range) -> tuple[Ref, Ref]:
    """A float as an integer, and where it is none of `bounds`: fractions, NaN, infinities and numbers out of range."""
    data = lowerer.builder.convert(value.data, "float64")
    # 2**63 - 1 is no double: the bound above is exclusive.
    low, high = (lowerer.builder.constant(float(end), "float64") for end in (bounds.low, bounds.high + 1))
    right = lowerer.builder.both(
        lowerer.builder.compare("equal", data, lowerer.builder.emit("truncate", data, dtype="float64")),
        lowerer.builder.compare("greater_equal", data, low),
        lowerer.builder.compare("less", data, high),
    )
    right = lowerer.builder.definite(right)
    safe = lowerer.builder.select(right, data, lowerer.builder.constant(0.0, "float64"))
    return lowerer.builder.convert(safe, bounds.dtype), lowerer.builder.negation(right)
