"""What sources say of columns without reading them: what pyarrow reads in footers, and nothing where these are damaged."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qtensor.sources import footer, open_table
from qtensor.sources.facts import NOTHING_SAID, ColumnFacts
from qtensor.sources.table import Table
from tests.oracle.fuzz_files.doors.parquet import footer_of, with_footer
from tests.sources.test_parts import arrow_file, data, parts_of

RANGED = {"id", "small", "unsigned", "price", "day", "moment"}
EPOCH = datetime.datetime(1970, 1, 1)


def stored(value: Any) -> int:
    """A value in the units of storage."""
    match value:
        case Decimal():
            return int(value.scaleb(-int(value.as_tuple().exponent)))
        case datetime.datetime():
            return (value - EPOCH) // datetime.timedelta(microseconds=1)
        case datetime.date():
            return value.toordinal() - EPOCH.toordinal()
        case _:
            return int(value)


def by_pyarrow(metadata: pq.FileMetaData, name: str, groups: Sequence[int], ranged: bool = True) -> ColumnFacts:
    chunks = [metadata.row_group(group).column(metadata.schema.names.index(name)) for group in groups]
    said = [chunk.statistics for chunk in chunks]
    limits = [(stored(of.min), stored(of.max)) for of in said if of.has_min_max] if ranged else []
    span = (min(low for low, _ in limits), max(high for _, high in limits)) if limits else None
    return ColumnFacts(span, sum(of.null_count for of in said), sum(chunk.total_uncompressed_size for chunk in chunks))


def facts_of(table: Table, name: str) -> ColumnFacts:
    return table.facts([field.name for field in table.fields].index(name))


@pytest.mark.parametrize("as_integer", [False, True])
def test_footers(tmp_path: Path, as_integer: bool) -> None:
    """The facts of a part are those of its row groups alone. Decimals that are no integers in the file have no range."""
    path = tmp_path / "t.parquet"
    whole = data(65_536).drop(["nested"])
    pq.write_table(whole, path, row_group_size=10_000, store_decimal_as_integer=as_integer)
    metadata = pq.read_metadata(path)
    table = open_table("t", path)
    for name in whole.column_names:
        ranged = name in RANGED - (set() if as_integer else {"price"})
        assert facts_of(table, name) == by_pyarrow(metadata, name, range(7), ranged), name
        for number, part in enumerate(parts_of(table, 20_000)):
            groups = range(2 * number, min(2 * number + 2, 7))
            assert facts_of(part, name) == by_pyarrow(metadata, name, groups, ranged), name


def test_unsigned_numbers_are_in_their_own_order(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    columns = {f"u{bits}": pa.array([1, None, (1 << bits) - 1], pa.type_for_alias(f"uint{bits}")) for bits in (8, 16, 32, 64)}
    pq.write_table(pa.table(columns), path)
    facts = [open_table("t", path).facts(index) for index in range(4)]
    assert [(found.range, found.nulls) for found in facts] == [((1, (1 << bits) - 1), 1) for bits in (8, 16, 32, 64)]


def test_old_minima_of_unsigned_numbers_are_none() -> None:
    """Before they had an order of their own they were compared as signed numbers."""
    limits = {"minimum": b"\xff\xff\xff\xff", "maximum": b"\1\0\0\0"}
    old = footer.ChunkFacts(0, frozenset(), **limits)
    assert old.range(signed=True) == (-1, 1)
    assert footer.ChunkFacts(0, frozenset(), b"\1\0\0\0", b"\2\0\0\0").range(signed=False) is None
    new = footer.ChunkFacts(0, frozenset(), limits["maximum"], limits["minimum"], in_order=True)
    assert (new.range(signed=True), new.range(signed=False)) == (None, (1, (1 << 32) - 1))


def test_row_groups_without_values(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": pa.array([None, None, 3, 4, None, None], pa.int64())}), path, row_group_size=2)
    table = open_table("t", path)
    found = table.facts(0)
    assert (found.range, found.nulls) == ((3, 4), 4)
    assert [(part.facts(0).range, part.facts(0).nulls) for part in parts_of(table, 2)] == [(None, 2), ((3, 4), 0), (None, 2)]


def test_pieces_of_a_row_group(tmp_path: Path) -> None:
    """They are within the range of all; how many of some NULLs are theirs nobody says."""
    path = tmp_path / "t.parquet"
    rows = 1_000
    some = pa.array([None if n == 7 else n for n in range(rows)], pa.int64())
    pq.write_table(pa.table({"none": np.arange(rows), "some": some, "all": pa.nulls(rows, pa.int64())}), path)
    parts = parts_of(open_table("t", path), 300)
    assert [[(part.facts(index).range, part.facts(index).nulls) for index in range(3)] for part in parts] == [
        [((0, 999), 0), ((0, 999), None), (None, size)] for size in (300, 300, 300, 100)
    ]
    whole = open_table("t", path).facts(0).bytes
    assert whole is not None
    assert 0 <= whole - sum(part.facts(0).bytes or 0 for part in parts) < len(parts)


def test_files_and_what_their_folders_add(tmp_path: Path) -> None:
    for number, key in enumerate(["n=7/d=2024-01-02/s=x", "n=3/d=2024-01-01/s=y", "n=5/d=__HIVE_DEFAULT_PARTITION__/s=z"]):
        (tmp_path / key).mkdir(parents=True)
        type = pa.int32() if number == 1 else pa.int64()
        pq.write_table(pa.table({"a": pa.array([number, None, 10 * number], type)}), tmp_path / key / "t.parquet")
    table = open_table("t", tmp_path)
    day = stored(datetime.date(2024, 1, 1))
    of_files = {name: [facts_of(part, name) for part in parts_of(table, 3)] for name in "ands"}
    assert [(found.range, found.nulls) for found in of_files["a"]] == [((1, 10), 1), ((2, 20), 1), ((0, 0), 1)]
    assert of_files["n"] == [ColumnFacts((number, number), 0) for number in (3, 5, 7)]
    assert of_files["d"] == [ColumnFacts((day, day), 0), ColumnFacts(None, 3), ColumnFacts((day + 1, day + 1), 0)]
    assert of_files["s"] == [ColumnFacts(None, 0)] * 3
    assert (facts_of(table, "a").range, facts_of(table, "a").nulls) == ((0, 20), 3)
    assert facts_of(table, "d") == ColumnFacts((day, day + 1), 3)
    assert facts_of(table.numbered, table.numbered.fields[-1].name) == ColumnFacts((0, 8), 0)


def test_a_footer_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(data(5_000), path, row_group_size=10)
    made: list[footer.Footer] = []
    original = footer.Footer.__init__

    def record(self: footer.Footer, octets: bytes) -> None:
        made.append(self)
        original(self, octets)

    monkeypatch.setattr(footer.Footer, "__init__", record)
    table = open_table("t", path)
    parts = parts_of(table, 10)
    assert (len(parts), len(made)) == (500, 0)
    for part in parts:
        assert part.facts(0).range is not None
        assert part.facts(1).nulls is not None
    parts[0].column(0, threads=1)
    assert len(made) == 1


def test_sources_that_say_nothing(tmp_path: Path) -> None:
    whole = data(10).drop(["nested"])
    frame = whole.to_pandas()
    arrow = arrow_file(tmp_path / "t.arrow", whole)
    for source in (whole, frame, pl.from_arrow(whole), {"a": np.arange(10)}, arrow, pd.DataFrame({"a": [1]})):
        assert open_table("t", source).facts(0) == NOTHING_SAID


def test_nested_columns_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(data(10), path)
    table = open_table("t", path)
    assert facts_of(table, "nested") == NOTHING_SAID
    assert facts_of(table, "unsigned").range == (0, 9 * 40_000)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_footers(tmp_path: Path, seed: int) -> None:
    """Whatever the bytes are, there are facts or none."""
    path = tmp_path / "t.parquet"
    pq.write_table(data(1_000), path, row_group_size=300)
    table = open_table("t", path)
    content = bytearray(path.read_bytes())
    length = int.from_bytes(content[-8:-4], "little")
    draw = random.Random(seed)
    for _ in range(draw.choice([1, 3, 30])):
        content[draw.randrange(len(content) - 8 - length, len(content) - 8)] = draw.randrange(256)
    path.write_bytes(content)
    for part in [table, *parts_of(table, 300), *parts_of(table, 100)]:
        for index in range(len(table.fields)):
            found = part.facts(index)
            assert found.range is None or found.range[0] <= found.range[1]
            assert found.nulls is None or 0 <= found.nulls <= part.rows
            assert found.bytes is None or found.bytes >= 0


@pytest.mark.parametrize(("number", "value", "said"), [(3, -5, None), (3, 1 << 40, None), (3, 1, 1)])
def test_counts_of_nulls_that_cannot_be(tmp_path: Path, number: int, value: int, said: int | None) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [1, None, 3]}), path)
    content = path.read_bytes()
    parsed, start = footer_of(content)
    (group,) = parsed.get(4).values
    (chunk,) = group.get(1).values
    chunk.get(3).get(12).set(number, value)
    path.write_bytes(with_footer(content[:start], parsed))
    table = open_table("t", path)
    assert table.facts(0).nulls == said
    assert table.column(0, threads=1).statistics.nulls == 1
