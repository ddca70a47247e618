"""`value_and_grad`: a query's number as a function of models' weights and parameters, with its derivative."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

from qtensor.errors import DataError, ExecutionError, Span, SQLError, UnsupportedError, suggestion
from qtensor.given import given_text
from qtensor.logical import Plan
from qtensor.lowering.gradients.choices import is_number
from qtensor.lowering.gradients.expressions import free_numbers
from qtensor.lowering.gradients.given import FixedRows, Given, Parameter
from qtensor.lowering.gradients.plan import Differentiable
from qtensor.lowering.gradients.rows import Choice, Number, Rows
from qtensor.lowering.gradients.weights import named_weights
from qtensor.lowering.models.model import Model
from qtensor.optimise.alike import without_values
from qtensor.relation import Relation
from qtensor.run.prepared import Query, named_parameters

Tree: TypeAlias = Any  # of arrays by name, or a number
Loss: TypeAlias = Callable[[dict[str, jax.Array]], jax.Array]

# What stands in the plan for a parameter that is differentiated. If something was made of it while the query was bound, a whole
# number for one, it is no longer this.
PROBE, FAR_PROBE = 0.6180339887498949, 987.6543
ZERO = frozenset(("broadcast_in_dim", "convert_element_type", "reshape"))  # what an array of zeros is made by


class Differentiating(Protocol):
    """What this asks of a connection."""

    def _bound_for_gradients(
        self, query: Query, variables: Mapping[str, object]
    ) -> tuple[Plan, Mapping[str, Model], FixedRows]: ...


@dataclass(frozen=True)
class Wanted:
    """One thing that is differentiated: a parameter, a model with all of its weights, or one weight of it."""

    given: str
    name: str
    weight: str | None = None
    is_parameter: bool = False


def value_and_grad(
    relation: Relation, wrt: str | Sequence[str], *, soft: float | None = None, loss: Loss | None = None
) -> ValueAndGrad:
    """The number that a query gives as a function of weights of its models and of parameters, and its derivative by these.

    The result can be called: `value, gradient = f(weights)`; `f.weights` are those of now, in the form that it takes and gives.
    Take a step, and `Connection.set_weights` has SQL call the model with it.

    >>> import numpy as np
    >>> import qtensor
    >>> t = {"x": np.array([1.0, 2.0, 3.0])}
    >>> f = value_and_grad(qtensor.sql("SELECT sum(exp($a * x)) AS total FROM t", {"a": 0.0}), "a")
    >>> f(0.0)
    (3.0, 6.0)

    relation: a query of one row and one column, a number. With `loss` of any rows: it is called with the columns of numbers by
        name, arrays [rows] (NaN for NULL), and returns one number, by functions of JAX.
    wrt: the name of a model, or of a parameter (`x` or `$x`, which must have a number); `model.weight` is one weight by its
        name. Of a single name `weights` is what it means: of a parameter a float, of a model a dictionary of arrays by name, of a
        weight an array. Of a list of names it is a dictionary of these by the names given. Names of weights are those of
        TensorFlow's and Keras's variables, else numbers from "0" on, in the order of the model's arrays.
    soft: None: the derivative is exact, and what has none is refused. A temperature: comparisons become probabilities,
        `a > b` is 1 / (1 + exp((b - a) / soft)), and a model's class a softmax of its scores / soft. A row that passes WHERE by a
        probability counts as much in count, sum, avg and the other aggregates; rows in the groups of classes likewise. Conditions
        are taken as if they did not depend on each other. The value is that of the softened query then.

    Tables are taken as they are now. What no weight decides is computed once, now, by the query's own engine; the rest is one XLA
    module, which goes over all rows at once. Weights are computed with in their own types, all else in float64. Within a model
    the derivative is JAX's: a kink, as of relu, has that of a side, and what the model itself rounds or compares has none.

    Raises UnsupportedError: at its place, what has no derivative, or none that is not zero everywhere: comparisons, CASE on them,
    classes, group keys, DISTINCT, rounding, without `soft`; a weight or parameter on which the result does not depend by
    derivatives. DataError: a name that is none, a result that is not one number. When called ExecutionError: NULL, or what the
    query itself would raise.
    """
    connection: Any = relation._connection
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    if not names:
        raise DataError("wrt is the name of a model or of a parameter, or a list of some")
    for name in names:
        given_text(name, "a name in wrt")
    if soft is not None and not 0 < number_given("soft", soft) < math.inf:
        raise DataError(f"soft is a temperature, a number above 0, or None, not {soft!r}")
    query = relation._query
    if query.swept is not None:
        raise DataError("a sweep has no derivative: differentiate the query")
    relation.arrow()  # what the query raises is raised as by itself
    differentiating: Differentiating = connection
    known = named_parameters(query.parameters)
    chosen_parameters = {name.removeprefix("$").lower() for name in names if name.removeprefix("$").lower() in known}
    numbers = {name: number_given(f"${name}", known[name]) for name in chosen_parameters}
    probes = {name: PROBE + number for number, name in enumerate(sorted(numbers))}
    plan, models, fixed_rows = differentiating._bound_for_gradients(with_parameters(query, probes), relation._sources)
    for name in probes:
        others = {**probes, name: FAR_PROBE}
        try:
            moved, _, _ = differentiating._bound_for_gradients(with_parameters(query, others), relation._sources)
            is_value = without_values(moved) == without_values(plan)
        except SQLError:
            is_value = False
        if not is_value:
            raise UnsupportedError(f"not differentiable: ${name} decides more than values, as it does in LIMIT")
    wanted = tuple(meant(name, known, models) for name in names)
    for one in wanted:
        if any(other is not one and other.name == one.name and other.weight in (None, one.weight) for other in wanted):
            raise DataError(f"wrt names {one.given} twice, by itself or as a part of its model")
    return ValueAndGrad(query.sql, plan, models, fixed_rows, wanted, numbers, probes, soft, loss, isinstance(wrt, str))


def with_parameters(query: Query, numbers: Mapping[str, float]) -> Query:
    return replace(query, parameters={**named_parameters(query.parameters), **numbers})


def number_given(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise DataError(f"{what} is a number where a query is differentiated, not {value!r}")
    return float(value)


def meant(name: str, parameters: Mapping[str, object], models: Mapping[str, Model]) -> Wanted:
    """What a name means. Raises DataError: nothing."""
    plain = name.removeprefix("$").lower()
    if plain in parameters and (name.startswith("$") or plain not in models):
        return Wanted(name, plain, None, True)
    if plain in models:
        if not named_weights(models[plain]):
            raise DataError(f'the model "{models[plain].name}" has no weights of floating-point numbers')
        return Wanted(name, models[plain].name)
    model, _, weight = name.partition(".")
    if model.lower() in models:
        names = named_weights(models[model.lower()])
        if weight in names:
            return Wanted(name, models[model.lower()].name, weight)
        raise DataError(f'the model "{model}" has no weight "{weight}"; its weights: {", ".join(names)}')
    hint = suggestion(plain, [*parameters, *models])
    raise DataError(f'"{name}" is no model of this query, and no parameter that it was given. {hint}'.rstrip())


@dataclass(eq=False)
class ValueAndGrad:
    """What `value_and_grad` gives: call it with weights, or without for those that models and parameters had when it was made.

    It keeps of the tables what its program reads, and nothing else.
    """

    sql: str
    plan: Plan
    models: Mapping[str, Model]
    fixed_rows: InitVar[FixedRows]
    wanted: tuple[Wanted, ...]
    numbers: Mapping[str, float]  # of the parameters that are differentiated
    probes: Mapping[str, float]  # what they are in the plan
    soft: float | None
    loss: Loss | None
    is_single: bool
    _errors: list[tuple[str, Span | None]] = field(default_factory=list)

    def __post_init__(self, fixed_rows: FixedRows) -> None:
        leaves = self._arrays(self.weights)
        try:
            with jax.enable_x64(True):
                closed = jax.make_jaxpr(lambda leaves: self._traced(leaves, fixed_rows))(leaves)
                self._constants = [jnp.asarray(constant) for constant in closed.consts]

                def value(leaves: Tree, constants: Sequence[jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
                    found, *failing = jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, list(constants)))(*jax.tree.leaves(leaves))
                    return found, failing

                both = jax.value_and_grad(value, has_aux=True)
                self._refuse_zeros(jax.make_jaxpr(both)(leaves, self._constants), leaves)
                self._compiled = jax.jit(both).lower(leaves, self._constants).compile()
        except SQLError as error:
            raise error.shown_in(self.sql) from None
        except ValueError as error:
            if "Reverse-mode differentiation does not work" not in str(error):
                raise
            raise UnsupportedError("not differentiable: a model with a loop of which the number of turns is not known") from error

    @property
    def weights(self) -> Tree:
        """The weights when this was made: models' arrays as JAX has them, parameters as floats."""
        found = {one.given: self._weights_of(one) for one in self.wanted}
        return next(iter(found.values())) if self.is_single else found

    def _weights_of(self, one: Wanted) -> Tree:
        if one.is_parameter:
            return self.numbers[one.name]
        model = self.models[one.name.lower()]
        numbers = named_weights(model)
        with jax.enable_x64(True):
            if one.weight is not None:
                return jnp.asarray(model.weights[numbers[one.weight]])
            return {name: jnp.asarray(model.weights[number]) for name, number in numbers.items()}

    def __call__(self, weights: Tree = None) -> tuple[float, Tree]:
        """The query's number, and its derivative in the form of `weights`."""
        leaves = self._arrays(self.weights if weights is None else weights)
        with jax.enable_x64(True):
            (value, failing), gradient = self._compiled(leaves, self._constants)
        for failed, (message, span) in zip(failing, self._errors, strict=True):
            if failed:
                raise ExecutionError(message, self.sql, [span] if span else [])
        found = {one.given: float(gradient[one.given]) if one.is_parameter else gradient[one.given] for one in self.wanted}
        return float(value), next(iter(found.values())) if self.is_single else found

    def _arrays(self, weights: Tree) -> dict[str, Tree]:
        """Weights by the names given, as arrays of their types. Raises DataError: they are not what `weights` is like."""
        by_name = {self.wanted[0].given: weights} if self.is_single else weights
        own = {one.given: self._weights_of(one) for one in self.wanted}
        wanted, found = str(jax.tree.structure(own)), str(jax.tree.structure(by_name))
        if wanted != found:
            raise DataError(f"weights are of the form {wanted}, not {found}")

        def array(given: Any, known: Any) -> jax.Array:
            wanted = np.asarray(known)
            made = np.asarray(given).astype(wanted.dtype)
            if made.shape != wanted.shape:
                raise DataError(f"a weight has the shape {list(wanted.shape)}, not {list(made.shape)}")
            return jnp.asarray(made)

        with jax.enable_x64(True):
            arrays: dict[str, Tree] = jax.tree.map(array, by_name, own)
            return arrays

    def _traced(self, leaves: dict[str, Tree], fixed_rows: FixedRows) -> tuple[jax.Array, ...]:
        """The number, and whether each value has failed for which there may be no result."""
        weights = {
            one.name: list(map(jnp.asarray, self.models[one.name.lower()].weights)) for one in self.wanted if not one.is_parameter
        }
        parameters: dict[str, Parameter] = {}
        for one in self.wanted:
            if one.is_parameter:
                parameters[one.name] = Parameter(leaves[one.given], self.probes[one.name])
                continue
            numbers = named_weights(self.models[one.name.lower()])
            chosen = leaves[one.given] if one.weight is None else {one.weight: leaves[one.given]}
            for name, leaf in chosen.items():
                weights[one.name][numbers[name]] = leaf
        models = {model.name: model for model in self.models.values()}
        given = Given(models, weights, parameters, self.soft, fixed_rows)
        number = self._number(Differentiable.rows_of(self.plan, given))
        self._errors = [(failing.message, failing.span) for failing in given.failing]
        return number, *(failing.found for failing in given.failing)

    def _number(self, rows: Rows) -> jax.Array:
        """What the result's rows come to."""
        if rows.weight is not None:
            raise UnsupportedError("not differentiable: rows that a softened condition weights are no result; aggregate them")
        if self.loss is None and (rows.count != 1 or len(rows.fields) != 1):
            shape = f"{rows.count} rows of {len(rows.fields)} columns"
            raise DataError(f"the result has {shape}, and only one number has a derivative: give loss=, of the columns")
        columns: dict[str, jax.Array] = {}
        for position, one in enumerate(rows.fields):
            if position not in rows.free and not is_number(one.type):
                continue
            column = rows.free[position] if position in rows.free else free_numbers(rows.column(position), one.type)
            if isinstance(column, Choice):
                raise UnsupportedError(f'not differentiable: the column "{one.name}" is a class; aggregate it')
            columns[one.name] = self._result(column, one.name)
        if self.loss is None:
            return columns[rows.fields[0].name].reshape(())
        number = jnp.asarray(self.loss(columns))
        if number.shape != () or not jnp.issubdtype(number.dtype, jnp.floating):
            raise DataError(f"loss= gives {number.dtype}{list(number.shape)}, not one floating-point number")
        return number

    def _result(self, column: Number, name: str) -> jax.Array:
        if column.present is not None:
            raise UnsupportedError(f'not differentiable: the column "{name}" may be NULL by a softened condition; aggregate it')
        if column.valid is None or column.valid.all():
            return column.data
        if self.loss is None:
            raise ExecutionError("the result is NULL, which has no derivative")
        return jnp.where(column.valid, column.data, jnp.asarray(jnp.nan, column.data.dtype))

    def _refuse_zeros(self, closed: ClosedJaxpr, leaves: dict[str, Tree]) -> None:
        """Raise UnsupportedError if a derivative is 0 whatever the weights are: then there is no way to what it is by."""
        gradients = closed.jaxpr.outvars[-len(jax.tree.leaves(leaves)) :]
        paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(leaves)[0]]
        missing = [
            ".".join(str(getattr(key, "key", key)) for key in path)
            for path, variable in zip(paths, gradients, strict=True)
            if is_zero(closed, variable)
        ]
        if missing:
            names = ", ".join(missing)
            raise UnsupportedError(
                f"not differentiable: the derivative by {names} is 0 whatever the values are; name others in wrt="
            )


def is_zero(closed: ClosedJaxpr, variable: Any) -> bool:
    """Whether a variable of a program is made of the literal 0 alone."""
    while not isinstance(variable, Literal):
        equation = next((one for one in closed.jaxpr.eqns if variable in one.outvars), None)
        if equation is None or equation.primitive.name not in ZERO:
            return False
        variable = equation.invars[0]
    return bool(np.all(np.asarray(variable.val) == 0))
