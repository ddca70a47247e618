"""Derivatives of queries by their parameters: by finite differences of what the engine itself answers, and by formulas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor import value_and_grad
from qtensor.errors import DataError, ExecutionError, QTensorError, UnsupportedError

STEP = 1e-6


@pytest.fixture(scope="module")
def con() -> Iterator[qtensor.Connection]:
    random = np.random.default_rng(8)
    rows = 200
    table = pa.table(
        {
            "id": np.arange(rows),
            "g": random.integers(0, 4, rows),
            "x": pa.array(random.normal(size=rows), mask=random.random(rows) < 0.1),
            "y": random.uniform(0.5, 2.0, rows),
            "k": pa.array(random.integers(0, 9, rows), mask=random.random(rows) < 0.1),
            "f": random.normal(size=rows).astype(np.float32),
            "s": random.choice(["red", "green", "blue"], rows),
        }
    )
    names = pa.table({"s": ["red", "green", "blue", "blue"], "price": [1.5, -2.0, 0.25, 4.0]})
    with qtensor.connect() as con:
        yield con.register("t", table).register("prices", names).register("none", table.slice(0, 0))


# One number each, smooth in $a and $b near the values given.
EXACT = [
    "SELECT sum($a * x) FROM t",
    "SELECT avg(exp($a * x) + $b) FROM t WHERE k > 3",
    "SELECT stddev($a * x + $b * y) FROM t",
    "SELECT var_pop($a * x) + covar_samp(x, $b * y) + corr(x + $a * y, y) FROM t",
    "SELECT regr_slope($a * x, y + $b) + regr_intercept(x, $a * y) FROM t",
    "SELECT max($a * x) - min($b * y) FROM t WHERE g = 2",
    "SELECT product(1 + $a * x / 100) FROM t WHERE g < 2",
    "SELECT sum(CASE WHEN g = 1 THEN $a * x WHEN k IS NULL THEN $b * y ELSE x END) FROM t",
    "SELECT sum(coalesce($a * x, $b * y)) FROM t",
    "SELECT sum($a * x) FILTER (WHERE s LIKE 'b%') / count(*) FROM t",
    "SELECT sum(price * $a * y) FROM t JOIN prices USING (s)",
    "SELECT sum(m * price) FROM (SELECT s, avg($a * x * y) AS m FROM t GROUP BY s) JOIN prices USING (s)",
    "SELECT sum(w) FROM (SELECT g, sum($a * y) * count(*) + max(k) AS w FROM t GROUP BY g HAVING count(*) > 10)",
    "SELECT sum((y - (SELECT avg($a * y) FROM t)) ** 2) FROM t",
    "SELECT sum(x * (SELECT sum($a * y) FROM t i WHERE i.g = o.g)) FROM t o WHERE id < 50",
    "WITH c AS (SELECT g, $a * x AS z FROM t) SELECT sum(l.z * r.z) FROM c l JOIN c r ON l.g = r.g",
    "SELECT sum(z) FROM (SELECT $a * x AS z FROM t UNION ALL SELECT y FROM t)",
    "SELECT sum(z) FROM (SELECT $a * x + y AS z FROM t ORDER BY id DESC LIMIT 7 OFFSET 2)",
    "SELECT sum(sin($a * y) * cos($b) - ln($a * y) + sqrt(y * $b) + ($a * y) ** 1.5 + atan2($a, y)) FROM t",
    "SELECT sum(greatest($a * y, 0.9, $b) + least(y, $a) + abs($a - 10)) FROM t",
    "SELECT sum($a * f::FLOAT)::DOUBLE FROM t",
    "SELECT sum(x * $a) FROM t LEFT JOIN (SELECT s AS other, price FROM prices WHERE price > 0) ON s = other WHERE price IS NULL",
    "SELECT sum($a * x) FROM t WHERE EXISTS (SELECT 1 FROM prices p WHERE p.s = t.s AND p.price < 0)",
    "SELECT sum(z * r) FROM (SELECT z, rank() OVER (PARTITION BY g ORDER BY id) AS r FROM (SELECT id, g, $a * x AS z FROM t))",
    "SELECT exp($a) + $b",
]


def of_engine(con: qtensor.Connection, query: str, values: dict[str, float]) -> float:
    (row,) = con.sql(query, {name: value for name, value in values.items() if f"${name}" in query}).fetchall()
    return float(row[0])


@pytest.mark.parametrize("query", EXACT)
def test_as_differences_of_the_engine(con: qtensor.Connection, query: str) -> None:
    values = {name: value for name, value in {"a": 0.7, "b": 1.3}.items() if f"${name}" in query}
    f = value_and_grad(con.sql(query, values), list(values))
    assert f.weights == values
    value, gradient = f()
    assert math.isclose(value, of_engine(con, query, values), rel_tol=1e-9)
    for name in values:
        ends = [of_engine(con, query, {**values, name: values[name] + step}) for step in (STEP, -STEP)]
        difference = (ends[0] - ends[1]) / (2 * STEP)
        assert math.isclose(gradient[name], difference, rel_tol=1e-5, abs_tol=1e-6), name
    moved = {name: value + 0.25 for name, value in values.items()}
    assert math.isclose(f(moved)[0], of_engine(con, query, moved), rel_tol=1e-9), "a value of other weights"


def test_one_parameter_and_a_loss(con: qtensor.Connection) -> None:
    relation = con.sql("SELECT g, sum($a * y) AS total, count(*) AS n, 'text' AS s FROM t GROUP BY g ORDER BY g", {"a": 2})
    f = value_and_grad(relation, "$a", loss=lambda columns: (columns["total"] ** 2 / columns["n"]).sum())
    rows = relation.fetchall()
    value, gradient = f()
    assert math.isclose(value, sum(total**2 / n for _, total, n, _ in rows))
    assert math.isclose(gradient, sum(total**2 / n for _, total, n, _ in rows))  # 2 a c^2 / n at a = 2
    assert f(0.0) == (0.0, 0.0)
    nothing = con.sql("SELECT g, sum($a * x) FILTER (WHERE x > 100) AS total FROM t GROUP BY g", {"a": 2.0})
    assert (
        value_and_grad(
            nothing, "a", loss=lambda columns: jnp.nansum(columns["total"]) + jnp.isnan(columns["total"]).sum().astype(float)
        )()[0]
        == 4
    )


# --- softened -------------------------------------------------------------------------------------------------------------------

SOFT = [
    ("SELECT count(*) FROM t WHERE y > $a", lambda t, a, p: p(t["y"], a).sum()),
    ("SELECT count(*) FROM t WHERE NOT y <= $a AND g = 1", lambda t, a, p: (p(t["y"], a) * (t["g"] == 1)).sum()),
    ("SELECT sum(y) FROM t WHERE y < $a", lambda t, a, p: ((1 - p(t["y"], a)) * t["y"]).sum()),
    ("SELECT avg(y) FROM t WHERE y > $a", lambda t, a, p: (p(t["y"], a) * t["y"]).sum() / p(t["y"], a).sum()),
    ("SELECT count(x) FROM t WHERE x > $a", lambda t, a, p: jnp.where(t["there"], p(t["x"], a), 0).sum()),
    ("SELECT count(*) FROM t WHERE NOT x > $a", lambda t, a, p: jnp.where(t["there"], 1 - p(t["x"], a), 0).sum()),
    ("SELECT count(*) FROM t WHERE x > $a OR g = 0", lambda t, a, p: jnp.where(t["g"] == 0, 1, jnp.where(t["there"], p(t["x"], a), 0)).sum()),
    ("SELECT sum(CASE WHEN y > $a THEN 1 ELSE 0 END) FROM t", lambda t, a, p: p(t["y"], a).sum()),
    ("SELECT sum(CASE WHEN y > $a THEN y WHEN y > 2 * $a THEN 7 END) FROM t",
     lambda t, a, p: (p(t["y"], a) * t["y"] + (1 - p(t["y"], a)) * p(t["y"], 2 * a) * 7).sum()),
    ("SELECT avg(CASE WHEN y > $a THEN y END) FROM t", lambda t, a, p: (p(t["y"], a) * t["y"]).sum() / p(t["y"], a).sum()),
    ("SELECT count_if(y > $a) FROM t", lambda t, a, p: p(t["y"], a).sum()),
    ("SELECT avg((y > $a)::INTEGER) FROM t", lambda t, a, p: p(t["y"], a).mean()),
    ("SELECT count(*) FILTER (WHERE y > $a) FROM t WHERE g < 2", lambda t, a, p: (p(t["y"], a) * (t["g"] < 2)).sum()),
    ("SELECT var_pop(y) FROM t WHERE y > $a", lambda t, a, p: (p(t["y"], a) * t["y"] ** 2).sum() / p(t["y"], a).sum()
     - ((p(t["y"], a) * t["y"]).sum() / p(t["y"], a).sum()) ** 2),
    ("SELECT max(n * g) FROM (SELECT CASE WHEN y > $a THEN 'high' ELSE 'low' END AS level, count(*) AS n, 1 AS g FROM t GROUP BY level)",
     lambda t, a, p: jnp.maximum(p(t["y"], a).sum(), (1 - p(t["y"], a)).sum())),
    ("SELECT sum(price) FROM (SELECT s FROM t WHERE y > $a) JOIN prices USING (s)",
     lambda t, a, p: (p(t["y"], a) * t["price"]).sum()),
]  # fmt: skip


@pytest.mark.parametrize(("query", "by_hand"), SOFT, ids=[query for query, _ in SOFT])
def test_softened_as_written_by_hand(con: qtensor.Connection, query: str, by_hand: Any) -> None:
    import jax

    temperature, at = 0.3, 1.1
    rows = con.sql("SELECT coalesce(x, 0) AS x, x IS NOT NULL AS there, y, g, s FROM t").arrow().to_pydict()
    t = {name: np.array(values) for name, values in rows.items() if name != "s"}
    t["price"] = np.array([{"red": 1.5, "green": -2.0, "blue": 4.25}[s] for s in rows["s"]])

    def probability(left: Any, right: Any) -> Any:
        return 1 / (1 + jnp.exp((right - left) / temperature))

    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        wanted = jax.value_and_grad(lambda a: jnp.asarray(by_hand(t, a, probability), float))(at)
    value, gradient = value_and_grad(con.sql(query, {"a": at}), "a", soft=temperature)()
    assert math.isclose(value, wanted[0], rel_tol=1e-9)
    assert math.isclose(gradient, wanted[1], rel_tol=1e-9)


def test_a_small_temperature_is_the_query(con: qtensor.Connection) -> None:
    """Where no value is near what it is compared with."""
    query = "SELECT avg(y) FROM t WHERE y > $a AND g <> 3 AND (x > $b OR x IS NULL)"
    values = {"a": 1.0, "b": 0.1}
    soft = value_and_grad(con.sql(query, values), ["a", "b"], soft=1e-7)()[0]
    assert math.isclose(soft, of_engine(con, query, values), rel_tol=1e-6)


# --- refused --------------------------------------------------------------------------------------------------------------------

REFUSED = [
    ("SELECT count(*) FROM t WHERE y > $a", None, "a comparison with what is differentiated; soft=temperature", "y > $a"),
    ("SELECT sum(CASE WHEN y > $a THEN y END) FROM t", None, "a comparison", "y > $a"),
    ("SELECT sum(round(y * $a)) FROM t", 1.0, "round", "round(y * $a)"),
    ("SELECT sum(floor($a)) FROM t", None, "floor", "floor($a)"),
    ("SELECT count(*) FROM t WHERE y = $a", 1.0, "an equality", "y = $a"),
    ("SELECT sum(($a * y)::INTEGER) FROM t", 1.0, "a cast from DOUBLE to INTEGER", "y)::"),
    ("SELECT count(DISTINCT y * $a) FROM t", 1.0, "DISTINCT", "count(DISTINCT y * $a)"),
    ("SELECT sum(n) FROM (SELECT y * $a AS z, count(*) AS n FROM t GROUP BY z)", 1.0, "to group by DOUBLEs", "y * $a"),
    ("SELECT median(y * $a) FROM t", None, "the aggregate quantile_cont", "median(y * $a)"),
    ("SELECT max(y) FROM t WHERE y > $a", 1.0, "max of rows that a softened condition weights", "max(y)"),
    ("SELECT sum(z) FROM (SELECT y * $a AS z FROM t ORDER BY z LIMIT 3)", None, "an order of rows", None),
    ("SELECT sum(z) FROM (SELECT $a * y AS z FROM t ORDER BY id LIMIT $a)", None, "decides more than values, as it does in LIMIT", None),
    ("SELECT sum($a * y) + quantile_cont(y, $a) FROM t", None, "the aggregate quantile_cont|decides more", None),
    ("SELECT sum($a * y) FROM t WHERE id > $a::INTEGER", 1.0, "becomes another value", None),
    ("SELECT sum(y) + 0 * length(repeat('a', CAST($a AS INTEGER))) FROM t", None, "not differentiable", None),
    ("SELECT sum(CAST($a AS INTEGER) * y) FROM t", None, "becomes another value|a cast", None),
    ("SELECT sum(w) FROM (SELECT sum($a * x) OVER (PARTITION BY g) AS w FROM t)", None, "a window function", None),
    ("SELECT sum(y + 0 * $a) FROM t WHERE y > (SELECT count(*) FROM t WHERE y > $a)", None, "a comparison", None),
    ("SELECT y FROM t WHERE y > $a LIMIT 1", 1.0, "weights", None),
    ("SELECT sum(l.y) FROM t l JOIN t r ON l.y * $a = r.y", 1.0, "to join by DOUBLEs", "l.y *"),
    ("SELECT count(*) FROM t WHERE $a * y IS NULL", None, "derivative by a is 0", None),
]  # fmt: skip


@pytest.mark.parametrize(("query", "soft", "match", "place"), REFUSED, ids=[query for query, *_ in REFUSED])
def test_refused_at_its_place(con: qtensor.Connection, query: str, soft: float | None, match: str, place: str | None) -> None:
    """Never silently zero."""
    with pytest.raises(QTensorError, match=match) as caught:
        value_and_grad(con.sql(query, {"a": 1}), "a", soft=soft)
    if place is not None:
        line = next(line for line in str(caught.value).splitlines() if query in line)
        start = line.index(place)
        assert f"\n{' ' * start}^" in str(caught.value)


def test_other_errors(con: qtensor.Connection) -> None:
    relation = con.sql("SELECT sum($a * x) AS s FROM t", {"a": 1.0})
    with pytest.raises(DataError, match='"b" is no model of this query'):
        value_and_grad(relation, "b")
    con.create_function("fixed", lambda x: x * 2)
    with pytest.raises(DataError, match='the model "fixed" has no weights'):
        value_and_grad(con.sql("SELECT sum(fixed(x)) FROM t"), "fixed")
    with pytest.raises(DataError, match="a temperature"):
        value_and_grad(relation, "a", soft=0)
    with pytest.raises(DataError, match="only one number has a derivative"):
        value_and_grad(con.sql("SELECT $a * x FROM t", {"a": 1.0}), "a")
    with pytest.raises(DataError, match=r"\$a is a number"):
        value_and_grad(con.sql("SELECT count(*) FROM t WHERE s = $a", {"a": "red"}), "a")
    with pytest.raises(DataError, match="not one floating-point number"):
        value_and_grad(con.sql("SELECT $a * x AS z FROM t", {"a": 1.0}), "a", loss=lambda columns: columns["z"])
    with pytest.raises(ExecutionError, match="the result is NULL"):
        value_and_grad(con.sql("SELECT sum($a * x) FROM none", {"a": 1.0}), "a")
    with pytest.raises(DataError, match="a sweep has no derivative"):
        value_and_grad(relation.sweep(a=[1.0]), "a")
    with pytest.raises(UnsupportedError, match="aggregate them"):
        value_and_grad(
            con.sql("SELECT y AS z FROM t WHERE y > $a", {"a": 1.0}), "a", soft=1.0, loss=lambda columns: columns["z"].sum()
        )
    f = value_and_grad(con.sql("SELECT sum(ln($a * y)) FROM t", {"a": 1.0}), "a")
    with pytest.raises(ExecutionError, match="logarithm"):
        f(-1.0)
    with pytest.raises(DataError, match="of the form"):
        f({"a": 1.0})
    with pytest.raises(ExecutionError, match="Division by zero"):
        value_and_grad(con.sql("SELECT sum($a * (1 // (id - 3))) FROM t", {"a": 1.0}), "a")
