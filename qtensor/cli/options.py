"""Options that several commands share, and the form NAME=VALUE that most of them have."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from qtensor.cli.inputs import TYPES, Inputs, named_parameter
from qtensor.cli.output import FORMATS, ROWS_SHOWN, choose_output

Command = TypeVar("Command", bound=Callable[..., Any])


class Named(click.ParamType[Any]):
    """NAME=PATH or another value with a name: a pair of texts."""

    def __init__(self, value: str, example: str) -> None:
        self.name = f"NAME={value}"
        self.example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, _, rest = value.partition("=")
        if not name or not rest:
            self.fail(f"{value!r} is not {self.name}; for example {self.example}", param, ctx)
        return name, rest


class NamedParameter(Named):
    """NAME=VALUE or NAME:TYPE=VALUE: a name and a Python value."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        name, text = super().convert(value, param, ctx)
        try:
            return named_parameter(name, text)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def several(*names: str, type: Named, help: str) -> Callable[[Command], Command]:
    """An option that may be given several times."""
    return click.option(*names, type=type, metavar=type.name, multiple=True, help=help)


TABLE = several(
    "--table",
    "-t",
    "tables",
    type=Named("PATH", "--table t=data.parquet"),
    help="A table: Parquet, CSV or Arrow file, folder of Parquet files, or - for stdin (Arrow, Parquet or CSV). Repeatable.",
)
MODEL = several(
    "--model",
    "-m",
    "models",
    type=Named("PATH", "--model score=models/score"),
    help="A model: a SavedModel folder, or a .keras, .h5, .pb, .tflite, .onnx, .json, .ubj or .txt file, called in SQL by its "
    "name. Repeatable.",
)
TRUST_MODELS = click.option(
    "--trust-models",
    is_flag=True,
    help="Load models that run code when they are loaded: files and Python. They can do what you can.",
)
MODEL_OUTPUT = several(
    "--model-output",
    "outputs",
    type=Named("OUTPUT", "--model-output score=class"),
    help="Which output of a model: class (the index of its greatest score), scores, or an output's name.",
)
MODEL_SIGNATURE = several(
    "--model-signature",
    "signatures",
    type=Named("SIGNATURE", "--model-signature score=serving_default"),
    help="Which signature of a SavedModel that has several.",
)
PARAMETER = several(
    "--param",
    "-p",
    "parameters",
    type=NamedParameter("VALUE", "--param least=0.5"),
    help=f"The value of $NAME, or of $1 and ? by number. NAME:TYPE=VALUE says its type: {', '.join(TYPES)}.",
)
EXEC_PARAMETER = several(
    "--param",
    "-p",
    "parameters",
    type=Named("VALUE", "--param least=0.5"),
    help="The value of $NAME. NAME:TYPE=VALUE says its type, where the value does not.",
)
THREADS = click.option("--threads", type=click.IntRange(min=1), help="How many cores to use.  [default: all]")
DIALECT = click.option("--dialect", default="duckdb", show_default=True, help="The SQL dialect; any that sqlglot reads.")


def query_options(command: Command) -> Command:
    """The SQL, as `sql` and `file`, and what it is about, as `inputs`."""

    @click.argument("sql", required=False)
    @click.option("--file", "-f", "file", metavar="FILE", help="Read the SQL from a file.")
    @input_options
    @wraps(command)
    def with_query(**options: Any) -> Any:
        return command(**options)

    return with_query  # type: ignore[return-value]


def input_options(command: Command) -> Command:
    """Tables, models, parameters, threads and dialect, as `inputs`."""

    @TABLE
    @MODEL
    @MODEL_OUTPUT
    @MODEL_SIGNATURE
    @TRUST_MODELS
    @PARAMETER
    @THREADS
    @DIALECT
    @wraps(command)
    def with_inputs(
        tables: Any,
        models: Any,
        outputs: Any,
        signatures: Any,
        trust_models: bool,
        parameters: Any,
        threads: Any,
        dialect: str,
        **rest: Any,
    ) -> Any:
        inputs = Inputs(tables, models, outputs, parameters, threads, dialect, trust_models, signatures)
        return command(inputs=inputs, **rest)

    return with_inputs  # type: ignore[return-value]


def output_options(command: Command) -> Command:
    """Format and file, as `output`: an `Output`, chosen and refused before anything runs."""

    @click.option(
        "--format",
        type=click.Choice(FORMATS),
        help="How rows are written.  [default: table on a terminal, csv into a pipe, by its suffix into a file]",
    )
    @click.option(
        "--output", "-o", "path", metavar="FILE", help=".csv, .json, .parquet, .arrow or .txt; written whole or not at all."
    )
    @click.option(
        "--rows", type=click.IntRange(min=1), default=ROWS_SHOWN, show_default=True, help="How many rows a table shows."
    )
    @wraps(command)
    def with_output(format: str | None, path: str | None, rows: int, **rest: Any) -> Any:
        return command(output=choose_output(format, path, rows), **rest)

    return with_output  # type: ignore[return-value]
