"""Models of texts in SQL against TensorFlow: layers of Keras, tf.strings, tables; what may be asked of them, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet
import pytest
import tensorflow as tf

import qtensor
from qtensor.errors import BindError, ExecutionError, ModelError, NativeError, UnsupportedError
from qtensor.lowering.host.text_programs import KEPT
from qtensor.lowering.models.tensorflow import importer
from qtensor.lowering.program import predict

L = keras.layers
S = tf.strings
VOCABULARY = ["a", "b", "c", "red green", "ünï"]
TEXTS = [
    "a", "b", "c", "", "zz", "A", "a b a c b a a", "  lead and  trail ", "red green", "RED, green! (a) b? c; a", "ünï", "ÜNÏ x", "a.b,c d_e", "1", "2.5",
    "\t tab\nnl a", "x" * 300, "日本語 テキスト a", "a a a a a a", "don't", "é", "e\u0301", "a,b,,c",
]  # fmt: skip
INTEGERS = [10, 20, 30, 0, -1, 7, 99, 12345, -987654321, 10**12, -(1 << 63), (1 << 63) - 1, 10**18]
ROWS = 200


def drawn(rows: int) -> pa.Table:
    generator = np.random.default_rng(5)
    columns: dict[str, Any] = {"id": np.arange(rows)}
    for name in ("s", "t", "u"):
        columns[name] = [TEXTS[number] for number in generator.integers(0, len(TEXTS), rows)]
    for name in ("i", "j"):
        columns[name] = [INTEGERS[number] for number in generator.integers(0, len(INTEGERS), rows)]
    columns |= {"p": generator.integers(0, 7, rows), "q": generator.integers(0, 5, rows), "x": generator.normal(size=rows)}
    return pa.table(columns)


@pytest.fixture(scope="module")
def data() -> pa.Table:
    return drawn(ROWS)


@pytest.fixture(scope="module")
def connection(data: pa.Table) -> Iterator[Any]:
    with qtensor.connect(threads=1) as opened:
        yield opened.register("d", data)


def tensor(column: pa.ChunkedArray, dtype: Any) -> Any:
    return tf.constant(column.to_pylist()) if dtype == tf.string else tf.cast(column.to_numpy(), dtype)


# --- layers and functions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """A model of one layer, and perhaps what makes floats of its integers, over columns that are one input, side by side."""

    make: Callable[[], Any]
    columns: str = "s"
    dtype: str = "string"
    shape: tuple[int, ...] | None = None

    def model(self) -> Any:
        given = keras.Input(self.shape if self.shape is not None else (len(self.columns),), dtype=self.dtype)
        layer = self.make()
        found = layer(given)
        wide = len(found.shape) > 1 and found.shape[-1] != 1
        return keras.Model(given, L.Rescaling(1.0)(found) if wide else found)


def lookup(**options: Any) -> Callable[[], Any]:
    return lambda: L.StringLookup(**{"vocabulary": VOCABULARY} | options)


def integers(**options: Any) -> Callable[[], Any]:
    return lambda: L.IntegerLookup(vocabulary=[10, 20, 12345, -(1 << 63)], **options)


def vectorized(**options: Any) -> Callable[[], Any]:
    return lambda: L.TextVectorization(**{"vocabulary": ["a", "b", "c", "red", "green"]} | options)


WEIGHTS = [1.0, 2.0, 3.0, 4.0, 5.0]
LAYERS = {
    "lookup": Layer(lookup()),
    "lookup of a vector": Layer(lookup(), shape=()),
    "lookup, several oov": Layer(lookup(num_oov_indices=3, mask_token="")),
    "lookup, no oov": Layer(lookup(vocabulary=TEXTS[4:] + TEXTS[:3], num_oov_indices=0, mask_token="")),
    "lookup, one hot": Layer(lookup(output_mode="one_hot")),
    "lookup, multi hot": Layer(lookup(output_mode="multi_hot"), "stu"),
    "lookup, count": Layer(lookup(output_mode="count"), "stu"),
    "lookup, tf-idf": Layer(lookup(output_mode="tf_idf", idf_weights=WEIGHTS), "stu"),
    "lookup backwards": Layer(lookup(invert=True), "p", "int64"),
    "integers": Layer(integers(), "i", "int64"),
    "integers, several oov": Layer(integers(num_oov_indices=3, mask_token=0), "i", "int64"),
    "integers, one hot": Layer(integers(output_mode="one_hot"), "i", "int64"),
    "integers, multi hot": Layer(integers(output_mode="multi_hot"), "ij", "int64"),
    "hash": Layer(lambda: L.Hashing(5)),
    "hash with salt and mask": Layer(lambda: L.Hashing(1_000, salt=[3, 4], mask_value="")),
    "hash with a mask": Layer(lambda: L.Hashing(50, mask_value="a")),
    "hash of integers": Layer(lambda: L.Hashing(1_000_003), "i", "int64"),
    "hash, one hot": Layer(lambda: L.Hashing(5, output_mode="one_hot")),
    "categories, multi hot": Layer(lambda: L.CategoryEncoding(7, output_mode="multi_hot"), "pq", "int64"),
    "categories, count": Layer(lambda: L.CategoryEncoding(7, output_mode="count"), "pq", "int64"),
    "categories, one hot": Layer(lambda: L.CategoryEncoding(7, output_mode="one_hot"), "p", "int64"),
    "bins": Layer(lambda: L.Discretization([-1.0, 0.0, 1.0]), "x", "float32"),
    "bins, one hot": Layer(lambda: L.Discretization([-1.0, 0.0, 1.0], output_mode="one_hot"), "x", "float32"),
    "tokens": Layer(vectorized(output_sequence_length=4)),
    "tokens of a vector": Layer(vectorized(output_sequence_length=4), shape=()),
    "tokens, n-grams": Layer(vectorized(vocabulary=["a", "b", "a b", "b a"], output_sequence_length=6, ngrams=2)),
    "tokens, multi hot": Layer(vectorized(output_mode="multi_hot")),
    "tokens, multi hot, padded": Layer(vectorized(output_mode="multi_hot", max_tokens=12, pad_to_max_tokens=True)),
    "tokens, count": Layer(vectorized(output_mode="count")),
    "tokens, tf-idf": Layer(vectorized(output_mode="tf_idf", idf_weights=WEIGHTS)),
    "tokens, characters": Layer(vectorized(output_sequence_length=6, split="character")),
    "tokens, characters as they are": Layer(vectorized(output_sequence_length=6, split="character", standardize=None)),
    "tokens, lower": Layer(vectorized(output_sequence_length=6, standardize="lower")),
    "tokens, without punctuation": Layer(vectorized(output_sequence_length=6, standardize="strip_punctuation")),
    "tokens, not split": Layer(vectorized(vocabulary=VOCABULARY, split=None, standardize="lower")),
}


class Tables(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        keys = tf.constant(VOCABULARY)
        self.numbers = table(keys, tf.constant([5, 6, 7, 8, -9], tf.int64), -1)
        self.words = table(keys, tf.constant(["p", "q", "r", "a", "b"]), "?")
        self.floats = table(keys, tf.constant([0.1, 0.2, 0.3, 0.4, 0.5], tf.float32), -1.0)
        self.of_numbers = table(tf.constant([10, 20, -1], tf.int64), tf.constant([1.5, 2.5, 3.5]), 0.0)
        self.hashed = tf.lookup.StaticVocabularyTable(
            tf.lookup.KeyValueTensorInitializer(keys, tf.constant(np.arange(5))), num_oov_buckets=3
        )


def table(keys: Any, values: Any, default: Any) -> Any:
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), default)


def hashes(texts: Any) -> Any:
    """Numbers that tell texts apart."""
    return S.to_hash_bucket_fast(texts, 1 << 40)


def padded(ragged: Any, width: int) -> Any:
    return tf.cast(ragged.to_tensor(shape=[None, width], default_value=-5), tf.float64)


FUNCTIONS: dict[str, tuple[Callable[..., Any], str]] = {
    "length": (lambda m, s: S.length(s), "s"),
    "length in characters": (lambda m, s: S.length(s, unit="UTF8_CHAR"), "s"),
    "lower, replace": (lambda m, s: hashes(S.regex_replace(S.lower(s), "(a+)|é", r"<\1>")), "s"),
    "replace once": (lambda m, s: hashes(S.regex_replace(s, "[ab]", "_", replace_global=False)), "s"),
    "upper": (lambda m, s: hashes(S.upper(s, encoding="utf-8")), "s"),
    "strip": (lambda m, s: S.to_hash_bucket_strong(S.strip(s), 1 << 40, [1, 2]), "s"),
    "substring": (lambda m, s: hashes(S.substr(s, 0, 2)), "s"),
    "substring of characters": (lambda m, s: hashes(S.substr(s, 0, 2, unit="UTF8_CHAR")), "s"),
    "match": (lambda m, s: S.regex_full_match(s, "[a-c ]+|red.*"), "s"),
    "equal": (lambda m, s: tf.where(tf.equal(s, "a"), 1.5, tf.where(s != "b", 2.5, -1.0)), "s"),
    "join": (lambda m, s: hashes(S.join([s, "_", S.lower(s)], separator="-")), "s"),
    "table": (lambda m, s: m.numbers.lookup(s) + 1, "s"),
    "table and equality": (lambda m, s, i: tf.where((m.numbers.lookup(s) == 5) | (i == 10), 1.0, 0.0), "si"),
    "table of floats": (lambda m, s, x: m.floats.lookup(s) * x, "sx"),
    "tables in a row": (lambda m, s: m.numbers.lookup(m.words.lookup(s)), "s"),
    "table with hashes": (lambda m, s: m.hashed.lookup(s), "s"),
    "table of integers": (lambda m, i: m.of_numbers.lookup(i), "i"),
    "two texts": (lambda m, s, t: m.numbers.lookup(s) * 100 + m.numbers.lookup(t), "st"),
    "words": (lambda m, s: padded(S.to_hash_bucket_fast(S.split(s), 1_000), 3), "s"),
    "parts": (lambda m, s: padded(S.to_hash_bucket_fast(S.split(s, sep=","), 1_000), 3), "s"),
    "two splits": (lambda m, s: padded(S.to_hash_bucket_fast(S.split(s, maxsplit=2), 1_000), 4), "s"),
    "how many words": (lambda m, s: S.split(s).row_lengths(), "s"),
    "first word": (lambda m, s: m.numbers.lookup(S.split(s).to_tensor(shape=[None, 2], default_value="b")[:, 0]), "s"),
    "shape": (lambda m, s: tf.zeros([tf.shape(s)[0], 1]) + tf.cast(S.length(s), tf.float32)[:, None], "s"),
    "one of texts": (lambda m, x: tf.where(x > 0.5, "high", tf.where(x > -0.5, "mid", "low")), "x"),
    "text by number": (lambda m, x: tf.gather(["x", "y", "x"], tf.argmax(tf.stack([x, -x, x * 0 + 0.1], 1), 1)), "x"),
    "text of a text": (lambda m, s: m.words.lookup(s), "s"),
    "text of a length": (lambda m, s, x: tf.where(S.length(s) > 3, "long", tf.where(x > 0, "short", m.words.lookup(s))), "sx"),
}  # fmt: skip


def module(function: Callable[..., Any], columns: str) -> Any:
    """`function` of the tables and of columns, as the __call__ of a module."""
    types = [tf.string if name in "stu" else tf.float32 if name == "x" else tf.int64 for name in columns]
    signature = [tf.TensorSpec([None], dtype) for dtype in types]
    one = tf.function(lambda self, a: function(self, a), input_signature=signature[:1], autograph=False)
    two = tf.function(lambda self, a, b: function(self, a, b), input_signature=signature, autograph=False) if types[1:] else one
    return type("Module", (Tables,), {"__call__": two})()


def rows_of(expected: Any) -> list[Any]:
    array = np.asarray(expected)
    if array.dtype == object:
        return [text.decode() for text in array.reshape(-1)]
    return [row if array.ndim == 2 and array.shape[1] > 1 else row.item() for row in array]


def assert_same(found: list[Any], expected: Any) -> None:
    wanted = rows_of(expected)
    if isinstance(wanted[0], str):
        assert found == wanted
    else:
        np.testing.assert_allclose(np.array(found, np.float64), np.array(wanted, np.float64), rtol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_layers(connection: Any, data: pa.Table, name: str) -> None:
    layer = LAYERS[name]
    model = layer.model()
    connection.create_function("m", model)
    found = connection.sql(f"SELECT m({', '.join(layer.columns)}) AS y FROM d ORDER BY id")
    columns = [tensor(data[column], layer.dtype if layer.dtype != "string" else tf.string) for column in layer.columns]
    given = columns[0] if layer.shape == () else tf.stack(columns, 1)
    assert_same([row for (row,) in found.fetchall()], model(given, training=False))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(connection: Any, data: pa.Table, name: str) -> None:
    function, columns = FUNCTIONS[name]
    made = module(function, columns)
    connection.create_function("m", made)
    found = connection.sql(f"SELECT m({', '.join(columns)}) AS y FROM d ORDER BY id")
    types = [tf.string if column in "stu" else tf.float32 if column == "x" else tf.int64 for column in columns]
    expected = made(*(tensor(data[column], dtype) for column, dtype in zip(columns, types, strict=True)))
    assert_same([row for (row,) in found.fetchall()], expected)


@pytest.mark.parametrize("second", ["string", "int64"])
def test_crosses(connection: Any, data: pa.Table, second: str) -> None:
    one, other = keras.Input((1,), dtype="string"), keras.Input((1,), dtype=second)
    model = keras.Model([one, other], L.HashedCrossing(1_000)((one, other)))
    connection.create_function("m", model)
    column = "t" if second == "string" else "i"
    found = connection.sql(f"SELECT m(s, {column}) FROM d ORDER BY id").fetchall()
    assert_same([row for (row,) in found], model([tensor(data[name], kind)[:, None] for name, kind in (("s", tf.string), (column, second))]))  # fmt: skip


# --- a wide and deep model --------------------------------------------------------------------------------------------------------

MANY = 70_000
NAMES = ("city", "title", "code", "x")


def wide_and_deep() -> Any:
    keras.utils.set_random_seed(3)
    city, title = (keras.Input((1,), dtype="string", name=name) for name in NAMES[:2])
    code, x = keras.Input((1,), dtype="int64", name="code"), keras.Input((1,), name="x")
    parts = [
        L.Flatten()(L.Embedding(7, 4)(L.StringLookup(vocabulary=VOCABULARY, mask_token="")(city))),
        L.StringLookup(vocabulary=VOCABULARY, output_mode="one_hot", dtype="float32")(city),
        L.GlobalAveragePooling1D()(L.Embedding(40, 3)(vectorized(output_sequence_length=80)()(title))),
        L.Flatten()(L.Embedding(6, 2)(integers()()(code))),
        x,
    ]
    deep = L.Dense(8, activation="relu")(L.Concatenate()(parts))
    return keras.Model([city, title, code, x], L.Dense(1, activation="sigmoid")(deep))


@pytest.fixture(scope="module")
def network() -> Any:
    return wide_and_deep()


@pytest.fixture(scope="module")
def people() -> pa.Table:
    generator = np.random.default_rng(9)
    cities = [TEXTS[number] if number < len(TEXTS) else None for number in generator.integers(0, len(TEXTS) + 1, MANY)]
    titles = [f"a {number} {TEXTS[number % len(TEXTS)]}" for number in generator.integers(0, 5_000, MANY)]
    codes = [INTEGERS[number] for number in generator.integers(0, len(INTEGERS), MANY)]
    columns = {"city": cities, "title": titles, "code": codes, "x": generator.normal(size=MANY).astype(np.float32)}
    return pa.table({**columns, "g": generator.integers(0, 4, MANY)})


@pytest.fixture(scope="module")
def scores(network: Any, people: pa.Table) -> Any:
    """By TensorFlow; NaN where an argument is NULL."""
    cities = [city or "" for city in people["city"].to_pylist()]
    given = [tf.constant(cities)[:, None], *(tf.constant(people[name].to_pylist())[:, None] for name in NAMES[1:])]
    found = np.asarray(network.predict_on_batch(given))[:, 0].astype(np.float64)
    return np.where(people["city"].is_valid().to_numpy(), found, np.nan)


CALL = "score(city, title, code, x)"
GROUPED = f"SELECT g, avg({CALL}) AS s, count({CALL}) AS n FROM people WHERE {CALL} > 0.45 GROUP BY g ORDER BY g"


@pytest.fixture(scope="module")
def scored(network: Any, people: pa.Table) -> Iterator[Any]:
    with qtensor.connect() as opened:
        opened.register("people", people).create_function("score", network)
        yield opened


def grouped(people: pa.Table, scores: Any, rows: int) -> list[tuple[Any, ...]]:
    g, s = people["g"].to_numpy()[:rows], scores[:rows]
    chosen = [s[(g == group) & (s > 0.45)] for group in range(4)]
    return [(group, pytest.approx(part.mean(), rel=1e-5), len(part)) for group, part in enumerate(chosen) if len(part)]


def test_rows(scored: Any, people: pa.Table, scores: Any) -> None:
    found = scored.sql(f"SELECT {CALL} AS s FROM people").arrow()["s"].to_numpy(zero_copy_only=False)
    np.testing.assert_allclose(found, scores, rtol=1e-5)
    one = scored.sql(f"SELECT {CALL} AS s FROM people LIMIT 1").fetchall()
    assert one == [(None,)] if np.isnan(scores[0]) else one == [(pytest.approx(scores[0], rel=1e-5),)]
    assert scored.sql(GROUPED).fetchall() == grouped(people, scores, MANY)


def test_constants_and_expressions(scored: Any, network: Any) -> None:
    given = [tf.constant([["ünï"]]), tf.constant([["a b"]]), tf.constant([[10]], tf.int64), tf.constant([[0.5]])]
    expected = pytest.approx(network(given).numpy().item(), rel=1e-5)
    query = (
        "SELECT score('ünï', 'a b', 10, 0.5), score(x := $x, title := $title, code := 10, city := $city), "
        "score(NULL, 'a', 1, 2), score('a', 'a', 1, NULL)"
    )
    assert scored.sql(query, {"city": "ünï", "title": "a b", "x": 0.5}).fetchall() == [(expected, expected, None, None)]
    query = "SELECT DISTINCT score(lower(upper(city)), 'a' || ' b', code, 0.5) FROM people WHERE city = 'ünï' AND code = 10"
    assert scored.sql(query).fetchall() == [(expected,)]


def test_each_text_is_evaluated_once(network: Any, people: pa.Table) -> None:
    """Once for each dictionary, whatever queries ask."""
    with qtensor.connect() as opened:
        opened.register("people", people).create_function("score", network)
        before = KEPT.evaluated
        opened.sql(GROUPED).fetchall()
        opened.sql(f"SELECT g FROM people ORDER BY {CALL} LIMIT 3").fetchall()
        assert KEPT.evaluated - before == 2  # of city and of title


def test_other_words_need_no_other_program(network: Any, people: pa.Table) -> None:
    with qtensor.connect() as opened:
        plans = []
        for words in (["a", "b", "c"], ["x", "y", "z"]):
            given = keras.Input((1,), dtype="string")
            embedded = L.Embedding(4, 1, name="embedded")(L.StringLookup(vocabulary=words)(given))
            model = keras.Model(given, L.Flatten()(embedded), name="model")
            opened.register("people", people).create_function("score", model)
            plans.append(opened.sql("SELECT score(city) FROM people").explain("physical"))
    assert plans[0] == plans[1]


def test_exported(scored: Any, people: pa.Table, scores: Any, tmp_path: Path) -> None:
    scored.sql(GROUPED).export(tmp_path / "q.qta")
    feather.write_feather(people, tmp_path / "people.arrow")
    program = f"""
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
import pyarrow.feather as feather
import qtensor
query, people = qtensor.load({str(tmp_path / "q.qta")!r}), feather.read_table({str(tmp_path / "people.arrow")!r})
for rows in (0, 1, 3_000, {MANY}):
    print([tuple(row.values()) for row in query(people=people.slice(0, rows)).to_pylist()])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    for rows, line in zip((0, 1, 3_000, MANY), done.stdout.splitlines(), strict=True):
        assert eval(line) == grouped(people, scores, rows)  # noqa: S307 - printed above


