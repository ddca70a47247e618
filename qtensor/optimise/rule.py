"""What a rule of the optimiser is: a rewriting of plans, where it is applied, and what it asks about tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from qtensor.logical import Plan
from qtensor.optimise.facts.statistics import PlanStatistics
from qtensor.optimise.rewriting import map_plan

Rewriting: TypeAlias = Callable[[Plan], Plan]
GuidedRewriting: TypeAlias = Callable[[Plan, PlanStatistics | None], Plan]


@dataclass(frozen=True)
class Rule:
    """A rewriting of plans into equivalent ones with the same schema, which gives the same object where it changes nothing.

    scope: "node", it looks at one operator and is applied to each, inputs first; "plan", it is given the plan from its top.
    guided: tables' statistics guide its choice among equivalent plans, if there are any.
    """

    name: str
    scope: Literal["node", "plan"]
    rewrite: Rewriting | None = None
    guided: GuidedRewriting | None = None

    @classmethod
    def of_nodes(cls, rewrite: Rewriting) -> Rule:
        return cls(rewrite.__name__, "node", rewrite)

    @classmethod
    def of_plans(cls, rewrite: Rewriting) -> Rule:
        return cls(rewrite.__name__, "plan", rewrite)

    @classmethod
    def by_statistics(cls, guided: GuidedRewriting) -> Rule:
        return cls(guided.__name__, "plan", guided=guided)

    def applied(self, plan: Plan, statistics: PlanStatistics | None = None) -> Plan:
        """`plan` rewritten."""
        if self.guided is not None:
            return self.guided(plan, statistics)
        assert self.rewrite is not None
        return map_plan(plan, self.rewrite) if self.scope == "node" else self.rewrite(plan)
