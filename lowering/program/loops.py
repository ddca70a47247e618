"""Loops whose own condition does not show that they end, with a count beside it that does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax

State = TypeVar("State")


def bounded_loop(turns: int, wanted: Callable[[State], jax.Array], step: Callable[[State], State], start: State) -> State:
    """`lax.while_loop`, for at most `turns` turns: more than it ever takes, or its result is wrong.

    The count is for who reads a stranger's program, and compiles it only if each of its loops ends (`aot/isolated/whitelist.py`).
    """

    def goes_on(loop: tuple[jax.Array, State]) -> jax.Array:
        return (loop[0] < turns) & wanted(loop[1])

    def turn(loop: tuple[jax.Array, State]) -> tuple[jax.Array, State]:
        return loop[0] + 1, step(loop[1])

    state: State = lax.while_loop(goes_on, turn, (jnp.int64(0), start))[1]
    return state