def test_streamed(network: Any, people: pa.Table, scores: Any, tmp_path: Path) -> None:
    """Block by block, each with a dictionary of its own."""
    parquet.write_table(people, tmp_path / "people.parquet", row_group_size=20_000)
    with qtensor.connect() as opened:
        opened.register("people", tmp_path / "people.parquet", stream=True).create_function("score", network)
        assert opened.sql(GROUPED).fetchall() == grouped(people, scores, MANY)


def test_more_texts_than_a_column_has_in_order(connection: Any) -> None:
    """Nearly all of them different: codes are row numbers then, and one is NULL."""
    texts: list[str | None] = [f"user {number}" for number in range(70_000)]
    connection.create_function("m", keras.Model(given := keras.Input((1,), dtype="string"), L.Hashing(1_000)(given)))
    expected = L.Hashing(1_000)(tf.constant(texts)).numpy().tolist()
    texts[5] = expected[5] = None
    connection.register("users", pa.table({"name": texts, "id": range(70_000)}))
    assert [row for (row,) in connection.sql("SELECT m(name) FROM users ORDER BY id").fetchall()] == expected


class Classifier(tf.Module):
    """The name of a class, and its probability."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable([[0.5, -1.0, 0.25], [-0.5, 0.1, 1.0]])
        self.known = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, -1.0)
        self.known.insert(tf.constant(["a", "b"]), tf.constant([1.0, 2.0]))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "s"), tf.TensorSpec([None], tf.float32, "x")])
    def __call__(self, s, x):
        scores = tf.nn.softmax(tf.stack([self.known.lookup(s), x], 1) @ self.weights)
        return {"label": tf.gather(tf.constant(["neg", "neu", "pos"]), tf.argmax(scores, 1)), "score": tf.reduce_max(scores, 1)}


def test_files(connection: Any, data: pa.Table, tmp_path: Path) -> None:
    """SavedModels and .keras files: tables with what they hold, vocabularies from files."""
    classifier = Classifier()
    tf.saved_model.save(classifier, str(tmp_path / "classifier"))
    connection.create_function("m", tmp_path / "classifier", inputs=["s", "x"], output="label")
    found = connection.sql("SELECT m(s, x) FROM d ORDER BY id").fetchall()
    expected = classifier(tensor(data["s"], tf.string), tensor(data["x"], tf.float32))["label"]
    assert_same([row for (row,) in found], expected)
    (tmp_path / "words.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    given = keras.Input((1,), dtype="string")
    words = L.StringLookup(vocabulary=str(tmp_path / "words.txt"))
    model = keras.Model(given, L.Flatten()(L.Embedding(7, 1)(words(given))))
    expected = model(tensor(data["s"], tf.string)[:, None])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy, about Keras
        model.save(tmp_path / "model.keras")
    model.export(str(tmp_path / "exported"), verbose=False)
    (tmp_path / "words.txt").unlink()
    for path in ("model.keras", "exported"):
        connection.create_function("m", tmp_path / path)
        assert_same([row for (row,) in connection.sql("SELECT m(s) FROM d ORDER BY id").fetchall()], expected)


def test_a_space_of_features(connection: Any) -> None:
    """Keras's FeatureSpace: a dictionary of inputs, crosses, hashes, bins."""
    Space = keras.utils.FeatureSpace  # noqa: N806
    space = Space(
        features={
            "city": Space.string_categorical(num_oov_indices=1),
            "user": Space.string_hashed(num_bins=8),
            "age": Space.float_discretized(num_bins=4),
            "k": Space.integer_categorical(),
            "h": Space.integer_hashed(num_bins=5),
        },
        crosses=[Space.cross(("city", "k"), crossing_dim=8)],
        output_mode="concat",
    )
    ages = np.random.default_rng(1).normal(size=20).astype(np.float32)
    columns = {
        "city": ["g", "l", "w", "g"] * 5,
        "user": [f"u{n}" for n in range(20)],
        "age": ages,
        "k": [1, 2, 3, 4] * 5,
        "h": range(20),
    }
    given = {name: list(values) for name, values in columns.items()}
    space.adapt(tf.data.Dataset.from_tensor_slices(given))
    model = keras.Model(space.get_inputs(), L.Dense(1)(space.get_encoded_features()))
    connection.register("f", pa.table({"id": range(20), **given})).create_function("m", model)
    found = connection.sql("SELECT m(city := city, user := user, age := age, k := k, h := h) FROM f ORDER BY id").fetchall()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of Keras: an order of its own
        expected = model({name: tf.constant(values)[:, None] for name, values in given.items()})
    np.testing.assert_allclose([row for (row,) in found], np.asarray(expected)[:, 0], rtol=1e-4, atol=1e-6)


