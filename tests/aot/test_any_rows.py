"""Queries exported from types alone: any number of rows gives what DuckDB gives, called and streamed."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests.aot.exports import Exports, answer_of, check
from tests.oracle import assert_same_answer

ROWS = (0, 1, 2_047, 2_048, 2_049, 65_535, 65_536, 65_537)

QUERIES = {
    "rows": (
        "SELECT id, i16 * 3 AS a, d + e AS de, CASE WHEN s < 'b' THEN c ELSE s END AS txt, s LIKE '%c' AS fits, s = c AS same, "
        "day + 3 AS later, y / 2 AS half, coalesce(i32, 0) AS i, b, moment, x, f, h, n, CAST(i64 AS DOUBLE) AS big, "
        "TRY_CAST(w AS INTEGER) AS number, u64 FROM t WHERE i16 > -100 OR s IS NULL"
    ),
    "texts": "SELECT id::VARCHAR AS id, i64::VARCHAR AS big, x::VARCHAR AS x, e::VARCHAR AS e, day::VARCHAR AS day FROM t WHERE i16 > 0",
    "some": "SELECT id, s, coalesce(i32, 0) AS i, u64, i8, x FROM t WHERE i16 > 200",
    "limit": "SELECT id, s, h FROM t WHERE i16 > 0 LIMIT 7 OFFSET 2",
    "best": "SELECT id, s, x FROM t ORDER BY s DESC NULLS LAST, x, id LIMIT 20",
    "sorted": "SELECT id, i64, s FROM t ORDER BY i64 NULLS FIRST, id",
    "by text": "SELECT s, count(*) AS n, sum(i16) AS total, min(w) AS least, max(day) AS last FROM t GROUP BY s ORDER BY s",
    "by small": "SELECT b, i8, count(*) AS n, sum(d) AS d, avg(i16) AS a, sum(u64) AS u FROM t GROUP BY b, i8 ORDER BY ALL",
    "by wide": "SELECT i64, count(*) AS n, min(s) AS s FROM t WHERE id % 3 = 0 GROUP BY i64 ORDER BY i64",
    "by double": "SELECT x, count(*) AS n, sum(i16) AS total FROM t GROUP BY x",
    "count": "SELECT count(*) AS n FROM t",
    "reduce": (
        "SELECT count(*) AS n, sum(i64) AS huge, sum(u64) AS unsigned, sum(e) AS decimals, avg(d) AS mean, min(x) AS least, "
        "max(f) AS most, min(s) AS first, max(moment) AS last, count(*) FILTER (WHERE s LIKE 'a%') AS fits, "
        "sum(i16) FILTER (WHERE day >= DATE '1975-01-01') AS late, avg(y) AS y FROM t"
    ),
    "distinct": "SELECT DISTINCT g, b, c FROM t",
    "distinct counts": "SELECT count(DISTINCT i16) AS n, count(DISTINCT s) AS texts FROM t WHERE w <> 'x'",
    "nested": "SELECT n, count(*) AS groups FROM (SELECT g, c, count(*) AS n FROM t GROUP BY g, c) GROUP BY n ORDER BY n",
    "having": "SELECT c, count(*) AS n FROM t WHERE x > 0.5 GROUP BY c HAVING count(*) > 1 ORDER BY n DESC, c LIMIT 2",
    "constant": "SELECT count(*) AS n FROM t WHERE 1 = 0",
    "statistics": "SELECT g, stddev(i16) AS s, corr(y, i16) AS c, avg(moment) AS m, bit_xor(i16) AS bits FROM t GROUP BY g ORDER BY g",
    "picks": "SELECT first(id ORDER BY id) AS first, any_value(s ORDER BY id DESC) AS text, arg_min(id, id) AS least FROM t",
    "in order": "SELECT g, median(i16) AS m, quantile_disc(s, 0.3) AS q, count(DISTINCT (b, s)) AS n FROM t GROUP BY g ORDER BY g",
}


@pytest.mark.parametrize("name", QUERIES)
def test_any_number_of_rows(name: str, exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    artifact = exports.of(QUERIES[name], schema)
    for count in ROWS:
        if name != "rows" or count < 65_535:  # comparing so many values takes longer than computing them
            check(artifact, rows.slice(17, count), signed_zeros=name != "by double")


def test_without_a_table(exports: Exports) -> None:
    artifact = exports.of("SELECT 1 + 1 AS two, 'a' AS txt, DATE '2020-02-29' AS day, 1.50 AS d, NULL AS n")
    found = answer_of(artifact, artifact())
    assert [str(value) for value in found.rows[0]] == ["2", "a", "2020-02-29", "1.50", "None"]


@pytest.mark.parametrize("name", ["rows", "by text", "sorted", "best"])
def test_dictionaries_of_another_kind(name: str, exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    """Text that was plain is dictionary-encoded, another dictionary in each chunk, and the other way round."""
    parts = [rows.slice(start, 500) for start in (100, 900, 3_000)]
    encoded = []
    for part in parts:
        for column in ("s", "w"):
            part = part.set_column(part.schema.get_field_index(column), column, part[column].combine_chunks().dictionary_encode())
        encoded.append(part.set_column(part.schema.get_field_index("c"), "c", part["c"].cast(pa.string())))
    artifact = exports.of(QUERIES[name], schema)
    found = check(artifact, pa.concat_tables(encoded))
    assert_same_answer(answer_of(artifact, artifact(pa.concat_tables(parts))), found, ordered=True)
