"""Rows that do not fit memory: cut by hashes and by order, and files that nobody else sees."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from qtensor.errors import CapacityError
from qtensor.streaming.partition import PARTS, Order, hashed_parts
from qtensor.streaming.store import ByArrival, ByHash, ByOrder, Store

ROWS = 5_000


def keys() -> dict[str, pa.Array]:
    random = np.random.default_rng(3)
    numbers = random.integers(-(1 << 40), 1 << 40, ROWS)
    mask = random.random(ROWS) < 0.1
    floats = np.where(random.random(ROWS) < 0.2, np.nan, np.round(random.normal(0, 1e6, ROWS)))
    return {
        "integers": pa.array(numbers, mask=mask),
        "small": pa.array((numbers % 100).astype(np.int8), mask=mask),
        "decimals": pa.array([Decimal(int(number)) / 100 for number in numbers], pa.decimal128(20, 2), mask=mask),
        "days": pa.array((numbers % 40_000).astype(np.int32), pa.int32(), mask=mask).cast(pa.date32()),
        "moments": pa.array(numbers, pa.int64(), mask=mask).cast(pa.timestamp("us")),
        "truth": pa.array(numbers % 2 == 0, mask=mask),
        "floats": pa.array(floats, mask=mask),
        "texts": pa.array([f"{'x' * (number % 30)}{number % 5_000}é" for number in numbers.tolist()], mask=mask),
        "nulls": pa.nulls(ROWS),
    }


@pytest.mark.parametrize("kind", keys())
def test_equal_keys_are_in_one_part(kind: str) -> None:
    column = keys()[kind]
    parts = hashed_parts([pa.chunked_array([column])])
    assert parts.min() >= 0 and parts.max() < PARTS
    where: dict[str, set[int]] = {}
    for value, part in zip(column.to_pylist(), parts.tolist(), strict=True):
        where.setdefault(repr(value), set()).add(part)
    assert all(len(found) == 1 for found in where.values())
    if len(where) > 1_000:
        assert len(set(parts.tolist())) == PARTS
        assert max(np.bincount(parts)) < ROWS // 4 or column.null_count > ROWS // 20
    pieces = pa.chunked_array([column.slice(0, 777), column.slice(777)])
    assert (hashed_parts([pieces]) == parts).all()


def test_zeros_and_nans_are_equal() -> None:
    column = pa.array([0.0, -0.0, float("nan"), -float("nan"), np.float64("nan")])
    parts = hashed_parts([pa.chunked_array([column])]).tolist()
    assert parts[0] == parts[1]
    assert parts[2] == parts[3] == parts[4]
    assert hashed_parts([pa.chunked_array([pa.array([1.5, None])]), pa.chunked_array([pa.array(["a", None])])]).shape == (2,)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("nulls_first", [False, True])
@pytest.mark.parametrize("kind", keys())
def test_runs_are_cut_by_order(kind: str, descending: bool, nulls_first: bool) -> None:
    """Parts in order hold all rows, and no key of a part comes before one of a part before it. Arrow is the oracle of order."""
    column = keys()[kind]
    table = pa.table({"key": column, "row": np.arange(ROWS)})
    placement = "at_start" if nulls_first else "at_end"
    spill = ByOrder(Order(0, descending, nulls_first))
    spill.open(table.schema)
    for start in range(0, ROWS, 1_200):
        spill.add(in_order(table.slice(start, 1_200), descending, placement))
    last = len(spill.sizes()) - 1
    cuts = [0, *range(last // 5, last, max(last // 5, 1)), last + 1] if last > 5 else [0, last + 1]
    parts = [spill.part(first, end - 1) for first, end in pairwise(cuts) if end > first]
    together = pa.concat_tables(in_order(part, descending, placement) for part in parts)
    expected = in_order(table, descending, placement)
    assert list(map(repr, together["key"].to_pylist())) == list(map(repr, expected["key"].to_pylist()))
    assert sorted(together["row"].to_pylist()) == list(range(ROWS))


def in_order(table: pa.Table, descending: bool, placement: str) -> pa.Table:
    """Sorted as runs are, NaN as the greatest value: Arrow puts it beside the NULLs."""
    key = table["key"]
    if not pa.types.is_floating(key.type):
        return table.sort_by([("key", "descending" if descending else "ascending", placement)])
    values = key.to_pylist()
    ranked = sorted(range(len(values)), key=lambda at: rank(values[at], descending, placement == "at_start"))
    return table.take(pa.array(ranked, pa.int64()))


def rank(value: float | None, descending: bool, nulls_first: bool) -> tuple[int, float]:
    if value is None:
        return (0 if nulls_first else 3, 0.0)
    if value != value:
        return (1 if descending else 2, 0.0)
    return (2 if descending else 1, -value if descending else value)


def test_a_store_keeps_rows_in_memory_until_they_are_too_many() -> None:
    rows = pa.table({"k": np.arange(1_000)})
    store = Store("a step", 20_000, ByArrival())
    store.add(rows)
    store.add(rows)
    assert not store.spilled
    assert store.rows().num_rows == 2_000
    store.add(rows)
    assert store.spilled
    assert sum(store.part(*numbers).num_rows for numbers in store.parts()) == 3_000
    with pytest.raises(
        CapacityError, match=r"a step needs all rows at once, more than 24.0 kB of them; there is room for 20.0 kB"
    ):
        whole = Store("a step", 20_000, None)
        for _ in range(3):
            whole.add(rows)
    with pytest.raises(CapacityError, match="needs all rows of equal keys at once"):
        skewed = Store("a step", 1_000, ByHash([0]))
        for _ in range(3):
            skewed.add(pa.table({"k": np.zeros(1_000, np.int64)}))
        list(skewed.parts())


def test_blocks_without_rows() -> None:
    empty, rows = pa.table({"k": pa.array([], pa.int64())}), pa.table({"k": np.arange(100)})
    for spill in (ByArrival(), ByHash([0]), ByOrder(Order(0, False, False))):
        spill.open(rows.schema)
        for block in (empty, rows, empty):
            spill.add(block)
        assert sorted(spill.part(0, len(spill.sizes()) - 1)["k"].to_pylist()) == list(range(100))


def test_a_store_reduces_its_rows_before_it_spills_them() -> None:
    store = Store("a step", 20_000, ByArrival(), lambda rows: rows.slice(0, 10))
    for _ in range(50):
        store.add(pa.table({"k": np.arange(1_000)}))
    assert not store.spilled
    assert store.rows().num_rows < 3_000


def test_spilled_rows_have_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = Store("a step", 1, ByArrival())
    store.add(pa.table({"k": np.arange(1_000)}))
    assert store.spilled
    assert not list(tmp_path.iterdir())
    assert store.part(0, 0)["k"].to_pylist() == list(range(1_000))
