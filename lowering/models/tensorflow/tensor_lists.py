"""TensorFlow's lists of tensors, which loops read from and write to, as one tensor with the list's axis first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from qtensor.lowering.models.tensorflow.carried import carry, common, for_each_row, zeros_like
from qtensor.lowering.models.tensorflow.gathers import entry_at, gather_constant
from qtensor.lowering.models.tensorflow.registry import operator
from qtensor.lowering.models.tensorflow.shapes import INT32, reshape
from qtensor.lowering.models.tensorflow.slices import joined
from qtensor.lowering.models.tensorflow.values import (
    NOT_ROW_WISE,
    Batched,
    Refusal,
    RowNumbers,
    Rows,
    Shape,
    Static,
    Tensors,
    Value,
    Weight,
    array_of,
    feature_axis,
    integer,
    integers,
    marked,
    moved,
    new_axis,
    numbers,
    shape_value,
    tensor_shape,
)

_TYPES = ("element_dtype", "shape_type")


def list_of(value: Value) -> Tensors:
    if not isinstance(value, Tensors):
        raise Refusal("it reads what is no list of tensors")
    return value


def element_shape(value: Value) -> tuple[int | None, ...] | None:
    """What is known of the shape of a list's elements: -1 is unknown."""
    if isinstance(value, Shape):
        return tuple(size if isinstance(size, int) else None for size in value.sizes)
    if not isinstance(value, Static) or value.array.ndim == 0:
        return None
    return tuple(None if size < 0 else size for size in integers(value, "the shape"))


@operator("TensorListReserve", read=["element_dtype"], ignored=["shape_type"])
def reserve(shape: Value, number: Value, *, element_dtype: Any) -> Value:
    known = element_shape(shape)
    if isinstance(number, Shape):
        (rows,) = number.sizes
        if isinstance(rows, Rows) and rows.times == 1:
            return Tensors(rows, element_dtype, known)
        raise Refusal(f"{NOT_ROW_WISE} (a list as long as several times the number of rows)")
    return Tensors(max(0, integer(number, "the length")), element_dtype, known)


@operator("EmptyTensorList", read=["element_dtype"], ignored=["shape_type"])
def empty_list(shape: Value, most: Value, *, element_dtype: Any) -> Value:
    return Tensors(0, element_dtype, element_shape(shape))


@operator("TensorListFromTensor", ignored=_TYPES)
def list_from_tensor(x: Value, shape: Value) -> Value:
    known = numbers(x)
    length = tensor_shape(known)[0]
    if isinstance(length, Rows) and length.times != 1:
        raise Refusal(f"{NOT_ROW_WISE} (a list of rows merged with features)")
    return Tensors(length, array_of(known).dtype, element_shape(shape), known)


@operator("TensorListStack", read=["num_elements"], ignored=_TYPES)
def stacked_list(values: Value, shape: Value, *, num_elements: int = -1) -> Value:
    found = list_of(values)
    if found.stack is not None:
        return found.stack
    known = element_shape(shape) or found.element
    if known is None or any(size is None for size in known) or isinstance(found.length, Rows):
        raise Refusal("a list of tensors that nothing was put into")
    return Static(np.zeros((found.length, *(size for size in known if size is not None)), found.dtype))


@operator("TensorListGetItem", ignored=_TYPES)
def item(values: Value, index: Value, shape: Value) -> Value:
    found = list_of(values)
    if found.stack is None:
        raise Refusal("it reads a tensor that nothing was put into")
    return entry_at(found.stack, index, 0, from_end=False)


@operator("TensorListSetItem", read=["resize_if_index_out_of_bounds"], ignored=_TYPES)
def with_item(values: Value, index: Value, entry: Value, *, resize_if_index_out_of_bounds: bool = False) -> Value:
    found = list_of(values)
    if isinstance(found.length, Rows):
        return row_set(found, index, entry)
    if isinstance(index, Static) and resize_if_index_out_of_bounds and integer(index, "the index") >= found.length:
        found = resized(found, integer(index, "the index") + 1)
    assert isinstance(found.length, int)
    one = stack_of_one(entry)
    empty = zeros_like(repeated(one, found.length)) if found.stack is None else carry(found.stack)
    stack = common(empty, repeated(one, found.length))
    element = common(one, stack_of(stack, 1))
    assert isinstance(stack, Weight | Batched)
    place = feature_axis(stack, 0, "axis")
    if isinstance(index, Static) and not 0 <= integer(index, "the index") < found.length:
        raise Refusal(f"the index {index.array} lies outside a list of {found.length}")
    number = array_of(index).astype(np.int64)
    outside = (number < 0) | (number >= found.length)
    if isinstance(index, Batched):
        stack, element = for_each_row(stack, index.count), for_each_row(element, index.count)
        assert isinstance(stack, Batched) and index.axis is None
        positions = jnp.arange(found.length).reshape(-1, *(1,) * (stack.array.ndim - 1))
        array = jnp.where(positions == number, array_of(element), stack.array)
    else:
        array = lax.dynamic_update_slice_in_dim(array_of(stack), array_of(element), number, place)
    written = replace(stack, array=array)
    return replace(found, stack=written if isinstance(index, Static) else failing(written, outside, index))


def failing(value: Weight | Batched, outside: jax.Array, index: Value) -> Weight | Batched:
    """`value`, which may have failed before, where an index lies outside."""
    found = marked(value, outside, index)
    assert isinstance(found, Weight | Batched)
    if value.failed is None or found.failed is None:
        return found
    return replace(found, failed=found.failed | value.failed)


