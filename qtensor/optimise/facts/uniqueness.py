"""Which columns of a plan's rows are different in every row: what makes the build side of a join a mere look-up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from qtensor.expressions import ColumnRef
from qtensor.logical import Aggregate, CommonScan, Filter, Join, Limit, OneRow, Plan, Project, Scan, Sort, Window
from qtensor.types import Float

# Whether no two rows of a table are equal in all of some columns, by their positions in the table.
UniqueColumns = Callable[[str, Sequence[int]], bool]


@dataclass(frozen=True)
class UniqueKeys:
    """Where what a plan reads differs in every row: a table, as `of_table` says, and the definitions of a `With`, by number."""

    of_table: UniqueColumns
    definitions: Mapping[int, Plan]
    _found: dict[tuple[int, frozenset[int]], bool] = field(default_factory=dict)
    _determined: dict[tuple[int, frozenset[int]], set[int]] = field(default_factory=dict)

    def of_definition(self, number: int, columns: Collection[int]) -> bool:
        """Whether no two rows of a definition are equal in all of `columns`."""
        key = number, frozenset(columns)
        if key not in self._found:
            self._found[key] = is_unique(self.definitions[number], columns, self)
        return self._found[key]

    def determined(self, number: int, columns: Collection[int]) -> set[int]:
        """The columns of a definition that have one value in all rows that are equal in `columns`."""
        key = number, frozenset(columns)
        if key not in self._determined:
            self._determined[key] = determined(self.definitions[number], columns, self)
        return self._determined[key]


def is_unique(plan: Plan, columns: Collection[int], unique: UniqueKeys) -> bool:
    """Whether no two rows are equal in all of `columns`, rows with a NULL in one of them left aside."""
    if at_most_one_row(plan):
        return True
    if not columns:
        return False
    match plan:
        case Scan(table=table, columns=positions):
            return unique.of_table(table, [positions[column] for column in columns])
        case CommonScan(number=number):
            return unique.of_definition(number, columns)
        case Filter() | Sort() | Limit():
            return is_unique(plan.input, columns, unique)
        case Window(input=input):
            return is_unique(input, [column for column in columns if column < len(input.schema)], unique)
        case Project(input=input, expressions=expressions):
            read = [expressions[column].expr for column in columns]
            return is_unique(input, {expr.index for expr in read if isinstance(expr, ColumnRef)}, unique)
        case Aggregate(keys=keys):
            return set(range(len(keys))) <= set(columns) or of_keys(plan, columns, unique)
        case Join(kind="semi" | "anti" | "mark", left=left):
            return is_unique(left, [column for column in columns if column < len(left.schema)], unique)
        case Join(kind="inner" | "left" | "single", left=left, right=right):
            width = len(left.schema)
            mine = [column for column in columns if column < width]
            theirs = [column - width for column in columns if column >= width]
            if is_unique(left, mine, unique) and (plan.kind == "single" or has_unique_partner(plan, unique)):
                return True
            return plan.kind == "inner" and is_unique(right, theirs, unique) and has_unique_partner(mirrored(plan), unique)
        case _:
            return False


def of_keys(plan: Aggregate, columns: Collection[int], unique: UniqueKeys) -> bool:
    """Whether the keys among `columns` are different in every row of the input already."""
    read = [plan.keys[column].expr for column in columns if column < len(plan.keys)]
    return is_unique(plan.input, {expr.index for expr in read if isinstance(expr, ColumnRef)}, unique)


def has_unique_partner(join: Join, unique: UniqueKeys) -> bool:
    """Whether every left row has at most one partner, by the keys."""
    if at_most_one_row(join.right):
        return True
    plain = [key.right for key in join.keys if not key.null_safe or isinstance(join.right, Aggregate)]
    return is_unique(join.right, {expr.index for expr in plain if isinstance(expr, ColumnRef)}, unique)


def mirrored(join: Join) -> Join:
    """The keys of an inner join seen from the other side."""
    keys = tuple(type(key)(key.right, key.left, key.null_safe) for key in join.keys)
    return Join(join.right, join.left, "inner", keys)


def determined(plan: Plan, columns: Collection[int], is_key: UniqueKeys) -> set[int]:
    """The columns that have one value in all rows that are equal in `columns` (NULL equal to NULL): those, and perhaps others.

    A row follows from a column that is a key: unique, and never NULL. A join's other side follows from keys that equal it.
    """
    given = set(columns)
    match plan:
        case Scan(columns=positions):
            everything = set(range(len(positions)))
            return everything if any(is_key.of_table(plan.table, [positions[column]]) for column in given) else given
        case CommonScan(number=number):
            return set(is_key.determined(number, given))
        case Filter() | Sort() | Limit():
            return determined(plan.input, given, is_key)
        case Project(input=input, expressions=expressions):
            read = {at: named.expr.index for at, named in enumerate(expressions) if isinstance(named.expr, ColumnRef)}
            below = determined(input, {read[column] for column in given if column in read}, is_key)
            return given | {at for at, index in read.items() if index in below}
        case Aggregate(keys=keys):
            everything = set(range(len(plan.schema)))
            return everything if set(range(len(keys))) <= given else given
        case Join(kind="semi" | "anti", left=left):
            return determined(left, given, is_key)
        case Join(kind="inner"):
            return given | of_both_sides(plan, given, is_key)
        case _:
            return given


def of_both_sides(join: Join, given: set[int], is_key: UniqueKeys) -> set[int]:
    """What is determined of an inner join: each side by what is given of it, and by keys that equal the other side's."""
    width = len(join.left.schema)
    left = {column for column in given if column < width}
    right = {column - width for column in given if column >= width}
    pairs = [
        (key.left.index, key.right.index)
        for key in join.keys
        if isinstance(key.left, ColumnRef) and isinstance(key.right, ColumnRef) and not isinstance(key.left.type, Float)
    ]
    while True:
        known = len(left), len(right)
        left = determined(join.left, left, is_key)
        right |= {theirs for mine, theirs in pairs if mine in left}
        right = determined(join.right, right, is_key)
        left |= {mine for mine, theirs in pairs if theirs in right}
        if (len(left), len(right)) == known:
            return left | {column + width for column in right}


def at_most_one_row(plan: Plan) -> bool:
    """Whether the plan has one row at most, whatever the data."""
    match plan:
        case OneRow() | Limit(count=0 | 1) | Aggregate(keys=()) | CommonScan(one_row=True):
            return True
        case Filter() | Project() | Sort() | Limit() | Window() | Aggregate():
            return at_most_one_row(plan.input)
        case Join(kind="semi" | "anti" | "mark" | "single"):
            return at_most_one_row(plan.left)
        case Join(kind="inner" | "left"):
            return at_most_one_row(plan.left) and at_most_one_row(plan.right)
        case _:
            return False
