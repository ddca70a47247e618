"""CSV files: dialect, header, names, types and rows as DuckDB finds them, by files that it reads beside us."""

from __future__ import annotations

import gzip
import io
import math
import random
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

import qtensor
from qtensor.errors import DataError, UnsupportedError
from qtensor.sources.csv_file import read_csv
from qtensor.sources.pipe import read_pipe
from tests.oracle import Answer, answer_of_duckdb, answer_of_qtensor, assert_same_answer


def of_both(content: str | bytes, folder: Path, options: str = "") -> tuple[Answer, Answer]:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = answer_of_qtensor(qtensor.connect().sql(f"SELECT * FROM '{path}'"))
    return found, answer_of_duckdb(duckdb.connect(), f"SELECT * FROM read_csv('{path}'{options})")


def check(content: str | bytes, folder: Path, options: str = "") -> None:
    found, expected = of_both(content, folder, options)
    assert_same_answer(found, expected, ordered=True)


_ESCAPES = {"\\n": "\n", "\\r": "\r", "\\t": "\t", "\\ufeff": "\ufeff", "\\s": " "}


def read_cases() -> dict[str, list[str]]:
    """The files of csv_files.txt by their heading."""
    cases: dict[str, list[str]] = {}
    _, *sections = (Path(__file__).parent / "csv_files.txt").read_text(encoding="utf-8").split("=== ")
    for section in sections:
        heading, *lines = section.rstrip("\n").split("\n")
        cases[heading] = [re.sub(r"\\(?:n|r|t|ufeff|s)", lambda found: _ESCAPES[found[0]], line) for line in lines]
    return cases


CASES = read_cases()


@pytest.mark.parametrize("name", CASES)
def test_files(name: str, tmp_path: Path) -> None:
    for content in [*CASES[name], ""]:
        check(content, tmp_path)


KINDS: dict[str, list[str]] = {
    "whole": ["0", "1", "-5", "42", "777777", "-123456789012"],
    "code": ["00000", "01234", "99999"],
    "real": ["1.5", "-0.25", "1e5", "3", ".5", "2.", "1E-3"],
    "truth": ["true", "false", "T", "F", "TRUE", "yes", "no"],
    "text": [
        "a",
        "b c",
        "\u00dcn\u00ef",
        "NULL",
        "5%",
        '"q"',
        "x,y",
        "p;q",
        "r|s",
        "t\tb",
        "line\nbreak",
        " lead",
        "trail ",
        "1 2",
    ],
    "mixed": ["1", "a", "2.5", "2020-01-01", "true"],
    "timestamp": ["2020-01-02 03:04:05", "1999-12-31T23:59:59", "1970-01-01 00:00:00.5"],
}
DATES = {
    "iso": ["2020-01-02", "1999-12-31", "1969-02-28"],
    "day first": ["02/01/2020", "31/12/1999", "28/02/1969"],
    "month first": ["12/31/1999", "02/28/1969", "1/2/2020"],
    "short": ["31.12.99", "28.02.69", "25.01.20"],
}


def drawn(seed: int) -> str:
    """A file of a random dialect, with or without header, of random columns; one kind of date."""
    chance = random.Random(seed)
    delimiter, line_end = chance.choice(",,;|\t"), chance.choice(["\n", "\n", "\r\n"])
    kinds = KINDS | {"date": DATES[chance.choice(list(DATES))]}
    columns = [kinds[chance.choice(list(kinds))] for _ in range(chance.randint(2, 6))]
    rows = [[chance.choice(["", *values, *values]) for values in columns] for _ in range(chance.randint(1, 12))]
    if chance.random() < 0.7:
        rows.insert(0, [f"{chance.choice(['id', 'a b', 'Name', 'x'])}{number}" for number in range(len(columns))])
    always = chance.random() < 0.2

    def written(value: str) -> str:
        special = always or any(mark in value for mark in (delimiter, '"', "\n"))
        return '"' + value.replace('"', '""') + '"' if special else value

    return line_end.join(delimiter.join(map(written, row)) for row in rows) + chance.choice([line_end, ""])


@pytest.mark.parametrize("seed", range(120))
def test_random_files(seed: int, tmp_path: Path) -> None:
    check(drawn(seed), tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        ["9223372036854775808", "1"],
        ["170141183460469231731687303715884105728"],
        ["10:20:30"],
        ["10:20", "23:59"],
        ["2020-01-02T10:20:30Z"],
    ],
)
def test_what_no_type_holds_is_text(values: list[str], tmp_path: Path) -> None:
    """HUGEINT, and times written so that texts are in their order: as DuckDB reads them when all is to be text."""
    check("h,i\n" + "\n".join(f"{value},x" for value in values) + "\n", tmp_path, ", all_varchar = true")


