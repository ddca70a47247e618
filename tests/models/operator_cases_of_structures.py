"""Cases of operators on more than rows of features: products, images, loops, lists, gathers, orders; and the rarer numeric ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tests.models.operator_cases import Case, finite, small_integers, tame

R = tf.raw_ops
RANDOM = np.random.default_rng(11)


def weights(*shape: int) -> Any:
    return tf.constant(RANDOM.normal(size=shape), tf.float32)


SPREAD, KERNEL, DEEP, CUBES = weights(3, 48), weights(3, 2, 2, 5), weights(3, 3, 2, 2), weights(2, 2, 2, 2, 3)
VARIABLE = tf.Variable(weights(3, 3))
IDS = tf.constant([0, 0, 2, 2, 3, 3])
UNSORTED = tf.constant([2, 0, -1, 2, 0, 3])
FILTERS = weights(3, 3, 4, 2)


def image(x: Any) -> Any:
    """[n, 4, 6, 2]"""
    return tf.reshape(x @ SPREAD, [-1, 4, 6, 2])


def cube(x: Any) -> Any:
    """[n, 4, 3, 2, 2]"""
    return tf.reshape(x @ SPREAD, [-1, 4, 3, 2, 2])


def sequence(x: Any) -> Any:
    """[n, 6, 8]"""
    return tf.reshape(x @ SPREAD, [-1, 6, 8])


def places(x: Any, most: int = 6) -> Any:
    """int32 [n, 3] from 0 to below `most`"""
    return tf.cast(tf.abs(x), tf.int32) % most


def wide(width: int, x: Any) -> Any:
    """`x`, of which TensorFlow's tracing lost sight that it is [batch, width]."""
    return tf.ensure_shape(x, [None, width])


def case(op: str, function: Callable[[Any], Any], label: str = "", dtype: Any = tf.float32) -> Case:
    return Case(op, function, dtype, tame if dtype.is_floating else small_integers, label, scaled=True)


