"""pandas categories are an ENUM to DuckDB, ordered by their places; other libraries' categories, dictionaries and enums are texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import qtensor
from qtensor.errors import ArtifactError, ExecutionError, UnsupportedError
from tests.oracle import Engines, answer_of_duckdb, answer_of_qtensor, assert_same_answer

LEVELS = ["low", "mid", "high", "it's"]
VALUES = ["mid", "high", "low", None, "low", "it's", "mid"]
X = pd.DataFrame({"c": pd.Categorical(VALUES, LEVELS, ordered=True), "i": range(7), "g": [1, 1, 1, 2, 2, 2, 3]})
Y = pd.DataFrame(
    {"c": pd.Categorical(VALUES, ["it's", "high", "zz", "low", "mid"]), "v": ["low", "mid", "high", "zz", "a", None, "b"]}
)


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    engines = Engines.over(x=X, y=Y)
    yield engines
    engines.close()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM x ORDER BY c, i",
        "SELECT c, i FROM x ORDER BY c DESC, i",
        "SELECT c FROM x ORDER BY c NULLS FIRST LIMIT 3",
        "SELECT min(c) AS low, max(c) AS high, count(DISTINCT c) AS n FROM x",
        "SELECT g, min(c) AS low, max(c) FILTER (i > 1) AS high FROM x GROUP BY g ORDER BY g",
        "SELECT max(DISTINCT c) AS m FROM x WHERE i < 3",
        "SELECT max(c) AS m FROM x WHERE false",
        "SELECT g, max(c) AS m FROM x GROUP BY g HAVING max(c) > min(c) ORDER BY m DESC",
        "SELECT c, count(*) AS n FROM x GROUP BY c ORDER BY c",
        "SELECT DISTINCT c FROM x ORDER BY c DESC",
        "SELECT DISTINCT ON (g) g, c FROM x ORDER BY g, c",
        "SELECT i FROM x WHERE c > 'low' ORDER BY i",
        "SELECT i FROM x WHERE c BETWEEN 'low' AND 'mid' ORDER BY i",
        "SELECT i FROM x WHERE c IN ('low', 'nowhere') ORDER BY i",
        "SELECT i FROM x WHERE c > (SELECT min(c) FROM x) ORDER BY i",
        "SELECT i, c = 'mid' AS e, c IS DISTINCT FROM 'mid' AS d, c < lower('MID') AS l FROM x ORDER BY i",
        "SELECT a.i AS i, b.i AS j FROM x a JOIN x b ON a.c < b.c ORDER BY i, j",
        "SELECT a.i AS i, b.i AS j FROM x a JOIN x b ON a.c = b.c ORDER BY i, j",
        "SELECT x.i AS i, y.v AS v FROM x JOIN y ON x.c = y.c ORDER BY i, v",
        "SELECT x.i AS i, y.v AS v FROM x JOIN y ON x.c < y.c ORDER BY i, v",
        "SELECT x.i AS i, y.c AS d FROM x JOIN y ON x.c = y.v ORDER BY i, d",
        "SELECT c FROM x UNION ALL SELECT c FROM x ORDER BY c",
        "SELECT c FROM x UNION SELECT c FROM y ORDER BY c",
        "SELECT c FROM x UNION SELECT v FROM y ORDER BY 1",
        "SELECT c FROM x INTERSECT SELECT c FROM x WHERE i > 1 ORDER BY c",
        "SELECT max(c) AS m FROM (SELECT c FROM x UNION ALL SELECT c FROM x)",
        "SELECT i, rank() OVER (ORDER BY c) AS r, lag(c) OVER (ORDER BY c, i) AS l FROM x ORDER BY i",
        "SELECT i, max(c) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS m FROM x ORDER BY i",
        "SELECT i, min(c) OVER (PARTITION BY g) AS m, first_value(c) OVER (PARTITION BY g ORDER BY c, i) AS f FROM x ORDER BY i",
        "SELECT c FROM x QUALIFY row_number() OVER (ORDER BY c DESC NULLS LAST) = 1",
        "SELECT greatest(c, c) AS g, least(c, c) AS l, i FROM x ORDER BY i",
        "SELECT greatest(c, 'lz') AS g, i FROM x ORDER BY i",
        "SELECT coalesce(c, 'none') AS n, i FROM x ORDER BY n, i",
        "SELECT coalesce(c, c) AS n, i FROM x ORDER BY n, i",
        "SELECT CASE WHEN i > 2 THEN c END AS n, i FROM x ORDER BY n, i",
        "SELECT CASE WHEN i > 2 THEN c ELSE 'a' END AS n, i FROM x ORDER BY n, i",
        "SELECT nullif(c, 'low') AS n, i FROM x ORDER BY n, i",
        "SELECT quantile_disc(c, 0.5) AS q, median(c) AS m FROM x",
        "SELECT arg_min(i, c) AS a, first(c ORDER BY c DESC) AS f FROM x WHERE i <> 4",
        "SELECT string_agg(c, ',' ORDER BY c) AS s FROM x",
        "SELECT string_agg(DISTINCT c, ',' ORDER BY c) AS s FROM x",
        "SELECT i, upper(c) AS u, c || '!' AS e, length(c) AS n, c LIKE 'l%' AS l FROM x ORDER BY i",
        "SELECT c, i FROM x ORDER BY c::VARCHAR, i",
        "SELECT c, i FROM x ORDER BY upper(c), i",
        "SELECT max(c::VARCHAR) AS m, max(upper(c)) AS u FROM x",
        "SELECT c FROM (SELECT c, i FROM x ORDER BY i LIMIT 3) ORDER BY c",
        "WITH t AS (SELECT g, max(c) AS m FROM x GROUP BY g) SELECT m FROM t ORDER BY m",
        "SELECT typeof(c) AS t FROM x LIMIT 1",
        "SELECT i, (c, i) < ('mid', 3) AS b FROM x ORDER BY i",
        "SELECT i FROM x a WHERE EXISTS (SELECT 1 FROM x b WHERE b.c > a.c AND b.i = a.i + 1) ORDER BY i",
        "SELECT i, (SELECT max(b.c) FROM x b WHERE b.g = a.g) AS m FROM x a ORDER BY m, i",
        "SELECT c, sum(i) AS s FROM x GROUP BY ROLLUP (c) ORDER BY c, s",
        "SELECT c FROM y ORDER BY c",
    ],
)
def test_queries(engines: Engines, query: str) -> None:
    engines.check(query)


def test_what_is_refused(engines: Engines) -> None:
    with pytest.raises(UnsupportedError, match=r"(?s)ANY and ALL of an ENUM; cast it to VARCHAR.*\^"):
        engines.ours.sql("SELECT i FROM x WHERE c < ANY (SELECT c FROM x)").fetchall()


def test_statements(engines: Engines) -> None:
    for engine in (engines.ours, engines.theirs):
        engine.execute("CREATE OR REPLACE TABLE made AS SELECT c, i FROM x")
        engine.execute("INSERT INTO made VALUES ('high', 10), (NULL, 11)")
        engine.execute("CREATE OR REPLACE VIEW seen AS SELECT c FROM made")
    for query in (
        "SELECT c, i FROM made ORDER BY c, i",
        "SELECT max(c) AS m FROM seen",
        "SELECT c FROM seen WHERE c > 'low' ORDER BY c",
    ):
        engines.check(query)
    described = [engine.execute("DESCRIBE made").fetchall() for engine in (engines.ours, engines.theirs)]
    assert described[0] == described[1]
    for engine, error in ((engines.ours, ExecutionError), (engines.theirs, duckdb.Error)):
        with pytest.raises(error):
            engine.execute("INSERT INTO made VALUES ('nowhere', 1)")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "values",
    [
        pd.Categorical(["a", "b", None], ["b", "a"]),
        pd.Categorical([3, 1, 2], [3, 1, 2], ordered=True),
        pd.Categorical([1.5, 0.5, 2.5], [2.5, 1.5, 0.5]),
        pd.Categorical([True, False, True]),
        pd.Categorical(["x", "y", "x"], ["y", "x", "unused"]),
        pd.Categorical(pd.to_datetime(["2020-01-02", "2019-01-01", "2021-01-01"])),
    ],
)
def test_categories_of_any_kind(values: pd.Categorical) -> None:
    engines = Engines.over(t=pd.DataFrame({"c": values}))
    engines.check("SELECT c FROM t ORDER BY c")
    engines.check("SELECT min(c) AS low, max(c) AS high FROM t")


@pytest.mark.parametrize(
    "table",
    [
        pl.DataFrame({"c": pl.Series(VALUES, dtype=pl.Enum(LEVELS))}),
        pl.DataFrame({"c": pl.Series(VALUES, dtype=pl.Categorical)}),
        pa.table({"c": pa.DictionaryArray.from_arrays(pa.array([1, 2, 0, None]), LEVELS)}),
        pa.table({"c": pa.DictionaryArray.from_arrays(pa.array([1, 2, 0, None]), LEVELS, ordered=True)}),
    ],
)
def test_others_are_texts(table: object) -> None:
    engines = Engines.over(t=table)
    for query in ("SELECT c FROM t ORDER BY c", "SELECT max(c) AS m FROM t", "SELECT c FROM t WHERE c > 'low' ORDER BY c"):
        engines.check(query)


def test_another_order_is_noticed() -> None:
    frame = pd.DataFrame({"c": pd.Categorical(["a", "b"], ["a", "b"])})
    connection = qtensor.connect().register("t", frame)
    for order in (["a", "b"], ["b", "a"], ["a", "b"]):
        frame["c"] = frame["c"].cat.reorder_categories(order)
        expected = answer_of_duckdb(duckdb.connect().register("t", frame), "SELECT c FROM t ORDER BY c")
        assert_same_answer(answer_of_qtensor(connection.sql("SELECT c FROM t ORDER BY c")), expected, ordered=True)


def test_artifacts(tmp_path: Path) -> None:
    query = "SELECT c, count(*) AS n FROM x GROUP BY c ORDER BY c"
    qtensor.export(query, tmp_path / "q.qta", tables={"x": X})
    artifact = qtensor.load(tmp_path / "q.qta")
    expected = answer_of_duckdb(duckdb.connect().register("x", X), query).rows
    texts = pa.table({"c": pa.array(VALUES)})
    for found in (artifact(X), artifact(texts), artifact.stream(texts.to_reader()).read_all()):
        assert [tuple(row.values()) for row in found.to_pylist()] == expected
    with pytest.raises((ExecutionError, ArtifactError)):
        artifact(pa.table({"c": ["low", "nowhere"]}))
