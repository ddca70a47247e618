"""For how many rows a plan calls its models, about."""

from __future__ import annotations

from collections.abc import Iterator

from qtensor.expressions import Expr, Predict, conjuncts
from qtensor.logical import Filter, Join, Plan, inputs
from qtensor.optimise.facts.estimates import Estimator
from qtensor.optimise.facts.expressions import calls_of
from qtensor.optimise.rewriting import expressions_of, filtered


def rows_of_models(plan: Plan, estimator: Estimator) -> dict[str, float]:
    """The rows of all calls of a plan by the model's name; the same call of the same rows is one."""
    found: dict[str, float] = {}
    for model, rows in calls_in(plan, estimator):
        found[model] = found.get(model, 0.0) + rows
    return found


def calls_in(plan: Plan, estimator: Estimator) -> Iterator[tuple[str, float]]:
    """The models that a plan calls, each with the rows of a call."""
    below = inputs(plan)
    for input in below:
        yield from calls_in(input, estimator)
    known: set[Predict] = calls_of(below[0].predicate) if below and isinstance(below[0], Filter) else set()
    parts = conjuncts(plan.predicate) if isinstance(plan, Filter) else expressions_of(plan)
    if isinstance(plan, Join) and not any(map(calls_of, parts)):
        return
    asked: list[Expr] = []
    for part in parts:
        new = calls_of(part) - known
        rows = max(map(estimator.rows, below)) if len(below) != 1 else estimator.rows(filtered(below[0], asked))
        yield from ((call.model, rows) for call in new)
        known |= new
        if isinstance(plan, Filter):
            asked.append(part)
