"""The scores among which a model chooses its class: what stands before its last argmax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal, Var, jaxpr_as_fun

from qtensor.lowering.models.model import Model
from qtensor.lowering.program.work import inner_jaxprs

Array: TypeAlias = jax.Array

_PASSED_ON = frozenset(("convert_element_type", "reshape", "squeeze", "expand_dims", "broadcast_in_dim", "copy", "transpose"))
_CALLS = frozenset(("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint"))


def class_scores(model: Model, weights: Sequence[Array], columns: Sequence[Array]) -> list[Array] | None:
    """The scores [rows] of each class, of which the model gives the greatest; logits, where a softmax of them comes last.

    None: the model's result does not come from an argmax.
    """
    closed = jax.make_jaxpr(lambda weights, columns: model.apply(weights, columns).value(None))(list(weights), list(columns))
    path = Path(list(closed.jaxpr.eqns), closed.jaxpr.outvars[0])
    axis = path.to_argmax()
    if axis is None:
        return None
    path.to_logits()
    shortened = closed.jaxpr.replace(eqns=path.equations, outvars=[path.wanted])
    (scores,) = jaxpr_as_fun(ClosedJaxpr(shortened, closed.consts))(*jax.tree.leaves((list(weights), list(columns))))
    rows = columns[0].shape[0]
    scores = jnp.moveaxis(scores, axis, 0)
    return [scores[number].reshape(rows) for number in range(scores.shape[0])]


class Path:
    """Back from a variable of a jaxpr through the equations that make it; calls on the way are written out."""

    def __init__(self, equations: list[Any], wanted: Any) -> None:
        self.equations, self.wanted = equations, wanted

    def producer(self) -> Any:
        """The equation that gives what is wanted; None if it is an argument or a constant. Those after it are dropped."""
        while True:
            found = next((place for place, eqn in enumerate(self.equations) if self.wanted in eqn.outvars), None)
            if found is None:
                return None
            equation = self.equations[found]
            inner = inner_jaxprs(equation.params.values())
            self.equations = self.equations[: found + 1]
            if equation.primitive.name not in _CALLS or not inner or inner[0].constvars:
                return equation
            self.equations[-1:] = self.written_out(equation, inner[0])

    def written_out(self, equation: Any, inner: Any) -> list[Any]:
        """The equations of a call in its place, with variables of their own; what is wanted is one of these then."""
        known = dict(zip(inner.invars, equation.invars[-len(inner.invars) :], strict=True))

        def outside(atom: Any) -> Any:
            return atom if isinstance(atom, Literal) else known[atom]

        written = []
        for one in inner.eqns:
            known.update({variable: Var(variable.aval) for variable in one.outvars})
            written.append(one.replace(invars=list(map(outside, one.invars)), outvars=list(map(outside, one.outvars))))
        self.wanted = outside(inner.outvars[equation.outvars.index(self.wanted)])
        return written

    def back(self, follow: Callable[[Any], Any | None]) -> Any:
        """Go back as long as `follow` names an operand of the equation at hand; the equation where it names none."""
        while True:
            equation = self.producer()
            operand = None if equation is None else follow(equation)
            if operand is None:
                return equation
            self.wanted = operand

    def selected(self, equation: Any) -> Any | None:
        """What an equation selects where that is no constant."""
        if equation.primitive.name != "select_n":
            return None
        return next((operand for operand in equation.invars[1:] if not self.is_constant(operand)), None)

    def is_constant(self, atom: Any) -> bool:
        """Whether it is a number of the program's text, perhaps for all rows."""
        while not isinstance(atom, Literal):
            equation = next((one for one in self.equations if atom in one.outvars), None)
            if equation is None or equation.primitive.name not in _PASSED_ON:
                return False
            atom = equation.invars[0]
        return True

    def to_argmax(self) -> int | None:
        """Back to what an argmax is of; the axis of its classes."""
        equation = self.back(lambda one: one.invars[0] if one.primitive.name in _PASSED_ON else self.selected(one))
        if equation is None:
            return None
        name = equation.primitive.name
        if name == "argmax" and len(equation.params["axes"]) == 1:
            self.wanted = equation.invars[0]
            return int(equation.params["axes"][0])
        if name == "reduce" and len(equation.outvars) == 2 and self.wanted is equation.outvars[1]:  # `greatest_and_index`
            self.wanted = equation.invars[0]
            return int(equation.params["dimensions"][0])
        return None

    def to_logits(self) -> None:
        """Back through what keeps NaN out of an argmax, and through a softmax, if there is one."""
        self.back(lambda one: self.selected(one) or passed_on(one))
        scores, equations = self.wanted, self.equations
        divided = self.back(passed_on)
        if divided is not None and divided.primitive.name == "div":
            self.wanted = divided.invars[0]
            above = self.back(passed_on)
            if above is not None and above.primitive.name == "exp":
                self.wanted = above.invars[0]
                return
        self.wanted, self.equations = scores, equations


def passed_on(equation: Any) -> Any | None:
    """The operand of an equation that gives all of it, of the same shape."""
    operand = equation.invars[0]
    same = equation.primitive.name in ("convert_element_type", "copy") and operand.aval.shape == equation.outvars[0].aval.shape
    return operand if same else None
