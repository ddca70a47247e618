"""Parts of a table in which no row can meet a condition, by what their files say of them: they are not read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from qtensor.expressions import MIRRORED, Call, ColumnRef, Expr, Literal
from qtensor.sources.facts import ColumnFacts
from qtensor.types import Date, Decimal, Integer, SqlType, Timestamp

# Whether a value that lies in [low, high] may compare so with a constant.
_POSSIBLE: dict[str, Callable[[int, int, float], bool]] = {
    "equal": lambda low, high, value: low <= value <= high,
    "less": lambda low, high, value: low < value,
    "less_equal": lambda low, high, value: low <= value,
    "greater": lambda low, high, value: high > value,
    "greater_equal": lambda low, high, value: high >= value,
}


@dataclass(frozen=True)
class Condition:
    """A comparison of a table's column with a constant, or with any of several: for one of them it must be true."""

    column: int
    comparison: str
    values: tuple[float, ...]

    def may_hold(self, facts: ColumnFacts) -> bool:
        """Whether it may be true of a value in a column of which so much is known."""
        if facts.range is None:
            return True
        return any(_POSSIBLE[self.comparison](*facts.range, value) for value in self.values)


def conditions_of(predicates: Iterable[Expr], columns: Sequence[int]) -> tuple[Condition, ...]:
    """The comparisons among conditions that must all be true. columns: the positions in the table of those that they read."""
    found = (condition_of(predicate, columns) for predicate in predicates)
    return tuple(condition for condition in found if condition is not None)


def condition_of(predicate: Expr, columns: Sequence[int]) -> Condition | None:
    match predicate:
        case Call("in", (ColumnRef(index=index, type=type), *choices)) if has_range(type):
            values = [choice.value for choice in choices if isinstance(choice, Literal)]
            if len(values) < len(choices):
                return None
            return Condition(columns[index], "equal", tuple(value for value in values if isinstance(value, int | float)))
        case Call(function, (ColumnRef(index=index, type=type), Literal(value=value))) if function in _POSSIBLE:
            pass
        case Call(function, (Literal(value=value), ColumnRef(index=index, type=type))) if function in _POSSIBLE:
            function = MIRRORED.get(function, function)
        case _:
            return None
    if not has_range(type) or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return Condition(columns[index], function, (value,))


def has_range(type: SqlType) -> bool:
    """Whether ranges in footers are those of the type: of unsigned integers old writers have signed ones."""
    return isinstance(type, Decimal | Date | Timestamp) or (isinstance(type, Integer) and type.signed)
