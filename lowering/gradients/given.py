"""What is differentiated, which expressions and plans depend on it, and how what is fixed is computed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import jax
import pyarrow as pa

from qtensor.errors import Span, UnsupportedError
from qtensor.expressions import Expr, Literal, Predict, Subquery, children
from qtensor.logical import CommonScan, Plan, With, inputs
from qtensor.lowering.models.model import Model
from qtensor.optimise.rewriting import expressions_of
from qtensor.types import Float, Schema
from qtensor.values.texts import to_float32

Array: TypeAlias = jax.Array
# The rows of a plan without free parts, over tables by name that stand for rows at hand.
FixedRows: TypeAlias = Callable[[Plan, Mapping[str, tuple[Schema, pa.Table]]], pa.Table]


@dataclass(frozen=True)
class Parameter:
    """A number that is differentiated, and what stands for it in the plan."""

    number: Array
    bound: float


@dataclass(frozen=True)
class Failing:
    """A value for which there is no result: whether any row has one, and the error."""

    found: Array
    message: str
    span: Span | None


@dataclass(frozen=True)
class Given:
    """One evaluation: the models of the query; of those that are differentiated all weights, by name; the parameters; by what
    temperature conditions are softened, None: not at all. failing: filled while expressions are evaluated.
    """

    models: Mapping[str, Model]
    weights: Mapping[str, Sequence[Array]]
    parameters: Mapping[str, Parameter]
    soft: float | None
    fixed_rows: FixedRows
    failing: list[Failing] = field(default_factory=list)

    def refuse(self, what: str, span: Span | None) -> UnsupportedError:
        """The error of what has no derivative, and could have one if it were softened."""
        if self.soft is None:
            return UnsupportedError(f"{what}; soft=temperature takes it as a probability", "", [span] if span else [])
        return UnsupportedError(what, "", [span] if span else [])

    def is_free(self, expr: Expr, columns: Collection[int]) -> bool:
        """Whether an expression depends on what is differentiated. columns: the positions of free columns."""
        match expr:
            case Literal(parameter=name):
                return name is not None and any(part in self.parameters for part in name.split())
            case Predict(model=model) if model in self.weights:
                return True
            case Subquery():
                return True  # none is left in plans
            case _:
                index = getattr(expr, "index", None)
                if index is not None:
                    return index in columns
                return any(self.is_free(child, columns) for child in children(expr))

    def parameter(self, literal: Literal) -> Array:
        """A parameter that is differentiated, where it stands.

        Raises UnsupportedError: what stands there was made of it before.
        """
        known = self.parameters.get(literal.parameter or "")
        single = literal.type == Float(32)
        if (
            known is None
            or not isinstance(literal.type, Float)
            or literal.value != (to_float32(known.bound) if single else known.bound)
        ):
            names = ", ".join(f"${name}" for name in (literal.parameter or "").split())
            raise UnsupportedError(f"not differentiable: {names} becomes another value, {literal.value!r}, or a {literal.type}")
        return known.number

    def reads_free(self, plan: Plan, definitions: Mapping[int, Plan]) -> bool:
        """Whether anything in a plan depends on what is differentiated by itself."""
        if isinstance(plan, CommonScan):
            return self.reads_free(definitions[plan.number], definitions)
        below = (plan.input,) if isinstance(plan, With) else inputs(plan)
        own = any(self.is_free(expr, ()) for expr in expressions_of(plan))
        return own or any(self.reads_free(part, definitions) for part in below)
