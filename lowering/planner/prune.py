"""Removes what no pipeline uses from a physical plan: dead instructions, and the run-time inputs that only they read.

Lowering computes every operand before it is known whether a cheaper form makes it useless (a literal compared by a
clamped scalar). Dead code would make plans differ that are the same, and be recompiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias, TypeVar, assert_never

from qtensor.lowering.ir.kernel import Instruction, Kernel, Ref
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
    PhysicalPlan,
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

# Which run-time inputs an instruction's attribute numbers.
INPUTS = {"scalar": "scalar", "float_scalar": "float_scalar", "table": "table", "among": "table", "model": "model"}

Item = TypeVar("Item")
Renumber: TypeAlias = Callable[[Ref], Ref]


def prune(plan: PhysicalPlan) -> tuple[PhysicalPlan, list[int]]:
    """The same plan without dead instructions and unused inputs, and the numbers of the checks that are left."""
    pipelines = [prune_pipeline(pipeline) for pipeline in plan.pipelines]
    used = {
        kind: sorted({input_slot(i) for pipeline in pipelines for i in pipeline.kernel if INPUTS.get(i.op) == kind})
        for kind in ("scalar", "float_scalar", "table", "model")
    }
    checks = sorted({step.check for pipeline in pipelines for step in pipeline.steps if isinstance(step, CheckStep)})
    pruned = PhysicalPlan(
        tuple(renumber_inputs(pipeline, used, checks) for pipeline in pipelines),
        pick(plan.scalars, used["scalar"]),
        pick(plan.float_scalars, used["float_scalar"]),
        pick(plan.tables, used["table"]),
        pick(plan.models, used["model"]),
        len(checks),
    )
    return pruned, checks


def pick(items: tuple[Item, ...], indices: Iterable[int]) -> tuple[Item, ...]:
    return tuple(items[index] for index in indices)


def input_slot(instruction: Instruction) -> int:
    """The run-time input that a scalar, table or model instruction reads."""
    attribute = instruction.attribute
    slot = attribute[0] if isinstance(attribute, tuple) else attribute
    assert isinstance(slot, int)
    return slot


def refs_outside(pipeline: Pipeline) -> set[Ref]:
    """What the steps and the sink of a pipeline read of its kernel."""
    found: set[Ref] = set()

    def note(ref: Ref) -> Ref:
        found.add(ref)
        return ref

    for step in pipeline.steps:
        map_step(step, note)
    map_sink(pipeline.sink, note)
    return found


def prune_pipeline(pipeline: Pipeline) -> Pipeline:
    alive: set[Ref] = set()
    waiting = list(refs_outside(pipeline))
    while waiting:
        ref = waiting.pop()
        if ref not in alive:
            alive.add(ref)
            waiting += pipeline.kernel[ref].operands
    position = {ref: index for index, ref in enumerate(sorted(alive))}
    kernel: Kernel = tuple(
        replace(instruction, operands=tuple(position[operand] for operand in instruction.operands))
        for instruction in (pipeline.kernel[ref] for ref in sorted(alive))
    )
    renumber = position.__getitem__
    steps = tuple(map_step(step, renumber) for step in pipeline.steps)
    return replace(pipeline, kernel=kernel, steps=steps, sink=map_sink(pipeline.sink, renumber))


def renumber_inputs(pipeline: Pipeline, used: dict[str, list[int]], checks: list[int]) -> Pipeline:
    def renumbered(instruction: Instruction) -> Instruction:
        kind = INPUTS.get(instruction.op)
        if kind is None:
            return instruction
        slot = used[kind].index(input_slot(instruction))
        attribute = (slot, *instruction.attribute[1:]) if isinstance(instruction.attribute, tuple) else slot
        return replace(instruction, attribute=attribute)

    steps = tuple(
        replace(step, check=checks.index(step.check)) if isinstance(step, CheckStep) else step for step in pipeline.steps
    )
    return replace(pipeline, kernel=tuple(renumbered(instruction) for instruction in pipeline.kernel), steps=steps)


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
