"""Physical plans: a query as a list of pipelines in machine terms. Plain data: the key of every cache and the body of
an artifact.

    Pipeline(source, kernel, steps, sink)

The pipelines run in order; each reads its source batch by batch, computes the kernel's instructions, lets the steps
clear `live` or raise flags, and feeds the sink. A sink's result is the source of a later pipeline, or rows that later
kernels look up: a join is a sink that can be looked up, and `fetch` instructions. The last sink's columns are the query's
result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal as Literals
from typing import TypeAlias

from qtensor.errors import Span
from qtensor.expressions import Literal
from qtensor.lowering.ir.kernel import DType, Kernel, Ref
from qtensor.lowering.ir.ranges import Range
from qtensor.lowering.ir.values import Dictionary, HostScalar, HostTable
from qtensor.lowering.storage.layout import CHUNK, slots_for
from qtensor.lowering.storage.levels import Level
from qtensor.types import SqlType

MANY_ROWS = 1 << 34  # the most that a program which goes on block by block is right for
STOP_SLOTS = 64  # numbers by which the host ends a program's loops


@dataclass(frozen=True)
class SourceColumn:
    """A column of a table as assumed: its machine type, whether it has NULLs or NaNs, the range of its values.

    `level`: of text, what the program takes its codes to tell. `span`: of a table that is read block by block, by how much
    the greatest value of a block is greater than its least one at most, where each block has few of all the values.
    """

    index: int
    name: str = field(compare=False, repr=False)  # for people: a program does not depend on it
    dtype: DType
    nullable: bool
    range: Range | None
    may_be_nan: bool
    level: Level = "ordered"
    span: int | None = None


@dataclass(frozen=True)
class TableSource:
    """A table's rows in `shares` (one a core) of `chunks` chunks of `chunk` rows.

    Kernel slots: each column's data, followed by its validity if it is nullable. Without a table: `rows` rows without columns.
    """

    table: str
    columns: tuple[SourceColumn, ...]
    shares: int
    chunks: int
    chunk: int
    rows: int = 1

    @property
    def capacity(self) -> int:
        return self.shares * self.chunks * self.chunk

    @property
    def loads(self) -> list[tuple[SourceColumn, bool]]:
        """By kernel slot the column, and whether the slot is its validity."""
        return [(column, part) for column in self.columns for part in (False, True)[: 1 + column.nullable]]


@dataclass(frozen=True)
class ResultSource:
    """The result of an earlier pipeline: `rows` rows, some of them live; kernel slots: its columns."""

    pipeline: int
    rows: int

    @property
    def capacity(self) -> int:
        return slots_for(self.rows)


@dataclass(frozen=True)
class ExpandSource:
    """Each live row of result `probe` paired with its partners in result `build`, whose rows are in the order of their keys.

    The last two columns of `probe` say where a row's partners start and how many there are. With `outer`, a row without a
    partner comes once, unmatched. Kernel slots: the other columns of `probe`; `width` columns of `build`; the number of the row
    in `probe`, int64; whether there is a partner, bool. Nobody knows before how many rows there will be.
    """

    probe: int
    build: int
    width: int
    outer: bool
    chunk: int

    @property
    def capacity(self) -> int:
        return MANY_ROWS


@dataclass(frozen=True)
class UnionSource:
    """The results of several pipelines, `rows` rows one after the other; their columns are of the same machine types."""

    pipelines: tuple[int, ...]
    rows: int

    @property
    def capacity(self) -> int:
        return slots_for(self.rows)


PipelineSource: TypeAlias = TableSource | ResultSource | ExpandSource | UnionSource


@dataclass(frozen=True)
class FilterStep:
    """Keep the rows for which `condition` holds."""

    condition: Ref


@dataclass(frozen=True)
class CheckStep:
    """Raise flag number `check` if `condition` holds for a live row."""

    condition: Ref
    check: int


Step: TypeAlias = FilterStep | CheckStep


@dataclass(frozen=True)
class GroupKey:
    """A group key of few values: `code` in [low, low + size), and one more group for NULL where `valid` is given."""

    code: Ref
    low: int
    size: int
    valid: Ref | None

    @property
    def radix(self) -> int:
        return self.size + (self.valid is not None)


@dataclass(frozen=True)
class SortWord:
    """An integer by which rows are compared. `radix`: it lies in [0, radix); None when it may be any int64."""

    word: Ref
    radix: int | None


@dataclass(frozen=True)
class Accumulator:
    """Reduces `value` over the rows of a group where `mask` holds (None: all): sum, count, min, max, product, bit_and,
    bit_or or bit_xor. With `distinct`, rows whose words are equal are one row; with `order`, floats are added or multiplied one
    after the other, as the words say and then as rows come.

    A count has no value. `range` bounds the values; None for floats. With `limbs` 2, an integer sum is two columns of the
    result, high and low (see `Value.low`). The result of min and max for no rows is the far end of `range`.
    """

    op: str
    value: Ref | None
    mask: Ref | None
    dtype: DType
    range: Range | None = None
    limbs: int = 1
    distinct: tuple[SortWord, ...] = ()
    order: tuple[SortWord, ...] = ()

    @property
    def width(self) -> int:
        return self.limbs

    @property
    def is_exact(self) -> bool:
        """Whether it is a count or a sum of integers. Then the order of rows does not matter, and rows can be taken out again by
        subtraction: what a frame adds up to is one prefix sum less another. Sums of floats round, so neither holds of them.
        """
        return self.op == "count" or (self.op == "sum" and self.range is not None)


@dataclass(frozen=True)
class MomentsAccumulator:
    """How float64 `values`, one or two, are spread in a group: result columns are the number of rows (int64), then for each
    value its mean and the sum of its squared distances from there, then of two values the sum of the products of theirs.
    """

    values: tuple[Ref, ...]
    mask: Ref | None
    distinct: tuple[SortWord, ...] = ()

    @property
    def width(self) -> int:
        return 3 if len(self.values) == 1 else 6


@dataclass(frozen=True)
class PickAccumulator:
    """The values of `columns` in the row of a group that comes first by `order` and then as rows come, or that comes `last`.

    Result columns: `columns`, then whether there is a row at all.
    """

    order: tuple[SortWord, ...]
    columns: tuple[Ref, ...]
    mask: Ref | None
    last: bool

    @property
    def width(self) -> int:
        return len(self.columns) + 1


@dataclass(frozen=True)
class QuantileAccumulator:
    """The values at a fraction of a group's rows ordered by `order`, at least -1 and at most 1, a negative one from the end.

    `ratio` is the fraction as written, where a decimal. Result columns: how many rows (int64); of a `continuous` quantile the
    two values that enclose the place and how far it is from the first to the second (float64); else the one value there.
    """

    order: tuple[SortWord, ...]
    column: Ref
    mask: Ref | None
    continuous: bool
    fraction: float
    ratio: tuple[int, int] | None
    distinct: bool = False

    @property
    def width(self) -> int:
        return 4 if self.continuous else 2


@dataclass(frozen=True)
class ModeAccumulator:
    """The most frequent of the values of `column`, equal where the words of `order` are; of several the one that comes first by
    `sequence` and then as rows come, over frames that slide any of them.

    Result columns: the value, and how many rows (int64).
    """

    order: tuple[SortWord, ...]
    column: Ref
    mask: Ref | None
    sequence: tuple[SortWord, ...] = ()

    @property
    def width(self) -> int:
        return 2


@dataclass(frozen=True)
class ListAccumulator:
    """All values of `column` (codes of text) in the order of the words, else the input's; with `distinct` equal ones once.

    Result columns: the group's number (int32), and how many values there are (int64). The values themselves are the
    program's list `number`, a `TextList`. Over frames, each row is the group of the rows of its frame.
    """

    number: int
    order: tuple[SortWord, ...]
    column: Ref
    mask: Ref | None
    distinct: bool

    @property
    def width(self) -> int:
        return 2


AnyAccumulator: TypeAlias = (
    Accumulator | MomentsAccumulator | PickAccumulator | QuantileAccumulator | ModeAccumulator | ListAccumulator
)


def lists_of(accumulators: Iterable[AnyAccumulator]) -> tuple[int, ...]:
    """The numbers of the program's lists that `accumulators` make."""
    return tuple(accumulator.number for accumulator in accumulators if isinstance(accumulator, ListAccumulator))


