"""TensorFlow operators on images that hold no weights: pools, padding, sizes, blocks of pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from qtensor.lowering.models.tensorflow.gathers import limits
from qtensor.lowering.models.tensorflow.registry import operator
from qtensor.lowering.models.tensorflow.values import (
    NOT_ROW_WISE,
    Batched,
    Refusal,
    Static,
    Value,
    affordable,
    array_of,
    count_of,
    integers,
    tensor_rank,
    wrapped,
)
from qtensor.lowering.models.tensorflow.windows import Window, image_sizes, over_images, spatial, window_of

# A pool over so few places is a chain of maxima, or sums, of shifted images, which XLA vectorises over channels; over more it is
# XLA's reduction of windows.
SHIFTS = 16


def pool_window(
    x: Value, axes: int, ksize: tuple[int, ...], strides: tuple[int, ...], padding: str, explicit: tuple[int, ...]
) -> Window:
    return window_of(
        image_sizes(x, axes),
        spatial(ksize, axes, "ksize"),
        spatial(strides, axes, "strides"),
        (1,) * axes,
        padding,
        explicit[2:-2],
    )


def pooled(window: Window, put: Callable[..., Any], start: Any, images: jax.Array) -> jax.Array:
    """`put` together what the window sees of `images` [n, *sizes, channels]; `start` is what is outside of them."""
    initial = jnp.asarray(start, images.dtype)
    if window.area <= SHIFTS:
        found: jax.Array = reduce(put, (part for _, part in window.parts(images, initial)))
        return found
    reduced: jax.Array = lax.reduce_window(
        images,
        initial,
        lax.max if put is jnp.maximum else lax.add,
        (1, *window.extents, 1),
        (1, *window.strides, 1),
        ((0, 0), *window.padding, (0, 0)),
    )
    return reduced


@operator("MaxPool", read=["ksize", "strides", "padding", "explicit_paddings"], required={"data_format": ("NHWC",)})
def max_pool(
    x: Value, *, ksize: tuple[int, ...], strides: tuple[int, ...], padding: str, explicit_paddings: tuple[int, ...] = ()
) -> Value:
    window = pool_window(x, 2, ksize, strides, padding, explicit_paddings)
    return over_images(partial(pooled, window, jnp.maximum, lowest(x)), x)


@operator("MaxPoolV2", read=["padding"], required={"data_format": ("NHWC",)})
def max_pool_of(x: Value, ksize: Value, strides: Value, *, padding: str) -> Value:
    window = pool_window(x, 2, integers(ksize, "ksize"), integers(strides, "strides"), padding, ())
    return over_images(partial(pooled, window, jnp.maximum, lowest(x)), x)


@operator("MaxPool3D", read=["ksize", "strides", "padding"], required={"data_format": ("NDHWC",)})
def max_pool_3d(x: Value, *, ksize: tuple[int, ...], strides: tuple[int, ...], padding: str) -> Value:
    window = pool_window(x, 3, ksize, strides, padding, ())
    return over_images(partial(pooled, window, jnp.maximum, lowest(x)), x)


def lowest(x: Value) -> Any:
    dtype = array_of(x).dtype
    return -np.inf if jnp.issubdtype(dtype, jnp.floating) else limits(dtype)[0]


@operator("AvgPool", read=["ksize", "strides", "padding"], required={"data_format": ("NHWC",)})
def average_pool(x: Value, *, ksize: tuple[int, ...], strides: tuple[int, ...], padding: str) -> Value:
    """What is outside the image does not count."""
    return averaged(pool_window(x, 2, ksize, strides, padding, ()), x)


@operator("AvgPool3D", read=["ksize", "strides", "padding"], required={"data_format": ("NDHWC",)})
def average_pool_3d(x: Value, *, ksize: tuple[int, ...], strides: tuple[int, ...], padding: str) -> Value:
    return averaged(pool_window(x, 3, ksize, strides, padding, ()), x)


def averaged(window: Window, x: Value) -> Value:
    ones = np.ones((1, *window.sizes, 1), np.float32)
    with jax.ensure_compile_time_eval():
        counts = np.asarray(pooled(window, jnp.add, 0, jnp.asarray(ones)))

    def average(images: jax.Array) -> jax.Array:
        return pooled(window, jnp.add, 0, images) / jnp.asarray(counts, images.dtype)

    return over_images(average, x)


def paddings_of(x: Value, paddings: Value) -> list[tuple[int, int]]:
    """How many entries each axis of the array gets before and behind it."""
    flat = integers(paddings, "the padding")
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    if len(pairs) != tensor_rank(x) or min(flat, default=0) < 0:
        raise Refusal(f"paddings {pairs} for {tensor_rank(x)} axes")
    if not isinstance(x, Batched):
        affordable([size + sum(pair) for size, pair in zip(array_of(x).shape, pairs, strict=True)])
        return pairs
    if x.axis is not None and pairs.pop(x.axis) != (0, 0):
        raise Refusal(f"{NOT_ROW_WISE} (rows are added)")
    affordable([size + sum(pair) for size, pair in zip(x.features, pairs, strict=True)])
    return [*pairs, (0, 0)]


@operator("Pad")
def pad(x: Value, paddings: Value) -> Value:
    return pad_with(x, paddings, Static(np.zeros((), array_of(x).dtype)))


@operator("PadV2")
def pad_with(x: Value, paddings: Value, constant: Value) -> Value:
    if isinstance(constant, Batched):
        raise Refusal("the padding is computed from data")
    return wrapped(jnp.pad(array_of(x), paddings_of(x, paddings), constant_values=array_of(constant)), x, constant)


@operator("MirrorPad", read=["mode"])
def mirror_pad(x: Value, paddings: Value, *, mode: str) -> Value:
    pairs = paddings_of(x, paddings)
    most = [size - (mode == "REFLECT") for size in array_of(x).shape]
    if any(max(pair) > limit for pair, limit in zip(pairs, most, strict=True) if max(pair)):
        raise Refusal(f"a mirrored padding of {pairs} is wider than the tensor")
    return wrapped(jnp.pad(array_of(x), pairs, mode=mode.lower()), x)


@operator("SpaceToBatchND")
def space_to_batch(x: Value, block: Value, paddings: Value) -> Value:
    """The images in blocks, one image for each place of a block: [places * batch, ...]."""
    blocks = integers(block, "the size of a block")
    pads = integers(paddings, "the padding")
    if not isinstance(x, Batched) or x.axis != 0:
        raise Refusal("it turns the pixels of what is no batch of images into a batch")
    axes = len(blocks)
    widths = [(pads[2 * i], pads[2 * i + 1]) for i in range(axes)] + [(0, 0)] * (x.array.ndim - axes)
    array = jnp.pad(x.array, widths)
    sizes, rest = array.shape[:axes], array.shape[axes:-1]
    if any(size % one for size, one in zip(sizes, blocks, strict=True)):
        raise Refusal(f"an image of {sizes} does not divide into blocks of {blocks}")
    apart = [part for size, one in zip(sizes, blocks, strict=True) for part in (size // one, one)]
    split = array.reshape((*apart, *rest, array.shape[-1]))
    order = (*range(0, 2 * axes, 2), *range(2 * axes, 2 * axes + len(rest)), *range(1, 2 * axes, 2), split.ndim - 1)
    turned = jnp.transpose(split, order)
    places = count_of(blocks)
    merged = turned.reshape((*turned.shape[: axes + len(rest)], places * array.shape[-1]))
    return Batched(merged, 0, places * x.before, x.after)


@operator("BatchToSpaceND")
def batch_to_space(x: Value, block: Value, crops: Value) -> Value:
    """The images put together again, and cropped."""
    blocks = integers(block, "the size of a block")
    cuts = integers(crops, "the crop")
    places = count_of(blocks)
    if not isinstance(x, Batched) or x.axis != 0 or x.before % places:
        raise Refusal(f"{NOT_ROW_WISE} (rows are put together)")
    axes, last = len(blocks), x.array.shape[-1] // places
    split = x.array.reshape((*x.features, *blocks, last))
    rank = len(x.features)
    pairs = [axis for i in range(axes) for axis in (i, rank + i)]
    turned = jnp.transpose(split, (*pairs, *range(axes, rank), rank + axes))
    sizes = [size * one for size, one in zip(x.features[:axes], blocks, strict=True)]
    array = turned.reshape((*sizes, *x.features[axes:], last))
    index = tuple(slice(cuts[2 * i], sizes[i] - cuts[2 * i + 1]) for i in range(axes))
    return Batched(array[index], 0, x.before // places, x.after)


@operator("SpaceToDepth", read=["block_size"], required={"data_format": ("NHWC",)})
def space_to_depth(x: Value, *, block_size: int) -> Value:
    height, width = image_sizes(x, 2)
    if height % block_size or width % block_size:
        raise Refusal(f"an image of {height} by {width} does not divide into blocks of {block_size}")

    def blocks(images: jax.Array) -> jax.Array:
        n, channels = images.shape[0], images.shape[-1]
        split = images.reshape(n, height // block_size, block_size, width // block_size, block_size, channels)
        return split.transpose(0, 1, 3, 2, 4, 5).reshape(n, height // block_size, width // block_size, -1)

    return over_images(blocks, x)


@operator("DepthToSpace", read=["block_size"], required={"data_format": ("NHWC",)})
def depth_to_space(x: Value, *, block_size: int) -> Value:
    height, width = image_sizes(x, 2)

    def pixels(images: jax.Array) -> jax.Array:
        n, channels = images.shape[0], images.shape[-1] // block_size**2
        split = images.reshape(n, height, width, block_size, block_size, channels)
        return split.transpose(0, 1, 3, 2, 4, 5).reshape(n, height * block_size, width * block_size, channels)

    return over_images(pixels, x)


def places_between(size: int, wanted: int, *, align_corners: bool, half_pixel_centers: bool) -> Any:
    """Where in an axis of `size` the `wanted` entries of the resized one lie, float32."""
    number = np.arange(wanted, dtype=np.float32)
    scale = np.float32((size - 1) / (wanted - 1) if align_corners and wanted > 1 else size / wanted)
    return (number + np.float32(0.5)) * scale - np.float32(0.5) if half_pixel_centers else number * scale


@operator("ResizeBilinear", read=["align_corners", "half_pixel_centers"])
def resize_bilinear(x: Value, size: Value, *, align_corners: bool = False, half_pixel_centers: bool = False) -> Value:
    wanted = integers(size, "the size")
    places = [
        places_between(known, one, align_corners=align_corners, half_pixel_centers=half_pixel_centers)
        for known, one in zip(image_sizes(x, 2), wanted, strict=True)
    ]

    def resized(images: jax.Array) -> jax.Array:
        images = images.astype(np.float32)
        for axis, where in enumerate(places, start=1):
            extent = images.shape[axis]
            floor = np.floor(where)
            low, high = (np.clip(part, 0, extent - 1).astype(np.int32) for part in (floor, floor + 1))
            share = jnp.asarray((where - floor).astype(np.float32)).reshape((-1,) + (1,) * (images.ndim - 1 - axis))
            share = share.reshape((1,) * axis + share.shape)
            lower, upper = jnp.take(images, low, axis=axis), jnp.take(images, high, axis=axis)
            images = lower + (upper - lower) * share
        return images

    return over_images(resized, x)


@operator("ResizeNearestNeighbor", read=["align_corners", "half_pixel_centers"])
def resize_nearest(x: Value, size: Value, *, align_corners: bool = False, half_pixel_centers: bool = False) -> Value:
    wanted = integers(size, "the size")
    picks = []
    for known, one in zip(image_sizes(x, 2), wanted, strict=True):
        where = places_between(known, one, align_corners=align_corners, half_pixel_centers=half_pixel_centers)
        where = np.floor(where + np.float32(0.5)) if half_pixel_centers or align_corners else np.floor(where)
        picks.append(np.clip(where, 0, known - 1).astype(np.int32))
    return over_images(lambda images: jnp.take(jnp.take(images, picks[0], axis=1), picks[1], axis=2), x)


@operator("LRN", read=["depth_radius", "bias", "alpha", "beta"])
def local_response(x: Value, *, depth_radius: int = 5, bias: float = 1.0, alpha: float = 1.0, beta: float = 0.5) -> Value:
    """Each channel divided by a power of the squares of its neighbours."""

    def normalised(images: jax.Array) -> jax.Array:
        dtype, channels = images.dtype.type, images.shape[-1]
        squares = jnp.pad(images * images, [(0, 0)] * (images.ndim - 1) + [(depth_radius, depth_radius)])
        total = reduce(jnp.add, (squares[..., i : i + channels] for i in range(2 * depth_radius + 1)))
        return jnp.divide(images, (dtype(bias) + dtype(alpha) * total) ** dtype(beta))

    return over_images(normalised, x)


@operator("ExtractImagePatches", read=["ksizes", "strides", "rates", "padding"])
def patches(x: Value, *, ksizes: tuple[int, ...], strides: tuple[int, ...], rates: tuple[int, ...], padding: str) -> Value:
    """What a window sees, side by side: [batch, rows, columns, height * width * channels]."""
    window = window_of(
        image_sizes(x, 2), spatial(ksizes, 2, "ksizes"), spatial(strides, 2, "strides"), spatial(rates, 2, "rates"), padding
    )
    return over_images(lambda images: jnp.concatenate([part for _, part in window.parts(images, 0)], axis=-1), x)
