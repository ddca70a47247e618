"""The engine over hand-made queries: what goes in comes out, whatever its type, size, slices and NULLs; and what is refused."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from engine_cases import BY_NAME, CASES, Case
from engine_driver import FOLD, GROUPS, ROWS, SORT, Column, Engine, EngineError, State

from qtensor.values.like import matches

SIZES = (0, 1, 2047, 2048, 2049, 65535, 65536, 65537, 300_000)
A = Column("a", "integer", "int16", 64, low=-1000, high=1000)


def plain(array: pa.Array, type: pa.DataType) -> pa.Array:
    """The values as the result has them."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.type == pa.decimal256(30, 3):
        return pa.array(array.to_pylist(), type)
    return array.cast(type)


def same(found: pa.Array, expected: pa.Array) -> bool:
    """Equal, NaN being NaN and -0.0 not 0.0."""
    if pa.types.is_floating(found.type):
        bits = {32: np.int32, 64: np.int64}[found.type.bit_width]
        valid = found.is_valid().to_numpy(False)
        left, right = (part.fill_null(0).to_numpy(False) for part in (found, expected))
        nan = np.isnan(left) & np.isnan(right)
        return bool(
            found.is_valid().equals(expected.is_valid()) and (((left.view(bits) == right.view(bits)) | nan) | ~valid).all()
        )
    return bool(found.equals(expected))


def batch(**columns: object) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


@pytest.mark.parametrize("nulls", [0, 0.3, 1])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rows_come_out_as_they_went_in(engine: Engine, case: Case, nulls: float) -> None:
    query = engine.define(ROWS, [case.column])
    for size in SIZES[: 5 if engine.sanitized else None]:
        array = case.array(size, size, nulls)
        with State(engine, query, retain=size % 2 == 0) as state:
            state.step(batch(v=array))
            result = state.finish()
        assert result.schema == pa.schema([("v", case.result)])
        assert same(result["v"], plain(array, case.result)), size
    assert engine.violations == 0


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_slices_and_offsets(engine: Engine, case: Case, retain: bool) -> None:
    """Offsets of columns, of batches (a struct's offset), of both; many small batches and empty ones."""
    query = engine.define(ROWS, [case.column])
    array = case.array(1, 5000, 0.2)
    bounds = [0, 0, 1, 2, 9, 10, 73, 137, 2048, 2050, 2050, 4100, 5000]
    with State(engine, query, retain=retain) as state:
        for start, end in itertools.pairwise(bounds):
            part = batch(v=array.slice(start, end - start))
            if start % 2 == 0:
                part = pa.RecordBatch.from_struct_array(batch(v=array).to_struct_array().slice(start, end - start))
            state.step(part)
        assert same(state.finish()["v"], plain(array, case.result))
    assert engine.violations == 0


@pytest.mark.parametrize("case", ["int64_int16", "string", "dictionary_int8", "double", "bool", "decimal128_int32"])
def test_filtered_rows(engine: Engine, case: str) -> None:
    chosen = BY_NAME[case]
    query = engine.define(ROWS, [A, chosen.column], filter=True)
    for size in (2048, 100_000):
        keys = pa.array(np.arange(size) % 900)
        array = chosen.array(2, size, 0.1)
        with State(engine, query) as state:
            state.step(batch(v=array, a=keys))
            result = state.finish()
        kept = pc.equal(pc.bit_wise_and(keys, 1), 0)
        assert same(result["v"], plain(array, chosen.result).filter(kept))


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("size", [0, 1, 2048, 2049, 65537, 131072, 131073, 500_000])
def test_fold_and_finish_again(engine: Engine, size: int, retain: bool) -> None:
    query = engine.define(FOLD, [A])
    values = pa.array(np.random.default_rng(size).integers(-1000, 1000, size))
    with State(engine, query, retain=retain, threads=3) as state:
        seen: list[int] = []
        for step in range(3):
            state.steps(pa.table({"a": values}).combine_chunks())
            seen += values.to_pylist()
            expected = {
                "sum": sum(seen) if seen else None,
                "rows": len(seen),
                "first": seen[0] if seen else None,
                "last": seen[-1] if seen else None,
            }
            for _ in range(2):
                assert {name: row[0] for name, row in state.finish().to_pydict().items()} == expected, step
    assert engine.violations == 0


