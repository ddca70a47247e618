"""Models of several widths in four kinds of query, beside TensorFlow. Run as `python bench/models.py [--networks 4-4,...] [--rows
10000,...] [--rounds 15]`. Networks may also be lstm, gru, cnn, mobile and encoder, of fewer rows, and trees beside their own
library's predict on all cores, as xgboost-100-6, lightgbm-100-31, forest-100-0: how many, and how deep or of how many leaves (0:
as deep as they grow).

The rival runs `tf.function(jit_compile=True)` over all rows and does the rest by NumPy, as someone would who has columns and a
model: the columns are stacked into its input for each call ("from columns"), or were stacked before ("stacked"), which no table
of columns is. Rows are compared first.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import qtensor
from bench.quiet import import_tensorflow
from bench.report import duration
from bench.timing import turn, warm_up

NETWORKS = "4-4,4-16-4,32-128-64-1,100-256-128-10"
ROWS = "10000,1000000"
GROUPS = 50
TREE_FEATURES = 20
KINDS = {
    "group": "SELECT g, avg({score}) AS s FROM t WHERE x > 0 GROUP BY g ORDER BY g",
    "average": "SELECT avg({score}) AS s FROM t",
    "count": "SELECT count(*) AS s FROM t WHERE {score} > 0.1",
    "rows": "SELECT {score} AS s FROM t",
}


@dataclass(frozen=True)
class Case:
    """A network over a table: columns [rows], its rival as a function of a matrix [rows, features]."""

    columns: list[NDArray[np.float32]]
    matrix: NDArray[np.float32]
    groups: NDArray[np.int32]
    x: NDArray[np.float32]
    network: Callable[[NDArray[np.float32]], NDArray[Any]]

    def rival(self, kind: str, stacked: bool) -> NDArray[np.float64]:
        """What a query of `kind` gives: for each group, or one number, or one for each row."""
        scores = self.network(self.matrix if stacked else np.stack(self.columns, axis=-1))
        match kind:
            case "group":
                kept = self.x > 0
                sums = np.bincount(self.groups[kept], scores[kept], GROUPS)
                return sums / np.bincount(self.groups[kept], minlength=GROUPS)
            case "average":
                return np.array([scores.mean(dtype=np.float64)])
            case "count":
                return np.array([np.count_nonzero(scores > np.float32(0.1))], np.float64)
            case _:
                return scores


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Exit status 1 if a query gives other rows than TensorFlow."""
    options = parser().parse_args(arguments)
    import_tensorflow()
    table = Table("network", "rows", "query", "first call", "qtensor", "rival from columns", "", "stacked", "")
    wrong = False
    for sizes in options.networks.split(","):
        for rows in map(int, options.rows.split(",")):
            with qtensor.connect() as connection:
                case, score = cased(connection, sizes, rows)
                for kind, query in KINDS.items():
                    start = time.perf_counter()
                    relation = connection.sql(query.format(score=score))
                    found = relation.arrow()["s"].to_numpy()
                    first = time.perf_counter() - start
                    right = np.allclose(found, case.rival(kind, stacked=True), rtol=1e-4, atol=1e-5)
                    if kind == "count":  # scores that differ in their last digits fall on either side of the bound
                        right = abs(found[0] - case.rival(kind, stacked=True)[0]) <= 1 + rows / 1e5
                    wrong |= not right
                    rivals = [functools.partial(case.rival, kind, stacked=stacked) for stacked in (False, True)]
                    ours, columns, stacked = in_turns(relation.arrow, *rivals, rounds=options.rounds)
                    ratios = (f"{columns / ours:.2f}x", f"{stacked / ours:.2f}x") if right else ("WRONG", "WRONG")
                    cells = [duration(ours), duration(columns), ratios[0], duration(stacked), ratios[1]]
                    table.add_row(sizes, f"{rows:,}", kind, f"{first:.2f} s", *cells)
    Console(width=120).print(table)
    return int(wrong)


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description="Models in queries beside TensorFlow")
    others = ", ".join(OTHERS)
    options.add_argument("--networks", default=NETWORKS, help=f"widths of layers, or {others} (default {NETWORKS})")
    options.add_argument("--rows", default=ROWS, help=f"rows of the table (default {ROWS})")
    options.add_argument("--rounds", type=int, default=15, help="turns of each contestant (default 15)")
    return options


def dense(sizes: Sequence[int]) -> Any:
    """A network of layers of these widths, the first of which is the input's."""
    import keras

    hidden = [keras.layers.Dense(units, activation="relu") for units in sizes[1:-1]]
    return keras.Sequential([keras.Input((sizes[0],)), *hidden, keras.layers.Dense(sizes[-1])])


