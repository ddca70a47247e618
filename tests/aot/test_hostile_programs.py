"""Programs and weights that are not those of the query: refused, whatever they are, before their results are believed."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

from qtensor.aot.artifact.artifact import Artifact
from qtensor.aot.artifact.container import opened
from qtensor.aot.machine.runtime import portable_stablehlo
from qtensor.errors import ArtifactError
from tests.aot.exports import Exports
from tests.aot.files import parts_of, sealed, with_part

TABLE = pa.table({"x": pa.array([1.0, 2.0, 3.0]), "id": pa.array([1, 2, 3])})
ROWS = 2_048
PROGRAM = f"programs/whole_{ROWS}_whole.mlir"


def shape(*dimensions: int, dtype: Any = np.float64) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(dimensions, np.dtype(dtype))


X, ID, COUNT = shape(1, ROWS), shape(1, ROWS, dtype=np.int8), shape(dtype=np.int32)
LITERALS = shape(0, dtype=np.int64), shape(1)


@pytest.fixture(scope="module")
def path(exports: Exports) -> Path:
    return exports.path("SELECT id, x + 1 AS y FROM data WHERE x > 1", TABLE)


def called(path: Path, name: str, content: bytes, table: pa.Table = TABLE) -> pa.Table:
    """A call in this process, which has nothing but the checks between it and the program."""
    container = opened(sealed(with_part(parts_of(path), name, content).items()))
    return Artifact(container, threads=1, isolated=False)(table)


def compiled(function: Callable[..., object], *shapes: jax.ShapeDtypeStruct) -> bytes:
    with jax.enable_x64(True):
        return portable_stablehlo(jax.jit(function, keep_unused=True).lower(*(shapes or (X, ID, COUNT, *LITERALS))))


def live(rows: int = ROWS) -> jax.Array:
    return jnp.ones(rows, np.bool_)


def flags(count: int = 0) -> jax.Array:
    return jnp.zeros(count, np.bool_)


RESULTS: dict[str, Callable[..., object]] = {
    "no results": lambda x, *_: (),
    "one result": lambda x, *_: live(),
    "a result missing": lambda x, *_: (live(), flags()),
    "more results": lambda x, *_: (x[0], x[0], live(), flags()),
    "a short column": lambda x, *_: (x[0, :10], live(), flags()),
    "a long column": lambda x, *_: (jnp.zeros(2 * ROWS), live(), flags()),
    "few live": lambda x, *_: (x[0], live(1), flags()),
    "more live than rows": lambda x, *_: (jnp.zeros(1 << 20), live(1 << 20), flags()),
    "live is a number": lambda x, *_: (x[0], x[0], flags()),
    "flags of no check": lambda x, *_: (x[0], live(), flags(3)),
    "integers for floats": lambda x, *_: (x[0].astype(np.int32), live(), flags()),
    "complex numbers": lambda x, *_: (jax.lax.complex(x[0], x[0]), live(), flags()),
    "short floats": lambda x, *_: (x[0].astype(jnp.bfloat16), live(), flags()),
    "a call to Python": lambda x, *_: (jax.pure_callback(lambda a: a, shape(ROWS), x[0]), live(), flags()),
    "a call to LAPACK": lambda x, *_: (x[0] + jnp.linalg.cholesky(jnp.eye(2))[0, 0], live(), flags()),
    "256 TiB": lambda x, *_: (jnp.zeros(1 << 45), live(), flags()),
}


@pytest.mark.parametrize("name", RESULTS)
def test_other_results(name: str, path: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"does not give the results|contradicts itself|no query needs|does not run|it has a tensor of"
    ):
        called(path, PROGRAM, compiled(RESULTS[name]))


ARGUMENTS = {
    "fewer": (X, ID),
    "more": (X, ID, COUNT, *LITERALS, X),
    "larger": (shape(1, 1 << 24), ID, COUNT, *LITERALS),
    "smaller": (shape(1, 4), ID, COUNT, *LITERALS),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_other_arguments(name: str, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ArtifactError, match="does not run"):
        called(path, PROGRAM, compiled(lambda *_: (jnp.zeros(ROWS), live(), flags()), *ARGUMENTS[name]))


def test_no_programs(path: Path) -> None:
    good = parts_of(path)[PROGRAM]
    random = np.random.default_rng(0)
    damaged = [b"", b"hello", bytes(1_000), good[:-50], good[: len(good) // 2], b"module {}", good[::-1]]
    damaged.append(b"ML\xefR" + bytes(50))  # MLIR's reader ends the process over it
    for _ in range(8):
        position = int(random.integers(len(good)))
        damaged.append(good[:position] + random.bytes(1) + good[position + 1 :])
    refused = 0
    for content in damaged:
        try:
            called(path, PROGRAM, content)
        except ArtifactError:
            refused += 1
    assert refused >= 8


def npy(array: Any, allow_pickle: bool = False) -> bytes:
    memory = io.BytesIO()
    np.save(memory, array, allow_pickle=allow_pickle)
    return memory.getvalue()


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_weights(exports: Exports, tmp_path: Path) -> None:
    from tests.headline import trained_classifier

    sql = "SELECT c(a, b, x, y) AS class FROM data"
    table = pa.table({name: pa.array([1.0, 2.0, 3.0]) for name in "abxy"})
    path = exports.path(sql, table, models={"c": trained_classifier()})
    weights = [name for name in parts_of(path) if name.endswith(".npy")]
    assert weights
    part = parts_of(path)[weights[0]]
    assert called(path, weights[0], part, table).num_rows == 3
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,), }"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "load", None)
        for content in [
            npy(np.array([Evil(tmp_path / "evil")], object), allow_pickle=True),
            npy(np.array(["text"])),
            npy(np.zeros(3, "M8[s]")),
            npy(np.zeros(3, [("a", "f4")])),
            npy(np.zeros(3, np.longdouble)),
            npy(np.zeros((1, 1), np.float32)),
            header.ljust(127) + b"\n",
            part[:-1],
            part[:20],
            b"",
            b"PK\x03\x04",
            b"\x80\x04N.",
        ]:
            with pytest.raises(ArtifactError):
                called(path, weights[0], content, table)
    assert not (tmp_path / "evil").exists()
