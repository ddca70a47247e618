"""What every sink is made of: a batch, a result, and the protocol of the four functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from qtensor.lowering.ir.kernel import DType, Ref

Array: TypeAlias = jax.Array
State: TypeAlias = tuple[Array, ...]


@dataclass(frozen=True)
class Batch:
    """The rows of one chunk: `column(ref)` is [length] by the kernel; `live` bool[length] says which rows count."""

    column: Callable[[Ref], Array]
    live: Array
    index: Array  # which chunk of the share this is

    def mask(self, condition: Ref | None) -> Array:
        """The live rows for which `condition` holds."""
        return self.live if condition is None else self.live & self.column(condition)


def apart(array: Array) -> Array:
    """The array, which XLA computes before whatever reads it, and never anew within that."""
    kept: Array = lax.optimization_barrier(array)  # type: ignore[no-untyped-call]
    return kept


class TextList(NamedTuple):
    """Texts to be joined by the host, for several groups: those of a group are among the rows from `start` up to `end`.

    codes, ranks: int32[n], of a row its text's code and its place in the order, -1 if it does not count; of rows of a group with
    the same rank one counts. start, end: int32[groups].
    """

    codes: Array
    ranks: Array
    start: Array
    end: Array


class Result(NamedTuple):
    """A sink's outcome: columns [capacity], and which rows are live. In a collection of chunks, [chunks, chunk] each.

    lists: what is not one value for a row, by the list's number (see `ListAccumulator`).
    """

    columns: tuple[Array, ...]
    live: Array
    lists: dict[int, TextList] = {}  # noqa: RUF012  # never changed


@dataclass(frozen=True)
class Extent:
    """What `init` must know: the machine types of the kernel's instructions and the shape of a share."""

    dtypes: Sequence[DType]
    chunks: int
    chunk: int


class SinkProgram(Protocol):
    """The four functions of a sink."""

    def init(self, extent: Extent) -> State: ...
    def step(self, state: State, batch: Batch) -> State: ...
    def merge(self, left: State, right: State) -> State: ...
    def done(self, state: State) -> Array | None:
        """Whether further rows cannot change the state; None where they always may."""
        ...

    def finish(self, state: State) -> Result: ...


def buffers(dtypes: Sequence[DType], extent: Extent) -> State:
    """Empty columns [chunks, chunk] for a sink that keeps its rows, with `live` as the last."""
    shape = (extent.chunks, extent.chunk)
    return (*(jnp.zeros(shape, dtype) for dtype in dtypes), jnp.zeros(shape, jnp.bool_))


def store(state: State, values: Sequence[Array], batch: Batch) -> State:
    """Write a batch's rows as chunk `batch.index`."""
    rows = (*values, batch.live)
    return tuple(
        jax.lax.dynamic_update_index_in_dim(buffer, row, batch.index, 0) for buffer, row in zip(state, rows, strict=True)
    )


def append(left: State, right: State) -> State:
    """The chunks of two shares, one after the other."""
    return tuple(jnp.concatenate(pair) for pair in zip(left, right, strict=True))


def flat(state: State) -> State:
    return tuple(buffer.reshape(-1) for buffer in state)


class AllRows(ABC):
    """The state of a sink that keeps all rows as they come: of each of `refs` a column, and which rows are live."""

    @property
    @abstractmethod
    def refs(self) -> tuple[Ref, ...]:
        """What is kept of a row."""

    def init(self, extent: Extent) -> State:
        return buffers([extent.dtypes[ref] for ref in self.refs], extent)

    def step(self, state: State, batch: Batch) -> State:
        return store(state, [batch.column(ref) for ref in self.refs], batch)

    def merge(self, left: State, right: State) -> State:
        return append(left, right)

    def done(self, state: State) -> Array | None:
        return None
