"""Window functions, against DuckDB: orders are total where a function depends on more than its peers."""

from __future__ import annotations

from collections import Counter

import pytest

from qtensor.errors import UnsupportedError
from tests.oracle import Engines

RANKS = [
    "SELECT id, row_number() OVER (ORDER BY id), row_number() OVER (PARTITION BY g ORDER BY id DESC) FROM t",
    "SELECT id, rank() OVER (PARTITION BY g ORDER BY i8), dense_rank() OVER (PARTITION BY g ORDER BY i8) FROM t",
    "SELECT id, percent_rank() OVER (PARTITION BY c ORDER BY s), cume_dist() OVER (PARTITION BY c ORDER BY s) FROM t",
    "SELECT id, rank() OVER (ORDER BY x), rank() OVER (ORDER BY x DESC NULLS LAST), dense_rank() OVER (ORDER BY f, x) FROM t",
    "SELECT id, rank() OVER (PARTITION BY x ORDER BY d NULLS FIRST), rank() OVER (PARTITION BY s, b ORDER BY day) FROM t",
    "SELECT id, dense_rank() OVER (ORDER BY b, c, day), rank() OVER (ORDER BY moment), rank() OVER (ORDER BY h, i64) FROM t",
    "SELECT id, ntile(1) OVER (ORDER BY id), ntile(3) OVER (ORDER BY id), ntile(100) OVER (PARTITION BY g ORDER BY id) FROM t",
    "SELECT id, ntile(id % 5 + 1) OVER (ORDER BY id), ntile(NULL) OVER (ORDER BY id) FROM t",
    "SELECT id, rank() OVER (), dense_rank() OVER (PARTITION BY g), cume_dist() OVER (), percent_rank() OVER () FROM t",
    "SELECT id, row_number() OVER (PARTITION BY n ORDER BY n, id), row_number() OVER (ORDER BY i64, u64, id) FROM t",
]

SHIFTS = [
    "SELECT id, lag(i8) OVER (ORDER BY id), lead(i8) OVER (PARTITION BY g ORDER BY id), lag(id, 3) OVER (ORDER BY id DESC) FROM t",
    "SELECT id, lag(s) OVER (ORDER BY id), lead(s, 2, 'none') OVER (ORDER BY id), lag(s, 1, w) OVER (PARTITION BY g ORDER BY id) FROM t",
    "SELECT id, lag(i8, 1, 5) OVER (ORDER BY id), lag(d, 1, 2.5) OVER (ORDER BY id), lead(x, 2, 0) OVER (ORDER BY id) FROM t",
    "SELECT id, lag(i16, -1) OVER (ORDER BY id), lag(i16, 0) OVER (ORDER BY id), lag(i16, NULL) OVER (ORDER BY id) FROM t",
    "SELECT id, lag(i16, g) OVER (ORDER BY id), lead(i16, i8) OVER (ORDER BY id), lag(b, 1, true) OVER (ORDER BY id) FROM t",
    "SELECT id, lag(i16, 2 IGNORE NULLS) OVER (ORDER BY id), lead(s IGNORE NULLS) OVER (PARTITION BY g ORDER BY id) FROM t",
    "SELECT id, lag(i16, -2 IGNORE NULLS) OVER (ORDER BY id), lead(i16, -1 IGNORE NULLS) OVER (ORDER BY id) FROM t",
    "SELECT id, lag(i16, 0 IGNORE NULLS) OVER (ORDER BY id), lag(day, 1 RESPECT NULLS) OVER (ORDER BY id) FROM t",
    "SELECT id, lag(x) OVER (ORDER BY id), lag(f) OVER (ORDER BY id), lag(moment) OVER (ORDER BY id), lag(h) OVER (ORDER BY id) FROM t",
    "SELECT id, i16 - lag(i16) OVER (ORDER BY id) AS step, coalesce(lead(s) OVER (ORDER BY id), w) FROM t",
]

