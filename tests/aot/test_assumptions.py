"""What an artifact assumes of data: what breaks it is named column by column, and what does not matter does no harm."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.dataset import dataset

from qtensor.aot.artifact.artifact import Artifact
from qtensor.errors import ArtifactError, DataError
from tests.aot.exports import Exports, check

SQL = """
SELECT id, small + 1 AS more, price * 2 AS twice, coalesce(word, 'x') AS word, x / 2 AS half, day + 1 AS day
FROM data WHERE id >= 0
"""
TABLE = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int64()),
        "small": pa.array([0, 50, 100], pa.int32()),
        "price": pa.array([Decimal("0.00"), Decimal("1.50"), Decimal("9.99")], pa.decimal128(9, 2)),
        "word": ["a", "b", "c"],
        "x": [0.5, -1.0, 2.0],
        "day": [datetime.date(2020, 1, 1), datetime.date(2020, 6, 1), datetime.date(2020, 12, 31)],
    }
)


@pytest.fixture(scope="module")
def artifact(exports: Exports) -> Artifact:
    return exports.of(SQL, TABLE)


def changed(**columns: Any) -> pa.Table:
    table = TABLE
    for name, column in columns.items():
        position = table.schema.get_field_index(name)
        table = table.set_column(position, name, column if isinstance(column, pa.Array) else pa.array(column, table[name].type))
    return table


BROKEN = [
    (changed(small=[0, 1, None]), 'column "small": assumed no NULL, found 1'),
    (changed(small=[0, 1, 1_000]), 'column "small": assumed values from 0 to 100, found 1000'),
    (changed(small=[-1, 1, 5]), 'column "small": assumed values from 0 to 100, found -1'),
    (
        changed(price=[Decimal("-0.01"), Decimal("1"), Decimal("2")]),
        r'column "price": assumed values from 0.00 to \S+, found -0.01',
    ),
    (changed(word=["a", None, "b"]), 'column "word": assumed no NULL, found 1'),
    (changed(day=[datetime.date(1999, 1, 1)] * 3), r'column "day": assumed values from 20\S+ to 20\S+, found 1999-01-01'),
    (changed(small=pa.array(["0", "1", "2"])), 'column "small": assumed INTEGER, found VARCHAR'),
    (changed(price=pa.array([1.0, 2.0, 3.0])), r'column "price": assumed DECIMAL\(9,2\), found DOUBLE'),
    (changed(x=pa.array([1.0, 2.0, 3.0], pa.float32())), 'column "x": assumed DOUBLE, found FLOAT'),
    (changed(day=pa.array([0, 1, 2], pa.timestamp("us"))), 'column "day": assumed DATE, found TIMESTAMP'),
    (TABLE.drop_columns(["word"]), r'column "word" \(VARCHAR\) is missing'),
    (TABLE.rename_columns(["id", "small", "price", "words", "x", "day"]), 'column "word".*is missing. Did you mean "words"'),
]


@pytest.mark.parametrize(("table", "message"), BROKEN, ids=range(len(BROKEN)))
def test_broken(table: pa.Table, message: str, artifact: Artifact) -> None:
    with pytest.raises(ArtifactError, match=f'the table "data" is not what the exported query assumes.*\\n.*{message}'):
        artifact(table)
    with pytest.raises(ArtifactError, match=message.partition(" Did you mean")[0]):  # a stream's other columns are not looked at
        artifact.stream(table).read_all()


def test_nan_where_there_was_none(exports: Exports) -> None:
    artifact = exports.of("SELECT max(x) AS most FROM data", TABLE)
    for bad in (float("nan"), 5e-324):
        with pytest.raises(ArtifactError, match='column "x": assumed no NaN and no denormal number, found'):
            artifact(changed(x=[1.0, bad, 2.0]))
    check(artifact, changed(x=[1e300, float("-inf"), -0.0]))


def test_more_texts(exports: Exports) -> None:
    artifact = exports.of("SELECT word, count(*) AS n FROM data GROUP BY word ORDER BY word", TABLE)
    check(artifact, changed(word=["x", "", "é"]))
    with pytest.raises(ArtifactError, match='column "word": assumed at most 4 different strings, found 5'):
        artifact(pa.table({"word": list("abcde")}))
    check(artifact, pa.table({"word": list("abcd") * 20_000}))


def test_a_column_that_is_only_passed_on_may_hold_anything(exports: Exports, rows: pa.Table) -> None:
    """Keys of new rows are others than those of the rows that were there when the query was exported."""
    sql = "SELECT id, s, i64, d, day, moment, b, x FROM t WHERE g > $least"
    artifact = exports.of(sql, rows.slice(0, 300), {"least": -1})
    assert artifact.manifest.forms[-1].kind == "by_rows"
    for part in (rows.slice(4_000, 2_100), rows.slice(0, 0)):
        check(artifact, part)
        check(artifact, part, {"least": 0})
    many = pa.table({"s": [f"text {number}" for number in range(70_000)], "g": pa.array([1] * 70_000, pa.int32())})
    everything = exports.of("SELECT s FROM t WHERE g > 0", rows.schema)
    assert everything(many)["s"].combine_chunks() == many["s"].combine_chunks()


def test_passed_on_and_read(exports: Exports) -> None:
    """What a program reads is assumed, be it only for NULLs."""
    artifact = exports.of("SELECT id, small, small IS NULL AS missing FROM data", TABLE)
    check(artifact, changed(id=[-1, None, 10**15]))
    with pytest.raises(ArtifactError, match='column "small": assumed no NULL, found 1'):
        artifact(changed(small=[1, None, 100]))


def test_a_column_of_nulls_alone(exports: Exports) -> None:
    """Its slots hold 0, which may lie outside of the range that is assumed."""
    base = pa.array([1_000, None, 1_010, 1_005], pa.int32())
    table = pa.table({"a": base, "b": pa.array([3, 4, 5, 6], pa.int64())})
    nulls = pa.table({"a": pa.nulls(5, pa.int32()), "b": pa.array([3, 4, 5, 6, 3], pa.int64())})
    for sql in (
        "SELECT a, count(*) AS n, sum(b) AS b, sum(a) AS total, min(a) AS least FROM t GROUP BY a",
        "SELECT a + b AS c, b // a AS d, CAST(a AS VARCHAR) AS e, a IN (1000, 0) AS f FROM t",
    ):
        for part in (nulls, nulls.slice(0, 0), table, pa.concat_tables([nulls, table] * 700)):
            check(exports.of(sql, table), part)


def test_a_stream_without_batches(exports: Exports, artifact: Artifact) -> None:
    """Whether its columns are those of the query is asked all the same."""
    counting = exports.of("SELECT sum(small) AS total, count(*) AS n FROM data", TABLE)
    for each in (artifact, counting):
        with pytest.raises(ArtifactError, match=r'column "small" \(INTEGER\) is missing'):
            each.stream(pa.RecordBatchReader.from_batches(pa.schema([("id", pa.int64())]), [])).read_all()
        assert each.stream(pa.RecordBatchReader.from_batches(TABLE.schema, [])).read_all() == each(TABLE.slice(0, 0))


def test_several_at_once(artifact: Artifact) -> None:
    with pytest.raises(ArtifactError) as caught:
        artifact(changed(small=[None, -5, 10**6], word=[None] * 3))
    assert len(str(caught.value).splitlines()) == 4
    with pytest.raises(ArtifactError) as caught:
        artifact(pa.table({"id": ["a"], "x": [1.0]}))
    assert [line.split('"')[1] for line in str(caught.value).splitlines()[1:]] == ["id", "small", "price", "word", "day"]


EXPECTED = [1, 51, 101]
HARMLESS = {
    "the same": TABLE,
    "another order": TABLE.select(["day", "x", "word", "price", "small", "id"]),
    "more columns": TABLE.append_column("more", pa.array([None, 2, 3])),
    "letter case": TABLE.rename_columns([name.upper() for name in TABLE.column_names]),
    "wider integers": changed(small=pa.array([0, 50, 100], pa.int64())),
    "narrower integers": changed(small=pa.array([0, 50, 100], pa.uint8()), id=pa.array([1, 2, 3], pa.int8())),
    "wider, passed on": changed(id=pa.array([1, 2, 3], pa.uint64())),
    "a dictionary": changed(word=pa.array(["c", "a", "b"]).dictionary_encode()),
    "large text": changed(word=pa.array(["a", "b", "c"], pa.large_string())),
    "chunks": pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(0, 0), TABLE.slice(1)]),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless(name: str, artifact: Artifact) -> None:
    found = artifact(HARMLESS[name])
    assert found.schema == artifact.schema
    assert found["more"].to_pylist() == EXPECTED
    assert found["id"].to_pylist() == [1, 2, 3]
    assert artifact.stream(HARMLESS[name]).read_all() == found


def test_every_kind_of_table(exports: Exports, tmp_path: Path) -> None:
    plain = TABLE.select(["id", "small", "x"])
    artifact = exports.of("SELECT id, small + 1 AS more FROM data WHERE x > -5", plain)
    pq.write_table(plain, tmp_path / "data.parquet")
    (tmp_path / "data.csv").write_text("small,id,x\n0,1,0.5\n50,2,-1.0\n100,3,2.0\n")
    frame = pl.DataFrame({name: plain[name].to_numpy() for name in plain.column_names})
    given: list[Any] = [plain, plain.to_batches()[0], plain.to_reader(), pd.DataFrame(plain.to_pydict()), frame, frame.lazy()]
    given += [{name: np.array(plain[name]) for name in plain.column_names}, tmp_path / "data.parquet", str(tmp_path / "data.csv")]
    given += [dataset(tmp_path / "data.parquet")]
    for source in given:
        assert artifact(data=source)["more"].to_pylist() == EXPECTED, type(source)
    assert artifact.stream(frame).read_all()["more"].to_pylist() == EXPECTED


def test_a_table_changed_between_calls(exports: Exports, tmp_path: Path) -> None:
    artifact = exports.of("SELECT sum(small) AS total, count(*) AS n FROM data", TABLE)
    frame = pd.DataFrame({"small": [1, 2, 3]})
    arrays = {"small": np.array([1, 2, 3])}
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"small": [1, 2, 3]}), path)
    for source in (frame, arrays, path):
        assert artifact(source).to_pylist() == artifact(source).to_pylist() == [{"total": 6, "n": 3}]
    frame.loc[0, "small"] = 50
    arrays["small"][0] = 60
    pq.write_table(pa.table({"small": [70]}), path)
    assert [int(artifact(source)["total"][0].as_py()) for source in (frame, arrays, path)] == [55, 65, 70]
    arrays["small"][0] = 1_000
    with pytest.raises(ArtifactError, match="found 1000"):
        artifact(arrays)


def test_calls_that_are_none(artifact: Artifact, exports: Exports) -> None:
    for arguments, named in [((), {}), ((TABLE, TABLE), {}), ((TABLE,), {"data": TABLE}), ((), {"other": TABLE})]:
        with pytest.raises(ArtifactError, match=r"one table: data; . given|no parameter"):
            artifact(*arguments, **named)
    with pytest.raises(ArtifactError, match=r"the query has no parameter.*It has no parameters"):
        artifact(TABLE, threshold=1)
    for nothing in (5, None, object(), [1, 2]):
        with pytest.raises((ArtifactError, DataError)):
            artifact(nothing)
        with pytest.raises((ArtifactError, DataError)):
            artifact.stream(nothing).read_all()
