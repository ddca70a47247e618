"""string_agg against DuckDB: by groups and alone, ordered, DISTINCT, filtered; and what cannot be done with its result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from qtensor.errors import UnsupportedError
from qtensor.lowering.storage.layout import CHUNK
from tests.oracle import Engines

QUERIES = [
    "SELECT string_agg(s, ',' ORDER BY id) AS a FROM t",
    "SELECT string_agg(s) AS a, group_concat(k, '') AS b FROM t",  # in the order of the table
    "SELECT g, string_agg(s, ', ' ORDER BY x DESC) AS a FROM t GROUP BY g",
    "SELECT g, string_agg(s, '' ORDER BY s NULLS FIRST, id) AS a, count(*) AS n, max(s) AS m FROM t WHERE k > 0 GROUP BY g ORDER BY g",
    "SELECT x > 0.5 AS b, string_agg(DISTINCT s, '|' ORDER BY s DESC) AS a FROM t GROUP BY 1",
    "SELECT g, string_agg(DISTINCT s, '|' ORDER BY length(s) DESC, s, upper(s)) AS a, string_agg(DISTINCT s ORDER BY upper(s), s DESC) AS b "
    "FROM t GROUP BY g",
    "SELECT g, string_agg(s, ', ' ORDER BY id) FILTER (WHERE k = 1) AS a, string_agg(upper(s), '-' ORDER BY x) AS b "
    "FROM t GROUP BY g HAVING count(*) > 3 ORDER BY g DESC LIMIT 4",
    "SELECT string_agg(s, ',' ORDER BY id) AS a FROM empty",
    "SELECT g, string_agg(s, ',' ORDER BY id) AS a FROM empty GROUP BY g",
    "SELECT u.n, z.a FROM u LEFT JOIN (SELECT g, string_agg(s, ';' ORDER BY id) AS a FROM t WHERE id < 60 GROUP BY g) AS z USING (g)",
    "SELECT n, (SELECT string_agg(s, ' ' ORDER BY id) FROM t WHERE t.g = u.g AND t.id < 50) AS a FROM u",
    "SELECT g, string_agg(s, ',') IS NULL AS z FROM t GROUP BY g",
    "SELECT x, string_agg(s, ',' ORDER BY id) AS a FROM t GROUP BY x",
    "SELECT string_agg('a', 'é€') AS a, string_agg(NULL, ',') AS b FROM t WHERE id < 3",
]
ORDERS = ["ORDER BY id", "PARTITION BY g ORDER BY id", "PARTITION BY g", "", "PARTITION BY k ORDER BY g"]
FRAMES = [
    *ORDERS,
    "PARTITION BY g ORDER BY id ROWS BETWEEN 3 PRECEDING AND 2 FOLLOWING",
    "ORDER BY x ROWS BETWEEN 2 FOLLOWING AND 9 FOLLOWING",
    "ORDER BY id DESC RANGE BETWEEN 5 PRECEDING AND 1 PRECEDING",
    "PARTITION BY k ORDER BY id ROWS BETWEEN k * k PRECEDING AND CURRENT ROW",
]
WINDOWED = [
    "string_agg(s, ',' ORDER BY id)",
    "string_agg(s, '' ORDER BY s DESC NULLS LAST, x) FILTER (WHERE k > 0)",
    "string_agg(DISTINCT s, '-' ORDER BY s)",
    "string_agg(DISTINCT s, '-' ORDER BY length(s), s DESC)",
    "string_agg(upper(s), '|' ORDER BY x)",
    "string_agg(g::VARCHAR ORDER BY id)",
]
NOT_YET = [
    "SELECT g, string_agg(s, ',') AS a FROM t GROUP BY g ORDER BY a",
    "SELECT length(string_agg(s, ',')) FROM t",
    "SELECT string_agg(s, ',') = 'a' FROM t",
    "SELECT coalesce(string_agg(s, ','), '') FROM t",
    "SELECT a, count(*) FROM (SELECT string_agg(s, ',') AS a FROM t GROUP BY g) GROUP BY a",
]


def table(rows: int) -> pa.Table:
    random = np.random.default_rng(rows)
    numbers = random.integers(0, 60, rows).tolist()
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "g": pa.array([None if n % 11 == 0 else n % 7 for n in numbers], pa.int32()),
            "s": pa.array([None if n % 13 == 0 else "é€"[n % 2] * (n % 4) + str(n % 20) for n in numbers], pa.string()),
            "x": random.permutation(rows).astype(np.float64),
            "k": pa.array(random.integers(-5, 5, rows), pa.int8()),
        }
    )


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    t = table(500)
    both = Engines.over(t=t, empty=t.slice(0, 0), u=pa.table({"g": [0, 1, 2, 9], "n": ["zero", "one", "two", "nine"]}))
    yield both
    both.close()


@pytest.mark.parametrize("query", QUERIES)
def test_as_duckdb(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("frame", FRAMES)
def test_frames(engines: Engines, frame: str) -> None:
    calls = ", ".join(f"{call} OVER w" for call in WINDOWED)
    engines.check(f"SELECT id, {calls}, count(*) OVER w, string_agg(s) OVER (ORDER BY id) FROM t WINDOW w AS ({frame})")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT string_agg(s, ',') OVER (ORDER BY id) FROM empty",
        "SELECT * FROM (SELECT id, string_agg(s, ',') OVER (PARTITION BY g ORDER BY id) AS a FROM t) WHERE id % 3 = 0 ORDER BY id LIMIT 9",
        "SELECT id, string_agg(s, ',') OVER (ORDER BY id ROWS 4 PRECEDING) AS a FROM t QUALIFY row_number() OVER (ORDER BY x) < 9",
        "SELECT g, string_agg(max(s), ',') OVER (ORDER BY g) AS a FROM t GROUP BY g",
        "SELECT u.n, z.a FROM u LEFT JOIN (SELECT g, string_agg(s, ';') OVER (ORDER BY id) AS a FROM t WHERE id < 60) AS z USING (g)",
    ],
)
def test_windows(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("rows", [1, CHUNK - 1, CHUNK + 1, 5 * CHUNK])
def test_sizes(rows: int) -> None:
    both = Engines.over(threads=2, t=table(rows))
    both.check("SELECT g, string_agg(s, ',' ORDER BY x) AS a, count(s) AS n FROM t WHERE k <> 2 GROUP BY g ORDER BY g")
    both.check("SELECT id, string_agg(s, ',' ORDER BY x) OVER (PARTITION BY g ORDER BY id ROWS 3 PRECEDING) AS a FROM t")
    both.close()


def test_texts_are_joined_block_by_block(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtensor.lowering.host.late_texts.BLOCK", 7)
    engines.check("SELECT id, string_agg(s, ',') OVER (PARTITION BY g ORDER BY id) AS a FROM t")
    engines.check("SELECT g, string_agg(s, ',' ORDER BY id) AS a FROM t GROUP BY g")


@pytest.mark.parametrize("query", NOT_YET)
def test_what_cannot_be_done_with_it(engines: Engines, query: str) -> None:
    with pytest.raises(UnsupportedError, match="string_agg"):
        engines.ours.sql(query).fetchall()


def test_a_separator_that_differs_by_row(engines: Engines) -> None:
    with pytest.raises(UnsupportedError, match="separator"):
        engines.ours.sql("SELECT string_agg(s, s) FROM t").fetchall()


def test_a_separator_as_a_parameter(engines: Engines) -> None:
    engines.check("SELECT string_agg(s, $1 ORDER BY id) AS a FROM t", ["--"])
    engines.check("SELECT string_agg(s, $1 ORDER BY id) AS a FROM t", ["+"])


def test_exports_refuse_it(engines: Engines, tmp_path: Path) -> None:
    relation = engines.ours.sql("SELECT g, string_agg(s, ',') AS a FROM t GROUP BY g")
    with pytest.raises(UnsupportedError, match="exports of string_agg"):
        relation.export(tmp_path / "query.qta")
    assert not list(tmp_path.iterdir())
