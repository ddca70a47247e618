"""Text columns: codes into a dictionary, which is no more distinct and no more in order than is cheap or was asked for.

Few different strings are sorted at once. Many are not: to hash and to sort millions of strings takes ten times as long as to
read them, and few queries need it. So a column of nearly different strings is kept as it is, with the row's number as the code
("plain"), and `strengthened` when a query compares or orders its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as arrow
from numpy.typing import NDArray

from qtensor.errors import DataError, InternalError
from qtensor.lowering.storage.column import EncodedColumn, Statistics, Validity, Values, allocate, flat, is_sorted, narrowest
from qtensor.lowering.storage.layout import Layout
from qtensor.lowering.storage.levels import Level, serves
from qtensor.types import VARCHAR

FEW_STRINGS = 1 << 16  # so many are sorted in 50 ms, and a column of so few rows is never plain
_SAMPLE = 1 << 14  # rows of a piece by which to tell whether it repeats its strings
_DISTINCT_SHARE = 0.98  # of the sample: a hundred thousand strings that recur would be fewer, half a million more


class _Piece(NamedTuple):
    """Some rows of the column, as codes into strings of their own: different, present, in no order."""

    start: int
    codes: NDArray[np.int32]  # [n]; anything where not valid
    valid: Validity | None
    strings: pa.Array  # large_string, without NULL


class _PlainPiece(NamedTuple):
    """Some rows of the column as they are."""

    start: int
    strings: pa.Array  # large_string, NULL where the row is


_VIEW = 4  # words of 32 bits: of a text its length, and either the text itself or where it is


class TextEncoder:
    """Collects pieces, each with a dictionary of its own or none, and at last puts them together."""

    def __init__(self, name: str, layout: Layout) -> None:
        self._name = name
        self._layout = layout
        self._pieces: list[_Piece] = []
        self._plain: list[_PlainPiece] = []

    def write(self, start: int, array: pa.Array) -> None:
        """Raises DataError: codes of a dictionary that it does not have."""
        if len(array) == 0:
            return
        if arrow.is_dictionary(array.type):
            self._refuse_unknown_codes(array)
            if arrow.is_string_view(array.type.value_type) and array.dictionary.null_count:
                array = pa.DictionaryArray.from_arrays(array.indices, _without_views_of_nulls(array.dictionary))
            self._pieces.append(_distinct(_present(start, array)))
            return
        if arrow.is_string_view(array.type) and array.null_count:
            array = _without_views_of_nulls(array)
        array = array.cast(pa.large_string())  # of `string` the text itself is shared; of views few kernels know
        if self._layout.rows > FEW_STRINGS and _nearly_distinct(array):
            self._plain.append(_PlainPiece(start, array))
            return
        self._pieces.append(_present(start, array.dictionary_encode()))

    def _refuse_unknown_codes(self, array: pa.DictionaryArray) -> None:
        """Arrow looks up no code of a Parquet file, and a damaged one has any."""
        codes = pc.min_max(array.indices).as_py()
        if codes["min"] is not None and not 0 <= codes["min"] <= codes["max"] < len(array.dictionary):
            raise DataError(f'column "{self._name}" is damaged: it has codes of texts that its dictionary does not have')

    def finish(self) -> EncodedColumn:
        """Raises DataError: a string that is not UTF-8, which damaged files have."""
        column = self._column()
        assert column.dictionary is not None
        try:
            column.dictionary.validate(full=True)  # an eighth of a second for a gigabyte
        except pa.ArrowInvalid as error:
            raise DataError(f'column "{self._name}" holds text that is not UTF-8: {error}') from error
        return column

    def _column(self) -> EncodedColumn:
        if sum(len(piece.strings) for piece in self._plain) * 2 > self._layout.rows:
            return _plain_column(self._layout, self._plain, self._pieces)
        encoded = [_present(piece.start, piece.strings.dictionary_encode()) for piece in self._plain]
        return _coded_column(self._layout, [*self._pieces, *encoded], None)


def strengthened(column: EncodedColumn, level: Level, layout: Layout) -> EncodedColumn:
    """A text column with codes of `level`, or of a stronger one where that comes for nothing. The same rows, the same layout."""
    if serves(column.level, level):
        return column
    if column.dictionary is None:
        raise InternalError(f"a column of type {column.type} has no level")
    codes, valid = flat(column.data)[: layout.rows], None if column.valid is None else flat(column.valid)[: layout.rows]
    if column.level == "plain":
        strings = column.dictionary
        if valid is not None:
            strings = pc.if_else(pa.array(valid), strings, pa.scalar(None, pa.large_string()))
        return _coded_column(layout, [_present(0, strings.dictionary_encode())], level)
    return _coded_column(layout, [_Piece(0, codes.astype(np.int32, copy=False), valid, column.dictionary)], level)


def _nearly_distinct(array: pa.Array) -> bool:
    """Whether hardly any string of `array` comes twice, by a sample."""
    if len(array) > _SAMPLE:
        array = array.take(pa.array(np.linspace(0, len(array) - 1, _SAMPLE).astype(np.int64)))
    return len(array.unique()) >= _DISTINCT_SHARE * len(array)


def _plain_column(layout: Layout, plain: Sequence[_PlainPiece], pieces: Sequence[_Piece]) -> EncodedColumn:
    """The strings of all rows in order, and the row's number as its code."""
    everything = [*plain, *(_PlainPiece(piece.start, _decoded(piece)) for piece in pieces)]
    strings = pa.concat_arrays([piece.strings for piece in sorted(everything, key=lambda piece: piece.start)])
    rows = layout.rows
    data = allocate(layout, narrowest(0, max(rows - 1, 0)))
    flat(data)[:rows] = np.arange(rows, dtype=data.dtype)
    valid = None
    nulls = strings.null_count
    if nulls:
        valid = allocate(layout, np.dtype(np.bool_))
        flat(valid)[:rows] = strings.is_valid().to_numpy(zero_copy_only=False)
        strings = strings.fill_null("")
    distinct = rows - nulls
    statistics = Statistics(rows, nulls, 0 if distinct else None, rows - 1 if distinct else None, False, distinct, sorted=False)
    return EncodedColumn(VARCHAR, data, valid, strings, statistics, "plain")


