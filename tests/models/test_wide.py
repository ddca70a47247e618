"""Models too wide for a chunk at once: their rows in blocks, only those that are asked for, in any number; TensorFlow is right."""

from __future__ import annotations

import re
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

import qtensor
from qtensor.lowering.models.model import WIDE
from qtensor.lowering.models.tensorflow import import_model
from qtensor.lowering.program.predict import BLOCK
from qtensor.lowering.storage.layout import CHUNK

FEATURES = 40
GROUPS = 7
COLUMNS = [f"c{number}" for number in range(FEATURES)]
MOST_ROWS = 2 * CHUNK + 3
RANDOM = np.random.default_rng(3)
DATA = {name: RANDOM.normal(size=MOST_ROWS).astype(np.float32) for name in COLUMNS}
X = RANDOM.normal(size=MOST_ROWS)
G = RANDOM.integers(0, GROUPS, MOST_ROWS).astype(np.int32)
CALL = f"score({', '.join(COLUMNS)})"


def network(*units: int, features: int = FEATURES) -> Any:
    keras.utils.set_random_seed(1)
    hidden = [keras.layers.Dense(count, activation="relu") for count in units[:-1]]
    return keras.Sequential([keras.Input((features,)), *hidden, keras.layers.Dense(units[-1])])


@pytest.fixture(scope="module")
def model() -> Any:
    wide = network(96, 64, 1)
    assert import_model("m", wide).work >= WIDE
    return wide


@pytest.fixture(scope="module")
def scores(model: Any) -> np.ndarray:
    """TensorFlow's, one a row."""
    return model(np.stack([DATA[name] for name in COLUMNS], axis=-1)).numpy()[:, 0]


def connected(model: object, rows: int, threads: int = 2) -> qtensor.Connection:
    connection = qtensor.connect(threads=threads)
    connection.register("t", pa.table({**{name: DATA[name][:rows] for name in COLUMNS}, "x": X[:rows], "g": G[:rows]}))
    return connection.create_function("score", model)


ROWS = [1, BLOCK - 1, BLOCK, BLOCK + 1, 10_000, CHUNK - 1, CHUNK, CHUNK + 1, MOST_ROWS]


@pytest.mark.parametrize("rows", ROWS)
def test_scores_of_any_number_of_rows(model: Any, scores: np.ndarray, rows: int) -> None:
    found = connected(model, rows).sql(f"SELECT {CALL} AS s FROM t").arrow()["s"].to_numpy()
    np.testing.assert_allclose(found, scores[:rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", ROWS)
def test_scores_of_the_rows_that_a_filter_leaves(model: Any, scores: np.ndarray, rows: int) -> None:
    found = connected(model, rows).sql(f"SELECT {CALL} AS s FROM t WHERE x > 0.5").arrow()["s"].to_numpy()
    np.testing.assert_allclose(found, scores[:rows][X[:rows] > 0.5], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [BLOCK + 1, CHUNK + 1, MOST_ROWS])
@pytest.mark.parametrize("threads", [1, 2])
def test_scores_in_groups(model: Any, scores: np.ndarray, rows: int, threads: int) -> None:
    query = f"SELECT g, avg({CALL}) AS s, count(*) AS n FROM t WHERE x > 0 GROUP BY g ORDER BY g"
    found = connected(model, rows, threads).sql(query).arrow()
    kept = X[:rows] > 0
    counts = np.bincount(G[:rows][kept], minlength=GROUPS)
    np.testing.assert_array_equal(found["n"].to_numpy(), counts)
    sums = np.bincount(G[:rows][kept], scores[:rows][kept].astype(np.float64), GROUPS)
    np.testing.assert_allclose(found["s"].to_numpy(), sums / counts, rtol=1e-4, atol=1e-5)


def test_filters_by_scores_and_scores_of_joined_rows(model: Any, scores: np.ndarray) -> None:
    """The model's arguments are computed of what other tables and earlier pipelines give, and of no row that was dropped."""
    connection = connected(model, MOST_ROWS)
    bound = float(np.median(scores))
    near = int(np.count_nonzero(np.abs(scores - bound) < 1e-4))
    (count,) = connection.sql(f"SELECT count(*) FROM t WHERE {CALL} > {bound!r}").fetchone()
    assert abs(count - np.count_nonzero(scores > bound)) <= near
    connection.register("names", pa.table({"g": np.arange(3, dtype=np.int32), "factor": np.array([1.0, 2.0, 3.0])}))
    scaled = CALL.replace("c0,", "c0 * factor,")
    found = connection.sql(f"SELECT avg({scaled}) AS s FROM t JOIN names USING (g) WHERE x < 0").arrow()["s"].to_numpy()
    kept = (G < 3) & (X < 0)
    rows = np.stack([DATA[name][kept] for name in COLUMNS], axis=-1)
    rows[:, 0] *= (G[kept] + 1).astype(np.float32)
    np.testing.assert_allclose(found, [model(rows).numpy().mean(dtype=np.float64)], rtol=1e-4)
    grouped = f"SELECT {CALL.replace('c0,', 'avg(c0),', 1)} AS s FROM t GROUP BY {', '.join(COLUMNS[1:])}"
    once = connection.sql(f"SELECT count(s) FROM ({grouped})").fetchone()
    assert once == (MOST_ROWS,)


def test_null_and_failing_rows(scores: np.ndarray) -> None:
    """NULL in, NULL out; an index outside its table is an error unless a filter dropped its row."""
    embedding = keras.layers.Embedding(10, 64)
    dense = [keras.layers.Dense(128, activation="relu"), keras.layers.Dense(8)]
    inputs = [keras.Input((1,), name="id", dtype="int32"), keras.Input((FEATURES,), name="rest")]
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(embedding(inputs[0])), inputs[1]])
    looked_up = keras.Model(inputs, dense[1](dense[0](joined)))
    rows = CHUNK + 1
    ids = np.arange(rows, dtype=np.int32) % 10
    right = looked_up([ids[:, None], np.stack([DATA[name][:rows] for name in COLUMNS], axis=-1)]).numpy()[:, 2]
    nulls = np.arange(rows) % 3 == 0
    ids[5::1000] = 77
    table = {**{name: DATA[name][:rows] for name in COLUMNS}, "id": pa.array(ids, mask=nulls)}
    connection = qtensor.connect().register("t", pa.table(table)).create_function("score", looked_up)
    call = f"score(id, {', '.join(COLUMNS)})[3]"
    found = connection.sql(f"SELECT {call} AS s FROM t WHERE id IS NULL OR id < 10").arrow()["s"]
    kept = nulls | (ids < 10)
    assert found.null_count == np.count_nonzero(nulls)
    np.testing.assert_allclose(found.drop_null().to_numpy(), right[kept & ~nulls], rtol=1e-4, atol=1e-5)
    with pytest.raises(qtensor.errors.QTensorError, match="index outside"):
        connection.sql(f"SELECT {call} AS s FROM t").arrow()


