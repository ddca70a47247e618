"""A Parquet file as all that read from it share it: its footer, and row groups too large to be read at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from qtensor.errors import DataError
from qtensor.sources.arrow import READ_ERRORS, schema_of
from qtensor.sources.facts import NOTHING_SAID, ColumnFacts, of_all
from qtensor.sources.footer import ChunkFacts, Footer, read_footer, without_decimals
from qtensor.sources.parts import slices
from qtensor.sources.signature import file_signature
from qtensor.types import VARCHAR

INT96_UNIT = "us"  # pyarrow's own, nanoseconds, have room for the years 1677 to 2262 and wrap around beyond
_CODE_BYTES = 4  # of a Parquet file: strings behind numbers take less for a row, all in all, and other strings more
_READ_AS_CODES = frozenset({0, 2, 3, 4, 8})  # Parquet's encodings of texts that Arrow reads into dictionaries
_BUFFER = 1 << 18  # bytes of a column chunk that is read piece by piece: of others all are read at once


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


class Piece(NamedTuple):
    """Rows of a row group, from its row `start` on. whole: whether these are all of them."""

    group: int
    start: int
    rows: int
    whole: bool


def whole_groups(groups: Sequence[int]) -> list[Piece]:
    """The row groups of these sizes."""
    return [Piece(group, 0, size, whole=True) for group, size in enumerate(groups)]


def cut_pieces(pieces: Sequence[Piece], rows: int) -> list[Piece]:
    """The same rows; pieces of more than twice `rows` rows are cut. Raises CapacityError: into too many."""
    found = []
    for piece in pieces:
        if piece.rows <= 2 * rows:
            found.append(piece)
        else:
            cuts = slices(piece.rows, rows)
            found += [Piece(piece.group, piece.start + cut.start, len(cut), whole=False) for cut in cuts]
    return found


class ParquetFile:
    """A file and its footer, which is read once."""

    def __init__(self, path: Path) -> None:
        """Raises DataError when the footer cannot be read."""
        self.path = path
        self._signature = file_signature(path)
        try:
            with pq.ParquetFile(path, coerce_int96_timestamp_unit=INT96_UNIT) as file:
                self._metadata = file.metadata
                self._schema = file.schema_arrow
                self.fields = schema_of(self._schema)
        except READ_ERRORS as error:
            raise DataError(f"{path}: cannot be read as Parquet: {error}") from error
        self.groups = checked_groups(str(path), self._metadata)
        self._chunks: dict[int, list[ChunkFacts] | None] = {}
        self._coded: dict[int, bool] = {}

    def is_current(self) -> bool:
        return file_signature(self.path) == self._signature

    # --- what the footer says ---------------------------------------------------------------------------------------------

    @cached_property
    def _integer_metadata(self) -> pq.FileMetaData:
        """The footer that columns are read by: decimals stored as integers are read as these."""
        return without_decimals(self.path) or self._metadata

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

    @cached_property
    def _footer(self) -> Footer | None:
        return read_footer(self.path)

    def _chunks_of(self, index: int) -> list[ChunkFacts] | None:
        """What the footer says of the row groups of a column; None of one that is nested or damaged."""
        if index not in self._chunks:
            known = self._footer is not None and index in self._leaves
            chunks = self._footer.chunks(self._leaves[index]) if known and self._footer is not None else None
            self._chunks[index] = chunks if chunks is not None and len(chunks) == len(self.groups) else None
        return self._chunks[index]

    def facts(self, index: int, pieces: Sequence[Piece]) -> ColumnFacts:
        """What the footer says of a column in these pieces of the file."""
        chunks = self._chunks_of(index)
        if chunks is None:
            return NOTHING_SAID
        type = self._schema.field(index).type
        whole = pa.types.is_integer(type) or pa.types.is_decimal(type) or type in (pa.date32(), pa.timestamp("us"))
        whole = whole and self._metadata.schema.column(self._leaves[index]).physical_type in ("INT32", "INT64")
        signed = not pa.types.is_unsigned_integer(type)
        found = []
        for piece in pieces:
            chunk = chunks[piece.group]
            nulls, size = _share(chunk, piece, self.groups[piece.group])
            found.append(ColumnFacts(chunk.range(signed) if whole else None, nulls, size))
        return of_all(found, [piece.rows for piece in pieces])

    def has_dictionary(self, index: int) -> bool:
        """Whether a column of text looks as if the file kept dictionaries of it: rows that are no longer than numbers of strings.

        Reading others into dictionaries would mean to hash every string.
        """
        if index not in self._coded:
            chunks = self._chunks_of(index) if self.fields[index].type == VARCHAR else None
            short = sum(chunk.uncompressed for chunk in chunks or ()) <= _CODE_BYTES * self._metadata.num_rows
            self._coded[index] = chunks is not None and short and all(chunk.encodings <= _READ_AS_CODES for chunk in chunks)
        return self._coded[index]

    # --- what is read -----------------------------------------------------------------------------------------------------

    def opened(self, texts: Collection[str], buffered: bool = False) -> pq.ParquetFile:
        """The file, to be read by one thread. texts: columns read into dictionaries. buffered: not as whole column chunks."""
        # Not memory-mapped: a file that shrinks meanwhile would be a crash, not an error.
        return pq.ParquetFile(
            self.path,
            metadata=self._integer_metadata,
            read_dictionary=list(texts),
            buffer_size=_BUFFER if buffered else 0,
            pre_buffer=False,
            page_checksum_verification=True,
            coerce_int96_timestamp_unit=INT96_UNIT,
        )

    def row_group(self, file: pq.ParquetFile, group: int, index: int) -> list[pa.Array]:
        """Column number `index` of a row group. Raises DataError: it has not as many rows as the footer says; ArrowException."""
        read = file.read_row_group(group, columns=[self.fields[index].name], use_threads=False)
        column = read.column(self.position(read.column_names, index))
        if len(column) != self.groups[group]:
            raise self.other_rows(group, index)
        return list(column.chunks)

    def position(self, names: Sequence[str], index: int) -> int:
        """Where column number `index` is among columns of these names, some of which may have the very same."""
        name = self.fields[index].name
        before = [field.name for field in self.fields[:index]].count(name)
        return [position for position, other in enumerate(names) if other == name][before]

    def other_rows(self, group: int, index: int) -> DataError:
        name = self.fields[index].name
        return DataError(f'{self.path}: row group {group} of column "{name}" has not the number of rows that the footer says')


def _share(chunk: ChunkFacts, piece: Piece, rows: int) -> tuple[int | None, int | None]:
    """How many NULLs and bytes of a chunk of `rows` rows are a piece's."""
    nulls = chunk.nulls if chunk.nulls is not None and 0 <= chunk.nulls <= rows else None
    size = chunk.uncompressed if chunk.uncompressed >= 0 else None
    if piece.whole:
        return nulls, size
    of_piece = {0: 0, rows: piece.rows}.get(nulls) if nulls is not None else None
    return of_piece, None if size is None else size * piece.rows // rows


