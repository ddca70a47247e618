"""LightGBM's models, from the text that it writes of them; LightGBM itself is not needed.

Comparisons and sums are of float64, as LightGBM's. Source: `Tree::NumericalDecision` and `CategoricalDecision` in its tree.h.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from qtensor.errors import ModelError
from qtensor.lowering.models.assembled import Taken, constant
from qtensor.lowering.models.model import Model
from qtensor.lowering.models.trees.ensemble import LEAF, Categories, Ensemble, Missing, Tree
from qtensor.lowering.models.trees.outputs import (
    Objective,
    binary,
    identity,
    model_of_trees,
    multiclass,
    sigmoid,
    softmax,
)  # fmt: skip
from qtensor.lowering.models.trees.xgboost import DAMAGE

IDENTITY = ("regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg", "custom", "none")
EXPONENTIAL = ("poisson", "gamma", "tweedie")
CATEGORICAL, DEFAULT_LEFT = 1, 2  # bits of a decision's type; the two above say what is missing
NOTHING, ZERO, NAN = range(3)


def is_lightgbm(model: object) -> bool:
    return any(base.__module__.partition(".")[0] == "lightgbm" for base in type(model).__mro__)


def import_lightgbm(taken: Taken, model: Any) -> Model:
    """A Booster, or one of LightGBM's estimators for scikit-learn; both predict by the trees up to the best iteration."""
    return model_of_trees(taken, *ensemble_of_lightgbm(taken.name, model))


def ensemble_of_lightgbm(name: str, model: Any) -> tuple[Ensemble, Objective]:
    classes = None
    booster = model
    if hasattr(model, "booster_") or hasattr(type(model), "booster_"):
        try:
            booster = model.booster_
        except Exception as error:
            raise ModelError(f'model "{name}": this {type(model).__name__} is not fitted') from error
        if hasattr(model, "predict_proba"):
            classes = np.asarray(model.classes_)
    if not hasattr(booster, "model_to_string"):
        raise ModelError(f'model "{name}": {type(model).__name__} is no model; pass a Booster or an estimator of LightGBM')
    return parsed(name, booster.model_to_string(), classes)


def read_lightgbm(taken: Taken, text: str) -> Model:
    """The model that LightGBM wrote as `text`."""
    return model_of_trees(taken, *parsed(taken.name, text, None))


def parsed(name: str, text: str, classes: Any) -> tuple[Ensemble, Objective]:
    try:
        return read_text(name, text, classes)
    except DAMAGE as error:
        raise ModelError(f'model "{name}": this is no model as LightGBM writes it: {type(error).__name__} {error}') from error


def read_text(name: str, text: str, classes: Any) -> tuple[Ensemble, Objective]:
    head, *parts = text.partition("\nend of trees")[0].split("\nTree=")
    if not head.startswith("tree\n"):
        raise ValueError("it does not begin with the line `tree`")
    settings = settings_of(head)
    per_iteration = int(settings["num_tree_per_iteration"])
    trees = [read_tree(name, settings_of("number=" + part)) for part in parts]
    if int(settings.get("num_class", 1)) not in (1, per_iteration):
        raise ValueError("num_class is not the number of trees of an iteration")
    if per_iteration < 1 or not trees or len(trees) % per_iteration:
        raise ModelError(f'model "{name}": it has no trees, or not for each of its outputs')
    grouped = tuple(tuple(trees[group::per_iteration]) for group in range(per_iteration))
    divisor = len(trees) // per_iteration if "average_output" in settings else 1
    names = tuple(settings["feature_names"].split())
    if len(names) != int(settings["max_feature_idx"]) + 1:
        raise ValueError("there are not as many names as features")
    labels = labels_of(name, text, settings, len(names))
    ensemble = Ensemble(names, np.dtype(np.float64), grouped, np.zeros(per_iteration), divisor, truncates=True, labels=labels)
    return ensemble, objective_of(name, settings.get("objective", "none").split(), per_iteration, classes)


def labels_of(name: str, text: str, settings: Mapping[str, str], features: int) -> dict[int, tuple[str | float, ...]]:
    """What pandas called the categories of its columns, whose codes the trees test: labels that are none of them are missing."""
    _, found, written = text.rpartition("\npandas_categorical:")
    columns = json.loads(written.partition("\n")[0]) if found else None
    if not columns:
        return {}
    given = re.search(r"\n\[categorical_feature: ([0-9,]*)\]", text)
    if given is not None:
        known = sorted(int(one) for one in given[1].split(",") if one)
    else:
        known = [number for number, info in enumerate(settings["feature_infos"].split()) if info[0] not in "[n"]
    if len(known) != len(columns) or any(not 0 <= feature < features for feature in known):
        raise ModelError(
            f'model "{name}" was trained on {len(columns)} columns of categories, of which it tests {len(known)} as such: which '
            "those are is not known. Make ordered categories numbers before training (`column.cat.codes`)"
        )
    return {feature: labels_read(labels) for feature, labels in zip(known, columns, strict=True)}


