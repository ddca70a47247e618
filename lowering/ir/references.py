"""Where pipelines refer to their kernels: the references of steps and sinks, to be collected or renumbered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias, assert_never

from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.physical import (
    Accumulator,
    AnyAccumulator,
    CheckStep,
    CollectSink,
    CompactSink,
    DenseGroupSink,
    DirectLookupSink,
    FetchFunction,
    FilterStep,
    FirstRowsSink,
    FrameEnd,
    FrameFunction,
    GroupKey,
    ListAccumulator,
    ModeAccumulator,
    MomentsAccumulator,
    PickAccumulator,
    Pipeline,
    PlaceFunction,
    QuantileAccumulator,
    Sink,
    SortedGroupSink,
    SortedLookupSink,
    SortSink,
    SortWord,
    Step,
    TopKSink,
    WindowFrame,
    WindowFunction,
    WindowSink,
)

Renumber: TypeAlias = Callable[[Ref], Ref]


def refs_of_sink(sink: Sink) -> tuple[Ref, ...]:
    """What a sink reads of its kernel, each once."""
    found: dict[Ref, None] = {}

    def note(ref: Ref) -> Ref:
        found[ref] = None
        return ref

    map_sink(sink, note)
    return tuple(found)


def refs_outside(pipeline: Pipeline) -> set[Ref]:
    """What the steps and the sink of a pipeline read of its kernel."""
    return {*(step.condition for step in pipeline.steps), *refs_of_sink(pipeline.sink)}


def map_step(step: Step, renumber: Renumber) -> Step:
    match step:
        case FilterStep() | CheckStep():
            return replace(step, condition=renumber(step.condition))
        case _:
            assert_never(step)


def map_words(words: tuple[SortWord, ...], renumber: Renumber) -> tuple[SortWord, ...]:
    return tuple(replace(word, word=renumber(word.word)) for word in words)


def map_optional(ref: Ref | None, renumber: Renumber) -> Ref | None:
    return None if ref is None else renumber(ref)


def map_keys(keys: tuple[GroupKey, ...], renumber: Renumber) -> tuple[GroupKey, ...]:
    return tuple(replace(key, code=renumber(key.code), valid=map_optional(key.valid, renumber)) for key in keys)


def map_accumulator(accumulator: AnyAccumulator, renumber: Renumber) -> AnyAccumulator:
    mask = map_optional(accumulator.mask, renumber)
    match accumulator:
        case Accumulator(value=value, distinct=distinct, order=order):
            value, distinct, order = map_optional(value, renumber), map_words(distinct, renumber), map_words(order, renumber)
            return replace(accumulator, value=value, mask=mask, distinct=distinct, order=order)
        case MomentsAccumulator(values=values, distinct=distinct):
            moved = tuple(renumber(value) for value in values)
            return replace(accumulator, values=moved, mask=mask, distinct=map_words(distinct, renumber))
        case PickAccumulator(order=order, columns=columns):
            moved = tuple(renumber(column) for column in columns)
            return replace(accumulator, order=map_words(order, renumber), columns=moved, mask=mask)
        case ModeAccumulator(order=order, column=column, sequence=sequence):
            words = map_words(order, renumber)
            return ModeAccumulator(words, renumber(column), mask, map_words(sequence, renumber))
        case QuantileAccumulator(order=order, column=column) | ListAccumulator(order=order, column=column):
            return replace(accumulator, order=map_words(order, renumber), column=renumber(column), mask=mask)
        case _:
            assert_never(accumulator)


def map_frame(frame: WindowFrame, renumber: Renumber) -> WindowFrame:
    def moved(end: FrameEnd) -> FrameEnd:
        return replace(end, offset=map_optional(end.offset, renumber))

    key, valid = map_optional(frame.key, renumber), map_optional(frame.valid, renumber)
    return replace(frame, start=moved(frame.start), end=moved(frame.end), key=key, valid=valid)


def map_function(function: WindowFunction, renumber: Renumber) -> WindowFunction:
    match function:
        case PlaceFunction():
            return function
        case FetchFunction(columns=columns, count=count, present=present, frame=frame):
            return replace(
                function,
                columns=tuple(renumber(ref) for ref in columns),
                count=map_optional(count, renumber),
                present=map_optional(present, renumber),
                frame=None if frame is None else map_frame(frame, renumber),
            )
        case FrameFunction(accumulator=accumulator, frame=frame):
            return FrameFunction(map_accumulator(accumulator, renumber), map_frame(frame, renumber))
        case _:
            assert_never(function)


def map_sink(sink: Sink, renumber: Renumber) -> Sink:
    """The sink with every kernel reference passed through `renumber`."""
    match sink:
        case DenseGroupSink(keys=keys, accumulators=accumulators):
            return replace(
                sink,
                keys=map_keys(keys, renumber),
                accumulators=tuple(map_accumulator(accumulator, renumber) for accumulator in accumulators),
            )
        case SortedGroupSink(order=order, carried=carried, accumulators=accumulators):
            return replace(
                sink,
                order=map_words(order, renumber),
                carried=tuple(renumber(ref) for ref in carried),
                accumulators=tuple(map_accumulator(accumulator, renumber) for accumulator in accumulators),
            )
        case SortSink(order=order, columns=columns):
            return replace(sink, order=map_words(order, renumber), columns=tuple(renumber(ref) for ref in columns))
        case TopKSink(order=order, columns=columns):
            return replace(sink, order=map_words(order, renumber), columns=tuple(renumber(ref) for ref in columns))
        case CollectSink(columns=columns) | FirstRowsSink(columns=columns) | CompactSink(columns=columns):
            return replace(sink, columns=tuple(renumber(ref) for ref in columns))
        case WindowSink(partition=partition, order=order, columns=columns, functions=functions):
            return WindowSink(
                map_words(partition, renumber),
                map_words(order, renumber),
                tuple(renumber(ref) for ref in columns),
                tuple(map_function(function, renumber) for function in functions),
            )
        case DirectLookupSink(keys=keys, columns=columns):
            return replace(sink, keys=map_keys(keys, renumber), columns=tuple(renumber(ref) for ref in columns))
        case SortedLookupSink(word=word, columns=columns):
            return replace(sink, word=renumber(word), columns=tuple(renumber(ref) for ref in columns))
        case _:
            assert_never(sink)
