"""A CSV file read in parts is what it is when it is read at once, however small its blocks are."""

from __future__ import annotations

import gzip
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from qtensor.errors import DataError
from qtensor.sources import open_table
from qtensor.sources.csv_file import CsvSource
from qtensor.sources.csv_parts import CsvParts, open_csv_parts
from qtensor.sources.table import Source, Table
from qtensor.types import Unsupported
from tests.sources.test_csv import CASES, drawn
from tests.storage.decoding import rows_of

BLOCKS = [1, 30, 1 << 20]


def readable(table: Table) -> list[str]:
    return [field.name for field in table.fields if not isinstance(field.type, Unsupported)]


def all_of(source: Source) -> Any:
    """Names and types, and the columns, in which NaN is NaN."""
    table = Table("t", source)
    return table.fields, columns_of([table])


def columns_of(tables: Sequence[Table]) -> dict[str, str]:
    """The columns of tables one behind the other."""
    names = readable(tables[0])
    rows = [rows_of(table, names, threads=1) for table in tables]
    return {name: repr([value for part in rows for value in part[name].to_pylist()]) for name in names}


def check(content: str | bytes, folder: Path, name: str = "t.csv", blocks: list[int] | None = None) -> list[CsvParts]:
    """The sources with blocks of those sizes."""
    path = folder / name
    octets = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(octets) if name.endswith("gz") else octets)
    try:
        expected = all_of(CsvSource(path))
    except DataError as error:
        for block in blocks or BLOCKS:
            with pytest.raises(DataError) as found:
                open_csv_parts(path, block)
            if "UTF-8" in str(error):
                assert str(found.value) == str(error)
        return []
    sources = [open_csv_parts(path, block) for block in blocks or BLOCKS]
    for source in sources:
        assert all_of(source) == expected
        whole = Table("t", source)
        for rows in (2, 1_000):
            parts = whole.parts(rows)
            assert parts is not None
            assert all(part.fields == expected[0] for part in parts)
            assert columns_of(parts) == expected[1]
    return [source for source in sources if isinstance(source, CsvParts)]


@pytest.mark.parametrize("name", CASES)
def test_files(name: str, tmp_path: Path) -> None:
    for content in [*CASES[name], ""]:
        check(content, tmp_path)


@pytest.mark.parametrize("seed", range(60))
def test_random_files(seed: int, tmp_path: Path) -> None:
    check(drawn(seed), tmp_path, blocks=[20, 200])


LATE = {
    "text behind numbers": ["1", "2", "", "x"],
    "reals behind numbers": ["1", "2", "2.5"],
    "numbers beyond 64 bits": ["1", "-5", "9223372036854775808"],
    "code behind numbers": ["1", "2", "007"],
    "text behind dates": ["2020-01-02", "", "1999-12-31", "never"],
    "another order of dates": ["01/02/2020", "03/04/2020", "12/31/1999"],
    "no day in any order": ["01/02/2020", "03/04/2020", "32/32/1999"],
    "dates behind timestamps": ["2020-01-02 03:04:05", "2020-01-03"],
    "timestamps behind dates": ["2020-01-02", "2020-01-02 03:04:05"],
    "zones late": ["2020-01-02 03:04:05", "", "2020-01-02 03:04:05Z"],
    "zones of all": ["2020-01-02 03:04:05Z", "2021-01-02 03:04:05Z"],
    "dates without zones": ["2020-01-02", "2020-01-02Z"],
    "times in order": ["10:20:30", "", "11:20:30"],
    "times not in order": ["10:20:30", "9:20:30"],
    "minutes and seconds": ["10:20", "11:20", "11:20:30"],
    "nothing": ["", "", ""],
    "nothing but the last": ["", "", "", "7"],
    "truth and numbers": ["t", "f", "0"],
    "hexadecimal late": ["1", "2", "0x1F"],
    "spaces late": ["1.5", "2", " 3"],
    "plus late": ["1.5", "2", "+3"],
    "nan(0) late": ["1.5", "2", "nan(0)", " 3"],
    "infinite": ["1", "inf", "2"],
}


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("name", LATE)
def test_types_that_change_late(name: str, header: bool, tmp_path: Path) -> None:
    """Each value many times: more rows than most kinds are tried by at first, and the last value in the last block."""
    values = [value for value in LATE[name] for _ in range(150)]
    others = list(range(len(values)))
    lines = (["h,i"] if header else []) + [f"{value},{other}" for value, other in zip(values, others, strict=True)]
    check("\n".join(lines) + "\n", tmp_path, blocks=[60, 3_000])


