"""Physical plans as people read them."""

from __future__ import annotations

from typing import assert_never

from qtensor.lowering.ir.kernel import Instruction
from qtensor.lowering.ir.physical import (
    Accumulator,
    AnyAccumulator,
    Check,
    CheckStep,
    CollectSink,
    CompactSink,
    DenseGroupSink,
    DirectLookupSink,
    ExpandSource,
    FetchFunction,
    FilterStep,
    FirstRowsSink,
    FrameEnd,
    FrameFunction,
    ListAccumulator,
    ModeAccumulator,
    MomentsAccumulator,
    PickAccumulator,
    Pipeline,
    PipelineSource,
    PlaceFunction,
    PlannedQuery,
    QuantileAccumulator,
    ResultSource,
    Sink,
    SortedGroupSink,
    SortedLookupSink,
    SortSink,
    SortWord,
    Step,
    TableSource,
    TopKSink,
    UnionSource,
    WindowFrame,
    WindowFunction,
    WindowSink,
)
from qtensor.row_numbers import without_numbers


def physical_text(planned: PlannedQuery) -> str:
    """The pipelines with their instructions, and what the program takes at run time."""
    plan = planned.plan
    lines: list[str] = []
    for number, pipeline in enumerate(plan.pipelines):
        lines += pipeline_lines(number, pipeline, planned.checks)
    for title, items in (("scalars", (*plan.scalars, *plan.float_scalars)), ("tables", plan.tables), ("models", plan.models)):
        if items:
            lines.append(f"{title}:")
            lines += [f"  {number}: {item}" for number, item in enumerate(items)]
    return "\n".join(lines)


def pipeline_lines(number: int, pipeline: Pipeline, checks: tuple[Check, ...]) -> list[str]:
    lines = [f"pipeline {number}: {source_text(pipeline.source)}"]
    lines += [f"  %{ref} = {instruction_text(instruction)}" for ref, instruction in enumerate(pipeline.kernel)]
    lines += [f"  {step_text(step, checks)}" for step in pipeline.steps]
    return [*lines, f"  {sink_text(pipeline.sink)}"]


def source_text(source: PipelineSource) -> str:
    match source:
        case TableSource():
            columns = ", ".join(
                f"{column.name} {column.dtype}{'?' if column.nullable else ''}"
                + (f" [{column.range.low}, {column.range.high}]" if column.range else "")
                for column in source.columns
            )
            shape = f"{source.shares} x {source.chunks} x {source.chunk} rows"
            constant = "one row" if source.rows == 1 else f"{source.rows} rows"
            return without_numbers(f"scan {source.table} ({columns}), {shape}") if source.table else constant
        case ResultSource():
            return f"result of pipeline {source.pipeline}, {source.rows} rows"
        case ExpandSource(probe=probe, build=build, outer=outer):
            return f"rows of pipeline {probe} with their partners in pipeline {build}{' or none' if outer else ''}"
        case UnionSource(pipelines=pipelines, rows=rows):
            return f"results of pipelines {', '.join(map(str, pipelines))}, {rows} rows"
        case _:
            assert_never(source)


def instruction_text(instruction: Instruction) -> str:
    operands = [f"%{operand}" for operand in instruction.operands]
    if instruction.attribute is not None:
        operands.append(str(instruction.attribute))
    return f"{instruction.op}({', '.join(operands)}) {instruction.dtype}"


def step_text(step: Step, checks: tuple[Check, ...]) -> str:
    match step:
        case FilterStep(condition):
            return f"filter %{condition}"
        case CheckStep(condition, check):
            return f"check %{condition}: {checks[check].message}"
        case _:
            assert_never(step)


