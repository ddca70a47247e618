"""pyarrow Datasets, and the many Parquet files of a folder. Imported on demand: pyarrow.dataset imports pandas."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from qtensor.errors import DataError
from qtensor.lowering.storage import EncodedColumn, Layout, encode_column
from qtensor.sources.arrow import ArrowSource, schema_of
from qtensor.sources.signature import FileSignature, file_signature
from qtensor.table import Source


def open_dataset(dataset: ds.Dataset) -> Source:
    """A Dataset; one in memory may be readable only once, and so is read here.

    Raises:
        DataError: it cannot be read.
    """
    return ArrowSource(dataset.to_table()) if isinstance(dataset, ds.InMemoryDataset) else DatasetSource(dataset)


def open_files(shown: str, paths: Iterable[Path]) -> Source:
    """Parquet files of one schema, in the order of their paths; a folder called `key=value` adds a column `key`.

    Raises:
        DataError: there are none, one cannot be read.
    """
    files = sorted(str(path) for path in paths)
    if not files:
        raise DataError(f"{shown}: there is no such Parquet file")
    try:
        dataset = ds.dataset(files, format="parquet", partitioning="hive")
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{shown}: cannot be read as Parquet: {error}") from error
    return DatasetSource(dataset)


class DatasetSource:
    """A pyarrow Dataset: columns are read when first needed, all of its files in one pass."""

    def __init__(self, dataset: ds.Dataset) -> None:
        """Raises DataError for unreadable files."""
        self.fields = schema_of(dataset.schema)
        self._dataset = dataset
        self._signatures = _signatures(dataset)
        try:
            self.rows: int = dataset.count_rows()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"the dataset cannot be read: {error}") from error

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        fields = [self.fields[index] for index in indices]
        try:
            table = self._dataset.to_table(columns=[field.name for field in fields])
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"the dataset cannot be read: {error}") from error
        if table.num_rows != self.rows:
            raise DataError(
                f"the dataset has {table.num_rows} rows, but had {self.rows} when it was registered; register it again"
            )
        return [encode_column(field.name, table.column(field.name), field.type, layout) for field in fields]

    def is_current(self, indices: Collection[int]) -> bool:
        return _signatures(self._dataset) == self._signatures


def _signatures(dataset: ds.Dataset) -> list[FileSignature | None]:
    """The signatures of the local files of `dataset`."""
    if isinstance(dataset, ds.UnionDataset):
        return [signature for child in dataset.children for signature in _signatures(child)]
    if isinstance(dataset, ds.FileSystemDataset) and dataset.filesystem.type_name == "local":
        return [file_signature(Path(path)) for path in dataset.files]
    return []