@dataclass(frozen=True)
class DenseGroupSink:
    """Group by a mixed-radix code of the keys: state is one slot for each possible key. No keys: one group, always live.

    Result columns: the accumulators; the keys are known from the row's index. `presence` is the accumulator that
    counts all rows of a group: the group exists where it is not zero.
    """

    keys: tuple[GroupKey, ...]
    accumulators: tuple[AnyAccumulator, ...]
    presence: int | None

    @property
    def domain(self) -> int:
        return math.prod(key.radix for key in self.keys)


@dataclass(frozen=True)
class SortedGroupSink:
    """Group by sorting all rows by `order`, equal words being equal keys. Without `order`: one group, always live.

    Result columns: `carried` (equal within a group: the keys), then the accumulators.
    """

    order: tuple[SortWord, ...]
    carried: tuple[Ref, ...]
    accumulators: tuple[AnyAccumulator, ...]

    @property
    def lists(self) -> tuple[int, ...]:
        """The numbers of the program's lists that this sink makes."""
        return lists_of(self.accumulators)


@dataclass(frozen=True)
class SortSink:
    """All rows ordered by `order`, live rows first, cut to `capacity` rows if given. Without `order`: just moved to the front."""

    order: tuple[SortWord, ...]
    columns: tuple[Ref, ...]
    capacity: int | None


