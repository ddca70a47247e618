"""Three-valued logic: a Boolean is the pair (data, valid), and TRUE is data & valid."""

from __future__ import annotations

from qtensor.expressions import Call
from qtensor.lowering.expressions.encoder import Encoder
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.values import Value
from qtensor.types import BOOLEAN

NULL_TESTS = frozenset({"is_null", "is_not_null"})


def is_true(encoder: Encoder, value: Value) -> Ref:
    return encoder.builder.definite(encoder.builder.both(value.data, value.valid))


def is_false(encoder: Encoder, value: Value) -> Ref:
    return encoder.builder.definite(encoder.builder.both(encoder.builder.negation(value.data), value.valid))


def lower_and(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """FALSE if any is FALSE, TRUE if all are TRUE, else NULL."""
    result = arguments[0]
    for value in arguments[1:]:
        if result.valid is None and value.valid is None:
            result = Value(BOOLEAN, encoder.builder.definite(encoder.builder.both(result.data, value.data)))
            continue
        data = encoder.builder.definite(encoder.builder.both(is_true(encoder, result), is_true(encoder, value)))
        decided = encoder.builder.either(is_false(encoder, result), is_false(encoder, value))
        result = Value(BOOLEAN, data, encoder.builder.either(data, decided))
    return result


def lower_or(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """TRUE if any is TRUE, FALSE if all are FALSE, else NULL."""
    result = arguments[0]
    for value in arguments[1:]:
        if result.valid is None and value.valid is None:
            result = Value(BOOLEAN, encoder.builder.either(result.data, value.data))
            continue
        data = encoder.builder.either(is_true(encoder, result), is_true(encoder, value))
        decided = encoder.builder.both(is_false(encoder, result), is_false(encoder, value))
        result = Value(BOOLEAN, data, encoder.builder.either(data, encoder.builder.definite(decided)))
    return result


def lower_not(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    (value,) = arguments
    return Value(BOOLEAN, encoder.builder.negation(value.data), value.valid)


def lower_is_null(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    return Value(BOOLEAN, encoder.builder.negation(encoder.builder.definite(arguments[0].valid)))


def lower_is_not_null(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    return Value(BOOLEAN, encoder.builder.definite(arguments[0].valid))
