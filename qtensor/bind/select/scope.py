"""The columns that names in a query may mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qtensor.errors import Span
from qtensor.expressions import ColumnRef
from qtensor.row_numbers import ROW, ROWID
from qtensor.types import Field, Schema, distinct_names


@dataclass(frozen=True)
class FromRelation:
    """One relation of FROM: what it may be called, its columns by its own names, and where they begin in the row of FROM."""

    qualifiers: tuple[str, ...]
    fields: Schema
    first: int = 0

    def is_called(self, name: str) -> bool:
        """Whether the relation may be called `name`, as in `name.column`."""
        return name.lower() in (qualifier.lower() for qualifier in self.qualifiers)

    def column(self, name: str) -> ColumnRef | None:
        """A new reference to its column `name`, case ignored; None if there is none. The number of a row is called rowid."""
        for position, field in enumerate(self.fields):
            if field.name.lower() == name.lower():
                return ColumnRef(self.first + position, field.type, field.name)
            if field.name == ROW and name.lower() == ROWID:
                return ColumnRef(self.first + position, field.type, ROWID)
        return None

    @property
    def columns(self) -> list[ColumnRef]:
        """New references to all its columns, but for the number of a row."""
        fields = enumerate(self.fields)
        return [ColumnRef(self.first + position, field.type, field.name) for position, field in fields if field.name != ROW]


@dataclass(frozen=True)
class ColumnScope:
    """The columns of FROM: the row of all relations, one after the other, and which of its columns `*` stands for.

    A column that USING has joined is visible once: `merged` has it, and the columns that it was made of.
    """

    fields: Schema = ()
    relations: tuple[FromRelation, ...] = ()
    visible: tuple[int, ...] = ()
    merged: tuple[tuple[int, tuple[int, ...]], ...] = ()

    @staticmethod
    def of(schema: Schema, qualifiers: tuple[str, ...]) -> ColumnScope:
        """The scope of one relation."""
        visible = (position for position, field in enumerate(schema) if field.name != ROW)
        return ColumnScope(schema, (FromRelation(qualifiers, schema),), tuple(visible))

    def column(self, name: str) -> ColumnRef | None:
        """A new reference to the column `name`, case ignored; None if there is none, the first if there are several."""
        return next(iter(self.columns(name)), None)

    def columns(self, name: str) -> list[ColumnRef]:
        """New references to the visible columns called `name`, else to those that number rows if it is rowid."""
        found = [self.reference(position) for position in self.visible if self.fields[position].name.lower() == name.lower()]
        if found or name.lower() != ROWID:
            return found
        return [column for relation in self.relations if (column := relation.column(name)) is not None]

    def reference(self, index: int) -> ColumnRef:
        """A new reference to column `index`."""
        return ColumnRef(index, self.fields[index].type, self.fields[index].name)

    @property
    def star(self) -> list[ColumnRef]:
        """What `*` stands for."""
        return [self.reference(position) for position in self.visible]

    def parts(self, index: int) -> tuple[int, ...]:
        """The columns that column `index` was made of by USING, or itself."""
        return dict(self.merged).get(index, (index,))

    def relation(self, name: str) -> FromRelation | None:
        """The relation that may be called `name`."""
        return next((relation for relation in self.relations if relation.is_called(name)), None)

    def owners(self, name: str) -> list[str]:
        """What the relations are called that have a column `name`."""
        return [relation.qualifiers[0] for relation in self.relations if relation.column(name) is not None]

    def owner(self, index: int) -> str | None:
        """What the relation is called that has column `index`; None of one that USING has made of two."""
        return next((known.qualifiers[0] for known in self.relations if index < known.first + len(known.fields)), None)

    @property
    def qualifiers(self) -> list[str]:
        """What the relations are called."""
        return [relation.qualifiers[0] for relation in self.relations]

    @property
    def names(self) -> list[str]:
        """The names of all columns."""
        return [field.name for relation in self.relations for field in relation.fields]

    def beside(self, right: ColumnScope) -> ColumnScope:
        """The scope of two relations, the row of the other following this one's."""
        width = len(self.fields)
        moved = (replace(relation, first=relation.first + width) for relation in right.relations)
        visible = (*self.visible, *(position + width for position in right.visible))
        merged = ((one + width, tuple(part + width for part in parts)) for one, parts in right.merged)
        return ColumnScope((*self.fields, *right.fields), (*self.relations, *moved), visible, (*self.merged, *merged))

    def from_on(self, column: int, relation: int) -> ColumnScope:
        """The same row, of which only the columns from `column` on and the relations from `relation` on are visible."""
        return replace(self, relations=self.relations[relation:], visible=tuple(at for at in self.visible if at >= column))


class ColumnSpans:
    """Where in the query the columns of its expressions are named. Columns that are equal may be named in many places, so each
    is known by its own object, which is kept.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[ColumnRef, Span | None]] = {}

    def note(self, column: ColumnRef, span: Span | None) -> None:
        self._known[id(column)] = (column, span)

    def of(self, column: ColumnRef) -> Span | None:
        """None for a column that no query names."""
        return self._known.get(id(column), (column, None))[1]


def renamed(schema: Schema, aliases: Sequence[str] = ()) -> Schema:
    """`schema` under its first columns' `aliases`, every name made distinct."""
    names = [*aliases, *(column.name for column in schema[len(aliases) :])]
    return tuple(Field(name, column.type) for name, column in zip(distinct_names(names), schema, strict=True))