def stack_of_one(entry: Value) -> Weight | Batched:
    """A tensor as a list of it alone."""
    place, batch = new_axis(entry, 0, "axis")
    found = carry(moved(jnp.expand_dims(array_of(entry), place), batch, entry))
    assert isinstance(found, Weight | Batched)
    return found


def repeated(element: Weight | Batched, length: int) -> Weight | Batched:
    """What a list of `length` such tensors is, for its kind."""
    return replace(element, array=jnp.broadcast_to(element.array, (length, *element.array.shape[1:])))


def stack_of(stack: Value, length: int) -> Value:
    assert isinstance(stack, Weight | Batched)
    return replace(stack, array=jnp.zeros((length, *stack.array.shape[1:]), stack.array.dtype))


def row_set(found: Tensors, index: Value, entry: Value) -> Value:
    """In a loop over rows: the row's tensor, in a list of one for each."""
    if not isinstance(index, RowNumbers) or index.axis is not None:
        raise Refusal(f"{NOT_ROW_WISE} (a row writes to another's place)")
    value = for_each_row(carry(entry), index.count)
    assert isinstance(value, Batched)
    return replace(found, stack=replace(value, axis=0))


@operator("TensorListLength")
def list_length(values: Value) -> Value:
    return shape_value([list_of(values).length], INT32, scalar=True)


@operator("TensorListElementShape", ignored=["shape_type"])
def list_element_shape(values: Value) -> Value:
    found = list_of(values)
    if found.stack is not None:
        return shape_value(tensor_shape(found.stack)[1:], INT32)
    if found.element is None or None in found.element:
        return Static(np.asarray(-1, np.int32))
    return Static(np.asarray(found.element, np.int32))


@operator("TensorListPushBack", ignored=_TYPES)
def pushed(values: Value, entry: Value) -> Value:
    found = list_of(values)
    if isinstance(found.length, Rows):
        raise Refusal(f"{NOT_ROW_WISE} (a tensor is added to those of the rows)")
    element = stack_of_one(entry)
    stack: Value = element
    if found.length:
        if found.stack is None:
            raise Refusal("a tensor is added to a list of which nothing is known")
        before = carry(found.stack)
        same = common(before, repeated(element, found.length))
        stack = joined([same, common(element, stack_of(same, 1))], 0)
    assert isinstance(stack, Weight | Batched)
    return replace(found, length=found.length + 1, stack=stack)


@operator("TensorListPopBack", ignored=_TYPES)
def popped(values: Value, shape: Value) -> tuple[Value, ...]:
    found = list_of(values)
    if isinstance(found.length, Rows) or found.stack is None or found.length < 1:
        raise Refusal("it takes a tensor from a list that has none")
    last = entry_at(found.stack, Static(np.asarray(found.length - 1, np.int32)), 0)
    kept = Static(np.arange(found.length - 1, dtype=np.int32))
    rest = gather_constant(found.stack, kept, 0, 0)
    return replace(found, length=found.length - 1, stack=numbers(rest)), last


@operator("TensorListResize")
def list_resized(values: Value, size: Value) -> Value:
    found = list_of(values)
    if isinstance(found.length, Rows):
        raise Refusal(f"{NOT_ROW_WISE} (a list of the rows changes its length)")
    return resized(found, integer(size, "the length"))


def resized(found: Tensors, length: int) -> Tensors:
    if found.stack is None:
        return replace(found, length=length)
    assert isinstance(found.length, int)
    if length <= found.length:
        kept = Static(np.arange(length, dtype=np.int32))
        return replace(found, length=length, stack=numbers(gather_constant(found.stack, kept, 0, 0)))
    stack = carry(found.stack)
    wider = joined([stack, stack_of(stack, length - found.length)], 0)
    return replace(found, length=length, stack=numbers(wider))


@operator("TensorListGather", ignored=_TYPES)
def list_gather(values: Value, indices: Value, shape: Value) -> Value:
    found = list_of(values)
    if isinstance(indices, RowNumbers) and isinstance(found.length, Rows) and found.stack is not None:
        return found.stack
    if found.stack is None or not isinstance(indices, Static):
        raise Refusal("tensors are picked from a list by what is computed")
    return gather_constant(found.stack, indices, 0, 0)


@operator("TensorListScatterV2", ignored=_TYPES)
def list_scatter(x: Value, indices: Value, shape: Value, *number: Value) -> Value:
    """The tensors along the first axis of `x` as a list in the order that `indices` say."""
    order = integers(indices, "the index")
    least = integer(number[0], "the length") if number else -1
    if sorted(order) != list(range(len(order))) or least > len(order):
        raise Refusal("a list of tensors with gaps")
    stack = gather_constant(x, Static(np.argsort(np.asarray(order)).astype(np.int32)), 0, 0)
    return Tensors(len(order), array_of(x).dtype, element_shape(shape), numbers(stack))


@operator("TensorListConcatV2", ignored=(*_TYPES, "element_shape"))
def list_concat(values: Value, *others: Value) -> tuple[Value, ...]:
    """The tensors one behind another along their first axis, and the length of each."""
    found = list_of(values)
    if found.stack is None or not isinstance(found.length, int):
        raise Refusal("the tensors of a list are joined that nothing was put into")
    length, size, *rest = tensor_shape(found.stack)
    if isinstance(size, Rows) or isinstance(length, Rows):
        raise Refusal(f"{NOT_ROW_WISE} (rows are joined to rows)")
    target = shape_value([length * size, *rest], INT32)
    return reshape(found.stack, target), Static(np.full(length, size, np.int64))
