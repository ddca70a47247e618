"""ONNX operators that move elements, and those that know shapes only."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from qtensor.lowering.models.onnx.registry import (
    Array,
    Node,
    NotConvertedError,
    Text,
    axis_of,
    integers,
    operator,
    same_rank,
    static,
)

LARGEST = 1 << 26  # elements of a tensor that a node makes of nothing


@operator("Shape")
def shape(node: Node, x: Array) -> Array:
    sizes = np.array(np.shape(x), np.int64)
    return sizes[slice(node.get("start", 0), node.get("end"))]


@operator("Size")
def size(node: Node, x: Array) -> Array:
    return np.array(math.prod(np.shape(x)), np.int64)


@operator("Constant")
def constant(node: Node) -> Any:
    for name, dtype in (
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        if (found := node.get(name)) is not None:
            return np.array(found, dtype)
    value = node.get("value")
    if not isinstance(value, np.ndarray):
        raise NotConvertedError("is a constant of a kind that is not supported")
    return value


@operator("Reshape")
def reshape(node: Node, x: Any, wanted: Array) -> Any:
    if isinstance(x, Text):
        return Text(reshape(node, x.number, wanted), x.labels)
    sizes = integers(wanted, "shape")
    if not node.get("allowzero", 0):
        sizes = [np.shape(x)[position] if one == 0 else one for position, one in enumerate(sizes)]
    return jnp.reshape(x, sizes)


@operator("Flatten")
def flatten(node: Node, x: Array) -> Array:
    axis = node.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return jnp.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@operator("Transpose")
def transpose(node: Node, x: Array) -> Array:
    return jnp.transpose(x, node.get("perm"))


@operator("Squeeze")
def squeeze(node: Node, x: Any, axes: Array | None = None) -> Any:
    if isinstance(x, Text):
        return Text(squeeze(node, x.number, axes), x.labels)
    listed = node.get("axes") if axes is None else integers(axes, "axes")
    return jnp.squeeze(x, None if listed is None else tuple(listed))


@operator("Unsqueeze")
def unsqueeze(node: Node, x: Array, axes: Array | None = None) -> Array:
    return jnp.expand_dims(x, tuple(node.get("axes") if axes is None else integers(axes, "axes")))


@operator("Concat")
def concat(node: Node, *values: Array) -> Array:
    return jnp.concatenate(values, node.get("axis"))


@operator("Split")
def split(node: Node, x: Array, sizes: Array | None = None) -> Any:
    axis = axis_of(node.get("axis", 0), x.ndim)
    listed = node.get("split") if sizes is None else integers(sizes, "sizes")
    if listed is None:
        count = node.get("num_outputs", len(node.outputs))
        each = -(-x.shape[axis] // count)
        listed = [each] * (count - 1) + [x.shape[axis] - each * (count - 1)]
    return tuple(jnp.split(x, np.cumsum(listed)[:-1].tolist(), axis))


@operator("Slice")
def slices(node: Node, x: Array, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Array:
    if node.opset < 10:
        first, last, along = node.get("starts"), node.get("ends"), node.get("axes")
        strides = None
    else:
        first, last = integers(starts, "starts"), integers(ends, "ends")
        along = None if axes is None else integers(axes, "axes")
        strides = None if steps is None else integers(steps, "steps")
    along = list(range(len(first))) if along is None else along
    wanted = [slice(None)] * x.ndim
    for position, axis in enumerate(along):
        step = 1 if strides is None else strides[position]
        stop: int | None = last[position]
        if step < 0 and last[position] < -x.shape[axis]:
            stop = None
        wanted[axis_of(axis, x.ndim)] = slice(first[position], stop, step)
    return x[tuple(wanted)]


@operator("Gather")
def gather(node: Node, x: Any, places: Array) -> Any:
    axis = node.get("axis", 0)
    if isinstance(x, np.ndarray) and x.dtype == object:
        if x.ndim != 1:
            raise NotConvertedError("takes texts of a tensor of several axes")
        return Text(wrapped(places, len(x)), tuple(map(str, x)))
    axis = axis_of(axis, x.ndim)
    return jnp.take(x, wrapped(places, x.shape[axis]), axis, mode="clip")


def wrapped(places: Array, count: int) -> Array:
    """Places from the end as such from the start."""
    return jnp.where(places < 0, places + count, places)


@operator("GatherElements")
def gather_elements(node: Node, x: Array, places: Array) -> Array:
    axis = axis_of(node.get("axis", 0), x.ndim)
    if any(one != other for axis_, (one, other) in enumerate(zip(x.shape, places.shape, strict=True)) if axis_ != axis):
        x = x[tuple(slice(None) if axis_ == axis else slice(0, size) for axis_, size in enumerate(places.shape))]
    return jnp.take_along_axis(x, wrapped(places, x.shape[axis]), axis, mode="clip")


@operator("GatherND")
def gather_nd(node: Node, x: Array, places: Array) -> Array:
    if node.get("batch_dims", 0):
        raise NotConvertedError("has batch_dims, which is not supported")
    return x[tuple(wrapped(places[..., axis], x.shape[axis]) for axis in range(places.shape[-1]))]


@operator("ScatterElements", "ScatterND")
def scatter(node: Node, x: Array, places: Array, updates: Array) -> Array:
    kind = node.get("reduction", "none")
    if node.kind == "ScatterND":
        where = tuple(wrapped(places[..., axis], x.shape[axis]) for axis in range(places.shape[-1]))
    else:
        axis = axis_of(node.get("axis", 0), x.ndim)
        grid = [jnp.asarray(one) for one in np.indices(places.shape)]
        grid[axis] = wrapped(places, x.shape[axis])
        where = tuple(grid)
    at = jnp.asarray(x).at[where]
    write: Any = {"none": at.set, "add": at.add, "mul": at.multiply, "max": at.max, "min": at.min}[kind]
    return write(updates)


@operator("Expand")
def expand(node: Node, x: Array, wanted: Array) -> Array:
    shape_ = np.broadcast_shapes(np.shape(x), tuple(integers(wanted, "shape")))
    refuse_large(shape_)
    return jnp.broadcast_to(same_rank(x, jnp.zeros((1,) * len(shape_), bool))[0], shape_)


@operator("Tile")
def tile(node: Node, x: Array, repeats: Array) -> Array:
    times = integers(repeats, "repeats")
    refuse_large([size * time for size, time in zip(np.shape(x), times, strict=True)])
    return jnp.tile(x, times)


def refuse_large(sizes: Any) -> None:
    if math.prod(sizes) > LARGEST or any(one < 0 for one in sizes):
        raise NotConvertedError(f"makes a tensor of the shape {tuple(sizes)}")


@operator("Pad")
def pad(node: Node, x: Array, pads: Any = None, value: Any = None, axes: Any = None) -> Array:
    listed = node.get("pads", node.get("paddings")) if pads is None else integers(pads, "pads")
    along = list(range(x.ndim)) if axes is None else [axis_of(axis, x.ndim) for axis in integers(axes, "axes")]
    widths = [(0, 0)] * x.ndim
    for position, axis in enumerate(along):
        widths[axis] = (listed[position], listed[position + len(along)])
    mode = node.get("mode", "constant")
    if any(one < 0 for pair in widths for one in pair):
        if mode != "constant":
            raise NotConvertedError("cuts and pads by other than constants")
        x = x[tuple(slice(max(-low, 0), size - max(-high, 0)) for (low, high), size in zip(widths, x.shape, strict=True))]
        widths = [(max(low, 0), max(high, 0)) for low, high in widths]
    refuse_large([size + low + high for (low, high), size in zip(widths, x.shape, strict=True)])
    if mode != "constant":
        if any(max(pair) > size for pair, size in zip(widths, x.shape, strict=True)):
            raise NotConvertedError("pads by more than there is to repeat")
        return jnp.pad(x, widths, mode={"reflect": "reflect", "edge": "edge", "wrap": "wrap"}[mode])
    fill = node.get("value", 0.0) if value is None else value
    return jnp.pad(x, widths, constant_values=jnp.reshape(jnp.asarray(fill, x.dtype), ()))


@operator("ConstantOfShape")
def constant_of_shape(node: Node, sizes: Array) -> Array:
    value = node.get("value")
    wanted = integers(sizes, "shape")
    refuse_large(wanted)
    return np.full(wanted, np.float32(0) if value is None else value.ravel()[0])


@operator("Range")
def span(node: Node, start: Array, limit: Array, step: Array) -> Array:
    low, high, by = (static(one, "bounds").ravel()[0] for one in (start, limit, step))
    if by == 0 or (high - low) / by > LARGEST:
        raise NotConvertedError("has too many numbers")
    return np.arange(low, high, by, dtype=start.dtype)


@operator("OneHot")
def one_hot(node: Node, places: Array, depth: Array, values: Array) -> Array:
    count = integers(depth, "depth")[0]
    refuse_large([count])
    axis = node.get("axis", -1)
    places = wrapped(places.astype(jnp.int64), count)
    rank = places.ndim + 1
    hot = jnp.expand_dims(places, axis) == jnp.reshape(
        jnp.arange(count), tuple(count if one == axis_of(axis, rank) else 1 for one in range(rank))
    )
    return jnp.where(hot, jnp.reshape(values[1], (1,) * rank), jnp.reshape(values[0], (1,) * rank))


@operator("DepthToSpace", "SpaceToDepth")
def blocks(node: Node, x: Array) -> Array:
    count, channels, height, width = x.shape
    block = node.get("blocksize")
    if node.kind == "SpaceToDepth":
        apart = x.reshape(count, channels, height // block, block, width // block, block).transpose(0, 3, 5, 1, 2, 4)
        return apart.reshape(count, channels * block * block, height // block, width // block)
    if node.get("mode", "DCR") == "DCR":
        apart = x.reshape(count, block, block, channels // block**2, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        apart = x.reshape(count, channels // block**2, block, block, height, width).transpose(0, 1, 4, 2, 5, 3)
    return apart.reshape(count, channels // block**2, height * block, width * block)


@operator("Trilu")
def trilu(node: Node, x: Array, diagonal: Any = None) -> Array:
    k = 0 if diagonal is None else integers(diagonal, "diagonal")[0]
    return jnp.triu(x, k) if node.get("upper", 1) else jnp.tril(x, k)


@operator("EyeLike")
def eye_like(node: Node, x: Array) -> Array:
    node.ignore("dtype")
    rows, columns = np.shape(x)
    return np.eye(rows, columns, k=node.get("k", 0), dtype=x.dtype)


@operator("Resize", "Upsample")
def resize(node: Node, x: Array, *others: Any) -> Array:
    """To the nearest, by whole factors: each element stands for several."""
    node.ignore("coordinate_transformation_mode", "nearest_mode", "cubic_coeff_a", "extrapolation_value", "exclude_outside")
    if node.get("mode", "nearest") != "nearest":
        raise NotConvertedError(f"resizes by {node.get('mode')!r}; only nearest is supported")
    scales = others[0] if node.kind == "Upsample" else others[1] if len(others) > 1 else None
    if scales is not None and np.size(scales):
        factors = [float(one) for one in static(scales, "scales").ravel()]
    else:
        sizes = integers(others[2], "sizes")
        factors = [wanted / size for wanted, size in zip(sizes, x.shape, strict=True)]
    for axis, factor in enumerate(factors):
        if factor != int(factor) or factor < 1:
            raise NotConvertedError(f"resizes by the factor {factor}; whole ones are supported")
        x = jnp.repeat(x, int(factor), axis)
    return x
