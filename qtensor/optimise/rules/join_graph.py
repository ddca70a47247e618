"""A tree of inner joins as a graph: relations, and the conditions between them; a set of relations is a bit mask."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

from qtensor.expressions import Call, ColumnRef, Expr, conjuncts
from qtensor.logical import Filter, Join, Plan, Project, Window
from qtensor.optimise.facts.estimates import Estimator, composite, selectivity
from qtensor.optimise.facts.statistics import ColumnStatistics
from qtensor.optimise.facts.uniqueness import at_most_one_row, is_unique
from qtensor.optimise.rewriting import all_columns, columns_of, key_condition, shifted, substitute
from qtensor.types import BOOLEAN


@dataclass(frozen=True)
class Tree:
    """Inner joins, taken apart. Columns are numbered over all `relations`, one after the other.

    outputs: what the tree's columns are.
    """

    relations: tuple[Plan, ...]
    conditions: tuple[Expr, ...]
    outputs: tuple[Expr, ...]


def tree_of(plan: Plan) -> Tree:
    """The inner joins at the top of `plan`, through projections that only pick columns."""
    match plan:
        case Join(kind="inner"):
            left, right = tree_of(plan.left), tree_of(plan.right)
            width = sum(len(relation.schema) for relation in left.relations)
            outputs = (*left.outputs, *(shifted(output, width) for output in right.outputs))
            own = [key_condition(key, len(plan.left.schema)) for key in plan.keys]
            own += [] if plan.condition is None else conjuncts(plan.condition)
            conditions = (*left.conditions, *(shifted(part, width) for part in right.conditions))
            return Tree((*left.relations, *right.relations), (*conditions, *(substitute(part, outputs) for part in own)), outputs)
        case Project(input=Join(kind="inner") | Project() as input, expressions=expressions) if all(
            isinstance(named.expr, ColumnRef) for named in expressions
        ):
            tree = tree_of(input)
            return replace(tree, outputs=tuple(substitute(named.expr, tree.outputs) for named in expressions))
        case _:
            return Tree((plan,), (), tuple(all_columns(plan)))


@dataclass
class JoinGraph:
    """The relations of a tree with what orders need to know: which are connected, by which conditions, and how many rows sets
    of them have.

    classes: columns that equal each other where all conditions are true; others: the rest of the conditions, with the
    relations that they read.
    """

    relations: tuple[Plan, ...]
    estimator: Estimator
    classes: list[list[ColumnRef]]
    others: list[tuple[int, Expr]]
    owner: list[int]
    first: list[int]
    class_masks: list[int]
    _rows: dict[int, float] = field(default_factory=dict)
    _unique: dict[tuple[int, frozenset[int]], bool] = field(default_factory=dict)

    @classmethod
    def of(cls, tree: Tree, estimator: Estimator) -> JoinGraph:
        owner = [number for number, relation in enumerate(tree.relations) for _ in relation.schema]
        first = [owner.index(number) if number in owner else 0 for number in range(len(tree.relations))]
        classes: list[list[ColumnRef]] = []
        others = []
        for part in dict.fromkeys(tree.conditions):
            match part:
                case Call(function="equal", arguments=(ColumnRef() as one, ColumnRef() as other)) if one.type == other.type:
                    classes = merged(classes, one, other)
                case _:
                    others.append((mask_of({owner[index] for index in columns_of(part)}), part))
        masks = [mask_of({owner[column.index] for column in group}) for group in classes]
        return cls(tree.relations, estimator, classes, others, owner, first, masks)

    @property
    def everything(self) -> int:
        return (1 << len(self.relations)) - 1

    def column(self, index: int) -> ColumnStatistics:
        number = self.owner[index]
        return self.estimator.column(self.relations[number], index - self.first[number])

    def members(self, group: list[ColumnRef], mask: int) -> list[ColumnRef]:
        """The columns of a class that belong to the relations in `mask`."""
        return [column for column in group if mask >> self.owner[column.index] & 1]

    def equalities(self, left: int, right: int) -> list[tuple[ColumnRef, ColumnRef]]:
        """For each class on both sides one equality: within a side its columns are equal already."""
        shared = (group for group, mask in zip(self.classes, self.class_masks, strict=True) if mask & left and mask & right)
        return [(self.member(group, left), self.member(group, right)) for group in shared]

    def member(self, group: list[ColumnRef], mask: int) -> ColumnRef:
        """One of the class's columns that belong to the relations in `mask`."""
        return next(column for column in group if mask >> self.owner[column.index] & 1)

    def conditions(self, left: int, right: int) -> list[Expr]:
        """The conditions that a join of two sets of relations is the first to be able to ask."""
        both = left | right
        own = [part for mask, part in self.others if mask & both == mask and mask & left != mask and mask & right != mask]
        return [*(Call("equal", pair, BOOLEAN) for pair in self.equalities(left, right)), *own]

    def conditions_inside(self, number: int) -> list[Expr]:
        """That columns of one relation are equal because they equal the same column of another."""
        groups = (self.members(group, 1 << number) for group in self.classes)
        return [Call("equal", (group[0], other), BOOLEAN) for group in groups for other in group[1:]]

    @property
    def last(self) -> list[Expr]:
        """Conditions on one relation or none, which are no filters of it: what may raise an error sees joined rows only."""
        return [part for mask, part in self.others if mask.bit_count() < 2]

    def connected(self, left: int, right: int) -> bool:
        """Whether a join of the two is no cross product, or one with a single row."""
        if any(mask & left and mask & right for mask in self.class_masks):
            return True
        if any(mask & left and mask & right and mask & (left | right) == mask for mask, _ in self.others):
            return True
        return self.is_one_row(left) or self.is_one_row(right)

    def is_one_row(self, mask: int) -> bool:
        return mask.bit_count() == 1 and at_most_one_row(self.relations[mask.bit_length() - 1])

    def rows(self, mask: int) -> float:
        """How many rows the join of a set of relations has, whatever the order: one relation after the other is added."""
        if mask not in self._rows:
            number = mask.bit_length() - 1
            rest = mask & ~(1 << number)
            own = self.estimator.rows(self.relations[number])
            self._rows[mask] = own if not rest else own * self.rows(rest) * self.selectivity(1 << number, rest)
        return self._rows[mask]

    def selectivity(self, relation: int, rest: int) -> float:
        """The part of the pairs of a relation's rows with those of others that is joined.

        Keys to the same other relation belong together: a foreign key of two columns is one key.
        """
        number = relation.bit_length() - 1
        found = prod(selectivity(part, self.column) for part in self.conditions(relation, rest) if not self.is_equality(part))
        open_classes = [group for group in self.classes if self.members(group, relation) and self.members(group, rest)]
        while open_classes:
            partners = [other for other in range(len(self.relations)) if rest >> other & 1]
            partner = max(partners, key=lambda other: sum(bool(self.members(group, 1 << other)) for group in open_classes))
            joined = [group for group in open_classes if self.members(group, 1 << partner)]
            distinct = [
                max(self.column(self.members(group, mask)[0].index).distinct for mask in (relation, rest)) for group in joined
            ]
            sizes = (self.size(number), self.size(partner))
            found /= composite(distinct, *sizes)
            open_classes = [group for group in open_classes if group not in joined]
        return found

    def is_equality(self, part: Expr) -> bool:
        return isinstance(part, Call) and part.function == "equal" and all(isinstance(side, ColumnRef) for side in part.arguments)

    def size(self, number: int) -> float:
        """How many rows a relation has before it is filtered: as many values as its key has."""
        return rows_read(self.relations[number], self.estimator)

    def unique(self, number: int, columns: frozenset[int]) -> bool:
        """Whether the rows of a relation differ in these columns."""
        if (number, columns) not in self._unique:
            own = [index - self.first[number] for index in columns if self.owner[index] == number]
            self._unique[number, columns] = is_unique(self.relations[number], own, self.estimator.keys)
        return self._unique[number, columns]


def merged(classes: list[list[ColumnRef]], one: ColumnRef, other: ColumnRef) -> list[list[ColumnRef]]:
    """The classes once `one` equals `other`."""
    touched = [group for group in classes if one in group or other in group]
    joined = list(dict.fromkeys([*(column for group in touched for column in group), one, other]))
    return [*(group for group in classes if group not in touched), joined]


def mask_of(numbers: set[int]) -> int:
    return sum(1 << number for number in numbers)


def rows_read(plan: Plan, estimator: Estimator) -> float:
    """How many rows stream through where `plan` begins: a filter moves none."""
    match plan:
        case Filter() | Project() | Window():
            return rows_read(plan.input, estimator)
        case Join(kind="semi" | "anti" | "mark" | "single" | "left"):
            return max(rows_read(plan.left, estimator), estimator.rows(plan))
        case _:
            return estimator.rows(plan)