def test_native_libraries_say_that_they_cannot(scored: Any, tmp_path: Path) -> None:
    with pytest.raises(NativeError, match='text as an argument of the model "score"'):
        scored.sql(GROUPED).export_native(tmp_path / "out")


# --- what is refused --------------------------------------------------------------------------------------------------------------


def test_types_of_arguments(scored: Any) -> None:
    for call, message, hint in (
        ("score(code, title, code, x)", 'code is a BIGINT, and argument 1 of "score" is a text', "CAST(code AS VARCHAR)"),
        ("score(city, 1.5, code, x)", 'and argument 2 of "score" is a text', "CAST(1.5 AS VARCHAR)"),
        ("score(city, title, title, x)", 'title is a VARCHAR, and this argument of "score" is a number', "CAST(title AS DOUBLE)"),
        ("score(city, title, code)", "takes 4 arguments, not 3", '"city", "title", "code", "x"'),
    ):
        with pytest.raises(BindError) as error:
            scored.sql(f"SELECT {call} FROM people")
        assert message in str(error.value)
        assert hint in str(error.value)


def refused(function: Callable[..., Any], columns: str) -> str:
    with qtensor.connect() as opened, pytest.raises(ModelError) as error:
        opened.create_function("m", module(function, columns))
    return str(error.value)


