"""What the binder asks of its surroundings: the columns of a table, the signature of a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from qtensor.types import Schema, SqlType


@dataclass(frozen=True)
class ModelSignature:
    """A registered model as SQL sees it: a function of `arguments` numbers."""

    name: str
    arguments: int
    result: SqlType


class Catalog(Protocol):
    """The tables and models that a query may name; every look-up ignores case."""

    def table(self, name: str) -> Schema | None:
        """The columns of the table `name`, None if there is none. `name` may be a file's path (`FROM 'file.parquet'`)."""

    def table_names(self) -> Iterable[str]:
        """The known tables, for suggestions."""

    def model(self, name: str) -> ModelSignature | None:
        """The signature of the model `name`, None if there is none."""

    def model_names(self) -> Iterable[str]:
        """The registered models, for suggestions."""
