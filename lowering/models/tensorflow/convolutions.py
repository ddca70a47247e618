"""Convolutions of images with weights: plain, grouped, depthwise and transposed, in one to three dimensions."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from qtensor.lowering.models.tensorflow.registry import operator
from qtensor.lowering.models.tensorflow.values import Batched, Refusal, Rows, Value, array_of, sizes_of, wrapped
from qtensor.lowering.models.tensorflow.windows import Window, channels_of, image_sizes, over_images, spatial, window_of

LAYOUTS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}
# XLA's CPU compiler has no fast grouped convolution: one of a group for each channel is written as products and sums of shifted
# images, up to so many.
SHIFTS = 64
# Nor one of few channels, whose products are too small to be matrices: it is so written for up to so many weights of an output.
# Measured (2 cores, jaxlib 0.10.1, us of CPU an image of 28 x 28): a kernel of 3 x 3 from 1 channel to 16 2.7 instead of 31, from
# 3 to 16 10 and 40, from 4 to 16 12 and 45; 5 x 5 from 1 to 8 4.0 and 40, to 32 16 and 13; from 3 to 16 57 and 56.
FEW_WEIGHTS = 36

_IGNORED = ("use_cudnn_on_gpu",)


@operator(
    "Conv2D", read=["strides", "padding", "explicit_paddings", "dilations"], required={"data_format": ("NHWC",)}, ignored=_IGNORED
)
@operator("Conv3D", read=["strides", "padding", "dilations"], required={"data_format": ("NDHWC",)})
def convolution(
    x: Value,
    kernel: Value,
    *,
    strides: tuple[int, ...],
    padding: str,
    dilations: tuple[int, ...] = (),
    explicit_paddings: tuple[int, ...] = (),
) -> Value:
    """Images [batch, *sizes, channels] and a kernel [*extents, channels / groups, outputs]."""
    *extents, inputs, outputs = array_of(kernel).shape
    axes = len(extents)
    window = window_of(
        image_sizes(x, axes),
        extents,
        spatial(strides, axes, "strides"),
        spatial(dilations, axes, "dilations"),
        padding,
        explicit_paddings[2:-2],
    )
    channels = channels_of(x)
    if inputs == 0 or channels % inputs or outputs % (channels // inputs):
        raise Refusal(f"{channels} channels meet a kernel for {inputs}")
    groups = channels // inputs
    if inputs == 1 and groups > 1 and window.area <= SHIFTS:
        return over_images(partial(shifted_products, window), x, depthwise_kernel(kernel, groups))
    if groups == 1 and inputs * window.area <= FEW_WEIGHTS:
        return over_images(partial(summed_products, window), x, kernel)
    return over_images(partial(convolved, window, groups), x, kernel)


def depthwise_kernel(kernel: Value, groups: int) -> Value:
    array = array_of(kernel)
    return wrapped(array.reshape((*array.shape[:-2], groups, array.shape[-1] // groups)), kernel)


def convolved(window: Window, groups: int, images: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(
        images,
        kernel,
        window.strides,
        window.padding,
        rhs_dilation=window.dilations,
        dimension_numbers=LAYOUTS[len(window.extents)],
        feature_group_count=groups,
        precision=lax.Precision.HIGHEST,
    )


@operator(
    "DepthwiseConv2dNative", read=["strides", "padding", "explicit_paddings", "dilations"], required={"data_format": ("NHWC",)}
)
def depthwise_convolution(
    x: Value,
    kernel: Value,
    *,
    strides: tuple[int, ...],
    padding: str,
    dilations: tuple[int, ...] = (),
    explicit_paddings: tuple[int, ...] = (),
) -> Value:
    """A kernel [height, width, channels, multiplier]: each channel has its own, and gives `multiplier` channels."""
    height, width, channels, multiplier = array_of(kernel).shape
    if channels != channels_of(x):
        raise Refusal(f"{channels_of(x)} channels meet a kernel for {channels}")
    window = window_of(
        image_sizes(x, 2),
        (height, width),
        spatial(strides, 2, "strides"),
        spatial(dilations, 2, "dilations"),
        padding,
        explicit_paddings[2:-2],
    )
    if window.area <= SHIFTS:
        return over_images(partial(shifted_products, window), x, kernel)

    def grouped(images: jax.Array, weights: jax.Array) -> jax.Array:
        return convolved(window, channels, images, weights.reshape(height, width, 1, channels * multiplier))

    return over_images(grouped, x, kernel)


@partial(jax.jit, static_argnums=0)  # whose name tells what it computes: see `multiply_adds`
def shifted_products(window: Window, images: jax.Array, kernel: jax.Array) -> jax.Array:
    """The sum over a kernel's places [*extents, channels, multiplier] of what it sees there times its weights."""
    *_, channels, multiplier = kernel.shape
    total = None
    for place, seen in window.parts(images, 0):
        weights = kernel[place]
        if multiplier == 1:
            part = seen * weights.reshape((1,) * (seen.ndim - 1) + (channels,))
        else:
            part = seen[..., None] * weights.reshape((1,) * (seen.ndim - 1) + (channels, multiplier))
        total = part if total is None else total + part
    assert total is not None
    return total.reshape((*total.shape[: images.ndim - 1], channels * multiplier))


