"""Arrays and IPC files that are damaged: an error or a result, never a crash (see test_engine_sanitized.py, which would see one)."""

from __future__ import annotations

import ctypes
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
from engine_cases import BY_NAME
from engine_driver import GROUPS, ROWS, Column, Engine, EngineError, State

NUMBER = Column("n", "integer", "int16", 64, low=-1000, high=1000)
MONEY = Column("d", "decimal", "int32", precision=15, scale=2, low=-(10**6), high=10**6)
TEXT = Column("t", "varchar", "int8", low=0, high=99, strings=100)
CODED = Column("c", "varchar", "int8", low=0, high=99, strings=100)
VIEW = Column("w", "varchar", "int8", low=0, high=99, strings=100)
FLAG = Column("b", "boolean", "bool")
COLUMNS = [NUMBER, MONEY, TEXT, CODED, VIEW, FLAG]


def good_batch(rows: int = 100) -> pa.RecordBatch:
    words = [None if i % 7 == 0 else f"word {i % 20}" for i in range(rows)]
    return pa.RecordBatch.from_pydict(
        {
            "n": pa.array([None if i % 5 == 0 else i % 900 for i in range(rows)], pa.int64()),
            "d": pa.array(range(rows), pa.int64()).cast(pa.decimal128(21, 2)).cast(pa.decimal128(15, 2)),
            "t": pa.array(words),
            "c": pa.array(words).dictionary_encode(),
            "w": pa.array([word and word * 4 for word in words]).cast(pa.string_view()),
            "b": pa.array([i % 3 == 0 for i in range(rows)]),
            "nested": pa.array([[i, i + 1] if i % 2 else None for i in range(rows)]),
        }
    )


class Schema(ctypes.Structure):
    pass


Schema._fields_ = [
    ("format", ctypes.c_char_p), ("name", ctypes.c_char_p), ("metadata", ctypes.c_void_p), ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64), ("children", ctypes.POINTER(ctypes.POINTER(Schema))), ("dictionary", ctypes.POINTER(Schema)),
    ("release", ctypes.c_void_p), ("private_data", ctypes.c_void_p),
]  # fmt: skip


class Array(ctypes.Structure):
    pass


Array._fields_ = [
    ("length", ctypes.c_int64), ("null_count", ctypes.c_int64), ("offset", ctypes.c_int64), ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64), ("buffers", ctypes.POINTER(ctypes.c_void_p)), ("children", ctypes.POINTER(ctypes.POINTER(Array))),
    ("dictionary", ctypes.POINTER(Array)), ("release", ctypes.c_void_p), ("private_data", ctypes.c_void_p),
]  # fmt: skip

Spoil = Callable[[Schema, Array], object]


def column(array: Array, index: int) -> Array:
    return array.children[index].contents


def put(target: Array, **fields: object) -> None:
    for name, value in fields.items():
        setattr(target, name, value)


def put_buffer(target: Array, index: int, value: int | None) -> None:
    target.buffers[index] = value


DAMAGE: dict[str, Spoil] = {
    "negative length": lambda s, a: put(a, length=-1),
    "length beyond memory": lambda s, a: put(a, length=2**62),
    "batch longer than its columns": lambda s, a: put(a, length=101),
    "batch offset beyond its columns": lambda s, a: put(a, offset=1),
    "negative offset": lambda s, a: put(a, offset=-5),
    "overflowing offset": lambda s, a: put(a, offset=2**63 - 1),
    "column of negative length": lambda s, a: put(column(a, 0), length=-1),
    "column too short": lambda s, a: put(column(a, 0), length=99),
    "column offset negative": lambda s, a: put(column(a, 1), offset=-1),
    "column offset overflows": lambda s, a: put(column(a, 1), offset=2**63 - 100),
    "no buffers": lambda s, a: put(column(a, 0), n_buffers=0),
    "one buffer": lambda s, a: put(column(a, 0), n_buffers=1),
    "too many buffers": lambda s, a: put(column(a, 0), n_buffers=3),
    "buffers missing": lambda s, a: put(column(a, 0), buffers=None),
    "values missing": lambda s, a: put_buffer(column(a, 0), 1, None),
    "bits missing": lambda s, a: put_buffer(column(a, 5), 1, None),
    "offsets missing": lambda s, a: put_buffer(column(a, 2), 1, None),
    "text missing": lambda s, a: put_buffer(column(a, 2), 2, None),
    "validity missing": lambda s, a: put_buffer(column(a, 0), 0, None),
    "views missing": lambda s, a: put_buffer(column(a, 4), 1, None),
    "sizes of views missing": lambda s, a: put_buffer(column(a, 4), column(a, 4).n_buffers - 1, None),
    "buffers of views missing": lambda s, a: put(column(a, 4), n_buffers=2),
    "null count too large": lambda s, a: put(column(a, 0), null_count=-7),
    "dictionary missing": lambda s, a: put(column(a, 3), dictionary=None),
    "dictionary empty": lambda s, a: put(column(a, 3).dictionary.contents, length=0),
    "dictionary of negative length": lambda s, a: put(column(a, 3).dictionary.contents, length=-1),
    "children missing": lambda s, a: put(a, n_children=3),
    "no children": lambda s, a: put(a, children=None),
    "negative children": lambda s, a: put(a, n_children=-1),
    "schema without children": lambda s, a: put(s, n_children=0),
    "schema with negative children": lambda s, a: put(s, n_children=-3),
    "schema children missing": lambda s, a: put(s, children=None),
    "no struct": lambda s, a: put(s, format=b"l"),
    "no format": lambda s, a: put(s, format=None),
    "column without format": lambda s, a: put(s.children[0].contents, format=None),
    "column of unknown format": lambda s, a: put(s.children[0].contents, format=b"?"),
    "empty format": lambda s, a: put(s.children[0].contents, format=b""),
    "a decimal without digits": lambda s, a: put(s.children[1].contents, format=b"d:"),
    "a decimal of odd width": lambda s, a: put(s.children[1].contents, format=b"d:15,2,77"),
    "a timestamp without unit": lambda s, a: put(s.children[1].contents, format=b"ts"),
    "indices that are no integers": lambda s, a: put(s.children[3].contents, format=b"g"),
}