class CutGroups:
    """Row groups of a file that are read piece by piece. Safe to use from several threads.

    Each column goes on where its last piece ended, and begins again where another piece is asked for. Nothing is kept but an
    open file for each column that is not at its end.
    """

    def __init__(self, file: ParquetFile, rows: int) -> None:
        """rows: of a piece."""
        self._file = file
        self._rows = rows
        self._lock = Lock()
        self._columns: dict[tuple[int, int], _CutColumn] = {}

    def read(self, piece: Piece, index: int, texts: Collection[str]) -> list[pa.Array]:
        """Column number `index` of a piece. Raises DataError: it has not as many rows as the footer says; ArrowException."""
        key = piece.group, index
        with self._lock:
            column = self._columns.setdefault(key, _CutColumn(self._file, piece.group, index, texts, self._rows))
        return column.read(piece.start, piece.rows)


class _CutColumn:
    """One column of one row group."""

    def __init__(self, file: ParquetFile, group: int, index: int, texts: Collection[str], rows: int) -> None:
        self._file = file
        self._group = group
        self._index = index
        self._texts = texts
        self._rows = rows
        self._lock = Lock()
        self._opened: pq.ParquetFile | None = None
        self._batches: Iterator[pa.Array] = iter(())
        self._rest: pa.Array | None = None  # of the last batch
        self._position = 0

    def read(self, start: int, rows: int) -> list[pa.Array]:
        with self._lock:
            if self._opened is None or start < self._position:
                self._begin()
            try:
                for _ in self._taken(start - self._position):
                    pass  # a piece that was not wanted
                found = list(self._taken(rows))
                last = self._position == self._file.groups[self._group]
                if last and (self._rest is not None or any(len(more) for more in self._batches)):
                    raise self._file.other_rows(self._group, self._index)
            except BaseException:
                self._end()
                raise
            if last:
                self._end()
            return found

    def _begin(self) -> None:
        self._end()
        self._opened = self._file.opened(self._texts, buffered=True)
        name = self._file.fields[self._index].name
        batches = self._opened.iter_batches(self._rows, row_groups=[self._group], columns=[name], use_threads=False)
        self._batches = (batch.column(self._file.position(batch.schema.names, self._index)) for batch in batches)

    def _end(self) -> None:
        self._opened = self._rest = None
        self._batches = iter(())
        self._position = 0

    def _taken(self, rows: int) -> Iterator[pa.Array]:
        """The next `rows` rows."""
        while rows:
            array = self._rest if self._rest is not None else next(self._batches, None)
            if array is None:
                raise self._file.other_rows(self._group, self._index)
            taken = array.slice(0, rows)
            self._rest = array.slice(rows) if len(array) > rows else None
            self._position += len(taken)
            rows -= len(taken)
            yield taken
