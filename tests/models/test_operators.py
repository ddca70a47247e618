"""Every operator of OPS against TensorFlow on random and extreme data, and the refusal of what they do not understand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from qtensor.lowering.models.tensorflow import import_model
from qtensor.lowering.models.tensorflow.freeze import freeze
from qtensor.lowering.models.tensorflow.lookups import OF_CUT_GRAPHS
from qtensor.lowering.models.tensorflow.registry import OPS
from tests.models.operator_cases import Case, finite, small_integers, tame
from tests.models.operator_cases_of_structures import STRUCTURES
from tests.models.oracle import assert_scores_equal, run

pytestmark = pytest.mark.usefixtures("orientation")

R = tf.raw_ops
RANDOM = np.random.default_rng(7)
DIVISORS = tf.constant([2, -3, 7], tf.int64)
WEIGHT = tf.constant(RANDOM.normal(size=(3, 5)), tf.float32)
VECTOR = tf.constant(RANDOM.normal(size=3), tf.float32)
POSITIVE = tf.constant(RANDOM.random(3) + 0.5, tf.float32)
TABLE = tf.constant(RANDOM.normal(size=(6, 2)), tf.float32)


def classes(rows: int) -> Any:
    return np.random.default_rng(4).integers(0, 7, (rows, 3))


def count_of(x: Any, binary: bool) -> Any:
    return R.DenseBincount(input=x, size=5, weights=tf.zeros([0]), binary_output=binary)


def unary(*names: str, draw: Any = None) -> list[Case]:
    extra = {} if draw is None else {"draw": draw}
    return [Case(name, lambda x, name=name: first_keyword(name, x), **extra) for name in names]


def first_keyword(name: str, x: Any) -> Any:
    operation = getattr(R, name)
    keyword = {"Relu": "features", "Relu6": "features", "Elu": "features", "Selu": "features", "Softplus": "features"}
    keyword |= {"Softsign": "features", "LeakyRelu": "features", "Softmax": "logits", "LogSoftmax": "logits"}
    keyword |= {"Identity": "input", "StopGradient": "input", "PreventGradient": "input"}
    return operation(**{keyword.get(name, "x"): x})


def binary(name: str, dtype: Any = tf.float32, draw: Any = None) -> list[Case]:
    """Batch with batch, with a row of weights, and with a scalar on the left."""
    operation = getattr(R, name)
    scalar = tf.constant(2, dtype)
    row = tf.cast(tf.constant([2, 3, 5]), dtype)
    extra = {"dtype": dtype} if draw is None else {"dtype": dtype, "draw": draw}
    return [
        Case(name, lambda x: operation(x=x, y=x[:, ::-1]), **extra, label="batch"),
        Case(name, lambda x: operation(x=x, y=row), **extra, label="row"),
        Case(name, lambda x: operation(x=x[:, :1], y=x), **extra, label="column"),
        Case(name, lambda x: operation(x=scalar, y=x), **extra, label="scalar"),
    ]


CASES = [
    *unary(
        "Abs", "Ceil", "Elu", "Erf", "Erfc", "Exp", "Expm1", "Floor", "IsFinite", "IsInf", "IsNan", "LeakyRelu", "Log", "Log1p"
    ),
    *unary("Neg", "OnesLike", "Reciprocal", "Relu", "Relu6", "Rint", "Round", "Rsqrt", "Selu", "Sigmoid", "Sign", "Softplus"),
    *unary("Softsign", "Sqrt", "Square", "Tanh", "ZerosLike", "LogSoftmax", "Identity", "StopGradient", "PreventGradient"),
    *unary("Sin", "Cos", draw=tame),
    *unary("Softmax", draw=finite),
]
for _name in ("Add", "AddV2", "DivNoNan", "FloorDiv", "FloorMod", "Maximum", "Minimum", "Mul", "RealDiv", "Div", "Sub"):
    CASES += binary(_name, draw=tame if _name == "FloorMod" else None)
for _name in ("SquaredDifference", "Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual"):
    CASES += binary(_name)
for _name in ("AddV2", "Sub", "Mul", "Maximum", "Minimum", "Equal", "Less", "SquaredDifference"):
    CASES += binary(_name, tf.int32, small_integers)
CASES += [
    *(Case(n, lambda x, n=n: getattr(R, n)(x=x, y=DIVISORS), tf.int64, small_integers) for n in ("FloorDiv", "FloorMod")),
    Case("Pow", lambda x: R.Pow(x=tf.abs(x), y=tf.constant(1.5)), draw=tame),
    Case("Pow", lambda x: R.Pow(x=x, y=x[:, ::-1]), draw=tame, label="batch"),
    Case("Pow", lambda x: R.Pow(x=x, y=tf.constant(3)), tf.int32, small_integers, label="integer"),
    Case("LeakyRelu", lambda x: R.LeakyRelu(features=x, alpha=0.5), label="alpha"),
    Case("ClipByValue", lambda x: R.ClipByValue(t=x, clip_value_min=tf.constant(-1.0), clip_value_max=tf.constant(1.0))),
    Case("LogicalAnd", lambda x: R.LogicalAnd(x=x > 0, y=x[:, ::-1] < 1)),
    Case("LogicalOr", lambda x: R.LogicalOr(x=x > 0, y=x[:, ::-1] < 1)),
    Case("LogicalNot", lambda x: R.LogicalNot(x=tf.math.is_finite(x))),
    Case("SelectV2", lambda x: tf.where(x > 0, x, 0.5)),
    Case("SelectV2", lambda x: tf.where(x[:, :1] > 0, x, VECTOR), label="broadcast"),
    Case("Select", lambda x: R.Select(condition=x > 0, x=x, y=-x)),
    Case("Select", lambda x: R.Select(condition=x[:, 0] > 0, x=x, y=-x), label="rows"),
    Case("AddN", lambda x: R.AddN(inputs=[x, x * 2, -x]), draw=tame),
    Case("DenseBincount", lambda x: count_of(x, False), tf.int32, classes),
    Case("DenseBincount", lambda x: count_of(x, True), tf.int32, classes, label="binary"),
    Case("Bucketize", lambda x: R.Bucketize(input=x, boundaries=[-1.0, 0.0, 2.5])),
    Case("Bucketize", lambda x: R.Bucketize(input=x, boundaries=[number / 8 for number in range(-50, 50)]), label="many"),
    Case("MatMul", lambda x: x @ WEIGHT, draw=tame),
    Case("MatMul", lambda x: tf.matmul(x, tf.transpose(WEIGHT), transpose_b=True), draw=tame, label="transposed"),
    Case("MatMul", lambda x: x @ tf.constant(RANDOM.normal(size=(3, 1)), tf.float32), draw=tame, label="one output"),
    Case("MatMul", lambda x: tf.nn.relu(x @ wide(3, 100)) @ wide(100, 20) @ wide(20, 150), draw=tame, label="wide"),
    Case("MatMul", lambda x: x @ tf.constant([[1, 2], [3, 4], [5, 6]]), tf.int32, small_integers, label="integer"),
    Case("MatMul", lambda x: x @ (WEIGHT @ wide(5, 5)), draw=tame, label="weights"),
    Case("BatchMatMulV2", lambda x: R.BatchMatMulV2(x=x[:, None, :], y=WEIGHT), draw=tame),
    Case("BatchMatMulV2", lambda x: R.BatchMatMulV2(x=x, y=tf.transpose(WEIGHT), adj_y=True), draw=tame, label="adjoint"),
    Case("BatchMatMul", lambda x: R.BatchMatMul(x=x, y=WEIGHT), draw=tame),
    Case("BiasAdd", lambda x: tf.nn.bias_add(x, VECTOR)),
    Case(
        "FusedBatchNormV3",
        lambda x: R.FusedBatchNormV3(
            x=x[:, None, None, :], scale=VECTOR, offset=VECTOR, mean=VECTOR, variance=POSITIVE, is_training=False
        )[0],
        draw=tame,
    ),
    Case("OneHot", lambda x: tf.one_hot(x[:, 0], 5), tf.int32, small_integers),
    Case("OneHot", lambda x: tf.one_hot(x, 4, on_value=2.0, off_value=-1.0), tf.int64, small_integers, label="values"),
    Case("GatherV2", lambda x: tf.gather(TABLE, x % 6), tf.int32, small_integers, label="embedding"),
    Case("GatherV2", lambda x: tf.gather(x, [2, 0], axis=1), label="features"),
    Case("GatherV2", lambda x: tf.gather(x, 1, axis=-1), label="feature"),
    Case("GatherV2", lambda x: tf.gather(VECTOR, [2, 0, 1]) + x, label="weights"),
    Case("GatherV2", lambda x: three(tf.reshape(x, tf.gather(tf.shape(x), [0, 1]))), label="shape"),
    *(Case(n, lambda x, n=n: getattr(R, n)(input=x, axis=1)) for n in ("Max", "Min")),
    *(Case(n, lambda x, n=n: getattr(R, n)(input=x, axis=[-1], keep_dims=True), draw=tame) for n in ("Sum", "Mean", "Prod")),
    *(Case(n, lambda x, n=n: getattr(R, n)(input=x > 0, axis=[1])) for n in ("All", "Any")),
    *(
        Case(n, lambda x, n=n: getattr(R, n)(input=x, axis=[1]), tf.int32, small_integers, label="integer")
        for n in ("Sum", "Prod", "Max")
    ),
    Case("Sum", lambda x: tf.reduce_sum(x[:, None, :] * tf.ones([2, 1]), axis=[1, 2]), draw=tame, label="two axes"),
    Case("Sum", lambda x: x * tf.reduce_sum(WEIGHT, axis=1), draw=tame, label="weights"),
    Case("Prod", lambda x: tf.reshape(x, [tf.reduce_prod(tf.shape(x)[:1]), 3]), label="shape"),
    Case("ArgMax", lambda x: tf.argmax(x, 1)),
    Case("ArgMax", lambda x: tf.argmax(x @ wide(3, 90), 1, output_type=tf.int32), draw=tame, label="many"),
    Case("ArgMax", lambda x: tf.argmax(x, -1), tf.int32, small_integers, label="integer"),
    Case("ArgMax", lambda x: tf.argmax(tf.nn.softmax(x), 1), draw=finite, label="softmax"),
    Case("ArgMin", lambda x: tf.argmin(x, 1)),
    Case("ArgMin", lambda x: tf.argmin(x, 1, output_type=tf.int32), tf.int32, small_integers, label="integer"),
    *(
        Case("Cumsum", lambda x, e=e, r=r: tf.cumsum(x, 1, exclusive=e, reverse=r), draw=tame, label=f"{e} {r}")
        for e in (False, True)
        for r in (False, True)
    ),
    Case("IdentityN", lambda x: R.IdentityN(input=[x, -x])[1]),
    Case("Shape", lambda x: tf.zeros(tf.shape(x)) + x),
    Case("Rank", lambda x: x * R.Cast(x=R.Rank(input=x), DstT=tf.float32)),
    Case("Size", lambda x: tf.reshape(x, [R.Size(input=x[:, 0]), 3])),
    Case("Size", lambda x: x * R.Cast(x=R.Size(input=WEIGHT), DstT=tf.float32), label="weights"),
    Case("Reshape", lambda x: tf.reshape(x, [-1, 3, 1])),
    Case("Reshape", lambda x: tf.reshape(tf.reshape(x, [tf.shape(x)[0], 1, -1]), [-1, 3]), label="inferred"),
    Case("Reshape", lambda x: tf.reshape(x[:, 1], [-1]), label="one"),
    Case("ExpandDims", lambda x: tf.expand_dims(tf.expand_dims(x, -1), 1)),
    Case("ExpandDims", lambda x: tf.reshape(x, tf.concat([tf.expand_dims(tf.shape(x)[0], 0), [3]], 0)), label="shape"),
    Case("Squeeze", lambda x: tf.squeeze(x[:, None, :], 1)),
    Case("Squeeze", lambda x: tf.squeeze(x[:, :1], [-1]), label="negative"),
    Case("ConcatV2", lambda x: tf.concat([x, -x, x[:, :1]], 1)),
    Case("ConcatV2", lambda x: tf.reshape(x, tf.concat([tf.shape(x)[:1], [1, 3]], 0)), label="shape"),
    Case("Pack", lambda x: tf.stack([x[:, 0], x[:, 2]], axis=1)),
    Case("Pack", lambda x: tf.stack([x, -x], axis=-1), label="last"),
    Case("Pack", lambda x: tf.reshape(x, tf.stack([tf.shape(x)[0], 3])), label="shape"),
    Case("Unpack", lambda x: R.Unpack(value=x, num=3, axis=1)[2]),
    Case("Split", lambda x: tf.split(x @ WEIGHT[:, :4], 2, axis=1)[1], draw=tame),
    Case("SplitV", lambda x: tf.split(x, [1, 2], axis=1)[1]),
    Case("SplitV", lambda x: tf.split(x, [2, -1], axis=1)[0], label="rest"),
    Case("Transpose", lambda x: tf.transpose(x[:, None, :] * tf.ones([2, 1]), [0, 2, 1])),
    Case("Transpose", lambda x: x @ tf.transpose(wide(4, 3)), draw=tame, label="weights"),
    Case("Tile", lambda x: tf.tile(x, [1, 2])),
    Case("Fill", lambda x: tf.fill([tf.shape(x)[0], 3], 2.0) + x),
    Case("Fill", lambda x: tf.fill([3], 2.0) + x, label="static"),
    Case("BroadcastTo", lambda x: tf.broadcast_to(x[:, :1], tf.shape(x))),
    Case("BroadcastTo", lambda x: tf.broadcast_to(VECTOR, tf.shape(x)) * x, label="weights"),
    Case("BroadcastTo", lambda x: x * tf.broadcast_to(VECTOR[:1], [3]), label="static"),
    Case("Range", lambda x: x * tf.cast(tf.range(3), tf.float32)),
    Case("Mul", lambda x: tf.reshape(x, [tf.shape(x)[0] * 1, 3]), label="shape"),
    Case("StridedSlice", lambda x: x[:, 1]),
    Case("StridedSlice", lambda x: x[:, ::-2], label="negative stride"),
    Case("StridedSlice", lambda x: x[..., -1], label="ellipsis"),
    Case("StridedSlice", lambda x: x[:, tf.newaxis, 1:], label="new axis"),
    Case("StridedSlice", lambda x: x * WEIGHT[1:2, :3], label="weights"),
    Case("Cast", lambda x: tf.cast(x, tf.int32)),
    Case("Cast", lambda x: tf.cast(x, tf.int64), label="int64"),
    Case("Cast", lambda x: tf.cast(x, tf.bool), label="bool"),
    Case("Cast", lambda x: tf.cast(x, tf.float64), label="float64"),
    Case("Cast", lambda x: tf.cast(x, tf.bfloat16), label="bfloat16"),
    Case("Cast", lambda x: tf.cast(x, tf.float16), label="float16"),
    Case("Cast", lambda x: tf.cast(x > 0, tf.float32), label="from bool"),
    Case("Cast", lambda x: tf.cast(x * 100, tf.int8), tf.int32, small_integers, label="int8"),
]
CASES += STRUCTURES


def three(tensor: Any) -> Any:
    """The tensor, of which TensorFlow's tracing lost sight that it is [batch, 3]."""
    tensor.set_shape([None, 3])
    return tensor


