"""Functions of lists over the scores of a model, against DuckDB, where the model is a macro that gives an array."""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

from qtensor.errors import BindError, ExecutionError, UnsupportedError
from tests.oracle import Engines

ROWS = 500
OF_ONE = (
    "len",
    "length",
    "array_length",
    "list_max",
    "list_min",
    "list_sum",
    "list_avg",
    "list_product",
    "list_first",
    "list_last",
)
OF_TWO = ("inner_product", "negative_inner_product", "distance", "cosine_similarity", "cosine_distance")
EXPRESSIONS = (
    *(f"{name}({scores})" for name in OF_ONE for scores in ("m(a, b)", "f(c, a)", "m(x, b)")),
    *(f"array_{name}({scores})" for name in OF_TWO for scores in ("m(a, b), m(b, a)", "f(a, c), f(c, c)", "f(a, b), m(a, a)")),
    "list_dot_product(m(a, a), m(i, a))",
    "list_position(m(a, b), a)",
    "list_position(m(a, b), list_max(m(a, b)))",
    "list_position(f(a, b), 2)",
    "list_position(m(x, b), x)",
    "list_position(m(a, b), NULL)",
    "list_indexof(m(a, b), c)",
    "list_contains(m(a, b), 3)",
    "array_has(f(a, b), c)",
    "list_contains(m(x, b), x)",
    "list_contains(m(a, b), NULL)",
    "list_extract(m(a, b), 2)",
    "array_extract(m(a, b), i)",
    "m(a, b)[i]",
    "m(a, b)[i - 4]",
    "m(a, b)[-i]",
    "f(a, b)[i::DOUBLE::INTEGER]",
    "m(a, b)[i::INTEGER - 1]",
    "m(a, b)[1 + i::INTEGER]",
    "m(a, b)[CASE WHEN a > 0 THEN 1 ELSE -1 END]",
    "list_sum(m(a, b)) + list_max(m(b, a))",
    "CASE WHEN len(m(a, b)) = 3 THEN list_max(m(c, c)) END",
)


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    random = np.random.default_rng(11)

    def numbers(missing: float) -> pa.Array:
        return pa.array(random.integers(-3, 4, ROWS).astype(float), mask=random.random(ROWS) < missing)

    odd = random.choice([np.nan, 1.0, np.inf, -2.0], ROWS)
    table = pa.table({"i": random.integers(0, 5, ROWS), "a": numbers(0), "b": numbers(0.1), "c": numbers(0.2), "x": odd})
    made = Engines.over(threads=1, t=table)
    for name, type in (("m", "DOUBLE"), ("f", "FLOAT")):
        made.theirs.execute(
            f"CREATE MACRO {name}(a, b) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN [a, b, a + b]::{type}[3] END"
        )
        made.ours.create_function(name, lambda a, b: jnp.stack([a, b, a + b]), dtype="float32" if type == "FLOAT" else None)
    yield made
    made.close()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_values(engines: Engines, expression: str) -> None:
    assert engines.check(f"SELECT {expression} AS v FROM t").names == ["v"]


def test_in_conditions_and_groups(engines: Engines) -> None:
    engines.check("SELECT list_position(m(a, b), list_max(m(a, b))) AS class, count(*) AS n FROM t GROUP BY class")
    engines.check(
        "SELECT count(*) AS n, avg(list_max(m(a, b))) AS s FROM t WHERE list_max(m(a, b)) > 2 AND NOT list_contains(m(b, a), 1)"
    )


@pytest.mark.parametrize(
    ("expression", "error", "message"),
    [
        ("list_max(a)", BindError, "list_max takes the scores of a model, not a DOUBLE"),
        ("array_distance(m(a, b), a)", BindError, "takes the scores of a model"),
        ("array_distance(m(a, b), pair(a, b))", BindError, "takes vectors of one length, not of 3 and 2"),
        ("list_max(m(a, b), 1)", BindError, "list_max takes 1 argument, not 2"),
        ("list_extract(a, 1)", UnsupportedError, "list_extract of DOUBLE"),
        ("m(a, b)['x']", ExecutionError, "cannot convert"),
    ],
)
def test_what_is_refused(engines: Engines, expression: str, error: type[Exception], message: str) -> None:
    engines.ours.create_function("pair", lambda a, b: jnp.stack([a, b]))
    with pytest.raises(error, match=message):
        engines.ours.sql(f"SELECT {expression} FROM t").fetchall()