@dataclass(frozen=True)
class FirstRowsSink:
    """The first `count` rows as they come."""

    columns: tuple[Ref, ...]
    count: int


@dataclass(frozen=True)
class TopKSink:
    """The `count` least rows by `order`, in that order; the state is the best rows so far."""

    order: tuple[SortWord, ...]
    columns: tuple[Ref, ...]
    count: int


@dataclass(frozen=True)
class CollectSink:
    """All rows as they come, dead ones among them."""

    columns: tuple[Ref, ...]


@dataclass(frozen=True)
class CompactSink:
    """The live rows without gaps, for at most `capacity` rows; if there are more, the query is planned anew with more room.

    `number`: which of the plan's estimates of capacity this is.
    """

    columns: tuple[Ref, ...]
    capacity: int
    number: int


@dataclass(frozen=True)
class DirectLookupSink:
    """Rows to be found by a mixed-radix code of their keys, as in `DenseGroupSink`; without keys all have code 0.

    Without `duplicates`, no two rows have equal keys
    (or it does not matter which is found): result columns are `columns` at the row's code, [domain]. With them the rows lie
    in the order of their codes, and there is one more column: int32[domain + 1], where the rows of each code start.
    """

    keys: tuple[GroupKey, ...]
    columns: tuple[Ref, ...]
    duplicates: bool

    @property
    def domain(self) -> int:
        return math.prod(key.radix for key in self.keys)


@dataclass(frozen=True)
class SortedLookupSink:
    """Rows to be found by binary search for their `word`, int64 (see `SortWord`).

    Result columns: `columns`, then the words, in ascending order; past the last row the greatest int64.
    """

    word: Ref
    radix: int | None
    columns: tuple[Ref, ...]


@dataclass(frozen=True)
class FrameEnd:
    """An end of a frame; "preceding" and "following" without `offset` are the partition's ends.

    `offset`: int64, how many rows away, not negative; in a range the key there.
    """

    kind: Literals["preceding", "following", "current"]
    offset: Ref | None = None