@partial(jax.jit, static_argnums=0)  # whose name tells what it computes: see `multiply_adds`
def summed_products(window: Window, images: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution by a kernel [*extents, channels, outputs] as the sum of all its weights times what they see."""
    total: jax.Array | None = None
    for place, seen in window.parts(images, 0):
        for channel, weights in enumerate(kernel[place]):
            part = seen[..., channel : channel + 1] * weights.reshape((1,) * (seen.ndim - 1) + (-1,))
            total = part if total is None else total + part
    assert total is not None
    return total


@operator(
    "Conv2DBackpropInput",
    read=["strides", "padding", "explicit_paddings", "dilations"],
    required={"data_format": ("NHWC",)},
    ignored=_IGNORED,
)
@operator("Conv3DBackpropInputV2", read=["strides", "padding", "dilations"], required={"data_format": ("NDHWC",)})
def transposed_convolution(
    sizes: Value,
    kernel: Value,
    x: Value,
    *,
    strides: tuple[int, ...],
    padding: str,
    dilations: tuple[int, ...] = (),
    explicit_paddings: tuple[int, ...] = (),
) -> Value:
    """What a convolution with the kernel [*extents, outputs, channels] has for a gradient: the images that gave `x`."""
    *extents, _, channels = array_of(kernel).shape
    axes = len(extents)
    wanted = tuple(part for part in sizes_of(sizes, "the shape")[1:-1] if not isinstance(part, Rows))
    if isinstance(x, Batched) and not isinstance(sizes_of(sizes, "the shape")[0], Rows):
        raise Refusal("the shape of the result does not begin with the number of rows")
    if len(wanted) != axes or channels != channels_of(x):
        raise Refusal(f"{channels_of(x)} channels meet a kernel for {channels}")
    window = window_of(
        wanted,
        extents,
        spatial(strides, axes, "strides"),
        spatial(dilations, axes, "dilations"),
        padding,
        explicit_paddings[2:-2],
    )
    if window.outputs != image_sizes(x, axes):
        raise Refusal(f"an image of {image_sizes(x, axes)}, not {window.outputs}")
    return over_images(partial(spread_out, window), x, kernel)


def spread_out(window: Window, images: jax.Array, kernel: jax.Array) -> jax.Array:
    axes = len(window.extents)
    flipped = jnp.swapaxes(jnp.flip(kernel, tuple(range(axes))), axes, axes + 1)
    padding = []
    for extent, stride, dilation, size, count, (before, _) in zip(
        window.extents, window.strides, window.dilations, window.sizes, window.outputs, window.padding, strict=True
    ):
        reach = (extent - 1) * dilation + 1
        low = reach - 1 - before
        padding.append((low, size + reach - 1 - ((count - 1) * stride + 1) - low))
    return lax.conv_general_dilated(
        images,
        flipped,
        (1,) * axes,
        padding,
        lhs_dilation=window.strides,
        rhs_dilation=window.dilations,
        dimension_numbers=LAYOUTS[axes],
        precision=lax.Precision.HIGHEST,
    )
