"""ORDER BY of set operations: which column a name or an expression means, against DuckDB."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qtensor.errors import UnsupportedError
from tests.oracle import Engines

# The rows of t are in the other order by its second column, and those of u exchange the columns: whatever sorts by another column
# gives other first rows.
T, U = "(VALUES (1, 9), (2, 8)) t(a, b)", "(VALUES (3, 4), (7, 5)) u(x, y)"

QUERIES = [
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY y LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY u.y LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY a LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY -y LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY x+y LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT q, p FROM (VALUES (3,4),(7,5)) u(p,q) ORDER BY p LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT q, p FROM (VALUES (3,4),(7,5)) u(p,q) ORDER BY b LIMIT 1",
    f"SELECT a+1, b FROM {T} UNION ALL SELECT b, a+1 FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY a+1 LIMIT 1",
    f"SELECT b, a+1 FROM {T} UNION ALL SELECT a+1, b FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY a+1 LIMIT 1",
    f"SELECT a+1 AS x, b AS y FROM {T} UNION ALL SELECT b, a+1 FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY a+1 LIMIT 1",
    f"SELECT a+1 AS x, b AS y FROM {T} UNION ALL SELECT b AS a, a+1 AS q FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY a+1 LIMIT 1",
    f"SELECT a, b FROM {T} UNION ALL SELECT b, a FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY b LIMIT 1",
    f"SELECT a, b FROM {T} UNION ALL SELECT b, a FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY t.b LIMIT 1",
    f"SELECT a, b FROM {T} UNION ALL SELECT b, a FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY u.b LIMIT 1",
    f"(SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U}) ORDER BY y LIMIT 1",
    f"((SELECT a AS x, b AS y FROM {T}) UNION ALL (SELECT y, x FROM {U})) ORDER BY y LIMIT 1",
    f"SELECT 1 AS p, 5 AS q UNION ALL (SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U}) ORDER BY y LIMIT 1",
    f"SELECT 1 AS p, 5 AS q UNION ALL (SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U}) ORDER BY x DESC LIMIT 1",
    f"SELECT 1 AS p, 5 AS q UNION ALL SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY y LIMIT 1",
    f"SELECT 1 AS p, 5 AS q UNION ALL SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY x DESC LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL BY NAME SELECT y AS y, x AS x FROM {U} ORDER BY y LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL BY NAME SELECT y AS z, x AS x FROM {U} ORDER BY z LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL BY NAME SELECT y AS z, x AS x FROM {U} ORDER BY b LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL BY NAME SELECT y AS z, x AS x FROM {U} ORDER BY z+1 LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} EXCEPT SELECT y, x FROM {U} ORDER BY y LIMIT 1",
    f"SELECT a AS x, b AS x FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY x LIMIT 1",
    f"SELECT a, b FROM {T} UNION ALL SELECT * FROM (VALUES (3,4),(7,5)) u(y,x) ORDER BY x LIMIT 1",
    f"SELECT * FROM {T} UNION ALL SELECT * FROM (VALUES (3,4),(7,5)) u(b,a) ORDER BY b LIMIT 1",
    f"SELECT * FROM {T} UNION ALL SELECT * FROM (VALUES (3,4),(7,5)) u(b,a) ORDER BY b+0 LIMIT 1",
    f"VALUES (1,9),(2,8) UNION ALL SELECT y, x FROM {U} ORDER BY y LIMIT 1",
    f"VALUES (1,9),(2,8) UNION ALL SELECT y, x FROM {U} ORDER BY col1 LIMIT 1",
    f"SELECT y, x FROM {U} UNION ALL VALUES (1,9),(2,8) ORDER BY col1 LIMIT 1",
    f"SELECT sum(a) AS x, b AS y FROM {T} GROUP BY b UNION ALL SELECT y, x FROM {U} ORDER BY sum(a) LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, sum(x) FROM {U} GROUP BY y ORDER BY sum(x) LIMIT 1",
    'SELECT a AS "X" FROM (VALUES (1),(2)) t(a) UNION ALL SELECT 5 ORDER BY x DESC',
    'SELECT 5 UNION ALL SELECT a AS "X" FROM (VALUES (1),(2)) t(a) ORDER BY x DESC',
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY (SELECT y) LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY (y) LIMIT 1",
    f"SELECT x, y FROM (VALUES (1,9),(2,8)) t(y,x) UNION ALL SELECT y, x FROM {U} ORDER BY X LIMIT 1",
    f"SELECT x AS y, y AS x FROM (VALUES (1,9),(2,8)) t(y,x) UNION ALL SELECT y, x FROM {U} ORDER BY x LIMIT 1",
    f"SELECT x AS y, y AS x FROM (VALUES (1,9),(2,8)) t(y,x) UNION ALL SELECT y, x FROM {U} ORDER BY t.x LIMIT 1",
    f"SELECT x AS y, y AS x FROM (VALUES (1,9),(2,8)) t(y,x) UNION ALL SELECT y, x FROM {U} ORDER BY x+1 LIMIT 1",
    f"SELECT b AS x, a+1 AS y FROM {T} UNION ALL SELECT a+1, b FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY A+1 LIMIT 1",
    "(SELECT x AS y, y AS x FROM (VALUES (1,9),(2,8)) t(y,x) LIMIT 5) ORDER BY x LIMIT 1",
    "(SELECT x AS y, y AS z FROM (VALUES (1,9),(2,8)) t(y,x) LIMIT 5) ORDER BY x LIMIT 1",
    "(SELECT x AS y, y AS x FROM (VALUES (1,9),(2,8)) t(y,x)) ORDER BY x LIMIT 1",
    "SELECT a AS x FROM (VALUES (1),(2)) t(a) UNION ALL (SELECT a AS w FROM (VALUES (7),(8)) t(a) ORDER BY w DESC LIMIT 1) ORDER BY w",
    "SELECT 1 AS x, 2 AS y UNION ALL SELECT 3 AS y, 0 AS x ORDER BY y, x",
    "SELECT 1 AS x, 2 AS y UNION SELECT 3 AS y, 0 AS x ORDER BY y+x, x",
    "SELECT 1, 2 UNION ALL SELECT 3 AS y, 0 AS x ORDER BY 2",
    "SELECT 1, 2 UNION ALL SELECT 3, 0 ORDER BY 2+0",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY t.b",
    f"SELECT a, b FROM {T} UNION ALL SELECT u.b, u.a FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY u.b",
    f"SELECT t.a, t.b FROM {T} UNION ALL SELECT u.b, u.a FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY u.b",
    f"SELECT t.a AS q, t.b AS w FROM {T} UNION ALL SELECT t.b, t.a FROM (VALUES (3,4),(7,5)) t(a,b) ORDER BY b",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY x+x+y*100 LIMIT 1",
    f"SELECT b AS x, a+1 AS y FROM {T} UNION ALL SELECT b, a+1 FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY (a+1) LIMIT 1",
    f"SELECT b AS x, t.a+1 AS y FROM {T} UNION ALL SELECT b, a+1 FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY a+1 LIMIT 1",
    f"SELECT b AS x, a+1 AS y FROM {T} UNION ALL SELECT u.a+1, b FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY a+1 LIMIT 1",
    f"SELECT b AS x, a+1 AS y FROM {T} UNION ALL SELECT p+1, q FROM (VALUES (3,4),(7,5)) u(p,q) ORDER BY p+1 LIMIT 1",
    f"SELECT b AS x, a AS y FROM {T} UNION ALL SELECT p+1, a FROM (VALUES (3,4),(7,5)) u(p,a) ORDER BY a LIMIT 1",
    f"SELECT b AS x, a AS y FROM {T} UNION ALL SELECT p+1 as a, a FROM (VALUES (3,4),(7,5)) u(p,a) ORDER BY a LIMIT 1",
    f"SELECT * FROM {T} UNION ALL SELECT * FROM (VALUES (3,4),(7,5)) u(b,a) ORDER BY t.b LIMIT 1",
    f"SELECT * FROM {T} UNION ALL SELECT * FROM (VALUES (3,4),(7,5)) u(b,a) ORDER BY u.b LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL BY NAME SELECT y AS z, x AS x FROM {U} ORDER BY u.y LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL BY NAME SELECT y+1 AS z, x AS x FROM {U} ORDER BY y+1 LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL BY NAME SELECT b AS z, a AS x FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY b LIMIT 1",
    f"SELECT DISTINCT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY t.b LIMIT 1",
    "WITH w AS (SELECT 1 AS a, 9 AS b UNION ALL SELECT 2,8) SELECT a AS x, b AS y FROM w UNION ALL SELECT a, b FROM w ORDER BY w.b, x LIMIT 1",
    f"SELECT * FROM (SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY y LIMIT 1)",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY row_number() over (order by y) desc LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY CASE WHEN y = 5 THEN 0 ELSE y END LIMIT 1",
    "SELECT 'a' AS x UNION ALL SELECT 'B' ORDER BY lower(x) DESC",
    "SELECT lower(a) FROM (VALUES ('a')) t(a) UNION ALL SELECT 'B' AS w ORDER BY lower(a) DESC",
    "SELECT lower(a) FROM (VALUES ('a')) t(a) UNION ALL SELECT 'B' AS w ORDER BY LOWER(A) DESC",
]

REFUSED = [
    f"SELECT a AS x, a AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY a DESC LIMIT 1",
    f"SELECT t.a, t.b FROM {T} UNION ALL SELECT t.b, t.a FROM (VALUES (3,4),(7,5)) t(a,b) ORDER BY t.b",
    f"SELECT t.a AS q, t.b AS w FROM {T} UNION ALL SELECT t.b, t.a FROM (VALUES (3,4),(7,5)) t(a,b) ORDER BY t.b",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY a+100*b LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y as p, x as q FROM {U} ORDER BY q+100*p LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y as p, x as q FROM {U} ORDER BY abs(t.b)+0 LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y as p, x as q FROM {U} ORDER BY abs(t.q)+0 LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y as p, x as q FROM {U} ORDER BY q+p LIMIT 1",
    f"SELECT b AS x, a+1 AS y FROM {T} UNION ALL SELECT b, a+1 FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY (a+1)*10+b LIMIT 1",
    f"SELECT b AS x, a+1 AS y FROM {T} UNION ALL SELECT b, a+1 FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY t.a+1 LIMIT 1",
    f"SELECT b AS x, a+1 AS y FROM {T} UNION ALL SELECT b, a+1 FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY u.a+1 LIMIT 1",
    f"SELECT b AS x, a+1 AS y FROM {T} UNION ALL SELECT p+1, q FROM (VALUES (3,4),(7,5)) u(p,q) ORDER BY p LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL BY NAME SELECT b+1 AS z, a AS x FROM (VALUES (3,4),(7,5)) u(a,b) ORDER BY u.b+1 LIMIT 1",
    f"SELECT t.a+1 AS x, b AS y FROM {T} UNION ALL SELECT b, t.a+1 FROM (VALUES (3,4),(7,5)) t(a,b) ORDER BY a+1 LIMIT 1",
    "WITH w AS (SELECT 1 AS a, 9 AS b UNION ALL SELECT 2,8) SELECT a AS x, b AS y FROM w UNION ALL SELECT b, a FROM w ORDER BY w.b, x LIMIT 1",
    f"SELECT a AS x, b AS y FROM {T} UNION ALL SELECT y, x FROM {U} ORDER BY count(*) LIMIT 1",
    "SELECT 'a' UNION ALL SELECT 'B' AS w ORDER BY lower(w) DESC",
]


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    """Both engines, without tables."""
    engines = Engines.over(threads=1)
    yield engines
    engines.close()


@pytest.mark.parametrize("query", QUERIES)
def test_orders(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("query", REFUSED)
def test_refused(engines: Engines, query: str) -> None:
    engines.check_refused(query)


def test_names_of_from_behind_parentheses() -> None:
    """DuckDB reads b of t here, and the alias b where it stands alone."""
    engines = Engines.over(threads=1)
    engines.check("(SELECT b AS y, a AS b FROM (VALUES (1, 9), (2, 8)) t(a, b) LIMIT 5) ORDER BY b LIMIT 1")
    with pytest.raises(UnsupportedError, match="an alias of another"):
        engines.ours.sql("(SELECT b AS y, a AS b FROM (VALUES (1, 9), (2, 8)) t(a, b) LIMIT 5) ORDER BY b + 1 LIMIT 1")
    engines.close()


def test_many_queries() -> None:
    """A chain nests on the left, a thousand levels deep."""
    engines = Engines.over(threads=1)
    chain = " UNION ALL ".join(f"SELECT {number} AS a, {-number} AS b" for number in range(1000))
    engines.check(f"SELECT 7 AS b, 7 AS c UNION ALL {chain} ORDER BY a LIMIT 2")
    engines.close()
