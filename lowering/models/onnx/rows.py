"""Whether a graph of ONNX computes each row for itself: tried with numbers, since any operator may go along the axis of the rows.

A graph is computed for batches of one row. That is what its library computes of many only if no operator sees several of them; so
the graph is computed for two rows at once, too, as the library does, and both must give the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from qtensor.errors import ModelError
from qtensor.lowering.models.onnx.graph import FAILURES
from qtensor.lowering.models.onnx.registry import Text

ROWS = 2
CLOSE = 1e-3  # of numbers of float32 that were computed in another order


def refuse_mixed_rows(
    name: str, compute: Callable[[Mapping[str, Any]], Any], inputs: Sequence[tuple[str, tuple[int, ...], np.dtype[Any]]]
) -> None:
    """Raise ModelError for a graph whose rows are not along its first axis, or depend on one another.

    compute: the graph of its inputs by name. inputs: the name of each, its shape for one row, and its type. A graph that goes for
    one row only is taken as it is.
    """
    random = np.random.default_rng(0)
    given = {own: numbers(random, (ROWS, *shape[1:]), dtype) for own, shape, dtype in inputs}

    def computed(values: Mapping[str, Any]) -> Any:
        found = compute(values)
        return found.number if isinstance(found, Text) else found

    try:
        together = np.asarray(jax.jit(computed)(given))
    except (ModelError, RuntimeError, *FAILURES):  # an operator that is fixed to one row
        return
    alone = jax.jit(computed)
    each = [np.asarray(alone({own: value[row : row + 1] for own, value in given.items()})) for row in range(ROWS)]
    if any(one.ndim != together.ndim or one.shape[:1] != (1,) for one in each) or together.shape[:1] != (ROWS,):
        raise ModelError(
            f'model "{name}": the first axis of its output is not that of the rows: {list(together.shape)} for {ROWS} rows'
        )
    if not close(np.concatenate(each), together):
        raise ModelError(
            f'model "{name}": the result of a row depends on the rows beside it: an operator goes along the first axis'
        )


def numbers(random: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Small ones of any type, so that they are places in tables."""
    if dtype.kind in "iub":
        return random.integers(0, 2, shape).astype(dtype)
    return random.normal(size=shape).astype(dtype)


def close(found: Any, expected: Any) -> bool:
    if found.shape != expected.shape:
        return False
    if found.dtype.kind in "iub":
        return bool((found == expected).all())
    one, other = found.astype(np.float64), expected.astype(np.float64)
    size = max(1e-6, float(np.nanmax(np.abs(other), initial=0.0, where=np.isfinite(other))))
    return bool(np.allclose(one, other, rtol=CLOSE, atol=CLOSE * size, equal_nan=True))
