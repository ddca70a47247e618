"""Ensembles of decision trees as plain data, whatever library grew them, and what makes them well formed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtensor.errors import ModelError

LEAF = -1  # the feature of a leaf


class Missing(IntEnum):
    """Where a node sends a value that is missing: NaN, or NaN and zero."""

    RIGHT = 0
    LEFT = 1
    ZERO_LEFT = 2
    ZERO_RIGHT = 3


@dataclass(frozen=True)
class Categories:
    """A node's test of a category, a whole number: whether it is among `listed`, `goes_left` says of those, others go the other
    way. negative_left, nan_left: where numbers below 0 and NaN go.
    """

    listed: tuple[int, ...]
    goes_left: bool
    negative_left: bool
    nan_left: bool


@dataclass(frozen=True, eq=False)
class Tree:
    """A tree of nodes, of which 0 is the root.

    feature: int[nodes], LEAF for leaves. threshold: a row whose feature is at most that goes left. left, right: int[nodes], of
    leaves anything. missing: `Missing` of each node. leaf: float[nodes, k], of inner nodes anything. categories: tests that are
    no comparisons, by their node.
    """

    feature: NDArray[Any]
    threshold: NDArray[Any]
    left: NDArray[Any]
    right: NDArray[Any]
    missing: NDArray[Any]
    leaf: NDArray[Any]
    categories: Mapping[int, Categories] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Groups of trees. The trees of a group are added up, beginning with its `start`, in their order and in the type of their
    leaves; then all is divided by `divisor`. A group gives the k values of its leaves; where there are several, k is 1.

    names: of the features. dtype: the type in which features are compared. truncates: whether the category of -0.5 is 0, not
    negative. labels: what rows have for the categories 0, 1, ... of a feature: texts, or numbers. fails_of_unknown: whether a row
    with another label has no result; else it is missing.
    """

    names: tuple[str, ...]
    dtype: np.dtype[Any]
    groups: tuple[tuple[Tree, ...], ...]
    start: NDArray[Any]
    divisor: float = 1.0
    truncates: bool = False
    labels: Mapping[int, tuple[str | float, ...]] = field(default_factory=dict)
    fails_of_unknown: bool = False

    @property
    def trees(self) -> tuple[Tree, ...]:
        return tuple(tree for group in self.groups for tree in group)

    @property
    def outputs(self) -> int:
        return int(self.groups[0][0].leaf.shape[1])


def at_most(below: NDArray[Any]) -> NDArray[Any]:
    """The thresholds t of `x <= t` that say what `x < below` does, in the same type."""
    found: NDArray[Any] = np.nextafter(below, np.asarray(-np.inf, below.dtype))
    return found


def single(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The thresholds of which float32 numbers are less or equal exactly if they are so of `threshold`."""
    with np.errstate(over="ignore"):
        rounded = threshold.astype(np.float32)
    return np.where(rounded.astype(np.float64) > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def check_ensemble(name: str, ensemble: Ensemble) -> None:
    """Raise ModelError: no trees, children or features that do not exist, nodes that two lead to, thresholds that are NaN."""
    features = len(ensemble.names)
    if not features or not ensemble.trees:
        raise ModelError(f'model "{name}" has no trees, or no features')
    shape = ensemble.outputs
    for number, tree in enumerate(ensemble.trees):
        problem = problem_of(tree, features, shape)
        if problem:
            raise ModelError(f'model "{name}": {problem} in tree {number}')


def problem_of(tree: Tree, features: int, outputs: int) -> str | None:
    nodes = len(tree.feature)
    arrays: Sequence[NDArray[Any]] = (tree.threshold, tree.left, tree.right, tree.missing, tree.leaf)
    if not nodes or any(len(array) != nodes for array in arrays) or tree.leaf.shape != (nodes, outputs):
        return "nodes lack a part"
    inner = tree.feature != LEAF
    if ((tree.feature[inner] < 0) | (tree.feature[inner] >= features)).any():
        return "there is a feature that the model does not have"
    if not reaches_nodes_once(tree):
        return "nodes are no tree"
    compared = inner.copy()
    compared[list(tree.categories)] = False
    if np.isnan(tree.threshold[compared]).any():
        return "there is a threshold that is NaN"
    if any(category < 0 or category >= 1 << 24 for one in tree.categories.values() for category in one.listed):
        return "there is a category out of range"
    return None


def reaches_nodes_once(tree: Tree) -> bool:
    """Whether going down from the root comes to nodes that exist, to none of them twice."""
    seen = np.zeros(len(tree.feature), bool)
    level = np.zeros(1, np.int64)
    while len(level):
        if level.min() < 0 or level.max() >= len(seen) or seen[level].any() or len(np.unique(level)) != len(level):
            return False
        seen[level] = True
        inner = level[tree.feature[level] != LEAF]
        level = np.concatenate([tree.left[inner], tree.right[inner]]).astype(np.int64)
    return True
