"""What a model is called with: values that its inputs cannot hold, and rows for which it has no result, are errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

tf = pytest.importorskip("tensorflow")

import qtensor  # noqa: E402
from qtensor.errors import ExecutionError, ModelError  # noqa: E402

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
VALUES = [0, 1, -1, 127, 128, -128, -129, 255, 256, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**31 + 5, -(2**31) - 1]
VALUES += [2**32 - 1, 2**32, 2**32 + 1, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 1.0, 1.7, -0.5, 127.0, 127.5, 300.0, 2.0**31, 2.0**53, 2.0**63, -(2.0**63), 1e20, np.inf, -np.inf, np.nan]


@pytest.fixture
def connection() -> Any:
    with qtensor.connect(threads=1) as opened:
        yield opened


def identity(dtype: str) -> Any:
    return tf.function(lambda x: tf.identity(x), input_signature=[tf.TensorSpec([None], dtype)])


def held(value: float, dtype: str) -> bool:
    """Whether an integer type has the value, by NumPy; of uint64, what SQL's 64 bits hold."""
    low, high = bounds(dtype)
    return bool(np.isfinite(value)) and value == int(value) and low <= int(value) <= high


def bounds(dtype: str) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    return int(limits.min), min(int(limits.max), 2**63 - 1)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_exact_or_an_error(connection: Any, dtype: str) -> None:
    """Every value alone, of a column of its own type, and all that fit at once beside others that are filtered out."""
    connection.create_function("m", identity(dtype))
    expected = 'the input "x" of the model "m" is not a whole number from {} to {}\n'.format(*bounds(dtype))
    for values, type in ((VALUES, pa.int64()), (FLOATS, pa.float64())):
        for value in values:
            connection.register("t", pa.table({"x": pa.array([value], type)}))
            if held(value, dtype):
                assert connection.sql("SELECT m(x) FROM t").fetchall() == [(int(value),)], (value, type)
            else:
                with pytest.raises(ExecutionError, match=expected):
                    connection.sql("SELECT m(x) FROM t").fetchall()
        fits = [held(value, dtype) for value in values]
        connection.register("t", pa.table({"x": pa.array(values, type), "fits": fits}))
        found = connection.sql("SELECT m(x), TRY(m(x)) FROM t WHERE fits").fetchall()
        assert found == [(int(value), int(value)) for value, fit in zip(values, fits, strict=True) if fit]
        tried = connection.sql("SELECT TRY(m(x)), CASE WHEN fits THEN m(x) END FROM t").fetchall()
        assert tried == [(int(value),) * 2 if fit else (None, None) for value, fit in zip(values, fits, strict=True)]


def test_decimals_and_nulls(connection: Any) -> None:
    connection.create_function("m", identity("int32"))
    query = "SELECT m(x) FROM (VALUES (1.00), (-7.00), (2147483647.00), (NULL)) AS t(x)"
    assert connection.sql(query).fetchall() == [(1,), (-7,), (2**31 - 1,), (None,)]
    for value in ("1.50", "-0.01", "2147483648.00", "0.0000000000000000000001"):
        with pytest.raises(ExecutionError, match="not a whole number from -2147483648 to 2147483647"):
            connection.sql(f"SELECT m(x) FROM (VALUES ({value})) AS t(x)").fetchall()
    connection.create_function("both", tf.function(lambda x, y: x + y, input_signature=[tf.TensorSpec([None], tf.int32)] * 2))
    assert connection.sql("SELECT both(x, NULL), both(NULL, x) FROM (VALUES (1.5)) AS t(x)").fetchall() == [(None, None)]
    with pytest.raises(ExecutionError, match='the input "y"') as caught:
        connection.sql("SELECT both(1, x) FROM (VALUES (1.5)) AS t(x)").fetchall()
    assert "       ^^^^^^^^^^" in str(caught.value)


def test_booleans(connection: Any) -> None:
    connection.create_function("m", identity("bool"))
    assert connection.sql("SELECT m(x > 1), m(x - 1) FROM (VALUES (1), (2)) AS t(x)").fetchall() == [(False,) * 2, (True,) * 2]
    for value in ("2", "-1", "0.5", "'nan'::DOUBLE"):
        with pytest.raises(ExecutionError, match="no BOOLEAN, 0 or 1"):
            connection.sql(f"SELECT m(x) FROM (VALUES ({value})) AS t(x)").fetchall()


def test_unsigned_results(connection: Any) -> None:
    """Also those that have no sign of their own in 64 bits: an error, not a negative number."""
    for bits in (8, 16, 32, 64):
        connection.create_function(
            "m", tf.function(lambda x, bits=bits: tf.cast(x, f"uint{bits}"), input_signature=[tf.TensorSpec([None], tf.int64)])
        )
        largest = 2 ** min(bits, 63) - 1
        found = connection.sql(f"SELECT m(x), typeof(m(x)) FROM (VALUES ({largest}), (0)) AS t(x)").fetchall()
        kind = {8: "UTINYINT", 16: "USMALLINT", 32: "UINTEGER", 64: "UBIGINT"}[bits]
        assert found == [(largest, kind), (0, kind)]
    with pytest.raises(ExecutionError, match="beyond 64 bits"):
        connection.sql("SELECT m(x) FROM (VALUES (-1), (0)) AS t(x)").fetchall()
    assert connection.sql("SELECT m(x) FROM (VALUES (-1), (0)) AS t(x) WHERE x >= 0").fetchall() == [(0,)]


TABLE = np.array([[0.5, 1.0], [3.0, 2.0], [7.0, 8.0]], np.float32)