def recurrent(layer: str) -> Any:
    """32 units over 20 steps of 8 features."""
    import keras

    return keras.Sequential([keras.Input((20, 8)), getattr(keras.layers, layer)(32), keras.layers.Dense(1)])


def cnn() -> Any:
    """Two convolutions of images of 28 x 28."""
    import keras

    layers = keras.layers
    blocks = [part for width in (16, 32) for part in (layers.Conv2D(width, 3, activation="relu"), layers.MaxPooling2D())]
    return keras.Sequential([keras.Input((28, 28, 1)), *blocks, layers.Flatten(), layers.Dense(1)])


def mobile() -> Any:
    """Separable convolutions of images of 28 x 28."""
    import keras

    layers = keras.layers
    blocks = [layers.SeparableConv2D(width, 3, activation="relu") for width in (16, 32)]
    first = layers.Conv2D(8, 3, strides=2, activation="relu")
    return keras.Sequential([keras.Input((28, 28, 1)), first, *blocks, layers.GlobalAveragePooling2D(), layers.Dense(1)])


def encoder() -> Any:
    """A transformer's encoder of 32 tokens of 16 numbers, four heads."""
    import keras

    layers = keras.layers
    given = keras.Input((32, 16))
    attended = layers.LayerNormalization()(given + layers.MultiHeadAttention(4, 4)(given, given))
    wide = layers.Dense(16)(layers.Dense(32, activation="relu")(attended))
    pooled = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(attended + wide))
    return keras.Model(given, layers.Dense(1)(pooled))


TREES = ("xgboost", "lightgbm", "forest")
OTHERS: dict[str, Callable[[], Any]] = {
    "lstm": functools.partial(recurrent, "LSTM"),
    "gru": functools.partial(recurrent, "GRU"),
    "cnn": cnn,
    "mobile": mobile,
    "encoder": encoder,
}


def trees(kind: str, count: int, size: int) -> tuple[Any, Callable[[NDArray[np.float32]], NDArray[Any]]]:
    """Trees of a library, fitted to something that they need to be large for."""
    random = np.random.default_rng(1)
    x = random.normal(size=(20_000, TREE_FEATURES)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + x[:, 3] * (x[:, 4] > 0) + random.normal(size=len(x)) * 0.3
    match kind:
        case "xgboost":
            import xgboost

            model: Any = xgboost.XGBRegressor(n_estimators=count, max_depth=size)
        case "lightgbm":
            import lightgbm

            model = lightgbm.LGBMRegressor(n_estimators=count, num_leaves=size, verbose=-1)
        case _:
            from sklearn.ensemble import RandomForestRegressor

            model = RandomForestRegressor(count, max_depth=size or None, n_jobs=-1)
    model.fit(x, y)
    return model, model.predict


def network_of(name: str) -> tuple[Any, Callable[[NDArray[np.float32]], NDArray[Any]]]:
    """A network by the widths of its layers, or one of `OTHERS`, and its first score as TensorFlow computes it."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    model = OTHERS[name]() if name in OTHERS else dense(tuple(map(int, name.split("-"))))
    shape = tuple(model.inputs[0].shape[1:])
    network = tf.function(lambda batch: model(tf.reshape(batch, (-1, *shape)), training=False), jit_compile=True)
    return model, lambda batch: network(batch).numpy()[:, 0]


def cased(connection: qtensor.Connection, name: str, rows: int) -> tuple[Case, str]:
    """A model and a table, also registered, and the SQL of its first score."""
    random = np.random.default_rng(0)
    kind, *sizes = name.split("-")
    if kind in TREES:
        model, network = trees(kind, *map(int, sizes))
        width, outputs = TREE_FEATURES, 1
    else:
        model, network = network_of(name)
        width, outputs = math.prod(model.inputs[0].shape[1:]), model.outputs[0].shape[-1]
    columns = [random.normal(size=rows).astype(np.float32) for _ in range(width)]
    groups, x = random.integers(0, GROUPS, rows).astype(np.int32), random.normal(size=rows).astype(np.float32)
    names = [f"c{number}" for number in range(len(columns))]
    connection.register("t", {**dict(zip(names, columns, strict=True)), "g": groups, "x": x})
    connection.create_function("score", model)
    score = f"score({', '.join(names)}){'[1]' if outputs > 1 else ''}"
    return Case(columns, np.stack(columns, axis=-1), groups, x, network), score


def in_turns(*contestants: Callable[[], object], rounds: int) -> list[float]:
    """The median seconds of each, called in turns."""
    typical = [warm_up(contestant, 1.0) for contestant in contestants]
    samples: list[list[float]] = [[] for _ in contestants]
    for _ in range(rounds):
        for contestant, seconds, found in zip(contestants, typical, samples, strict=True):
            found += turn(contestant, seconds)
    return [statistics.median(found) for found in samples]


if __name__ == "__main__":
    sys.exit(main())
