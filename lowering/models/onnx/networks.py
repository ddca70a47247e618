"""ONNX operators of networks: matrix products, convolutions, pools, norms, reductions, recurrent layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from qtensor.lowering.models.onnx.registry import Array, Node, NotConvertedError, axis_of, integers, operator, same_rank

FULL = lax.Precision.HIGHEST
WIDEST = 1 << 20  # strides, dilations and pads


@operator("MatMul")
def matmul(node: Node, left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=FULL)


@operator("MatMulInteger")
def matmul_integer(node: Node, left: Array, right: Array, left_zero: Any = None, right_zero: Any = None) -> Array:
    left = left.astype(jnp.int32) - (0 if left_zero is None else jnp.reshape(left_zero, (1,) * left.ndim).astype(jnp.int32))
    if right_zero is not None and right_zero.size > 1:
        raise NotConvertedError("has a zero point for each column")
    right = right.astype(jnp.int32) - (0 if right_zero is None else jnp.reshape(right_zero, (1,) * right.ndim).astype(jnp.int32))
    return jnp.matmul(left, right)


@operator("Gemm")
def gemm(node: Node, left: Array, right: Array, shift: Array | None = None) -> Array:
    left = left.T if node.get("transA", 0) else left
    right = right.T if node.get("transB", 0) else right
    product = jnp.matmul(left, right, precision=FULL)
    product = product if node.get("alpha", 1.0) == 1 else product * node.get("alpha", 1.0)
    if shift is None:
        node.ignore("beta")
        return product
    product, shift = same_rank(product, shift)
    return product + (shift if node.get("beta", 1.0) == 1 else shift * node.get("beta", 1.0))


@operator("Einsum")
def einsum(node: Node, *values: Array) -> Array:
    return jnp.einsum(node.get("equation").replace(" ", ""), *values, precision=FULL)


def windows(node: Node, x: Array, kernel: Sequence[int], *, ceil: bool = False) -> tuple[Any, Any, Any]:
    """The strides, dilations and paddings of a convolution or pool over the axes behind the channels."""
    axes = len(kernel)
    strides = tuple(node.get("strides") or [1] * axes)
    dilations = tuple(node.get("dilations") or [1] * axes)
    if any(not 0 < one <= WIDEST for one in (*strides, *dilations)) or any(abs(one) > WIDEST for one in node.get("pads") or ()):
        raise NotConvertedError("has strides, dilations or pads that no picture has")
    reach = [(size - 1) * by + 1 for size, by in zip(kernel, dilations, strict=True)]
    match node.get("auto_pad", "NOTSET"):
        case "NOTSET":
            pads = node.get("pads") or [0] * 2 * axes
            padding = list(zip(pads[:axes], pads[axes:], strict=True))
        case "VALID":
            node.ignore("pads")
            padding = [(0, 0)] * axes
        case kind:
            node.ignore("pads")
            padding = []
            for size, by, own in zip(x.shape[2:], strides, reach, strict=True):
                total = max((-(-size // by) - 1) * by + own - size, 0)
                padding.append((total // 2, total - total // 2) if kind == "SAME_UPPER" else (total - total // 2, total // 2))
    if ceil:
        for axis, (size, by, own) in enumerate(zip(x.shape[2:], strides, reach, strict=True)):
            low, high = padding[axis]
            places = -(-(size + low + high - own) // by) + 1
            if (places - 1) * by >= size + low:  # the last window would begin in the padding
                places -= 1
            padding[axis] = (low, max((places - 1) * by + own - size - low, high))
    return strides, dilations, padding


@operator("Conv")
def conv(node: Node, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    node.ignore("kernel_shape")
    strides, dilations, padding = windows(node, x, kernel.shape[2:])
    found = lax.conv_general_dilated(
        x, kernel, strides, padding, rhs_dilation=dilations, feature_group_count=node.get("group", 1), precision=FULL
    )
    return found if bias is None else found + channelled(bias, found.ndim)


def channelled(value: Array, rank: int) -> Array:
    return jnp.reshape(value, (1, -1) + (1,) * (rank - 2))


@operator("ConvTranspose")
def conv_transpose(node: Node, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    node.ignore("kernel_shape")
    axes, groups = kernel.ndim - 2, node.get("group", 1)
    strides, dilations = node.get("strides") or [1] * axes, node.get("dilations") or [1] * axes
    beyond = node.get("output_padding") or [0] * axes
    if node.get("auto_pad", "NOTSET") != "NOTSET" or node.get("output_shape") is not None:
        raise NotConvertedError("says its output's shape, not its padding")
    pads = node.get("pads") or [0] * 2 * axes
    reach = [(size - 1) * by + 1 for size, by in zip(kernel.shape[2:], dilations, strict=True)]
    padding = [(own - 1 - pads[a], own - 1 - pads[a + axes] + beyond[a]) for a, own in enumerate(reach)]
    flipped = jnp.flip(kernel, tuple(range(2, kernel.ndim)))
    inside, outside = kernel.shape[:2]
    grouped = flipped.reshape(groups, inside // groups, outside, *kernel.shape[2:]).swapaxes(1, 2)
    turned = grouped.reshape(groups * outside, inside // groups, *kernel.shape[2:])
    found = lax.conv_general_dilated(
        x, turned, [1] * axes, padding, lhs_dilation=strides, rhs_dilation=dilations, feature_group_count=groups, precision=FULL
    )
    return found if bias is None else found + channelled(bias, found.ndim)


@operator("MaxPool", "AveragePool")
def pool(node: Node, x: Array) -> Array:
    node.ignore("storage_order")
    if len(node.outputs) > 1 and node.outputs[1]:
        raise NotConvertedError("gives the places of greatest elements, which is not supported")
    kernel = tuple(node.get("kernel_shape"))
    ceil = bool(node.get("ceil_mode", 0))
    strides, dilations, padding = windows(node, x, kernel, ceil=ceil)
    shape, by, wide = (1, 1, *kernel), (1, 1, *strides), (1, 1, *dilations)
    pads = ((0, 0), (0, 0), *padding)
    if node.kind == "MaxPool":
        least = -np.inf if jnp.issubdtype(x.dtype, jnp.floating) else np.iinfo(x.dtype).min
        return lax.reduce_window(x, jnp.asarray(least, x.dtype), lax.max, shape, by, pads, window_dilation=wide)
    zero = jnp.asarray(0, x.dtype)
    total = lax.reduce_window(x, zero, lax.add, shape, by, pads, window_dilation=wide)
    inside = jnp.ones_like(x)
    if node.get("count_include_pad", 0):
        _, _, own = windows(node, x, kernel)
        inside = jnp.pad(inside, ((0, 0), (0, 0), *own), constant_values=1)
        pads = ((0, 0), (0, 0), *((0, high - its[1]) for (_, high), its in zip(padding, own, strict=True)))
    return total / lax.reduce_window(inside, zero, lax.add, shape, by, pads, window_dilation=wide)


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node: Node, x: Array) -> Array:
    axes = tuple(range(2, x.ndim))
    return x.mean(axes, keepdims=True) if node.kind == "GlobalAveragePool" else x.max(axes, keepdims=True)


@operator("BatchNormalization")
def batch_norm(node: Node, x: Array, scale: Array, shift: Array, mean: Array, variance: Array) -> Array:
    node.ignore("momentum", "spatial")
    if node.get("training_mode", 0):
        raise NotConvertedError("is in training mode: one row's result would depend on others")
    factor = scale / jnp.sqrt(variance + jnp.asarray(node.get("epsilon", 1e-5), variance.dtype))
    return x * channelled(factor, x.ndim) + channelled(shift - mean * factor, x.ndim)


@operator("LayerNormalization", "RMSNormalization")
def layer_norm(node: Node, x: Array, scale: Array, shift: Array | None = None) -> Array:
    node.ignore("stash_type")
    axes = tuple(range(axis_of(node.get("axis", -1), x.ndim), x.ndim))
    centred = x - x.mean(axes, keepdims=True) if node.kind == "LayerNormalization" else x
    variance = jnp.square(centred).mean(axes, keepdims=True)
    normal = centred / jnp.sqrt(variance + jnp.asarray(node.get("epsilon", 1e-5), x.dtype))
    normal, scale = same_rank(normal, scale)
    return normal * scale if shift is None else normal * scale + same_rank(normal, shift)[1]


@operator("InstanceNormalization")
def instance_norm(node: Node, x: Array, scale: Array, shift: Array) -> Array:
    axes = tuple(range(2, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    variance = jnp.square(centred).mean(axes, keepdims=True)
    normal = centred / jnp.sqrt(variance + jnp.asarray(node.get("epsilon", 1e-5), x.dtype))
    return normal * channelled(scale, x.ndim) + channelled(shift, x.ndim)


@operator("LpNormalization")
def lp_norm(node: Node, x: Array) -> Array:
    axis, power = node.get("axis", -1), node.get("p", 2)
    size = jnp.abs(x).sum(axis, keepdims=True) if power == 1 else jnp.sqrt((x * x).sum(axis, keepdims=True))
    return jnp.where(size == 0, jnp.zeros_like(x), x / jnp.where(size == 0, jnp.ones_like(size), size))


@operator("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: Node, x: Array) -> Array:
    """Before version 13 over all axes from `axis` on."""
    default = -1 if node.opset >= 13 else 1
    axis = axis_of(node.get("axis", default), x.ndim)
    if node.opset < 13 and axis != x.ndim - 1:
        flat = x.reshape(math.prod(x.shape[:axis]), -1)
        return along_axis(node.kind, flat, 1).reshape(x.shape)
    return along_axis(node.kind, x, axis)


def along_axis(kind: str, x: Array, axis: int) -> Array:
    match kind:
        case "Softmax":
            return jax.nn.softmax(x, axis)
        case "LogSoftmax":
            return jax.nn.log_softmax(x, axis)
        case _:
            return jax.nn.one_hot(jnp.argmax(x, axis), x.shape[axis], dtype=x.dtype, axis=axis)


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceSum": jnp.sum, "ReduceMean": jnp.mean, "ReduceMax": jnp.max, "ReduceMin": jnp.min, "ReduceProd": jnp.prod,
    "ReduceL1": lambda x, axes, keepdims: jnp.sum(jnp.abs(x), axes, keepdims=keepdims),
    "ReduceL2": lambda x, axes, keepdims: jnp.sqrt(jnp.sum(x * x, axes, keepdims=keepdims)),
    "ReduceLogSum": lambda x, axes, keepdims: jnp.log(jnp.sum(x, axes, keepdims=keepdims)),
    "ReduceLogSumExp": lambda x, axes, keepdims: jax.scipy.special.logsumexp(x, axes, keepdims=keepdims),
    "ReduceSumSquare": lambda x, axes, keepdims: jnp.sum(x * x, axes, keepdims=keepdims),
}  # fmt: skip


@operator(*REDUCTIONS)
def reduce(node: Node, x: Array, axes: Array | None = None) -> Array:
    listed = node.get("axes") if axes is None else integers(axes, "axes")
    keep, nothing = bool(node.get("keepdims", 1)), bool(node.get("noop_with_empty_axes", 0))
    if not listed and nothing:
        return x
    chosen = tuple(axis_of(axis, x.ndim) for axis in listed) if listed else tuple(range(x.ndim))
    if 0 in x.shape:
        raise NotConvertedError("reduces no numbers to one")
    found = REDUCTIONS[node.kind](x, chosen, keepdims=keep)
    return found.astype(x.dtype)


@operator("ArgMax", "ArgMin")
def arg_max(node: Node, x: Array) -> Array:
    axis = axis_of(node.get("axis", 0), x.ndim)
    find = jnp.argmax if node.kind == "ArgMax" else jnp.argmin
    found = find(jnp.flip(x, axis), axis) if node.get("select_last_index", 0) else find(x, axis)
    found = x.shape[axis] - 1 - found if node.get("select_last_index", 0) else found
    found = found.astype(jnp.int64)
    return jnp.expand_dims(found, axis) if node.get("keepdims", 1) else found


@operator("CumSum")
def cum_sum(node: Node, x: Array, axis: Array) -> Array:
    along = axis_of(integers(axis, "axis")[0], x.ndim)
    x = jnp.flip(x, along) if node.get("reverse", 0) else x
    found = jnp.cumsum(x, along)
    found = found - x if node.get("exclusive", 0) else found
    return jnp.flip(found, along) if node.get("reverse", 0) else found


@operator("TopK")
def top_k(node: Node, x: Array, count: Array) -> Any:
    node.ignore("sorted")
    axis, k = axis_of(node.get("axis", -1), x.ndim), integers(count, "k")[0]
    moved = jnp.moveaxis(x, axis, -1)
    order = jnp.argsort(moved, -1, stable=True, descending=bool(node.get("largest", 1)))[..., :k]
    values = jnp.take_along_axis(moved, order, -1)
    return jnp.moveaxis(values, -1, axis), jnp.moveaxis(order, -1, axis).astype(jnp.int64)


@operator("LSTM", "GRU", "RNN")
def recurrent(node: Node, x: Array, weights: Array, own: Array, bias: Any = None, lengths: Any = None, *states: Any) -> Any:
    """Sequences [steps, rows, features], in one or both directions, in ONNX's order of gates."""
    if lengths is not None:
        raise NotConvertedError("has sequences of different lengths, which is not supported")
    if node.get("clip") is not None or node.get("input_forget", 0) or node.get("layout", 0):
        raise NotConvertedError("has clip, input_forget or layout, which are not supported")
    if len(states) > 2 and states[2] is not None:
        raise NotConvertedError("has peepholes, which are not supported")
    direction, hidden = node.get("direction", "forward"), node.get("hidden_size")
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[node.kind]
    node.ignore("activation_alpha", "activation_beta")
    usual = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}[node.kind]
    if [str(one) for one in node.get("activations") or usual * weights.shape[0]] != usual * weights.shape[0]:
        raise NotConvertedError("has activations other than its own")
    outputs, lasts = [], []
    for number in range(weights.shape[0]):
        reverse = direction == "reverse" or number == 1
        zero = jnp.zeros((x.shape[1], hidden), x.dtype)
        start = [zero if state is None else state[number] for state in (*states[:2], None, None)[:2]]
        biases = jnp.zeros(2 * gates * hidden, x.dtype) if bias is None else bias[number]
        step = STEPS[node.kind](node, weights[number].T, own[number].T, biases[: gates * hidden], biases[gates * hidden :])
        (last, cell), found = lax.scan(step, (start[0], start[1]), x, reverse=reverse)
        outputs.append(found)
        lasts.append((last, cell))
    last = jnp.stack([one for one, _ in lasts])
    return (jnp.stack(outputs, 1), last, jnp.stack([cell for _, cell in lasts]))[: 3 if node.kind == "LSTM" else 2]


