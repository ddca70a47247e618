"""The operators of ai.onnx.ml: linear models, scalers, trees, as converters of scikit-learn and others write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from qtensor.errors import ModelError
from qtensor.lowering.models.assembled import Held, Part, Run
from qtensor.lowering.models.onnx.registry import Array, Node, NotConvertedError, Text, operator
from qtensor.lowering.models.trees.ensemble import LEAF, Ensemble, Missing, Tree, at_most, check_ensemble
from qtensor.lowering.models.trees.program import margins

ML = "ai.onnx.ml"


@operator("Scaler", domain=ML)
def scaler(node: Node, x: Array) -> Array:
    shift, scale = (node.weight(name, np.asarray(node.get(name), np.float32)) for name in ("offset", "scale"))
    return (x.astype(jnp.float32) - shift[None]) * scale[None]


@operator("Normalizer", domain=ML)
def normalizer(node: Node, x: Array) -> Array:
    size = {
        "MAX": lambda: jnp.abs(x).max(-1, keepdims=True),
        "L1": lambda: jnp.abs(x).sum(-1, keepdims=True),
        "L2": lambda: jnp.sqrt((x * x).sum(-1, keepdims=True)),
    }[node.get("norm", "MAX")]()
    return jnp.where(size == 0, x, x / jnp.where(size == 0, jnp.ones_like(size), size))


@operator("Binarizer", domain=ML)
def binarizer(node: Node, x: Array) -> Array:
    return (x > node.get("threshold", 0.0)).astype(x.dtype)


@operator("Imputer", domain=ML)
def imputer(node: Node, x: Array) -> Array:
    if node.get("imputed_value_floats") is None or x.dtype != np.float32:
        raise NotConvertedError("fills in other than float32")
    missing = node.get("replaced_value_float", 0.0)
    fill = np.asarray(node.get("imputed_value_floats"), np.float32)
    return jnp.where(jnp.isnan(x) if np.isnan(missing) else x == missing, fill[None], x)


@operator("FeatureVectorizer", domain=ML)
def feature_vectorizer(node: Node, *values: Array) -> Array:
    node.ignore("inputdimensions")
    return jnp.concatenate([jnp.reshape(one, (one.shape[0], -1)).astype(jnp.float32) for one in values], 1)


@operator("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(node: Node, x: Any, places: Array) -> Any:
    """Along the last axis; of a list of texts by a number for each row: the label of its class."""
    flat = jnp.reshape(places, (-1,))
    if isinstance(x, np.ndarray) and x.dtype == object:
        return Text(flat[None], tuple(map(str, x.ravel())))
    x = jnp.reshape(x, (1, -1)) if x.ndim == 1 else x
    return jnp.take(x, flat, -1, mode="clip")


@operator("ZipMap", domain=ML)
def zip_map(node: Node, x: Array) -> Array:
    """The scores as they are: their keys are a user's who wants a dictionary."""
    node.ignore("classlabels_int64s", "classlabels_strings")
    return x


@operator("OneHotEncoder", domain=ML)
def one_hot_encoder(node: Node, x: Array) -> Array:
    codes = node.get("cats_int64s")
    if codes is None:
        raise NotConvertedError("encodes texts, which are not supported")
    node.ignore("zeros")
    if not node.get("zeros", 1):
        raise NotConvertedError("fails for categories that it does not know (zeros=0), which is not supported")
    return (x[..., None] == jnp.asarray(codes, x.dtype).reshape((1,) * x.ndim + (-1,))).astype(jnp.float32)


@operator("LabelEncoder", domain=ML)
def label_encoder(node: Node, x: Any) -> Any:
    """Numbers to numbers or texts."""
    keys = node.get("keys_int64s", node.get("keys_floats"))
    texts, numbers = node.get("values_strings"), node.get("values_int64s", node.get("values_floats"))
    node.ignore("default_string", "default_int64", "default_float")
    if keys is None or isinstance(x, Text):
        raise NotConvertedError("encodes texts, which are not supported")
    hit = x[..., None] == jnp.asarray(keys, x.dtype).reshape((1,) * x.ndim + (-1,))
    place = jnp.where(hit.any(-1), jnp.argmax(hit, -1), len(keys))
    if texts is not None:
        default = node.get("default_string", "_Unused")
        return Text(place, (*texts, default))
    floating = node.get("values_floats") is not None
    default = node.get("default_float", -0.0) if floating else node.get("default_int64", -1)
    return jnp.take(np.array([*numbers, default], np.float32 if floating else np.int64), place, mode="clip")


