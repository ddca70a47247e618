"""Removes what pipelines leave and no later one reads: columns of results, and the instructions that only they need.

A join hands on all columns of both sides, its keys among them, of which what follows often reads a few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from qtensor.lowering.ir.kernel import READING_RESULTS, Instruction, Ref
from qtensor.lowering.ir.physical import (
    CollectSink,
    CompactSink,
    DenseGroupSink,
    DirectLookupSink,
    ExpandSource,
    FirstRowsSink,
    PhysicalPlan,
    Pipeline,
    ResultSource,
    Sink,
    SortedGroupSink,
    SortedLookupSink,
    SortSink,
    TableSource,
    TopKSink,
    UnionSource,
    WindowSink,
)
from qtensor.lowering.planner.prune import prune_pipeline

# Sinks whose result has columns of their rows, each by itself, and then perhaps columns of their own.
PassingSink: TypeAlias = (
    CollectSink
    | CompactSink
    | DirectLookupSink
    | FirstRowsSink
    | SortedGroupSink
    | SortedLookupSink
    | SortSink
    | TopKSink
    | WindowSink
)


def prune_results(plan: PhysicalPlan) -> PhysicalPlan:
    """The same plan without dead columns between its pipelines; the last one's are the query's."""
    reads = Reads(plan.pipelines)
    kept: dict[int, list[int]] = {}
    pruned: list[Pipeline] = []
    for number in reversed(range(len(plan.pipelines))):
        pipeline = plan.pipelines[number]
        if isinstance(pipeline.sink, PassingSink) and number < len(plan.pipelines) - 1:
            kept[number] = sorted(at for at in reads.of.get(number, set()) if at < len(columns_of(pipeline.sink)))
            pipeline = replace(pipeline, sink=with_passed(pipeline.sink, kept[number]))
        pipeline = prune_pipeline(pipeline)
        reads.collect(pipeline)
        pruned.append(pipeline)
    moves = Moves(plan.pipelines, kept)
    return replace(plan, pipelines=tuple(moves.moved(pipeline) for pipeline in reversed(pruned)))


def columns_of(sink: Sink) -> tuple[Ref, ...]:
    """The columns of rows that a sink hands on as they are."""
    match sink:
        case SortedGroupSink(carried=carried):
            return carried
        case DenseGroupSink():
            return ()
        case _:
            return sink.columns


def with_passed(sink: Sink, kept: Sequence[int], columns: Sequence[Ref] | None = None) -> Sink:
    """The sink handing on only the columns at the places `kept`, of its own or of `columns`."""
    passed = columns_of(sink) if columns is None else columns
    picked = tuple(passed[at] for at in kept)
    match sink:
        case SortedGroupSink():
            return replace(sink, carried=picked)
        case DenseGroupSink():
            return sink
        case _:
            return replace(sink, columns=picked)


def fetched_from(pipeline: Pipeline) -> list[int]:
    """The pipelines whose results one reads, as its source or by looking rows up."""
    found = {fetched(instruction)[0] for instruction in pipeline.kernel if instruction.op in READING_RESULTS}
    match pipeline.source:
        case TableSource():
            return [*found]
        case ResultSource(pipeline=number):
            return [*found, number]
        case ExpandSource(probe=probe, build=build):
            return [*found, probe, build]
        case UnionSource(pipelines=numbers):
            return [*found, *numbers]


@dataclass
class Reads:
    """Which columns of each pipeline's result others read, as far as they were collected."""

    pipelines: Sequence[Pipeline]
    of: dict[int, set[int]] = field(default_factory=dict)

    def collect(self, pipeline: Pipeline) -> None:
        source = pipeline.source
        if isinstance(source, ExpandSource):
            own = len(columns_of(self.pipelines[source.probe].sink))
            self.add(source.probe, own - 2, own - 1)
        if isinstance(source, UnionSource):  # whose parts must stay alike
            for number in source.pipelines:
                self.add(number, *range(len(columns_of(self.pipelines[number].sink))))
        for instruction in pipeline.kernel:
            if instruction.op in READING_RESULTS:
                number, column = fetched(instruction)
                if column is not None:
                    self.add(number, column)
            elif instruction.op == "load":
                self.add_load(pipeline, slot_of(instruction))

    def add_load(self, pipeline: Pipeline, slot: int) -> None:
        match pipeline.source:
            case ResultSource(pipeline=number):
                self.add(number, slot)
            case ExpandSource(probe=probe, build=build, width=width):
                own = len(columns_of(self.pipelines[probe].sink)) - 2
                if slot < own:
                    self.add(probe, slot)
                elif slot < own + width:
                    self.add(build, slot - own)
            case _:
                pass

    def add(self, number: int, *columns: int) -> None:
        self.of.setdefault(number, set()).update(columns)


@dataclass(frozen=True)
class Moves:
    """Where columns are, once others are gone. kept: of each pipeline that lost some, those of its sink that are left."""

    pipelines: Sequence[Pipeline]
    kept: dict[int, list[int]]

    def column(self, number: int, column: int) -> int:
        """The new position of a column of a result; a sink's own columns stand behind those that it passes."""
        kept = self.kept.get(number)
        if kept is None:
            return column
        passed = len(columns_of(self.pipelines[number].sink))
        return kept.index(column) if column < passed else column - passed + len(kept)

    def moved(self, pipeline: Pipeline) -> Pipeline:
        """A pipeline that reads columns where they are now."""
        source = pipeline.source
        if isinstance(source, ExpandSource) and source.build in self.kept:
            width = sum(column < source.width for column in self.kept[source.build])
            pipeline = replace(pipeline, source=replace(source, width=width))
        return replace(pipeline, kernel=tuple(self.instruction(source, one) for one in pipeline.kernel))

    def instruction(self, source: object, instruction: Instruction) -> Instruction:
        if instruction.op in READING_RESULTS:
            number, column = fetched(instruction)
            return instruction if column is None else replace(instruction, attribute=(number, self.column(number, column)))
        if instruction.op != "load":
            return instruction
        slot = slot_of(instruction)
        match source:
            case ResultSource(pipeline=number):
                return replace(instruction, attribute=self.column(number, slot))
            case ExpandSource():
                return replace(instruction, attribute=self.slot_of_pair(source, slot))
            case _:
                return instruction

    def slot_of_pair(self, source: ExpandSource, slot: int) -> int:
        own = len(columns_of(self.pipelines[source.probe].sink)) - 2
        own_now = len(self.kept.get(source.probe, range(own + 2))) - 2
        if slot < own:
            return self.column(source.probe, slot)
        if slot < own + source.width:
            return own_now + self.column(source.build, slot - own)
        width = sum(column < source.width for column in self.kept.get(source.build, range(source.width)))
        return slot - own - source.width + own_now + width


def fetched(instruction: Instruction) -> tuple[int, int | None]:
    """The pipeline and the column of its result that an instruction looks up."""
    attribute = instruction.attribute
    assert isinstance(attribute, tuple)
    number, column = attribute
    assert isinstance(number, int)
    assert column is None or isinstance(column, int)
    return number, column


def slot_of(instruction: Instruction) -> int:
    assert isinstance(instruction.attribute, int)
    return instruction.attribute
