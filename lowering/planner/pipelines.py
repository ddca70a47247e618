"""The pipelines of a plan while they are built: streams begin, are closed by sinks, and are read again. What plans each kind of
operator stands on this, and `Planner`, which knows them all, above them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from qtensor.expressions import Expr
from qtensor.logical import CommonScan, Join, Plan, Scan, inputs
from qtensor.lowering.expressions.lowerer import Bindings, Lowerer
from qtensor.lowering.ir.kernel import KernelBuilder
from qtensor.lowering.ir.physical import (
    MANY_ROWS,
    CollectSink,
    CompactSink,
    ExpandSource,
    Pipeline,
    PipelineSource,
    ResultSource,
    Sink,
    TableSource,
)
from qtensor.lowering.models.model import WIDE
from qtensor.lowering.planner.stream import Stored, Stream, slots
from qtensor.optimise.facts.estimates import Estimator
from qtensor.optimise.facts.expressions import work_of
from qtensor.optimise.facts.uniqueness import UniqueKeys

THIN_ROWS = 1 << 17  # fewer rows are not worth bringing together
WORTH_BRINGING_TOGETHER = 128  # multiply-adds of a model's call: 3 ns
THIN_SHARE = 3  # nor are more than one in three


class TableStatistics(Protocol):
    """What planning needs to know of a table: its layout and what holds of its columns."""

    def source(self, table: str, columns: Sequence[int]) -> TableSource: ...

    def unique(self, table: str, columns: Sequence[int]) -> bool:
        """Whether no two rows are equal in all of `columns`, rows with a NULL left aside."""
        ...


@dataclass(frozen=True)
class KeptRows:
    """Rows that were kept as the result of a pipeline, to be read any number of times."""

    pipeline: int
    capacity: int
    stored: Stored
    ordered: bool


@dataclass
class Pipelines(ABC):
    """Builds pipelines bottom-up; `finished` are the ones whose sink is known.

    `usual_rows`: how many rows the table usually has, if not as many as fit its source. `capacities`: the room of each
    `CompactSink`, as far as former runs have shown it. `estimator`: how many rows plans have, about; None where that must decide
    nothing, since the program is to serve other tables. `definitions`: what `CommonScan`s read; `common`: the results of those
    that were read. `shared`: other plans that occur more than once, and their results.
    """

    statistics: TableStatistics
    bindings: Bindings
    usual_rows: int | None = None
    capacities: Sequence[int] = ()
    estimator: Estimator | None = None
    finished: list[Pipeline] = field(default_factory=list)
    definitions: Mapping[int, Plan] = field(default_factory=dict)
    shared: dict[Plan, KeptRows | None] = field(default_factory=dict)
    common: dict[int, KeptRows] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.unique = UniqueKeys(self.statistics.unique, self.definitions)
        self.keys = UniqueKeys(self.is_key, self.definitions)  # unique, and never NULL

    @abstractmethod
    def stream(self, plan: Plan) -> Stream:
        """The rows of a plan; one that occurs more than once is computed once."""

    def begin(self, source: PipelineSource) -> Stream:
        """A stream of a source's rows, without columns yet."""
        return Stream(source, Lowerer(KernelBuilder(), (), self.bindings))

    def close(self, stream: Stream, sink: Sink) -> int:
        """Close the pipeline with `sink`; its number."""
        stream.flush()
        self.finished.append(Pipeline(stream.source, stream.lowerer.builder.finish(), tuple(stream.steps), sink))
        return len(self.finished) - 1

    def finish(self, stream: Stream, sink: Sink, rows: int) -> Stream:
        """Close the pipeline with `sink`; the stream of its result of `rows` rows, without columns yet."""
        return self.begin(ResultSource(self.close(stream, sink), rows))

    def kept(self, stream: Stream) -> KeptRows:
        """The rows of a stream as a result that may be read several times."""
        if not stream.bounded:
            return self.compacted(stream, rounded_capacity(self.expected_rows(stream.source)))
        stored = Stored.of(stream.lowerer, stream.lowerer.columns)
        capacity = stream.source.capacity
        return KeptRows(self.close(stream, CollectSink(stored.columns)), capacity, stored, stream.ordered)

    def compacted(self, stream: Stream, room: int) -> KeptRows:
        """The live rows of a stream without gaps, in room for as many as are expected, or as former runs have shown."""
        stored = Stored.of(stream.lowerer, stream.lowerer.columns)
        number = sum(isinstance(pipeline.sink, CompactSink) for pipeline in self.finished)
        capacity = self.capacities[number] if number < len(self.capacities) else room
        return KeptRows(self.close(stream, CompactSink(stored.columns, capacity, number)), capacity, stored, True)

    def thinned(self, plan: Plan, stream: Stream) -> Stream:
        """The rows of `plan`, brought together where few of many are expected to be live and the next step costs by the row."""
        if self.estimator is None or not self.is_thin(plan, stream):
            return stream
        return self.read(self.compacted(stream, roomy(self.estimator.rows(plan), slack_of(plan))))

    def is_key(self, table: str, columns: Sequence[int]) -> bool:
        """Whether no two rows of a table are equal in `columns`, none of which is ever NULL."""
        read = self.statistics.source(table, columns).columns
        return not any(column.nullable for column in read) and self.statistics.unique(table, columns)

    def is_thin(self, plan: Plan, stream: Stream) -> bool:
        """Whether few of many rows are expected to be live."""
        capacity = stream.source.capacity
        if self.estimator is None or not THIN_ROWS < capacity < MANY_ROWS:
            return False
        return roomy(self.estimator.rows(plan), 2) * THIN_SHARE <= capacity

    def expected_rows(self, source: PipelineSource) -> int:
        """A guess at the number of pairs: usually one side of a join holds the other's key."""
        assert isinstance(source, ExpandSource)
        return max(self.rows_of(source.probe), self.rows_of(source.build))

    def rows_of(self, pipeline: int) -> int:
        """How many rows a finished pipeline reads at most, as far as that is known."""
        source = self.finished[pipeline].source
        return max(1 << 16, source.capacity if source.capacity < MANY_ROWS else 0)

    def read(self, kept: KeptRows) -> Stream:
        """A stream of kept rows."""
        stream = self.begin(ResultSource(kept.pipeline, kept.capacity))
        stream.lowerer.columns = tuple(kept.stored.load(slots(stream.lowerer)))
        stream.ordered = kept.ordered
        return stream

    def bounded(self, stream: Stream) -> Stream:
        """A stream of which it is known how many rows there are at most."""
        return stream if stream.bounded else self.read(self.kept(stream))

    def twice(self, stream: Stream) -> tuple[Stream, Stream]:
        """Two streams of the same rows."""
        kept = self.kept(stream)
        return self.read(kept), self.read(kept)