def transformed(kind: str, scores: Array) -> Array:
    match kind:
        case "NONE":
            return scores
        case "LOGISTIC":
            return jax.nn.sigmoid(scores)
        case "SOFTMAX":
            return jax.nn.softmax(scores, -1)
        case "SOFTMAX_ZERO":
            powers = jnp.where(scores == 0, jnp.zeros_like(scores), jnp.exp(scores - scores.max(-1, keepdims=True)))
            return powers / powers.sum(-1, keepdims=True)
        case _:
            raise NotConvertedError(f"has the post_transform {kind}, which is not supported")


def labels_of(node: Node, number: Array, count: int) -> Any:
    """The label of a class by its number: texts, or whole numbers."""
    texts = node.get("classlabels_strings")
    whole = node.get("classlabels_int64s", node.get("classlabels_ints"))
    if texts:
        return Text(number, tuple(texts))
    labels = np.asarray(whole if whole else range(count), np.int64)
    if np.array_equal(labels, np.arange(len(labels))):
        return number.astype(jnp.int64)
    return jnp.take(labels, number, mode="clip")


@operator("LinearRegressor", domain=ML)
def linear_regressor(node: Node, x: Array) -> Array:
    return transformed(node.get("post_transform", "NONE"), linear(node, x, node.get("targets", 1)))


def linear(node: Node, x: Array, count: int) -> Array:
    weights = node.weight("coefficients", np.asarray(node.get("coefficients"), np.float32).reshape(count, -1))
    shift = node.weight("intercepts", np.broadcast_to(np.asarray(node.get("intercepts") or [0.0], np.float32), (count,)))
    return jnp.matmul(x.astype(jnp.float32), weights.T, precision=jax.lax.Precision.HIGHEST) + shift[None]


@operator("LinearClassifier", domain=ML)
def linear_classifier(node: Node, x: Array) -> Any:
    labels = node.get("classlabels_strings") or node.get("classlabels_ints")
    count = len(np.asarray(node.get("coefficients"))) // x.shape[-1]
    node.ignore("multi_class")
    scores = linear(node, x, count)
    kind = node.get("post_transform", "NONE")
    if count == 1 and labels is not None and len(labels) == 2:
        number = (scores[..., 0] > 0).astype(jnp.int64)
        second = transformed(kind, scores) if kind != "SOFTMAX" else jax.nn.sigmoid(scores * 2)
        first = -second if kind == "NONE" else 1 - second
        return labels_of(node, number, 2), jnp.concatenate([first, second], -1)
    return labels_of(node, jnp.argmax(scores, -1), count), transformed(kind, scores)


MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT")


@operator("TreeEnsembleRegressor", domain=ML)
def tree_regressor(node: Node, x: Array) -> Array:
    count = node.get("n_targets", 1)
    kind = node.get("aggregate_function", "SUM")
    if kind not in ("SUM", "AVERAGE"):
        raise NotConvertedError(f"has the aggregate_function {kind}, which is not supported")
    scores = tree_sums(node, x, "target", count, average=kind == "AVERAGE")
    base = node.get("base_values")
    if kind == "AVERAGE" and base:  # which is not divided
        scores = scores + node.weight("base_values", np.broadcast_to(np.asarray(base, np.float32), (count,)))[None]
    return transformed(node.get("post_transform", "NONE"), scores)


@operator("TreeEnsembleClassifier", domain=ML)
def tree_classifier(node: Node, x: Array) -> Any:
    """Of two classes only one may have weights, whose score is compared with 1/2, or with 0 where some weights are negative."""
    labels = node.get("classlabels_strings") or node.get("classlabels_int64s")
    count = len(labels)
    weights, ids = weights_of(node, "class"), np.asarray(node.get("class_ids"), np.int64)
    scores = tree_sums(node, x, "class", count)
    kind = node.get("post_transform", "NONE")
    if count == 2 and len(np.unique(ids)) == 1:
        own = scores[..., int(ids[0]) : int(ids[0]) + 1]
        is_positive = bool((weights >= 0).all())
        number = (own[..., 0] > (0.5 if is_positive else 0)).astype(jnp.int64)
        if ids[0] == 1:
            found = transformed(kind, scores)
        elif kind == "LOGISTIC":
            found = jax.nn.sigmoid(jnp.concatenate([-own, own], -1))
        else:  # what is never negative is a probability already
            found = jnp.concatenate([1 - own if is_positive else -own, own], -1)
        return labels_of(node, number, 2), found
    return labels_of(node, jnp.argmax(scores, -1), count), transformed(kind, scores)


def weights_of(node: Node, kind: str) -> Any:
    return numbers(node, f"{kind}_weights", np.float32)