def wide(inputs: int, outputs: int) -> Any:
    values = np.random.default_rng(inputs * outputs).normal(size=(inputs, outputs)) / np.sqrt(inputs)
    return tf.constant(values, tf.float32)


def as_scores(tensor: Any) -> Any:
    """Any batch as one that a model may return: [batch, k], floating."""
    width = int(np.prod(tensor.shape[1:]))
    flat = tf.reshape(tensor, [tf.shape(tensor)[0], width])
    return flat if tensor.dtype in (tf.float16, tf.bfloat16, tf.float32) else tf.cast(flat, tf.float64)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op} {case.label} {case.dtype.name}")
def test_operator_equals_tensorflow(case: Case) -> None:
    signature = [tf.TensorSpec([None, 3], case.dtype)]
    function = tf.function(lambda x: as_scores(case.function(x)), input_signature=signature, autograph=False)
    frozen = freeze(function.get_concrete_function())
    nodes = [*frozen.nodes.values(), *(node for called in frozen.functions.values() for node in called.node_def)]
    assert case.op in {node.op for node in nodes}
    model = import_model("case", function)
    rows = np.asarray(case.draw(203), case.dtype.as_numpy_dtype)
    expected = tf.cast(function(tf.constant(rows)), tf.float64).numpy()
    found = run(model, *rows.T)
    if case.scaled:
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=1)
        found, expected = found / scale, expected / scale
    assert_scores_equal(found, expected)


def test_every_operator_has_a_case() -> None:
    """Those that only cut graphs have are in `test_text.py`."""
    assert OPS.keys() - OF_CUT_GRAPHS == {case.op for case in CASES}
