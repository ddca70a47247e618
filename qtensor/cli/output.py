"""Where a result goes and in which format: decided, and refused, before the query runs. And how errors are said."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias, cast

import click

from qtensor.errors import QTensorError
from qtensor.files.printable import printable
from qtensor.files.whole_file import whole_file
from qtensor.results.writing import ROWS_AT_ONCE, FileFormat, FileOptions, write_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from qtensor.relation import Relation

Format: TypeAlias = Literal["table"] | FileFormat

FORMATS: tuple[Format, ...] = ("table", "csv", "json", "arrow", "parquet")
BINARY = ("arrow", "parquet")
SUFFIXES: dict[str, Format] = {
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


@dataclass(frozen=True)
class Output:
    """What is to become of a result. path: None for stdout. rows: how many a table shows."""

    format: Format
    path: Path | None = None
    rows: int = ROWS_SHOWN

    def write(self, result: pa.Table | pa.RecordBatchReader, types: Sequence[str]) -> None:
        """Write `result`, whose columns have the SQL types `types`; a reader's batches are written as they come.

        Raises OSError: it cannot be written. A file is then as it was before.
        """
        import pyarrow as pa

        reader = result.to_reader(ROWS_AT_ONCE) if isinstance(result, pa.Table) else result
        with self._opened() as file:
            if self.format == "table":
                write_table(reader, types, self.rows, file)
            else:
                # What is called .arrow or .feather has a footer, for those who map it into memory; a stream has none.
                footer = self.path is not None and self.path.suffix != ".arrows"
                write_rows(reader, FileOptions(self.format, array=True, footer=footer), file)
            file.flush()

    def write_answer(self, relation: Relation, rows: pa.Table | None = None) -> None:
        """Write what a statement answers: of one that changed something nothing to stdout, of EXPLAIN the text itself.

        rows: the answer, if it is there; else nothing is written before the first rows are: most errors come before them.
        """
        if self.format == "table" and relation.columns == ["explain_key", "explain_value"]:
            click.echo(relation.fetchall()[0][1])
        elif relation.answers or self.path is not None:
            self.write(begun(relation.stream()) if rows is None else rows, relation.types)

    def _opened(self) -> AbstractContextManager[BinaryIO]:
        return nullcontext(sys.stdout.buffer) if self.path is None else whole_file(self.path)


def begun(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same batches, of which the first was read."""
    import pyarrow as pa

    first = list(itertools.islice(reader, 1))
    return pa.RecordBatchReader.from_batches(reader.schema, itertools.chain(first, reader))


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
    return Output(cast("Format", format), file, rows)


def write_table(reader: pa.RecordBatchReader, types: Sequence[str], rows: int, file: BinaryIO) -> None:
    from qtensor.results.display import render_text

    width = shutil.get_terminal_size((120, 40)).columns
    file.write((render_text(reader.read_all(), types, rows, width) + "\n").encode())


def say_error(error: QTensorError) -> None:
    """The error on stderr, with its carets and without a traceback."""
    click.echo(f"{click.style(type(error).__name__, fg='red', bold=True)}: {printable(str(error))}", err=True)
