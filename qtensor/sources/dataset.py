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
from qtensor.sources.facts import NOTHING_SAID, ColumnFacts
from qtensor.sources.held import Reference
from qtensor.sources.parquet_file import checked_groups
from qtensor.sources.parts import put_together
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
            for fragment in _fragments(dataset):
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
            raise self._other_rows(table.num_rows)
        return [encode_column(field.name, checked(field.name, table.column(field.name)), field.type, layout) for field in fields]

    def _read(self, dataset: ds.Dataset, names: list[str]) -> pa.Table:
        return dataset.to_table(columns=names)

    def _other_rows(self, rows: int) -> DataError:
        return DataError(f"the dataset has {rows} rows, but had {self.rows} when it was registered; register it again")

    def is_current(self, indices: Collection[int]) -> bool:
        dataset = self._dataset()
        return dataset is not None and _signatures(dataset) == self._signatures

    def head(self, rows: int) -> DatasetSource | None:
        return _DatasetHead(self, rows)

    def parts(self, rows: int) -> list[DatasetSource] | None:
        """Row groups, and files of other kinds as a whole; to count the rows of CSV and JSON pyarrow reads them."""
        dataset = self._dataset()
        if dataset is None:
            return None
        try:
            units = [unit for fragment in _fragments(dataset) for unit in _units(fragment)]
            lengths = [_rows_of(unit) for unit in units]
        except READ_ERRORS as error:
            raise DataError(f"the dataset cannot be read: {error}") from error
        if sum(lengths) != self.rows:
            raise self._other_rows(sum(lengths))
        return [
            _DatasetPart(self, units[found.start : found.stop], sum(lengths[found.start : found.stop]))
            for found in put_together(lengths, rows)
        ]

    def facts(self, index: int) -> ColumnFacts:
        return NOTHING_SAID

    def forget(self, index: int) -> None:
        pass


class _DatasetHead(DatasetSource):
    """The first rows of a Dataset: of its first files, and no more of them at once than have to be read."""

    def __init__(self, whole: DatasetSource, rows: int) -> None:
        vars(self).update(vars(copy(whole)))
        self.rows = min(rows, whole.rows)

    def parts(self, rows: int) -> None:
        return None

    def _read(self, dataset: ds.Dataset, names: list[str]) -> pa.Table:
        return dataset.head(self.rows, columns=names, batch_readahead=1, fragment_readahead=1)


class _DatasetPart(DatasetSource):
    """Consecutive row groups and files of a Dataset."""

    def __init__(self, whole: DatasetSource, units: Sequence[ds.Fragment], rows: int) -> None:
        vars(self).update(vars(copy(whole)))
        self._units = units
        self.rows = rows

    def _read(self, dataset: ds.Dataset, names: list[str]) -> pa.Table:
        tables = [unit.to_table(schema=dataset.schema, columns=names) for unit in self._units]
        return pa.concat_tables(tables) if tables else dataset.schema.empty_table().select(names)

    def head(self, rows: int) -> None:
        return None

    def parts(self, rows: int) -> list[DatasetSource] | None:
        lengths = [_rows_of(unit) for unit in self._units]
        return [
            _DatasetPart(self, self._units[found.start : found.stop], sum(lengths[found.start : found.stop]))
            for found in put_together(lengths, rows)
        ]


def _fragments(dataset: ds.Dataset) -> list[ds.Fragment]:
    """The files. Raises DataError: pyarrow tells none, since a filter is on them, and so nobody looks at their footers."""
    try:
        return list(dataset.get_fragments())
    except pa.ArrowException:
        raise
    except ValueError as error:
        raise DataError("a filtered Dataset cannot be read; register the Dataset itself, and filter by WHERE") from error


def _units(fragment: ds.Fragment) -> list[ds.Fragment]:
    """What is read at once of a file."""
    groups = fragment.split_by_row_group() if isinstance(fragment, ds.ParquetFileFragment) else []
    return groups or [fragment]


def _rows_of(unit: ds.Fragment) -> int:
    groups = unit.row_groups if isinstance(unit, ds.ParquetFileFragment) else []
    rows: int = groups[0].num_rows if len(groups) == 1 else unit.count_rows()
    return rows


def _signatures(dataset: ds.Dataset) -> list[FileSignature | None]:
    """The signatures of the local files of `dataset`."""
    if isinstance(dataset, ds.UnionDataset):
        return [signature for child in dataset.children for signature in _signatures(child)]
    if isinstance(dataset, ds.FileSystemDataset) and dataset.filesystem.type_name == "local":
        return [file_signature(Path(path)) for path in dataset.files]
    return []
