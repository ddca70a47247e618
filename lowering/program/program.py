"""A physical plan as pure functions of arrays: the last stage before XLA.

Everything is made of the sinks' four functions: `start`, `step` over some rows, `merge` and the sink's `finish`. `whole` is the
query as one module. On several cores it is cut: `partial` does all that is per row over one share of a table, `final` merges the
states and runs the pipelines after it, up to the next table of several shares. An artifact also steps block by block.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, assert_never

import jax
import jax.numpy as jnp
from jax import lax

from qtensor.lowering.ir.kernel import READING_RESULTS, Ref
from qtensor.lowering.ir.physical import (
    STOP_SLOTS,
    CheckStep,
    CollectSink,
    CompactSink,
    DenseGroupSink,
    DirectLookupSink,
    ExpandSource,
    FilterStep,
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
from qtensor.lowering.models.model import Model
from qtensor.lowering.program.evaluate import Evaluation, Pieces, RuntimeInputs
from qtensor.lowering.program.predict import BLOCK
from qtensor.lowering.program.sinks.base import Batch, Extent, Result, SinkProgram, State, TextList
from qtensor.lowering.program.sinks.collect import Collect
from qtensor.lowering.program.sinks.compact import Compact
from qtensor.lowering.program.sinks.dense_group import DenseGroup
from qtensor.lowering.program.sinks.first_rows import FirstRows
from qtensor.lowering.program.sinks.lookup import DirectLookup, SortedLookup
from qtensor.lowering.program.sinks.prefix import positions, running_sum
from qtensor.lowering.program.sinks.sort import Sort
from qtensor.lowering.program.sinks.sorted_group import SortedGroup
from qtensor.lowering.program.sinks.top_k import TopK
from qtensor.lowering.program.sinks.window import Window
from qtensor.lowering.storage.layout import CHUNK, is_one_batch, slots_for

Array: TypeAlias = jax.Array


class Share(NamedTuple):
    """One core's part of a table: columns [chunks, chunk] (data, then validity if nullable, of each), rows int32 scalar.

    first: the number of its first row in the table, int64 scalar; None where nothing reads it.
    """

    columns: tuple[Array, ...]
    rows: Array
    first: Array | None = None


class Shared(NamedTuple):
    """What all parts of a run are given: scalars int64[k], float64[m], look-up tables, and each model's weights.

    stop: int32[STOP_SLOTS], which the host may set to 1 while the program runs, for its loops to end; None: they cannot be ended.
    XLA may take an argument for constant, so each turn of a loop looks at another of its places.
    """

    scalars: Array
    float_scalars: Array
    tables: tuple[Array, ...]
    weights: tuple[tuple[Array, ...], ...]
    stop: Array | None = None


class Progress(NamedTuple):
    """What a share leaves: the sink's state, and for each check whether it was hit, bool[checks]."""

    state: State
    flags: Array


class Carried(NamedTuple):
    """What earlier stages leave for later ones: results by pipeline, the checks' flags (none before the first stage), the lists
    for the host, and how much room each `CompactSink` needed, int64, by number.
    """

    results: dict[int, Result]
    flags: tuple[Array, ...]
    lists: dict[int, TextList]
    needed: dict[int, Array]


class Outcome(NamedTuple):
    """The query's result: columns [capacity] of the last sink, which rows are live, the checks' flags, the lists for the host
    by number, and how much room each `CompactSink` needed.
    """

    columns: tuple[Array, ...]
    live: Array
    flags: Array
    lists: tuple[TextList, ...]
    needed: tuple[Array, ...]


NOTHING = Carried({}, (), {}, {})


def sink_program(sink: Sink) -> SinkProgram:
    match sink:
        case DenseGroupSink():
            return DenseGroup(sink)
        case SortedGroupSink():
            return SortedGroup(sink)
        case SortSink():
            return Sort(sink)
        case FirstRowsSink():
            return FirstRows(sink)
        case TopKSink():
            return TopK(sink)
        case CollectSink():
            return Collect(sink)
        case CompactSink():
            return Compact(sink)
        case WindowSink():
            return Window(sink)
        case DirectLookupSink():
            return DirectLookup(sink)
        case SortedLookupSink():
            return SortedLookup(sink)
        case _:
            assert_never(sink)