def test_functions_of_jax() -> None:
    first, second = (jnp.asarray(RANDOM.normal(size=shape), jnp.float32) for shape in ((FEATURES, 256), (256,)))

    def function(*values: Any) -> Any:
        return jnp.tanh(jnp.stack(values) @ first) @ second

    connection = qtensor.connect().register("t", pa.table({**{name: DATA[name] for name in COLUMNS}, "x": X}))
    connection.create_function("score", function, arguments=FEATURES, dtype="float32")
    found = connection.sql(f"SELECT {CALL} AS s FROM t WHERE x > 0").arrow()["s"].to_numpy()
    rows = np.stack([DATA[name][X > 0] for name in COLUMNS], axis=-1)
    np.testing.assert_allclose(found, np.tanh(rows @ np.asarray(first)) @ np.asarray(second), rtol=1e-4, atol=1e-4)


# What XLA marks a loop with that it made one kernel of, in which a matrix product is three nested loops.
ONE_KERNEL = "xla_cpu_small_call"


@pytest.mark.parametrize("units", [(1,), (10,), (64, 32, 1), (128, 64, 4)])
@pytest.mark.parametrize("query", ["SELECT {0} AS s FROM t", "SELECT count(*) FROM t WHERE {0} > 0.1", "SELECT avg({0}) FROM t"])
def test_no_product_is_part_of_a_loop_that_is_one_kernel(units: tuple[int, ...], query: str) -> None:
    call = CALL if units[-1] == 1 else f"{CALL}[1]"
    hlo = connected(network(*units), CHUNK + 1, threads=1).sql(query.format(call)).hlo()
    products = re.findall(r" (dot|convolution)\(", hlo)
    assert bool(products) == (units != (1,))  # a layer of one unit is a sum of products
    assert (ONE_KERNEL in hlo) == (not products)


# What XLA marks a fusion with that it cuts in parts for the cores.
IN_PARTS = "outer_dimension_partitions"


