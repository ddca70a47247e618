"""Opening what a user registers: telling what kind of object it is, and making a Table of it."""

from __future__ import annotations

from os import PathLike

import pyarrow as pa

from qtensor.errors import DataError
from qtensor.process.memory import enough_memory
from qtensor.sources.arrow import READ_ERRORS, ArrowSource, PolarsSource, reader_of
from qtensor.sources.files import open_path, open_paths
from qtensor.sources.frames import DataFrameSource, DictSource
from qtensor.sources.held import WeakArrays, strongly, weakly
from qtensor.sources.table import Source, Table
from qtensor.sources.typed import RelationSource, TypedRows

_ACCEPTED = (
    "a pandas or polars DataFrame, a pyarrow Table, RecordBatch, RecordBatchReader or Dataset, a dict of one-dimensional "
    "NumPy arrays, the path of a .parquet, .csv or .arrow file, or any object with __arrow_c_stream__"
)


def open_table(name: str, source: object, weak: bool = False, stream: bool = False) -> Table:
    """A table called `name` over `source`.

    Accepted are relations (run here, and again when what they read has changed); pandas and polars DataFrames and LazyFrames;
    pyarrow Table, RecordBatch, RecordBatchReader (read here, once)
    and Dataset; dicts of one-dimensional NumPy arrays of equal lengths; paths of Parquet, Arrow IPC and CSV files (of Parquet and
    Arrow files only the footer is read here), of a folder of Parquet files, a pattern of Parquet paths, or a list of those;
    objects with `__arrow_c_stream__` or `__arrow_c_array__`.

    A floating-point NaN in a NumPy array, and so in a DataFrame's NumPy-backed column, is NULL, as in DuckDB; a NaN from
    Arrow, polars or Parquet is NaN. A DataFrame's index is ignored. A column of a type that is not supported is refused by the
    queries that read it.

    stream: whether queries read it block by block; also CSV files and files of Arrow's stream format, which otherwise are read
    here. All others can be read in parts anyway, but for a RecordBatchReader and other objects with `__arrow_c_stream__`:
    these give their batches once, and so are read here in any case.

    weak: whether the table does not keep `source` alive. Once that is gone, the table is not current.

    Raises:
        DataError: the data cannot be read, or `source` is nothing of the above.
        CapacityError: it needs more memory than there is.
    """
    with enough_memory(f"the table {name}"):
        return Table(name, _source(name, source, weak, stream), stream=stream)


def _source(name: str, source: object, weak: bool, stream: bool) -> Source:
    hold = weakly if weak else strongly
    match source:
        case str() | PathLike():
            return open_path(source, stream)
        case list() | tuple() if source and all(isinstance(path, str | PathLike) for path in source):
            return open_paths(name, source)
        case dict():
            return DictSource(name, source, WeakArrays(source) if weak else source)
        case TypedRows():
            return RelationSource(source, hold(source))
        case pa.Table():
            # Another object over the same memory, which goes when the user's goes.
            return ArrowSource(pa.Table.from_arrays(source.columns, schema=source.schema) if weak else source)
        case pa.RecordBatch():
            return ArrowSource(pa.Table.from_batches([source]))
        case pa.RecordBatchReader():
            return ArrowSource(_read_stream(name, source))
        case _:
            pass
    # No library is imported for this: an object of its types exists only where it was imported already.
    match (type(source).__module__.partition(".")[0], type(source).__name__):
        case ("pyarrow", kind) if kind.endswith("Dataset"):
            from qtensor.sources.dataset import open_dataset

            return open_dataset(source, hold(source))
        case ("pandas", "DataFrame"):
            return DataFrameSource(source, hold(source))
        case ("polars", "DataFrame"):
            return PolarsSource(source, hold(source))
        case ("pandas" | "polars" as library, "Series"):
            raise DataError(f"{name} is a {library} Series, one column without a table: use {name}.to_frame()")
        case ("polars", "LazyFrame"):
            collected = source.collect()  # type: ignore[attr-defined]
            return PolarsSource(collected, strongly(collected))
        case _:
            pass
    if hasattr(source, "__arrow_c_stream__"):
        return ArrowSource(_read_stream(name, source))
    if hasattr(source, "__arrow_c_array__"):
        return ArrowSource(_read_array(name, source))
    raise DataError(f"{name} is a {type(source).__module__}.{type(source).__qualname__}; a table can be {_ACCEPTED}")


def _read_stream(name: str, source: object) -> pa.Table:
    """Everything that an object with __arrow_c_stream__ has to give."""
    try:
        table = reader_of(source).read_all()
        table.validate()
        return table
    except READ_ERRORS as error:
        raise DataError(f"{name}: its Arrow stream cannot be read: {error}") from error


def _read_array(name: str, source: object) -> pa.Table:
    """The one batch of an object with __arrow_c_array__."""
    try:
        return pa.Table.from_batches([pa.record_batch(source)])
    except pa.ArrowException as error:
        raise DataError(f"{name}: its Arrow array cannot be read: {error}") from error
