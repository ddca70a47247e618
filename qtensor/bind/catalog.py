"""What the binder asks of its surroundings: the columns of a table, the query of a view, the signature of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from qtensor.statement import Kind, TableDefinition, View
from qtensor.types import Schema, SqlType


@dataclass(frozen=True)
class ModelSignature:
    """A registered model as SQL sees it: a function of `arguments` numbers and texts.

    inputs: the model's inputs in order, by name, each with how many of the arguments it takes; without a name "". ordered:
    whether a call may give the arguments by position; otherwise it names the inputs. nulls: for each argument what it is where it
    is NULL, if not None. outputs: by name, if a call has to choose one of several. texts: the positions of VARCHAR arguments.
    whole: of arguments that must be whole numbers, by position, the type of those that it takes. work: multiply-adds of a call.
    fails: whether it is an error for some arguments that it takes. unread: the positions of those that never matter;
    unread_if_small: of those that do not if they are numbers of 64 bits.
    """

    name: str
    arguments: int
    result: SqlType
    inputs: tuple[tuple[str, int], ...] = ()
    ordered: bool = True
    nulls: tuple[int | float | str | None, ...] = ()
    outputs: tuple[tuple[str, SqlType], ...] = ()
    texts: frozenset[int] = frozenset()
    whole: Mapping[int, SqlType] = field(default_factory=dict)
    work: int = 0
    fails: bool = True
    unread: frozenset[int] = frozenset()
    unread_if_small: frozenset[int] = frozenset()


class Catalog(Protocol):
    """The tables, views and models that a query may name; every look-up ignores case."""

    def table(self, name: str) -> Schema | None:
        """The columns of the table `name`, None if there is none. `name` may be a file's path (`FROM 'file.parquet'`)."""

    def view(self, name: str) -> View | None:
        """The view `name`, None if there is none."""

    def table_names(self) -> Iterable[str]:
        """The known tables and views, for suggestions."""

    def model(self, name: str) -> ModelSignature | None:
        """The signature of the model `name`, None if there is none."""

    def model_names(self) -> Iterable[str]:
        """The registered models, for suggestions."""


class StatementCatalog(Catalog, Protocol):
    """What statements ask beside that."""

    def definition(self, name: str) -> TableDefinition | None:
        """What CREATE TABLE said of the table `name`, None if there is none that was created."""

    def kind(self, name: str) -> Kind | None:
        """What the name `name` means, None if nothing: "registered", "variable" and "file" are tables that cannot be changed."""

    def created_names(self) -> Iterable[str]:
        """The tables that CREATE TABLE made, and views and registered tables: those that a connection knows."""
