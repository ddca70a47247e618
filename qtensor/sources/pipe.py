"""Tables that come by a pipe: Arrow, Parquet or CSV, told apart by their first bytes."""

from __future__ import annotations

import io
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from qtensor.errors import CapacityError, DataError
from qtensor.sources.arrow import READ_ERRORS
from qtensor.sources.csv_file import read_csv
from qtensor.sources.ipc import FILE_MAGIC, STREAM_MAGIC
from qtensor.sources.parquet_file import INT96_UNIT, checked_groups
from qtensor.sources.table import MOST_ROWS

PARQUET_MAGIC = b"PAR1"


def read_pipe(shown: str, pipe: BinaryIO) -> pa.Table | pa.RecordBatchReader:
    """What comes through `pipe`: an Arrow stream as a reader that reads on as batches are asked for, anything else as a table.

    Raises DataError: nothing comes, or it is damaged.
    """
    head = pipe.read(len(FILE_MAGIC))
    if not head:
        raise DataError(f"{shown}: no data came; pipe Arrow, Parquet or CSV into it")
    try:
        if head.startswith(STREAM_MAGIC):
            return pa.ipc.open_stream(io.BufferedReader(_Continued(head, pipe)))
        content = pa.py_buffer(head + pipe.read())
        if head == FILE_MAGIC:
            return pa.ipc.open_file(content).read_all()
        if head.startswith(PARQUET_MAGIC):
            return _read_parquet(shown, content)
    except READ_ERRORS as error:
        raise DataError(f"{shown}: cannot be read as Arrow or Parquet: {error}") from error
    return read_csv(shown, content)


def _read_parquet(shown: str, content: pa.Buffer) -> pa.Table:
    """All rows, by row groups: what has more or fewer rows than its group is damaged.

    Raises ArrowException, DataError; CapacityError: more rows than a table may have.
    """
    file = pq.ParquetFile(pa.BufferReader(content), coerce_int96_timestamp_unit=INT96_UNIT, page_checksum_verification=True)
    said = checked_groups(shown, file.metadata)
    if sum(said) > MOST_ROWS:
        raise CapacityError(f"{shown} has {sum(said):,} rows, of which there may be {MOST_ROWS:,}")
    groups = [file.read_row_group(group) for group in range(len(said))]
    if [group.num_rows for group in groups] != said:
        raise DataError(f"{shown}: cannot be read as Parquet: a row group has not the number of rows that the footer says")
    return pa.concat_tables(groups) if groups else file.schema_arrow.empty_table()


class _Continued(io.RawIOBase):
    """A pipe whose first bytes have been read already."""

    def __init__(self, head: bytes, pipe: BinaryIO) -> None:
        self._head = head
        self._pipe = pipe

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        content = self._head or self._read(len(buffer))
        taken = content[: len(buffer)]
        self._head = self._head[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def _read(self, size: int) -> bytes:
        """What is there already, up to `size`: a batch is not held back until the next one comes."""
        return self._pipe.read1(size) if isinstance(self._pipe, io.BufferedReader) else self._pipe.read(size)