FRAMES = [
    "ORDER BY id",
    "ORDER BY id DESC",
    "PARTITION BY g ORDER BY id",
    "PARTITION BY g",
    "",
    "ORDER BY i8",
    "PARTITION BY b ORDER BY s NULLS FIRST",
    "PARTITION BY g ORDER BY i8 GROUPS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    "ORDER BY g GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW",
    "PARTITION BY b ORDER BY i8 DESC NULLS FIRST, s GROUPS BETWEEN 2 PRECEDING AND 1 FOLLOWING",
    "PARTITION BY g ORDER BY s GROUPS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING",
    "ORDER BY x GROUPS 1.5 PRECEDING",
    "ORDER BY g GROUPS BETWEEN id % 3 PRECEDING AND id % 2 FOLLOWING",
    "ORDER BY id ROWS 2 PRECEDING",
    "PARTITION BY g ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
    "ORDER BY id ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING",
    "ORDER BY id ROWS BETWEEN 2 FOLLOWING AND 5 FOLLOWING",
    "ORDER BY id ROWS BETWEEN 5 PRECEDING AND 7 PRECEDING",
    "ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING",
    "ORDER BY id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    "PARTITION BY g ORDER BY id ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING",
    "ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    "ORDER BY id ROWS BETWEEN id % 3 PRECEDING AND id % 2 FOLLOWING",
    "ORDER BY id ROWS BETWEEN 100000000000 PRECEDING AND 9223372036854775807 FOLLOWING",
    "ORDER BY i16 RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    "ORDER BY i16 RANGE BETWEEN 20 PRECEDING AND 10 FOLLOWING",
    "ORDER BY i16 DESC RANGE BETWEEN 20 PRECEDING AND 10 FOLLOWING",
    "ORDER BY i16 NULLS FIRST RANGE BETWEEN 20 PRECEDING AND CURRENT ROW",
    "ORDER BY i16 DESC NULLS LAST RANGE BETWEEN UNBOUNDED PRECEDING AND 5 FOLLOWING",
    "PARTITION BY g ORDER BY i16 RANGE BETWEEN 5 FOLLOWING AND 50 FOLLOWING",
    "PARTITION BY g ORDER BY i16 RANGE BETWEEN 50 PRECEDING AND 5 PRECEDING",
    "ORDER BY y RANGE BETWEEN 0.5 PRECEDING AND 2 FOLLOWING",
    "ORDER BY d RANGE BETWEEN 12.5 PRECEDING AND 100 FOLLOWING",
    "ORDER BY day RANGE BETWEEN INTERVAL 30 DAY PRECEDING AND INTERVAL 2 MONTH FOLLOWING",
    "PARTITION BY b ORDER BY moment RANGE BETWEEN INTERVAL 1 YEAR PRECEDING AND CURRENT ROW",
    "ORDER BY day DESC RANGE BETWEEN 100 PRECEDING AND 100 FOLLOWING",
    "ORDER BY id RANGE BETWEEN id % 3 PRECEDING AND id % 2 FOLLOWING",
    "ORDER BY id RANGE BETWEEN u8 PRECEDING AND CURRENT ROW",
]

