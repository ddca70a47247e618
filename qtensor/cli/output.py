"""Where a result goes and in which format: decided, and refused, before the query runs. And how errors are said."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from qtensor.errors import QTensorError
from qtensor.whole_file import whole_file

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("table", "csv", "json", "arrow", "parquet")
BINARY = ("arrow", "parquet")
SUFFIXES = {
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".csv": "csv",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".json": "json",
    ".parquet": "parquet",
    ".txt": "table",
}
ROWS_SHOWN = 40
ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Output:
    """What is to become of a result. path: None for stdout. rows: how many a table shows."""

    format: str
    path: Path | None = None
    rows: int = ROWS_SHOWN

    def write(self, result: pa.Table | pa.RecordBatchReader, types: Sequence[str]) -> None:
        """Write `result`, whose columns have the SQL types `types`; a reader's batches are written as they come.

        Raises OSError: it cannot be written. A file is then as it was before.
        """
        import pyarrow as pa

        reader = result.to_reader(ROWS_AT_ONCE) if isinstance(result, pa.Table) else result
        with self._opened() as file:
            match self.format:
                case "table":
                    write_table(reader, types, self.rows, file)
                case "csv":
                    write_csv(reader, file)
                case "json":
                    write_json(reader, file)
                case "arrow":
                    # What is called .arrow or .feather has a footer, for those who map it into memory; a stream has none.
                    footer = self.path is not None and self.path.suffix != ".arrows"
                    write_arrow(reader, file, pa.ipc.new_file if footer else pa.ipc.new_stream)
                case _:
                    write_parquet(reader, file)
            file.flush()

    def _opened(self) -> AbstractContextManager[BinaryIO]:
        return nullcontext(sys.stdout.buffer) if self.path is None else whole_file(self.path)


def choose_output(format: str | None, path: str | None, rows: int) -> Output:
    """The output that the options ask for.

    Raises click.UsageError: a file's name does not tell a format, or binary data would go to a terminal.
    """
    file = None if path in (None, "-") else Path(path).expanduser()
    if format is None and file is not None:
        format = SUFFIXES.get(file.suffix.lower())
        if format is None:
            raise click.UsageError(f"the name {file} does not tell a format: end it in {', '.join(SUFFIXES)}, or add --format")
    on_terminal = file is None and sys.stdout.isatty()
    format = format or ("table" if on_terminal else "csv")
    if format in BINARY and on_terminal:
        raise click.UsageError(f"{format} is binary and stdout is a terminal: add -o FILE, or pipe it into a program")
    return Output(format, file, rows)


def write_table(reader: pa.RecordBatchReader, types: Sequence[str], rows: int, file: BinaryIO) -> None:
    from qtensor.display import render_text

    width = shutil.get_terminal_size((120, 40)).columns
    file.write((render_text(reader.read_all(), types, rows, width) + "\n").encode())


def write_csv(reader: pa.RecordBatchReader, file: BinaryIO) -> None:
    from qtensor.cli.texts import csv_fields, csv_lines

    write_lines([",".join(csv_fields(reader.schema.names))], file)
    for batch in pieces(reader):
        write_lines(csv_lines(batch), file)
        file.flush()  # a stream's rows are there before its end


def write_json(reader: pa.RecordBatchReader, file: BinaryIO) -> None:
    """An array with an object on each line; of columns with equal names, later ones are numbered: a, a_1."""
    from qtensor.cli.texts import json_objects

    names = reader.schema.names
    if len({name.lower() for name in names}) < len(names):
        from qtensor.bind.scope import distinct_names

        names = distinct_names(names)
    before = "["
    for batch in pieces(reader):
        file.write((before + ",\n".join(json_objects(batch, names))).encode())
        file.flush()
        before = ",\n"
    file.write(b"[]\n" if before == "[" else b"]\n")


def write_arrow(reader: pa.RecordBatchReader, file: BinaryIO, make: Callable[..., pa.ipc.RecordBatchStreamWriter]) -> None:
    with make(file, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            file.flush()


def write_parquet(reader: pa.RecordBatchReader, file: BinaryIO) -> None:
    import pyarrow.parquet as pq

    memory = io.BytesIO()  # a pipe cannot tell its position, which Parquet's writer asks for
    pq.write_table(reader.read_all(), memory)
    file.write(memory.getbuffer())


def pieces(reader: pa.RecordBatchReader) -> Iterable[pa.RecordBatch]:
    """The rows in batches of a size whose texts fit into memory, without empty ones."""
    for batch in reader:
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            yield batch.slice(start, ROWS_AT_ONCE)


def write_lines(lines: list[str], file: BinaryIO) -> None:
    file.write(("\n".join(lines) + "\n").encode())


def say_error(error: QTensorError) -> None:
    """The error on stderr, with its carets and without a traceback."""
    click.echo(f"{click.style(type(error).__name__, fg='red', bold=True)}: {error}", err=True)