@dataclass(frozen=True)
class Feed:
    """A source as batches: `slots(index)` and `live(index)` of chunk `index`, of `chunk` rows each.

    chunks: for how many a sink that keeps its rows has room. used: how many there are now; None: all. pieces: of chunk `index`
    without reading the whole of it; None: of what `slots` gives. in_front: whether live rows come first in each chunk. first: the
    number of the first row in its table, where something reads it.
    """

    slots: Callable[[Array], Sequence[Array]]
    live: Callable[[Array], Array]
    chunks: int
    chunk: int
    used: Array | None
    pieces: Callable[[Array], Pieces] | None = None
    in_front: bool = False
    first: Array | None = None


@dataclass(frozen=True)
class TensorProgram:
    """The functions of one plan; `models` in the plan's order."""

    plan: PhysicalPlan
    models: Sequence[Model]

    def whole(self, shares: Sequence[Share], shared: Shared) -> Outcome:
        """The query over tables of one share each, in the order of the plan's scans."""
        carried = self.proceed(range(len(self.plan.pipelines)), shares, NOTHING, shared)
        return self.outcome(carried)

    def partial(self, number: int, share: Share, carried: Carried, shared: Shared) -> Progress:
        """Pipeline `number` over one share of its table."""
        flags = carried.flags[0] if carried.flags else self.no_flags()
        feed = self.table_feed(number, share)
        return self.advance(number, Progress(self.start(number).state, flags), feed, carried.results, shared)

    def final(
        self, stage: range, parts: Sequence[Progress], shares: Sequence[Share], carried: Carried, shared: Shared
    ) -> Carried | Outcome:
        """Merge what the shares of the stage's first pipeline left, and run its other pipelines; of the last stage the outcome.

        shares: of the tables that the other pipelines read.
        """
        progress = functools.reduce(functools.partial(self.merge, number=stage.start), parts)
        carried = self.finished(stage.start, progress, carried)
        return self.left(stage, self.proceed(stage[1:], shares, carried, shared))

    def stage(self, stage: range, shares: Sequence[Share], carried: Carried, shared: Shared) -> Carried | Outcome:
        """A stage all of whose tables are of one share."""
        return self.left(stage, self.proceed(stage, shares, carried, shared))

    def left(self, stage: range, carried: Carried) -> Carried | Outcome:
        """What a stage leaves: the results that later ones read, or the outcome."""
        if stage.stop == len(self.plan.pipelines):
            return self.outcome(carried)
        wanted = read_later(self.plan, stage.stop)
        return carried._replace(results={number: carried.results[number] for number in carried.results if number in wanted})

    def outcome(self, carried: Carried) -> Outcome:
        last = carried.results[len(self.plan.pipelines) - 1]
        (flags,) = carried.flags
        lists = tuple(carried.lists[number] for number in sorted(carried.lists))
        return Outcome(last.columns, last.live, flags, lists, tuple(carried.needed[number] for number in sorted(carried.needed)))

    # --- the first pipeline step by step, in plans that read one table --------------------------------------------------------

    def start(self, number: int = 0) -> Progress:
        """What there is before the first row."""
        pipeline = self.plan.pipelines[number]
        source = self.plan.scan(number)
        extent = Extent([instruction.dtype for instruction in pipeline.kernel], source.chunks, source.chunk)
        return Progress(sink_program(pipeline.sink).init(extent), self.no_flags())

    def step(self, progress: Progress, share: Share, shared: Shared) -> Progress:
        """The first pipeline over more rows."""
        return self.advance(0, progress, self.table_feed(0, share), {}, shared)

    def merge(self, left: Progress, right: Progress, number: int = 0) -> Progress:
        """What two runs of rows left, those of `left` being the first."""
        sink = sink_program(self.plan.pipelines[number].sink)
        return Progress(sink.merge(left.state, right.state), left.flags | right.flags)

    def finish(self, progress: Progress, shared: Shared) -> Outcome:
        """Finish the first pipeline and run the others on its result."""
        carried = self.finished(0, progress, NOTHING)
        return self.outcome(self.proceed(range(1, len(self.plan.pipelines)), (), carried, shared))

    # --- pipelines ------------------------------------------------------------------------------------------------------------

    def proceed(self, numbers: range, shares: Sequence[Share], carried: Carried, shared: Shared) -> Carried:
        """Run some pipelines, one after the other."""
        tables = iter(shares)
        for number in numbers:
            pipeline = self.plan.pipelines[number]
            flags = carried.flags[0] if carried.flags else self.no_flags()
            if isinstance(pipeline.source, TableSource):
                feed = self.table_feed(number, next(tables))
            else:
                feed = result_feed(pipeline.source, carried.results)
            extent = Extent([instruction.dtype for instruction in pipeline.kernel], feed.chunks, feed.chunk)
            progress = Progress(sink_program(pipeline.sink).init(extent), flags)
            progress = self.advance(number, progress, feed, carried.results, shared)
            carried = self.finished(number, progress, carried)
        return carried

    def finished(self, number: int, progress: Progress, carried: Carried) -> Carried:
        """A pipeline's result beside the others."""
        sink = self.plan.pipelines[number].sink
        result = sink_program(sink).finish(progress.state)
        results = {**carried.results, number: Result(result.columns, result.live)}
        needed = {**carried.needed, sink.number: progress.state[-1]} if isinstance(sink, CompactSink) else carried.needed
        return Carried(results, (progress.flags,), {**carried.lists, **result.lists}, needed)

    def advance(self, number: int, progress: Progress, feed: Feed, results: Mapping[int, Result], shared: Shared) -> Progress:
        """A pipeline over more rows: a loop over the chunks that hold some."""
        pipeline = self.plan.pipelines[number]
        sink = sink_program(pipeline.sink)
        inputs = RuntimeInputs(shared.scalars, shared.float_scalars, shared.tables, self.models, shared.weights, results)

        def step(index: Array, progress: Progress) -> Progress:
            return batch_step(pipeline, sink, progress, feed, inputs, index)

        if feed.chunks == 1:
            return step(jnp.int32(0), progress)
        used = jnp.int32(feed.chunks) if feed.used is None else feed.used

        def wanted(loop: tuple[Array, Progress]) -> Array:
            index, progress = loop
            done = sink.done(progress.state)
            going_on = index < used if done is None else (index < used) & ~done
            return going_on if shared.stop is None else going_on & (shared.stop[index % STOP_SLOTS] == 0)

        def advance_one(loop: tuple[Array, Progress]) -> tuple[Array, Progress]:
            return loop[0] + 1, step(*loop)

        _, progress = lax.while_loop(wanted, advance_one, (jnp.int32(0), progress))
        return progress

    def table_feed(self, number: int, share: Share) -> Feed:
        source = self.plan.scan(number)
        row = jnp.arange(source.chunk, dtype=jnp.int32)

        def pieces(index: Array) -> Pieces:
            start = index * source.chunk
            columns = [column.reshape(-1) for column in share.columns]
            return Pieces(
                lambda first: [lax.dynamic_slice_in_dim(column, start + first, BLOCK) for column in columns],
                lambda numbers: [taken(column, start + numbers) for column in columns],
            )

        return Feed(
            lambda index: [lax.dynamic_index_in_dim(column, index, keepdims=False) for column in share.columns],
            lambda index: row < share.rows - index * source.chunk,
            source.chunks,
            source.chunk,
            (share.rows + (source.chunk - 1)) // source.chunk,
            pieces,
            in_front=True,
            first=share.first,
        )

    def no_flags(self) -> Array:
        return jnp.zeros(self.plan.checks, jnp.bool_)