def test_only_wide_models_over_one_share_are_cut_for_the_cores(model: Any) -> None:
    """Small ones lose by the hand-overs; over several shares the cores are busy."""
    query = f"SELECT avg({CALL}) FROM t"
    assert IN_PARTS in connected(model, 2_000).sql(query).hlo()
    assert IN_PARTS not in connected(model, 10_000).sql(query).hlo()
    assert IN_PARTS not in connected(network(4, 1), 10_000).sql(query).hlo()
    assert IN_PARTS not in connected(model, 10_000).sql("SELECT g, sum(x) FROM t GROUP BY g").hlo()
    shares = qtensor.connect(threads=2).register("t", {name: np.resize(DATA[name], 5 * CHUNK) for name in COLUMNS})
    hlo = shares.create_function("score", model).sql(query).hlo()
    assert IN_PARTS not in hlo.split("HloModule")[1]  # a share's; what merges them follows


CUT, WHOLE = "2 x 1 x 8192 rows", "1 x 1 x 16384 rows"


def test_small_tables_are_cut_for_the_cores_where_models_have_much_to_do(model: Any, scores: np.ndarray) -> None:
    """Rows stay in order, their numbers and columns that are only passed on too; others than a model's tables stay whole."""
    connection = connected(model, 10_000)
    query = f"SELECT x, {CALL} AS s FROM t WHERE x > 0.5"
    relation = connection.sql(query)
    assert CUT in relation.explain("physical")
    found, kept = relation.arrow(), X[:10_000] > 0.5
    assert found["x"].to_pylist() == X[:10_000][kept].tolist()
    np.testing.assert_allclose(found["s"].to_numpy(), scores[:10_000][kept], rtol=1e-4, atol=1e-5)
    last = connection.sql(f"SELECT x, g, {CALL} AS s FROM t ORDER BY s LIMIT 9000")
    assert CUT in last.explain("physical")
    np.testing.assert_allclose(last.arrow()["s"].to_numpy(), np.sort(scores[:10_000])[:9000], rtol=1e-4, atol=1e-5)
    rows = {x: (g, s) for x, g, s in zip(X[:10_000].tolist(), G[:10_000].tolist(), scores[:10_000].tolist(), strict=True)}
    assert all(rows[x] == (g, pytest.approx(s, rel=1e-4, abs=1e-5)) for x, g, s in last.fetchall())
    passed = connection.sql(f"SELECT x, g, {CALL} AS s FROM t")
    assert CUT in passed.explain("physical")
    assert passed.arrow()["x"].to_pylist() == X[:10_000].tolist()
    assert passed.arrow()["g"].to_pylist() == G[:10_000].tolist()
    assert WHOLE in connection.sql("SELECT sum(x) FROM t").explain("physical")
    assert WHOLE in connected(network(4, 1), 10_000).sql(query).explain("physical")
    assert WHOLE in connected(model, 10_000, threads=1).sql(query).explain("physical")
    assert CUT in connected(model, 10_000, threads=3).sql(query).explain("physical")


@pytest.mark.parametrize("rows", [CHUNK + 1, 100_000, 2 * CHUNK])
def test_two_chunks_are_cut(model: Any, scores: np.ndarray, rows: int) -> None:
    """Each core has half of the rows, in order."""
    columns = {name: np.resize(values, rows) for name, values in {**DATA, "g": G}.items()} | {"n": np.arange(rows)}
    connection = qtensor.connect(threads=2).register("t", pa.table(columns)).create_function("score", model)
    expected = np.resize(scores, rows)
    passed = connection.sql(f"SELECT n, {CALL} AS s FROM t")
    assert f"2 x 1 x {CHUNK} rows" in passed.explain("physical")
    found = passed.arrow()
    assert found["n"].to_pylist() == list(range(rows))
    np.testing.assert_allclose(found["s"].to_numpy(), expected, rtol=1e-4, atol=1e-5)
    grouped = connection.sql(f"SELECT count(*) AS n, sum({CALL}) AS s, max(n) AS last FROM t WHERE n % 3 = 1").fetchall()
    kept = np.arange(rows) % 3 == 1
    assert grouped == [(kept.sum(), pytest.approx(expected[kept].sum(dtype=np.float64), rel=1e-4), np.arange(rows)[kept][-1])]


