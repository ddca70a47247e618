"""The optimiser's driver: applies each rule in turn to a logical plan, and checks that it kept the schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from qtensor.errors import InternalError
from qtensor.logical import Plan
from qtensor.optimise.enums import without_enums
from qtensor.optimise.facts.statistics import PlanStatistics
from qtensor.optimise.rewriting import map_plan
from qtensor.optimise.rules.drop_distinct import drop_distinct
from qtensor.optimise.rules.drop_unseen_order import drop_unseen_order
from qtensor.optimise.rules.extract_join_keys import extract_join_keys
from qtensor.optimise.rules.factor_disjunctions import factor_disjunctions
from qtensor.optimise.rules.fold_constants import fold_constants
from qtensor.optimise.rules.merge_projections import merge_projections
from qtensor.optimise.rules.order_joins import order_joins
from qtensor.optimise.rules.prune_columns import prune_columns
from qtensor.optimise.rules.push_filter_down import push_filter_down
from qtensor.optimise.rules.push_semi_join_down import push_semi_join_down
from qtensor.optimise.rules.reduce_by_semi_join import reduce_by_semi_join
from qtensor.optimise.rules.semi_join_by_extremes import semi_join_by_extremes
from qtensor.optimise.rules.unwrap_cast_in_comparison import unwrap_cast_in_comparison
from qtensor.optimise.share_parts import share_parts
from qtensor.optimise.subqueries.unnest_subqueries import unnest_subqueries
from qtensor.optimise.unsupported_columns import refuse_unsupported_columns

Rule: TypeAlias = Callable[[Plan], Plan]
Observer: TypeAlias = Callable[[str, Plan], None]

# What every plan needs to be lowered.
REQUIRED_RULES: tuple[Rule, ...] = (unnest_subqueries,)
RULES: tuple[Rule, ...] = (
    fold_constants,
    unwrap_cast_in_comparison,
    factor_disjunctions,
    push_filter_down,
    drop_unseen_order,
    extract_join_keys,
    push_semi_join_down,
    order_joins,
    extract_join_keys,
    semi_join_by_extremes,
    reduce_by_semi_join,
    prune_columns,
    merge_projections,
    drop_distinct,
)
# Those that look at one node, and are applied to every node, inputs first; the others get the plan from its top.
NODE_RULES = frozenset(
    (
        fold_constants,
        unwrap_cast_in_comparison,
        factor_disjunctions,
        extract_join_keys,
        push_semi_join_down,
        semi_join_by_extremes,
        merge_projections,
        drop_distinct,
    )
)
# Those that ask for the tables' statistics.
STATISTICAL_RULES: dict[Rule, Callable[[Plan, PlanStatistics | None], Plan]] = {
    order_joins: order_joins,
    reduce_by_semi_join: reduce_by_semi_join,
}


def optimise(plan: Plan, observe: Observer | None = None, statistics: PlanStatistics | None = None) -> Plan:
    """An equivalent plan without subqueries that reads and computes less; `observe` is told the name of each rule that changed
    something, and the plan. `statistics` guide the order of joins and what is reduced before them.

    Raises:
        UnsupportedError: it needs columns of types that are not supported.
    """
    plan = without_enums(share_parts(plan))
    for rule in REQUIRED_RULES:
        plan = checked(rule, plan, applied(rule, plan, statistics), observe)
    refuse_unsupported_columns(plan)
    for rule in RULES:
        plan = checked(rule, plan, applied(rule, plan, statistics), observe)
    return plan


def applied(rule: Rule, plan: Plan, statistics: PlanStatistics | None) -> Plan:
    if rule in STATISTICAL_RULES:
        return STATISTICAL_RULES[rule](plan, statistics)
    return map_plan(plan, rule) if rule in NODE_RULES else rule(plan)


def checked(rule: Rule, old: Plan, new: Plan, observe: Observer | None) -> Plan:
    if new.schema != old.schema:
        raise InternalError(f"rule {rule.__name__} changed the schema of the plan from {old.schema} to {new.schema}")
    if observe is not None and new is not old and new != old:
        observe(rule.__name__, new)
    return new
