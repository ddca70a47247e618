"""Columns of a table that a query only passes on, taken from the table after the run by the numbers of the rows that are left.

A column costs code in every sink that it passes: `SELECT * FROM t ORDER BY a` over 100 columns was 3 s of compiling, and each
run brought every value into an order that the host can bring it into as fast. One column of row numbers goes through instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qtensor.lowering.ir.kernel import DType, Instruction, Ref
from qtensor.lowering.ir.physical import (
    CollectSink,
    LateSlot,
    OutputColumn,
    PhysicalPlan,
    Pipeline,
    ResultSource,
    Slot,
    SourceSlot,
    TableSource,
)
from qtensor.lowering.ir.references import refs_outside
from qtensor.lowering.planner.prune_results import columns_of, fetched_from, with_passed

NUMBER: DType = "int32"
FEWEST = 8  # columns of the machine that one of row numbers is better than: most queries are left as they are


@dataclass(frozen=True)
class Passage:
    """How a column of the query's result comes from a table: slot `source` of the scan, at `places[number]` in the columns that
    the sink of pipeline `number` passes.
    """

    source: int
    places: Mapping[int, int]


def late_columns(plan: PhysicalPlan, output: Sequence[OutputColumn]) -> tuple[PhysicalPlan, tuple[OutputColumn, ...]]:
    """The plan without the columns that it only passes on from the table whose rows the result's are, if there are many, and
    where the result's columns are then found.

    Sound where every sink on the way passes whole rows, so that each live row of the result is one of the table.
    """
    chain = chain_of(plan)
    last = plan.pipelines[-1].sink
    assert isinstance(last, CollectSink)
    passages = {place: passage_of(plan, chain, place) for place in range(len(last.columns))} if len(chain) > 1 else {}
    late = {place: passage for place, passage in passages.items() if passage is not None}
    if len(late) < FEWEST:
        return plan, tuple(output)
    table = plan.scan(chain[-1])
    slots = [SourceSlot(column.index, part) for column in table.columns for part in (False, True)[: 1 + column.nullable]]
    carrier, *others = late
    numbered = with_numbers(plan, chain, late[carrier])
    kept = [place for place in range(len(last.columns)) if place not in others]
    pipelines = list(numbered.pipelines)
    pipelines[-1] = replace(pipelines[-1], sink=CollectSink(tuple(last.columns[place] for place in kept)))

    def moved(slot: Slot) -> Slot:
        assert isinstance(slot, int), "the last of several pipelines reads no table"
        if slot not in late:
            return kept.index(slot)
        of_table = slots[late[slot].source]
        return LateSlot(table.table, of_table.column, of_table.validity, kept.index(carrier))

    return replace(numbered, pipelines=tuple(pipelines)), tuple(
        replace(
            column,
            data=moved(column.data),
            valid=None if column.valid is None else moved(column.valid),
            low=None if column.low is None else moved(column.low),
            elements=tuple(map(moved, column.elements)),
        )
        for column in output
    )


def chain_of(plan: PhysicalPlan) -> list[int]:
    """The pipelines from the last down to a scan, each the source of the one before and read by nothing else; empty if there is
    no such chain.
    """
    chain = [len(plan.pipelines) - 1]
    read = [number for pipeline in plan.pipelines for number in fetched_from(pipeline)]
    while isinstance(source := plan.pipelines[chain[-1]].source, ResultSource):
        if read.count(source.pipeline) > 1:
            return []
        chain.append(source.pipeline)
    return chain if isinstance(source, TableSource) and source.table else []


def passage_of(plan: PhysicalPlan, chain: Sequence[int], place: int) -> Passage | None:
    """How column `place` of the last sink comes from the scan; None if it is computed or also read on the way."""
    places: dict[int, int] = {}
    for number in chain:
        pipeline = plan.pipelines[number]
        passed = columns_of(pipeline.sink)
        if place >= len(passed):
            return None
        places[number] = place
        instruction = pipeline.kernel[passed[place]]
        if instruction.op != "load":
            return None
        if number != chain[-1] and not is_only_passed(pipeline, place):
            return None
        assert isinstance(instruction.attribute, int)
        place = instruction.attribute
    return Passage(place, places)


def is_only_passed(pipeline: Pipeline, place: int) -> bool:
    """Whether nothing but its own place in the sink reads column `place` that a pipeline passes."""
    passed = columns_of(pipeline.sink)
    others = with_passed(pipeline.sink, [at for at in range(len(passed)) if at != place])
    elsewhere = refs_outside(replace(pipeline, sink=others))
    return passed[place] not in elsewhere and not any(passed[place] in instruction.operands for instruction in pipeline.kernel)


def with_numbers(plan: PhysicalPlan, chain: Sequence[int], passage: Passage) -> PhysicalPlan:
    """The plan with the rows' numbers in the place of one column."""
    pipelines = list(plan.pipelines)
    for number in chain:
        pipeline = pipelines[number]
        place = passage.places[number]
        if number == chain[-1]:
            kernel = (*pipeline.kernel, Instruction("number", (), NUMBER))
            passed = [*columns_of(pipeline.sink)]
            passed[place] = len(pipeline.kernel)
            pipelines[number] = replace(pipeline, kernel=kernel, sink=with_passed(pipeline.sink, range(len(passed)), passed))
        else:
            pipelines[number] = replace(pipeline, kernel=retyped(pipeline.kernel, columns_of(pipeline.sink)[place]))
    return replace(plan, pipelines=tuple(pipelines))


def retyped(kernel: Sequence[Instruction], ref: Ref) -> tuple[Instruction, ...]:
    """The kernel with one load reading numbers of rows."""
    return tuple(replace(one, dtype=NUMBER) if number == ref else one for number, one in enumerate(kernel))
