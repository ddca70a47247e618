"""Measure the three forms of a dense layer inside a scan over chunks, for the thresholds of lowering/models/tensorflow/dense.py.

Run as `python bench/dense_layers.py [rows in millions]`. A network is written in each form; the time is the median over runs of
one compiled scan over [chunks, 65536] that adds up the outputs, in milliseconds a million rows.
"""

from __future__ import annotations

import ctypes
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from rich.console import Console
from rich.table import Table

from qtensor.lowering.models.tensorflow.dense import broadcast_products, feature_major_product, row_major_product

CHUNK = 65_536
COMPILER_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}
RUNS = 7
# Broadcasting is hopeless, and slow to compile, from here on.
LARGEST_BROADCAST = 512

Form = Callable[[jax.Array, jax.Array], jax.Array]
FORMS: dict[str, Form] = {
    "broadcast": broadcast_products,
    "feature-major": feature_major_product,
    "row-major": row_major_product,
}
NETWORKS = (
    (4, 2),
    (4, 4),
    (4, 8),
    (4, 16),
    (8, 8),
    (16, 4),
    (8, 1),
    (32, 1),
    (64, 1),
    (128, 1),
    (256, 1),
    (64, 2),
    (16, 16),
    (32, 16),
    (32, 32),
    (64, 32),
    (64, 64),
    (128, 64),
    (128, 128),
    (4, 16, 4),
    (4, 16, 16, 4),
    (8, 32, 16, 1),
    (4, 64, 64, 1),
    (32, 128, 64, 1),
)


def network(form: Form, weights: Sequence[jax.Array], columns: Sequence[jax.Array]) -> jax.Array:
    """Dense layers with relu between them; columns: [n] each → [outputs, n]."""
    values = jnp.stack(columns)
    for position, weight in enumerate(weights):
        values = form(values, weight)
        if position < len(weights) - 1:
            values = jnp.maximum(values, 0)
    return values


def measure(form: Form, sizes: tuple[int, ...], chunks: int) -> float:
    """Median milliseconds a million rows."""
    random = np.random.default_rng(0)
    weights = [jnp.asarray(random.normal(size=pair), jnp.float32) for pair in pairwise(sizes)]
    columns = [jnp.asarray(random.normal(size=(chunks, CHUNK)), jnp.float32) for _ in range(sizes[0])]

    def program(weights: Sequence[jax.Array], columns: Sequence[jax.Array]) -> jax.Array:
        def step(total: jax.Array, chunk: Sequence[jax.Array]) -> tuple[jax.Array, None]:
            return total + network(form, weights, chunk).reshape(sizes[-1], -1, 64).sum(1), None

        return lax.scan(step, jnp.zeros((sizes[-1], 64), jnp.float32), columns)[0]

    compiled = jax.jit(program).lower(weights, columns).compile(compiler_options=COMPILER_OPTIONS)
    compiled(weights, columns).block_until_ready()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        compiled(weights, columns).block_until_ready()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3 / (chunks * CHUNK / 1e6)


def keep_heap_pages() -> None:
    """As the engine does on glibc: give no pages back, so that a run does not fault its temporaries in anew."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def main(millions: float = 0.5) -> None:
    keep_heap_pages()
    chunks = max(1, round(millions * 1e6 / CHUNK))
    table = Table("network", "largest layer", *FORMS, "best", title=f"ms per million rows, {chunks} chunks of {CHUNK:,}")
    for sizes in NETWORKS:
        largest = max(a * b for a, b in pairwise(sizes))
        timings = {
            name: measure(form, sizes, chunks)
            for name, form in FORMS.items()
            if not (form is broadcast_products and largest > LARGEST_BROADCAST)
        }
        cells = [f"{timings[name]:.2f}" if name in timings else "-" for name in FORMS]
        table.add_row("-".join(map(str, sizes)), str(largest), *cells, min(timings, key=timings.__getitem__))
    Console(width=110).print(table)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))