@pytest.mark.parametrize("retain", [False, True])
def test_states_in_threads_are_merged_in_order(engine: Engine, retain: bool) -> None:
    query = engine.define(FOLD, [A])
    sizes = (0, 1, 5000, 140_000, 70_000, 0)
    parts = [pa.array(np.random.default_rng(size).integers(-1000, 1000, size)) for size in sizes]
    states = [State(engine, query, retain=retain) for _ in parts]
    threads = [threading.Thread(target=state.step, args=(batch(a=part),)) for state, part in zip(states, parts, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for state in states[1:]:
        states[0].merge(state)
    result = states[0].finish().to_pylist()[0]
    assert result == {
        "sum": sum(pc.sum(part).as_py() or 0 for part in parts),
        "rows": sum(sizes),
        "first": parts[1][0].as_py(),
        "last": parts[4][-1].as_py(),
    }
    for state in states:
        state.__exit__()
    assert engine.violations == 0


@pytest.mark.parametrize("name", ["string", "string_view", "dictionary_uint8", "dictionary_large"])
def test_groups_of_text(engine: Engine, name: str) -> None:
    case = BY_NAME[name]
    query = engine.define(GROUPS, [case.column], pattern="%a%", literal="a")
    for size in (0, 1, 2049, 150_000 if not engine.sanitized else 3000):
        arrays = [case.array(seed, size, 0.1) for seed in range(3)]
        counts = Counter(value for array in arrays for value in plain(array, pa.string()).to_pylist())
        with State(engine, query) as state, State(engine, query) as other:
            state.step(batch(v=arrays[0]))
            other.step(batch(v=arrays[1]))
            other.step(batch(v=arrays[2]))
            state.merge(other)
            for _ in range(2):
                rows = state.finish().to_pylist()
                texts = sorted((text for text in counts if text is not None), key=lambda text: text.encode())
                assert [row["text"] for row in rows] == [*texts, *([None] if None in counts else [])]
                for row in rows:
                    assert row["rows"] == counts[row["text"]]
                    if row["text"] is not None:
                        assert row["matches"] == ("a" in row["text"])
                        assert row["less"] == (row["text"].encode() < b"a")
                        assert row["equal"] == (row["text"] == "a")
    assert engine.violations == 0


PATTERNS = ["%", "_", "", "a%", "%a", "%a%b%", "_%", "%_", "__", "a_c", "%ä%", "%%a", "a%%b%c", "_ä%", "%🦊", "a\\%", "k_"]


def test_like_is_that_of_the_session(engine: Engine) -> None:
    words = ["", "a", "ab", "abc", "aXc", "äa", "a🦊", "🦊", "aab", "abab", "acb", "ba", "a%", "%", "_", "kk", "ab\ncb", "aäbc"]
    column = Column("v", "varchar", "int8", low=0, high=len(words) - 1, strings=len(words))
    for pattern in PATTERNS:
        query = engine.define(GROUPS, [column], pattern=pattern)
        with State(engine, query) as state:
            state.step(batch(v=words))
            result = state.finish()
        assert result["matches"].equals(matches(result["text"], pattern)), pattern


def test_ilike_is_that_of_the_session(engine: Engine) -> None:
    words = ["", "k", "K", "\u212a", "s", "\u017f", "ask", "ASK", "a\u017f\u212a", "Straße", "ä", "Ä", "aXc", "_S"]
    column = Column("v", "varchar", "int8", low=0, high=len(words) - 1, strings=len(words))
    for pattern in ["%", "k", "S", "ask", "a_k", "%K", "%s%", "_s", "axC", "stra_e"]:
        with State(engine, engine.define(GROUPS, [column], filter=True, pattern=pattern)) as state:
            state.step(batch(v=words))
            result = state.finish()
        assert result["matches"].equals(matches(result["text"], pattern, ignores_case=True)), pattern
    with State(engine, engine.define(GROUPS, [column], filter=True, pattern="ä")) as state:
        state.step(batch(v=words))
        with pytest.raises(EngineError, match="ILIKE knows ASCII's letters only"):
            state.finish()


def test_sorted_forms_and_their_end(engine: Engine) -> None:
    query = engine.define(SORT, [A], (2048, 65536, 200_000))
    for size in (0, 1, 2048, 2049, 200_000):
        values = np.random.default_rng(size).integers(-1000, 1000, size)
        with State(engine, query) as state:
            state.steps(pa.table({"a": values}))
            assert state.finish()["value"].to_numpy().tolist() == sorted(values.tolist())
            if size == 200_000:
                state.step(batch(a=[1]))
                with pytest.raises(EngineError, match="sorts at most 200,000 rows; 200,001 given"):
                    state.finish()
    assert engine.violations == 0


def refused(engine: Engine, column: Column, array: pa.Array, name: str = "v") -> str:
    query = engine.define(ROWS, [column])
    with State(engine, query) as state, pytest.raises(EngineError) as raised:
        state.step(batch(**{name: array}))
    return str(raised.value)


BROKEN = 'the table "t" is not what the exported query assumes; export it for such data.\n  column "v": '


def test_what_is_not_as_assumed(engine: Engine) -> None:
    number = Column("v", "integer", "int16", 64, low=-5, high=1000, nullable=False)
    text = Column("v", "varchar", "int8", low=0, high=1, strings=2)
    double = Column("v", "float", "float64", 64, may_be_nan=False)
    money = Column("v", "decimal", "int16", precision=15, scale=2, low=0, high=10)
    date = Column("v", "date", "int32", low=0, high=10)
    instant = Column("v", "timestamp", "int64", low=0, high=1_500_000)
    said = lambda column, values, type: refused(engine, column, pa.array(values, type))  # noqa: E731
    assert said(number, [1, None] * 1500, pa.int64()) == BROKEN + "assumed no NULL, found 1,500"
    assert said(number, [1, 1001, 7], pa.int64()) == BROKEN + "assumed values from -5 to 1000, found 1001"
    assert said(number, [1, 10**12, -(10**15)], pa.int64()) == BROKEN + f"assumed values from -5 to 1000, found {-(10**15)}"
    assert said(number, [1, 65536], pa.int64()) == BROKEN + "assumed values from -5 to 1000, found 65536"
    assert said(text, ["a", "b", "c"], pa.string()) == BROKEN + "assumed at most 2 different strings, found 3"
    assert said(double, [1.0, float("nan")], pa.float64()).endswith("assumed no NaN and no denormal number, found NaN")
    assert said(double, [1.0, 1e-310], pa.float64()).endswith("assumed no NaN and no denormal number, found a denormal number")
    assert said(date, [11], pa.date32()).endswith("assumed values from 1970-01-01 to 1970-01-11, found 1970-01-12")
    assert said(instant, [-1], pa.timestamp("us")).endswith(
        "assumed values from 1970-01-01 00:00:00 to 1970-01-01 00:00:01.5, found 1969-12-31 23:59:59.999999"
    )
    assert said(money, [Decimal(1)], pa.decimal128(15, 2)).endswith("assumed values from 0.00 to 0.10, found 1.00")
    assert said(number, ["a"], pa.string()) == BROKEN + "assumed BIGINT, found VARCHAR"
    assert said(number, [1.0], pa.float32()) == BROKEN + "assumed BIGINT, found FLOAT"
    assert "which is not supported" in said(number, [1], pa.time64("us"))
    assert "which is not supported" in said(instant, [1], pa.timestamp("us", "UTC"))
    missing = refused(engine, replace(number, name="shipdate"), pa.array([1]), "shipdat")
    assert missing.endswith('column "shipdate" (BIGINT) is missing. Did you mean "shipdat"?')


def test_values_without_an_exact_representation(engine: Engine) -> None:
    wide = Column("v", "decimal", "int64", precision=38, scale=2, low=-(2**63), high=2**63 - 1)
    instant = Column("v", "timestamp", "int64", low=-(2**63), high=2**63 - 1)
    date = Column("v", "date", "int32", low=-(2**31), high=2**31 - 1)
    unsigned = Column("v", "integer", "int64", 64, signed=False, low=0, high=2**63 - 1)
    big = pa.array([Decimal(1), Decimal(10**20)], pa.decimal128(38, 2))
    assert "does not fit 64 bits; cast the column to a decimal of at most 18 digits, or to float64" in refused(engine, wide, big)
    assert "100000000000000000000.00" in refused(engine, wide, big)
    assert "is beyond the range of BIGINT; cast the column to float64" in refused(
        engine, unsigned, pa.array([2**63], pa.uint64())
    )
    assert "is not a whole day" in refused(engine, date, pa.array([1]).cast(pa.int64()).view(pa.date64()))
    assert "is not a whole number of microseconds" in refused(engine, instant, pa.array([1001], pa.timestamp("ns")))
    assert "is beyond the range of TIMESTAMP" in refused(engine, instant, pa.array([2**62], pa.timestamp("s")))
    # What is NULL, or only in the dictionary, matters to nobody.
    for array in (
        pa.DictionaryArray.from_arrays(pa.array([0, None, 0], pa.int8()), pa.array([7, 2**63], pa.uint64())),
        pa.array([7, 2**63, 7], pa.uint64()).filter(pa.array([True, True, True])),
    ):
        if not pa.types.is_dictionary(array.type):
            array = pa.Array.from_buffers(pa.uint64(), 3, [pa.py_buffer(b"\x05"), array.buffers()[1]])
        with State(engine, engine.define(ROWS, [unsigned])) as state:
            state.step(batch(v=array))
            assert state.finish()["v"].to_pylist() == [7, None, 7]


def test_checks_and_overflow(engine: Engine) -> None:
    with State(engine, engine.define(FOLD, [A], filter=True)) as state:
        state.step(batch(a=[1, 1000]))
        with pytest.raises(EngineError, match="the check was hit"):
            state.finish()


def test_nulls_of_dictionaries(engine: Engine) -> None:
    case = BY_NAME["dictionary_int8"]
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2], pa.int8()), pa.array(["b", None, "a"]))
    with State(engine, engine.define(ROWS, [case.column])) as state:
        state.step(batch(v=array))
        assert state.finish()["v"].to_pylist() == ["b", None, None, "a"]


def test_columns_of_equal_names_are_numbered(engine: Engine) -> None:
    """As in a table; and what nothing reads may be of any type."""
    numbered = replace(A, name="A_1")
    values = [pa.array([1, 2]), pa.array([3, 4]), pa.array([[1], []]), pa.array([5, 6])]
    for column, expected in ((A, [1, 2]), (numbered, [3, 4])):
        with State(engine, engine.define(ROWS, [column])) as state:
            state.step(pa.RecordBatch.from_arrays(values, ["a", "A", "list", "a"]))
            assert state.finish().column(0).to_pylist() == expected


def test_a_failed_state_says_so(engine: Engine) -> None:
    query = engine.define(FOLD, [A])
    with State(engine, query) as state, State(engine, query) as other:
        with pytest.raises(EngineError):
            state.step(batch(a=[5000]))
        with pytest.raises(EngineError):
            state.step(batch(a=[1]))
        with pytest.raises(EngineError):
            state.finish()
        with pytest.raises(EngineError):
            other.merge(state)
        other.step(batch(a=[1]))
        assert other.finish()["sum"].to_pylist() == [1]
