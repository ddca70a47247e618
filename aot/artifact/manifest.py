"""What an artifact says of itself: plain data, written as JSON (`aot/artifact/codec.py`) beside programs and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qtensor.expressions import Literal as Constant
from qtensor.logical import Plan
from qtensor.lowering.ir.physical import PlannedQuery, SourceColumn
from qtensor.lowering.models.model import ModelOutput
from qtensor.lowering.models.text.program import TextProgram
from qtensor.optimise.facts.statistics import ColumnStatistics
from qtensor.types import Schema, SqlType

FORMAT = 6
UNLIMITED_STRINGS = 1 << 62  # of a column whose number of different strings does not matter


@dataclass(frozen=True)
class Part:
    """A file inside the artifact: its size in bytes and the SHA-256 of its content, hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class AssumedColumn:
    """A column that the query reads: what the programs assume of it, and of a VARCHAR how many different strings at most."""

    column: SourceColumn
    strings: int | None


@dataclass(frozen=True)
class GuessedColumn:
    """What a column was like when the query was exported: it decided the order of joins, and is not assumed."""

    index: int
    statistics: ColumnStatistics


@dataclass(frozen=True)
class Input:
    """A table that the query reads: its columns when it was exported, and what is assumed of those that are read.

    `unique`: sets of columns, by index, in all of which no two rows are assumed to be equal. `usual_rows` is how many rows it
    had; this, `guesses` and `guessed_unique` decided between strategies, and limit nothing.
    """

    table: str
    fields: Schema
    columns: tuple[AssumedColumn, ...]
    unique: tuple[tuple[int, ...], ...]
    usual_rows: int
    guesses: tuple[GuessedColumn, ...]
    guessed_unique: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Parameter:
    """A parameter of the query, with the value it has when none is given. A fixed one decided the plan and cannot change."""

    name: str
    value: Constant
    fixed: bool


@dataclass(frozen=True)
class ModelRecord:
    """A model: dtypes of its arguments, why a row may have no result (None: every row has one), the parts that hold its weights,
    what its classes mean if that is text, its outputs if they are several, and what the host makes of its text arguments. Its
    graph is inside the programs.
    """

    name: str
    digest: str
    arguments: tuple[str, ...]
    result: SqlType
    classes: int | None
    fails: str | None
    weights: tuple[str, ...]
    labels: tuple[str, ...] | None
    outputs: tuple[ModelOutput, ...]
    texts: tuple[TextProgram, ...]


def text_programs(manifest: Manifest) -> dict[str, tuple[TextProgram, ...]]:
    """The text programs of each model, by its name."""
    return {model.name: model.texts for model in manifest.models}


@dataclass(frozen=True)
class Module:
    """One function of a form (whole, start, step, merge or finish), and the part that holds it as portable StableHLO."""

    function: str
    part: str


@dataclass(frozen=True)
class Form:
    """The query compiled for tables of certain sizes: `sizes` in rows, in the order of the manifest's inputs.

    whole: at most so many rows at once. by_rows: any number of one table, so many at a time, each block's result for itself (a
    query whose rows are the table's). by_state: the same, a state of fixed size going on from block to block.
    """

    kind: Literal["whole", "by_rows", "by_state"]
    sizes: tuple[int, ...]
    planned: PlannedQuery
    modules: tuple[Module, ...]

    @property
    def rows(self) -> int:
        """The size of the first table; 1 without one."""
        return self.sizes[0] if self.sizes else 1


@dataclass(frozen=True)
class Executable:
    """The native code of a module for the CPUs of one kind and one version of jaxlib (`environment`)."""

    module: str
    environment: str
    part: str


@dataclass(frozen=True)
class Manifest:
    """Everything about an artifact but the content of its parts. `bound` is the logical plan as bound to the parameters."""

    format: int
    qtensor: str
    jax: str
    jaxlib: str
    sql: str
    dialect: str
    inputs: tuple[Input, ...]
    output: Schema
    parameters: tuple[Parameter, ...]
    models: tuple[ModelRecord, ...]
    bound: Plan
    forms: tuple[Form, ...]
    executables: tuple[Executable, ...]
    parts: tuple[Part, ...]
