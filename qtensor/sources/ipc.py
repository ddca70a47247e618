"""Tables in Arrow's own format: files, read column by column when a query needs them, and streams, read at once.

Not memory-mapped: a file that shrinks meanwhile would be a crash, not an error, and encoding copies what it reads anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import copy
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa

from qtensor.errors import DataError
from qtensor.lowering.storage import EncodedColumn, Layout, encode_column
from qtensor.sources.arrow import READ_ERRORS, ArrowSource, schema_of
from qtensor.sources.facts import NOTHING_SAID, ColumnFacts
from qtensor.sources.ipc_messages import batch_lengths
from qtensor.sources.ipc_stream import IpcStreamParts
from qtensor.sources.parts import put_together
from qtensor.sources.signature import file_signature
from qtensor.sources.table import Source

FILE_MAGIC = b"ARROW1"
STREAM_MAGIC = b"\xff\xff\xff\xff"


def open_ipc(path: Path, stream: bool = False) -> Source:
    """A file in Arrow's file format (Feather 2) or stream format, told apart by its first bytes.

    stream: whether one in stream format is to be read in parts, not at once.

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
        return IpcStreamParts(path) if stream else IpcStreamSource(path)
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
    """A file in Arrow's file format, or some record batches of one. Its schema and their lengths are read here, no column."""

    def __init__(self, path: Path) -> None:
        """Raises DataError when the footer cannot be read."""
        self._path = path
        self._signature = file_signature(path)
        try:
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                self.rows: int = reader.count_rows()
                self.fields = schema_of(reader.schema)
                self._batches = range(reader.num_record_batches)
        except READ_ERRORS as error:
            raise DataError(f"{path}: cannot be read as an Arrow file: {error}") from error
        lengths = batch_lengths(path)
        known = lengths is not None and sum(lengths) == self.rows and len(lengths) == len(self._batches)
        self._lengths = lengths if known else None  # of the batches

    def is_current(self, indices: Collection[int]) -> bool:
        return file_signature(self._path) == self._signature

    def head(self, rows: int) -> IpcSource | None:
        """The first record batches."""
        if self._lengths is None:
            return None
        return self._limited_to(range(1 + sum(end < rows for end in accumulate(self._lengths))))

    def parts(self, rows: int) -> list[IpcSource] | None:
        """Record batches, which are read as a whole."""
        return None if self._lengths is None else [self._limited_to(found) for found in put_together(self._lengths, rows)]

    def facts(self, index: int) -> ColumnFacts:
        return NOTHING_SAID

    def _limited_to(self, batches: range) -> IpcSource:
        """Some of the record batches of this source."""
        assert self._lengths is not None
        limited = copy(self)
        limited._batches = self._batches[batches.start : batches.stop]
        limited._lengths = self._lengths[batches.start : batches.stop]
        limited.rows = sum(limited._lengths)
        return limited

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
                batches = [reader.get_batch(number) for number in self._batches]
                column = pa.Table.from_batches(batches, reader.schema).column(0)
            column.validate(full=True)
        except READ_ERRORS as error:
            raise DataError(f"{self._path}: cannot be read as an Arrow file: {error}") from error
        if len(column) != self.rows:
            raise DataError(f"{self._path}: the file has changed since it was registered; register it again")
        return column