AGGREGATES = [
    "count(*) OVER w, count(i8) OVER w, sum(i8) OVER w, sum(i64) OVER w, avg(i16) OVER w, sum(d) OVER w, avg(d) OVER w",
    "min(i8) OVER w, max(i32) OVER w, min(x) OVER w, max(x) OVER w, min(s) OVER w, max(c) OVER w, max(day) OVER w, min(b) OVER w",
    "sum(y) OVER w, avg(y) OVER w, sum(f) OVER w, sum(x) OVER w, bool_and(b) OVER w, bool_or(b) OVER w, max(d) OVER w, min(h) OVER w",
    "sum(i8) FILTER (WHERE b) OVER w, count(*) FILTER (WHERE x > 0) OVER w, min(y) FILTER (WHERE g > 0) OVER w, count(n) OVER w",
    "stddev(y) OVER w, var_pop(i8) OVER w, round(corr(y, g) OVER w, 9), bit_or(u8) OVER w, bit_and(i8) OVER w, bit_xor(u8) OVER w",
    "median(i8) OVER w, quantile_disc(x, 0.25) OVER w, quantile_cont(d, 0.9) OVER w, median(moment) OVER w, quantile_disc(s, 0.5) OVER w",
    "quantile_cont(i16, -0.3) OVER w, median(y) FILTER (WHERE b) OVER w, quantile_disc(i16, 0) OVER w, quantile_disc(day, 1) OVER w",
    "count(DISTINCT i8) OVER w, count(DISTINCT s) OVER w, sum(DISTINCT i8) OVER w, avg(DISTINCT d) OVER w, count(DISTINCT x) OVER w",
    "count(DISTINCT g) FILTER (WHERE b) OVER w, min(DISTINCT y) OVER w, sum(DISTINCT i64 * 8000) OVER w, count(DISTINCT b) OVER w",
    "sum(DISTINCT y) OVER w, avg(DISTINCT f) OVER w, stddev(DISTINCT i8) OVER w, bit_xor(DISTINCT u8) OVER w, sum(DISTINCT x) OVER w",
    "median(DISTINCT i8) OVER w, quantile_disc(DISTINCT s, 0.6) OVER w, quantile_cont(DISTINCT d, 0.3) FILTER (WHERE b) OVER w",
    "sum(i64 * 8000) OVER w, avg(i64 * 8000) OVER w, sum(e) OVER w, avg(moment) OVER w, sum(n) OVER w, max(n) OVER w",
]

VALUES = [
    "first_value(id) OVER w, last_value(id) OVER w, nth_value(id, 2) OVER w",
    "first_value(s IGNORE NULLS) OVER w, last_value(i8 IGNORE NULLS) OVER w, nth_value(x, 2 IGNORE NULLS) OVER w",
    "first_value(day) OVER w, last_value(d) OVER w, nth_value(s, id % 3) OVER w, nth_value(b, NULL) OVER w",
    "any_value(i8) OVER w, first(s) OVER w, last(s) OVER w, first(i8 IGNORE NULLS) OVER w, last(s IGNORE NULLS) OVER w",
    "first(x RESPECT NULLS) OVER w, arg_min(s, y) OVER w, arg_max(id, i16) OVER w",
]

# What first_value and its like give among peers is left to the engine: only frames whose order is total.
TOTAL = [frame for frame in FRAMES if "ORDER BY id" in frame]


def begins_with_its_partition(frame: str) -> bool:
    return "UNBOUNDED PRECEDING" in frame or not any(unit in frame for unit in ("ROWS", "RANGE", "GROUPS"))