@pytest.fixture(scope="module")
def query(engine: Engine) -> int:
    return engine.define(ROWS, COLUMNS)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_arrays_are_refused(engine: Engine, query: int, damage: str) -> None:
    """The structures' own release is replaced, and never called: it would trip over the damage."""
    schema, array = Schema(), Array()
    good_batch()._export_to_c(ctypes.addressof(array), ctypes.addressof(schema))
    released: list[str] = []
    releaser = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: released.append("once"))
    for structure in (schema, array):
        structure.release = ctypes.cast(releaser, ctypes.c_void_p)
    DAMAGE[damage](schema, array)
    with State(engine, query) as state, pytest.raises(EngineError):
        state.step_structures(ctypes.byref(schema), ctypes.byref(array))
    assert released == ["once", "once"]


TEXT_DAMAGE = {
    "descending offsets": [0, 5, 3, 8],
    "negative offset": [-1, 2, 3, 4],
    "first offset negative": [-8, 0, 0, 0],
}


@pytest.mark.parametrize("damage", TEXT_DAMAGE)
@pytest.mark.parametrize("wide", [False, True])
def test_damaged_offsets_are_refused(engine: Engine, damage: str, wide: bool) -> None:
    column = Column("v", "varchar", "int8", low=0, high=99, strings=100)
    offsets = np.zeros(4, np.int64 if wide else np.int32)
    type = pa.large_string() if wide else pa.string()
    array = pa.Array.from_buffers(type, 3, [None, pa.py_buffer(offsets), pa.py_buffer(b"abcdefghijkl")], 0)
    schema, exported = Schema(), Array()
    batch = pa.RecordBatch.from_arrays([array], ["v"])
    batch._export_to_c(ctypes.addressof(exported), ctypes.addressof(schema))
    offsets[:] = TEXT_DAMAGE[damage]  # only now: pyarrow would see it
    with State(engine, engine.define(ROWS, [column])) as state, pytest.raises(EngineError):
        state.step_structures(ctypes.byref(schema), ctypes.byref(exported))


@pytest.mark.parametrize("codes", [[0, 1, 5], [-1, 0, 0], [0, 127, 0]])
def test_codes_beyond_their_dictionary_are_refused(engine: Engine, codes: list[int]) -> None:
    indices = pa.array(codes, pa.int8())
    array = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"]), safe=False)
    with State(engine, engine.define(ROWS, [BY_NAME["dictionary_int8"].column])) as state, pytest.raises(EngineError):
        state.step(pa.RecordBatch.from_arrays([array], ["v"]))


@pytest.mark.parametrize(
    "view", [(13, 0, 7, 0), (13, 0, -1, 0), (-1, 0, 0, 0), (100, 0, 0, 0), (13, 0, 0, -1), (13, 0, 0, 2**30)]
)
def test_damaged_views_are_refused(engine: Engine, view: tuple[int, ...]) -> None:
    memory = pa.py_buffer(np.array(view, np.int32))
    array = pa.Array.from_buffers(pa.string_view(), 1, [None, memory, pa.py_buffer(b"a text of more than twelve")], 0)
    with State(engine, engine.define(ROWS, [BY_NAME["string_view"].column])) as state, pytest.raises(EngineError):
        state.step(pa.RecordBatch.from_arrays([array], ["v"]))