def test_what_no_row_decides() -> None:
    """Whatever would depend on other rows, or on two texts at once, names its operator."""
    lengths = "is not row-wise"
    assert lengths in refused(
        lambda m, s: tf.cast(S.length(s), tf.float32) - tf.reduce_mean(tf.cast(S.length(s), tf.float32)), "s"
    )
    assert lengths in refused(lambda m, s: tf.reduce_sum(m.numbers.lookup(S.split(s)).to_tensor(), 1), "s")
    assert "two arguments at once" in refused(lambda m, s, t: tf.cast(s == t, tf.int32), "st")
    assert "two arguments at once" in refused(lambda m, s, t: hashes(s + t), "st")
    assert "StringFormat" in refused(lambda m, s: S.length(S.format("{}", s)), "s")
    assert "only a choice among constants" in refused(lambda m, s: S.upper(s), "s")
    assert "the regular expression" in refused(lambda m, s: S.regex_full_match(s, "(a"), "s")
    given = keras.Input((1,), dtype="string")
    with qtensor.connect() as opened, pytest.raises(ModelError, match="output_sequence_length="):
        opened.create_function("m", keras.Model(given, vectorized()()(given)))


def test_rows_for_which_tensorflow_raises(connection: Any) -> None:
    connection.create_function("number", module(lambda m, s: S.to_number(s), "s"))
    assert connection.sql("SELECT number(s) FROM d WHERE s IN ('1', '2.5') GROUP BY ALL ORDER BY 1").fetchall() == [
        (1.0,),
        (2.5,),
    ]
    with pytest.raises(ExecutionError, match=r"a text that is no number \(StringToNumber\)"):
        connection.sql("SELECT max(number(s)) FROM d").fetchall()
    known = L.StringLookup(vocabulary=VOCABULARY, num_oov_indices=0)
    given = keras.Input((1,), dtype="string")
    connection.create_function("known", keras.Model(given, known(given)))
    assert connection.sql("SELECT known('b')").fetchall() == [(1,)]
    with pytest.raises(ExecutionError, match="a value that it must not have"):
        connection.sql("SELECT known('nowhere')").fetchall()


