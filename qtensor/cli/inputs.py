"""Tables, models, parameters and SQL as the command line names them, made into what the Python API takes."""

from __future__ import annotations

import datetime
import decimal
import os
import re
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qtensor.errors import DataError

if TYPE_CHECKING:
    from qtensor.connection import Connection
    from qtensor.relation import Relation

STDIN = ("-", "/dev/stdin")


@dataclass(frozen=True)
class Inputs:
    """What a query is about: tables, models, their chosen outputs and signatures by name; parameters; how to run it."""

    tables: tuple[tuple[str, str], ...] = ()
    models: tuple[tuple[str, str], ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, object], ...] = ()
    threads: int | None = None
    dialect: str = "duckdb"
    trust_models: bool = False
    signatures: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for option, given in (("--model-output", self.outputs), ("--model-signature", self.signatures)):
            if unknown := [name for name, _ in given if name not in dict(self.models)]:
                raise click.UsageError(f"{option} names {unknown[0]}, but there is no --model {unknown[0]}=PATH")

    def connection(self) -> Connection:
        """A new connection with the tables and models."""
        from qtensor.connection import Connection

        connection = Connection(self.threads)
        for name, path in self.tables:
            connection.register(name, open_source(path))
        if self.models:
            import_tensorflow()
        for name, path in self.models:
            output, signature = (dict(chosen).get(name) for chosen in (self.outputs, self.signatures))
            file = Path(path).expanduser()
            connection.create_function(name, file, output=output, signature=signature, trust=self.trust_models)
        return connection

    def query(self, connection: Connection, sql: str) -> Relation:
        """A query with the parameters; other statements are refused, and do not run."""
        from qtensor.run.prepared import Query

        return connection._query(Query(sql, self.values, self.dialect))

    @property
    def values(self) -> dict[str, object] | None:
        """The parameters as `Connection.sql` takes them: `?` and `$1` by their numbers."""
        return dict(self.parameters) or None


def import_tensorflow() -> None:
    """Import TensorFlow without its notes on drivers, which it writes past Python's stderr and which no setting stops.

    Raises ModelError: there is no TensorFlow.
    """
    from qtensor.lowering.models.tensorflow.sources import load_tensorflow

    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        load_tensorflow()
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def open_source(path: str) -> object:
    """What `Connection.register` takes: the path itself, or what comes through stdin or another pipe.

    Raises DataError: nothing comes, or it cannot be read.
    """
    if not is_pipe(path):
        return path
    from qtensor.sources.pipe import read_pipe

    if path not in STDIN:
        return read_pipe(path, Path(path).open("rb"))
    if sys.stdin.isatty():
        raise click.UsageError("a table is to be read from stdin, which is a terminal: pipe data into it")
    return read_pipe("stdin", sys.stdin.buffer)


def is_pipe(path: str) -> bool:
    """Whether `path` is stdin or can be read only once, such as the shell's <(command)."""
    if path in STDIN or path.startswith("/dev/fd/"):
        return True
    try:
        mode = Path(path).expanduser().stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def read_sql(sql: str | None, file: str | None, tables: Sequence[tuple[str, str]]) -> str:
    """The text of the query: the argument, the content of a file, or of stdin for "-".

    Raises click.UsageError: none or two of these; stdin is wanted for two things. DataError: the file cannot be read.
    """
    if (sql is None) == (file is None):
        raise click.UsageError('say what to run: SQL in quotes, "-" for stdin, or -f FILE' + (", not two of them" if sql else ""))
    source = "-" if sql == "-" else file
    wanted = [f"the table {name}" for name, path in tables if path in STDIN] + (["the query"] if source in STDIN else [])
    if len(wanted) > 1:
        raise click.UsageError(f"only one thing can be read from stdin, not {' and '.join(wanted)}")
    if source is None:
        assert sql is not None
        return sql
    try:
        return sys.stdin.read() if source in STDIN else Path(source).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{source}: cannot be read: {error}") from error


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


TYPES: dict[str, Callable[[str], object]] = {
    "int": int,
    "float": float,
    "decimal": decimal.Decimal,
    "bool": _truth,
    "date": datetime.date.fromisoformat,
    "timestamp": datetime.datetime.fromisoformat,
    "text": str,
}
_FORMS = (
    (re.compile(r"[+-]?\d+"), "int"),
    (re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=e))(e[+-]?\d+)?|[+-]?inf|nan", re.IGNORECASE), "float"),
    (re.compile(r"true|false", re.IGNORECASE), "bool"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "date"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?"), "timestamp"),
)


def named_parameter(name: str, text: str) -> tuple[str, object]:
    """The parameter that NAME=VALUE or NAME:TYPE=VALUE means; the name may have its $.

    Raises ValueError: see `parameter_value`.
    """
    name, colon, type = name.removeprefix("$").partition(":")
    try:
        return name, parameter_value(text, type if colon else None)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def parameter_value(text: str, type: str | None = None) -> object:
    """The value that a parameter's text stands for: of the type given, else of the first type whose form it has.

    Raises ValueError: the text is none of that type, or there is no such type.

    >>> [parameter_value(text) for text in ("7", "0.5", "1e3", "true", "2026-01-31", "NULL", "x7")]
    [7, 0.5, 1000.0, True, datetime.date(2026, 1, 31), None, 'x7']
    >>> parameter_value("7", "text"), parameter_value("0.50", "decimal")
    ('7', Decimal('0.50'))
    """
    if type is None:
        if text == "NULL":
            return None
        type = next((name for form, name in _FORMS if form.fullmatch(text)), "text")
    if type not in TYPES:
        raise ValueError(f"there is no type {type}: use {', '.join(TYPES)}")
    try:
        return TYPES[type](text)
    except (ValueError, KeyError, decimal.InvalidOperation):
        raise ValueError(f"{text!r} is no {type}") from None