def embedding() -> Any:
    return tf.function(lambda x: tf.gather(tf.constant(TABLE), x), input_signature=[tf.TensorSpec([None], tf.int32)])


def test_an_index_outside_its_table(connection: Any) -> None:
    indices = [0, 1, 2, 3, -1]
    connection.create_function("e", embedding()).register("t", {"i": np.array(indices)})
    with pytest.raises(tf.errors.InvalidArgumentError):
        embedding()(tf.constant(indices))
    for query in (
        "SELECT e(i) FROM t",
        "SELECT i FROM t ORDER BY e(i)",
        "SELECT sum(e(i)[1]) FROM t",
        "SELECT count(*) FROM t GROUP BY e(i)[1] > 1",
        "SELECT i FROM t WHERE e(i)[1] > 1 AND i < 3",
        "SELECT max(e(i)[1]) OVER () FROM t",
    ):
        with pytest.raises(
            ExecutionError, match=re.escape('the model "e" has no result for a row: TensorFlow raises an error')
        ) as caught:
            connection.sql(query).fetchall()
        place = query.index("e(i)")
        assert str(caught.value).splitlines()[2] == "  " + " " * place + "^" * 4
    known = [(tuple(map(float, row)),) for row in TABLE]
    assert connection.sql("SELECT e(i) FROM t WHERE i BETWEEN 0 AND 2").fetchall() == known
    assert connection.sql("SELECT e(NULLIF(NULLIF(i, 3), -1)) FROM t").fetchall() == [*known, (None,), (None,)]
    tried = connection.sql("SELECT TRY(e(i)[2]), CASE WHEN i >= 0 AND i < 3 THEN e(i)[2] END FROM t").fetchall()
    assert tried == [(float(row[1]),) * 2 for row in TABLE] + [(None, None)] * 2


def test_classes_of_rows_without_result(connection: Any) -> None:
    """Groups are slots for the classes alone: what a row without result holds must be one of them."""
    function = tf.function(
        lambda x: tf.argmax(tf.gather(tf.constant(TABLE), x), 1), input_signature=[tf.TensorSpec([None], tf.int32)]
    )
    connection.create_function("c", function).register("t", {"i": np.array([0, 1, 2, 9, 2])})
    with pytest.raises(ExecutionError, match="index outside its table"):
        connection.sql("SELECT c(i) AS k, count(*) FROM t GROUP BY k").fetchall()
    query = "SELECT c(i) AS k, count(*) FROM t WHERE i < 3 GROUP BY k ORDER BY k"
    expected = np.unique(TABLE[[0, 1, 2, 2]].argmax(1), return_counts=True)
    assert connection.sql(query).fetchall() == list(zip(*(part.tolist() for part in expected), strict=True))


def test_exported_queries_check_the_same(connection: Any, tmp_path: Path) -> None:
    connection.create_function("e", embedding()).create_function("m", identity("int8"))
    connection.register("t", {"i": np.array([0, 300, 2], np.int64), "x": np.array([1.5, 2.0, 3.0])})
    connection.sql("SELECT e(i)[1] AS y FROM t WHERE i < $most", {"most": 200}).export(tmp_path / "e.qta")
    connection.sql("SELECT m(x) AS y FROM t WHERE x > $least", {"least": 1.75}).export(tmp_path / "m.qta")
    embedded, whole = qtensor.load(tmp_path / "e.qta"), qtensor.load(tmp_path / "m.qta")
    rows = {"i": np.array([0, 1, 299], np.int64), "x": np.array([1.5, 2.0, 3.0])}
    assert embedded(t=rows).column("y").to_pylist() == [0.5, 3.0]
    with pytest.raises(ExecutionError, match="index outside its table"):
        embedded(t=rows, most=300)
    assert whole(t=rows).column("y").to_pylist() == [2, 3]
    with pytest.raises(ExecutionError, match="not a whole number from -128 to 127"):
        whole(t=rows, least=1.0)


def test_jax_functions_compute_with_doubles(connection: Any) -> None:
    connection.create_function("same", lambda x: x).create_function("triple", lambda x: 3 * x)
    assert connection.sql("SELECT same(16777217), triple(1e100), same(9007199254740991)").fetchall() == [
        (16777217.0, 3 * 1e100, 9007199254740991.0)
    ]
    connection.create_function("single", lambda x: x, dtype=np.float32).create_function("whole", lambda x: x + 1, dtype="int64")
    assert connection.sql("SELECT single(16777217), whole(9007199254740993)").fetchall() == [
        (float(np.float32(16777217)), 9007199254740994)
    ]
    for wrong in ("nonsense", np.complex64, str, np.float16):
        with pytest.raises(ModelError, match="dtype= is one of"):
            connection.create_function("f", lambda x: x, dtype=wrong)
    with pytest.raises(ModelError, match="says itself"):
        connection.create_function("f", identity("int8"), dtype="int16")
    connection.create_function("f", tf.function(lambda x: x), arguments=2, dtype="float64")
    assert connection.sql("SELECT f(1e100, 2)").fetchall() == [((1e100, 2.0),)]


def test_a_decimal_is_the_nearest_double(connection: Any) -> None:
    """Also alone in its table, where its division by a power of ten has two scalars."""
    connection.create_function("same", lambda x: x)
    assert connection.sql("SELECT same(x), x::DOUBLE FROM (VALUES (1.7)) AS t(x)").fetchall() == [(1.7, 1.7)]
    assert connection.sql("SELECT same(1.7), same(0.3)").fetchall() == [(1.7, 0.3)]
