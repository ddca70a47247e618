"""Comparisons: by clamped run-time scalars for literals, by dictionary codes for text, with NaN the greatest float."""

from __future__ import annotations

from qtensor.errors import UnsupportedError
from qtensor.expressions import MIRRORED, Call, Expr, Literal
from qtensor.lowering.expressions.encoder import Encoder, called_late, level_of, union_of, written_late
from qtensor.lowering.expressions.logic import lower_not
from qtensor.lowering.ir.kernel import DType, Ref
from qtensor.lowering.ir.ranges import Range
from qtensor.lowering.ir.values import (
    CalledDictionary,
    CodeOf,
    LiteralDictionary,
    LiteralScalar,
    MemberTable,
    PositionOf,
    Value,
    WrittenDictionary,
)
from qtensor.types import BOOLEAN, Boolean, Float, Varchar


def lower_comparison(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """NULL if either side is."""
    left, right = arguments
    if CalledDictionary in (type(left.dictionary), type(right.dictionary)):
        raise called_late()
    if left.elements or right.elements:
        raise UnsupportedError(f"values of type {left.type} cannot be compared: subscript one of their scores")
    data = compare(encoder, call.function, (call.arguments[0], left), (call.arguments[1], right))
    return Value(BOOLEAN, data, encoder.builder.both(left.valid, right.valid))


def compare(encoder: Encoder, op: str, left: tuple[Expr, Value], right: tuple[Expr, Value]) -> Ref:
    """`left op right` where both are valid."""
    (left_expr, left_value), (right_expr, right_value) = left, right
    if isinstance(left_expr, Literal) and not isinstance(right_expr, Literal):
        return compare(encoder, MIRRORED[op], right, left)
    if isinstance(left_value.type, Varchar):
        return compare_text(encoder, op, encoder.narrow(left_value), encoder.narrow(right_value))
    if left_value.low is not None or right_value.low is not None:
        return compare_limbs(encoder, op, left_value, right_value)
    match left_value.type:
        case Float():
            return compare_floats(encoder, op, left_value, right_value)
        case Boolean():
            as_integer = [encoder.builder.convert(value.data, "int8") for value in (left_value, right_value)]
            return encoder.builder.compare(op, *as_integer)
        case _:
            return compare_integers(encoder, op, left_value, right_value, right_expr)


def compare_integers(encoder: Encoder, op: str, left: Value, right: Value, right_expr: Expr) -> Ref:
    """Compare in the narrowest type; a literal is first brought within one of the other side's range, which changes no answer."""
    assert left.range is not None and right.range is not None
    nearby = Range(left.range.low - 1, left.range.high + 1)
    if isinstance(right_expr, Literal) and isinstance(right_expr.value, int) and nearby.fits:
        slot = encoder.bindings.literal(right_expr)
        scalar = encoder.scalar(LiteralScalar(slot, nearby.dtype, clamp=nearby), nearby.dtype)
        return encoder.builder.compare(op, encoder.builder.convert(left.data, nearby.dtype), scalar)
    dtype = (left.range | right.range).dtype
    operands = [encoder.builder.convert(value.data, dtype) for value in (left, right)]
    return encoder.builder.compare(op, *operands)


def compare_limbs(encoder: Encoder, op: str, left: Value, right: Value) -> Ref:
    """Two integers of which one has two limbs: by the high ones, where those are equal by the low ones."""
    (left_high, left_low), (right_high, right_low) = limbs(encoder, left), limbs(encoder, right)
    same = encoder.builder.compare("equal", left_high, right_high)
    low = encoder.builder.definite(encoder.builder.both(same, encoder.builder.compare(op, left_low, right_low)))
    match op:
        case "equal":
            return low
        case "not_equal":
            return encoder.builder.negation(compare_limbs(encoder, "equal", left, right))
        case _:
            return encoder.builder.either(encoder.builder.compare(op.removesuffix("_equal"), left_high, right_high), low)


def limbs(encoder: Encoder, value: Value) -> tuple[Ref, Ref]:
    """High and low part, int64 each: see `Value.low`."""
    if value.low is not None:
        return value.data, value.low
    limb = encoder.integer(1 << 32)
    data = encoder.builder.convert(value.data, "int64")
    high = encoder.builder.emit("floor_quotient", data, limb, dtype="int64")
    above = encoder.builder.emit("multiply", high, limb, dtype="int64")
    return high, encoder.builder.emit("subtract", data, above, dtype="int64")


def compare_floats(encoder: Encoder, op: str, left: Value, right: Value) -> Ref:
    """NaN equals NaN and is greater than every other number; denormal numbers are not zero."""
    if not (left.may_be_nan or right.may_be_nan):
        return encoder.builder.compare(op, left.data, right.data)
    keys = [order_key(encoder, value) for value in (left, right)]
    return encoder.builder.compare(op, *keys)


def order_key(encoder: Encoder, value: Value, zeros_equal: bool = True) -> Ref:
    """A float as an integer of the same width whose order is SQL's: -inf < ... < -0 = 0 < ... < inf < NaN = NaN.

    Unless `zeros_equal`, -0 is less than 0: then `from_order_key` gives the very float back.
    """
    dtype: DType = "int32" if encoder.builder.dtype(value.data) == "float32" else "int64"
    key = encoder.builder.emit("order_key", value.data, dtype=dtype)
    if not zeros_equal:
        return key
    # -0 has the key -1, told by its bits: XLA:CPU takes denormal numbers for zero where it compares them as floats.
    negative_zero = encoder.builder.compare("equal", key, encoder.integer(-1, dtype))
    return encoder.builder.select(negative_zero, encoder.integer(0, dtype), key)


def compare_text(encoder: Encoder, op: str, left: Value, right: Value) -> Ref:
    """Codes of one dictionary compare as their strings do, as far as its level says; a literal is looked up on the host."""
    assert left.dictionary is not None and right.dictionary is not None
    if left.dictionary != right.dictionary:
        for value, other, direction in ((left, right, op), (right, left, MIRRORED[op])):
            source = other.dictionary
            if isinstance(source, LiteralDictionary) and len(source.literals) == 1:
                return compare_with_literal(encoder, direction, value, source.literals[0])
    shared = union_of([left.dictionary, right.dictionary])
    values = [encoder.recode(value, shared) for value in (left, right)]
    for value in values:
        encoder.require(value, "unique" if op in ("equal", "not_equal") else "ordered")
    codes = [
        encoder.builder.convert(value.data, "int64" if isinstance(shared, WrittenDictionary) else "int32") for value in values
    ]
    return encoder.builder.compare(op, *codes)


def compare_with_literal(encoder: Encoder, op: str, value: Value, literal: int) -> Ref:
    """A string is less than a literal exactly when its code is less than the number of strings less than the literal."""
    assert value.dictionary is not None
    if isinstance(value.dictionary, WrittenDictionary):
        raise written_late(value.dictionary.type)
    code = encoder.builder.convert(value.data, "int32")
    if op in ("equal", "not_equal"):
        if level_of(value.dictionary) == "plain":  # several codes may stand for the literal
            member = members(encoder, value, (literal,))
            return member if op == "equal" else encoder.builder.negation(member)
        return encoder.builder.compare(op, code, encoder.scalar(CodeOf(literal, value.dictionary), "int32"))
    encoder.require(value, "ordered")
    inclusive = op in ("less_equal", "greater")
    position = encoder.scalar(PositionOf(literal, value.dictionary, inclusive), "int32")
    return encoder.builder.compare("less" if op in ("less", "less_equal") else "greater_equal", code, position)


def members(encoder: Encoder, value: Value, literals: tuple[int, ...]) -> Ref:
    """Which rows' strings are among the literals."""
    assert value.dictionary is not None
    return encoder.look_up(
        MemberTable(value.dictionary, literals), encoder.bindings.size_of(value.dictionary), value.data, "bool"
    )


def lower_is_distinct_from(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """Like <>, with NULL a value of its own; never NULL."""
    left, right = arguments
    differs = compare(encoder, "not_equal", (call.arguments[0], left), (call.arguments[1], right))
    if left.valid is None and right.valid is None:
        return Value(BOOLEAN, differs)
    validities = [encoder.builder.definite(value.valid) for value in (left, right)]
    both_valid = encoder.builder.definite(encoder.builder.both(*validities))
    one_null = encoder.builder.compare("not_equal", *validities)
    distinct = encoder.builder.either(encoder.builder.definite(encoder.builder.both(differs, both_valid)), one_null)
    return Value(BOOLEAN, distinct)


def lower_is_not_distinct_from(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    return lower_not(encoder, call, [lower_is_distinct_from(encoder, call, arguments)])
