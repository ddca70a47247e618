"""Tables over memory that its owner may change: pandas DataFrames and dicts of NumPy arrays.

A column is copied when a query first reads it, encoded from the copy, and from then on compared with the copy, bit for
bit, before each query: an encoding of yesterday's values would be a wrong answer.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qtensor.errors import DataError
from qtensor.lowering.storage import EncodedColumn, Layout, arrow_type, encode_column, sql_type
from qtensor.sources.facts import NOTHING_SAID, ColumnFacts
from qtensor.sources.held import Reference
from qtensor.sources.numbers import arrow_array, numpy_type
from qtensor.sources.parts import slices
from qtensor.sources.table import Source
from qtensor.types import VARCHAR, Enum, Field, Schema, SqlType, Unsupported

AnyArray: TypeAlias = NDArray[Any]

_ONE_TYPE = "give all its values one type, whole numbers 64 bits at most"
_BLOCK = 8_192  # values compared at a time, in L2
_CONVERSION_ERRORS = (pa.ArrowException, TypeError, ValueError, OverflowError)


class Snapshot(Protocol):
    """A column as it was; `live` is what its owner has in its place now."""

    def arrow(self) -> pa.Array | pa.ChunkedArray:
        """The values that the column had."""

    def matches(self, live: Any) -> bool:
        """Whether `live` has the same values, bit for bit."""


class _ArraySnapshot:
    """A NumPy array of numbers, dates, text or Python objects; masked values are NULL."""

    def __init__(self, name: str, live: AnyArray) -> None:
        self._name = name
        self._values = np.array(np.ma.getdata(live), order="C", copy=True)
        self._mask = np.array(np.ma.getmaskarray(live)) if isinstance(live, np.ma.MaskedArray) else None

    def arrow(self) -> pa.Array:
        values, mask = self._values, self._mask
        if values.dtype.kind not in "OU":
            return arrow_array(self._name, values, mask)
        try:
            found = pa.array(values, mask=mask, from_pandas=True)
        except _CONVERSION_ERRORS as error:
            raise DataError(f'column "{self._name}" cannot be read: {error}; {_ONE_TYPE}') from error
        if found.type == pa.date32() and any(isinstance(value, datetime.datetime) for value in values):
            raise DataError(f'column "{self._name}" holds dates and timestamps; {_ONE_TYPE}')  # whose times would be lost
        return found

    def matches(self, live: Any) -> bool:
        if isinstance(live, np.ma.MaskedArray) != (self._mask is not None):
            return False
        if self._mask is not None and not same_bits(np.ma.getmaskarray(live), self._mask):
            return False
        return same_bits(np.ma.getdata(live), self._values)


class _ExtensionSnapshot:
    """A pandas extension array with memory of its own: nullable integers, categories, ..."""

    def __init__(self, name: str, live: Any) -> None:
        self._name = name
        self._values = live.copy()

    def arrow(self) -> pa.Array | pa.ChunkedArray:
        try:
            return pa.array(self._values, from_pandas=True)
        except _CONVERSION_ERRORS as error:
            raise DataError(f'column "{self._name}" of pandas type {self._values.dtype} cannot be read: {error}') from error

    def matches(self, live: Any) -> bool:
        return bool(self._values.equals(live))


class _ArrowSnapshot:
    """A pandas array over Arrow memory, which pandas replaces and never overwrites."""

    def __init__(self, live: Any) -> None:
        self._values = live.__arrow_array__()

    def arrow(self) -> pa.Array | pa.ChunkedArray:
        return self._values

    def matches(self, live: Any) -> bool:
        return _is_arrow(live) and _buffers(live.__arrow_array__()) == _buffers(self._values)


class _MutableSource:
    """What DataFrames and dicts of arrays have in common; a subclass says what is there now."""

    def __init__(self, names: Sequence[str], rows: int, fields: Schema | None = None) -> None:
        """fields: of the whole that this is a part of."""
        self._snapshots: dict[int, Snapshot] = {}
        self.rows = rows
        self.fields = fields or tuple(Field(name, self._type(name, index)) for index, name in enumerate(names))
        # The type of Python objects is known only by their values: these columns count as read from the beginning.
        self._inferred = frozenset(self._snapshots)

    def _live(self, index: int) -> Any:
        """The array that now is column `index`: of NumPy or of pandas."""
        raise NotImplementedError

    def _has_same_shape(self) -> bool:
        """Whether names, types and the number of rows are what they were."""
        raise NotImplementedError

    def _type(self, name: str, index: int) -> SqlType:
        live = self._live(index)
        if isinstance(live, np.ndarray) and live.dtype.kind not in "OU":
            type = numpy_type(live.dtype)
            return type if isinstance(type, Unsupported) else sql_type(type)
        self._snapshots[index] = _snapshot(name, live)
        try:
            type = sql_type(self._snapshots[index].arrow().type)
            return Enum(tuple(map(str, live.categories))) if _is_category(live) and type == VARCHAR else type
        except DataError:  # this column alone cannot be read
            remedy = _ONE_TYPE if isinstance(live, np.ndarray) else "cast it to another type or drop it"
            return Unsupported(str(live.dtype), remedy)

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        columns = []
        for index in indices:
            field = self.fields[index]
            if index not in self._snapshots:
                self._snapshots[index] = _snapshot(field.name, self._live(index))
            values = _as_whole(field, self._snapshots[index].arrow())
            columns.append(encode_column(field.name, values, field.type, layout))
        return columns

    def _some_rows(self, rows: range) -> Source:
        """Consecutive rows, as a source of their own. What is compared before each query are these rows, too."""
        raise NotImplementedError

    def head(self, rows: int) -> Source:
        return self._some_rows(range(min(rows, self.rows)))

    def parts(self, rows: int) -> list[Source]:
        return [self._some_rows(found) for found in slices(self.rows, rows)]

    def facts(self, index: int) -> ColumnFacts:
        return NOTHING_SAID

    def forget(self, index: int) -> None:
        if index not in self._inferred:
            self._snapshots.pop(index, None)

    def is_current(self, indices: Collection[int]) -> bool:
        return self._has_same_shape() and all(
            index in self._snapshots and self._snapshots[index].matches(self._live(index))
            for index in self._inferred.union(indices)
        )


class DataFrameSource(_MutableSource):
    """A pandas DataFrame, its index ignored."""

    def __init__(self, frame: Any, reference: Reference, fields: Schema | None = None) -> None:
        """reference: to `frame`. fields: of the whole that this is a part of."""
        self._frame = reference
        self._labels = frame.columns
        self._dtypes = list(frame.dtypes)
        super().__init__([str(label) for label in self._labels], len(frame), fields)

    def _some_rows(self, rows: range) -> Source:
        whole = self._frame

        def some() -> Any:
            frame = whole()
            return None if frame is None else frame.iloc[rows.start : rows.stop]

        frame = some()
        if frame is None:
            raise DataError("the DataFrame is gone; register it again")
        return DataFrameSource(frame, some, self.fields)

    def _live(self, index: int) -> Any:
        series = self._frame().iloc[:, index]  # not by its label, which another column may have too
        return series.to_numpy() if isinstance(series.dtype, np.dtype) else series.array

    def _has_same_shape(self) -> bool:
        frame = self._frame()
        if frame is None:
            return False
        same_labels = frame.columns is self._labels or frame.columns.equals(self._labels)
        return same_labels and len(frame) == self.rows and _same_types(self._dtypes, list(frame.dtypes))


class DictSource(_MutableSource):
    """A dict of one-dimensional NumPy arrays."""

    def __init__(self, name: str, arrays: Mapping[Any, Any], held: Mapping[Any, Any], fields: Schema | None = None) -> None:
        """held: the same arrays, as they are to be kept. fields: of the whole that this is a part of.

        Raises DataError when a value is not an array of one dimension, or lengths differ."""
        lengths = {}
        for key, array in arrays.items():
            if not isinstance(key, str):
                raise DataError(f"{name}: the key {key!r} is not a string; keys of a dict of arrays are column names")
            if not isinstance(array, np.ndarray) or array.ndim != 1:
                found = f"{array.ndim}-dimensional" if isinstance(array, np.ndarray) else type(array).__name__
                raise DataError(f'{name}: column "{key}" is {found}; it must be a one-dimensional NumPy array')
            lengths[key] = len(array)
        if len(set(lengths.values())) > 1:
            found = ", ".join(f'"{key}" has {length}' for key, length in lengths.items())
            raise DataError(f"{name}: columns must have equal numbers of rows, but {found}")
        self._name = name
        self._arrays = held
        self._dtypes = {key: array.dtype for key, array in arrays.items()}
        self._names = list(arrays)
        super().__init__(self._names, next(iter(lengths.values()), 0), fields)

    def _some_rows(self, rows: range) -> Source:
        some = _SomeOfEach(self._arrays, rows)
        return DictSource(self._name, some, some, self.fields)

    def _live(self, index: int) -> AnyArray:
        array: AnyArray = self._arrays[self._names[index]]
        return array

    def _has_same_shape(self) -> bool:
        return list(self._arrays) == self._names and all(
            isinstance(array, np.ndarray) and array.shape == (self.rows,) and array.dtype == self._dtypes[key]
            for key, array in self._arrays.items()
        )


class _SomeOfEach(Mapping[Any, Any]):
    """The values number `rows` of each array there is."""

    def __init__(self, arrays: Mapping[Any, Any], rows: range) -> None:
        self._arrays = arrays
        self._rows = rows

    def __getitem__(self, name: Any) -> Any:
        array = self._arrays[name]
        return array[self._rows.start : self._rows.stop] if isinstance(array, np.ndarray) and array.ndim == 1 else None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def _as_whole(field: Field, values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """`values` in the type of their column, where fewer rows of Python objects look like another. Raises DataError."""
    if isinstance(field.type, Enum | Unsupported) or sql_type(values.type) == field.type:
        return values
    try:
        return values.cast(arrow_type(field.type))
    except pa.ArrowException as error:
        raise DataError(f'column "{field.name}" cannot be read: {error}; {_ONE_TYPE}') from error


def same_bits(live: AnyArray, copy: AnyArray) -> bool:
    """Whether two arrays have the same type, shape and bits (NaN is like itself, 0.0 unlike -0.0).

    Python objects are the same when they are identical (their bits are their addresses); the copy keeps its objects alive,
    so that no other can be mistaken for one of them.
    """
    if live.dtype != copy.dtype or live.shape != copy.shape:
        return False
    if len(live) <= _BLOCK or live.dtype.kind in "OU":
        blocks = range(0, len(live), _BLOCK)
        return all(live[start : start + _BLOCK].tobytes() == copy[start : start + _BLOCK].tobytes() for start in blocks)
    bits = f"u{live.dtype.itemsize}"  # the faster way for many numbers
    live, copy = live.view(bits), copy.view(bits)
    blocks = range(0, len(live), _BLOCK)
    return all(bool((live[start : start + _BLOCK] == copy[start : start + _BLOCK]).all()) for start in blocks)


def _snapshot(name: str, live: Any) -> Snapshot:
    if isinstance(live, np.ndarray):
        return _ArraySnapshot(name, live)
    return _ArrowSnapshot(live) if _is_arrow(live) else _ExtensionSnapshot(name, live)


def _same_types(known: Sequence[Any], live: Sequence[Any]) -> bool:
    """Whether the columns' types are the same; to pandas categories in another order are, unless their order is declared."""
    return known == live and all(
        old is new or not hasattr(old, "categories") or old.categories.equals(new.categories)
        for old, new in zip(known, live, strict=True)
    )


def _is_category(live: Any) -> bool:
    """Whether a pandas array is one of categories, which are in an order, declared or not."""
    return type(live).__name__ == "Categorical"


def _is_arrow(live: Any) -> bool:
    """Whether a pandas array keeps its values in Arrow memory."""
    return hasattr(live, "__arrow_array__") and getattr(live.dtype, "storage", "") == "pyarrow"


def _buffers(values: pa.Array | pa.ChunkedArray) -> list[Any]:
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    return [(len(chunk), chunk.offset, *(buffer and buffer.address for buffer in chunk.buffers())) for chunk in chunks]
