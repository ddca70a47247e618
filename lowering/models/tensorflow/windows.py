"""What slides over images: strides, padding and the parts of an image that each place of a window sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp

from qtensor.lowering.models.tensorflow.values import (
    NOT_ROW_WISE,
    Batched,
    Refusal,
    Value,
    array_of,
    by_row,
    moved,
    tensor_rank,
    wrapped,
)


@dataclass(frozen=True)
class Window:
    """A window over axes of `sizes`: `outputs` positions an axis, `padding` entries before and behind each."""

    extents: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    sizes: tuple[int, ...]
    outputs: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]

    @property
    def area(self) -> int:
        area = 1
        for extent in self.extents:
            area *= extent
        return area

    def parts(self, images: jax.Array, fill: Any) -> Iterator[tuple[tuple[int, ...], jax.Array]]:
        """For each place in the window what it sees of `images` [n, *sizes, channels]: [n, *outputs, channels]."""
        pads = [(0, 0), *((before, max(0, behind)) for before, behind in self.padding), (0, 0)]
        padded = jnp.pad(images, pads, constant_values=fill) if any(map(any, pads)) else images
        for place in product(*map(range, self.extents)):
            starts = [at * dilation for at, dilation in zip(place, self.dilations, strict=True)]
            index = [
                slice(start, start + (count - 1) * stride + 1, stride)
                for start, count, stride in zip(starts, self.outputs, self.strides, strict=True)
            ]
            yield place, padded[(slice(None), *index)]


def window_of(
    sizes: Sequence[int],
    extents: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: str,
    explicit: Sequence[int] = (),
) -> Window:
    """The window that TensorFlow means. sizes: of the axes it slides over; explicit: two paddings for each of these."""
    outputs, pads = [], []
    for axis, (size, extent, stride, dilation) in enumerate(zip(sizes, extents, strides, dilations, strict=True)):
        reach = (extent - 1) * dilation + 1
        match padding:
            case "SAME":
                count = -(-size // stride)
                lacking = max(0, (count - 1) * stride + reach - size)
                pads.append((lacking // 2, lacking - lacking // 2))
            case "VALID":
                count = (size - reach) // stride + 1
                pads.append((0, 0))
            case "EXPLICIT":
                before, behind = explicit[2 * axis : 2 * axis + 2]
                count = (size + before + behind - reach) // stride + 1
                pads.append((before, behind))
            case _:
                raise Refusal(f"padding = {padding!r} is not supported")
        if count < 1:
            raise Refusal(f"a window of {reach} does not fit an axis of {size}")
        outputs.append(count)
    return Window(tuple(extents), tuple(strides), tuple(dilations), tuple(sizes), tuple(outputs), tuple(pads))


def spatial(values: Sequence[int], axes: int, what: str) -> tuple[int, ...]:
    """Of one entry for each axis [batch, ..., channels] those between. Raises Refusal: the others are not 1."""
    values = tuple(values) or (1,) * (axes + 2)
    if len(values) != axes + 2 or values[0] != 1 or values[-1] != 1:
        raise Refusal(f"{what} = {list(values)} is not supported")
    return values[1:-1]


def over_images(function: Callable[..., jax.Array], x: Value, *others: Value) -> Value:
    """`function` of the images [n, *sizes, channels] and of weights; its result has the n first, too."""
    if any(isinstance(other, Batched) for other in others):
        raise Refusal("its weights are computed from data")
    if not isinstance(x, Batched):
        return wrapped(function(array_of(x), *map(array_of, others)), x, *others)
    if x.axis is None:
        return by_row(function, x, *others)
    if x.axis != 0:
        raise Refusal(f"{NOT_ROW_WISE} (the batch is among the axes of an image)")
    return moved(jnp.moveaxis(function(jnp.moveaxis(x.array, -1, 0), *map(array_of, others)), 0, -1), 0, x)


def image_sizes(x: Value, axes: int) -> tuple[int, ...]:
    """The sizes of the `axes` axes between batch and channels."""
    if tensor_rank(x) != axes + 2:
        raise Refusal(f"an image of {tensor_rank(x)} axes, not {axes + 2}")
    shape = array_of(x).shape
    if isinstance(x, Batched):
        return shape[:axes] if x.axis is not None else shape[1 : axes + 1]
    return shape[1 : axes + 1]


def channels_of(x: Value) -> int:
    shape = array_of(x).shape
    return shape[-2] if isinstance(x, Batched) else shape[-1]