PLACES = [
    "SELECT id, row_number() OVER (ORDER BY id) AS r FROM t QUALIFY r % 3 = 1",
    "SELECT id FROM t QUALIFY row_number() OVER (PARTITION BY g ORDER BY id DESC) = 1 ORDER BY id",
    "SELECT id FROM t WHERE i8 > 0 QUALIFY g = 1 AND count(*) OVER () > 1",
    "SELECT g, count(*) AS n FROM t GROUP BY g QUALIFY rank() OVER (ORDER BY count(*) DESC, g) <= 2",
    "SELECT g, sum(i16), sum(sum(i16)) OVER (ORDER BY g), rank() OVER (ORDER BY count(*), g) FROM t GROUP BY g",
    "SELECT g, sum(i16) * 100 / sum(sum(i16)) OVER (), lag(count(*)) OVER (ORDER BY g) FROM t GROUP BY g HAVING count(*) > 1",
    "SELECT g, s, row_number() OVER (PARTITION BY g ORDER BY max(id), s) FROM t GROUP BY g, s",
    "SELECT g + 1 AS k, rank() OVER (ORDER BY g + 1) FROM t GROUP BY g + 1",
    "SELECT id, rank() OVER w, count(*) OVER (w ROWS 1 PRECEDING) FROM t WINDOW w AS (PARTITION BY g ORDER BY id)",
    "SELECT id, rank() OVER (w ORDER BY id), sum(id) OVER V FROM t WINDOW w AS (PARTITION BY g), v AS (w ORDER BY id DESC)",
    "SELECT id, rank() OVER (w PARTITION BY g) FROM t WINDOW w AS (ORDER BY id)",
    "SELECT DISTINCT g, count(*) OVER (PARTITION BY g) AS n FROM t ORDER BY n DESC, g",
    "SELECT id FROM t ORDER BY row_number() OVER (ORDER BY y, id DESC) LIMIT 5",
    "SELECT id, i16 FROM t ORDER BY rank() OVER (ORDER BY i16 NULLS FIRST) DESC, id",
    "SELECT id, g AS k, rank() OVER (PARTITION BY k ORDER BY id) AS r, r * 2 AS double FROM t",
    "SELECT * FROM (SELECT id, g, row_number() OVER (PARTITION BY g ORDER BY id) AS r FROM t) WHERE r = 1 AND g > 0",
    "SELECT g, max(r) FROM (SELECT g, row_number() OVER (PARTITION BY g ORDER BY id) AS r FROM t) GROUP BY g",
    "SELECT id, count(*) OVER (PARTITION BY id % 2), sum(id) OVER (ORDER BY id) + count(*) OVER () FROM t WHERE g = 1",
    "SELECT id, sum(sum(id)) OVER () FROM t GROUP BY id",
    "SELECT count(*) OVER (), row_number() OVER (ORDER BY 1) > 0, sum(1) OVER (PARTITION BY 'a')",
    "SELECT id, CASE WHEN row_number() OVER (ORDER BY id) = 1 THEN 'first' ELSE lag(s) OVER (ORDER BY id) END FROM t",
    "SELECT r, count(*) FROM (SELECT rank() OVER (ORDER BY i8) AS r FROM t) GROUP BY r",
    "SELECT a.id, a.r FROM (SELECT id, rank() OVER (ORDER BY id) AS r FROM t) a JOIN t b ON a.r = b.id",
    "SELECT id FROM t WHERE id IN (SELECT max(u.id) OVER (PARTITION BY u.g) FROM t AS u)",
    "SELECT id, (SELECT max(r) FROM (SELECT rank() OVER (ORDER BY id) AS r FROM t)) AS last FROM t",
]

SIZED = [
    "SELECT id, sum(i8) OVER w, sum(y) OVER w, min(s) OVER w, last_value(s IGNORE NULLS) OVER w FROM t "
    "WINDOW w AS (PARTITION BY g ORDER BY id)",
    "SELECT id, count(i8) OVER w, avg(y) OVER w, max(i64) OVER w, first_value(id) OVER w FROM t "
    "WINDOW w AS (ORDER BY id ROWS BETWEEN 3 PRECEDING AND 2 FOLLOWING)",
    "SELECT id, sum(i64) OVER w, max(y) OVER w FROM t "
    "WINDOW w AS (PARTITION BY b ORDER BY i16 DESC RANGE BETWEEN 7 PRECEDING AND 20 FOLLOWING)",
    "SELECT id, sum(i8) OVER (), sum(y) OVER (PARTITION BY s), count(*) OVER (PARTITION BY i8) FROM t WHERE id % 3 = 1",
]

NAMES = [
    "SELECT row_number() OVER (PARTITION BY g, b ORDER BY id DESC NULLS LAST, x) FROM t",
    "SELECT sum(i8) FILTER (WHERE b) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND UNBOUNDED FOLLOWING) FROM t",
    "SELECT count(*) OVER (), lag(i8, 2, 0) OVER w, first_value(i8 IGNORE NULLS) OVER w FROM t WINDOW w AS (ORDER BY id)",
    "SELECT sum(i8) OVER (ORDER BY id RANGE UNBOUNDED PRECEDING), first(i8) OVER (ORDER BY id), last(i8) OVER (ROWS 2 PRECEDING) FROM t",
    "SELECT rank() OVER (ORDER BY g + 1 ASC NULLS FIRST, -i16 DESC, id) FROM t",
]

