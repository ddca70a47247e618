"""Tables in Arrow's own format: files, read column by column when a query needs them, and streams, read at once.

Not memory-mapped: a file that shrinks meanwhile would be a crash, not an error, and encoding copies what it reads anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from qtensor.errors import DataError
from qtensor.lowering.storage import EncodedColumn, Layout, encode_column
from qtensor.sources.arrow import READ_ERRORS, ArrowSource, schema_of
from qtensor.sources.signature import file_signature
from qtensor.table import Source

FILE_MAGIC = b"ARROW1"
STREAM_MAGIC = b"\xff\xff\xff\xff"


def open_ipc(path: Path) -> Source:
    """A file in Arrow's file format (Feather 2) or stream format, told apart by its first bytes.

    Raises:
        DataError: it cannot be read, or is in neither format.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(FILE_MAGIC))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if magic == FILE_MAGIC:
        return IpcSource(path)
    if magic.startswith(STREAM_MAGIC):
        return IpcStreamSource(path)
    raise DataError(f"{path}: is neither a file nor a stream in Arrow's format (Feather version 1 is not read)")


def read_ipc_stream(shown: str, source: Any) -> pa.Table:
    """Everything in a stream of Arrow's format; `source` is what pyarrow can read bytes from. Raises DataError."""
    try:
        with pa.ipc.open_stream(source) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except READ_ERRORS as error:
        raise DataError(f"{shown}: cannot be read as an Arrow stream: {error}") from error
    return table


class IpcStreamSource(ArrowSource):
    """A file that holds an Arrow stream, which has to be read from its start to its end."""

    def __init__(self, path: Path) -> None:
        """Raises DataError when the file cannot be read."""
        self._path = path
        self._signature = file_signature(path)
        super().__init__(read_ipc_stream(str(path), path), valid=True)

    def is_current(self, indices: Collection[int]) -> bool:
        return file_signature(self._path) == self._signature


class IpcSource:
    """A file in Arrow's file format. Its schema and the lengths of its record batches are read here, no column."""

    def __init__(self, path: Path) -> None:
        """Raises DataError when the footer cannot be read."""
        self._path = path
        self._signature = file_signature(path)
        try:
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                self.rows: int = reader.count_rows()
                self.fields = schema_of(reader.schema)
        except READ_ERRORS as error:
            raise DataError(f"{path}: cannot be read as an Arrow file: {error}") from error

    def is_current(self, indices: Collection[int]) -> bool:
        return file_signature(self._path) == self._signature

    def head(self, rows: int) -> None:
        return None

    def forget(self, index: int) -> None:
        pass

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        if not self.is_current(()):
            raise DataError(f"{self._path}: the file has changed since it was registered; register it again")
        fields = [(index, self.fields[index]) for index in indices]
        # One after the other: only the bytes of the wanted column are read, and no two columns are held twice.
        return [encode_column(field.name, self._column(index), field.type, layout) for index, field in fields]

    def _column(self, index: int) -> pa.ChunkedArray:
        options = pa.ipc.IpcReadOptions(included_fields=[index])
        try:
            with pa.OSFile(str(self._path)) as file, pa.ipc.open_file(file, options=options) as reader:
                column = reader.read_all().column(0)
            column.validate(full=True)
        except READ_ERRORS as error:
            raise DataError(f"{self._path}: cannot be read as an Arrow file: {error}") from error
        if len(column) != self.rows:
            raise DataError(f"{self._path}: the file has changed since it was registered; register it again")
        return column
