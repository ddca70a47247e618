"""Tables in files: which kind a path is, and which source reads it."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path

from qtensor.errors import DataError
from qtensor.files.paths import CSV_SUFFIXES, FILE_SUFFIXES, IPC_SUFFIXES, NOT_REMOTE, is_pattern, is_remote, is_there
from qtensor.sources.csv_file import CsvSource
from qtensor.sources.csv_parts import open_csv_parts
from qtensor.sources.ipc import open_ipc
from qtensor.sources.parquet import ParquetSource
from qtensor.sources.parquet_files import FilesSource
from qtensor.sources.table import Source


def open_path(path: str | PathLike[str], stream: bool = False) -> Source:
    """The file, the folder of Parquet files, or the Parquet files of a pattern like `part-*.parquet`.

    stream: whether files that otherwise are read at once, CSV and Arrow's streams, are to be read in parts.

    Raises:
        DataError: nothing is there, it cannot be read, or it is neither Parquet nor CSV nor Arrow.
    """
    text = fspath(path)
    if is_remote(text):
        raise DataError(f"{text}: {NOT_REMOTE}")
    if is_pattern(text) and not is_there(text):
        if not text.lower().endswith(".parquet"):
            raise DataError(f"{text}: only Parquet files are read by a pattern, *.parquet; register the others one by one")
        pattern = Path(text).expanduser()
        anchor = Path(pattern.anchor)
        return FilesSource(text, lambda: anchor.glob(str(pattern.relative_to(anchor))))
    file = Path(text).expanduser()
    if not is_there(text):
        raise DataError(f"{file}: no such file")
    if file.is_dir():
        return FilesSource(text, lambda: file.rglob("*.parquet"))
    name = file.name.lower()
    if name.endswith(".parquet"):
        return ParquetSource(file)
    if name.endswith(CSV_SUFFIXES):
        return open_csv_parts(file) if stream else CsvSource(file)
    if name.endswith(IPC_SUFFIXES):
        return open_ipc(file, stream)
    raise DataError(f"{file}: the name must end in {', '.join(FILE_SUFFIXES[:-1])} or {FILE_SUFFIXES[-1]}")


def open_paths(name: str, paths: Sequence[str | PathLike[str]]) -> Source:
    """The Parquet files of a list of paths, as one table. Raises DataError: see `FilesSource`."""
    return FilesSource(name, lambda: [Path(path).expanduser() for path in paths])
