"""Every type of a result as CSV and JSON, compared with what DuckDB reads from them."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal

import pyarrow as pa
import pytest

from qtensor.results.column_texts import csv_lines, json_objects, texts


@pytest.mark.parametrize(
    ("array", "expected", "in_json"),
    [
        (pa.array([1, None, -5]), ["1", None, "-5"], [1, None, -5]),
        (pa.array([True, False, None]), ["true", "false", None], [True, False, None]),
        (pa.array([1.0, -0.0, 1e300, 0.1, None]), ["1.0", "-0.0", "1e+300", "0.1", None], [1.0, -0.0, 1e300, 0.1, None]),
        (pa.array([float("nan"), float("-inf")]), ["nan", "-inf"], ["NaN", "-Infinity"]),
        (pa.array([0.1, 16777216], pa.float32()), ["0.1", "16777216.0"], [0.1, 16777216.0]),
        (
            pa.array([Decimal("0.0000001"), Decimal("-2.5000000"), None], pa.decimal128(18, 7)),
            ["0.0000001", "-2.5000000", None],
            [1e-7, -2.5, None],
        ),
        (pa.array([Decimal(10**30)], pa.decimal128(38, 0)), [str(10**30)], [10**30]),
        (pa.array([datetime.date(2026, 1, 31), None]), ["2026-01-31", None], ["2026-01-31", None]),
        (
            pa.array([datetime.datetime(2026, 1, 31, 12, 30, 10), datetime.datetime(1969, 1, 1, 0, 0, 0, 120)]),
            ["2026-01-31 12:30:10", "1969-01-01 00:00:00.00012"],
            ["2026-01-31 12:30:10", "1969-01-01 00:00:00.00012"],
        ),
        (pa.array(["", 'a"b\\', "\n\x01ü", None]), ["", 'a"b\\', "\n\x01ü", None], ["", 'a"b\\', "\n\x01ü", None]),
        (pa.array(["x", None, "x"]).dictionary_encode(), ["x", None, "x"], ["x", None, "x"]),
        (
            pa.array([[1.0, None], None, [0.5, 2.0]], pa.list_(pa.float32(), 2)),
            ["[1.0, NULL]", None, "[0.5, 2.0]"],
            [[1.0, None], None, [0.5, 2.0]],
        ),
        (pa.nulls(2), [None, None], [None, None]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_every_type(array: pa.Array, expected: list[str | None], in_json: list[object]) -> None:
    assert texts(array) == expected
    batch = pa.record_batch([array, array], ["a", 'b "c"'])
    found = [json.loads(text) for text in json_objects(batch, batch.schema.names)]
    assert found == [{"a": value, 'b "c"': value} for value in in_json]
    assert len(csv_lines(batch)) == len(array)


def test_slices() -> None:
    array = pa.array([[1, 2], [3, 4], None, [5, 6]], pa.list_(pa.int8(), 2))
    assert texts(array.slice(1)) == ["[3, 4]", None, "[5, 6]"]
