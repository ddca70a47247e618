"""A program for several values of its parameters: the functions of `TensorProgram` with a first axis in all that values change.

At once, only what depends on a value is computed for each: the scores of a model that a threshold is compared with are computed
once. But all else has [values, rows] then, more than fits a cache, and groups are added up in a scatter that takes XLA:CPU
twice as long as one for each value. So values take turns, in a loop within the module, unless the query calls a model.

Measured, 20 values of a filter over 1,000,000 rows, CPU seconds at once, in turns, and as 20 queries: no groups 0.031, 0.025,
0.050; five groups 0.211, 0.097, 0.121; five groups of rows chosen by the score of a model of 16 units 0.222, 0.493, 0.518.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypeVar

import jax
from jax import lax

from qtensor.lowering.ir.physical import PhysicalPlan
from qtensor.lowering.program.program import Carried, Outcome, Progress, Share, Shared, TensorProgram

Array: TypeAlias = jax.Array
Own = TypeVar("Own")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Sweep:
    """How many values a program is for, which of the plan's look-up tables differ between them, and whether they take turns."""

    values: int
    tables: tuple[bool, ...]
    in_turns: bool


class Inputs(NamedTuple):
    """What is another for each value: scalars [values, k] and [values, m], and those look-up tables that differ."""

    scalars: Array
    float_scalars: Array
    tables: tuple[Array, ...]


@dataclass(frozen=True)
class SweptProgram:
    """The functions of a program for all values: of `Shared`, `Inputs` have the values along a first axis, and so has all that
    is carried on, and the result.
    """

    program: TensorProgram
    sweep: Sweep

    @property
    def plan(self) -> PhysicalPlan:
        return self.program.plan

    def whole(self, shares: Sequence[Share], shared: Shared) -> Outcome:
        return self.of_all(lambda own: self.program.whole(shares, self.of_one(shared, own)), self.inputs(shared))

    def partial(self, number: int, share: Share, carried: Carried, shared: Shared) -> Progress:
        def of_one(own: tuple[Carried, Inputs]) -> Progress:
            return self.program.partial(number, share, own[0], self.of_one(shared, own[1]))

        return self.of_all(of_one, (carried, self.inputs(shared)))

    def final(
        self, stage: range, parts: Sequence[Progress], shares: Sequence[Share], carried: Carried, shared: Shared
    ) -> Carried | Outcome:
        def of_one(own: tuple[Sequence[Progress], Carried, Inputs]) -> Carried | Outcome:
            return self.program.final(stage, own[0], shares, own[1], self.of_one(shared, own[2]))

        return self.of_all(of_one, (parts, carried, self.inputs(shared)))

    def stage(self, stage: range, shares: Sequence[Share], carried: Carried, shared: Shared) -> Carried | Outcome:
        def of_one(own: tuple[Carried, Inputs]) -> Carried | Outcome:
            return self.program.stage(stage, shares, own[0], self.of_one(shared, own[1]))

        return self.of_all(of_one, (carried, self.inputs(shared)))

    def of_all(self, of_one: Callable[[Own], Result], own: Own) -> Result:
        """`of_one` for each place of the first axis of `own`."""
        result: Result = lax.map(of_one, own) if self.sweep.in_turns else jax.vmap(of_one)(own)
        return result

    def inputs(self, shared: Shared) -> Inputs:
        tables = tuple(table for table, differs in zip(shared.tables, self.sweep.tables, strict=True) if differs)
        return Inputs(shared.scalars, shared.float_scalars, tables)

    def of_one(self, shared: Shared, own: Inputs) -> Shared:
        """What the program is given for one value."""
        differing = iter(own.tables)
        tables = tuple(
            next(differing) if differs else table for table, differs in zip(shared.tables, self.sweep.tables, strict=True)
        )
        return shared._replace(scalars=own.scalars, float_scalars=own.float_scalars, tables=tables)