@dataclass(frozen=True)
class WindowFrame:
    """Which rows of its partition a row sees: see `qtensor.expressions.Frame`.

    key: by what the rows of a partition are searched, int64 in ascending order, where `valid`; other rows come before or after.
    """

    unit: Literals["rows", "range"]
    start: FrameEnd
    end: FrameEnd
    key: Ref | None = None
    valid: Ref | None = None
    nulls_first: bool = False

    @property
    def starts_unbounded(self) -> bool:
        """Whether it begins with the partition."""
        return self.start == FrameEnd("preceding")

    @property
    def ends_unbounded(self) -> bool:
        """Whether it ends with the partition."""
        return self.end == FrameEnd("following")

    @property
    def slides(self) -> bool:
        """Whether it may lose rows and win others from one row to the next."""
        return not (self.starts_unbounded or self.ends_unbounded)


@dataclass(frozen=True)
class PlaceFunction:
    """Where a row stands in its partition, counted from 1, int64: itself (row_number), the first of its peers (rank), its group
    of peers (dense_rank), the last of its peers (last_peer); or how many `rows` the partition has.
    """

    kind: Literals["row_number", "rank", "dense_rank", "last_peer", "rows"]

    @property
    def width(self) -> int:
        return 1


@dataclass(frozen=True)
class FetchFunction:
    """`columns` of another row: `count` rows before (lag) or after (lead); the first, last or `count`th of the frame.

    count: int64; None: 1. present: only rows where this holds are counted. Result columns: `columns`, then whether there is
    such a row.
    """

    kind: Literals["lag", "lead", "first", "last", "nth"]
    columns: tuple[Ref, ...]
    count: Ref | None = None
    present: Ref | None = None
    frame: WindowFrame | None = None

    @property
    def width(self) -> int:
        return len(self.columns) + 1


@dataclass(frozen=True)
class FrameFunction:
    """An accumulator over the rows of the frame."""

    accumulator: AnyAccumulator
    frame: WindowFrame

    @property
    def width(self) -> int:
        return self.accumulator.width


WindowFunction: TypeAlias = PlaceFunction | FetchFunction | FrameFunction


@dataclass(frozen=True)
class WindowSink:
    """All rows as they come, with what functions make of them in the order of `order`, whose words begin with those of
    `partition`, packed more densely.

    Result columns: `columns`, then those of each function.
    """

    partition: tuple[SortWord, ...]
    order: tuple[SortWord, ...]
    columns: tuple[Ref, ...]
    functions: tuple[WindowFunction, ...]

    @property
    def lists(self) -> tuple[int, ...]:
        """The numbers of the program's lists that this sink makes."""
        return lists_of(function.accumulator for function in self.functions if isinstance(function, FrameFunction))


LookupSink: TypeAlias = DirectLookupSink | SortedLookupSink
Sink: TypeAlias = (
    DenseGroupSink | SortedGroupSink | SortSink | FirstRowsSink | TopKSink | CollectSink | CompactSink | WindowSink | LookupSink
)


@dataclass(frozen=True)
class Pipeline:
    source: PipelineSource
    kernel: Kernel
    steps: tuple[Step, ...]
    sink: Sink

    @property
    def numbered(self) -> bool:
        """Whether it reads the numbers that rows have in their table."""
        return any(instruction.op == "number" for instruction in self.kernel)


@dataclass(frozen=True)
class Check:
    """What a raised flag means to the user."""

    message: str
    span: Span | None = None


@dataclass(frozen=True)
class SourceSlot:
    """A part of a table's column that a row-wise query passes on as it is: its data, or its validity."""

    column: int
    validity: bool


@dataclass(frozen=True)
class LateSlot:
    """A part of a table's column, of the rows whose numbers in the table are column `rows` of the result."""

    table: str
    column: int
    validity: bool
    rows: int