def test_ids_beyond_64_bits_stay_different(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id\n12345678901234567890\n12345678901234567891\n")
    query = f"SELECT count(DISTINCT id) AS n FROM '{path}'"
    assert qtensor.sql(query).fetchall() == duckdb.sql(query).fetchall() == [(2,)]


def test_other_times_are_refused_when_used(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,clock,zoned\n1,9:05:00,2020-01-02 10:20:30+02\n2,10:20:30.5,2020-01-02 10:20:30Z\n")
    assert qtensor.sql(f"SELECT sum(a) FROM '{path}'").fetchall() == [(3,)]
    for name, type in (("clock", "TIME"), ("zoned", "TIMESTAMP WITH TIME ZONE")):
        with pytest.raises(UnsupportedError, match=f'the column "{name}" of type {type}'):
            qtensor.sql(f"SELECT max({name}) FROM '{path}'")


@pytest.mark.parametrize("last", ["+5", "nan(0)", "nan(a_1)", "-nan", "+inf", "+nan", "-inf", "5", " 5", "1e400", "1.e5"])
def test_numbers_that_come_late(last: str, tmp_path: Path) -> None:
    """Behind the first values, by which most kinds are seen not to be a column's."""
    check(f"h\n1.5\n{last}\n", tmp_path)
    check("h\n" + "1.5\n" * 300 + last + "\n", tmp_path)


def test_every_row_decides_types(tmp_path: Path) -> None:
    """Where DuckDB has taken its sample already, and fails: the text that comes late makes texts of all."""
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n" * 30_000 + "x,2.5\n")
    assert qtensor.sql(f"SELECT count(*), max(a), sum(b) FROM '{path}'").fetchall() == [(30_001, "x", 60_002.5)]


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv", "tsv.gz"])
def test_many_rows_with_lines_in_quotes(suffix: str, tmp_path: Path) -> None:
    """More than a block, so that blocks end within quotes; compressed, too."""
    delimiter = "\t" if "tsv" in suffix else ","
    content = delimiter.join(("i", "s")) + "\n" + "".join(f'{number}{delimiter}"a\nb {number}"\n' for number in range(200_000))
    path = tmp_path / f"t.{suffix}"
    path.write_bytes(gzip.compress(content.encode(), 1) if suffix.endswith("gz") else content.encode())
    query = f"SELECT count(*) AS n, sum(i) AS total, count(DISTINCT s) AS different, max(s) AS high FROM '{path}'"
    assert_same_answer(answer_of_qtensor(qtensor.sql(query)), answer_of_duckdb(duckdb.connect(), query), ordered=True)


def test_rows_longer_than_the_sample(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    long = "x" * 3_000_000
    for content in (f"{long},b\n1,2\n", f'a,b\n"{long}\n{long}",2\n3,4\n', f"{long}\n", f'"a\n{long}",b\n1,2\n'):
        path.write_text(content)
        found = read_csv("t", path)
        expected = answer_of_duckdb(duckdb.connect(), f"SELECT * FROM read_csv('{path}', max_line_size = 10000000)")
        assert found.column_names == expected.names
        assert [tuple(row.values()) for row in found.to_pylist()] == expected.rows


def test_null_bytes(tmp_path: Path) -> None:
    for content in (b"a,b\nx\x00y,1\n", b"a,b\n\x00,1\n", b"a\x00,b\n1,2\n"):
        check(content, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n\xe4,1\n", "is not UTF-8: byte 0xe4 in line 3; convert it: iconv"),
        (b"\xe4,b\n1,2\n", "is not UTF-8: byte 0xe4 in line 1"),
        (b"\xff\xfea\x00,\x00b\x00\n\x00", "is not UTF-8: byte 0xff in line 1"),
        (b"a,b\n" + b"1,x\n" * 400_000 + b"1,\xe4\n", "is not UTF-8: byte 0xe4 in line 400002"),
        (b"a,b\n" + b"1,x\n" * 400_000 + b"1,2,3\n", "cannot be read as CSV: .*Expected 2 columns, got 3"),
        (b"# c\na,b\n#\n" + b"1,x\n" * 400_000 + b"1,2,3\n", "cannot be read as CSV: Expected 2 columns, got 3 in line 400004"),
    ],
)
def test_what_cannot_be_read(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"t\.csv: {message}"):
        qtensor.sql(f"SELECT * FROM '{path}'")


def test_pipes(tmp_path: Path) -> None:
    for content in (CASES["file: quotes"][0], CASES["file: comments"][1], CASES["file: delimiter"][0], "h\n01234\n"):
        (tmp_path / "t.csv").write_text(content)
        piped: Any = read_pipe("stdin", io.BytesIO(content.encode()))
        assert piped.equals(read_csv("t", tmp_path / "t.csv"))


def test_a_column_of_nan_is_not_null(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x\nnan\n\n1\n")
    rows = qtensor.sql(f"SELECT x FROM '{path}'").fetchall()
    assert math.isnan(rows[0][0])
    assert rows[1:] == [(None,), (1.0,)]
