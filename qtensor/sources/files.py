"""Tables in files: which kind a path is, and Parquet, read column by column when a query needs them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from threading import local

import pyarrow as pa
import pyarrow.parquet as pq

from qtensor.errors import DataError
from qtensor.lowering.storage import ColumnEncoder, EncodedColumn, Layout, column_encoder, for_each
from qtensor.paths import CSV_SUFFIXES, FILE_SUFFIXES, IPC_SUFFIXES, NOT_REMOTE, is_pattern, is_remote, is_there
from qtensor.sources.arrow import schema_of
from qtensor.sources.csv_file import CsvSource
from qtensor.sources.footer import without_decimals
from qtensor.sources.ipc import open_ipc
from qtensor.sources.signature import file_signature
from qtensor.table import Source
from qtensor.types import VARCHAR

_CODE_BYTES = 4  # of a Parquet file: strings behind numbers take less for a row, all in all, and other strings more

_READ_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError)


def open_path(path: str | PathLike[str]) -> Source:
    """The file, the folder of Parquet files, or the Parquet files of a pattern like `part-*.parquet`.

    Raises:
        DataError: nothing is there, it cannot be read, or it is neither Parquet nor CSV nor Arrow.
    """
    text = fspath(path)
    if is_remote(text):
        raise DataError(f"{text}: {NOT_REMOTE}")
    if is_pattern(text) and not is_there(text):
        if not text.lower().endswith(".parquet"):
            raise DataError(f"{text}: only Parquet files are read by a pattern, *.parquet; register the others one by one")
        pattern = Path(text).expanduser()
        anchor = Path(pattern.anchor)
        return _open_files(text, lambda: anchor.glob(str(pattern.relative_to(anchor))))
    file = Path(text).expanduser()
    if not is_there(text):
        raise DataError(f"{file}: no such file")
    if file.is_dir():
        return _open_files(text, lambda: file.rglob("*.parquet"))
    name = file.name.lower()
    if name.endswith(".parquet"):
        return ParquetSource(file)
    if name.endswith(CSV_SUFFIXES):
        return CsvSource(file)
    if name.endswith(IPC_SUFFIXES):
        return open_ipc(file)
    raise DataError(f"{file}: the name must end in {', '.join(FILE_SUFFIXES[:-1])} or {FILE_SUFFIXES[-1]}")


def open_paths(name: str, paths: Sequence[str | PathLike[str]]) -> Source:
    """The Parquet files of a list of paths, as one table. Raises DataError: see `FilesSource`."""
    return _open_files(name, lambda: [Path(path).expanduser() for path in paths])


def _open_files(shown: str, find: Callable[[], Iterable[Path]]) -> Source:
    from qtensor.sources.dataset import FilesSource

    return FilesSource(shown, find)


class ParquetSource:
    """A Parquet file. Only its footer is read here.

    Columns are read one row group at a time and encoded while it is in cache, on several threads. The footer's minima and
    maxima tell the width of the encoded integers beforehand; the data is measured all the same.
    """

    def __init__(self, path: Path) -> None:
        """Raises DataError when the footer cannot be read."""
        self._path = path
        self._signature = file_signature(path)
        try:
            with pq.ParquetFile(path) as file:
                self._metadata = file.metadata
                self._schema = file.schema_arrow
        except _READ_ERRORS as error:
            raise DataError(f"{path}: cannot be read as Parquet: {error}") from error
        self.fields = schema_of(self._schema)
        self.rows: int = self._metadata.num_rows

    def is_current(self, indices: Collection[int]) -> bool:
        return file_signature(self._path) == self._signature

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        encoders = {
            index: column_encoder(self.fields[index].name, self.fields[index].type, layout, self._footer_range(index))
            for index in indices
        }
        columns: dict[int, EncodedColumn] = {}
        while missing := encoders.keys() - columns.keys():
            self._read_into({index: encoders[index] for index in sorted(missing)}, layout.shares)
            for index in missing:
                column = encoders[index].finish()
                if column is not None:
                    columns[index] = column
        return [columns[index] for index in indices]

    @cached_property
    def _integer_metadata(self) -> pq.FileMetaData:
        """The footer that columns are read by: decimals stored as integers are read as these."""
        return without_decimals(self._path) or self._metadata

    @cached_property
    def _leaves(self) -> dict[int, int]:
        """Where the footer has the columns that are not nested: a nested one takes several places in it."""
        schema = self._metadata.schema
        leaves = [schema.column(leaf) for leaf in range(len(schema))]
        places: dict[str, list[int]] = {}
        for number, leaf in enumerate(leaves):
            if leaf.path == leaf.name:
                places.setdefault(leaf.name, []).append(number)
        found = {}
        for index, field in enumerate(self._schema):
            if not pa.types.is_nested(field.type) and places.get(field.name):
                found[index] = places[field.name].pop(0)
        return found

    def _read_into(self, encoders: dict[int, ColumnEncoder], threads: int) -> None:
        """Read all row groups of some columns; a task is one column of one row group."""
        if not self.is_current(()):
            raise DataError(f"{self._path}: the file has changed since it was registered; register it again")
        metadata, path = self._integer_metadata, self._path
        texts = [self.fields[index].name for index in encoders if self._has_dictionary(index)]
        files = local()
        before = {index: [field.name for field in self.fields[:index]].count(self.fields[index].name) for index in encoders}

        def read_task(task: tuple[int, int, int]) -> None:
            group, start, index = task
            if not hasattr(files, "file"):
                # Not memory-mapped: a file that shrinks meanwhile would be a crash, not an error.
                files.file = pq.ParquetFile(
                    path, metadata=metadata, read_dictionary=texts, pre_buffer=False, page_checksum_verification=True
                )
            name = self.fields[index].name
            read = files.file.read_row_group(group, columns=[name], use_threads=False)
            column = read.column(_position(read.column_names, name, before[index]))
            if len(column) != metadata.row_group(group).num_rows:
                raise DataError(f'{path}: row group {group} of column "{name}" has not the number of rows that the footer says')
            for chunk in column.chunks:
                encoders[index].write(start, chunk)
                start += len(chunk)

        try:
            for_each(read_task, self._tasks(list(encoders)), threads)
        except _READ_ERRORS as error:
            raise DataError(f"{path}: cannot be read as Parquet: {error}") from error

    def _has_dictionary(self, index: int) -> bool:
        """Whether a column of text looks as if the file kept dictionaries of it: rows that are no longer than numbers of strings.

        Reading others into dictionaries would mean to hash every string.
        """
        if self.fields[index].type != VARCHAR:
            return False
        leaf = self._leaves[index]
        groups = [self._metadata.row_group(group).column(leaf) for group in range(self._metadata.num_row_groups)]
        return bool(sum(group.total_uncompressed_size for group in groups) <= _CODE_BYTES * self.rows)

    def _tasks(self, indices: list[int]) -> list[tuple[int, int, int]]:
        """(row group, its first row, column) for every row group and column."""
        tasks = []
        start = 0
        for group in range(self._metadata.num_row_groups):
            tasks += [(group, start, index) for index in indices]
            start += self._metadata.row_group(group).num_rows
        return tasks

    def _footer_range(self, index: int) -> tuple[int, int] | None:
        """Minimum and maximum as the footer has them; None unless they are integers in the encoded domain."""
        type = self._schema.field(index).type
        if not (pa.types.is_integer(type) or pa.types.is_decimal(type) or type in (pa.date32(), pa.timestamp("us"))):
            return None
        lows, highs = [], []
        for group in range(self._metadata.num_row_groups):
            statistics = self._metadata.row_group(group).column(self._leaves[index]).statistics
            if statistics is None or not statistics.has_min_max or not isinstance(statistics.min_raw, int):
                return None
            lows.append(statistics.min_raw)
            highs.append(statistics.max_raw)
        return (min(lows), max(highs)) if lows else None


def _position(names: Sequence[str], name: str, before: int) -> int:
    """Where the column `name` is that has `before` others of the very same name before it."""
    return [position for position, other in enumerate(names) if other == name][before]
