"""Statements with a token missing, doubled or exchanged: bound, or refused by an error of ours; never by one of Python's."""

from __future__ import annotations

import logging
import random

import pytest
from sqlglot import tokenize

import qtensor
from qtensor.bind.statements.dispatch import bind_statement
from qtensor.catalog import Scope
from qtensor.errors import QTensorError, SQLError

STATEMENTS = [
    "CREATE OR REPLACE TABLE t (a INTEGER PRIMARY KEY, b VARCHAR NOT NULL DEFAULT 'x' || 'y', c DECIMAL(5, 2) UNIQUE, UNIQUE (a, b))",
    "CREATE TABLE IF NOT EXISTS u (p, q) AS SELECT a, count(*) FROM t GROUP BY a ORDER BY a LIMIT 3",
    "CREATE OR REPLACE TEMP VIEW w (p, q) AS WITH z AS (SELECT 1 AS k) SELECT a, k FROM t, z WHERE a IN (SELECT p FROM v)",
    "INSERT INTO t (a, b) VALUES (1, 'x'), (2, DEFAULT), ((SELECT max(a) FROM t), upper('z'))",
    "INSERT INTO t BY NAME SELECT a + 1 AS a, b FROM t WHERE a > 1",
    "INSERT INTO t DEFAULT VALUES",
    "WITH z AS (SELECT 1 AS k) UPDATE t AS s SET a = k + s.a, (b, c) = ('x', DEFAULT) FROM z WHERE s.a = z.k",
    "DELETE FROM t AS s USING v AS o WHERE s.a = o.p AND EXISTS (SELECT 1 FROM t WHERE t.a = s.a)",
    "TRUNCATE TABLE t",
    "DROP TABLE IF EXISTS t, u CASCADE",
    "COPY t (a, b) TO 'x.csv' WITH (FORMAT csv, HEADER true, DELIMITER '|', NULL 'N', COMPRESSION gzip)",
    "COPY (SELECT a, b FROM t WHERE a > 1) TO 'x.json' (ARRAY)",
    "DESCRIBE SELECT a, b FROM t WHERE a > 1",
    "SHOW TABLES",
    "SUMMARIZE t",
    "EXPLAIN ANALYZE SELECT a FROM t",
]


@pytest.fixture(scope="module")
def scope() -> Scope:
    connection = qtensor.connect()
    connection.sql("CREATE TABLE t (a INTEGER, b VARCHAR, c DECIMAL(5,2)); CREATE VIEW v AS SELECT a AS p FROM t")
    return Scope(connection._registry, {})


@pytest.mark.parametrize("statement", STATEMENTS)
def test_mutilated(statement: str, scope: Scope, caplog: pytest.LogCaptureFixture) -> None:
    tokens = tokenize(statement, dialect="duckdb")
    words = [statement[token.start : token.end + 1] for token in tokens]
    choose = random.Random(statement)
    mutilated = [words[:cut] + words[cut + 1 :] for cut in range(len(words))]
    mutilated += [words[:end] for end in range(1, len(words))]
    mutilated += [[*words[:at], words[at], *words[at:]] for at in range(len(words))]
    for _ in range(30):
        at, other = choose.randrange(len(words)), choose.randrange(len(words))
        mutilated.append([*words[:at], words[other], *words[at + 1 :]])
    with caplog.at_level(logging.WARNING):
        for changed in mutilated:
            sql = " ".join(changed)
            try:
                bind_statement(sql, scope)
            except SQLError as error:
                assert all(0 <= span.start < span.end <= len(sql) for span in error.spans), sql
            except QTensorError:
                pass
    assert [record.getMessage() for record in caplog.records] == []