PRODUCTS = [
    case("BatchMatMulV2", lambda x: tf.matmul(sequence(x), sequence(x), transpose_b=True), "batches"),
    case("BatchMatMulV2", lambda x: tf.matmul(sequence(x), weights(8, 3)), "weights on the right"),
    case("BatchMatMulV2", lambda x: tf.matmul(weights(5, 6), sequence(x)), "weights on the left"),
    case("BatchMatMulV2", lambda x: tf.matmul(image(x), image(x), transpose_a=True), "of stacks"),
    case("BatchMatMulV2", lambda x: tf.matmul(sequence(x)[:, None], image(x)[:, :, :, :1] * tf.ones([1, 1, 1, 6]), transpose_a=True)[:, :, 0], "broadcast"),
    case("BatchMatMul", lambda x: R.BatchMatMul(x=sequence(x), y=sequence(x), adj_x=True)),
    case("BatchMatMulV3", lambda x: R.BatchMatMulV3(x=sequence(x), y=sequence(x), adj_y=True, Tout=tf.float32)),
    case("MatMul", lambda x: tf.matmul(tf.transpose(x), weights(3, 5), transpose_a=True), "of the batch on its side"),
    case("MatMul", lambda x: tf.transpose(tf.matmul(weights(5, 3), tf.transpose(x))), "of weights and the batch"),
    case("MatMul", lambda x: tf.tensordot(sequence(x), weights(8, 3), 1), "of merged rows"),
    case("Einsum", lambda x: tf.einsum("btf,bsf->bts", sequence(x), sequence(x)), "attention"),
    case("Einsum", lambda x: tf.einsum("abc,cde->abde", sequence(x), weights(8, 2, 3)), "heads"),
    case("Einsum", lambda x: tf.einsum("...i,ij->...j", sequence(x), weights(8, 4)), "ellipsis"),
    case("Einsum", lambda x: tf.einsum("tbf,bft->bt", tf.transpose(sequence(x), [1, 0, 2]), tf.transpose(sequence(x), [0, 2, 1])), "batch in the middle"),
    case("Einsum", lambda x: tf.einsum("bi->b", x), "one"),
]  # fmt: skip
CONVOLUTIONS = [
    *(
        case("Conv2D", lambda x, k=k, p=p, s=s, d=d: tf.nn.conv2d(image(x), k, s, p, dilations=d), f"{k.shape} {p} {s} {d}")
        for k in (KERNEL, weights(4, 5, 2, 5))
        for p, s, d in (("SAME", 1, 1), ("SAME", [2, 1], 1), ("VALID", 1, 1), ("SAME", 1, 2), ([[0, 0], [1, 0], [2, 3], [0, 0]], 1, 1))
    ),
    case("Conv2D", lambda x: tf.nn.conv2d(tf.reshape(x @ SPREAD, [-1, 4, 3, 4]), weights(3, 2, 2, 6), 1, "SAME"), "groups"),
    case("Conv2D", lambda x: tf.nn.conv2d(tf.reshape(x @ SPREAD, [-1, 4, 3, 4]), weights(3, 2, 1, 8), 1, "SAME"), "a group for each channel"),
    case("Conv2D", lambda x: tf.nn.conv1d(sequence(x), weights(3, 8, 2), 1, "SAME"), "one dimension"),
    case("Conv3D", lambda x: tf.nn.conv3d(cube(x), weights(3, 3, 3, 2, 2), [1, 2, 1, 1, 1], "SAME"), "many weights"),
    case("Conv3D", lambda x: tf.nn.conv3d(cube(x), CUBES, [1] * 5, "SAME")),
    case("DepthwiseConv2dNative", lambda x: tf.nn.depthwise_conv2d(image(x), DEEP, [1] * 4, "SAME")),
    case("DepthwiseConv2dNative", lambda x: tf.nn.depthwise_conv2d(image(x), DEEP[..., :1], [1, 2, 2, 1], "VALID"), "strides"),
    case("DepthwiseConv2dNative", lambda x: tf.nn.depthwise_conv2d(image(x), weights(9, 9, 2, 2), [1] * 4, "SAME"), "wide"),
    *(
        case("Conv2DBackpropInput", lambda x, p=p, s=s, o=o: tf.nn.conv2d_transpose(image(x), weights(3, 3, 4, 2), tf.stack([tf.shape(x)[0], *o, 4]), s, p), f"{p} {s}")
        for p, s, o in (("SAME", 1, (4, 6)), ("SAME", 2, (8, 12)), ("SAME", 2, (7, 11)), ("VALID", 1, (6, 8)), ("VALID", 2, (9, 13)))
    ),
    case("Conv3DBackpropInputV2", lambda x: tf.nn.conv3d_transpose(cube(x), weights(2, 2, 2, 3, 2), tf.stack([tf.shape(x)[0], 8, 6, 4, 3]), 2, "SAME")),
]  # fmt: skip
IMAGES = [
    *(
        case("MaxPool", lambda x, k=k, p=p: tf.nn.max_pool2d(image(x), k, 2, p), f"{k} {p}")
        for k, p in ((2, "VALID"), (3, "SAME"), ([4, 5], "SAME"))
    ),
    *(
        case("AvgPool", lambda x, k=k, p=p: tf.nn.avg_pool2d(image(x), k, 2, p), f"{k} {p}")
        for k, p in ((2, "VALID"), (3, "SAME"), ([4, 5], "SAME"))
    ),
    case("MaxPoolV2", lambda x: R.MaxPoolV2(input=image(x), ksize=[1, 2, 2, 1], strides=[1, 1, 1, 1], padding="SAME")),
    case("MaxPool3D", lambda x: tf.nn.max_pool3d(cube(x), 2, 1, "SAME")),
    case("AvgPool3D", lambda x: tf.nn.avg_pool3d(cube(x), 2, 1, "SAME")),
    case("Pad", lambda x: tf.pad(image(x), [[0, 0], [1, 2], [0, 1], [0, 0]])),
    case("PadV2", lambda x: tf.pad(image(x), [[0, 0], [1, 2], [0, 1], [0, 0]], constant_values=2.5)),
    *(case("MirrorPad", lambda x, m=m: tf.pad(image(x), [[0, 0], [1, 2], [0, 1], [0, 0]], m), m) for m in ("REFLECT", "SYMMETRIC")),
    case("SpaceToDepth", lambda x: tf.nn.space_to_depth(image(x), 2)),
    case("DepthToSpace", lambda x: tf.nn.depth_to_space(tf.reshape(x @ SPREAD, [-1, 2, 3, 8]), 2)),
    case("SpaceToBatchND", lambda x: tf.batch_to_space(tf.space_to_batch(image(x), [2, 3], [[1, 1], [0, 3]]) * 2, [2, 3], [[1, 1], [0, 3]])),
    case("BatchToSpaceND", lambda x: tf.nn.depthwise_conv2d(image(x), DEEP, [1] * 4, "SAME", dilations=[2, 2]), "dilated"),
    *(
        case("ResizeBilinear", lambda x, a=a, h=h: R.ResizeBilinear(images=image(x), size=[7, 3], align_corners=a, half_pixel_centers=h), f"{a} {h}")
        for a, h in ((False, False), (True, False), (False, True))
    ),
    *(
        case("ResizeNearestNeighbor", lambda x, a=a, h=h: R.ResizeNearestNeighbor(images=image(x), size=[7, 3], align_corners=a, half_pixel_centers=h), f"{a} {h}")
        for a, h in ((False, False), (True, False), (False, True))
    ),
    case("LRN", lambda x: tf.nn.lrn(tf.reshape(x @ SPREAD, [-1, 2, 3, 8]), 2, 1.0, 0.1, 0.75)),
    case("ExtractImagePatches", lambda x: tf.image.extract_patches(image(x), [1, 2, 3, 1], [1, 1, 2, 1], [1, 1, 1, 1], "SAME")),
    case("BiasAddV1", lambda x: R.BiasAddV1(value=x, bias=tf.constant([1.0, 2.0, 3.0]))),
    case("BiasAdd", lambda x: tf.nn.bias_add(image(x), tf.constant([1.0, 2.0, 3.0, 4.0]), "NCHW"), "channels first"),
]  # fmt: skip
GATHERS = [
    case("GatherV2", lambda x: tf.gather(sequence(x), places(x), axis=1, batch_dims=1), "of the same row"),
    case("GatherV2", lambda x: tf.gather(image(x), places(x, 2)[:, None, :1] * tf.ones([1, 4, 1], tf.int32), axis=3, batch_dims=2), "two axes together"),
    case("GatherV2", lambda x: tf.gather(weights(4, 6), places(x), axis=1)[0], "columns of weights"),
    case("Gather", lambda x: R.Gather(params=weights(6, 2), indices=places(x))),
    case("GatherNd", lambda x: tf.gather_nd(weights(6, 6, 2), tf.stack([places(x), places(x[:, ::-1])], -1)), "weights"),
    case("GatherNd", lambda x: wide(2, tf.transpose(tf.gather_nd(tf.transpose(sequence(x), [1, 2, 0]), [[0, 1], [5, 7]]))), "the batch"),
    case("ScatterNd", lambda x: tf.transpose(tf.scatter_nd([[1], [3], [1]], tf.transpose(x), tf.stack([5, tf.shape(x)[0]])))),
    *(
        case(f"TensorScatter{kind}", lambda x, kind=kind: tf.transpose(getattr(R, f"TensorScatter{kind}")(tensor=tf.transpose(x), indices=[[2], [0]], updates=tf.transpose(x[:, :2] * 2))))
        for kind in ("Update", "Add", "Sub", "Max", "Min")
    ),
    case("OneHot", lambda x: tf.one_hot(places(x), 4, axis=1), "in the middle"),
    *(case(n, lambda x, n=n: getattr(R, n)(sorted_inputs=tf.sort(x, 1), values=x[:, ::-1] * 2)) for n in ("LowerBound", "UpperBound")),
    case("LowerBound", lambda x: tf.searchsorted([[-1.0, 0.5, 2.0]] * tf.ones([tf.shape(x)[0], 1]), x), "constant bounds"),
    *(
        case(f"Segment{kind}", lambda x, kind=kind: wide(4, tf.transpose(getattr(R, f"Segment{kind}")(data=tf.transpose(x @ SPREAD[:, :6]), segment_ids=IDS))))
        for kind in ("Sum", "Prod", "Max", "Min", "Mean")
    ),
    *(
        case(f"UnsortedSegment{kind}", lambda x, kind=kind: tf.transpose(getattr(R, f"UnsortedSegment{kind}")(data=tf.transpose(x @ SPREAD[:, :6]), segment_ids=UNSORTED, num_segments=5)))
        for kind in ("Sum", "Prod", "Max", "Min")
    ),
]  # fmt: skip
ORDERS = [
    case("TopKV2", lambda x: tf.math.top_k(x, 2)[0], "values"),
    case("TopKV2", lambda x: tf.math.top_k(tf.round(x), 3)[1], "places of equal ones"),
    Case("TopKV2", lambda x: tf.sort(x, axis=1), draw=finite, label="ascending"),
    case("TopKV2", lambda x: tf.sort(x, 1), "integers", tf.int32),
    case("TopKV2", lambda x: tf.argsort(x, 1, stable=True), "argsort", tf.int32),
    case("NthElement", lambda x: tf.stack([R.NthElement(input=x, n=1), R.NthElement(input=x, n=0, reverse=True)], 1)),
    *(
        case("Cumprod", lambda x, e=e, r=r: tf.math.cumprod(x, 1, exclusive=e, reverse=r), f"{e} {r}")
        for e in (False, True)
        for r in (False, True)
    ),
    case("CumulativeLogsumexp", lambda x: tf.math.cumulative_logsumexp(x, 1)),
    case("ReverseV2", lambda x: tf.reverse(sequence(x), [1, 2])),
    case("Roll", lambda x: tf.roll(sequence(x), [2, -1], [1, 2])),
    case("ReverseSequence", lambda x: tf.reverse_sequence(sequence(x), places(x)[:, 0], seq_axis=1)),
    case("EuclideanNorm", lambda x: tf.math.reduce_euclidean_norm(x, 1)),
    case("Mean", lambda x: tf.reduce_mean(x, 1), "integers", tf.int32),
]
SHAPES = [
    case("Reshape", lambda x: tf.reshape(tf.reshape(sequence(x), [-1, 8]) * weights(8), [-1, 48]), "merged with the batch"),
    case("Reshape", lambda x: wide(6, tf.transpose(tf.reshape(tf.transpose(tf.reshape(tf.transpose(sequence(x), [1, 0, 2]), [-1, 8]) @ weights(8, 2)), [2, 6, -1])[0])), "merged outside"),
    case("Slice", lambda x: tf.slice(sequence(x), [0, 1, 2], [-1, 3, 4])),
    case("EnsureShape", lambda x: tf.ensure_shape(x, [None, 3])),
    case("Snapshot", lambda x: R.Snapshot(input=x)),
    case("PlaceholderWithDefault", lambda x: R.PlaceholderWithDefault(input=x, shape=[None, 3])),
    case("ShapeN", lambda x: tf.zeros(R.ShapeN(input=[x, x])[1]) + x),
    case("BroadcastArgs", lambda x: tf.broadcast_to(x[:, :1], R.BroadcastArgs(s0=tf.shape(x), s1=tf.constant([3]))) + x),
    case("Concat", lambda x: R.Concat(concat_dim=1, values=[x, x])),
    case("Empty", lambda x: R.Empty(shape=tf.shape(x), dtype=tf.float32, init=True) + x),
    case("LinSpace", lambda x: x * R.LinSpace(start=1.0, stop=2.0, num=3)),
    case("MatrixBandPart", lambda x: tf.linalg.band_part(sequence(x), 1, 2)),
    *(case("MatrixBandPart", lambda x, k=k: tf.linalg.band_part(sequence(x), *k), str(k)) for k in ((-1, 0), (0, -1))),
    case("MatrixDiagPart", lambda x: R.MatrixDiagPart(input=sequence(x))),
    case("DiagPart", lambda x: x * R.DiagPart(input=weights(3, 3))),
    case("InvertPermutation", lambda x: tf.transpose(sequence(x), tf.math.invert_permutation([0, 2, 1]))),
    case("Tile", lambda x: tf.tile(tf.constant([[1.0, 2.0, 3.0]]), [tf.shape(x)[0], 1]) * x, "a constant for each row"),
    case("FloorDiv", lambda x: tf.reshape(tf.reshape(x, [-1]), [tf.size(x) // 3, 3]), "of a shape"),
    case("FusedBatchNorm", lambda x: R.FusedBatchNorm(x=image(x), scale=tf.ones(2), offset=tf.zeros(2), mean=weights(2), variance=tf.ones(2), is_training=False)[0]),
    case("FusedBatchNormV2", lambda x: R.FusedBatchNormV2(x=image(x), scale=tf.ones(2), offset=tf.zeros(2), mean=weights(2), variance=tf.ones(2), is_training=False)[0]),
]  # fmt: skip


def counted(x: Any, turns: int = 7) -> Any:
    return tf.while_loop(lambda i, y: i < turns, lambda i, y: (i + 1, tf.sin(y) + tf.cast(i, tf.float32) * y), [0, x])[1]


def to_a_sum(x: Any) -> Any:
    """A loop for each row, which ends by what the row is."""

    def row(one: Any) -> Any:
        return tf.while_loop(lambda i, y: (tf.reduce_sum(y) < 9.0) & (i < 50), lambda i, y: (i + 1, y * 1.5 + 0.25), [0, one])[1]

    return tf.map_fn(row, tf.abs(x))


def listed(x: Any) -> Any:
    """A list written in a loop, out of order."""
    found = tf.TensorArray(tf.float32, 6, element_shape=None)
    read = tf.TensorArray(tf.float32, 6).unstack(tf.transpose(sequence(x), [1, 0, 2]))
    written = tf.while_loop(
        lambda i, _: i < 6, lambda i, a: (i + 1, a.write(5 - i, read.read(i) * tf.cast(i, tf.float32))), [0, found]
    )[1]
    return tf.transpose(written.stack(), [1, 0, 2])


def list_ops(x: Any) -> Any:
    empty = R.EmptyTensorList(element_shape=tf.constant([-1, 3]), max_num_elements=4, element_dtype=tf.float32)
    pushed = R.TensorListPushBack(input_handle=R.TensorListPushBack(input_handle=empty, tensor=x), tensor=x * 2)
    rest, last = R.TensorListPopBack(input_handle=pushed, element_shape=tf.constant([-1, 3]), element_dtype=tf.float32)
    wider = R.TensorListResize(input_handle=rest, size=2)
    length = tf.cast(R.TensorListLength(input_handle=wider), tf.float32)
    sizes = tf.cast(R.TensorListElementShape(input_handle=wider, shape_type=tf.int32)[1], tf.float32)
    first = R.TensorListGetItem(input_handle=wider, index=0, element_shape=tf.constant([-1, 3]), element_dtype=tf.float32)
    return tf.concat([last + length, first * sizes], 1)


def list_parts(x: Any) -> Any:
    columns = tf.transpose(x)
    scattered = R.TensorListScatterV2(tensor=columns, indices=[2, 0, 1], element_shape=tf.constant([-1]), num_elements=-1)
    return tf.transpose(
        R.TensorListGather(input_handle=scattered, indices=[1, 1, 0], element_shape=tf.constant([-1]), element_dtype=tf.float32)
    )


def list_joined(x: Any) -> Any:
    parts = R.TensorListFromTensor(tensor=tf.transpose(sequence(x), [1, 2, 0]), element_shape=tf.constant([8, -1]))
    joined = R.TensorListConcatV2(
        input_handle=parts, element_shape=tf.constant([8, -1]), leading_dims=tf.constant([], tf.int64), element_dtype=tf.float32
    )
    return wide(48, tf.transpose(joined[0]))


def branched(x: Any) -> Any:
    return tf.map_fn(lambda row: tf.cond(tf.reduce_sum(row) > 0, lambda: row * 2, lambda: tf.exp(row)), x)


def switched(x: Any) -> Any:
    number = tf.cast(tf.reduce_sum(tf.abs(weights(70)) * 0) + 1, tf.int32)
    branches = [concrete(lambda y: y * 3), concrete(lambda y: tf.exp(-y * y)), concrete(lambda y: y * 5)]
    return R.StatelessCase(branch_index=number, input=[x], Tout=[tf.float32], branches=branches, output_shapes=[[None, 3]])[0]


CONTROL = [
    *(case("StatelessWhile", lambda x, n=n: counted(x, n), f"{n} turns") for n in (0, 1, 7, 60)),
    case("StatelessWhile", lambda x: tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 2), [0, x])[1], "short"),
    case("StatelessWhile", to_a_sum, "to a condition of each row"),
    case("StatelessWhile", lambda x: tf.map_fn(lambda row: tf.cumsum(row)[::-1], x), "over the rows"),
    case("PartitionedCall", lambda x: tf.function(lambda y: y * 3, jit_compile=True)(x)),
    case("StatefulPartitionedCall", lambda x: tf.function(lambda y: y @ VARIABLE, jit_compile=True)(x)),
    case("While", lambda x: stateful_loop(x)),
    case("StatelessIf", branched, "of each row"),
    case("StatelessIf", lambda x: weighted(x), "of a weight"),
    case("If", lambda x: R.If(cond=tf.constant(True), input=[x], Tout=[tf.float32], then_branch=concrete(lambda y: y * 3), else_branch=concrete(lambda y: y * 5), output_shapes=[[None, 3]])[0]),
    case("StatelessCase", switched, "of a weight"),
    case("Case", lambda x: R.Case(branch_index=tf.constant(7), input=[x], Tout=[tf.float32], branches=[concrete(lambda y: y * 3), concrete(lambda y: y * 5)], output_shapes=[[None, 3]])[0]),
    *(case(op, listed) for op in ("TensorListFromTensor", "TensorListReserve", "TensorListGetItem", "TensorListSetItem", "TensorListStack")),
    *(case(f"TensorList{op}", list_ops) for op in ("PushBack", "PopBack", "Resize", "Length", "ElementShape")),
    case("EmptyTensorList", list_ops),
    *(case(f"TensorList{op}", list_parts) for op in ("ScatterV2", "Gather")),
    case("TensorListConcatV2", list_joined),
    case("StridedSlice", lambda x: tf.while_loop(lambda i, y: i < 30, lambda i, y: (i + 1, y + x[:, i % 3, None] * tf.ones([3])), [0, x])[1], "at a counter"),
]  # fmt: skip


def concrete(function: Callable[[Any], Any]) -> Any:
    return tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec([None, 3]))