def read_later(plan: PhysicalPlan, number: int) -> set[int]:
    """The pipelines before `number` whose results that one or later ones read."""
    return {read for pipeline in plan.pipelines[number:] for read in reads(pipeline) if read < number}


def reads(pipeline: Pipeline) -> set[int]:
    """The pipelines whose results a pipeline reads."""
    found = set()
    for instruction in pipeline.kernel:
        if instruction.op in READING_RESULTS:
            assert isinstance(instruction.attribute, tuple)
            found.add(instruction.attribute[0])
    match pipeline.source:
        case TableSource():
            return found
        case ResultSource(pipeline=number):
            return found | {number}
        case ExpandSource(probe=probe, build=build):
            return found | {probe, build}
        case UnionSource(pipelines=numbers):
            return found | set(numbers)
        case _:
            assert_never(pipeline.source)


def result_feed(source: ResultSource | ExpandSource | UnionSource, results: Mapping[int, Result]) -> Feed:
    """Rows that earlier pipelines left, as batches."""
    match source:
        case ResultSource(pipeline=number):
            return rows_feed(results[number], source.capacity)
        case UnionSource(pipelines=numbers):
            parts = [results[number] for number in numbers]
            columns = tuple(jnp.concatenate(column) for column in zip(*(part.columns for part in parts), strict=True))
            return rows_feed(Result(columns, jnp.concatenate([part.live for part in parts])), source.capacity)
        case ExpandSource():
            return pairs_feed(source, results[source.probe], results[source.build])
        case _:
            assert_never(source)