def is_for_few(expr: Expr) -> bool:
    """Whether an expression calls a model that costs more than to bring together the few live rows of many. A wide one does not
    ask for that: it is called for live rows alone, see `lowering/program/predict.py`.
    """
    return WORTH_BRINGING_TOGETHER <= work_of(expr) < WIDE


def rounded_capacity(rows: int) -> int:
    """The room for `rows` rows: a power of two, so that similar data share a program.

    >>> rounded_capacity(1000), rounded_capacity(0)
    (1024, 64)
    """
    return 1 << max(6, (max(rows, 1) - 1).bit_length())


def slack_of(plan: Plan) -> int:
    """How many times the expected rows of a plan there may well be. Where a semi join takes its keys from rows of the same table,
    those that occur often are more likely among them.
    """
    return 4 if isinstance(plan, Join) and plan.kind == "semi" and tables_of(plan.left) & tables_of(plan.right) else 2


def tables_of(plan: Plan) -> set[str | int]:
    """The tables, and the definitions of a `With`, that a plan reads itself."""
    match plan:
        case Scan(table=table):
            return {table}
        case CommonScan(number=number):
            return {number}
        case _:
            return set().union(*map(tables_of, inputs(plan)))


def roomy(rows: float, slack: int) -> int:
    """The room for about so many rows: in powers of two, so that other literals seldom need another program.

    >>> roomy(100, 2), roomy(10_000, 2), roomy(40_000, 2)
    (4096, 32768, 131072)
    """
    wanted = slack * rows
    room = 1 << 12
    while room < wanted:
        room <<= 1
    return room