def times(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=FULL)


def lstm_step(node: Node, weights: Array, own: Array, bias: Array, own_bias: Array) -> Any:
    def step(state: Any, x: Array) -> Any:
        last, cell = state
        found = times(x, weights) + times(last, own) + (bias + own_bias)[None]
        first, out, forget, new = jnp.split(found, 4, -1)
        cell = jax.nn.sigmoid(forget) * cell + jax.nn.sigmoid(first) * jnp.tanh(new)
        last = jax.nn.sigmoid(out) * jnp.tanh(cell)
        return (last, cell), last

    return step


def gru_step(node: Node, weights: Array, own: Array, bias: Array, own_bias: Array) -> Any:
    after = bool(node.get("linear_before_reset", 0))

    def step(state: Any, x: Array) -> Any:
        last, unused = state
        update, reset, new = jnp.split(times(x, weights) + bias[None], 3, -1)
        own_update, own_reset, own_new = jnp.split(own, 3, -1)
        shift_update, shift_reset, shift_new = (one[None] for one in jnp.split(own_bias, 3))
        update = jax.nn.sigmoid(update + times(last, own_update) + shift_update)
        reset = jax.nn.sigmoid(reset + times(last, own_reset) + shift_reset)
        if after:
            new = jnp.tanh(new + reset * (times(last, own_new) + shift_new))
        else:
            new = jnp.tanh(new + times(reset * last, own_new) + shift_new)
        last = (1 - update) * new + update * last
        return (last, unused), last

    return step


def rnn_step(node: Node, weights: Array, own: Array, bias: Array, own_bias: Array) -> Any:
    def step(state: Any, x: Array) -> Any:
        last = jnp.tanh(times(x, weights) + times(state[0], own) + (bias + own_bias)[None])
        return (last, state[1]), last

    return step


STEPS: dict[str, Callable[..., Any]] = {"LSTM": lstm_step, "GRU": gru_step, "RNN": rnn_step}
