"""Text columns: codes into a sorted dictionary of the different strings that are present."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as arrow
from numpy.typing import NDArray

from qtensor.lowering.storage.column import EncodedColumn, Statistics, Validity, allocate, flat, is_sorted, narrowest
from qtensor.lowering.storage.layout import Layout
from qtensor.types import VARCHAR


class _Piece(NamedTuple):
    """Some rows of the column, as codes into strings of their own: different, present, in no order."""

    start: int
    codes: NDArray[np.int32]  # [n]; anything where not valid
    valid: Validity | None
    strings: pa.Array  # large_string, without NULL


class TextEncoder:
    """Collects pieces, each with a dictionary of its own, and at last merges and sorts the dictionaries."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._pieces: list[_Piece] = []

    def write(self, start: int, array: pa.Array) -> None:
        if len(array) == 0:
            return
        if not arrow.is_dictionary(array.type):
            # The kernel knows string and large_string, not views.
            array = (array.cast(pa.large_string()) if array.type == pa.string_view() else array).dictionary_encode()
        self._pieces.append(_present(start, array))

    def finish(self) -> EncodedColumn:
        layout = self._layout
        dictionary, translations = _merged([piece.strings for piece in self._pieces])
        data = allocate(layout, narrowest(0, max(len(dictionary) - 1, 0)))
        valid = None
        if any(piece.valid is not None for piece in self._pieces):
            valid = allocate(layout, np.dtype(np.bool_))
            flat(valid)[: layout.rows] = True
        for piece, translation in zip(self._pieces, translations, strict=True):
            rows = slice(piece.start, piece.start + len(piece.codes))
            codes = piece.codes
            if piece.valid is not None and valid is not None:
                flat(valid)[rows] = piece.valid
                codes = np.where(piece.valid, codes, 0)
            # A piece that is all NULL may have no strings, and 0 is as good as any code.
            flat(data)[rows] = translation.astype(data.dtype)[codes] if len(translation) else 0
        return EncodedColumn(VARCHAR, data, valid, dictionary, self._statistics(data, len(dictionary)))

    def _statistics(self, data: NDArray[np.signedinteger], distinct: int) -> Statistics:
        rows = self._layout.rows
        nulls = sum(int(np.count_nonzero(~piece.valid)) for piece in self._pieces if piece.valid is not None)
        return Statistics(
            rows=rows,
            nulls=nulls,
            minimum=0 if distinct else None,
            maximum=distinct - 1 if distinct else None,
            has_nan=False,
            distinct=distinct,
            sorted=nulls == 0 and is_sorted(flat(data)[:rows]),
        )


def _present(start: int, array: pa.DictionaryArray) -> _Piece:
    """`array` with a dictionary that holds each string once, only those that occur, and no NULL."""
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
    """The sorted union of `dictionaries`, and for each of them the code in the union of each of its entries."""
    everything = pa.chunked_array(dictionaries, pa.large_string()).combine_chunks()
    if isinstance(everything, pa.ChunkedArray):  # what combine_chunks gives for no chunks at all, in some versions
        everything = pa.array([], pa.large_string())
    encoded = everything.dictionary_encode()
    strings = encoded.dictionary
    order = pc.sort_indices(strings)  # by UTF-8 bytes, which is the order of code points
    rank = np.empty(len(strings), np.int32)
    rank[order.to_numpy()] = np.arange(len(strings), dtype=np.int32)
    codes = rank[encoded.indices.to_numpy()]
    boundaries = np.cumsum([len(dictionary) for dictionary in dictionaries])[:-1]
    return strings.take(order), np.split(codes, boundaries) if dictionaries else []
