"""How two partial results of an aggregate become one: the formulas that groups, whose states are merged, and frames, whose rows
are folded, have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax.numpy as jnp

from qtensor.lowering.ir.physical import Accumulator
from qtensor.lowering.program.sinks.base import Array

# By the name of an accumulator: each is associative and commutative.
OPERATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "count": jnp.add,
    "sum": jnp.add,
    "min": jnp.minimum,
    "max": jnp.maximum,
    "product": jnp.multiply,
    "bit_and": jnp.bitwise_and,
    "bit_or": jnp.bitwise_or,
    "bit_xor": jnp.bitwise_xor,
}


def identity_of(accumulator: Accumulator) -> int:
    """The value that the operation leaves unchanged: of min and max the far end of the range."""
    match accumulator.op:
        case "min" | "max":
            assert accumulator.range is not None
            return accumulator.range.high if accumulator.op == "min" else accumulator.range.low
        case "product":
            return 1
        case "bit_and":
            return -1
        case _:
            return 0


def precedes(left: Sequence[Array], right: Sequence[Array], if_equal: Array) -> Array:
    """Whether the words of `left` come before those of `right`, the first word counting most; `if_equal` where all are equal."""
    before = if_equal
    for a, b in reversed(tuple(zip(left, right, strict=True))):
        before = (a < b) | ((a == b) & before)
    return before


@dataclass(frozen=True)
class JoinedMoments:
    """How the moments of two sets of rows, of which there are `left` and `right` (int64), give those of all these rows.

    Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
    """

    left: Array
    right: Array
    share: Array  # float64: what part of all rows those of the right are
    weight: Array

    @staticmethod
    def of(left: Array, right: Array) -> JoinedMoments:
        rows, added = left.astype(jnp.float64), right.astype(jnp.float64)
        share = added / jnp.maximum(rows + added, 1.0)
        return JoinedMoments(left, right, share, rows * share)

    def mean(self, left: Array, distance: Array) -> Array:
        """The mean of all, of that on the left and how far that on the right is from it."""
        return left + distance * self.share

    def products(self, left: Array, right: Array, distance: Array, other: Array) -> Array:
        """The sum of products of distances from the means, of two values with means so far apart; of one value, of squares."""
        return left + right + distance * other * self.weight

    def unless_alone(self, left: Array, right: Array, both: Array) -> Array:
        """`both`, but what one side has where the other has no rows: next to these, infinities would become NaN."""
        return jnp.where(self.right == 0, left, jnp.where(self.left == 0, right, both))