def ipc_file(batches: list[pa.RecordBatch], *, stream: bool, options: pa.ipc.IpcWriteOptions | None = None) -> bytes:
    memory = io.BytesIO()
    writer = (pa.ipc.new_stream if stream else pa.ipc.new_file)(memory, batches[0].schema, options=options)
    for batch in batches:
        writer.write_batch(batch)
    writer.close()
    return memory.getvalue()


def run_file(engine: Engine, query: int, path: Path) -> pa.RecordBatch | str:
    with State(engine, query) as state:
        try:
            state.step_file(path)
            return state.finish()
        except EngineError as error:
            return str(error)


def rows_of(batch: pa.RecordBatch) -> list[dict[str, object]]:
    return batch.select([column.name for column in COLUMNS]).to_pylist()


@pytest.mark.parametrize("stream", [False, True])
def test_files_and_streams(engine: Engine, query: int, tmp_path: Path, stream: bool) -> None:
    whole = good_batch(5000)
    batches = [whole.slice(0, 100), whole.slice(100, 0), whole.slice(100)]
    path = tmp_path / "t.arrow"
    path.write_bytes(ipc_file(batches, stream=stream))
    result = run_file(engine, query, path)
    assert not isinstance(result, str), result
    assert rows_of(result) == rows_of(whole)


def test_dictionaries_that_change(engine: Engine, tmp_path: Path) -> None:
    """In a stream a dictionary may be replaced, or (a delta) go on."""
    query = engine.define(GROUPS, [CODED])
    tables = [
        pa.RecordBatch.from_pydict({"c": pa.array(words).dictionary_encode()}) for words in (["a", "b"], ["c"], ["c", "d", "c"])
    ]
    path = tmp_path / "t.arrows"
    path.write_bytes(ipc_file(tables, stream=True))
    result = run_file(engine, query, path)
    assert not isinstance(result, str), result
    assert dict(zip(result["text"].to_pylist(), result["rows"].to_pylist(), strict=False)) == {"a": 1, "b": 1, "c": 3, "d": 1}
    path.write_bytes(ipc_file(tables[1:], stream=True, options=pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)))
    result = run_file(engine, query, path)
    if isinstance(result, str):
        assert "delta" in result
    else:
        assert dict(zip(result["text"].to_pylist(), result["rows"].to_pylist(), strict=False)) == {"c": 3, "d": 1}


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_files_are_refused_clearly(engine: Engine, query: int, tmp_path: Path, codec: str) -> None:
    path = tmp_path / "t.arrow"
    path.write_bytes(ipc_file([good_batch()], stream=False, options=pa.ipc.IpcWriteOptions(compression=codec)))
    result = run_file(engine, query, path)
    assert isinstance(result, str) and "compress" in result


def test_no_file(engine: Engine, query: int, tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        assert isinstance(run_file(engine, query, path), str)
    for content in (b"", b"A", b"ARROW1", b"ARROW1\0\0", b"PAR1" * 10, b"\xff" * 100, b"\0" * 100):
        (tmp_path / "t").write_bytes(content)
        run_file(engine, query, tmp_path / "t")


@pytest.mark.parametrize("stream", [False, True])
def test_truncated_files(engine: Engine, query: int, tmp_path: Path, stream: bool) -> None:
    whole = good_batch(23)
    content = ipc_file([whole.slice(0, 20), whole.slice(20)], stream=stream)
    path = tmp_path / "t.arrow"
    expected = rows_of(whole)
    path.write_bytes(content)
    for length in reversed(range(len(content))):
        os.truncate(path, length)
        result = run_file(engine, query, path)
        assert isinstance(result, str) or rows_of(result) in ([], expected, expected[:20]), length


@pytest.mark.parametrize("stream", [False, True])
def test_corrupted_files(engine: Engine, query: int, tmp_path: Path, stream: bool) -> None:
    """Random bytes, and words of the kind that break readers, in random places; most of all in the metadata."""
    random = np.random.default_rng(7)
    whole = good_batch(23)
    content = ipc_file([whole.slice(0, 20), whole.slice(20)], stream=stream)
    path = tmp_path / "t.arrow"
    interesting = (0, 1, 0x7F, 0x80, 0xFF)
    for _ in range(1000):
        spoiled = bytearray(content)
        for _ in range(int(random.integers(1, 6))):
            at = int(random.integers(0, len(content) - 8))
            if random.random() < 0.5:
                spoiled[at] = int(random.choice(interesting))
            else:
                word = int(random.choice([0, -1, 2**31 - 1, -(2**31), 2**30, 1, 16]))
                spoiled[at : at + 4] = word.to_bytes(4, "little", signed=True)
        path.write_bytes(spoiled)
        run_file(engine, query, path)
