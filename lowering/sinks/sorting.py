"""Sorting rows by words: one packed int64 where the row's number fits beside the key, several operands where it does not."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from qtensor.lowering.kernel import INTEGER_WIDTHS

Array = jax.Array

LAST = (1 << INTEGER_WIDTHS[-1][1]) - 1  # the largest int64: after every live row's first word


def sorted_rows(words: Sequence[Array], radices: Sequence[int | None], live: Array) -> tuple[Array, list[Array]]:
    """Row numbers int32[n] in the order of `words`, ties in row order, dead rows last; and the words in that order.

    A word of radix r lies in [0, r); of radix None it is any int64.
    """
    rows = live.shape[0]
    first, *rest = radices
    if not rest and first is not None and first * rows < LAST:
        packed = words[0] * rows + jnp.arange(rows, dtype=jnp.int64)
        ordered = lax.sort(jnp.where(live, packed, LAST))
        return (ordered % rows).astype(jnp.int32), [ordered // rows]
    numbers = jnp.arange(rows, dtype=jnp.int32)
    dead = (~live).astype(jnp.int32)
    _, *sorted_words, order = lax.sort((dead, *words, numbers), num_keys=1 + len(words), is_stable=True)
    return order, sorted_words
