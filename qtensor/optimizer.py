"""The optimiser's driver: applies each rule in turn to a logical plan, and checks that it kept the schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from qtensor.errors import InternalError
from qtensor.logical import Plan
from qtensor.rules.extract_join_keys import extract_join_keys
from qtensor.rules.fold_constants import fold_constants
from qtensor.rules.prune_columns import prune_columns
from qtensor.rules.push_filter_down import push_filter_down
from qtensor.rules.rewriting import map_plan
from qtensor.rules.unnest_subqueries import unnest_subqueries
from qtensor.rules.unwrap_cast_in_comparison import unwrap_cast_in_comparison

Rule: TypeAlias = Callable[[Plan], Plan]
Observer: TypeAlias = Callable[[str, Plan], None]

# What every plan needs to be lowered; rules of one node, applied bottom-up; rules that look at a plan from its top.
REQUIRED_RULES: tuple[Rule, ...] = (unnest_subqueries,)
NODE_RULES: tuple[Rule, ...] = (fold_constants, unwrap_cast_in_comparison, push_filter_down, extract_join_keys)
PLAN_RULES: tuple[Rule, ...] = (prune_columns,)


def optimise(plan: Plan, observe: Observer | None = None) -> Plan:
    """An equivalent plan without subqueries that reads and computes less; `observe` is told the name of each rule that changed
    something, and the plan.
    """
    for rule in REQUIRED_RULES:
        plan = checked(rule, plan, rule(plan), observe)
    for rule in NODE_RULES:
        plan = checked(rule, plan, map_plan(plan, rule), observe)
    for rule in PLAN_RULES:
        plan = checked(rule, plan, rule(plan), observe)
    return plan


def checked(rule: Rule, old: Plan, new: Plan, observe: Observer | None) -> Plan:
    if new.schema != old.schema:
        raise InternalError(f"rule {rule.__name__} changed the schema of the plan from {old.schema} to {new.schema}")
    if observe is not None and new is not old and new != old:
        observe(rule.__name__, new)
    return new