Slot: TypeAlias = int | SourceSlot | LateSlot


@dataclass(frozen=True)
class OutputColumn:
    """A column of the result: slots of the last sink's columns, of the source itself, or of a table's rows by their numbers."""

    name: str
    type: SqlType
    data: Slot
    valid: Slot | None
    low: Slot | None
    elements: tuple[Slot, ...]
    dictionary: Dictionary | None


@dataclass(frozen=True)
class SizedTable:
    """A run-time table padded to `size` entries."""

    table: HostTable
    size: int
    dtype: DType


@dataclass(frozen=True)
class ModelUse:
    """A model by its name and the digest of its graph; its weights are arguments."""

    name: str
    digest: str


@dataclass(frozen=True)
class PhysicalPlan:
    """Everything that decides the program. `scalars` and `float_scalars` are bound as one vector of int64 and one of
    float64; `checks` counts the flags.
    """

    pipelines: tuple[Pipeline, ...]
    scalars: tuple[HostScalar, ...]
    float_scalars: tuple[HostScalar, ...]
    tables: tuple[SizedTable, ...]
    models: tuple[ModelUse, ...]
    checks: int

    @property
    def scans(self) -> tuple[int, ...]:
        """The pipelines that read tables."""
        return tuple(number for number, pipeline in enumerate(self.pipelines) if isinstance(pipeline.source, TableSource))

    @property
    def source(self) -> TableSource:
        """The source of the only pipeline that reads a table, or of the first."""
        return self.scan(self.scans[0])

    def scan(self, number: int) -> TableSource:
        """The source of a pipeline that reads a table."""
        source = self.pipelines[number].source
        assert isinstance(source, TableSource)
        return source

    @property
    def is_short(self) -> bool:
        """Whether it goes over few rows, by whatever it does."""
        expands = any(isinstance(pipeline.source, ExpandSource) for pipeline in self.pipelines)
        return not expands and all(self.scan(number).capacity <= CHUNK for number in self.scans)

    @property
    def row_wise(self) -> bool:
        """Whether the query's rows are those of a table, so that each share's result stands for itself."""
        last = self.pipelines[-1]
        return isinstance(last.source, TableSource) and isinstance(last.sink, CollectSink)

    @property
    def stages(self) -> tuple[range, ...]:
        """The pipelines, cut before each that reads a table in several shares: what comes before one must be there for all."""
        starts = [number for number in self.scans if number and self.scan(number).shares > 1]
        return tuple(range(*ends) for ends in pairwise([0, *starts, len(self.pipelines)]))

    @property
    def lists(self) -> tuple[int, ...]:
        """The numbers of the lists that runs leave, in ascending order (see `ListAccumulator`)."""
        sinks = (pipeline.sink for pipeline in self.pipelines)
        return tuple(sorted(number for sink in sinks if isinstance(sink, SortedGroupSink | WindowSink) for number in sink.lists))

    @property
    def compact_pipelines(self) -> tuple[int, ...]:
        """The pipelines that end in a `CompactSink`, by its number, which is their order."""
        return tuple(number for number, pipeline in enumerate(self.pipelines) if isinstance(pipeline.sink, CompactSink))

    @property
    def capacities(self) -> tuple[int, ...]:
        """The room of each `CompactSink`, by its number."""
        return tuple(pipeline.sink.capacity for pipeline in self.pipelines if isinstance(pipeline.sink, CompactSink))


@dataclass(frozen=True)
class PlannedQuery:
    """A plan, and what a run of its program needs beside it that may change without compiling anew.

    `literals` are bound to the plan's scalars; `output` names and decodes the last sink's columns; `checks` says what
    each flag means.
    """

    plan: PhysicalPlan
    literals: tuple[Literal, ...]
    output: tuple[OutputColumn, ...]
    checks: tuple[Check, ...]
