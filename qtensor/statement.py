"""What a bound statement is: a closed union of frozen dataclasses, and what CREATE says of tables and views.

Made by `qtensor/bind/statements/dispatch.py`, carried out by `qtensor/statements/run.py`. Everything that can be wrong with
names and types was found when it was bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from qtensor.logical import Plan
from qtensor.results.writing import FileOptions
from qtensor.types import Field, Schema, SqlType

Kind: TypeAlias = Literal["table", "view", "registered", "variable", "file"]


@dataclass(frozen=True)
class Column:
    """A column of a created table.

    default: the SQL text of its value where INSERT gives none, without it NULL; shown: the same as DESCRIBE shows it.
    """

    name: str
    type: SqlType
    nullable: bool = True
    default: str | None = None
    shown: str | None = None


@dataclass(frozen=True)
class Key:
    """UNIQUE or PRIMARY KEY: no two rows have the same values in all of `columns`; rows with a NULL there are all different."""

    columns: tuple[int, ...]
    primary: bool = False


@dataclass(frozen=True)
class TableDefinition:
    """A table as CREATE TABLE defined it."""

    name: str
    columns: tuple[Column, ...]
    keys: tuple[Key, ...] = ()

    @property
    def schema(self) -> Schema:
        return tuple(Field(column.name, column.type) for column in self.columns)

    def key_word(self, index: int) -> str | None:
        """How DESCRIBE says that a column is in a key."""
        found = [key for key in self.keys if index in key.columns]
        return None if not found else "PRI" if any(key.primary for key in found) else "UNI"


@dataclass(frozen=True)
class View:
    """A query under a name, bound anew at each use. names: of its first columns, where CREATE VIEW renames them."""

    name: str
    sql: str
    dialect: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class CreateTable:
    """Make a table of the rows of `plan`, or without one an empty table, in place of what had its name."""

    definition: TableDefinition
    plan: Plan | None


@dataclass(frozen=True)
class CreateView:
    """Remember a view, in place of what had its name."""

    view: View


@dataclass(frozen=True)
class Insert:
    """Append the rows of `plan`, which have the table's columns and their types."""

    table: str
    plan: Plan


@dataclass(frozen=True)
class Delete:
    """Remove the rows whose numbers are those in the only column of `plan`; all of them, if there is no plan."""

    table: str
    plan: Plan | None


@dataclass(frozen=True)
class Update:
    """Give the rows whose numbers are in the first column of `plan` the values of the other ones, in `columns` of the table."""

    table: str
    columns: tuple[int, ...]
    plan: Plan


@dataclass(frozen=True)
class Drop:
    """Forget tables and views; also those that were registered, which are views."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Nothing:
    """What IF EXISTS and IF NOT EXISTS leave to do. kind: which statement it was."""

    kind: Literal["create", "drop"]


@dataclass(frozen=True)
class Describe:
    """The columns of a table or a query, and for each whether it is in a PRIMARY KEY ("PRI") or UNIQUE ("UNI")."""

    columns: tuple[Column, ...]
    keys: tuple[str | None, ...]


@dataclass(frozen=True)
class ShowTables:
    """The names of tables and views."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Summarize:
    """Statistics of each column of the rows of `plan`."""

    plan: Plan


@dataclass(frozen=True)
class Explain:
    """How the query `sql` is run; with `analyze` it is, and the seconds of each stage are told."""

    sql: str
    analyze: bool


@dataclass(frozen=True)
class Copy:
    """Write the rows of `plan` to the file `path`, whole or not at all."""

    plan: Plan
    path: str
    options: FileOptions


Statement: TypeAlias = (
    CreateTable | CreateView | Insert | Delete | Update | Drop | Nothing | Describe | ShowTables | Summarize | Explain | Copy
)
