"""Which names a model may have: those by which SQL calls it, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtensor.bind import bind
from qtensor.bind.catalog import ModelSignature
from qtensor.bind.expressions.macros import MACROS
from qtensor.bind.select.window_syntax import FUNCTIONS
from qtensor.bind.text.words import DUCKDB_FUNCTIONS
from qtensor.errors import ModelError, QTensorError
from qtensor.expressions import ColumnRef, Predict
from qtensor.functions.aggregates import AGGREGATES
from qtensor.functions.scalars.registry import SCALARS
from qtensor.logical import Project
from qtensor.types import DOUBLE, Field, Schema

MOST_PARTS = 8  # a longer call is read in no other way

# Beside those of the tables: what SQL calls in a syntax of its own.
_OTHERS = ("abs", "coalesce", "nullif", "if", "iff", "ifnull", "try", "case", "exists", "grouping", "grouping_id")
_TAKEN = frozenset({*SCALARS, *MACROS, *AGGREGATES, *FUNCTIONS.values(), *DUCKDB_FUNCTIONS, *_OTHERS})


@dataclass(frozen=True)
class OneModel:
    """A catalog of one model and one table of numbers, to see how a call of the model is read."""

    signature: ModelSignature
    columns: Schema

    def table(self, name: str) -> Schema | None:
        return self.columns

    def view(self, name: str) -> None:
        return None

    def table_names(self) -> Sequence[str]:
        return ()

    def model(self, name: str) -> ModelSignature | None:
        return self.signature if name.lower() == self.signature.name.lower() else None

    def model_names(self) -> Sequence[str]:
        return (self.signature.name,)


def refuse_name(name: object, arguments: int) -> None:
    """Raise ModelError if SQL cannot call a model by `name`, in quotes where it is no word, or means something else by it."""
    if not isinstance(name, str) or not name.strip():
        raise ModelError(f"the name of a model is a text, not {name!r}")
    if name.lower() in _TAKEN:
        raise ModelError(
            f'a model cannot have the name "{name}", which is a function of SQL: register it as "{name}_model", for example'
        )
    count = min(arguments, MOST_PARTS)
    columns = [f"c{position}" for position in range(count)]
    catalog = OneModel(ModelSignature(name, count, DOUBLE), tuple(Field(column, DOUBLE) for column in columns))
    call = name if name.isidentifier() else '"' + name.replace('"', '""') + '"'
    if not _is_called(f"SELECT {call}({', '.join(columns)}) FROM t", catalog):
        raise ModelError(
            f'a model cannot have the name "{name}", by which SQL means something else: take another, as "{name}_model"'
        )


def _is_called(sql: str, catalog: OneModel) -> bool:
    """Whether a query calls the model with its columns, in their order."""
    try:
        plan = bind(sql, catalog)
    except QTensorError:
        return False
    match plan:
        case Project(expressions=(named,)):
            call = named.expr
            return isinstance(call, Predict) and call.arguments == tuple(
                ColumnRef(position, DOUBLE, field.name) for position, field in enumerate(catalog.columns)
            )
        case _:
            return False
