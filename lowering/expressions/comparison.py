"""Comparisons: by clamped run-time scalars for literals, by dictionary codes for text, with NaN the greatest float."""

from __future__ import annotations

from qtensor.errors import UnsupportedError
from qtensor.expressions import MIRRORED, Call, Expr, Literal
from qtensor.lowering.expressions.logic import lower_not
from qtensor.lowering.expressions.lowerer import Lowerer, called_late, level_of, union_of, written_late
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


def lower_comparison(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """NULL if either side is."""
    left, right = arguments
    if CalledDictionary in (type(left.dictionary), type(right.dictionary)):
        raise called_late()
    if left.elements or right.elements:
        raise UnsupportedError(f"values of type {left.type} cannot be compared: subscript one of their scores")
    data = compare(lowerer, call.function, (call.arguments[0], left), (call.arguments[1], right))
    return Value(BOOLEAN, data, lowerer.builder.both(left.valid, right.valid))


def compare(lowerer: Lowerer, op: str, left: tuple[Expr, Value], right: tuple[Expr, Value]) -> Ref:
    """`left op right` where both are valid."""
    (left_expr, left_value), (right_expr, right_value) = left, right
    if isinstance(left_expr, Literal) and not isinstance(right_expr, Literal):
        return compare(lowerer, MIRRORED[op], right, left)
    if isinstance(left_value.type, Varchar):
        return compare_text(lowerer, op, lowerer.narrow(left_value), lowerer.narrow(right_value))
    if left_value.low is not None or right_value.low is not None:
        return compare_limbs(lowerer, op, left_value, right_value)
    match left_value.type:
        case Float():
            return compare_floats(lowerer, op, left_value, right_value)
        case Boolean():
            as_integer = [lowerer.builder.convert(value.data, "int8") for value in (left_value, right_value)]
            return lowerer.builder.compare(op, *as_integer)
        case _:
            return compare_integers(lowerer, op, left_value, right_value, right_expr)


def compare_integers(lowerer: Lowerer, op: str, left: Value, right: Value, right_expr: Expr) -> Ref:
    """Compare in the narrowest type; a literal is first brought within one of the other side's range, which changes no answer."""
    assert left.range is not None and right.range is not None
    nearby = Range(left.range.low - 1, left.range.high + 1)
    if isinstance(right_expr, Literal) and isinstance(right_expr.value, int) and nearby.fits:
        slot = lowerer.bindings.literal(right_expr)
        scalar = lowerer.scalar(LiteralScalar(slot, nearby.dtype, clamp=nearby), nearby.dtype)
        return lowerer.builder.compare(op, lowerer.builder.convert(left.data, nearby.dtype), scalar)
    dtype = (left.range | right.range).dtype
    operands = [lowerer.builder.convert(value.data, dtype) for value in (left, right)]
    return lowerer.builder.compare(op, *operands)


def compare_limbs(lowerer: Lowerer, op: str, left: Value, right: Value) -> Ref:
    """Two integers of which one has two limbs: by the high ones, where those are equal by the low ones."""
    (left_high, left_low), (right_high, right_low) = limbs(lowerer, left), limbs(lowerer, right)
    same = lowerer.builder.compare("equal", left_high, right_high)
    low = lowerer.builder.definite(lowerer.builder.both(same, lowerer.builder.compare(op, left_low, right_low)))
    match op:
        case "equal":
            return low
        case "not_equal":
            return lowerer.builder.negation(compare_limbs(lowerer, "equal", left, right))
        case _:
            return lowerer.builder.either(lowerer.builder.compare(op.removesuffix("_equal"), left_high, right_high), low)


def limbs(lowerer: Lowerer, value: Value) -> tuple[Ref, Ref]:
    """High and low part, int64 each: see `Value.low`."""
    if value.low is not None:
        return value.data, value.low
    limb = lowerer.integer(1 << 32)
    data = lowerer.builder.convert(value.data, "int64")
    high = lowerer.builder.emit("floor_quotient", data, limb, dtype="int64")
    above = lowerer.builder.emit("multiply", high, limb, dtype="int64")
    return high, lowerer.builder.emit("subtract", data, above, dtype="int64")


def compare_floats(lowerer: Lowerer, op: str, left: Value, right: Value) -> Ref:
    """NaN equals NaN and is greater than every other number; denormal numbers are not zero."""
    if not (left.may_be_nan or right.may_be_nan):
        return lowerer.builder.compare(op, left.data, right.data)
    keys = [order_key(lowerer, value) for value in (left, right)]
    return lowerer.builder.compare(op, *keys)


def order_key(lowerer: Lowerer, value: Value, zeros_equal: bool = True) -> Ref:
    """A float as an integer of the same width whose order is SQL's: -inf < ... < -0 = 0 < ... < inf < NaN = NaN.

    Unless `zeros_equal`, -0 is less than 0: then `from_order_key` gives the very float back.
    """
    dtype: DType = "int32" if lowerer.builder.dtype(value.data) == "float32" else "int64"
    key = lowerer.builder.emit("order_key", value.data, dtype=dtype)
    if not zeros_equal:
        return key
    # -0 has the key -1, told by its bits: XLA:CPU takes denormal numbers for zero where it compares them as floats.
    negative_zero = lowerer.builder.compare("equal", key, lowerer.integer(-1, dtype))
    return lowerer.builder.select(negative_zero, lowerer.integer(0, dtype), key)


def compare_text(lowerer: Lowerer, op: str, left: Value, right: Value) -> Ref:
    """Codes of one dictionary compare as their strings do, as far as its level says; a literal is looked up on the host."""
    assert left.dictionary is not None and right.dictionary is not None
    if left.dictionary != right.dictionary:
        for value, other, direction in ((left, right, op), (right, left, MIRRORED[op])):
            source = other.dictionary
            if isinstance(source, LiteralDictionary) and len(source.literals) == 1:
                return compare_with_literal(lowerer, direction, value, source.literals[0])
    shared = union_of([left.dictionary, right.dictionary])
    values = [lowerer.recode(value, shared) for value in (left, right)]
    for value in values:
        lowerer.require(value, "unique" if op in ("equal", "not_equal") else "ordered")
    codes = [
        lowerer.builder.convert(value.data, "int64" if isinstance(shared, WrittenDictionary) else "int32") for value in values
    ]
    return lowerer.builder.compare(op, *codes)


def compare_with_literal(lowerer: Lowerer, op: str, value: Value, literal: int) -> Ref:
    """A string is less than a literal exactly when its code is less than the number of strings less than the literal."""
    assert value.dictionary is not None
    if isinstance(value.dictionary, WrittenDictionary):
        raise written_late(value.dictionary.type)
    code = lowerer.builder.convert(value.data, "int32")
    if op in ("equal", "not_equal"):
        if level_of(value.dictionary) == "plain":  # several codes may stand for the literal
            member = members(lowerer, value, (literal,))
            return member if op == "equal" else lowerer.builder.negation(member)
        return lowerer.builder.compare(op, code, lowerer.scalar(CodeOf(literal, value.dictionary), "int32"))
    lowerer.require(value, "ordered")
    inclusive = op in ("less_equal", "greater")
    position = lowerer.scalar(PositionOf(literal, value.dictionary, inclusive), "int32")
    return lowerer.builder.compare("less" if op in ("less", "less_equal") else "greater_equal", code, position)


def members(lowerer: Lowerer, value: Value, literals: tuple[int, ...]) -> Ref:
    """Which rows' strings are among the literals."""
    assert value.dictionary is not None
    return lowerer.look_up(
        MemberTable(value.dictionary, literals), lowerer.bindings.size_of(value.dictionary), value.data, "bool"
    )


def lower_is_distinct_from(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """Like <>, with NULL a value of its own; never NULL."""
    left, right = arguments
    differs = compare(lowerer, "not_equal", (call.arguments[0], left), (call.arguments[1], right))
    if left.valid is None and right.valid is None:
        return Value(BOOLEAN, differs)
    validities = [lowerer.builder.definite(value.valid) for value in (left, right)]
    both_valid = lowerer.builder.definite(lowerer.builder.both(*validities))
    one_null = lowerer.builder.compare("not_equal", *validities)
    distinct = lowerer.builder.either(lowerer.builder.definite(lowerer.builder.both(differs, both_valid)), one_null)
    return Value(BOOLEAN, distinct)


def lower_is_not_distinct_from(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    return lower_not(lowerer, call, [lower_is_distinct_from(lowerer, call, arguments)])
