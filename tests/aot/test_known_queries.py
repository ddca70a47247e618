"""The headline query and TPC-H's Q1 and Q6, exported over one table and run over others."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import qtensor
from qtensor import datasets
from tests.aot.exports import Exports, answer_of, check, odd_batches
from tests.headline import HEADLINE, Q1, Q6, trained_classifier
from tests.oracle import answer_of_qtensor, assert_same_answer


@pytest.fixture(scope="module")
def session() -> Iterator[qtensor.Connection]:
    with qtensor.connect() as connection:
        yield connection.create_function("classifier", trained_classifier())


@pytest.mark.parametrize("count", [0, 1, 50, 2_048, 65_537])
def test_headline(count: int, exports: Exports, session: qtensor.Connection) -> None:
    """What the session says of the same data, which TensorFlow confirms elsewhere."""
    model = trained_classifier()
    artifact = exports.of(HEADLINE, datasets.crime(200).schema, models={"classifier": model})
    table = datasets.crime(max(count, 1)).slice(0, count)
    expected = answer_of_qtensor(session.register("data", table).sql(HEADLINE))
    assert_same_answer(answer_of(artifact, artifact(data=table)), expected, ordered=True)
    assert_same_answer(answer_of(artifact, artifact.stream(odd_batches(table)).read_all()), expected, ordered=True)


def test_headline_with_tensorflow(exports: Exports) -> None:
    model = trained_classifier()
    artifact = exports.of(HEADLINE, datasets.crime(200).schema, models={"classifier": model})
    table = datasets.crime(3_000)
    features = np.column_stack([table[name].to_numpy() for name in ("murder", "assault", "population", "rape")])
    classes = np.asarray(model(features.astype(np.float32)))
    clusters = table["cluster"].to_numpy()
    expected = [(int(c), *(int(((clusters == c) & (classes == k)).sum()) for k in range(4))) for c in np.unique(clusters)]
    assert answer_of(artifact, artifact(table)).rows == expected


@pytest.fixture(scope="module")
def lineitem() -> pa.Table:
    table = pq.read_table(datasets.tpch(0.01)["lineitem"])
    text = [pa.field(field.name, pa.string() if field.type == pa.string_view() else field.type) for field in table.schema]
    return table.cast(pa.schema(text))  # Arrow takes no rows of string views


@pytest.mark.parametrize("sql", [Q1, Q6], ids=["Q1", "Q6"])
def test_tpch(sql: str, exports: Exports, lineitem: pa.Table) -> None:
    artifact = exports.of(sql, lineitem)
    shuffled = lineitem.take(np.random.default_rng(0).permutation(lineitem.num_rows))
    for table in (lineitem, shuffled, lineitem.slice(30_000, 7), lineitem.slice(0, 0), pa.concat_tables([lineitem] * 3)):
        assert check(artifact, table).rows or sql is Q1


def test_the_last_day_of_q1_is_a_parameter(exports: Exports, lineitem: pa.Table) -> None:
    sql = Q1.replace("date '1998-12-01' - interval '90' day", "$last")
    artifact = exports.of(sql, lineitem, {"last": datetime.date(1998, 9, 2)})
    for last in (datetime.date(1994, 2, 28), datetime.date(1998, 9, 2), datetime.date(1900, 1, 1)):
        check(artifact, lineitem, {"last": last})


def test_streams_hold_back_what_they_must(exports: Exports, schema: pa.Schema, rows: pa.Table) -> None:
    """An aggregate gives nothing before the end; a row-wise query gives what it has."""
    read: list[int] = []

    def batches(table: pa.Table) -> pa.RecordBatchReader:
        def each() -> object:
            for batch in table.to_batches(max_chunksize=100):
                read.append(batch.num_rows)
                yield batch

        return pa.RecordBatchReader.from_batches(table.schema, each())

    part = rows.slice(0, 1_000).combine_chunks()
    row_wise = exports.of("SELECT id, s, coalesce(i32, 0) AS i, u64, i8, x FROM t WHERE i16 > 200", schema)
    reader = row_wise.stream(batches(part))
    assert read == []
    assert reader.read_next_batch().num_rows == pc.sum(pc.greater(part["i16"].slice(0, 100), 200)).as_py()
    assert len(read) == 1
    read.clear()
    aggregate = exports.of("SELECT count(*) AS n FROM t", schema)
    assert aggregate.stream(batches(part)).read_next_batch().to_pylist() == [{"n": 1_000}]
    assert len(read) == 10
