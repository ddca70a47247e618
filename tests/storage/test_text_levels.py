"""What codes of text tell at each level, which level a column has at first, and how it is strengthened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qtensor.errors import InternalError
from qtensor.lowering.storage import LEVELS, EncodedColumn, Level, encode_column, layout_for, strengthened
from qtensor.lowering.storage import text as storage_text
from qtensor.sources.arrow import ArrowSource
from qtensor.sources.files import ParquetSource
from qtensor.sources.table import Table
from qtensor.types import VARCHAR

ROWS = 70_000
TEXTS: dict[str, list[str | None]] = {
    "distinct": [f"ключ {number * 7919 % ROWS}" for number in range(ROWS)],
    "distinct with NULL and empty": [None if number % 5 == 0 else "" if number < 9 else f"k{number}" for number in range(ROWS)],
    "few": [f"k{number % 3}" for number in range(ROWS)],
    "all NULL": [None] * ROWS,
}


def encoded(values: pa.ChunkedArray | pa.Array) -> EncodedColumn:
    return encode_column("a", values, VARCHAR, layout_for(len(values), threads=2))


def rows_of(column: EncodedColumn) -> list[str | None]:
    rows = column.statistics.rows
    assert column.dictionary is not None
    codes = column.data.reshape(-1)[:rows].astype(np.int64)
    invalid = None if column.valid is None else ~column.valid.reshape(-1)[:rows]
    if not len(column.dictionary):
        return [None] * rows
    return column.dictionary.take(pa.array(codes, mask=invalid)).to_pylist()


def check(column: EncodedColumn) -> None:
    """What a level promises, and what statistics do."""
    assert column.dictionary is not None
    assert column.dictionary.null_count == 0 and column.dictionary.type == pa.large_string()
    strings = column.dictionary.to_pylist()
    if column.level != "plain":
        assert len(set(strings)) == len(strings)
    if column.level == "ordered":
        assert strings == sorted(strings, key=str.encode)
    rows = column.statistics.rows
    codes = column.data.reshape(-1)
    assert codes.size == 0 or (codes.min() >= 0 and codes.max() < max(len(strings), 1))
    assert column.statistics.nulls == sum(row is None for row in rows_of(column))
    assert column.statistics.distinct >= len({row for row in rows_of(column) if row is not None})
    assert rows == column.statistics.rows


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("type", [pa.string(), pa.large_string(), pa.string_view()])
def test_every_level_holds_the_same_rows(name: str, level: Level, type: pa.DataType) -> None:
    values = pa.array(TEXTS[name], type)
    column = strengthened(encoded(values), level, layout_for(ROWS, threads=2))
    assert LEVELS.index(column.level) >= LEVELS.index(level)
    assert rows_of(column) == TEXTS[name]
    check(column)


def test_only_many_different_strings_stay_as_they_are() -> None:
    assert encoded(pa.array(TEXTS["distinct"])).level == "plain"
    assert encoded(pa.array(TEXTS["few"])).level == "ordered"
    assert encoded(pa.array(TEXTS["all NULL"], pa.string())).level == "ordered"
    assert encoded(pa.array(TEXTS["distinct"][:1000])).level == "ordered"
    assert encoded(pa.array([], pa.string())).level == "ordered"


def test_many_strings_behind_dictionaries_are_not_sorted() -> None:
    column = encoded(pa.array(TEXTS["distinct"]).dictionary_encode())
    assert column.level == "unique"
    assert rows_of(column) == TEXTS["distinct"]
    check(column)
    check(strengthened(column, "ordered", layout_for(ROWS, threads=2)))


@pytest.mark.parametrize("parts", [(50_000, 20_000), (20_000, 50_000)])
def test_pieces_of_both_kinds(parts: tuple[int, int]) -> None:
    distinct, few = parts
    texts = [*TEXTS["distinct"][:distinct], *TEXTS["few"][:few]]
    column = encoded(pa.chunked_array([pa.array(texts[:distinct]), pa.array(texts[distinct:])]))
    assert column.level == ("plain" if distinct > few else "ordered")
    assert rows_of(column) == texts
    check(column)


def test_row_numbers_do_not_say_whether_strings_are_unique() -> None:
    texts = [*TEXTS["distinct"][:-1], TEXTS["distinct"][0]]
    column = encoded(pa.array(texts))
    assert column.level == "plain"
    with pytest.raises(InternalError, match="row numbers"):
        _ = column.unique
    table = Table("t", ArrowSource(pa.table({"a": texts})))
    assert not table.unique([0], threads=2)
    assert Table("t", ArrowSource(pa.table({"a": TEXTS["distinct"]}))).unique([0], threads=2)


def test_a_table_keeps_what_it_was_asked_for() -> None:
    table = Table("t", ArrowSource(pa.table({"a": TEXTS["distinct"]})))
    plain = table.column(0, 2, "plain")
    ordered = table.column(0, 2)
    assert (plain.level, ordered.level) == ("plain", "ordered")
    assert table.column(0, 2, "plain") is plain
    assert table.column(0, 2, "unique") is ordered
    assert table.column(0, 2, "ordered") is ordered


def test_strings_that_recur_are_hashed_and_then_sorted_if_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_text, "FEW_STRINGS", 2)
    assert encoded(pa.array(["b", "a", "b"])).level == "ordered"


@pytest.mark.parametrize("dictionary", [True, False])
def test_parquet_with_dictionaries_and_without(tmp_path: Path, dictionary: bool) -> None:
    table = pa.table({"distinct": TEXTS["distinct"], "few": TEXTS["few"], "nulls": TEXTS["distinct with NULL and empty"]})
    pq.write_table(table, tmp_path / "t.parquet", use_dictionary=dictionary, row_group_size=30_000)
    source = ParquetSource(tmp_path / "t.parquet")
    columns = source.read([0, 1, 2], layout_for(ROWS, threads=2))
    assert [column.level for column in columns[:2]] == ["plain", "ordered"]
    for column, name in zip(columns, table.column_names, strict=True):
        assert rows_of(column) == table.column(name).to_pylist()
        check(column)
