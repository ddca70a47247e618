"""The columns that names in a query may mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from qtensor.expressions import ColumnRef
from qtensor.types import Field, Schema


@dataclass(frozen=True)
class Scope:
    """The columns of the one relation in FROM, under the names it may be called by; no relation: no columns."""

    fields: Schema = ()
    qualifiers: tuple[str, ...] = ()
    _positions: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for index, column in enumerate(self.fields):
            self._positions.setdefault(column.name.lower(), index)

    def column(self, name: str) -> ColumnRef | None:
        """A new reference to the column `name`, case ignored; None if there is none."""
        index = self._positions.get(name.lower())
        return None if index is None else self.reference(index)

    def reference(self, index: int) -> ColumnRef:
        """A new reference to column `index`."""
        return ColumnRef(index, self.fields[index].type, self.fields[index].name)

    def has_qualifier(self, name: str) -> bool:
        """Whether the relation may be called `name`, as in `name.column`."""
        return name.lower() in (qualifier.lower() for qualifier in self.qualifiers)


def distinct_names(names: Iterable[str]) -> list[str]:
    """`names` with a counter after every one that has been there, case ignored, as DuckDB names a derived table's columns.

    >>> distinct_names(["a", "A", "b", "a"])
    ['a', 'A_1', 'b', 'a_2']
    """
    taken: set[str] = set()
    result = []
    for base in names:
        name, count = base, 0
        while name.lower() in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name.lower())
        result.append(name)
    return result


def renamed(schema: Schema, aliases: Sequence[str] = ()) -> Schema:
    """`schema` under its first columns' `aliases`, every name made distinct."""
    names = [*aliases, *(column.name for column in schema[len(aliases) :])]
    return tuple(Field(name, column.type) for name, column in zip(distinct_names(names), schema, strict=True))
