"""Models whose classes have names: VARCHAR in SQL, the same as a CASE over the class in DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor.errors import ModelError
from qtensor.lowering.models.jax_function import import_jax_function
from qtensor.lowering.models.model import Model, labelled

LABELS = ("low", "", "Ünïcode ✓", "low")  # in no order, and one twice
ROWS = 70_000

QUERIES = {
    "rows": "SELECT id, {m} AS c FROM t",
    "group by": "SELECT {m} AS c, count(*) AS n, sum(id) AS s FROM t GROUP BY ALL",
    "where": "SELECT id FROM t WHERE {m} = 'low' AND {m} <> s",
    "is in": "SELECT id FROM t WHERE {m} IN ('low', 'other') OR {m} LIKE '%✓'",
    "order": "SELECT id, {m} AS c FROM t ORDER BY {m} DESC NULLS LAST, id LIMIT 300",
    "functions": "SELECT upper({m}) || '!' AS u, max({m}) AS m, count(DISTINCT {m}) AS d, length({m}) AS l FROM t GROUP BY u, l",
    "case": "SELECT CASE WHEN id % 2 = 0 THEN {m} ELSE s END AS c, count(*) AS n FROM t GROUP BY c",
    "join": "SELECT t.id, names.rank FROM t JOIN names ON names.label = {m}",
    "constants": "SELECT {one} AS one, {nothing} AS nothing",
}


def class_model(name: str = "m") -> Model:
    """The class 0 to 3 of a number."""
    return import_jax_function(name, lambda x: jnp.stack([-x, x - 2, 2 * x - 8, 3 * x - 20]), output="class")


@pytest.fixture(scope="module")
def data() -> pa.Table:
    generator = np.random.default_rng(3)
    x = generator.normal(3, 6, ROWS)
    return pa.table(
        {
            "id": np.arange(ROWS),
            "x": pa.array(x, mask=generator.random(ROWS) < 0.1),
            "s": pa.array(generator.choice(["low", "", "zzz"], ROWS), mask=generator.random(ROWS) < 0.1),
        }
    )


@pytest.fixture(scope="module")
def connection(data: pa.Table) -> Iterator[Any]:
    with qtensor.connect() as opened:
        opened.register("t", data)
        opened.register("names", pa.table({"label": ["low", "Ünïcode ✓"], "rank": [1, 2]}))
        opened.create_function("m", lambda x: jnp.stack([-x, x - 2, 2 * x - 8, 3 * x - 20]), output="class")
        opened._registry.models["m"] = labelled(opened._registry.models["m"], LABELS)
        yield opened


def by_duckdb(query: str, data: pa.Table) -> list[tuple[Any, ...]]:
    """The query over the classes as NumPy computes them."""
    x = data["x"].to_numpy()
    scores = np.stack([-x, x - 2, 2 * x - 8, 3 * x - 20])
    known = data["x"].is_valid().to_numpy()
    classes = pa.array(np.where(known, scores.argmax(0), 0), mask=~known)
    branches = " ".join(f"WHEN {number} THEN '{label}'" for number, label in enumerate(LABELS))
    with duckdb.connect() as other:
        other.register("t", data.append_column("class", classes))
        other.register("names", pa.table({"label": ["low", "Ünïcode ✓"], "rank": [1, 2]}))
        text = query.format(m=f"(CASE class {branches} END)", one=f"'{LABELS[2]}'", nothing="NULL::VARCHAR")
        return other.sql(text).fetchall()


@pytest.mark.parametrize("kind", QUERIES)
def test_as_by_duckdb(connection: Any, data: pa.Table, kind: str) -> None:
    query = QUERIES[kind]
    found = connection.sql(query.format(m="m(x)", one="m(9)", nothing="m(NULL)"))
    assert sorted(found.fetchall(), key=repr) == sorted(by_duckdb(query, data), key=repr)


def test_exported(connection: Any, data: pa.Table, tmp_path: Path) -> None:
    query = QUERIES["group by"]
    connection.sql(query.format(m="m(x)")).export(tmp_path / "q.qta")
    loaded = qtensor.load(tmp_path / "q.qta")
    for rows in (0, 1, ROWS):
        part = data.slice(0, rows)
        found = [tuple(row.values()) for row in loaded(t=part).to_pylist()]
        assert sorted(found, key=repr) == sorted(by_duckdb(query, part), key=repr)


def test_other_labels_need_no_other_program(connection: Any) -> None:
    query, models = "SELECT m(x) AS c, count(*) AS n FROM t GROUP BY c", connection._registry.models
    before = connection.sql(query).explain("physical")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models, "m", labelled(class_model(), ("p", "q", "r", "p")))
        assert connection.sql(query).explain("physical") == before


def test_what_has_no_labels() -> None:
    model = class_model()
    for labels, problem in (
        (("a", "b"), 'model "m" has 4 classes, and 2 labels'),
        ("abcd", "must be texts"),
        ((1, 2, 3, 4), "must be texts"),
        (("a", "b", "c", "\ud800"), "must be texts"),
    ):
        with pytest.raises(ModelError, match=problem):
            labelled(model, labels)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="gives DOUBLE and no class"):
        labelled(import_jax_function("m", lambda x: x), ("a",))
    with pytest.raises(ModelError, match="gives VARCHAR and no class"):
        labelled(labelled(model, LABELS), LABELS)