@pytest.mark.parametrize("seed", range(40))
def test_random_columns_of_mixed_kinds(seed: int, tmp_path: Path) -> None:
    """Several columns, whose dates are to be in one order."""
    chance = random.Random(seed)
    pool = [value for values in LATE.values() for value in values]
    dates = ["01/02/2020", "13/02/2020", "02/13/2020", "2020-01-02", "02.03.21", "2020-01-02 03:04:05", "01/02/2020 10:20:30"]
    lines = []
    columns = [[chance.choice(dates if chance.random() < 0.6 else pool) for _ in range(3)] for _ in range(4)]
    for row in range(40):
        lines.append("|".join(column[min(row // 15, 2)] if chance.random() < 0.9 else "" for column in columns))
    check("\n".join((["a|b|c|d"] if seed % 2 else []) + lines), tmp_path, blocks=[40])


QUOTED = {
    "lines in quotes": 'a,b\n1,"x\ny"\n2,"p\n\nq"\n3,z\n',
    "doubled quotes": 'a,b\n1,"x ""y"" z"\n2,""""\n3,"""\n"""\n4,""\n',
    "quotes within fields": 'a,b\n1,5" pipe\n2,"x\ny"\n3,7"\n4,"u,v"\n',
    "text behind quotes": 'a,b\n1,"x"y\n2,"z"\n3,"p"q"r\n',
    "CR LF": 'a,b\r\n1,"x\r\ny"\r\n2,z\r\n',
    "CR": 'a,b\r1,"x"\r2,z\r',
    "CR, and LF in quotes": 'a,b\r1,"x\ny"\r2,"p\nq"\r',
    "no end": 'a,b\n1,"x\ny"\n2,"z"',
    "empty lines": 'a,b\n\n1,x\n\n\n2,"y"\n\n',
    "one column": 'a\n1\n\n"2"\n\n\n3\n',
    "one column, CR LF": "a\r\n1\r\n22\r\n\r\n333\r\n",
    "one column, CR LF and quotes": 'a\r\n1\r\n"2"\r\n\r\n"3\r\n3"\r\n4\r\n',
    "comments": 'a,b\n# one\n1,x\n# two\n2,"y\nz"\n',
    "spaces around quotes": 'a,b\n1, "x"\n2, "y\nz" \n3, "w"\n',
    "other quotes": "a,b\n1,'x,y'\n2,'p\nq'\n3,'z'\n",
    "escapes": 'a,b\n1,"x\\"y"\n2,"p\nq"\n3,"z"\n',
    "trailing delimiters": "a,b\n1,x,\n2,y,\n3,z,\n",
    "byte order mark": "\ufeffa,b\n1,x\n2,y\n",
    "byte order marks in the midst": "a,b\n\ufeffx,1\n\ufeffy,2\n\ufeffz,3\n",
    "characters of many bytes": "\u00fc,\U0001f600\n\u00e4,1\n\u4e2d\u6587,2\n",
    "lines before the table": "one\ntwo\na,b\n1,x\n2,y\n3,z\n",
    "too few fields": "a,b,c\n" + "1,2,3\n" * 3_000 + "1,2\n",
    "too many fields": "a,b\n" + "1,2\n" * 3_000 + "1,2,3\n",
    "never closed": "a,b\n" + "1,x\n" * 3_000 + '1,"y\n' + "2,z\n" * 10,
    "never closed, with comments": "a,b\n# c\n" + "1,x\n" * 3_000 + '1,"y\n' + "2,z\n" * 10,
}


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
@pytest.mark.parametrize("name", QUOTED)
def test_where_rows_end(name: str, suffix: str, tmp_path: Path) -> None:
    small = len(QUOTED[name]) < 1_000
    check(QUOTED[name], tmp_path, f"t.{suffix}", blocks=[*range(1, 40, 4), 1_000] if small else [3_000, 100_000])


def test_octets_that_are_no_text(tmp_path: Path) -> None:
    check(b"a,b\n" + b"1,x\n" * 3_000 + b"1,\xff\n" + b"1,x\n" * 3_000, tmp_path, blocks=[100, 5_000])
    check(b"a,b\n# c\n" + b"1,x\n" * 3_000 + b"1,\xff\n" + b"1,x\n" * 3_000, tmp_path, blocks=[100, 5_000])


def test_one_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no type changes after the first block, each byte is read once."""
    path = tmp_path / "t.csv"
    path.write_text("a,b,c,d\n" + "".join(f"{n},{n}.5,2020-01-{n % 28 + 1:02},2021-02-03\n" for n in range(20_000)))
    from qtensor.sources import csv_blocks

    read: list[int] = []
    original = csv_blocks.rows_by_arrow

    def record(source: Any, *arguments: Any, **options: Any) -> Any:
        read.append(len(source))
        return original(source, *arguments, **options)

    monkeypatch.setattr(csv_blocks, "rows_by_arrow", record)
    table = Table("t", open_csv_parts(path, 10_000))
    assert sum(read) == path.stat().st_size - len("a,b,c,d\n")
    assert max(read) <= 10_000
    read.clear()
    parts = table.parts(2_000)
    assert parts is not None
    assert max(part.rows for part in parts) <= 2_000
    assert read == []
    parts[3].column(1, threads=1)
    assert 0 < sum(read) < path.stat().st_size // 8


def test_against_duckdb(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    duckdb.sql(
        f"""COPY (SELECT i AS id, (i * 7 % 1000) / 8 AS ratio, CASE WHEN i % 3 = 0 THEN NULL ELSE 'w, "' || i % 300 END AS word,
        DATE '1992-01-01' + (i % 2000)::INTEGER AS day, TIMESTAMP '2020-01-01' + INTERVAL 1 MINUTE * i AS moment, i % 2 = 0 AS even,
        CASE WHEN i = 199999 THEN 'x' ELSE i::VARCHAR END AS late FROM range(200000) r(i)) TO '{path}' (HEADER)"""
    )
    table = open_table("t", path, stream=True)
    parts = table.parts(65_536)
    assert parts is not None
    assert len(parts) > 3
    expected = duckdb.sql(f"SELECT * FROM read_csv('{path}', sample_size = -1)").to_arrow_table()
    found = [rows_of(part) for part in parts]
    for name in expected.column_names:
        assert [value for part in found for value in part[name].to_pylist()] == expected[name].to_pylist(), name
    for index, name in enumerate(expected.column_names):
        ((low, high, nulls),) = duckdb.sql(f"SELECT min({name}), max({name}), count(*) - count({name}) FROM expected").fetchall()
        assert table.facts(index).nulls == nulls
        if name == "id":
            assert table.facts(index).range == (low, high) == (0, 199_999)
            assert [part.facts(index).range for part in parts[:2]] == [
                (sum(part.rows for part in parts[:number]), sum(part.rows for part in parts[: number + 1]) - 1)
                for number in (0, 1)
            ]
    assert len({part.column(0, threads=1).data.dtype for part in parts}) == 1


def test_a_file_that_changed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,x\n" * 100)
    table = Table("t", open_csv_parts(path, 50))
    parts = table.parts(10)
    assert parts is not None
    path.write_text("a,b\n" + "y,x\n" * 100)
    assert not table.is_current()
    for part in parts:
        with pytest.raises(DataError, match="the file has changed since it was registered"):
            part.column(0, threads=1)


def test_without_the_flag_it_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,x\n2,y\n")
    assert isinstance(open_table("t", path)._source, CsvSource)
    assert isinstance(open_table("t", path, stream=True)._source, CsvParts)
