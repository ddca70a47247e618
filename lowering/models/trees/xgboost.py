"""XGBoost's models, from the JSON or UBJSON that it writes of them; XGBoost itself is not needed.

Source: the schema in XGBoost's documentation, "Introduction to Model IO". Comparisons and sums are of float32, as XGBoost's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from qtensor.errors import ModelError
from qtensor.lowering.models.assembled import Taken, number_of_greatest
from qtensor.lowering.models.model import Model
from qtensor.lowering.models.trees.ensemble import LEAF, Categories, Ensemble, Missing, Tree, at_most
from qtensor.lowering.models.trees.outputs import (
    Objective,
    above,
    binary,
    identity,
    model_of_trees,
    multiclass,
    sigmoid,
    softmax,
)  # fmt: skip
from qtensor.lowering.models.trees.ubjson import read_ubjson

# What Python raises over content that is not as XGBoost writes it.
DAMAGE = (KeyError, ValueError, TypeError, IndexError, OverflowError, AttributeError, RecursionError)

MOST_FEATURES = 1 << 16
LOGISTIC = ("binary:logistic", "reg:logistic", "binary:logitraw")
EXPONENTIAL = ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft")
IDENTITY = (
    "reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror", "reg:quantileerror",
    "rank:pairwise", "rank:ndcg", "rank:map", "binary:hinge", "multi:softmax", "multi:softprob", "binary:logitraw",
)  # fmt: skip


def is_xgboost(model: object) -> bool:
    return any(base.__module__.partition(".")[0] == "xgboost" for base in type(model).__mro__)


def import_xgboost(taken: Taken, model: Any) -> Model:
    """A Booster, or one of XGBoost's estimators for scikit-learn, of which `predict` takes the trees up to the best iteration."""
    return model_of_trees(taken, *ensemble_of_xgboost(taken.name, model))


def ensemble_of_xgboost(name: str, model: Any) -> tuple[Ensemble, Objective]:
    classes, trees_up_to = None, None
    booster = model
    if hasattr(model, "get_booster"):
        try:
            booster = model.get_booster()
        except Exception as error:
            raise ModelError(f'model "{name}": this {type(model).__name__} is not fitted') from error
        trees_up_to = getattr(model, "best_iteration", None) if booster.attr("best_iteration") is not None else None
        if hasattr(model, "predict_proba"):
            classes = np.asarray(model.classes_)
    if not hasattr(booster, "save_raw"):
        raise ModelError(f'model "{name}": {type(model).__name__} is no model; pass a Booster or an estimator of XGBoost')
    return parsed(name, bytes(booster.save_raw("ubj")), classes, trees_up_to)


def read_xgboost(taken: Taken, content: bytes) -> Model:
    """The model that XGBoost wrote as `content`."""
    return model_of_trees(taken, *parsed(taken.name, content, None, None))


def parsed(name: str, content: bytes, classes: Any, best_iteration: int | None) -> tuple[Ensemble, Objective]:
    """classes: of a classifier's labels. best_iteration: the last one that counts."""
    try:
        # Of a JSON object the first letter is followed by a name in quotes, of an UBJSON object by its length.
        is_text = content[:1] == b"{" and content[1:64].lstrip()[:1] in (b'"', b"}")
        document = json.loads(content) if is_text else read_ubjson(content)
        return read_learner(name, document["learner"], classes, best_iteration)
    except DAMAGE as error:
        raise ModelError(f'model "{name}": this is no model as XGBoost writes it: {type(error).__name__} {error}') from error


def read_learner(name: str, learner: Mapping[str, Any], classes: Any, best_iteration: int | None) -> tuple[Ensemble, Objective]:
    booster, parameters = learner["gradient_booster"], learner["learner_model_param"]
    kind = booster["name"]
    if kind not in ("gbtree", "dart"):
        raise ModelError(f'model "{name}": XGBoost\'s booster "{kind}" is not supported: gbtree and dart are')
    model = booster["gbtree"]["model"] if kind == "dart" else booster["model"]
    weights = np.asarray(booster["weight_drop"], np.float32) if kind == "dart" else None
    trees, group_of = model["trees"], np.asarray(model["tree_info"], np.int64)
    if best_iteration is not None:
        trees = trees[: int(model["iteration_indptr"][best_iteration + 1])]
    groups = max(int(parameters["num_class"]), int(parameters.get("num_target", 1)), 1)
    if not len(trees) or len(group_of) < len(trees) or group_of.min() < 0 or group_of.max() >= groups or groups > len(trees):
        raise ModelError(f'model "{name}": it has no trees, or not for each of its outputs')
    read = [read_tree(name, tree, None if weights is None else weights[number]) for number, tree in enumerate(trees)]
    grouped = tuple(tuple(tree for tree, its in zip(read, group_of, strict=False) if its == group) for group in range(groups))
    objective = learner["objective"]["name"]
    start = np.broadcast_to(base_margin(objective, parameters["base_score"]), (groups,)).astype(np.float32)
    if not 0 < int(parameters["num_feature"]) <= MOST_FEATURES:
        raise ModelError(f'model "{name}" has {parameters["num_feature"]} features; at most {MOST_FEATURES:,} go')
    labels = labels_of(name, model.get("cats") or {})
    if any(feature >= int(parameters["num_feature"]) for feature in labels):
        raise ValueError("it has categories of features that it does not have")
    names = tuple(map(str, learner.get("feature_names") or ())) or tuple(f"f{n}" for n in range(int(parameters["num_feature"])))
    ensemble = Ensemble(names, np.dtype(np.float32), grouped, start, labels=labels, fails_of_unknown=True)
    return ensemble, objective_of(name, objective, groups, classes)


