"""Rows as bytes of a file: CSV, JSON, Arrow, Parquet. For COPY and for the command line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

from qtensor.types import distinct_names

if TYPE_CHECKING:
    import pyarrow as pa

FileFormat: TypeAlias = Literal["csv", "json", "parquet", "arrow"]

ROWS_AT_ONCE = 65_536
ROWS_OF_GROUP = 1 << 18  # of Parquet
SUFFIXES: dict[str, FileFormat] = {
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".csv": "csv",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSED = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True)
class FileOptions:
    """How rows are written.

    header, delimiter, null: of CSV, whether names come first, what stands between values, and what stands for NULL.
    array: JSON as one array, else an object on each line. footer: Arrow's form with a footer, else a stream.
    compression: of Parquet inside of the file, of CSV and JSON the whole file; None for Parquet's usual one, or none.
    """

    format: FileFormat
    header: bool = True
    delimiter: str = ","
    null: str = ""
    array: bool = False
    footer: bool = True
    compression: str | None = None


def written_format(path: str) -> tuple[FileFormat | None, str | None]:
    """The format and the compression that a file's name tells; None for what it does not.

    >>> written_format("a.csv.gz"), written_format("b.PARQUET"), written_format("c")
    (('csv', 'gzip'), ('parquet', None), (None, None))
    """
    name = PurePath(path.lower())
    compression = COMPRESSED.get(name.suffix)
    return SUFFIXES.get((name.with_suffix("") if compression else name).suffix), compression


def write_rows(reader: pa.RecordBatchReader, options: FileOptions, file: BinaryIO) -> None:
    """Write what `reader` gives, batch by batch where the format lets; the file is not closed."""
    if options.compression is not None and options.format in ("csv", "json"):
        import pyarrow as pa

        with pa.CompressedOutputStream(pa.PythonFile(Unclosed(file), "w"), options.compression) as compressed:
            write_text(reader, options, compressed)
        return
    match options.format:
        case "csv" | "json":
            write_text(reader, options, file)
        case "arrow":
            write_arrow(reader, file, options.footer)
        case "parquet":
            write_parquet(reader, file, options.compression)


def write_text(reader: pa.RecordBatchReader, options: FileOptions, file: BinaryIO) -> None:
    if options.format == "csv":
        write_csv(reader, file, options)
    elif options.array:
        write_json(reader, file)
    else:
        write_json_lines(reader, file)


def write_csv(reader: pa.RecordBatchReader, file: BinaryIO, options: FileOptions) -> None:
    from qtensor.results.column_texts import csv_fields, csv_lines

    delimiter, null = options.delimiter, options.null
    if options.header:
        write_lines([delimiter.join(csv_fields(reader.schema.names, delimiter, null))], file)
    for batch in pieces(reader):
        write_lines(csv_lines(batch, delimiter, null), file)
        file.flush()  # a stream's rows are there before its end


def write_json(reader: pa.RecordBatchReader, file: BinaryIO) -> None:
    """An array with an object on each line; of columns with equal names, later ones are numbered: a, a_1."""
    from qtensor.results.column_texts import json_objects

    names = distinct_names(reader.schema.names)
    before = "["
    for batch in pieces(reader):
        file.write((before + ",\n".join(json_objects(batch, names))).encode())
        file.flush()
        before = ",\n"
    file.write(b"[]\n" if before == "[" else b"]\n")


def write_json_lines(reader: pa.RecordBatchReader, file: BinaryIO) -> None:
    from qtensor.results.column_texts import json_objects

    names = distinct_names(reader.schema.names)
    for batch in pieces(reader):
        write_lines(json_objects(batch, names), file)


def write_arrow(reader: pa.RecordBatchReader, file: BinaryIO, footer: bool) -> None:
    """footer: what those need who map a file into memory; a stream has none."""
    import pyarrow as pa

    with (pa.ipc.new_file if footer else pa.ipc.new_stream)(file, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            file.flush()


def write_parquet(reader: pa.RecordBatchReader, file: BinaryIO, compression: str | None) -> None:
    """Row groups of ROWS_OF_GROUP rows or a few more, the last one of fewer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(pa.PythonFile(Unclosed(file), "w"), reader.schema, compression=compression or "snappy") as writer:
        held: list[pa.RecordBatch] = []
        for batch in reader:
            held.append(batch)
            if sum(one.num_rows for one in held) >= ROWS_OF_GROUP:
                writer.write_table(pa.Table.from_batches(held))
                held = []
        if held:
            writer.write_table(pa.Table.from_batches(held))


class Unclosed:
    """A file that is written to and left open, and that tells its position even if it is a pipe: Arrow's writers ask for it."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0

    def write(self, octets: bytes) -> int:
        self._file.write(octets)
        self._position += len(octets)
        return len(octets)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Nothing: who opened the file closes it."""


def pieces(reader: pa.RecordBatchReader) -> Iterable[pa.RecordBatch]:
    """The rows in batches of a size whose texts fit into memory, without empty ones."""
    for batch in reader:
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            yield batch.slice(start, ROWS_AT_ONCE)


def write_lines(lines: list[str], file: BinaryIO) -> None:
    file.write(("\n".join(lines) + "\n").encode())