def numbers(node: Node, name: str, dtype: Any) -> Any:
    """An attribute, or the tensor that has it in more digits."""
    tensor = node.get(f"{name}_as_tensor")
    found = node.get(name, ()) if tensor is None else tensor
    return np.asarray(found, dtype if tensor is None else tensor.dtype)


def tree_sums(node: Node, x: Array, kind: str, count: int, *, average: bool = False) -> Array:
    """The sums of the leaves of trees, [rows, count]."""
    if "part" not in node.made:
        try:
            ensemble = ensemble_of(node, kind, count, x.shape[-1], average=average)
            check_ensemble(node.name, ensemble)
        except ModelError as error:
            raise NotConvertedError(str(error)) from error
        except (IndexError, KeyError, ValueError, TypeError) as error:
            raise NotConvertedError(f"has trees that are damaged: {error}") from error
        held = Held()
        made, node.made["work"] = margins(ensemble, held)
        node.made["part"] = made, held.arrays, ensemble.dtype
    part, arrays, dtype = node.made["part"]
    weights = [node.weight(f"trees {number}", array) for number, array in enumerate(arrays)]
    return mapped(part)(x.astype(dtype), *map(jnp.asarray, weights))


def mapped(part: Part) -> Any:
    """A part as a function of rows [n, k] and its weights, which mapped over rows sees all of them at once."""

    @custom_vmap
    def of_rows(x: Array, *weights: Array) -> Array:
        return part(Run(weights), x.T).T

    @of_rows.def_vmap
    def _(axis_size: int, in_batched: Sequence[bool], x: Array, *weights: Array) -> tuple[Array, bool]:
        found = of_rows(x.reshape(-1, x.shape[-1]), *weights)
        return found.reshape(*x.shape[:-1], found.shape[-1]), True

    return of_rows


def ensemble_of(node: Node, kind: str, count: int, width: int, *, average: bool) -> Ensemble:
    node.ignore("nodes_hitrates", "nodes_hitrates_as_tensor")
    tree_of, id_of = (np.asarray(node.get(f"nodes_{name}"), np.int64) for name in ("treeids", "nodeids"))
    modes = np.array([str(one) for one in node.get("nodes_modes")])
    strange = sorted(set(modes) - {*MODES, "LEAF"})
    if strange:
        raise NotConvertedError(f"has nodes of the kind {', '.join(strange)}, which are not supported")
    values = numbers(node, "nodes_values", np.float32)
    feature = np.asarray(node.get("nodes_featureids"), np.int64)
    yes, no = (np.asarray(node.get(f"nodes_{name}nodeids"), np.int64) for name in ("true", "false"))
    tracks = np.asarray(node.get("nodes_missing_value_tracks_true") or np.zeros(len(modes)), bool)
    weights = weights_of(node, kind)
    owners, leaves, ids = (np.asarray(node.get(f"{kind}_{name}"), np.int64) for name in ("treeids", "nodeids", "ids"))
    inner, swapped, strict = modes != "LEAF", np.isin(modes, MODES[2:]), np.isin(modes, ("BRANCH_LT", "BRANCH_GTE"))
    threshold = np.where(strict, at_most(values), values)
    trees = []
    for number in np.unique(tree_of):
        own = np.flatnonzero(tree_of == number)
        place = {int(one): position for position, one in enumerate(id_of[own])}
        leaf = np.zeros((len(own), count), weights.dtype)
        for at in np.flatnonzero(owners == number):
            leaf[place[int(leaves[at])], int(ids[at])] += weights[at]
        left = np.where(swapped[own], no[own], yes[own])
        right = np.where(swapped[own], yes[own], no[own])
        goes_left = tracks[own] ^ swapped[own]
        trees.append(
            Tree(
                feature=np.where(inner[own], feature[own], LEAF),
                threshold=threshold[own],
                left=np.array([place[int(one)] if is_inner else 0 for one, is_inner in zip(left, inner[own], strict=True)]),
                right=np.array([place[int(one)] if is_inner else 0 for one, is_inner in zip(right, inner[own], strict=True)]),
                missing=np.where(goes_left, Missing.LEFT, Missing.RIGHT).astype(np.int8),
                leaf=leaf,
            )
        )
    base = np.zeros(0, np.float32) if average else numbers(node, "base_values", np.float32)
    start = np.broadcast_to(base if base.size else np.zeros(1, weights.dtype), (count,)).astype(weights.dtype)
    compared = np.dtype(np.float64 if values.dtype == np.float64 else np.float32)
    divisor = float(len(trees)) if average else 1.0
    return Ensemble(tuple(f"x{n}" for n in range(width)), compared, (tuple(trees),), start, divisor)
