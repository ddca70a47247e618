"""Rule: of several conditions, those without models first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qtensor.expressions import Expr, conjuncts
from qtensor.logical import Filter, Plan
from qtensor.optimise.facts.expressions import calls_of, may_raise, stays, work_of
from qtensor.optimise.rewriting import conjunction


def models_last(plan: Plan) -> Plan:
    """Ask the conditions of a filter that cost least first, so that models are called for the rows that these leave.

    Sound: a row is kept if all are true, in whatever order they are asked. A condition sees the rows that those before it leave,
    and one that may raise an error must not see more of them: nothing goes behind such a one that stands before it.

    >>> from qtensor.expressions import Call, ColumnRef, Literal, Predict
    >>> from qtensor.explain.plan_text import plan_text
    >>> from qtensor.logical import Scan
    >>> from qtensor.types import BIGINT, BOOLEAN, DOUBLE, Field
    >>> a = ColumnRef(0, DOUBLE, "a")
    >>> risky = Call("greater", (Predict("m", (a,), DOUBLE, work=100, fails=False), Literal(0.5, DOUBLE)), BOOLEAN)
    >>> known = Call("less", (a, Literal(1.0, DOUBLE)), BOOLEAN)
    >>> print(plan_text(models_last(Filter(Scan("t", (Field("a", DOUBLE),), (0,)), conjunction([risky, known])))))
    Filter (a < 1.0) AND (m(a) > 0.5)
    └─ Scan t (a)
    """
    if not isinstance(plan, Filter):
        return plan
    parts = conjuncts(plan.predicate)
    ordered = in_order(parts)
    return plan if ordered == parts or not any(map(calls_of, parts)) else replace(plan, predicate=conjunction(ordered))


def in_order(parts: Sequence[Expr]) -> list[Expr]:
    """Conditions in the order in which they are asked."""
    found = [part for part in parts if not stays(part)]
    waiting: list[Expr] = []  # models between two conditions that may raise an error
    for part in parts:
        if may_raise(part):
            found += [*sorted(waiting, key=work_of), part]
            waiting = []
        elif stays(part):
            waiting.append(part)
    return found + sorted(waiting, key=work_of)
