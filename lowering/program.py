"""A physical plan as pure functions of arrays: the last stage before XLA.

`start`, `step`, `merge` and `finish` are the first sink's four functions with everything around them, and all else is made
of them. `whole` is the query as one module. On several cores it is cut in two: `partial` does all that is per row over one
share of the source, `final` merges the states and runs the remaining pipelines. An artifact also steps block by block.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, assert_never

import jax
import jax.numpy as jnp
from jax import lax

from qtensor.lowering.evaluate import Evaluation, RuntimeInputs
from qtensor.lowering.kernel import Ref
from qtensor.lowering.model import Model
from qtensor.lowering.physical import (
    CheckStep,
    CollectSink,
    DenseGroupSink,
    FilterStep,
    FirstRowsSink,
    PhysicalPlan,
    Pipeline,
    ResultSource,
    Sink,
    SortedGroupSink,
    SortSink,
    TopKSink,
)
from qtensor.lowering.sinks.base import Batch, Extent, Result, SinkProgram, State
from qtensor.lowering.sinks.collect import Collect
from qtensor.lowering.sinks.dense_group import DenseGroup
from qtensor.lowering.sinks.first_rows import FirstRows
from qtensor.lowering.sinks.sort import Sort
from qtensor.lowering.sinks.sorted_group import SortedGroup
from qtensor.lowering.sinks.top_k import TopK

Array: TypeAlias = jax.Array

ROW_MULTIPLE = 64  # every batch's length: sinks pack bits and lanes of 64 rows


class Share(NamedTuple):
    """One core's part of the source: columns [chunks, chunk] (data, then validity if nullable, of each), rows int32 scalar."""

    columns: tuple[Array, ...]
    rows: Array


class Shared(NamedTuple):
    """What all parts of a run are given: scalars int64[k], float64[m], look-up tables, and each model's weights."""

    scalars: Array
    float_scalars: Array
    tables: tuple[Array, ...]
    weights: tuple[tuple[Array, ...], ...]


class Progress(NamedTuple):
    """What a share leaves: the sink's state, and for each check whether it was hit, bool[checks]."""

    state: State
    flags: Array


class Outcome(NamedTuple):
    """The query's result: columns [capacity] of the last sink, which rows are live, and the checks' flags."""

    columns: tuple[Array, ...]
    live: Array
    flags: Array


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
        case _:
            assert_never(sink)


@dataclass(frozen=True)
class TensorProgram:
    """The functions of one plan; `models` in the plan's order."""

    plan: PhysicalPlan
    models: Sequence[Model]

    def whole(self, share: Share, shared: Shared) -> Outcome:
        """The query over a source that is one share."""
        return self.finish(self.partial(share, shared), shared)

    def partial(self, share: Share, shared: Shared) -> Progress:
        """The first pipeline over one share of its source."""
        return self.step(self.start(), share, shared)

    def final(self, shares: Sequence[Progress], shared: Shared) -> Outcome:
        """Merge what the shares left and run the other pipelines on the result."""
        return self.finish(functools.reduce(self.merge, shares), shared)

    def start(self) -> Progress:
        """What there is before the first row."""
        pipeline, source = self.plan.pipelines[0], self.plan.source
        extent = Extent([instruction.dtype for instruction in pipeline.kernel], source.chunks, source.chunk)
        return Progress(sink_program(pipeline.sink).init(extent), self.no_flags())

    def step(self, progress: Progress, share: Share, shared: Shared) -> Progress:
        """The first pipeline over more rows: a loop over the chunks of `share` that hold some."""
        pipeline, inputs = self.plan.pipelines[0], self.inputs(shared)
        source = self.plan.source
        sink = sink_program(pipeline.sink)

        def step(index: Array, progress: Progress) -> Progress:
            slots = [lax.dynamic_index_in_dim(column, index, keepdims=False) for column in share.columns]
            row = jnp.arange(source.chunk, dtype=jnp.int32)
            live = row < share.rows - index * source.chunk
            return advance(pipeline, sink, progress, slots, live, inputs, index)

        if source.chunks == 1:
            return step(jnp.int32(0), progress)
        used = (share.rows + (source.chunk - 1)) // source.chunk

        def wanted(loop: tuple[Array, Progress]) -> Array:
            index, progress = loop
            done = sink.done(progress.state)
            return index < used if done is None else (index < used) & ~done

        def advance_one(loop: tuple[Array, Progress]) -> tuple[Array, Progress]:
            return loop[0] + 1, step(*loop)

        _, progress = lax.while_loop(wanted, advance_one, (jnp.int32(0), progress))
        return progress

    def merge(self, left: Progress, right: Progress) -> Progress:
        """What two runs of rows left, those of `left` being the first."""
        sink = sink_program(self.plan.pipelines[0].sink)
        return Progress(sink.merge(left.state, right.state), left.flags | right.flags)

    def finish(self, progress: Progress, shared: Shared) -> Outcome:
        """Finish the first pipeline and run the others on its result."""
        inputs = self.inputs(shared)
        state, flags = progress
        results = [sink_program(self.plan.pipelines[0].sink).finish(state)]
        for pipeline in self.plan.pipelines[1:]:
            assert isinstance(pipeline.source, ResultSource), "only the first pipeline scans a table"
            source = padded(results[pipeline.source.pipeline])
            sink = sink_program(pipeline.sink)
            length = source.live.shape[0]
            extent = Extent([instruction.dtype for instruction in pipeline.kernel], 1, length)
            progress = Progress(sink.init(extent), flags)
            state, flags = advance(pipeline, sink, progress, source.columns, source.live, inputs, jnp.int32(0))
            results.append(sink.finish(state))
        return Outcome(results[-1].columns, results[-1].live, flags)

    def inputs(self, shared: Shared) -> RuntimeInputs:
        return RuntimeInputs(shared.scalars, shared.float_scalars, shared.tables, self.models, shared.weights)

    def no_flags(self) -> Array:
        return jnp.zeros(self.plan.checks, jnp.bool_)


def advance(
    pipeline: Pipeline,
    sink: SinkProgram,
    progress: Progress,
    slots: Sequence[Array],
    live: Array,
    inputs: RuntimeInputs,
    index: Array,
) -> Progress:
    """One batch through a pipeline's steps and into its sink."""
    length = live.shape[0]
    evaluation = Evaluation(pipeline.kernel, slots, inputs, length)
    flags = progress.flags
    for step in pipeline.steps:
        match step:
            case FilterStep(condition):
                live = live & evaluation.column(condition)
            case CheckStep(condition, check):
                hit = (live & evaluation.column(condition)).any()
                flags = flags.at[check].set(flags[check] | hit)
            case _:
                assert_never(step)
    column: Callable[[Ref], Array] = evaluation.column
    return Progress(sink.step(progress.state, Batch(column, live, index)), flags)


def padded(result: Result) -> Result:
    """A result as a batch: its length a multiple of 64, the rows added dead."""
    missing = -result.live.shape[0] % ROW_MULTIPLE
    if not missing:
        return result
    return Result(tuple(jnp.pad(column, (0, missing)) for column in result.columns), jnp.pad(result.live, (0, missing)))
