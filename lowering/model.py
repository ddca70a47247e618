"""A model as the compiler sees it: a row-wise JAX function of columns, with its weights as arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import jax
import numpy as np
from numpy.typing import NDArray

from qtensor.types import SqlType

Apply: TypeAlias = Callable[[Sequence[jax.Array], Sequence[jax.Array]], jax.Array]


@dataclass(frozen=True, eq=False)
class Model:
    """What `create_function` registers.

    `apply(weights, columns)` is traceable and row-wise: columns are arrays [n] of the dtypes `arguments`, one for each SQL
    argument; the result is [n], or [k, n] when `result` is an ARRAY of k scores. `digest` names graph and weights' shapes,
    not the weights' values, which are arguments of the compiled program.
    """

    name: str
    digest: str
    arguments: tuple[np.dtype, ...]
    result: SqlType
    weights: tuple[NDArray[np.generic], ...]
    apply: Apply
    classes: int | None = None  # the result lies in [0, classes): an argmax over that many scores
