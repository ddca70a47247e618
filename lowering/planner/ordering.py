"""Order as integers: every sort key becomes words whose order is SQL's, packed into as few int64 as their ranges allow."""

from __future__ import annotations

from dataclasses import replace

from qtensor.errors import UnsupportedError
from qtensor.expressions import SortKey
from qtensor.lowering.expressions.comparison import order_key
from qtensor.lowering.expressions.expressions import lower, place_of
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.physical import SortWord
from qtensor.lowering.ir.ranges import BIT, Range
from qtensor.lowering.ir.values import Value
from qtensor.types import Array, Boolean, Float

WORD_LIMIT = 1 << 62  # packed words stay below: the largest int64 marks dead rows


def sort_words(lowerer: Lowerer, key: SortKey) -> list[SortWord]:
    """The words of a key by which rows are ordered.

    Raises UnsupportedError: at the key, if it has no order, as texts that are made after a run.
    """
    try:
        value = lower(lowerer, key.expr)
        lowerer.require(value, "ordered")
    except UnsupportedError as error:
        raise error.shown_in("", place_of(key.expr)) from None
    return words_of(lowerer, value, key.descending, key.nulls_first)


def words_of(lowerer: Lowerer, value: Value, descending: bool = False, nulls_first: bool = False) -> list[SortWord]:
    """The words of one key, most significant first; NULLs are equal to each other and before or after all values.

    Of text the words are equal where strings are; their order is the strings' if the codes' is. ARRAYs are in the order of their
    first elements that differ.
    """
    lowerer.require(value, "unique")
    if isinstance(value.type, Array):
        elements = [Value(value.type.element, element, value.valid) for element in value.elements]
        return [word for element in elements for word in words_of(lowerer, element, descending, nulls_first)]
    data, bounds = value.data, value.range
    if value.low is not None:
        high = replace(value, low=None, range=value.range and Range(value.range.low >> 32, value.range.high >> 32))
        low = replace(value, data=value.low, low=None, range=Range(0, (1 << 32) - 1))
        return [word for limb in (high, low) for word in words_of(lowerer, limb, descending, nulls_first)]
    if isinstance(value.type, Boolean):
        data, bounds = lowerer.builder.convert(data, "int8"), BIT
    elif isinstance(value.type, Float):
        data = order_key(lowerer, value)
        half = 1 << (value.type.bits - 1)
        bounds = Range(-half, half - 1)
    assert bounds is not None
    wide = lowerer.builder.convert(data, "int64")
    if bounds.size >= WORD_LIMIT:
        return unbounded_words(lowerer, wide, value.valid, descending, nulls_first)
    ends = (lowerer.integer(bounds.high), wide) if descending else (wide, lowerer.integer(bounds.low))
    rank = lowerer.builder.emit("subtract", *ends, dtype="int64")
    if value.valid is None:
        return [SortWord(rank, bounds.size)]
    null = lowerer.integer(0 if nulls_first else bounds.size)
    if nulls_first:
        rank = lowerer.builder.emit("add", rank, lowerer.integer(1), dtype="int64")
    return [SortWord(lowerer.builder.select(value.valid, rank, null), bounds.size + 1)]


def unbounded_words(lowerer: Lowerer, data: Ref, valid: Ref | None, descending: bool, nulls_first: bool) -> list[SortWord]:
    if descending:
        data = lowerer.builder.emit("subtract", lowerer.integer(-1), data, dtype="int64")
    if valid is None:
        return [SortWord(data, None)]
    flag = valid if nulls_first else lowerer.builder.negation(valid)
    masked = lowerer.builder.select(valid, data, lowerer.integer(0))
    return [SortWord(lowerer.builder.convert(flag, "int64"), 2), SortWord(masked, None)]


def pack(lowerer: Lowerer, words: list[SortWord]) -> tuple[SortWord, ...]:
    """Neighbouring bounded words as one mixed-radix word, as long as it stays under the limit."""
    packed: list[SortWord] = []
    for word in words:
        last = packed[-1] if packed else None
        if last and last.radix is not None and word.radix is not None and last.radix * word.radix < WORD_LIMIT:
            scaled = lowerer.builder.emit("multiply", last.word, lowerer.integer(word.radix), dtype="int64")
            joined = lowerer.builder.emit("add", scaled, word.word, dtype="int64")
            packed[-1] = SortWord(joined, last.radix * word.radix)
        else:
            packed.append(word)
    return tuple(packed)
