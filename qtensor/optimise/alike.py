"""Plans that differ in nothing but the values of parameters: which ones do, and how they are given one set of literals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from qtensor.expressions import Expr, Literal
from qtensor.logical import Plan, definitions_of
from qtensor.optimise.facts.estimates import Estimator
from qtensor.optimise.facts.statistics import PlanStatistics
from qtensor.optimise.rewriting import map_expressions, map_plan, transform

Literals: TypeAlias = tuple[Literal, ...]  # of one place in several plans, in their order


def groups_of_alike(plans: Sequence[Plan]) -> list[list[int]]:
    """The plans' numbers, those together that are alike."""
    found: dict[Plan, list[int]] = {}
    for number, plan in enumerate(plans):
        found.setdefault(without_values(plan), []).append(number)
    return list(found.values())


def with_common_names(plans: Sequence[Plan]) -> tuple[list[Plan], dict[str, Literals]]:
    """Plans that are alike, with other names for the parameters of their literals; by name the literals that have it.

    Two places have one name if they hold the same in each of the plans: in some of them they may do so by chance.
    """
    places = list(zip(*(values_of(plan) for plan in plans), strict=True))
    names = {place: f"#{number}" for number, place in enumerate(dict.fromkeys(places))}
    named = []
    for number, plan in enumerate(plans):
        renamed = iter([replace(place[number], parameter=names[place]) for place in places])
        named.append(map_values(plan, lambda _, renamed=renamed: next(renamed)))  # type: ignore[misc]
    return named, {name: place for place, name in names.items()}


class WidestEstimator(Estimator):
    """Estimates for plans that are alike, `plans`: the most that a part of one may have in any of them."""

    def __init__(self, statistics: PlanStatistics, plans: Sequence[Plan], names: Mapping[str, Literals]) -> None:
        """names: as `with_common_names` gave them."""
        super().__init__(statistics, definitions_of(plans[0]))
        self._each = [Estimator(statistics, definitions_of(plan)) for plan in plans]
        self._names = names
        self._most: dict[Plan, float] = {}

    def rows(self, plan: Plan) -> float:
        key = map_values(plan, lambda literal: Literal(None, literal.type, literal.parameter))
        if key not in self._most:
            self._most[key] = max(estimator.rows(self._of(plan, number)) for number, estimator in enumerate(self._each))
        return self._most[key]

    def _of(self, part: Plan, number: int) -> Plan:
        """A part of one plan as it is in another one."""
        return map_values(part, lambda literal: self._names[literal.parameter or ""][number])


def without_values(plan: Plan) -> Plan:
    """A plan in which parameters have no values: equal of plans that are alike."""
    return map_values(plan, lambda literal: Literal(None, literal.type, ""))


def values_of(plan: Plan) -> Literals:
    """The literals that are parameters' values, in the order in which they stand in a plan."""
    found: list[Literal] = []

    def collect(literal: Literal) -> Literal:
        found.append(literal)
        return literal

    map_values(plan, collect)
    return tuple(found)


def map_values(plan: Plan, function: Callable[[Literal], Literal]) -> Plan:
    """`plan` with `function` applied to each value of a parameter that a physical plan does not hold: to texts and numbers.

    NULL, Booleans and intervals are a part of plans.
    """

    def mapped(expr: Expr) -> Expr:
        if isinstance(expr, Literal) and expr.parameter is not None and type(expr.value) in (int, float, str):
            return function(expr)
        return expr

    return map_plan(plan, lambda node: map_expressions(node, lambda expr: transform(expr, mapped)))
