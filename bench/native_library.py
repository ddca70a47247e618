"""A native library that `Relation.export_native` wrote, called through its C interface with Arrow's C structures."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

STRUCTURE_BYTES = 128  # ArrowSchema has 72 bytes, ArrowArray 80
RETAIN = 1


def native_missing() -> str | None:
    """Why native libraries cannot be built here, None if they can."""
    return None if shutil.which("g++") else "there is no g++"


class NativeLibrary:
    """The library `lib<name>.so` in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"lib{name}.so"
        self.executable = folder / f"{name}_main"
        self.size = self.path.stat().st_size
        library = ctypes.CDLL(str(self.path))
        self._open, self._step, self._finish, self._error, self._close = (
            getattr(library, f"{name}_{verb}") for verb in ("open", "step", "finish", "error", "close")
        )
        self._open.restype, self._open.argtypes = ctypes.c_void_p, [ctypes.c_uint32]
        self._step.argtypes = self._finish.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        self._error.restype, self._error.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
        self._close.restype, self._close.argtypes = None, [ctypes.c_void_p]
        self._kept: list[int] = []

    @staticmethod
    def prepare() -> None:
        """Build what all libraries share, so that it is not counted as the export of one."""
        from qtensor.aot.native.runtime import runtime_archives

        runtime_archives()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for state in self._kept:
            self._close(state)

    def caller(self, data: pa.Table) -> Callable[[], pa.Table]:
        """One call: a new state, the table's batches, the result."""
        batches = data.combine_chunks().to_batches()

        def call() -> pa.Table:
            state = self._open(0)
            try:
                self._feed(state, batches)
                return self._result(state)
            finally:
                self._close(state)

        return call

    def keeper(self, data: pa.Table) -> Callable[[], pa.Table]:
        """One call: the result over data that the library has kept, encoded."""
        state = self._open(RETAIN)
        self._kept.append(state)
        self._feed(state, data.to_batches())
        return lambda: self._result(state)

    def _feed(self, state: int, batches: list[pa.RecordBatch]) -> None:
        for batch in batches:
            schema, array = structures()
            batch._export_to_c(ctypes.addressof(array), ctypes.addressof(schema))
            self._check(state, self._step(state, ctypes.byref(schema), ctypes.byref(array)))

    def _result(self, state: int) -> pa.Table:
        schema, array = structures()
        self._check(state, self._finish(state, ctypes.byref(schema), ctypes.byref(array)))
        batch = pa.RecordBatch._import_from_c(ctypes.addressof(array), ctypes.addressof(schema))
        return pa.Table.from_batches([batch])

    def _check(self, state: int, code: int) -> None:
        if code:
            raise RuntimeError(self._error(state).decode())


def structures() -> tuple[Any, Any]:
    """Room for an ArrowSchema and an ArrowArray."""
    return ctypes.create_string_buffer(STRUCTURE_BYTES), ctypes.create_string_buffer(STRUCTURE_BYTES)
