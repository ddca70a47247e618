"""COPY ... TO: what is written is read back by DuckDB and pyarrow; a file is whole, or as it was before."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qtensor.errors import BindError, DataError, ExecutionError, ParseError, UnsupportedError
from tests.oracle import Engines

ROWS = """
    CREATE TABLE t (i INTEGER, d DECIMAL(9,2), f DOUBLE, s VARCHAR, day DATE, "at" TIMESTAMP, b BOOLEAN);
    INSERT INTO t VALUES (1, 1.5, 0.1, 'plain', '2020-02-29', '2020-02-29 01:02:03.5', true),
        (NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (-3, -0.05, 1e300, 'a, "b"; c|d' || chr(10) || 'e', '1969-12-31', '1969-12-31 23:59:59', false),
        (4, 0, -2.0, '', '0001-01-01', '9999-12-31', true), (5, 7, 3.25, 'NULL', '2021-01-01', '2021-01-01', false)
"""
TYPES = "{'i': 'INTEGER', 'd': 'DECIMAL(9,2)', 'f': 'DOUBLE', 's': 'VARCHAR', 'day': 'DATE', 'at': 'TIMESTAMP', 'b': 'BOOLEAN'}"


@pytest.fixture
def table(engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engines:
    monkeypatch.chdir(tmp_path)
    engines.ours.sql(ROWS.replace("chr(10)", "'\n'"))
    return engines


@pytest.mark.parametrize(
    ("target", "reading"),
    [
        ("'a.parquet'", "FROM 'a.parquet'"),
        ("'a.pq' (COMPRESSION zstd)", "FROM parquet_scan('a.pq')"),
        ("'a.data' (FORMAT parquet, COMPRESSION uncompressed)", "FROM parquet_scan('a.data')"),
        ("'a.csv'", f"FROM read_csv('a.csv', types = {TYPES}, header = true, nullstr = '', allow_quoted_nulls = false)"),
        (
            "'a.txt' (HEADER false, DELIMITER '|', NULL 'NULL')",
            f"FROM read_csv('a.txt', columns = {TYPES}, header = false, delim = '|', nullstr = 'NULL', allow_quoted_nulls = false)",
        ),
        (
            "'a.tsv' (FORMAT csv, HEADER, SEP ';', NULLSTR '-')",
            f"FROM read_csv('a.tsv', types = {TYPES}, header = true, delim = ';', nullstr = '-', allow_quoted_nulls = false)",
        ),
        ("'a.csv.gz'", f"FROM read_csv('a.csv.gz', types = {TYPES}, header = true, nullstr = '', allow_quoted_nulls = false)"),
        (
            "'a.csv' WITH (FORMAT csv, COMPRESSION zstd)",
            f"FROM read_csv('a.csv', types = {TYPES}, header = true, compression = 'zstd', nullstr = '', allow_quoted_nulls = false)",
        ),
        ("'a.json'", f"FROM read_json('a.json', columns = {TYPES})"),
        ("'a.ndjson.zst'", f"FROM read_json('a.ndjson.zst', columns = {TYPES})"),
        ("'a.json' (ARRAY)", f"FROM read_json('a.json', columns = {TYPES}, format = 'array')"),
    ],
)
def test_what_duckdb_reads(table: Engines, target: str, reading: str) -> None:
    expected = table.ours.sql("FROM t").fetchall()
    assert table.ours.sql(f"COPY t TO {target}").fetchall() == [(5,)]
    found = table.theirs.execute(reading).fetchall()
    assert found == expected


def test_arrow_files_and_what_is_read_of_them_again(table: Engines) -> None:
    for name, open_file in [("a.arrow", pa.ipc.open_file), ("a.feather", pa.ipc.open_file), ("a.arrows", pa.ipc.open_stream)]:
        assert table.ours.sql(f"COPY (SELECT i, s FROM t WHERE i > $1) TO '{name}'", [1]).fetchall() == [(2,)]
        with pa.OSFile(name) as file:
            assert open_file(file).read_all().to_pydict() == {"i": [4, 5], "s": ["", "NULL"]}
    assert table.ours.sql("SELECT sum(i) FROM 'a.arrow'").fetchall() == [(9,)]
    table.ours.sql("COPY (SELECT i * 10 AS i FROM 'a.arrow') TO 'a.arrow'")
    assert table.ours.sql("SELECT sum(i) FROM 'a.arrow'").fetchall() == [(90,)]


def test_columns_and_names(table: Engines) -> None:
    table.ours.sql("COPY t (s, i) TO 'a.csv'")
    assert Path("a.csv").read_text().splitlines()[:3] == ["s,i", "plain,1", ","]
    table.ours.sql("COPY (SELECT 1 AS a, 2 AS a) TO 'a.json'")
    assert json.loads(Path("a.json").read_text()) == {"a": 1, "a_1": 2}
    table.ours.sql("COPY (SELECT * FROM t WHERE i > 100) TO 'none.parquet'")
    assert pq.read_table("none.parquet").num_rows == 0
    table.ours.sql("COPY (SELECT i FROM t WHERE i > 100) TO 'none.csv.gz'")
    assert gzip.decompress(Path("none.csv.gz").read_bytes()) == b"i\n"
    table.ours.sql("COPY (SELECT 'x' AS a UNION ALL SELECT NULL) TO 'one.csv' (NULL '-')")
    assert Path("one.csv").read_text() == "a\nx\n-\n"


@pytest.mark.parametrize(
    ("statement", "error", "message"),
    [
        ("COPY (SELECT CAST(s AS DATE) AS d FROM t) TO 'kept.csv'", ExecutionError, "Could not convert"),
        ("COPY nope TO 'kept.csv'", BindError, 'no table "nope"'),
        ("COPY (SELECT nope FROM t) TO 'kept.csv'", BindError, 'no column "nope"'),
        ("COPY t (nope) TO 'kept.csv'", BindError, 'no column "nope"'),
        ("COPY t TO 'kept.csv' (FORMAT xlsx)", BindError, 'no format "xlsx"'),
        ("COPY t TO 'kept.csv' (COMPRESSION lzma)", BindError, 'no compression "lzma" of csv'),
        ("COPY t TO 'kept.csv' (HEADER perhaps)", BindError, "HEADER is true or false"),
        ("COPY t TO 'kept.csv' (DELIMITER '||')", BindError, "a DELIMITER is one character"),
        ("COPY t TO 'kept.csv' (FORCE_QUOTE *)", UnsupportedError, "the option FORCE_QUOTE of COPY to csv"),
        ("COPY t TO 'kept.csv' (FORMAT parquet, HEADER)", UnsupportedError, "the option HEADER of COPY to parquet"),
        ("COPY t TO 'kept.csv' (NULL 'a,b')", BindError, "NULL is written without"),
        ("COPY t TO 'kept.csv' (HEADER, HEADER false)", BindError, "the option HEADER is given twice"),
        ("COPY t FROM 'kept.csv'", UnsupportedError, "COPY ... FROM"),
        ("COPY t", ParseError, "COPY needs TO"),
        ("COPY t TO", BindError, "needs the name of one file"),
        ("COPY t TO 'kept.csv' 'other.csv'", ParseError, "syntax error at or near"),
        ("COPY t TO 'no/such/folder/a.csv'", DataError, "cannot be written"),
    ],
)
def test_failures_leave_the_file(table: Engines, statement: str, error: type[Exception], message: str) -> None:
    Path("kept.csv").write_text("as it was")
    with pytest.raises(error, match=message):
        table.ours.sql(statement)
    assert {path.name: path.read_text() for path in Path().iterdir()} == {"kept.csv": "as it was"}


@pytest.mark.parametrize("name", ["kept.csv", "kept.json", "kept.arrow", "kept.parquet", "kept.csv.gz"])
def test_a_full_disk_leaves_the_file(table: Engines, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(name).write_text("as it was")

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("qtensor.statements.run.write_rows", lambda reader, options, file: refuse(file.fileno()))
    with pytest.raises(DataError, match=f"{name} cannot be written: .*No space left"):
        table.ours.sql(f"COPY t TO '{name}'")
    assert [path.name for path in Path().iterdir()] == [name]
    assert Path(name).read_text() == "as it was"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_cannot_be_written(table: Engines, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(DataError, match="cannot be written"):
            table.ours.sql("COPY t TO 'a.csv'")
    finally:
        tmp_path.chmod(0o700)
