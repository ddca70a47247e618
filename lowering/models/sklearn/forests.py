"""scikit-learn's trees: read from their arrays, compared as it compares (features of float32, thresholds of float64)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from qtensor.errors import ModelError
from qtensor.lowering.models.assembled import Part, Predictor, Run, chained, number_of_greatest, then
from qtensor.lowering.models.sklearn.builder import Array, Builder, NotConvertedError, identity, labels_of, predictor
from qtensor.lowering.models.sklearn.linear import logistic, softmax, two
from qtensor.lowering.models.trees.ensemble import LEAF, Categories, Ensemble, Missing, Tree, check_ensemble, single
from qtensor.lowering.models.trees.program import margins


def sums_of(
    builder: Builder, groups: Sequence[Sequence[Tree]], start: Any, width: int, dtype: Any, divisor: float = 1.0
) -> tuple[Part, int]:
    """The sums of trees as a part of float64 features. Features too large for `dtype` have no result."""
    names = tuple(f"x{number}" for number in range(width))
    ensemble = Ensemble(names, np.dtype(dtype), tuple(map(tuple, groups)), np.asarray(start, np.float64), divisor)
    try:
        check_ensemble(builder.name, ensemble)
    except ModelError as error:
        raise NotConvertedError(f"is damaged: {error}") from error
    sums, work = margins(ensemble, builder.held)
    if dtype == np.float64:
        return sums, work

    def part(run: Run, x: Array) -> Array:
        rounded = x.astype(dtype)
        run.fail(jnp.isinf(rounded).any(axis=0))
        return sums(run, rounded)

    return part, work


def tree_of(estimator: Any, value: Callable[[Any], NDArray[np.float64]], features: Any = None) -> Tree:
    """The tree of a DecisionTree*. value: of its nodes, [nodes, k]. features: which of the model's features its own are."""
    tree = estimator.tree_
    is_leaf = tree.children_left == -1
    own = np.where(is_leaf, 0, tree.feature)
    feature = own if features is None else np.asarray(features)[own]
    missing = getattr(tree, "missing_go_to_left", np.zeros(len(own), np.uint8))
    return Tree(
        feature=np.where(is_leaf, LEAF, feature),
        threshold=single(tree.threshold),
        left=tree.children_left,
        right=tree.children_right,
        missing=np.where(missing.astype(bool), Missing.LEFT, Missing.RIGHT).astype(np.int8),
        leaf=value(tree),
    )


def first_value(tree: Any) -> NDArray[np.float64]:
    value: NDArray[np.float64] = np.asarray(tree.value, np.float64)
    if value.shape[1] != 1:
        raise NotConvertedError("predicts several outputs, and SQL gets one")
    return value[:, 0, :]


def probabilities(tree: Any) -> NDArray[np.float64]:
    value = first_value(tree)
    total = value.sum(axis=1, keepdims=True)
    return value if np.allclose(total, 1, rtol=1e-9) else value / np.where(total == 0, 1.0, total)


@predictor("DecisionTreeRegressor", "ExtraTreeRegressor")
def tree_regressor(builder: Builder, estimator: Any, width: int) -> Predictor:
    part, work = sums_of(builder, [[tree_of(estimator, first_value)]], [0.0], width, np.float32)
    return Predictor(predicted=part, work=work)


@predictor("RandomForestRegressor", "ExtraTreesRegressor")
def forest_regressor(builder: Builder, estimator: Any, width: int) -> Predictor:
    trees = [tree_of(one, first_value) for one in estimator.estimators_]
    part, work = sums_of(builder, [trees], [0.0], width, np.float32, float(len(trees)))
    return Predictor(predicted=part, work=work)


@predictor("DecisionTreeClassifier", "ExtraTreeClassifier")
def tree_classifier(builder: Builder, estimator: Any, width: int) -> Predictor:
    return averaged(builder, estimator, [estimator], width)


@predictor("RandomForestClassifier", "ExtraTreesClassifier")
def forest_classifier(builder: Builder, estimator: Any, width: int) -> Predictor:
    return averaged(builder, estimator, estimator.estimators_, width)


def averaged(builder: Builder, estimator: Any, members: Sequence[Any], width: int) -> Predictor:
    classes = labels_of(estimator)
    trees = [tree_of(one, probabilities) for one in members]
    part, work = sums_of(builder, [trees], np.zeros(len(classes)), width, np.float32, float(len(trees)))
    return Predictor(scores=part, number=then(part, number_of_greatest), classes=classes, work=work)


def boosted(builder: Builder, estimator: Any, width: int) -> tuple[Part, int]:
    """The sums of gradient boosting, which begin with what its first estimator says."""
    if estimator.init_ != "zero" and type(estimator.init_).__name__ not in ("DummyClassifier", "DummyRegressor"):
        raise NotConvertedError(f"begins with a {type(estimator.init_).__name__} (init=), which is not supported")
    start = np.asarray(estimator._raw_predict_init(np.zeros((1, width), np.float32)), np.float64)[0]
    rate = estimator.learning_rate
    groups = [[tree_of(one, lambda tree: rate * first_value(tree)) for one in column] for column in estimator.estimators_.T]
    return sums_of(builder, groups, start, width, np.float32)


@predictor("GradientBoostingRegressor")
def boosting_regressor(builder: Builder, estimator: Any, width: int) -> Predictor:
    part, work = boosted(builder, estimator, width)
    return Predictor(predicted=part, work=work)