def _decoded(piece: _Piece) -> pa.Array:
    """The strings of a piece's rows, NULL where the row is."""
    invalid = None if piece.valid is None else ~piece.valid
    return piece.strings.take(pa.array(piece.codes, mask=invalid))


def _coded_column(layout: Layout, pieces: Sequence[_Piece], wanted: Level | None) -> EncodedColumn:
    """The pieces with one code for each string, in order where that is wanted or cheap."""
    dictionary, translations = _merged([piece.strings for piece in pieces])
    level: Level = "ordered" if wanted == "ordered" or len(dictionary) <= FEW_STRINGS else "unique"
    if level == "ordered":
        dictionary, translations = _sorted(dictionary, translations)
    data = allocate(layout, narrowest(0, max(len(dictionary) - 1, 0)))
    valid = None
    if any(piece.valid is not None for piece in pieces):
        valid = allocate(layout, np.dtype(np.bool_))
        flat(valid)[: layout.rows] = True
    for piece, translation in zip(pieces, translations, strict=True):
        rows = slice(piece.start, piece.start + len(piece.codes))
        codes = piece.codes
        if piece.valid is not None and valid is not None:
            flat(valid)[rows] = piece.valid
            codes = np.where(piece.valid, codes, 0)
        # A piece that is all NULL may have no strings, and 0 is as good as any code.
        flat(data)[rows] = translation.astype(data.dtype)[codes] if len(translation) else 0
    nulls = sum(int(np.count_nonzero(~piece.valid)) for piece in pieces if piece.valid is not None)
    return EncodedColumn(VARCHAR, data, valid, dictionary, _statistics(layout, data, nulls, len(dictionary), level), level)