def accumulator_text(accumulator: AnyAccumulator) -> str:
    mask = "" if accumulator.mask is None else f" where %{accumulator.mask}"
    match accumulator:
        case Accumulator(op=op, value=value, dtype=dtype, limbs=limbs, distinct=distinct, order=order):
            mask = (f" by {words_text(order)}" if order else "") + mask
            of = f"distinct {words_text(distinct)}" if distinct else "" if value is None else f"%{value}"
            return f"{op}({of}){mask} {dtype}{' in two limbs' if limbs == 2 else ''}"
        case MomentsAccumulator(values=values, distinct=distinct):
            return f"moments({'distinct ' if distinct else ''}{refs_text(values)}){mask}"
        case PickAccumulator(order=order, columns=columns, last=last):
            by = f" by {words_text(order)}" if order else ""
            return f"{'last' if last else 'first'}({refs_text(columns)}{by}){mask}"
        case QuantileAccumulator(order=order, column=column, fraction=fraction, distinct=distinct):
            return f"quantile {fraction}({'distinct ' if distinct else ''}%{column} by {words_text(order)}){mask}"
        case ModeAccumulator(order=order, column=column):
            return f"mode(%{column} by {words_text(order)}){mask}"
        case ListAccumulator(number=number, order=order, column=column, distinct=distinct):
            by = f" by {words_text(order)}" if order else ""
            return f"list {number}({'distinct ' if distinct else ''}%{column}{by}){mask}"
        case _:
            assert_never(accumulator)


def words_text(words: tuple[SortWord, ...]) -> str:
    return ", ".join(f"%{word.word}" for word in words)


def sink_text(sink: Sink) -> str:
    match sink:
        case DenseGroupSink(keys=keys, accumulators=accumulators):
            reduced = ", ".join(accumulator_text(accumulator) for accumulator in accumulators)
            if not keys:
                return f"reduce {reduced}"
            by = ", ".join(f"%{key.code} in {key.radix} slots" for key in keys)
            return f"group dense by {by}: {reduced}"
        case SortedGroupSink(order=order, accumulators=accumulators):
            by = ", ".join(f"%{word.word}" for word in order)
            return f"group sorted by {by}: {', '.join(accumulator_text(accumulator) for accumulator in accumulators)}"
        case SortSink(order=order, columns=columns, capacity=capacity):
            by = ", ".join(f"%{word.word}" for word in order)
            kept = "" if capacity is None else f", first {capacity}"
            return f"{f'sort by {by}' if order else 'live rows to the front'}: {refs_text(columns)}{kept}"
        case TopKSink(order=order, columns=columns, count=count):
            return f"top {count} by {', '.join(f'%{word.word}' for word in order)}: {refs_text(columns)}"
        case FirstRowsSink(columns=columns, count=count):
            return f"first {count}: {refs_text(columns)}"
        case CollectSink(columns=columns):
            return f"collect {refs_text(columns)}"
        case CompactSink(columns=columns, capacity=capacity):
            return f"compact: {refs_text(columns)}, room for {capacity}"
        case WindowSink(partition=partition, order=order, columns=columns, functions=functions):
            by = f" by {words_text(partition)}" if partition else ""
            ordered = f" ordered by {words_text(order)}" if order else ""
            calls = ", ".join(function_text(function) for function in functions)
            return f"window{by}{ordered}: {calls}; {refs_text(columns)}"
        case DirectLookupSink(keys=keys, columns=columns, duplicates=duplicates):
            by = ", ".join(f"%{key.code} in {key.radix} slots" for key in keys) or "nothing"
            return f"look up by {by}{', several each' if duplicates else ''}: {refs_text(columns)}"
        case SortedLookupSink(word=word, columns=columns):
            return f"look up sorted by %{word}: {refs_text(columns)}"
        case _:
            assert_never(sink)


def function_text(function: WindowFunction) -> str:
    match function:
        case PlaceFunction(kind=kind):
            return kind
        case FetchFunction(kind=kind, columns=columns, count=count, present=present, frame=frame):
            distance = "" if count is None else f" %{count}"
            where = "" if present is None else f" where %{present}"
            return f"{kind}{distance}({refs_text(columns)}){where}{'' if frame is None else frame_text(frame)}"
        case FrameFunction(accumulator=accumulator, frame=frame):
            return f"{accumulator_text(accumulator)}{frame_text(frame)}"
        case _:
            assert_never(function)


def frame_text(frame: WindowFrame) -> str:
    key = "" if frame.key is None else f" of %{frame.key}"
    return f" over {frame.unit}{key} {frame_end_text(frame.start)} to {frame_end_text(frame.end)}"


def frame_end_text(end: FrameEnd) -> str:
    if end.kind == "current":
        return "current"
    return f"{'unbounded' if end.offset is None else f'%{end.offset}'} {end.kind}"


def refs_text(columns: tuple[int, ...]) -> str:
    return ", ".join(f"%{ref}" for ref in columns)
