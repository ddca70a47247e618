"""x IN (...): few values compared one by one, many looked up in a table, so that a longer list is no larger program."""

from __future__ import annotations

from dataclasses import replace

from qtensor.expressions import Call, Expr, Literal
from qtensor.lowering.expressions.comparison import compare, compare_with_literal, members, order_key
from qtensor.lowering.expressions.logic import lower_or
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.ranges import INT64_MAX, INT64_MIN
from qtensor.lowering.ir.values import DOMAIN, LiteralDictionary, NumbersTable, NumberTable, Value
from qtensor.types import BOOLEAN, Boolean, Float

MANY = 32  # numbers from which a list is looked up: so many comparisons take as long as a search


def numbers_of(call: Call) -> tuple[Literal, ...]:
    """The numbers of a long list that fit 64 bits, dates and the like included; none of a short one."""
    literals = tuple(item for item in call.arguments[1:] if isinstance(item, Literal) and is_number(item.value))
    return literals if not isinstance(call.arguments[0].type, Boolean) and len(literals) >= MANY else ()


def is_number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and INT64_MIN <= value <= INT64_MAX)


def lower_in(lowerer: Lowerer, call: Call, arguments: list[Value]) -> Value:
    """The disjunction of equalities; text among literals is one look-up in a table of the dictionary's members."""
    value, *items = arguments
    expr, *item_exprs = call.arguments
    results: list[Value] = []
    slots: list[int] = []
    for item, item_expr in zip(items, item_exprs, strict=True):
        source = item.dictionary
        is_constant = isinstance(source, LiteralDictionary) and len(source.literals) == 1 and item.valid is None
        if is_constant and value.dictionary != source:
            assert isinstance(source, LiteralDictionary)
            slots.append(source.literals[0])
            continue
        data = compare(lowerer, "equal", (expr, value), (item_expr, item))
        results.append(Value(BOOLEAN, data, lowerer.builder.both(value.valid, item.valid)))
    if slots:
        if len(slots) == 1:
            found = compare_with_literal(lowerer, "equal", value, slots[0])
        else:
            found = members(lowerer, value, tuple(slots))
        results.append(Value(BOOLEAN, found, value.valid))
    return replace(lower_or(lowerer, call, results), type=BOOLEAN)


def lower_in_numbers(
    lowerer: Lowerer, call: Call, value: Value, numbers: tuple[Literal, ...], others: list[tuple[Expr, Value]]
) -> Value:
    """The same of many numbers and some other items: one look-up for the numbers."""
    slots = tuple(sorted({lowerer.bindings.literal(number) for number in numbers}))
    results = [Value(BOOLEAN, is_among(lowerer, value, slots), value.valid)]
    for other in others:
        data = compare(lowerer, "equal", (call.arguments[0], value), other)
        results.append(Value(BOOLEAN, data, lowerer.builder.both(value.valid, other[1].valid)))
    return replace(lower_or(lowerer, call, results), type=BOOLEAN)


def is_among(lowerer: Lowerer, value: Value, slots: tuple[int, ...]) -> Ref:
    """Whether a number is one of the literals: by its place in the range of the column, or by searching in the sorted list."""
    if isinstance(value.type, Float):
        key = lowerer.builder.convert(order_key(lowerer, value), "int64")
        return lowerer.search(NumbersTable(slots, value.type.bits), len(slots), key)
    assert value.range is not None
    data = lowerer.builder.convert(value.data, "int64")
    size = value.range.high - value.range.low + 1
    if size > DOMAIN:
        return lowerer.search(NumbersTable(slots, None), len(slots), data)
    place = lowerer.builder.emit("subtract", data, lowerer.integer(value.range.low), dtype="int64")
    return lowerer.look_up(NumberTable(slots, value.range.low, value.range.high), size, place, "bool")