def test_few_rows_of_many_are_left_where_they_are(model: Any, scores: np.ndarray) -> None:
    """A wide model brings them together by itself: a sink of its many arguments would write them once more."""
    rows, u = 3 * CHUNK, np.random.default_rng(1).uniform(size=3 * CHUNK)
    columns = {**{name: np.resize(DATA[name], rows) for name in COLUMNS}, "u": u, "g": np.resize(G, rows)}
    connection = qtensor.connect(threads=2).register("t", pa.table(columns)).create_function("score", model)
    relation = connection.sql(f"SELECT g, avg({CALL}) AS s FROM t WHERE u < 0.01 GROUP BY g ORDER BY g")
    assert "compact" not in relation.explain("physical")
    assert "compact" in connection.sql("SELECT g, avg(u), avg(c0) FROM t WHERE u < 0.01 GROUP BY g").explain("physical")
    kept, found = u < 0.01, relation.arrow()["s"].to_numpy()
    sums = np.bincount(columns["g"][kept], np.resize(scores, rows)[kept].astype(np.float64), GROUPS)
    np.testing.assert_allclose(found, sums / np.bincount(columns["g"][kept]), rtol=1e-4, atol=1e-5)


def test_pieces_of_few_live_rows_are_small(model: Any) -> None:
    """Of 10,000 rows 256 at a time, of a large table's 1,024."""
    network = r"f32\[%d,96\]"
    few = connected(model, 500, threads=1).sql(f"SELECT avg({CALL}) FROM t WHERE x > 0").hlo()
    assert not re.search(network % 256, few)  # 512 of them cost less than what leaves some out
    for rows, piece in ((8_000, 256), (MOST_ROWS, 1_024)):
        hlo = connected(model, rows, threads=1).sql(f"SELECT avg({CALL}) FROM t WHERE x > 0").hlo()
        assert re.search(network % piece, hlo), rows


def test_few_rows_that_cost_much_are_left_out_too() -> None:
    model = network(600, 400, 1)
    connection = connected(model, 500, threads=1)
    relation = connection.sql(f"SELECT {CALL} AS s FROM t WHERE x > 0")
    assert re.search(r"f32\[256,600\]", relation.hlo())
    rows = np.stack([DATA[name][:500] for name in COLUMNS], axis=-1)[X[:500] > 0]
    np.testing.assert_allclose(relation.arrow()["s"].to_numpy(), model(rows).numpy()[:, 0], rtol=1e-4, atol=1e-5)


def test_rows_to_gather_are_listed_once(model: Any) -> None:
    """Not once more for each argument, into whose gather XLA would draw what lists them."""
    hlo = connected(model, 10_000).sql(f"SELECT avg({CALL}) FROM t WHERE x > 0").hlo()
    assert len(re.findall(r" gather\(", hlo)) >= FEATURES
    assert 0 < len(re.findall(r" popcnt\(", hlo)) < FEATURES


def test_loops_without_products_are_one_kernel() -> None:
    """Should an upgrade of jaxlib stop this, queries take twice as long to compile."""
    connection = qtensor.connect(threads=1).register("t", {"x": X, "g": G})
    assert ONE_KERNEL in connection.sql("SELECT sum(x) FROM t WHERE g > 2").hlo()


def test_groups_are_scattered_by_one_operation() -> None:
    """Should an upgrade of jaxlib turn scatters into loops over rows (it plans to where loops are kernels), this says so."""
    connection = qtensor.connect(threads=1).register("t", {"x": X, "g": G})
    hlo = connection.sql("SELECT g, sum(x), count(*) FROM t GROUP BY g").hlo()
    assert re.search(r" scatter\(", hlo)
    assert len(re.findall(r" while\(", hlo)) == 1  # that of the chunks


def test_retraining_does_not_compile() -> None:
    """Also biases of one unit, scalars that were variables, and the statistics of normalisations are weights."""

    class Scaled(tf.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.scale = tf.Variable(scale)
            self.offset = tf.constant([scale * 2])

        @tf.function(input_signature=[tf.TensorSpec((None, 3))])
        def __call__(self, batch: Any) -> Any:
            return tf.reduce_sum(batch, axis=1) * self.scale + self.offset[0]

    def normalised(seed: int) -> Any:
        keras.utils.set_random_seed(seed)
        layers = [keras.layers.BatchNormalization(), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)]
        made = keras.Sequential([keras.Input((3,)), *layers])
        made.set_weights([np.abs(RANDOM.normal(size=weight.shape)) for weight in made.get_weights()])
        return made

    for first, second in [(Scaled(1.5), Scaled(2.5)), (normalised(1), normalised(2))]:
        models = [import_model("m", one) for one in (first, second)]
        assert models[0].digest == models[1].digest
        data = {name: DATA[name] for name in COLUMNS[:3]}
        rows = np.stack(list(data.values()), axis=-1)
        for one in (first, second):
            connection = qtensor.connect().register("t", data).create_function("score", one)
            relation = connection.sql("SELECT score(c0, c1, c2) AS s FROM t")
            np.testing.assert_allclose(relation.arrow()["s"].to_numpy(), np.ravel(one(rows)), rtol=1e-4, atol=1e-5)
