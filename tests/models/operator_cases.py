"""What a test of an operator consists of, and the rows it is tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tests.models.oracle import extreme_rows


@dataclass(frozen=True)
class Case:
    """`function` of a batch [n, 3] of `dtype` uses the operator `op`; rows are drawn by `draw`.

    scaled: whether its results are sums of which some all but cancel: they are as exact as their summands are large.
    """

    op: str
    function: Callable[[Any], Any]
    dtype: Any = tf.float32
    draw: Callable[[int], Any] = lambda rows: extreme_rows(rows, 3)
    label: str = ""
    scaled: bool = False


def small_integers(rows: int) -> Any:
    return np.random.default_rng(3).integers(-9, 10, (rows, 3))


def tame(rows: int) -> Any:
    return np.random.default_rng(5).normal(size=(rows, 3)).astype(np.float32) * 3


def finite(rows: int) -> Any:
    """Extreme, but without NaN, +inf and rows of -inf alone, whose softmax depends on how TensorFlow was built."""
    drawn = extreme_rows(rows, 3)
    drawn[np.isnan(drawn) | (drawn == np.inf)] = 3
    drawn[np.isneginf(drawn).all(axis=1)] = -1
    return drawn