def test_over_rows_and_in_blocks(connection: Any, data: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large models compute row by row, in blocks, and of filtered rows only those that are left."""
    monkeypatch.setattr(importer, "BY_ROWS", 0)
    monkeypatch.setattr(predict, "WIDE", 0)
    rows = drawn(5_000)
    given = keras.Input((1,), dtype="string"), keras.Input((1,), dtype="string"), keras.Input((1,))
    parts = [
        L.Flatten()(L.Embedding(7, 3)(vectorized(output_sequence_length=5)()(given[0]))),
        L.Hashing(9, output_mode="one_hot")(given[1]),
    ]
    model = keras.Model(given, L.Dense(1)(L.Concatenate()([*parts, given[2]])))
    connection.register("many", rows).create_function("m", model).create_function("n", module(lambda m, s: S.to_number(s), "s"))
    expected = np.asarray(model([tensor(rows[name], tf.string if name != "x" else tf.float32)[:, None] for name in "stx"]))[:, 0]
    found = connection.sql("SELECT m(s, t, x) FROM many ORDER BY id").fetchall()
    np.testing.assert_allclose([row for (row,) in found], expected, rtol=1e-4, atol=1e-6)
    found = connection.sql("SELECT id, m(s, t, x), n(s) FROM many WHERE s IN ('1', '2.5') AND id % 3 = 0 ORDER BY id").fetchall()
    chosen = [row for row, s in enumerate(rows["s"].to_pylist()) if s in ("1", "2.5") and row % 3 == 0]
    assert [row[0] for row in found] == chosen
    np.testing.assert_allclose([row[1] for row in found], expected[chosen], rtol=1e-4, atol=1e-6)
    assert [row[2] for row in found] == [float(rows["s"][row].as_py()) for row in chosen]


def test_exports_with_tables_that_are_too_large(connection: Any, tmp_path: Path) -> None:
    given = keras.Input((1,), dtype="string")
    layer = vectorized(output_mode="multi_hot", max_tokens=1 << 16, pad_to_max_tokens=True)
    connection.create_function("m", keras.Model(given, L.Dense(1)(layer()(given))))
    connection.register("large", pa.table({"s": [f"text {number}" for number in range(1_500)]}))
    with pytest.raises(UnsupportedError, match="would take tables of 134,217,728 entries"):
        connection.sql("SELECT m(s) FROM large").export(tmp_path / "q.qta")


def test_tables_that_are_too_large(connection: Any) -> None:
    given = keras.Input((1,), dtype="string")
    layer = vectorized(output_mode="multi_hot", max_tokens=1 << 20, pad_to_max_tokens=True)
    connection.create_function("m", keras.Model(given, L.Dense(1)(layer()(given))))
    connection.register("large", pa.table({"s": [f"text {number}" for number in range(1_000)]}))
    with pytest.raises(UnsupportedError, match="may have 1,024 different texts, and the model makes 1,048,576 numbers of each"):
        connection.sql("SELECT m(s) FROM large").fetchall()