REFUSED = [
    "SELECT id FROM t WHERE row_number() OVER () = 1",
    "SELECT count(*) FROM t GROUP BY row_number() OVER ()",
    "SELECT g FROM t GROUP BY g HAVING row_number() OVER () = 1",
    "SELECT row_number() OVER () AS r FROM t WHERE r = 1",
    "SELECT sum(row_number() OVER ()) FROM t",
    "SELECT sum(row_number() OVER ()) OVER () FROM t",
    "SELECT rank() OVER (ORDER BY rank() OVER ()) FROM t",
    "SELECT a.id FROM t a JOIN t b ON row_number() OVER () = b.id",
    "SELECT g, sum(i8) OVER () FROM t GROUP BY g",
    "SELECT g, row_number() OVER (ORDER BY id) FROM t GROUP BY g",
    "SELECT id FROM t QUALIFY id = 1",
    "SELECT row_number() FROM t",
    "SELECT lag(i8) FROM t",
    "SELECT row_number(1) OVER () FROM t",
    "SELECT lag() OVER () FROM t",
    "SELECT lag(i8, 1.5) OVER () FROM t",
    "SELECT ntile(1.6) OVER () FROM t",
    "SELECT ntile(0) OVER (ORDER BY id) FROM t",
    "SELECT abs(i8) OVER () FROM t",
    "SELECT row_number() FILTER (WHERE b) OVER () FROM t",
    "SELECT lag(DISTINCT i8) OVER () FROM t",
    "SELECT sum(i8 IGNORE NULLS) OVER () FROM t",
    "SELECT rank() OVER v FROM t WINDOW w AS (ORDER BY b)",
    "SELECT rank() OVER (w ORDER BY g) FROM t WINDOW w AS (ORDER BY b)",
    "SELECT rank() OVER w FROM t WINDOW w AS (ORDER BY b), w AS (ORDER BY g)",
    "SELECT rank() OVER w FROM t WINDOW w AS (v), v AS (ORDER BY g)",
    "SELECT sum(i8) OVER (w ORDER BY id) FROM t WINDOW w AS (ROWS 1 PRECEDING)",
    "SELECT sum(i8) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND 1 PRECEDING) FROM t",
    "SELECT sum(i8) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED FOLLOWING AND 1 PRECEDING) FROM t",
    "SELECT sum(i8) OVER (ORDER BY id ROWS 1 FOLLOWING) FROM t",
    "SELECT sum(i8) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND UNBOUNDED PRECEDING) FROM t",
    "SELECT sum(i8) OVER (ORDER BY id ROWS -1 PRECEDING) FROM t",
    "SELECT sum(i8) OVER (ORDER BY id ROWS NULL PRECEDING) FROM t",
    "SELECT sum(i8) OVER (ORDER BY id RANGE -1 PRECEDING) FROM t",
    "SELECT sum(i8) OVER (ORDER BY id RANGE NULL PRECEDING) FROM t",
    "SELECT sum(i8) OVER (ORDER BY id, g RANGE 1 PRECEDING) FROM t",
    "SELECT sum(i8) OVER (RANGE 1 PRECEDING) FROM t",
    "SELECT sum(i8) OVER (ORDER BY g GROUPS -1 PRECEDING) FROM t",
    "SELECT sum(i8) OVER (ORDER BY s RANGE 1 PRECEDING) FROM t",
]