def stateful_loop(x: Any) -> Any:
    """A loop that TensorFlow takes for one with effects, as Keras's recurrent layers are."""
    body = tf.function(lambda i, y: (i + 1, y * 1.5), autograph=False)
    condition = tf.function(lambda i, y: i < 5, autograph=False)
    specs = (tf.TensorSpec([], tf.int32), tf.TensorSpec([None, 3]))
    both = [one.get_concrete_function(*specs) for one in (condition, body)]
    return R.While(input=[tf.constant(0), x], cond=both[0], body=both[1])[1]


def weighted(x: Any) -> Any:
    return tf.cond(tf.reduce_sum(weights(70)) > 0, lambda: x * 2, lambda: x * 3)


def positive(x: Any) -> Any:
    return tf.abs(x) + 0.5


def inside(x: Any) -> Any:
    """Between -1 and 1."""
    return tf.tanh(x) * 0.9


NUMERIC = [
    *(case(n, lambda x, n=n: getattr(R, n)(x=inside(x))) for n in ("Acos", "Asin", "Atanh", "Erfinv", "Tan")),
    *(case(n, lambda x, n=n: getattr(R, n)(x=x)) for n in ("Asinh", "Atan", "Cosh", "Sinh", "BesselI0e", "BesselI1e", "Inv")),
    *(case(n, lambda x, n=n: getattr(R, n)(x=positive(x))) for n in ("Lgamma", "Digamma")),
    case("Acosh", lambda x: tf.acosh(positive(x) + 0.6)),
    case("Ndtri", lambda x: tf.math.ndtri(inside(x) / 2 + 0.5)),
    case("Atan2", lambda x: tf.atan2(x, x[:, ::-1])),
    *(case(n, lambda x, n=n: getattr(R, n)(a=positive(x), x=positive(x[:, ::-1]))) for n in ("Igamma", "Igammac")),
    *(case(n, lambda x, n=n: getattr(R, n)(x=inside(x) * 4)) for n in ("BesselI0", "BesselI1")),
    case("Betainc", lambda x: tf.math.betainc(positive(x), positive(x[:, ::-1]), inside(x) / 2 + 0.5)),
    case("Zeta", lambda x: tf.math.zeta(positive(x) + 1.5, positive(x[:, ::-1]))),
    case("Polygamma", lambda x: tf.math.polygamma(tf.ones_like(x), positive(x))),
    case("NextAfter", lambda x: tf.math.nextafter(tf.cast(x, tf.float64), tf.cast(x[:, ::-1], tf.float64))),
    case("Cross", lambda x: tf.linalg.cross(x[:, :3], x[:, 1:2] * tf.constant([1.0, -2.0, 0.5]))),
    *(case(n, lambda x, n=n: getattr(R, n)(x=tf.nn.relu(x), y=tf.abs(x[:, ::-1]))) for n in ("Xdivy", "Xlogy", "Xlog1py")),
    Case("MulNoNan", lambda x: tf.math.multiply_no_nan(x, tf.nn.relu(x[:, ::-1])), draw=finite),
    *(case(n, lambda x, n=n: getattr(R, n)(x=x, y=x[:, ::-1]), dtype=tf.int32) for n in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")),
    *(case(n, lambda x, n=n: getattr(R, n)(x=x * 1000, y=tf.abs(x[:, ::-1])), dtype=tf.int32) for n in ("LeftShift", "RightShift")),
    case("Invert", lambda x: tf.bitwise.invert(x), dtype=tf.int32),
    *(case(n, lambda x, n=n: getattr(R, n)(x=x, y=tf.constant([2, -3, 7], tf.int32)), dtype=tf.int32) for n in ("TruncateDiv", "TruncateMod", "Mod")),
    case("TruncateMod", lambda x: R.TruncateMod(x=x, y=x[:, ::-1]), "floats"),
    case("ApproximateEqual", lambda x: R.ApproximateEqual(x=x, y=x + 0.5 * tf.round(x), tolerance=0.25)),
    case("CheckNumerics", lambda x: tf.debugging.check_numerics(x, "no number")),
    case("CheckNumericsV2", lambda x: R.CheckNumericsV2(tensor=x, message="no number")),
    case("FakeQuantWithMinMaxArgs", lambda x: tf.quantization.fake_quant_with_min_max_args(x, -3.0, 2.0, 4)),
    case("FakeQuantWithMinMaxVars", lambda x: tf.quantization.fake_quant_with_min_max_vars(x, -3.0, 2.0, 8, True)),
    case("FakeQuantWithMinMaxVarsPerChannel", lambda x: tf.quantization.fake_quant_with_min_max_vars_per_channel(x, [-3.0, -1.0, 0.5], [2.0, 1.0, 4.0])),
]  # fmt: skip
STRUCTURES = [*PRODUCTS, *CONVOLUTIONS, *IMAGES, *GATHERS, *ORDERS, *SHAPES, *CONTROL, *NUMERIC]
