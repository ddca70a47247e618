"""Values that go from turn to turn of a loop, or come from either of two branches: of one kind, whatever they were made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from qtensor.lowering.models.tensorflow.values import (
    COMPUTES_WITH_LABELS,
    NOT_ROW_WISE,
    Batched,
    Labels,
    Numbers,
    Refusal,
    RowNumbers,
    Shape,
    Static,
    Tensors,
    Value,
    Weight,
)


def carry(value: Value) -> Value:
    """`value` without what is known of it beside its numbers."""
    match value:
        case Static(array):
            return Weight(jnp.asarray(array))
        case Weight():
            return value
        case Batched():
            return replace(value, softmax_of=None, classes=None)
        case Tensors(stack=None):
            return value
        case Tensors(stack=stack):
            return replace(value, stack=carry(stack))  # type: ignore[arg-type]
        case Shape() | RowNumbers():
            raise Refusal(f"{NOT_ROW_WISE} (the number of rows changes in a loop or branch)")
        case Labels():
            raise Refusal(COMPUTES_WITH_LABELS)


def common(*values: Value, keep: int | None = None) -> Value:
    """The first of `values` (or number `keep`) as the kind that all of them have in common.

    What is batched, may fail, or is known of a list in one of them is so in the result. Raises Refusal: they differ otherwise.
    """
    found = values[keep or 0]
    for other in values:
        found = widened(found, other)
    return found


def widened(value: Value, other: Value) -> Value:
    """`value` with what `other` has and it lacks."""
    match value, other:
        case Tensors(), Tensors():
            if value.length != other.length:
                raise Refusal("a list of tensors changes its length in a loop or branch")
            if value.stack is None and other.stack is not None:
                return replace(value, stack=zeros_like(other.stack))
            if value.stack is None or other.stack is None:
                return value
            return replace(value, stack=widened(value.stack, other.stack))  # type: ignore[arg-type]
        case Weight(), Weight():
            same_shape(value.array.shape, other.array.shape)
            return value if value.failed is not None or other.failed is None else replace(value, failed=jnp.asarray(False))
        case Weight(), Batched():
            return made_batched(value, other)
        case Batched(), Weight():
            same_kind(value, made_batched(other, value, abstract=True))
            return with_mask(value, other.failed is not None)
        case Batched(), Batched():
            same_kind(value, other)
            return with_mask(value, other.failed is not None)
        case _:
            raise Refusal("a list of tensors meets a tensor in a loop or branch")


def with_mask(value: Batched, wanted: bool) -> Batched:
    return replace(value, failed=jnp.zeros(value.count, bool)) if wanted and value.failed is None else value


def same_kind(value: Batched, other: Batched) -> None:
    if (value.axis, value.before, value.after) != (other.axis, other.before, other.after):
        raise Refusal(f"{NOT_ROW_WISE} (the batch moves among the axes of a tensor in a loop or branch)")
    same_shape(value.array.shape, other.array.shape)


def same_shape(shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    if shape != other:
        raise Refusal(f"a tensor changes its shape in a loop or branch, from {list(shape)} to {list(other)}")


def made_batched(value: Weight, other: Batched, *, abstract: bool = False) -> Batched:
    """A tensor that is the same for all rows, as one of each row."""
    shape = tuple(value.array.shape)
    if other.axis is not None:
        if len(shape) <= other.axis or shape[other.axis] != 1:
            raise Refusal(f"{NOT_ROW_WISE} (a tensor without rows meets one with them in a loop or branch)")
        shape = (*shape[: other.axis], *shape[other.axis + 1 :])
    target = (*shape, other.array.shape[-1])
    if abstract:
        array: Any = jax.ShapeDtypeStruct(target, value.array.dtype)  # type: ignore[no-untyped-call]
        return replace(other, array=array)
    array = jnp.broadcast_to(value.array.reshape((*shape, 1)), target)
    mask = None if value.failed is None else jnp.broadcast_to(value.failed, (other.count,))
    return with_mask(replace(other, array=array, failed=mask), other.failed is not None)


def for_each_row(value: Value, rows: int) -> Value:
    """`value` as one that differs by row, in a loop over them or behind a condition of each."""
    match value:
        case Weight():
            return made_batched(value, Batched(jnp.zeros(rows, bool), None))
        case Batched(axis=None):
            return value
        case Batched():
            raise Refusal(f"{NOT_ROW_WISE} (a row's condition decides about all rows)")
        case Tensors(stack=stack) if stack is not None:
            return replace(value, stack=for_each_row(stack, rows))  # type: ignore[arg-type]
        case _:
            return value


def zeros_like(value: Numbers) -> Any:
    """Zeros in the place of what is not there yet."""
    if isinstance(value, Static):
        return Weight(jnp.zeros(value.array.shape, value.array.dtype))
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), value)


def mapped_over_rows(run: Callable[[list[Value], Sequence[Value]], Any], state: list[Value], others: Sequence[Value]) -> Any:
    """`run` for each row alone: what differs by row is given to it as a batch of that row."""
    leaves, structure = jax.tree.flatten((state, list(others)), is_leaf=is_whole)
    axes: list[int | None] = []
    arrays: list[Any] = []
    rebuilt: list[Callable[[Sequence[Any]], Any]] = []
    for leaf in leaves:
        parts, rebuild, batched = taken_apart(leaf)
        start = len(arrays)
        arrays += parts
        axes += [-1 if batched else None] * len(parts)
        rebuilt.append(partial(part_of, rebuild, slice(start, start + len(parts))))

    def one(*parts: Any) -> Any:
        mine = [part if axis is None else part[..., None] for part, axis in zip(parts, axes, strict=True)]
        found = run(*jax.tree.unflatten(structure, [make(mine) for make in rebuilt]))
        return jax.tree.map(lambda leaf: leaf[..., 0] if leaf.ndim else leaf, found)

    return jax.vmap(one, axes, -1)(*arrays)


def part_of(rebuild: Callable[[Sequence[Any]], Any], place: slice, arrays: Sequence[Any]) -> Any:
    return rebuild(arrays[place])


def is_whole(value: object) -> bool:
    return isinstance(value, Static | Weight | Batched | Shape | RowNumbers | Tensors)


def taken_apart(value: Value) -> tuple[list[Any], Callable[[Sequence[Any]], Any], bool]:
    """The arrays of a value, what makes it of them, and whether they differ by row."""
    match value:
        case Weight() | Batched() | Tensors():
            parts, structure = jax.tree.flatten(value)
            stack = value.stack if isinstance(value, Tensors) else value
            if isinstance(stack, Static):
                return [], lambda found: value, False
            if isinstance(stack, Batched) and stack.axis is not None:
                raise Refusal(f"{NOT_ROW_WISE} (a loop for each row reads all of them)")
            return list(parts), lambda found: jax.tree.unflatten(structure, found), isinstance(stack, Batched)
        case _:
            return [], lambda found: value, False
