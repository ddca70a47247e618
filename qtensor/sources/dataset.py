"""pyarrow Datasets. Imported on demand: pyarrow.dataset imports pandas."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import copy
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from qtensor.errors import DataError
from qtensor.lowering.storage import EncodedColumn, Layout, encode_column
from qtensor.sources.arrow import READ_ERRORS, ArrowSource, checked, schema_of
from qtensor.sources.held import Reference
from qtensor.sources.parquet import checked_groups
from qtensor.sources.signature import FileSignature, file_signature
from qtensor.sources.table import Source


def open_dataset(dataset: ds.Dataset, reference: Reference) -> Source:
    """A Dataset; one in memory may be readable only once, and so is read here.

    Raises:
        DataError: it cannot be read.
    """
    return ArrowSource(dataset.to_table()) if isinstance(dataset, ds.InMemoryDataset) else DatasetSource(dataset, reference)


class DatasetSource:
    """A pyarrow Dataset: columns are read when first needed, all of its files in one pass."""

    def __init__(self, dataset: ds.Dataset, reference: Reference) -> None:
        """reference: to `dataset`. Raises DataError for unreadable files."""
        self._dataset = reference
        self._signatures = _signatures(dataset)
        try:
            self.fields = schema_of(dataset.schema)
            self.rows: int = dataset.count_rows()
            for fragment in dataset.get_fragments():
                if isinstance(fragment, ds.ParquetFileFragment):
                    checked_groups(fragment.path, fragment.metadata)
        except READ_ERRORS as error:
            raise DataError(f"the dataset cannot be read: {error}") from error

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        fields = [self.fields[index] for index in indices]
        try:
            table = self._read(self._dataset(), [field.name for field in fields])
        except READ_ERRORS as error:
            raise DataError(f"the dataset cannot be read: {error}") from error
        if table.num_rows != self.rows:
            raise DataError(
                f"the dataset has {table.num_rows} rows, but had {self.rows} when it was registered; register it again"
            )
        return [encode_column(field.name, checked(field.name, table.column(field.name)), field.type, layout) for field in fields]

    def _read(self, dataset: ds.Dataset, names: list[str]) -> pa.Table:
        return dataset.to_table(columns=names)

    def is_current(self, indices: Collection[int]) -> bool:
        dataset = self._dataset()
        return dataset is not None and _signatures(dataset) == self._signatures

    def head(self, rows: int) -> DatasetSource:
        return _DatasetHead(self, rows)

    def forget(self, index: int) -> None:
        pass


class _DatasetHead(DatasetSource):
    """The first rows of a Dataset: of its first files, and no more of them at once than have to be read."""

    def __init__(self, whole: DatasetSource, rows: int) -> None:
        vars(self).update(vars(copy(whole)))
        self.rows = min(rows, whole.rows)

    def _read(self, dataset: ds.Dataset, names: list[str]) -> pa.Table:
        return dataset.head(self.rows, columns=names, batch_readahead=1, fragment_readahead=1)


def _signatures(dataset: ds.Dataset) -> list[FileSignature | None]:
    """The signatures of the local files of `dataset`."""
    if isinstance(dataset, ds.UnionDataset):
        return [signature for child in dataset.children for signature in _signatures(child)]
    if isinstance(dataset, ds.FileSystemDataset) and dataset.filesystem.type_name == "local":
        return [file_signature(Path(path)) for path in dataset.files]
    return []
