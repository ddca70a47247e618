"""The values of a sweep: for each parameter one in each run of the query, all of one SQL type."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from qtensor.errors import BindError, DataError, SQLError
from qtensor.expressions import Literal
from qtensor.functions.operators import common_type
from qtensor.given import given_mapping
from qtensor.lowering.storage import arrow_type
from qtensor.types import NULL, Field, Interval, Schema, SqlType
from qtensor.values.literals import convert_literal, listed, parameter_literal, python_value
from qtensor.values.texts import ConversionError


@dataclass(frozen=True)
class Swept:
    """Parameters by name, and the values of each in every run, [runs]: literals of the parameter's type."""

    names: tuple[str, ...]
    runs: tuple[tuple[Literal, ...], ...]

    @property
    def fields(self) -> Schema:
        """The columns that the values are in the result."""
        return tuple(Field(name, literal.type) for name, literal in zip(self.names, self.runs[0], strict=True))

    def values(self, run: int) -> dict[str, Literal]:
        """What the parameters are in one run."""
        return dict(zip(self.names, self.runs[run], strict=True))

    def described(self, run: int) -> str:
        """One run's values, for errors."""
        shown = (f"${name} = {python_value(literal)!r}" for name, literal in self.values(run).items())
        return ", ".join(shown).replace(" = None", " = NULL")

    @contextmanager
    def named_in_errors(self, run: int, sql: str) -> Iterator[None]:
        """Errors say for which values they are."""
        try:
            yield
        except SQLError as error:
            raise type(error)(f"{error.message}, for {self.described(run)}", error.sql or sql, error.spans, error.hint) from error

    def columns(self, run: int, rows: int) -> list[pa.Array]:
        """One run's values as columns of `rows` rows."""
        return [
            pa.repeat(pa.scalar(python_value(literal), arrow_type(field.type)), rows)
            for literal, field in zip(self.runs[run], self.fields, strict=True)
        ]


def swept(values: object, named: Mapping[str, object], product: bool) -> Swept:
    """The runs that lists of values mean: of several parameters the first values together, then the second ones, and so on; with
    `product` each with each, the last parameter's varying fastest.

    Raises DataError: no parameter, no value, lists of different lengths; BindError: what has no SQL type, or no common one.
    """
    given = {**({} if values is None else given_mapping(values, "the values of a sweep")), **named}
    if not given:
        raise DataError(
            'a sweep has lists of values by parameter: sweep(threshold=[0.1, 0.2]), or sweep({"threshold": [0.1, 0.2]})'
        )
    lists = {name.lower(): of_one_type(name, items) for name, items in given.items()}
    if len(lists) < len(given):
        raise DataError(f"a parameter is named twice: {', '.join(given)}")
    if product:
        return Swept(tuple(lists), tuple(itertools.product(*lists.values())))
    lengths = {name: len(items) for name, items in lists.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"${name} has {length}" for name, length in lengths.items())
        raise DataError(
            f"parameters that are swept together have as many values each: {shown}; product=True takes each with each"
        )
    return Swept(tuple(lists), tuple(zip(*lists.values(), strict=True)))


def of_one_type(name: str, items: object) -> list[Literal]:
    """The values of one parameter as literals of the type that holds them all."""
    listed_items = listed(items)
    if listed_items is None and isinstance(items, Iterable) and not isinstance(items, str | bytes | Mapping):
        listed_items = list(items)
    if listed_items is None:
        raise DataError(f"${name}: the values of a sweep are a list, not {items!r}")
    if not listed_items:
        raise DataError(f"${name}: a sweep has one value at least")
    try:
        literals = [parameter_literal(item) for item in listed_items]
        type = type_of(literals)
        if type is None:
            kinds = ", ".join(dict.fromkeys(str(literal.type) for literal in literals))
            raise BindError(f"${name}: the values of a sweep are of one type; these have none in common: {kinds}")
        if isinstance(type, Interval):
            raise BindError(f"${name}: intervals are not swept; sweep the number, as in INTERVAL ($days) DAY")
        return [convert_literal(literal, type) for literal in literals]
    except ConversionError as error:
        raise BindError(f"${name}: {error}") from error


def type_of(literals: list[Literal]) -> SqlType | None:
    """The type that holds all of the values; None if there is none."""
    known = [literal.type for literal in literals if literal.type != NULL]
    return common_type(known) if known else NULL
