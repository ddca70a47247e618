"""Three-valued logic: a Boolean is the pair (data, valid), and TRUE is data & valid."""

from __future__ import annotations

from qtensor.expressions import Call
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.values import Value
from qtensor.types import BOOLEAN

NULL_TESTS = frozenset({"is_null", "is_not_null"})


def is_true(lowerer: Lowerer, value: Value) -> Ref:
    return lowerer.builder.definite(lowerer.builder.both(value.data, value.valid))


def is_false(lowerer: Lowerer, value: Value) -> Ref:
    return lowerer.builder.definite(lowerer.builder.both(lowerer.builder.negation(value.data), value.valid))


def lower_and(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """FALSE if any is FALSE, TRUE if all are TRUE, else NULL."""
    result = arguments[0]
    for value in arguments[1:]:
        if result.valid is None and value.valid is None:
            result = Value(BOOLEAN, lowerer.builder.definite(lowerer.builder.both(result.data, value.data)))
            continue
        data = lowerer.builder.definite(lowerer.builder.both(is_true(lowerer, result), is_true(lowerer, value)))
        decided = lowerer.builder.either(is_false(lowerer, result), is_false(lowerer, value))
        result = Value(BOOLEAN, data, lowerer.builder.either(data, decided))
    return result


def lower_or(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """TRUE if any is TRUE, FALSE if all are FALSE, else NULL."""
    result = arguments[0]
    for value in arguments[1:]:
        if result.valid is None and value.valid is None:
            result = Value(BOOLEAN, lowerer.builder.either(result.data, value.data))
            continue
        data = lowerer.builder.either(is_true(lowerer, result), is_true(lowerer, value))
        decided = lowerer.builder.both(is_false(lowerer, result), is_false(lowerer, value))
        result = Value(BOOLEAN, data, lowerer.builder.either(data, lowerer.builder.definite(decided)))
    return result


def lower_not(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    (value,) = arguments
    return Value(BOOLEAN, lowerer.builder.negation(value.data), value.valid)


def lower_is_null(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    return Value(BOOLEAN, lowerer.builder.negation(lowerer.builder.definite(arguments[0].valid)))


def lower_is_not_null(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    return Value(BOOLEAN, lowerer.builder.definite(arguments[0].valid))