def _statistics(layout: Layout, data: Values, nulls: int, distinct: int, level: Level) -> Statistics:
    return Statistics(
        rows=layout.rows,
        nulls=nulls,
        minimum=0 if distinct else None,
        maximum=distinct - 1 if distinct else None,
        has_nan=False,
        distinct=distinct,
        sorted=level == "ordered" and nulls == 0 and is_sorted(flat(data)[: layout.rows]),
    )


def _distinct(piece: _Piece) -> _Piece:
    """`piece` with each of its strings once: Arrow does not promise that of a dictionary."""
    encoded = piece.strings.dictionary_encode()
    if len(encoded.dictionary) == len(piece.strings):
        return piece
    return piece._replace(codes=encoded.indices.to_numpy()[piece.codes], strings=encoded.dictionary)


def _present(start: int, array: pa.DictionaryArray) -> _Piece:
    """`array` with a dictionary that holds only strings that occur, and no NULL."""
    entries = array.dictionary
    if entries.type != pa.large_string():
        entries = entries.cast(pa.large_string())
    indices = array.indices
    valid = indices.is_valid().to_numpy(zero_copy_only=False) if indices.null_count else None
    codes = (indices.fill_null(0) if indices.null_count else indices).to_numpy().astype(np.int32, copy=False)
    if entries.null_count:  # a code may stand for NULL, too
        present = entries.is_valid().to_numpy(zero_copy_only=False)[codes]
        valid = present if valid is None else valid & present
    if valid is not None and valid.all():
        valid = None
    used = np.zeros(len(entries), np.bool_)
    used[codes if valid is None else codes[valid]] = True
    if not used.all():
        translation = np.cumsum(used, dtype=np.int32) - 1
        codes = translation[codes] if len(translation) else codes
        entries = entries.filter(pa.array(used))
    return _Piece(start, codes, valid, entries)


def _merged(dictionaries: list[pa.Array]) -> tuple[pa.Array, list[NDArray[np.int32]]]:
    """The union of `dictionaries`, in no order, and for each of them the code in the union of each of its entries."""
    if len(dictionaries) == 1:
        return dictionaries[0], [np.arange(len(dictionaries[0]), dtype=np.int32)]
    everything = pa.chunked_array(dictionaries, pa.large_string()).combine_chunks()
    if isinstance(everything, pa.ChunkedArray):  # what combine_chunks gives for no chunks at all, in some versions
        everything = pa.array([], pa.large_string())
    encoded = everything.dictionary_encode()
    boundaries = np.cumsum([len(dictionary) for dictionary in dictionaries])[:-1]
    codes = encoded.indices.to_numpy()
    return encoded.dictionary, np.split(codes, boundaries) if dictionaries else []


def _sorted(strings: pa.Array, codes: list[NDArray[np.int32]]) -> tuple[pa.Array, list[NDArray[np.int32]]]:
    """A dictionary in order, and the codes in it of what were `codes`."""
    order = pc.sort_indices(strings)  # by UTF-8 bytes, which is the order of code points
    rank = np.empty(len(strings), np.int32)
    rank[order.to_numpy()] = np.arange(len(strings), dtype=np.int32)
    return strings.take(order), [rank[part] for part in codes]


def _without_views_of_nulls(array: pa.Array) -> pa.Array:
    """The same views, those of NULLs empty: Arrow's cast alone looks at them, and in a damaged file they are anything."""
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    _, views, *texts = array.buffers()
    own = np.frombuffer(views, np.int32).reshape(-1, _VIEW)[array.offset : array.offset + len(array)] * valid[:, None]
    bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(array.type, len(array), [bitmap, pa.py_buffer(own.astype(np.int32)), *texts])
