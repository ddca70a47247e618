"""Trees as arrays of equal shape, in the two forms in which `lowering/models/trees/program.py` computes them.

A retrained model has other trees: so numbers of nodes are rounded up to powers of two, and depths are data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtensor.errors import ModelError
from qtensor.lowering.models.trees.ensemble import LEAF, Ensemble, Tree

PACKED_FEATURES, PACKED_NODES = 1 << 12, 1 << 20  # what a node's 32 bits beside its threshold have room for
MOST_NODES = 1 << 30
MOST_BITS = 32  # leaves of a tree that are bits of one word

# Nanoseconds a row (AVX2, jaxlib 0.10.1): a node as a bit and a tree of them; a level of a walk; by bytes of a threshold.
BIT, BITS_OF_TREE, LEVEL = {4: 0.10, 8: 0.23}, 1.3, {4: 1.2, 8: 1.8}


@dataclass(frozen=True, eq=False)
class Features:
    """The rows of the matrix that nodes compare, beyond the model's features as they are: for each `Missing` in `kinds` a copy of
    all features, and a row for each of the `sets` of categories.

    set_feature: int[sets]. set_right: uint8[sets, categories + 3], whether a category goes right; at last those beyond, negative
    numbers and NaN.
    """

    width: int
    kinds: tuple[int, ...]
    set_feature: NDArray[np.int32]
    set_right: NDArray[np.uint8]

    @property
    def rows(self) -> int:
        return self.width * len(self.kinds) + len(self.set_feature)


@dataclass(frozen=True, eq=False)
class Nodes:
    """A tree of a common shape: which row of `Features` each node compares, `LEAF` for leaves, and with what."""

    row: NDArray[np.int32]
    threshold: NDArray[Any]
    tree: Tree


def described(ensemble: Ensemble) -> tuple[Features, list[Nodes]]:
    """The rows to compare, and each tree by them. A set is 1 where it sends a category right, and so is compared with 0.5."""
    width = len(ensemble.names)
    kinds = tuple(sorted({int(kind) for tree in ensemble.trees for kind in np.unique(tree.missing[tree.feature != LEAF])} or {0}))
    slots = np.zeros(4, np.int32)
    slots[list(kinds)] = np.arange(len(kinds))
    sets: dict[Any, int] = {}
    nodes = []
    for tree in ensemble.trees:
        row = np.where(tree.feature == LEAF, LEAF, slots[tree.missing] * width + tree.feature).astype(np.int32)
        threshold = tree.threshold.astype(ensemble.dtype)
        for node, test in tree.categories.items():
            number = sets.setdefault((int(tree.feature[node]), test), len(sets))
            row[node], threshold[node] = width * len(kinds) + number, 0.5
        nodes.append(Nodes(row, threshold, tree))
    most = max((max(test.listed, default=0) for _, test in sets), default=0)
    size = 1 << int(most + 1).bit_length()
    right = np.zeros((len(sets), size + 3), np.uint8)
    for (_, test), number in sets.items():
        right[number, : size + 1] = test.goes_left
        right[number, list(test.listed)] = not test.goes_left
        right[number, size + 1] = not test.negative_left
        right[number, size + 2] = not test.nan_left
    return Features(width, kinds, np.array([feature for feature, _ in sets], np.int32), right), nodes


@dataclass(frozen=True, eq=False)
class Walk:
    """Trees to go down level by level, all rows at once. A node's right child is behind its left one; a leaf, which is compared
    with NaN, is its own right child.

    link: uint64[nodes]: row << 32 | left child, or if `threshold` is None the threshold's bits << 32 | row << 20 | left child,
    which is counted from where its tree begins. leaf: [nodes, k]. depth, first: int32[trees], where a tree begins.
    """

    link: NDArray[np.uint64]
    threshold: NDArray[Any] | None
    leaf: NDArray[Any]
    depth: NDArray[np.int32]
    first: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Bits:
    """Trees of which each leaf is a bit, and each node a mask of the leaves that a row may still come to where it goes right.

    The leaf is the lowest bit that is left by all masks of nodes at which the row goes right; leaves are numbered from left to
    right. row: int32[trees, nodes]. threshold, mask: [trees, nodes]. leaf: [trees * leaves, k].
    Source: Lucchese et al., QuickScorer, SIGIR 2015, section 3.
    """

    row: NDArray[np.int32]
    threshold: NDArray[Any]
    mask: NDArray[np.uint32]
    leaf: NDArray[Any]


def laid_out(features: Features, trees: Sequence[Nodes]) -> Walk | Bits:
    """The form that takes less time."""
    return bits_of(trees) if cost_of_bits(trees) < cost_of_walk(trees) else walk_of(features, trees)


def nanoseconds(trees: Sequence[Nodes]) -> float:
    """What a row costs a core."""
    return min(cost_of_bits(trees), cost_of_walk(trees))


def cost_of_bits(trees: Sequence[Nodes]) -> float:
    most = max(leaves_of(one) for one in trees)
    size = trees[0].threshold.itemsize
    return len(trees) * (BITS_OF_TREE + BIT[size] * (power_of_two(most) - 1)) if most <= MOST_BITS else np.inf


def cost_of_walk(trees: Sequence[Nodes]) -> float:
    return sum(len(levels_of(one.tree)) for one in trees) * LEVEL[trees[0].threshold.itemsize]


def leaves_of(nodes: Nodes) -> int:
    return int(np.count_nonzero(nodes.row == LEAF))


def power_of_two(least: int) -> int:
    return 1 << (max(least, 1) - 1).bit_length()


def levels_of(tree: Tree) -> list[NDArray[Any]]:
    """The nodes of each level, children side by side."""
    levels = [np.zeros(1, np.int64)]
    while True:
        inner = levels[-1][tree.feature[levels[-1]] != LEAF]
        if not len(inner):
            return levels
        levels.append(np.stack([tree.left[inner], tree.right[inner]], axis=1).reshape(-1).astype(np.int64))


def walk_of(features: Features, trees: Sequence[Nodes]) -> Walk:
    levels = [levels_of(one.tree) for one in trees]
    sizes = [sum(map(len, one)) + 1 for one in levels]
    first = np.cumsum([0, *sizes[:-1]])
    total = power_of_two(sum(sizes))
    if total > MOST_NODES:
        raise ModelError(f"trees of {sum(sizes):,} nodes are too many: at most {MOST_NODES:,} go")
    dtype = trees[0].threshold.dtype
    row, child = np.zeros((2, total), np.uint64)
    threshold = np.full(total, np.nan, dtype)
    leaf = np.zeros((total, trees[0].tree.leaf.shape[1]), trees[0].tree.leaf.dtype)
    for start, nodes, of_tree in zip(first, trees, levels, strict=True):
        order = np.concatenate(of_tree)
        place = np.zeros(len(nodes.row), np.int64)
        place[order] = np.arange(1, len(order) + 1)  # place 0 is nobody's, so that the first leaf has one before it
        inner = nodes.row[order] != LEAF
        span = slice(start + 1, start + len(order) + 1)
        row[span] = np.where(inner, nodes.row[order], 0)
        child[span] = np.where(inner, place[np.where(inner, nodes.tree.left[order], 0)], place[order] - 1)
        threshold[span] = np.where(inner, nodes.threshold[order], np.asarray(np.nan, dtype))
        leaf[span] = np.where(inner[:, None], np.asarray(0, leaf.dtype), nodes.tree.leaf[order])
    depth = np.array([len(one) - 1 for one in levels], np.int32)
    if dtype == np.float32 and features.rows <= PACKED_FEATURES and max(sizes) <= PACKED_NODES:
        bits = threshold.view(np.uint32).astype(np.uint64)
        return Walk(bits << np.uint64(32) | row << np.uint64(20) | child, None, leaf, depth, first.astype(np.int32))
    return Walk(row << np.uint64(32) | child, threshold, leaf, depth, first.astype(np.int32))


def bits_of(trees: Sequence[Nodes]) -> Bits:
    leaves = power_of_two(max(leaves_of(one) for one in trees))
    nodes = max(leaves - 1, 1)
    row = np.zeros((len(trees), nodes), np.int32)
    threshold = np.zeros((len(trees), nodes), trees[0].threshold.dtype)
    mask = np.full((len(trees), nodes), ~np.uint32(0))
    leaf = np.zeros((len(trees), leaves, trees[0].tree.leaf.shape[1]), trees[0].tree.leaf.dtype)
    for number, one in enumerate(trees):
        for position, (node, first, count) in enumerate(left_parts(one.tree, leaf[number])):
            row[number, position], threshold[number, position] = one.row[node], one.threshold[node]
            mask[number, position] = ~np.uint32(((1 << count) - 1) << first)
    return Bits(row, threshold, mask, leaf.reshape(-1, leaf.shape[2]))


def left_parts(tree: Tree, leaf: NDArray[Any]) -> list[tuple[int, int, int]]:
    """Of each inner node which leaves are on its left, from one on and how many. Writes the leaves' values from left to right."""
    found, count = [], 0
    pending: list[tuple[int, int | None]] = [(0, None)]  # a node, and, where its left part was seen, from which leaf on
    while pending:
        node, first = pending.pop()
        if tree.feature[node] == LEAF:
            leaf[count] = tree.leaf[node]
            count += 1
        elif first is None:
            pending += [(int(tree.right[node]), None), (node, count), (int(tree.left[node]), None)]
        else:
            found.append((node, first, count - first))
    return found