def labels_of(name: str, categories: Mapping[str, Any]) -> dict[int, tuple[str | float, ...]]:
    """What the categories of features were called when the model was trained, by their numbers: texts, or numbers.

    Raises ModelError: texts beyond ASCII, which XGBoost 3.2 cuts in other places than where they end.
    """
    found: dict[int, tuple[str | float, ...]] = {}
    for feature, one in enumerate(categories.get("enc", ())):
        if "offsets" not in one:
            found[feature] = tuple(map(float, np.asarray(one["values"], np.float64)))
        elif len(one["offsets"]):
            content = integers(one["values"], -128, 255).astype(np.uint8).tobytes()
            if not content.isascii():
                raise ModelError(
                    f'model "{name}" has categories with letters beyond ASCII, whose names XGBoost does not keep whole: train it '
                    "on other names, or on their codes (`column.cat.codes`)"
                )
            ends = integers(one["offsets"], 0, len(content)).tolist()
            found[feature] = tuple(content[first:last].decode() for first, last in pairwise(ends))
    return found


def read_tree(name: str, tree: Mapping[str, Any], weight: np.float32 | None) -> Tree:
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise ModelError(f'model "{name}": trees with vectors as leaves (multi_strategy="multi_output_tree") are not supported')
    left, right, feature = (integers(tree[key]) for key in ("left_children", "right_children", "split_indices"))
    is_leaf = left == -1
    value = floats(tree["split_conditions"])
    default_left = integers(tree["default_left"], 0, 1).astype(bool)
    if not len(left) == len(right) == len(feature) == len(value) == len(default_left):
        raise ValueError("its nodes lack a part")
    categories = read_categories(tree, default_left)
    if "split_type" in tree and set(np.flatnonzero((integers(tree["split_type"], 0, 1) == 1) & ~is_leaf)) != set(categories):
        raise ValueError("nodes that test categories do not say which")
    leaf = value if weight is None else value * weight
    return Tree(
        feature=np.where(is_leaf, LEAF, feature),
        threshold=at_most(value),
        left=left,
        right=right,
        missing=np.where(default_left, Missing.LEFT, Missing.RIGHT).astype(np.int8),
        leaf=leaf[:, None],
        categories=categories,
    )


def integers(listed: Any, low: int = -(1 << 31), high: int = (1 << 31) - 1) -> NDArray[np.int32]:
    """A list of whole numbers. Raises ValueError: it is none, or one of them is out of range."""
    found = np.asarray(listed)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise ValueError("there is something else where a list of whole numbers belongs")
    if found.size and (found.min() < low or found.max() > high):
        raise ValueError("a number is out of range")
    return found.astype(np.int32)


def floats(listed: Any) -> NDArray[np.float32]:
    found = np.asarray(listed)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iuf"):
        raise ValueError("there is something else where a list of numbers belongs")
    with np.errstate(over="ignore"):
        return found.astype(np.float32)


def read_categories(tree: Mapping[str, Any], default_left: NDArray[np.bool_]) -> dict[int, Categories]:
    """The tests of categories: those that a node lists go right, others and what is no category left."""
    listed, nodes, firsts, counts = (
        integers(tree.get(key, ())) for key in ("categories", "categories_nodes", "categories_segments", "categories_sizes")
    )
    found = {}
    for node, first, count in zip(nodes, firsts, counts, strict=True):
        if not (0 <= node < len(default_left) and 0 <= first <= first + count <= len(listed)):
            raise ValueError("a node tests categories that are not there")
        one = tuple(map(int, listed[int(first) : int(first) + int(count)]))
        found[int(node)] = Categories(one, goes_left=False, negative_left=True, nan_left=bool(default_left[int(node)]))
    return found


def base_margin(objective: str, written: Any) -> NDArray[np.float32]:
    """What sums begin with: `base_score` is what would be predicted of it."""
    number = json.loads(written) if isinstance(written, str) else written
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        score: NDArray[np.float32] = np.atleast_1d(np.asarray(number, np.float32))
        if objective in LOGISTIC:
            score = -np.log(np.float32(1) / score - np.float32(1))
        elif objective in EXPONENTIAL:
            score = np.log(score)
        return score


def objective_of(name: str, objective: str, groups: int, classes: Any) -> Objective:
    match objective:
        case "binary:logistic" | "reg:logistic" if groups == 1:
            if objective == "reg:logistic" and classes is None:
                return Objective(sigmoid())
            return binary(sigmoid(), classes)
        case "binary:logitraw" if groups == 1:
            if classes is None:
                return Objective(identity, np.arange(2), None, above(0.5))
            return binary(identity, classes)
        case "binary:hinge" if groups == 1:
            step = above(0.0)
            as_number = lambda sums: step(sums).astype(jnp.float32)  # noqa: E731
            return binary(as_number, classes)
        case "multi:softmax":
            chosen = lambda sums: number_of_greatest(sums).astype(jnp.float32)  # noqa: E731
            return multiclass(softmax, groups, classes, predicted=chosen)
        case "multi:softprob":
            return multiclass(softmax, groups, classes)
        case _ if objective in EXPONENTIAL:
            return Objective(jnp.exp)
        case _ if objective in LOGISTIC:
            return Objective(sigmoid())
        case _ if objective in IDENTITY:
            return Objective(identity)
        case _:
            raise ModelError(f'model "{name}": XGBoost\'s objective "{objective}" is not supported')
