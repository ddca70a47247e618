"""Texts of several columns, or of numbers, which have too many combinations to be made before a run: made of a result's rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from qtensor.errors import ExecutionError, UnsupportedError
from qtensor.lowering.storage.layout import CHUNK
from tests.oracle import Engines

QUERIES = [
    "SELECT id, s || '-' || w AS a, concat(s, w) AS b, concat_ws('/', s, w, big) AS c, 'id ' || big AS d FROM t",
    "SELECT upper(s || w), left(s || big, 3), reverse(s || lower(w) || big::VARCHAR), trim(s || w, 'é') FROM t ORDER BY id",
    "SELECT lpad(big::VARCHAR, 20, '*'), x::VARCHAR || s, s || x::FLOAT, big::VARCHAR || day || moment, replace(s, 'é', w) FROM t",
    "SELECT left(s, id % 7) || substring(w, 2, id % 3), repeat(s || w, id % 3), concat(s || w, b, NULL, id) FROM t",
    "SELECT u.id, v.a, u.s || v.a AS b FROM t AS u LEFT JOIN (SELECT id, concat(s, w) AS a FROM t WHERE id % 3 = 0) AS v USING (id)",
    "SELECT a FROM (SELECT id, s || w AS a, x FROM t WHERE big > 0) WHERE x > 0 ORDER BY id DESC LIMIT 7",
    "WITH v AS (SELECT id, s || w AS a FROM t) SELECT l.a, r.a FROM v AS l JOIN v AS r ON l.id = r.id + 1 ORDER BY l.id",
    "SELECT g, max(s) || '..' || min(w) || sum(big) AS a, count(*) AS n FROM t GROUP BY g ORDER BY g",
    "SELECT id, lag(s) OVER (ORDER BY id) || w AS a FROM t",
    "SELECT g, string_agg(s, ',' ORDER BY id) || min(w) AS a FROM t GROUP BY g",
    "SELECT s || w AS a FROM t WHERE false",
    "SELECT max(s || id % 5) FROM t",  # few combinations
]
REFUSED = [
    "SELECT count(DISTINCT s || w) FROM t",
    "SELECT s || w AS a, count(*) FROM t GROUP BY a",
    "SELECT DISTINCT s || w FROM t",
    "SELECT id FROM t ORDER BY s || w",
    "SELECT id FROM t WHERE s || w = 'ab'",
    "SELECT id FROM t WHERE s || w LIKE 'a%' OR length(s || w) > 3 OR (s || w) IS NULL",
    "SELECT CASE WHEN b THEN s || w ELSE s END FROM t",
    "SELECT coalesce(s || w, '') FROM t",
    "SELECT max(s || w) FROM t",
    "SELECT lag(s || w) OVER (ORDER BY id) FROM t",
    "SELECT rank() OVER (ORDER BY s || w) FROM t",
    "SELECT s || w FROM t UNION ALL SELECT w || s FROM t",
    "SELECT l.id FROM t AS l JOIN t AS r ON l.s || l.w = r.w || r.s",
    "SELECT TRY(lpad(s || w, 3, left(s, 0))) FROM t",
]


def table(rows: int) -> pa.Table:
    random = np.random.default_rng(rows)
    numbers = random.integers(0, 400, rows).tolist()
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "g": pa.array([n % 5 for n in numbers], pa.int8()),
            "s": pa.array([None if n % 13 == 0 else "é€ab"[n % 4] * (n % 3) + str(n) for n in numbers], pa.string()),
            "w": pa.array([None if n % 11 == 3 else f"w{n * 7 % 401}" for n in range(rows)], pa.string()),
            "big": pa.array([None if n % 17 == 0 else (n - 200) * 1_000_003 for n in numbers], pa.int64()),
            "x": pa.array([None if n % 19 == 0 else n / 8 - 20 for n in numbers], pa.float64()),
            "b": pa.array([None if n % 7 == 0 else n % 2 == 0 for n in numbers], pa.bool_()),
            "day": pa.array([n * 97 for n in numbers], pa.int32()).cast(pa.date32()),
            "moment": pa.array([n * 10**12 + n for n in numbers], pa.int64()).cast(pa.timestamp("us")),
        }
    )


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    both = Engines.over(t=table(600))
    yield both
    both.close()


@pytest.mark.parametrize("query", QUERIES)
def test_as_duckdb(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("rows", [0, 1, CHUNK - 1, CHUNK + 1, 5 * CHUNK])
def test_sizes(rows: int) -> None:
    both = Engines.over(threads=2, t=table(rows))
    both.check("SELECT id, s || '-' || big AS a, concat(w, s) AS b FROM t WHERE g <> 2")
    both.close()


@pytest.mark.parametrize("query", REFUSED)
def test_they_are_not_computed_with(engines: Engines, query: str) -> None:
    with pytest.raises(UnsupportedError, match="to compute with a text that is made of more than 65,536 combinations of values"):
        engines.ours.sql(query).fetchall()


def test_an_error_stands_at_its_place(engines: Engines) -> None:
    query = "SELECT lpad(s || w, 9, left(s, 0)) FROM t WHERE s IS NOT NULL AND w IS NOT NULL"
    with pytest.raises(ExecutionError) as caught:
        engines.ours.sql(query).fetchall()
    _, shown, carets = str(caught.value).splitlines()
    assert shown[carets.index("^") : carets.rindex("^") + 1] == "lpad(s || w, 9, left(s, 0))"
    engines.check_refused(query)


def test_exports_refuse_them(engines: Engines, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="exports of texts"):
        engines.ours.sql("SELECT s || w AS a FROM t").export(tmp_path / "query.qta")
    assert not list(tmp_path.iterdir())
