"""The shell's own commands: lines that begin with a dot, in the vocabulary of DuckDB's and SQLite's shells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from qtensor.cli.inputs import import_tensorflow, named_parameter, open_source
from qtensor.cli.output import FORMATS, Output, choose_output
from qtensor.cli.query import LEVELS
from qtensor.errors import DataError, suggestion
from qtensor.lowering.models.text.program import type_called

if TYPE_CHECKING:
    from qtensor.connection import Connection
    from qtensor.relation import Relation


class Shell(Protocol):
    """What commands ask of the shell that they are given to. reading: the files that .read is in."""

    output: Output
    timer: bool
    parameters: dict[str, object]
    reading: list[str]

    @property
    def connection(self) -> Connection: ...
    def query(self, sql: str) -> Relation: ...
    def run_text(self, text: str) -> None: ...


@dataclass(frozen=True)
class ShellCommand:
    """usage: what is to be written, for .help. run: given the shell and what stands behind the name."""

    usage: str
    help: str
    run: Callable[[Shell, str], None]


def run_command(shell: Shell, line: str) -> None:
    """Run a line that begins with a dot. Raises DataError: there is no such command, or it cannot be done so."""
    name, _, rest = line.strip().partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        near = suggestion(name, COMMANDS)
        raise DataError(f"there is no command {name}. {near + ' ' if near else ''}The command .help lists all.")
    command.run(shell, rest.strip())


def _tables(shell: Shell, rest: str) -> None:
    for name in shell.connection._registry.table_names():
        click.echo(name)


def _schema(shell: Shell, rest: str) -> None:
    registry = shell.connection._registry
    for name in [rest] if rest else registry.table_names():
        fields, table = shell.connection._fields(name), registry.table(name)
        if fields is None:
            raise DataError(f"no table {name}. {suggestion(name, registry.table_names())}".rstrip())
        click.echo(f"{name} (a view)" if table is None else f"{table.name} ({table.rows:,} rows)")
        for field in fields:
            click.echo(f"  {field.name} {field.type}")


def _models(shell: Shell, rest: str) -> None:
    for model in shell.connection._registry.models.values():
        click.echo(f"{model.name}({', '.join(map(type_called, model.arguments))}) {model.result}")


def _register(shell: Shell, rest: str) -> None:
    name, path = named(rest, ".register t=data.parquet")
    shell.connection.register(name, open_source(path))


def _model(shell: Shell, rest: str) -> None:
    text, _, output = rest.partition(" ")
    name, path = named(text, ".model score=models/score")
    import_tensorflow()
    shell.connection.create_function(name, Path(path).expanduser(), output=output.strip() or None)


def _param(shell: Shell, rest: str) -> None:
    if not rest:
        for name, value in shell.parameters.items():
            click.echo(f"${name} = {value!r}")
        return
    try:
        name, value = named_parameter(*named(rest, ".param least=0.5"))
    except ValueError as error:
        raise DataError(str(error)) from error
    shell.parameters[name.lower()] = value


def _explain(shell: Shell, rest: str) -> None:
    level, _, sql = rest.partition(" ")
    if level not in LEVELS:
        level, sql = "physical", rest
    if not sql.strip("; "):
        raise DataError("say what to explain: .explain hlo SELECT ...")
    click.echo(shell.query(sql.rstrip("; ")).explain(level))  # type: ignore[arg-type]


def _timer(shell: Shell, rest: str) -> None:
    if rest not in ("on", "off"):
        raise DataError("the timer is on or off: .timer on")
    shell.timer = rest == "on"


def _mode(shell: Shell, rest: str) -> None:
    if rest not in FORMATS:
        raise DataError(f"a mode is one of {', '.join(FORMATS)}: .mode csv")
    try:
        shell.output = choose_output(rest, None, shell.output.rows)
    except click.UsageError as error:
        raise DataError(error.message) from None


def _rows(shell: Shell, rest: str) -> None:
    if not rest.isdecimal() or int(rest) < 1:
        raise DataError("a table shows at least one row: .rows 40")
    shell.output = choose_output(shell.output.format, None, int(rest))


def _read(shell: Shell, rest: str) -> None:
    try:
        text = Path(rest).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{rest}: cannot be read: {error}") from error
    if rest in shell.reading:
        raise DataError(f"{rest} reads itself")
    shell.reading.append(rest)
    try:
        shell.run_text(text)
    finally:
        shell.reading.pop()


def _help(shell: Shell, rest: str) -> None:
    width = max(len(command.usage) for command in COMMANDS.values())
    for command in dict.fromkeys(COMMANDS.values()):
        click.echo(f"{command.usage:<{width}}  {command.help}")
    click.echo("Anything else is SQL, up to a semicolon.")


def _quit(shell: Shell, rest: str) -> None:
    raise EOFError


def named(text: str, example: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name.strip() or not value.strip():
        raise DataError(f"a name, =, and what it stands for are needed: {example}")
    return name.strip(), value.strip()


_QUIT = ShellCommand(".quit", "leave; so do .exit and Ctrl-D", _quit)
_REGISTER = ShellCommand(".register NAME=PATH", "make a Parquet, CSV or Arrow file a table; also .open", _register)

COMMANDS = {
    ".help": ShellCommand(".help", "this list", _help),
    ".tables": ShellCommand(".tables", "the tables and views", _tables),
    ".schema": ShellCommand(".schema [TABLE]", "columns and types", _schema),
    ".register": _REGISTER,
    ".open": _REGISTER,
    ".models": ShellCommand(".models", "the models", _models),
    ".model": ShellCommand(".model NAME=PATH [OUTPUT]", "make a SavedModel, or a file of a model, a function", _model),
    ".param": ShellCommand(".param [NAME=VALUE]", "set $NAME for later queries; without a name: list", _param),
    ".explain": ShellCommand(".explain [LEVEL] SQL", f"show a query at a stage: {', '.join(LEVELS)}", _explain),
    ".timer": ShellCommand(".timer on|off", "say after each query how long it took", _timer),
    ".mode": ShellCommand(".mode FORMAT", f"how rows are written: {', '.join(FORMATS)}", _mode),
    ".rows": ShellCommand(".rows N", "how many rows a table shows", _rows),
    ".read": ShellCommand(".read FILE", "run the statements and commands of a file", _read),
    ".quit": _QUIT,
    ".exit": _QUIT,
}