@predictor("GradientBoostingClassifier")
def boosting_classifier(builder: Builder, estimator: Any, width: int) -> Predictor:
    part, work = boosted(builder, estimator, width)
    doubled = 2.0 if estimator.loss == "exponential" else 1.0

    def number(sums: Array) -> Array:
        return (sums >= 0).astype(jnp.int64) if sums.shape[0] == 1 else number_of_greatest(sums)

    def scores(sums: Array) -> Array:
        return two(logistic(doubled * sums)) if sums.shape[0] == 1 else softmax(sums)

    return Predictor(scores=then(part, scores), raw=part, number=then(part, number), classes=labels_of(estimator), work=work)


def listed(bits: Any) -> NDArray[np.bool_]:
    """Which of 256 categories words of 32 bits name."""
    found: NDArray[np.bool_] = np.unpackbits(np.ascontiguousarray(bits, "<u4").view(np.uint8), bitorder="little").astype(bool)
    return found


def histogram_tree(tree: Any, known: dict[int, NDArray[np.bool_]]) -> Tree:
    """known: the categories that were seen of a feature of categories; others go where what is missing goes."""
    nodes = tree.nodes
    is_leaf, missing_left = (nodes[name].astype(bool) for name in ("is_leaf", "missing_go_to_left"))
    categories = {}
    for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~is_leaf):
        nan_left = bool(missing_left[node])
        left = listed(tree.raw_left_cat_bitsets[nodes["bitset_idx"][node]])
        left = np.where(known[int(nodes["feature_idx"][node])], left, nan_left)
        among = tuple(map(int, np.flatnonzero(left != nan_left)))  # the others go with those from 256 on
        categories[int(node)] = Categories(among, goes_left=not nan_left, negative_left=nan_left, nan_left=nan_left)
    return Tree(
        feature=np.where(is_leaf, LEAF, nodes["feature_idx"].astype(np.int64)),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        missing=np.where(missing_left, Missing.LEFT, Missing.RIGHT).astype(np.int8),
        leaf=nodes["value"].astype(np.float64)[:, None],
        categories=categories,
    )


def histogram(builder: Builder, estimator: Any, width: int) -> tuple[Part, int]:
    first: Part = identity
    known: dict[int, NDArray[np.bool_]] = {}
    if estimator.is_categorical_ is not None:  # then categories are encoded first, and come before the other features
        with builder.entered("categorical_features"):
            first = builder.transformer(estimator._preprocessor, width).part
        bits, positions = estimator._bin_mapper.make_known_categories_bitsets()
        known = {
            feature: listed(bits[positions[feature]])
            for feature in np.flatnonzero(estimator._bin_mapper.is_categorical_).tolist()
        }
    groups = [
        [histogram_tree(of_iteration[group], known) for of_iteration in estimator._predictors]
        for group in range(estimator.n_trees_per_iteration_)
    ]
    part, work = sums_of(builder, groups, np.ravel(estimator._baseline_prediction), width, np.float64)
    return chained(first, part), work


@predictor("HistGradientBoostingRegressor")
def histogram_regressor(builder: Builder, estimator: Any, width: int) -> Predictor:
    part, work = histogram(builder, estimator, width)
    logarithmic = estimator.loss in ("poisson", "gamma")
    return Predictor(predicted=then(part, jnp.exp) if logarithmic else part, raw=part, work=work)


@predictor("HistGradientBoostingClassifier")
def histogram_classifier(builder: Builder, estimator: Any, width: int) -> Predictor:
    part, work = histogram(builder, estimator, width)

    def number(sums: Array) -> Array:
        return (sums > 0).astype(jnp.int64) if sums.shape[0] == 1 else number_of_greatest(sums)

    def scores(sums: Array) -> Array:
        return two(logistic(sums)) if sums.shape[0] == 1 else softmax(sums)

    return Predictor(scores=then(part, scores), raw=part, number=then(part, number), classes=labels_of(estimator), work=work)


def path_length(rows: NDArray[Any]) -> NDArray[np.float64]:
    """How many steps it takes on average to tell one of so many rows from the others by random splits."""
    count = np.maximum(np.asarray(rows, np.float64), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        many = 2.0 * (np.log(count - 1.0) + np.euler_gamma) - 2.0 * (count - 1.0) / count
    found: NDArray[np.float64] = np.where(count <= 1, 0.0, np.where(count == 2, 1.0, many))
    return found


def depths_of(tree: Any) -> NDArray[np.float64]:
    depths = np.zeros(tree.node_count)
    for node in range(tree.node_count):  # children come after their parents
        if tree.children_left[node] != -1:
            depths[[tree.children_left[node], tree.children_right[node]]] = depths[node] + 1
    return depths


@predictor("IsolationForest")
def isolation_forest(builder: Builder, estimator: Any, width: int) -> Predictor:
    """The class is 1, or -1 of outliers; `raw` is decision_function, below 0 of outliers."""
    trees = [
        tree_of(one, lambda tree: (depths_of(tree) + path_length(tree.n_node_samples))[:, None], features)
        for one, features in zip(estimator.estimators_, estimator.estimators_features_, strict=True)
    ]
    part, work = sums_of(builder, [trees], [0.0], width, np.float32)
    usual = float(len(trees) * path_length(np.asarray([estimator._max_samples]))[0])
    offset = builder.hold([estimator.offset_])

    def decision(run: Run, x: Array) -> Array:
        lengths = part(run, x)
        return -jnp.exp2(-lengths / usual if usual else jnp.ones_like(lengths)) - run.column(offset)

    def number(found: Array) -> Array:
        return (found >= 0).astype(jnp.int64)

    return Predictor(raw=decision, number=then(decision, number), classes=np.asarray([-1, 1]), work=work)
