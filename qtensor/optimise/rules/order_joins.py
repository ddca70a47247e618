"""Rule: inner joins in the order that costs least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from qtensor.expressions import ColumnRef
from qtensor.logical import Join, NamedExpr, Plan, Project, definitions_of, inputs, with_inputs
from qtensor.optimise.facts.estimates import Estimator
from qtensor.optimise.facts.statistics import NoStatistics, PlanStatistics
from qtensor.optimise.rewriting import conjunction, filtered, renumbered, shifted
from qtensor.optimise.rules.join_graph import JoinGraph, Tree, rows_read, tree_of

EXHAUSTIVE = 10  # relations; of more, the best pair is joined first
MOST_PAIRS = 10_000  # so many pairs of sets are looked at, about half a second: enough for ten relations but in a dense graph

# Costs of a row, measured in rows of a scan. A row streams on with its partner's columns, wherever it is filtered.
BUILD = 5.0  # to put it where it is found by its key
BUILD_SORTED = 50.0  # where several rows may have that key
THIN = 2.0  # to see whether it is one of few that are live and are brought together before they are put there
THIN_ROWS, THIN_SHARE = 1 << 17, 4  # of so many rows, one in so many at most: what `Pipelines.thinned` does
PROBE = 1.5  # to fetch its partner from a table that is in the cache
PROBE_FAR = 6.0  # from one that is not
IN_CACHE = 1 << 15  # rows
EXPAND = 40.0  # to be written as one of the pairs, where there may be several partners
LIVE = 0.5  # for each that is left: so that of orders that cost the same, the one that drops rows early is chosen


def order_joins(plan: Plan, statistics: PlanStatistics | None = None) -> Plan:
    """Join the relations of each tree of inner joins in another order, found by dynamic programming over connected sets.

    Sound: inner joins are associative and commutative, and each condition is asked as soon as its columns are there. The right
    side of a join is looked up, so the largest relation should stream through from the left, and the right sides be unique by
    their keys. Statistics only choose among orders that are all right.

    Source: G. Moerkotte, T. Neumann: Analysis of Two Existing and One New Dynamic Programming Algorithm for the Generation of
    Optimal Bushy Join Trees without Cross Products. VLDB 2006.

    >>> from qtensor.expressions import Call
    >>> from qtensor.logical import Scan
    >>> from qtensor.explain.plan_text import plan_text
    >>> from qtensor.types import BIGINT, BOOLEAN, Field
    >>> a, b, c = (Scan(name, (Field(name + "1", BIGINT), Field(name + "2", BIGINT)), (0, 1)) for name in "abc")
    >>> a2, b2, c1, c2 = (ColumnRef(index, BIGINT, name) for index, name in ((1, "a2"), (3, "b2"), (4, "c1"), (5, "c2")))
    >>> equal = lambda *sides: Call("equal", sides, BOOLEAN)
    >>> crossed = Join(Join(a, b, "inner"), c, "inner", (), Call("and", (equal(a2, c1), equal(b2, c2)), BOOLEAN))
    >>> print(plan_text(order_joins(crossed)))
    Project a1, a2, b1, b2, c1, c2
    └─ Join inner c1 = a2
       ├─ Join inner c2 = b2
       │  ├─ Scan c (c1, c2)
       │  └─ Scan b (b1, b2)
       └─ Scan a (a1, a2)
    """
    return ordered(plan, Estimator(statistics or NoStatistics(), definitions_of(plan)))


def ordered(plan: Plan, estimator: Estimator) -> Plan:
    """Every tree in `plan`."""
    if not (isinstance(plan, Join) and plan.kind == "inner"):
        return with_inputs(plan, [ordered(input, estimator) for input in inputs(plan)])
    tree = tree_of(plan)
    relations = tuple(ordered(relation, estimator) for relation in tree.relations)
    graph = JoinGraph.of(Tree(relations, tree.conditions, tree.outputs), estimator)
    best = Search(graph).best()
    new, positions = built(graph, best)
    where = {index: at for at, index in enumerate(positions)}
    new = filtered(new, [renumbered(part, where) for part in graph.last])
    outputs = tuple(
        NamedExpr(field.name, renumbered(output, where)) for field, output in zip(plan.schema, tree.outputs, strict=True)
    )
    in_place = [output.expr for output in outputs] == [ColumnRef(at, field.type) for at, field in enumerate(new.schema)]
    return new if in_place and new.schema == plan.schema else Project(new, outputs)


@dataclass(frozen=True)
class Order:
    """A way to join a set of relations.

    stream: how many rows flow through its last pipeline, those that were dropped among them. anchor: the relation whose
    unique columns are unique in the result (None: no relation's). parts: the two sides, none of a single relation.
    """

    mask: int
    cost: float
    stream: float
    anchor: int | None
    parts: tuple[Order, Order] | None = None


class Search:
    """The best order of the relations of a graph."""

    def __init__(self, graph: JoinGraph) -> None:
        self.graph = graph
        self.orders: dict[int, Order] = {}
        for number, relation in enumerate(graph.relations):
            read = rows_read(relation, graph.estimator)
            self.orders[1 << number] = Order(1 << number, read, read, number)

    def best(self) -> Order:
        relations = list(self.orders.values())
        if len(relations) <= EXHAUSTIVE and self.enumerate_sets():
            return self.orders.get(self.graph.everything) or self.pair_by_pair(self.largest_sets())
        return self.pair_by_pair(relations)

    def enumerate_sets(self) -> bool:
        """Every connected set, smaller ones first, from its divisions in two connected sets; False if these are too many."""
        pairs = 0
        for mask in range(3, self.graph.everything + 1):
            part = (mask - 1) & mask
            while part > mask ^ part:
                left, right = self.orders.get(part), self.orders.get(mask ^ part)
                if left is not None and right is not None and self.graph.connected(part, mask ^ part):
                    self.consider(left, right)
                    pairs += 1
                part = (part - 1) & mask
            if pairs > MOST_PAIRS:
                return False
        return True

    def consider(self, one: Order, other: Order) -> None:
        """Join two orders either way, the larger as the left side first: tables that stream need not be measured."""
        left, right = sorted((one, other), key=lambda order: -order.stream)
        for sides in ((left, right), (right, left)):
            known = self.orders.get(one.mask | other.mask)
            if known is not None and self.least(*sides) >= self.total(known):
                continue
            order = self.joined(*sides)
            if known is None or self.total(order) < self.total(known):
                self.orders[order.mask] = order

    def least(self, left: Order, right: Order) -> float:
        """What a join costs at least: each left row has one partner at most."""
        rows = self.graph.rows(left.mask | right.mask)
        return left.cost + right.cost + PROBE * left.stream + BUILD * self.build_rows(right) + LIVE * rows

    def build_rows(self, right: Order) -> float:
        """How many rows the right side puts into its table, or what costs as much: a few of very many are brought together
        before.
        """
        live = self.graph.rows(right.mask)
        if right.stream <= THIN_ROWS or live * THIN_SHARE > right.stream:
            return right.stream
        return THIN * right.stream / BUILD + live

    def total(self, order: Order) -> float:
        """What it costs, and what follows costs by its stream."""
        return order.cost + 2 * order.stream

    def joined(self, left: Order, right: Order) -> Order:
        """`left` streams, `right` is looked up."""
        graph = self.graph
        mask = left.mask | right.mask
        probe = PROBE if right.stream <= IN_CACHE else min(PROBE_FAR, PROBE + log2(right.stream / IN_CACHE))
        build = self.build_rows(right)
        cost = left.cost + right.cost + probe * left.stream + LIVE * graph.rows(mask)
        equalities = graph.equalities(left.mask, right.mask)
        keys = frozenset(theirs.index for _, theirs in equalities)
        if graph.is_one_row(right.mask) or (right.anchor is not None and graph.unique(right.anchor, keys)):
            return Order(mask, cost + BUILD * build, left.stream, left.anchor, (left, right))
        pairs = max(graph.rows(mask), 1.0) if equalities else graph.rows(left.mask) * graph.rows(right.mask)
        mine = frozenset(own.index for own, _ in equalities)
        anchor = right.anchor if left.anchor is not None and graph.unique(left.anchor, mine) else None
        cost += BUILD_SORTED * build + EXPAND * (left.stream + pairs)
        return Order(mask, cost, pairs, anchor, (left, right))

    def largest_sets(self) -> list[Order]:
        """Known orders that together have every relation once: the largest first."""
        chosen: list[Order] = []
        covered = 0
        for mask in sorted(self.orders, key=lambda mask: (-mask.bit_count(), mask)):
            if not mask & covered:
                chosen.append(self.orders[mask])
                covered |= mask
        return chosen

    def pair_by_pair(self, orders: Sequence[Order]) -> Order:
        """Greedily: always the two whose join has the fewest rows, connected ones before others."""
        left = list(orders)
        while len(left) > 1:
            pairs = [(one, other) for one in left for other in left if one is not other]
            one, other = min(pairs, key=self.rank)
            left = [order for order in left if order is not one and order is not other]
            left.append(self.joined(one, other))
        return left[0]

    def rank(self, pair: tuple[Order, Order]) -> tuple[bool, float, float]:
        one, other = pair
        connected = self.graph.connected(one.mask, other.mask)
        return not connected, self.graph.rows(one.mask | other.mask), self.joined(one, other).cost


def built(graph: JoinGraph, order: Order) -> tuple[Plan, list[int]]:
    """The plan of an order, and which column of the graph each of its columns is."""
    if order.parts is None:
        number = order.mask.bit_length() - 1
        first, relation = graph.first[number], graph.relations[number]
        inside = [shifted(part, -first) for part in graph.conditions_inside(number)]
        return filtered(relation, inside), [first + at for at in range(len(relation.schema))]
    (left, mine), (right, theirs) = (built(graph, part) for part in order.parts)
    positions = [*mine, *theirs]
    where = {index: at for at, index in enumerate(positions)}
    conditions = [renumbered(part, where) for part in graph.conditions(order.parts[0].mask, order.parts[1].mask)]
    return Join(left, right, "inner", (), conjunction(conditions) if conditions else None), positions