def labels_read(labels: Any) -> tuple[str | float, ...]:
    if all(isinstance(label, str) for label in labels):
        return tuple(labels)
    if all(isinstance(label, int | float) for label in labels):
        return tuple(map(float, labels))
    raise ValueError("categories are neither texts nor numbers")


def settings_of(lines: str) -> dict[str, str]:
    return {key: value for key, _, value in (line.partition("=") for line in lines.splitlines()) if key}


def numbers(settings: dict[str, str], key: str, dtype: Any, count: int) -> NDArray[Any]:
    found = np.array(settings[key].split() if count else [], dtype)
    if len(found) != count:
        raise ValueError(f"{key} has {len(found)} numbers, not {count}")
    return found


def read_tree(name: str, settings: dict[str, str]) -> Tree:
    """A tree. Its inner nodes stay in front; children below 0 are leaves, ~n the nth."""
    if int(settings.get("is_linear", "0")):
        raise ModelError(f'model "{name}": linear trees (linear_tree=True) are not supported')
    leaves = int(settings["num_leaves"])
    inner = leaves - 1
    kind, feature, left, right = (
        numbers(settings, key, np.int64, inner) for key in ("decision_type", "split_feature", "left_child", "right_child")
    )
    threshold = numbers(settings, "threshold", np.float64, inner)
    leaf = numbers(settings, "leaf_value", np.float64, leaves)
    if (feature < 0).any():
        raise ValueError("a feature is below 0")
    missing = missing_of(kind, threshold)
    nodes = inner + leaves
    return Tree(
        feature=np.concatenate([feature, np.full(leaves, LEAF)]),
        threshold=np.concatenate([threshold, np.zeros(leaves)]),
        left=np.concatenate([np.where(left < 0, inner + ~left, left), np.zeros(leaves, np.int64)]),
        right=np.concatenate([np.where(right < 0, inner + ~right, right), np.zeros(leaves, np.int64)]),
        missing=np.concatenate([missing, np.zeros(leaves, np.int8)]),
        leaf=np.concatenate([np.zeros(inner), leaf])[:nodes, None],
        categories=read_categories(settings, kind, threshold),
    )


def missing_of(kind: NDArray[np.int64], threshold: NDArray[np.float64]) -> NDArray[np.int8]:
    """Where nodes send what is missing. Where nothing is, NaN counts as 0."""
    missing, default_left = kind >> 2 & 3, kind & DEFAULT_LEFT > 0
    left = np.where(missing == NOTHING, threshold >= 0, default_left)
    zero = np.where(left, Missing.ZERO_LEFT, Missing.ZERO_RIGHT)
    found: NDArray[np.int8] = np.where(missing == ZERO, zero, np.where(left, Missing.LEFT, Missing.RIGHT)).astype(np.int8)
    return found


def read_categories(settings: dict[str, str], kind: NDArray[np.int64], threshold: NDArray[np.float64]) -> dict[int, Categories]:
    """The tests of categories: those that a node lists, as bits of words of 32, go left, all others right."""
    nodes = np.flatnonzero(kind & CATEGORICAL)
    if not len(nodes):
        return {}
    count = int(settings["num_cat"])
    bounds = numbers(settings, "cat_boundaries", np.int64, count + 1)
    words = np.array(settings["cat_threshold"].split(), np.uint32)
    found = {}
    for node in nodes:
        number = int(threshold[node])
        if not 0 <= number < count:
            raise ValueError("a node tests categories that are not there")
        bits = np.unpackbits(words[bounds[number] : bounds[number + 1]].view(np.uint8), bitorder="little")
        listed = tuple(map(int, np.flatnonzero(bits)))
        found[int(node)] = Categories(listed, goes_left=True, negative_left=False, nan_left=False)
    return found


def objective_of(name: str, words: Sequence[str], groups: int, classes: Any) -> Objective:
    """What a line such as `binary sigmoid:1` says."""
    kind = words[0] if words else "none"
    options = dict(word.partition(":")[::2] for word in words[1:])
    match kind:
        case "binary" if groups == 1:
            return binary(sigmoid(float(options.get("sigmoid", 1))), classes)
        case "multiclass":
            return multiclass(softmax, groups, classes)
        case "multiclassova":
            return multiclass(sigmoid(float(options.get("sigmoid", 1))), groups, classes)
        case "cross_entropy":
            return Objective(sigmoid())
        case "cross_entropy_lambda":
            return Objective(lambda sums: jnp.log1p(jnp.exp(sums)))
        case "regression":
            return Objective(squared if "sqrt" in words else identity)
        case _ if kind in EXPONENTIAL:
            return Objective(jnp.exp)
        case _ if kind in IDENTITY and classes is None:
            return Objective(identity)
        case _:
            raise ModelError(f'model "{name}": LightGBM\'s objective "{kind}" is not supported')


def squared(sums: jax.Array) -> jax.Array:
    """Of sums that are square roots with a sign."""
    return jnp.sign(sums) * sums * sums * constant(1, sums)
