"""pyarrow Datasets, and the many Parquet files of a folder. Imported on demand: pyarrow.dataset imports pandas."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from qtensor.errors import DataError, suggestion
from qtensor.lowering.storage import EncodedColumn, Layout, arrow_type, encode_column, sql_type
from qtensor.sources.arrow import READ_ERRORS, ArrowSource, checked, schema_of
from qtensor.sources.held import Reference, strongly
from qtensor.sources.parquet import INT96_UNIT
from qtensor.sources.signature import FileSignature, file_signature
from qtensor.table import Source
from qtensor.types import Integer, Unsupported


def open_dataset(dataset: ds.Dataset, reference: Reference) -> Source:
    """A Dataset; one in memory may be readable only once, and so is read here.

    Raises:
        DataError: it cannot be read.
    """
    return ArrowSource(dataset.to_table()) if isinstance(dataset, ds.InMemoryDataset) else DatasetSource(dataset, reference)


_FORMAT = ds.ParquetFileFormat(ds.ParquetReadOptions(coerce_int96_timestamp_unit=INT96_UNIT))
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_REMEDY = "Write all files with one schema, or register each by itself and use UNION ALL."


class DatasetSource:
    """A pyarrow Dataset: columns are read when first needed, all of its files in one pass."""

    def __init__(self, dataset: ds.Dataset, reference: Reference) -> None:
        """reference: to `dataset`. Raises DataError for unreadable files."""
        self._dataset = reference
        self._signatures = _signatures(dataset)
        try:
            self.fields = schema_of(dataset.schema)
            self.rows: int = dataset.count_rows()
        except READ_ERRORS as error:
            raise DataError(f"the dataset cannot be read: {error}") from error

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        fields = [self.fields[index] for index in indices]
        try:
            table = self._dataset().to_table(columns=[field.name for field in fields])
        except READ_ERRORS as error:
            raise DataError(f"the dataset cannot be read: {error}") from error
        if table.num_rows != self.rows:
            raise DataError(
                f"the dataset has {table.num_rows} rows, but had {self.rows} when it was registered; register it again"
            )
        return [encode_column(field.name, checked(field.name, table.column(field.name)), field.type, layout) for field in fields]

    def is_current(self, indices: Collection[int]) -> bool:
        dataset = self._dataset()
        return dataset is not None and _signatures(dataset) == self._signatures

    def head(self, rows: int) -> None:
        return None

    def forget(self, index: int) -> None:
        pass


class FilesSource(DatasetSource):
    """Parquet files that have the columns of the first one; a folder called `key=value` adds a column `key`."""

    def __init__(self, shown: str, find: Callable[[], Iterable[Path]]) -> None:
        """find: the files as they are now, which may be others later.

        Raises:
            DataError: there are none, one cannot be read, or one lacks a column of the first, or has it of another type.
        """
        self._find = find
        self._files = _sorted(find())
        if not self._files:
            raise DataError(f"{shown}: there is no such Parquet file")
        try:
            schema = _common_schema(self._files)
            folders = _partitions(self._files, schema)
            partitioning = ds.partitioning(folders, flavor="hive") if len(folders) else None
            everything = pa.schema([*schema, *folders])
            dataset = ds.dataset(self._files, schema=everything, format=_FORMAT, partitioning=partitioning)
        except READ_ERRORS as error:
            raise DataError(f"{shown}: cannot be read as Parquet: {error}") from error
        super().__init__(dataset, strongly(dataset))

    def is_current(self, indices: Collection[int]) -> bool:
        return super().is_current(indices) and _sorted(self._find()) == self._files


def _sorted(paths: Iterable[Path]) -> list[str]:
    return sorted(map(str, paths))


def _common_schema(files: Sequence[str]) -> pa.Schema:
    """The columns that files are read by: those of the first one.

    As in DuckDB further columns of others do not matter. Integers may be of any width: what does not fit is an error when it is
    read.

    Raises:
        DataError: a file lacks one, or has it of another type.
    """
    first = _schema_of_file(files[0])
    for file in files[1:]:
        other = _schema_of_file(file)
        if other.equals(first):
            continue
        for index, field in enumerate(first):
            place = other.get_field_index(field.name)
            if place < 0:
                hint = suggestion(field.name, other.names)
                message = f'{file} has no column "{field.name}", which {files[0]} has. {hint}'.rstrip()
                raise DataError(f"{message}\n  {_REMEDY}")
            wanted, found = sql_type(field.type), sql_type(other.field(place).type)
            if isinstance(found, Integer) and isinstance(wanted, Integer):
                continue
            if found != wanted:
                raise DataError(f'the column "{field.name}" is {found} in {file}, but {wanted} in {files[0]}\n  {_REMEDY}')
            if other.field(place).type != field.type and not isinstance(wanted, Unsupported):
                first = first.set(index, field.with_type(arrow_type(wanted)))
    return first


def _schema_of_file(path: str) -> pa.Schema:
    with pq.ParquetFile(path, coerce_int96_timestamp_unit=INT96_UNIT) as file:
        return file.schema_arrow


def _partitions(files: Sequence[str], schema: pa.Schema) -> pa.Schema:
    """The columns that the folders add to those of `schema`, `key=value`, of the types that DuckDB gives them."""
    values: dict[str, set[str]] = {}
    for file in files:
        for key, sign, value in (part.partition("=") for part in Path(file).parent.parts):
            if sign and key not in schema.names:
                values.setdefault(key, set()).add(value)
    return pa.schema([pa.field(key, _type_of_all(found)) for key, found in values.items()])


def _type_of_all(values: Iterable[str]) -> pa.DataType:
    """BIGINT, DATE, else text, as for a CSV file: 01 is a code."""
    texts = pa.array([value for value in values if value != _NO_VALUE], pa.string())
    for type in (pa.int64(), pa.date32()):
        try:
            texts.cast(type)
        except pa.ArrowInvalid:
            continue
        is_code = any(text[:1] == "0" and text[1:].isdecimal() for text in texts.to_pylist())
        return type if len(texts) and not is_code else pa.string()
    return pa.string()


def _signatures(dataset: ds.Dataset) -> list[FileSignature | None]:
    """The signatures of the local files of `dataset`."""
    if isinstance(dataset, ds.UnionDataset):
        return [signature for child in dataset.children for signature in _signatures(child)]
    if isinstance(dataset, ds.FileSystemDataset) and dataset.filesystem.type_name == "local":
        return [file_signature(Path(path)) for path in dataset.files]
    return []
