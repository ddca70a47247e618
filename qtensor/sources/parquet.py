"""A Parquet file, read column by column when a query needs them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from threading import local
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from qtensor.errors import DataError
from qtensor.lowering.storage import ColumnEncoder, EncodedColumn, Layout, arrow_type, column_encoder, for_each
from qtensor.sources.arrow import READ_ERRORS, schema_of
from qtensor.sources.footer import ChunkFacts, chunk_facts, without_decimals
from qtensor.sources.signature import file_signature
from qtensor.types import VARCHAR, Field

INT96_UNIT = "us"  # pyarrow's own, nanoseconds, have room for the years 1677 to 2262 and wrap around beyond
_CODE_BYTES = 4  # of a Parquet file: strings behind numbers take less for a row, all in all, and other strings more
_READ_AS_CODES = frozenset({0, 2, 3, 4, 8})  # Parquet's encodings of texts that Arrow reads into dictionaries


def checked_groups(shown: str, metadata: pq.FileMetaData) -> list[int]:
    """The number of rows of each row group. Raises DataError: there are others than the footer says.

    Arrow takes memory for as many as a group claims to have: who reads one knows before that there are not more than MOST_ROWS.
    """
    groups = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    if metadata.num_rows != sum(groups) or any(rows < 0 for rows in groups):
        raise DataError(
            f"{shown}: cannot be read as Parquet: the footer says {metadata.num_rows} rows, its row groups {sum(groups)}"
        )
    return groups


class Wanted(NamedTuple):
    """A column that is read: what takes it, and the Arrow type that its values are to have there, None as they come."""

    encoder: ColumnEncoder
    type: pa.DataType | None


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
            with pq.ParquetFile(path, coerce_int96_timestamp_unit=INT96_UNIT) as file:
                self._metadata = file.metadata
                self._schema = file.schema_arrow
                self.fields = schema_of(self._schema)
        except READ_ERRORS as error:
            raise DataError(f"{path}: cannot be read as Parquet: {error}") from error
        self._groups = checked_groups(str(path), self._metadata)  # of which rows are read
        self.rows: int = self._metadata.num_rows

    def is_current(self, indices: Collection[int]) -> bool:
        return file_signature(self._path) == self._signature

    def head(self, rows: int) -> ParquetSource:
        """The first row groups."""
        first = copy(self)
        ends = list(accumulate(self._groups))
        first._groups = self._groups[: 1 + sum(end < rows for end in ends)]
        first.rows = sum(first._groups)
        return first

    def forget(self, index: int) -> None:
        pass

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        return read_columns([self.fields[index] for index in indices], [(self, indices)], layout)

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

    def facts(self, indices: Sequence[int]) -> dict[int, list[ChunkFacts]]:
        """What the footer says of the row groups of columns; nothing of one that is nested or damaged."""
        leaves = {index: self._leaves[index] for index in indices if index in self._leaves}
        found = chunk_facts(self._path, leaves.values()) or {}
        return {index: found[leaf] for index, leaf in leaves.items() if len(found.get(leaf, [])) == self._metadata.num_row_groups}

    def read_into(self, wanted: Mapping[int, Wanted], first: int, threads: int, texts: Collection[str]) -> None:
        """Read all row groups of some columns, as the rows from `first` on; a task is one column of one row group.

        texts: read into dictionaries.
        """
        if not self.is_current(()):
            raise DataError(f"{self._path}: the file has changed since it was registered; register it again")
        metadata, path = self._integer_metadata, self._path
        files = local()
        before = {index: [field.name for field in self.fields[:index]].count(self.fields[index].name) for index in wanted}

        def read_task(task: tuple[int, int, int]) -> None:
            group, start, index = task
            if not hasattr(files, "file"):
                # Not memory-mapped: a file that shrinks meanwhile would be a crash, not an error.
                files.file = pq.ParquetFile(
                    path,
                    metadata=metadata,
                    read_dictionary=list(texts),
                    pre_buffer=False,
                    page_checksum_verification=True,
                    coerce_int96_timestamp_unit=INT96_UNIT,
                )
            name = self.fields[index].name
            read = files.file.read_row_group(group, columns=[name], use_threads=False)
            column = read.column(_position(read.column_names, name, before[index]))
            if len(column) != metadata.row_group(group).num_rows:
                raise DataError(f'{path}: row group {group} of column "{name}" has not the number of rows that the footer says')
            encoder, type = wanted[index]
            for chunk in column.chunks:
                encoder.write(start, chunk if type is None else chunk.cast(type))
                start += len(chunk)

        try:
            for_each(read_task, self._tasks(list(wanted), first), threads)
        except READ_ERRORS as error:
            raise DataError(f"{path}: cannot be read as Parquet: {error}") from error

    def has_dictionary(self, index: int, facts: Mapping[int, Sequence[ChunkFacts]]) -> bool:
        """Whether a column of text looks as if the file kept dictionaries of it: rows that are no longer than numbers of strings.

        Reading others into dictionaries would mean to hash every string.
        """
        if self.fields[index].type != VARCHAR or index not in facts:
            return False
        groups = facts[index]
        short = sum(group.uncompressed for group in groups) <= _CODE_BYTES * self._metadata.num_rows
        return short and all(group.encodings <= _READ_AS_CODES for group in groups)

    def _tasks(self, indices: list[int], start: int) -> list[tuple[int, int, int]]:
        """(row group, its first row, column) for every row group and column."""
        tasks = []
        for group, rows in enumerate(self._groups):
            tasks += [(group, start, index) for index in indices]
            start += rows
        return tasks

    def footer_range(self, index: int, facts: Mapping[int, Sequence[ChunkFacts]]) -> tuple[int, int] | None:
        """Minimum and maximum as the footer has them; None unless they are integers in the encoded domain."""
        type = self._schema.field(index).type
        if not (pa.types.is_integer(type) or pa.types.is_decimal(type) or type in (pa.date32(), pa.timestamp("us"))):
            return None
        if index not in facts or self._metadata.schema.column(self._leaves[index]).physical_type not in ("INT32", "INT64"):
            return None
        return _hull([group.range for group in facts[index]])


def read_columns(
    fields: Sequence[Field], files: Sequence[tuple[ParquetSource, Sequence[int]]], layout: Layout
) -> list[EncodedColumn]:
    """The columns `fields` of several files, one behind the other; with each file the number that each of them has in it.

    Raises DataError.
    """
    facts = [file.facts(indices) for file, indices in files]
    known = [
        [file.footer_range(indices[place], found) for (file, indices), found in zip(files, facts, strict=True)]
        for place in range(len(fields))
    ]
    encoders = [
        column_encoder(field.name, field.type, layout, _hull(ranges)) for field, ranges in zip(fields, known, strict=True)
    ]
    firsts = list(accumulate((file.rows for file, _ in files), initial=0))
    columns: dict[int, EncodedColumn] = {}
    at_once = max(1, min(layout.shares, len(files)))  # files; each is read by what is left of the cores

    def read_file(number: int) -> None:
        (file, indices), found = files[number], facts[number]
        wanted = {}
        for place, (field, index) in enumerate(zip(fields, indices, strict=True)):
            if place not in columns:
                other = file.fields[index].type != field.type  # of integers: what does not fit is an error
                wanted[index] = Wanted(encoders[place], arrow_type(field.type) if other else None)
        texts = [file.fields[index].name for index in wanted if file.has_dictionary(index, found)]
        file.read_into(wanted, firsts[number], max(1, layout.shares // at_once), texts)

    while len(columns) < len(fields):
        for_each(read_file, range(len(files)), at_once)
        finished = {place: encoders[place].finish() for place in range(len(fields)) if place not in columns}
        columns |= {place: column for place, column in finished.items() if column is not None}
    return [columns[place] for place in range(len(fields))]


def _hull(ranges: Sequence[tuple[int, int] | None]) -> tuple[int, int] | None:
    """The range of all values; None if it is not known of some."""
    known = [range for range in ranges if range is not None]
    if not known or len(known) < len(ranges):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _position(names: Sequence[str], name: str, before: int) -> int:
    """Where the column `name` is that has `before` others of the very same name before it."""
    return [position for position, other in enumerate(names) if other == name][before]