UNSUPPORTED = [
    ("SELECT sum(x ORDER BY id DESC) OVER (PARTITION BY i8) FROM t", "ORDER BY inside sum in a window"),
    ("SELECT avg(x ORDER BY i8) FILTER (WHERE id > 1) OVER () FROM t", "ORDER BY inside avg in a window"),
    ("SELECT product(x ORDER BY x) OVER (ORDER BY id) FROM t", "ORDER BY inside product in a window"),
    ("SELECT sum(i8) OVER (ORDER BY id ROWS 1 PRECEDING EXCLUDE CURRENT ROW) FROM t", "EXCLUDE in a window's frame"),
    ("SELECT first_value(i8 ORDER BY id) OVER () FROM t", "ORDER BY inside"),
    ("SELECT mode(i8 ORDER BY id) OVER (ORDER BY id) FROM t", "ORDER BY inside"),
]


@pytest.mark.parametrize("query", [*RANKS, *SHIFTS])
def test_ranks_and_shifts(full: Engines, query: str) -> None:
    full.check(query)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("functions", AGGREGATES)
def test_aggregates(full: Engines, frame: str, functions: str) -> None:
    full.check(f"SELECT id, {functions} FROM t WINDOW w AS ({frame})", signed_zeros=False)


@pytest.mark.parametrize("frame", FRAMES)
def test_modes(full: Engines, frame: str) -> None:
    """Against all values of each frame: of several that are equally frequent DuckDB takes one that depends on other frames."""
    calls = {"i8": "", "s": "", "x": "", "d": "FILTER (WHERE b)", "day": "FILTER (WHERE g > 0)"}
    modes = ", ".join(f"mode({column}) {condition} OVER w" for column, condition in calls.items())
    lists = ", ".join(f"list({column}) {condition} OVER w" for column, condition in calls.items())
    found = full.ours.sql(f"SELECT id, {modes} FROM t WINDOW w AS ({frame}) ORDER BY id").fetchall()
    frames = full.theirs.sql(f"SELECT id, {lists} FROM t WINDOW w AS ({frame}) ORDER BY id").fetchall()
    assert [row[0] for row in found] == [row[0] for row in frames]
    for row, values in zip(found, frames, strict=True):
        for mode, inside in zip(row[1:], values[1:], strict=True):
            counts = Counter(str(value + 0.0 if value == 0 else value) for value in inside or () if value is not None)
            if not counts:
                assert mode is None
            else:
                assert counts[str(mode + 0.0 if mode == 0 else mode)] == max(counts.values()), (frame, row, values)


@pytest.mark.parametrize("frame", [frame for frame in TOTAL if begins_with_its_partition(frame)])
def test_the_first_of_equally_frequent_values(full: Engines, frame: str) -> None:
    """As in groups, wherever a frame begins with its partition."""
    found = full.ours.sql(f"SELECT mode(i8) OVER w FROM t WINDOW w AS ({frame}) ORDER BY id").fetchall()
    frames = full.theirs.sql(f"SELECT list(i8) OVER w FROM t WINDOW w AS ({frame}) ORDER BY id").fetchall()
    for (mode,), (inside,) in zip(found, frames, strict=True):
        counts = Counter(value for value in inside or () if value is not None)  # in the order in which they come first
        assert mode == max(counts, key=counts.__getitem__, default=None)


@pytest.mark.parametrize("frame", TOTAL)
@pytest.mark.parametrize("functions", VALUES)
def test_values_of_other_rows(full: Engines, frame: str, functions: str) -> None:
    full.check(f"SELECT id, {functions} FROM t WINDOW w AS ({frame})")


@pytest.mark.parametrize("query", [*PLACES, *NAMES])
def test_places(full: Engines, query: str) -> None:
    full.check(query)


@pytest.mark.parametrize("query", [RANKS[1], SHIFTS[1], SHIFTS[4], *SIZED, PLACES[1]])
def test_few_rows(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("query", [RANKS[1], SHIFTS[4], *SIZED])
def test_many_rows(large: Engines, query: str) -> None:
    large.check(query)


@pytest.mark.parametrize("query", REFUSED)
def test_refused(full: Engines, query: str) -> None:
    full.check_refused(query)


@pytest.mark.parametrize(("query", "words"), UNSUPPORTED)
def test_unsupported(full: Engines, query: str, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        full.ours.sql(query).fetchall()
