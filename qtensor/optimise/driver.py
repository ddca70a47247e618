"""The optimiser's driver: applies each rule in turn to a logical plan, and checks that it kept the schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from qtensor.errors import InternalError
from qtensor.logical import Plan
from qtensor.optimise.enums import without_enums
from qtensor.optimise.facts.statistics import PlanStatistics
from qtensor.optimise.rule import Rule
from qtensor.optimise.rules.drop_distinct import drop_distinct
from qtensor.optimise.rules.drop_unread_arguments import drop_unread_arguments
from qtensor.optimise.rules.drop_unseen_order import drop_unseen_order
from qtensor.optimise.rules.extract_join_keys import extract_join_keys
from qtensor.optimise.rules.factor_disjunctions import factor_disjunctions
from qtensor.optimise.rules.fold_constants import fold_constants
from qtensor.optimise.rules.infer_early import infer_early
from qtensor.optimise.rules.infer_once import infer_once
from qtensor.optimise.rules.merge_projections import merge_projections
from qtensor.optimise.rules.models_last import models_last
from qtensor.optimise.rules.order_joins import order_joins
from qtensor.optimise.rules.prune_columns import prune_columns
from qtensor.optimise.rules.push_filter_down import push_filter_down
from qtensor.optimise.rules.push_semi_join_down import push_semi_join_down
from qtensor.optimise.rules.reduce_by_semi_join import reduce_by_semi_join
from qtensor.optimise.rules.semi_join_by_extremes import semi_join_by_extremes
from qtensor.optimise.rules.unwrap_cast_in_comparison import unwrap_cast_in_comparison
from qtensor.optimise.share_parts import share_parts
from qtensor.optimise.subqueries.unnest_subqueries import unnest_subqueries
from qtensor.optimise.unsupported_columns import mentions_unsupported, refuse_unsupported_columns

Observer: TypeAlias = Callable[[str, Plan], None]

# What every plan needs to be lowered.
REQUIRED_RULES = (Rule.of_plans(unnest_subqueries),)
RULES = (
    Rule.of_nodes(fold_constants),
    Rule.of_nodes(unwrap_cast_in_comparison),
    Rule.of_nodes(factor_disjunctions),
    Rule.of_nodes(drop_unread_arguments),
    Rule.of_plans(push_filter_down),
    Rule.of_plans(drop_unseen_order),
    Rule.of_nodes(extract_join_keys),
    Rule.of_nodes(push_semi_join_down),
    Rule.by_statistics(order_joins),
    Rule.of_nodes(extract_join_keys),
    Rule.of_nodes(semi_join_by_extremes),
    Rule.by_statistics(reduce_by_semi_join),
    Rule.by_statistics(infer_early),
    Rule.by_statistics(infer_once),
    Rule.of_nodes(models_last),
    Rule.of_plans(prune_columns),
    Rule.of_nodes(merge_projections),
    Rule.of_nodes(drop_distinct),
)

# What moves filters down to where they take rows away, and finds the keys of joins; no expression becomes another one.
MOVING_RULES = (
    Rule.of_plans(push_filter_down),
    Rule.of_plans(drop_unseen_order),
    Rule.of_nodes(extract_join_keys),
    Rule.of_plans(prune_columns),
)


def moved(plan: Plan) -> Plan:
    """An equivalent plan without subqueries, in which every expression is as it was bound."""
    plan = required(plan, None)
    for rule in MOVING_RULES:
        plan = checked(rule, plan, rule.applied(plan, None), None)
    return plan


def optimise(plan: Plan, observe: Observer | None = None, statistics: PlanStatistics | None = None) -> Plan:
    """An equivalent plan without subqueries that reads and computes less; `observe` is told the name of each rule that changed
    something, and the plan. `statistics` guide the order of joins and what is reduced before them.

    Raises:
        UnsupportedError: it needs columns of types that are not supported.
    """
    plan = required(plan, observe)
    for rule in RULES:
        plan = checked(rule, plan, rule.applied(plan, statistics), observe)
    return plan


def refuse_unsupported(plan: Plan) -> None:
    """Raise UnsupportedError if a bound plan needs columns of types that are not supported, as far as that is known by now."""
    if mentions_unsupported(plan):
        required(plan, None)


def required(plan: Plan, observe: Observer | None) -> Plan:
    """`plan` as every plan must be to be lowered."""
    plan = without_enums(share_parts(plan))
    for rule in REQUIRED_RULES:
        plan = checked(rule, plan, rule.applied(plan), observe)
    refuse_unsupported_columns(plan)
    return plan


def checked(rule: Rule, old: Plan, new: Plan, observe: Observer | None) -> Plan:
    if new.schema != old.schema:
        raise InternalError(f"rule {rule.name} changed the schema of the plan from {old.schema} to {new.schema}")
    if observe is not None and new is not old and new != old:
        observe(rule.name, new)
    return new
