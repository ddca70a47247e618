"""jaxlib 0.10.2 adds up wrongly on the CPU (jax issue 39103); the compiler option that every qtensor program gets mends it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np
import pytest

OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}


def squared_length(rows: jax.Array) -> jax.Array:
    """A matrix-vector product for each row and a sum over it: the shape of program that jaxlib 0.10.2 miscompiles."""
    matrix = jnp.eye(3, dtype=rows.dtype)
    return jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2))(rows)


@pytest.mark.parametrize(("dtype", "count"), [(np.float64, 16_385), (np.float32, 32_769)])
def test_compiled_with_the_option_the_result_is_right(dtype, count):
    rows = np.zeros((count, 3), dtype)
    rows[:, 0] = np.arange(count)
    with jax.enable_x64(True):
        compiled = jax.jit(squared_length).lower(rows).compile(compiler_options=OPTIONS)
        result = np.asarray(compiled(rows))
    np.testing.assert_array_equal(result, (rows**2).sum(axis=1))


def test_the_broken_version_is_not_installed():
    assert jaxlib.version.__version__ != "0.10.2"
