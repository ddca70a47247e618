"""UNION ALL: the rows of several streams in one common representation, one stream after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qtensor.errors import UnsupportedError
from qtensor.lowering.expressions.comparison import limbs
from qtensor.lowering.expressions.lowerer import Lowerer, called_late, union_of
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.physical import CollectSink, UnionSource
from qtensor.lowering.ir.ranges import BIT, Range
from qtensor.lowering.ir.values import CalledDictionary, Dictionary, Value, WrittenDictionary
from qtensor.lowering.planner.pipelines import Pipelines
from qtensor.lowering.planner.stream import Stored, Stream, slots
from qtensor.types import Array, Unsupported, Varchar


def plan_union(pipelines: Pipelines, streams: Sequence[Stream]) -> Stream:
    """All rows of the streams, whose columns have the same SQL types."""
    settled = [pipelines.bounded(stream) for stream in streams]
    for position in range(len(settled[0].lowerer.columns)):
        align([stream.lowerer for stream in settled], position)
    stored = [Stored.of(stream.lowerer, distinct_parts(stream.lowerer)) for stream in settled]
    numbers = tuple(
        pipelines.close(stream, CollectSink(columns.columns)) for stream, columns in zip(settled, stored, strict=True)
    )
    result = pipelines.begin(UnionSource(numbers, sum(stream.source.capacity for stream in settled)))
    result.lowerer.columns = tuple(stored[0].load(slots(result.lowerer)))
    return result


def align(lowerers: Sequence[Lowerer], position: int) -> None:
    """Bring column `position` of all streams to the same machine types: ranges, dictionaries, limbs and validities joined."""
    values = [lowerer.columns[position] for lowerer in lowerers]
    nullable = any(value.valid is not None for value in values)
    wide = any(value.low is not None for value in values)
    elements = max(len(value.elements) for value in values)
    if any(len(value.elements) != elements for value in values):
        raise UnsupportedError(f"a UNION of {values[0].type} with NULL is not supported")
    dictionary = common_dictionary(values)
    if isinstance(dictionary, CalledDictionary):
        raise called_late()
    bounds = None
    if all(value.range is not None for value in values):
        ranges = [value.range or BIT for value in values]
        bounds = Range(min(part.low for part in ranges), max(part.high for part in ranges))
    if dictionary is not None and not isinstance(dictionary, WrittenDictionary):
        bounds = Range(0, max(1, lowerers[0].bindings.size_of(dictionary)) - 1)
    nan = any(value.may_be_nan for value in values)
    for lowerer, value in zip(lowerers, values, strict=True):
        common = value
        if dictionary is not None:
            common = lowerer.recode(value, dictionary)
        if wide:
            high, low = limbs(lowerer, value)
            common = replace(value, data=high, low=low, range=bounds)
        elif bounds is not None:
            common = replace(common, data=lowerer.builder.convert(common.data, bounds.dtype), range=bounds)
        valid = lowerer.builder.definite(value.valid) if nullable else None
        changed = replace(common, valid=valid, may_be_nan=nan)
        lowerer.columns = (*lowerer.columns[:position], changed, *lowerer.columns[position + 1 :])


def common_dictionary(values: Sequence[Value]) -> Dictionary | None:
    """The dictionary of all strings of a column, None if it is no text."""
    if not isinstance(values[0].type, Varchar | Unsupported):
        return None
    return union_of([value.dictionary for value in values if value.dictionary is not None])


def distinct_parts(lowerer: Lowerer) -> Sequence[Value]:
    """The columns, none of whose parts is another's: the streams' results must have the same shape."""
    builder = lowerer.builder
    seen: set[int] = set()

    def own(part: Ref | None) -> Ref | None:
        if part is None:
            return None
        ref, copies = part, 0
        while ref in seen:
            copies += 1
            ref = builder.emit("copy", part, dtype=builder.dtype(part), attribute=copies)
        seen.add(ref)
        return ref

    values = []
    for value in lowerer.columns:
        elements = tuple(ref for element in value.elements if (ref := own(element)) is not None)
        data = elements[0] if isinstance(value.type, Array) else own(value.data)
        assert data is not None
        values.append(replace(value, data=data, valid=own(value.valid), low=own(value.low), elements=elements))
    return values