def rows_feed(result: Result, capacity: int) -> Feed:
    """A result as one batch, or in chunks where it is large: as many slots as the plan numbers, or fewer."""
    slots = slots_for(result.live.shape[0])
    assert slots <= capacity, f"a result takes {slots} slots, the plan has numbers for {capacity}"
    rows = padded(result, slots)
    if is_one_batch(slots):
        return Feed(lambda index: rows.columns, lambda index: rows.live, 1, slots, None)
    chunks = slots // CHUNK
    columns = [column.reshape(chunks, CHUNK) for column in rows.columns]
    live = rows.live.reshape(chunks, CHUNK)
    numbers = jnp.arange(1, chunks + 1, dtype=jnp.int32)
    used = jnp.where(live.any(1), numbers, 0).max()
    return Feed(
        lambda index: [lax.dynamic_index_in_dim(column, index, keepdims=False) for column in columns],
        lambda index: lax.dynamic_index_in_dim(live, index, keepdims=False),
        chunks,
        CHUNK,
        used,
    )


def pairs_feed(source: ExpandSource, probe: Result, build: Result) -> Feed:
    """The pairs of a join, chunk by chunk; how many there are is known at run time."""
    *columns, starts, counts = probe.columns
    matched = jnp.where(probe.live, counts.astype(jnp.int64), 0)
    wanted = jnp.where(probe.live, jnp.maximum(matched, 1), 0) if source.outer else matched
    ends = running_sum(wanted)
    first = starts.astype(jnp.int64) - (ends - wanted)  # an output row's number and this make its partner's number
    offset = jnp.arange(source.chunk, dtype=jnp.int64)

    def slots(index: Array) -> list[Array]:
        output = offset + index.astype(jnp.int64) * source.chunk
        row = jnp.minimum(positions(ends, output, after_equals=True), ends.shape[0] - 1)
        partner = jnp.minimum(first[row] + output, build.live.shape[0] - 1).astype(jnp.int32)
        paired = [column.at[partner].get(mode="clip") for column in build.columns[: source.width]]
        return [*(column[row] for column in columns), *paired, row.astype(jnp.int64), matched[row] > 0]

    def live(index: Array) -> Array:
        return offset + index.astype(jnp.int64) * source.chunk < ends[-1]

    return Feed(slots, live, 2, source.chunk, ((ends[-1] + (source.chunk - 1)) // source.chunk).astype(jnp.int32))


def batch_step(
    pipeline: Pipeline,
    sink: SinkProgram,
    progress: Progress,
    feed: Feed,
    inputs: RuntimeInputs,
    index: Array,
) -> Progress:
    """One batch through a pipeline's steps and into its sink."""
    slots, live = feed.slots(index), feed.live(index)
    length = live.shape[0]

    def rows() -> Array:
        return jnp.asarray(index, jnp.int64) * length + jnp.arange(length, dtype=jnp.int64)

    pieces = pieces_of(slots) if feed.pieces is None else feed.pieces(index)
    evaluation = Evaluation(pipeline.kernel, slots, inputs, length, rows, live, feed.first, not feed.in_front, pieces)
    flags = progress.flags
    for step in pipeline.steps:
        match step:
            case FilterStep(condition):
                live = live & evaluation.column(condition)
                evaluation.live, evaluation.filtered = live, True
            case CheckStep(condition, check):
                hit = (live & evaluation.column(condition)).any()
                flags = flags.at[check].set(flags[check] | hit)
            case _:
                assert_never(step)
    column: Callable[[Ref], Array] = evaluation.column
    return Progress(sink.step(progress.state, Batch(column, live, index)), flags)


def pieces_of(slots: Sequence[Array]) -> Pieces:
    """Parts of a batch that is there as a whole."""
    return Pieces(
        lambda first: [lax.dynamic_slice_in_dim(slot, first, BLOCK) for slot in slots],
        lambda numbers: [taken(slot, numbers) for slot in slots],
    )


def taken(column: Array, rows: Array) -> Array:
    """Rows that a column has, by their numbers.

    As one operation: an index of jnp is a dozen, which also count rows from the end, and a wide model has hundreds of columns.
    """
    dimensions = lax.GatherDimensionNumbers(offset_dims=(), collapsed_slice_dims=(0,), start_index_map=(0,))
    in_bounds = lax.GatherScatterMode.PROMISE_IN_BOUNDS
    return lax.gather(column, rows[:, None], dimensions, (1,), mode=in_bounds)


def padded(result: Result, slots: int) -> Result:
    """A result in `slots` slots, the rows added dead."""
    missing = slots - result.live.shape[0]
    if not missing:
        return result
    return Result(tuple(jnp.pad(column, (0, missing)) for column in result.columns), jnp.pad(result.live, (0, missing)))
