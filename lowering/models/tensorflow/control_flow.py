"""Loops, branches and calls of TensorFlow's graphs: as XLA's own where what is in them differs by turn or by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from qtensor.lowering.models.tensorflow.carried import carry, common, for_each_row, mapped_over_rows
from qtensor.lowering.models.tensorflow.graph import Argument, Constant, Function, Operation, Ref
from qtensor.lowering.models.tensorflow.registry import Call, operator
from qtensor.lowering.models.tensorflow.values import (
    NOT_ROW_WISE,
    Batched,
    Refusal,
    RowNumbers,
    Rows,
    Shape,
    Static,
    Tensors,
    Value,
    Weight,
    array_of,
    numbers,
)

CALLS = frozenset(
    ("Case", "If", "PartitionedCall", "StatefulPartitionedCall", "StatelessCase", "StatelessIf", "StatelessWhile", "While")
)
# A loop of so few steps in all turns is written out: XLA sees through it, and it compiles no slower than the loop.
UNROLLED = 48
# The same for a loop whose counter decides shapes, which no loop of XLA can.
MOST_UNROLLED = 4_096
MOST_COUNTED = 65_536  # turns that are counted at import
MOST_TURNS = 10_000  # of a loop whose end depends on data: after them a row has no result

_IGNORED = ("T", "Tin", "Tout", "Tcond", "output_shapes", "parallel_iterations", "config", "config_proto", "executor_type")


@operator("PartitionedCall", "StatefulPartitionedCall", read=["f"], ignored=_IGNORED)
def call(*values: Value, f: Call) -> tuple[Value, ...]:
    """A function; TensorFlow inlines those that are not for another compiler (jit_compile=True)."""
    return f.run(values)


@operator("If", "StatelessIf", read=["then_branch", "else_branch"], ignored=_IGNORED)
def branch(condition: Value, *values: Value, then_branch: Call, else_branch: Call) -> tuple[Value, ...]:
    """One of two functions; of a condition of each row both, and the row's own result."""
    if isinstance(condition, Static):
        return (then_branch if bool(np.any(condition.array)) else else_branch).run(values)
    known = scalar(condition)
    truth = array_of(known) != jnp.zeros((), array_of(known).dtype)
    return chosen(known, [truth, ~truth], [then_branch, else_branch], values)


@operator("Case", "StatelessCase", read=["branches"], ignored=_IGNORED)
def case(index: Value, *values: Value, branches: tuple[Call, ...]) -> tuple[Value, ...]:
    """The function of a number; of one that is none of theirs the last."""
    last = len(branches) - 1
    if isinstance(index, Static):
        number = int(index.array)
        return branches[number if 0 <= number < last else last].run(values)
    known = scalar(index)
    named = jnp.where((known.array < 0) | (known.array > last), last, known.array)
    return chosen(known, [jnp.equal(named, position) for position in range(last + 1)], branches, values)


def scalar(value: Value) -> Weight | Batched:
    """A condition, which a batch of them is not."""
    known = numbers(value)
    assert not isinstance(known, Static)
    if isinstance(known, Batched) and (known.axis is not None or known.array.ndim != 1):
        raise Refusal(f"{NOT_ROW_WISE} (a condition of all rows)")
    if isinstance(known, Weight) and known.array.ndim:
        raise Refusal("a condition of several values")
    return known


def chosen(
    condition: Weight | Batched, truths: Sequence[jax.Array], branches: Sequence[Call], values: Sequence[Value]
) -> tuple[Value, ...]:
    """The results of the branch whose truth holds: of each row, if the condition differs by row."""
    results = [[carry(value) for value in one.run(values)] for one in branches]
    same = [common(*parts) for parts in zip(*results, strict=True)]
    if isinstance(condition, Batched):
        same = [for_each_row(part, condition.count) for part in same]
        results = [[common(part, template) for part, template in zip(one, same, strict=True)] for one in results]

        def by_row(*parts: jax.Array) -> jax.Array:
            found = parts[-1]
            for truth, part in zip(reversed(truths[:-1]), reversed(parts[:-1]), strict=True):
                found = jnp.where(jnp.broadcast_to(truth, part.shape), part, found)
            return found

        return tuple(jax.tree.map(by_row, *parts) for parts in zip(*results, strict=True))
    number = jnp.argmax(jnp.stack(truths))

    def taken(one: Call) -> Callable[[], list[Value]]:
        return lambda: [common(carry(value), template) for value, template in zip(one.run(values), same, strict=True)]

    return tuple(lax.switch(number, [taken(one) for one in branches]))


@dataclass(frozen=True)
class Turns:
    """How often a loop runs, with the values in each turn of the variables that decide it, and those after it."""

    count: int
    series: Mapping[int, list[np.ndarray[Any, Any]]]
    last: Mapping[int, np.ndarray[Any, Any]]


@operator("While", "StatelessWhile", read=["cond", "body"], ignored=_IGNORED)
def loop(*values: Value, cond: Call, body: Call) -> tuple[Value, ...]:
    """A loop: written out if short, XLA's own over known turns, or to a condition; over the rows themselves it is no loop."""
    fixed = kept_variables(body.function)
    if (counters := counters_of_rows(values, cond, body, fixed)) is not None:
        return over_rows(values, body, fixed, counters)
    turns = counted_turns(values, cond, body, fixed)
    if turns is None:
        return until_condition(values, cond, body, fixed)
    steps = turns.count * sum(isinstance(step, Operation) for step in body.function.steps)
    if steps <= UNROLLED:
        return written_out(values, body, fixed, turns)
    try:
        return scanned(values, body.attempt, fixed, turns)
    except Refusal:
        if steps <= MOST_UNROLLED:
            return written_out(values, body, fixed, turns)
        return scanned(values, body.run, fixed, turns)  # says what is in the way


def kept_variables(function: Function) -> frozenset[int]:
    """The variables of a loop that its body gives back as they were."""
    return frozenset(position for position, ref in enumerate(function.outputs) if source_of(function, ref) == position)


def source_of(function: Function, ref: Ref) -> int | None:
    """The argument that an output hands on."""
    step = function.steps[ref.step]
    while isinstance(step, Operation) and step.op == "Identity":
        step = function.steps[step.inputs[0].step]
    return step.index if isinstance(step, Argument) else None


def arguments_read(function: Function) -> set[int]:
    return {step.index for step in function.steps if isinstance(step, Argument)}


def counted_turns(values: Sequence[Value], cond: Call, body: Call, fixed: frozenset[int]) -> Turns | None:
    """How often the loop runs, if that is known at import. Raises Refusal: more often than is counted."""
    condition = cond.only([0])
    wanted = arguments_read(condition.function)
    while True:
        moving = sorted(wanted - fixed)
        step = body.only(moving)
        more = arguments_read(step.function) - wanted
        if not more:
            break
        wanted |= more
    if any(not isinstance(values[position], Static) for position in wanted):
        return None
    now: list[Value | None] = [value if position in wanted else None for position, value in enumerate(values)]
    series: dict[int, list[np.ndarray[Any, Any]]] = {position: [] for position in moving}
    for count in range(MOST_COUNTED + 1):
        (goes_on,) = condition.run(now)
        if not isinstance(goes_on, Static):
            return None
        for position in moving:
            known = now[position]
            if not isinstance(known, Static):
                return None
            series[position].append(known.array)
        if not bool(goes_on.array):
            return Turns(count, series, {position: one.pop() for position, one in series.items()})
        for position, value in zip(moving, step.run(now), strict=True):
            now[position] = value
    raise Refusal(f"a loop of more than {MOST_COUNTED:,} turns")


def written_out(values: Sequence[Value], body: Call, fixed: frozenset[int], turns: Turns) -> tuple[Value, ...]:
    now = list(values)
    for _ in range(turns.count):
        found = body.run(now)
        now = [now[position] if position in fixed else value for position, value in enumerate(found)]
    return tuple(now)


def scanned(
    values: Sequence[Value], run: Callable[[Sequence[Value | None]], tuple[Value, ...]], fixed: frozenset[int], turns: Turns
) -> tuple[Value, ...]:
    """The loop as XLA's, whose counters come from a list."""
    carried = [position for position in range(len(values)) if position not in fixed and position not in turns.series]
    lists = {position: jnp.asarray(np.stack(series)) for position, series in turns.series.items()}

    def turn(state: list[Value], counters: Mapping[int, jax.Array]) -> list[Value]:
        now: list[Value] = list(values)
        for position, value in zip(carried, state, strict=True):
            now[position] = value
        for position, counter in counters.items():
            now[position] = Weight(counter)
        found = run(now)
        return [carry(found[position]) for position in carried]

    first = {position: one[0] for position, one in lists.items()}
    state = settled([carry(values[position]) for position in carried], lambda one: turn(one, first))

    def step(state: list[Value], counters: Mapping[int, jax.Array]) -> tuple[list[Value], None]:
        found = turn(state, counters)
        return [common(value, template) for value, template in zip(found, state, strict=True)], None

    last, _ = lax.scan(step, state, lists)
    result = list(values)
    for position, value in zip(carried, last, strict=True):
        result[position] = value
    for position, array in turns.last.items():
        result[position] = Static(array)
    return tuple(result)


def settled(state: list[Value], turn: Callable[[list[Value]], list[Value]]) -> list[Value]:
    """The first state of a loop as the kinds of values that it has in every turn."""
    for _ in range(len(state) + 2):
        found = jax.eval_shape(turn, state)
        wider = [common(value, other) for value, other in zip(state, found, strict=True)]
        if repr(jax.tree.structure(wider)) == repr(jax.tree.structure(state)) and shapes_of(wider) == shapes_of(state):
            return state
        state = wider
    raise Refusal("what its variables are changes with each turn")


def shapes_of(state: list[Value]) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in jax.tree.leaves(state)]


def until_condition(values: Sequence[Value], cond: Call, body: Call, fixed: frozenset[int]) -> tuple[Value, ...]:
    """A loop to a condition that is computed of data. A row for which it takes more than `MOST_TURNS` has no result."""
    carried = [position for position in range(len(values)) if position not in fixed]

    def whole(state: Sequence[Value], others: Sequence[Value]) -> list[Value]:
        now = list(others)
        for position, value in zip(carried, state, strict=True):
            now[position] = value
        return now

    def turn(state: Sequence[Value], others: Sequence[Value]) -> list[Value]:
        found = body.run(whole(state, others))
        return [carry(found[position]) for position in carried]

    start = settled([carry(values[position]) for position in carried], lambda state: turn(state, values))
    (first,) = cond.run(whole(start, values))
    if isinstance(first, Static):
        raise Refusal("its condition never changes" if bool(first.array) else "its condition is constant")
    condition = scalar(first)
    if isinstance(condition, Batched):  # then everything that changes differs by row
        start = settled([for_each_row(value, condition.count) for value in start], lambda state: turn(state, values))

    def run(state: list[Value], others: Sequence[Value]) -> tuple[list[Value], jax.Array]:
        def goes_on(now: tuple[list[Value], jax.Array]) -> jax.Array:
            (truth,) = cond.run(whole(now[0], others))
            return array_of(truth).reshape(()) & (now[1] < MOST_TURNS)

        def step(now: tuple[list[Value], jax.Array]) -> tuple[list[Value], jax.Array]:
            found = turn(now[0], others)
            return [common(value, template) for value, template in zip(found, now[0], strict=True)], now[1] + 1

        last, _ = lax.while_loop(goes_on, step, (state, jnp.int32(0)))
        (truth,) = cond.run(whole(last, others))
        return last, array_of(truth).reshape(())

    last, endless = mapped_over_rows(run, start, values) if isinstance(condition, Batched) else run(start, values)
    result = list(values)
    for position, value in zip(carried, last, strict=True):
        result[position] = failing(value, endless)
    return tuple(result)


def failing(value: Value, failed: jax.Array) -> Value:
    match value:
        case Batched(failed=before) | Weight(failed=before):
            mask = jnp.broadcast_to(failed, (value.count,) if isinstance(value, Batched) else ())
            return replace(value, failed=mask if before is None else mask | before)
        case Tensors(stack=stack) if stack is not None:
            return replace(value, stack=failing(stack, failed))  # type: ignore[arg-type]
        case _:
            return value


def is_counted(operation: Operation) -> bool:
    """Whether an operation is a loop whose condition only compares counters."""
    conditions = [value for name, value in operation.attributes if name == "cond" and isinstance(value, Function)]
    steps = (step for condition in conditions for step in condition.steps if isinstance(step, Operation))
    return bool(conditions) and all(step.op in COUNTS for step in steps)


COUNTS = frozenset(("Less", "LogicalAnd", "Identity"))


def counters_of_rows(values: Sequence[Value], cond: Call, body: Call, fixed: frozenset[int]) -> frozenset[int] | None:
    """The variables that count from 0 to the number of rows, if that is what ends the loop; None if something else does."""
    wanted = arguments_read(cond.only([0]).function)
    ends = {position for position in wanted if isinstance(values[position], Shape)}
    if not ends:
        return None
    counters = wanted - ends
    ends_well = all(position in fixed and is_number_of_rows(values[position]) for position in ends)
    begins_well = all(isinstance(value := values[position], Static) and not np.any(value.array) for position in counters)
    compares = compares_only(cond.only([0]).function, counters, ends)
    if not (ends_well and begins_well and compares and all(adds_one(body.function, position) for position in counters)):
        raise Refusal(f"{NOT_ROW_WISE} (a loop to the number of rows)")
    others = (position for position in range(len(values)) if position not in fixed and position not in counters)
    return frozenset(counters) | {
        position
        for position in others
        if adds_one(body.function, position) and isinstance(value := values[position], Static) and not np.any(value.array)
    }


def compares_only(function: Function, counters: Set[int], ends: Set[int]) -> bool:
    """Whether a condition says that each counter is less than an end, and nothing else."""
    for step in function.steps:
        if isinstance(step, Operation):
            sources = [source_of(function, ref) for ref in step.inputs]
            if step.op not in COUNTS or (step.op == "Less" and not (sources[0] in counters and sources[1] in ends)):
                return False
        elif not isinstance(step, Argument):
            return False
    return True


def is_number_of_rows(value: Value) -> bool:
    return isinstance(value, Shape) and value.scalar and isinstance(size := value.sizes[0], Rows) and size.times == 1


def adds_one(function: Function, position: int) -> bool:
    """Whether a variable is one more after each turn."""
    step = function.steps[function.outputs[position].step]
    while isinstance(step, Operation) and step.op == "Identity":
        step = function.steps[step.inputs[0].step]
    if not isinstance(step, Operation) or step.op not in ("Add", "AddV2"):
        return False
    parts = [function.steps[ref.step] for ref in step.inputs]
    ones = [part for part in parts if isinstance(part, Constant) and part.array.shape == () and part.array == 1]
    return len(ones) == 1 and any(isinstance(part, Argument) and part.index == position for part in parts)


def over_rows(values: Sequence[Value], body: Call, fixed: frozenset[int], counters: frozenset[int]) -> tuple[Value, ...]:
    """A loop over the rows, each turn for one: its body, once, for each row."""
    counts = [size for value in values if isinstance(value, Shape) for size in value.sizes if isinstance(size, Rows)]
    number = RowNumbers(counts[0].count, None, 0)
    for position, value in enumerate(values):
        if position not in fixed and position not in counters and not isinstance(value, Tensors):
            raise Refusal(f"{NOT_ROW_WISE} (a loop over the rows hands something on from one to the next)")
    written = [position for position in range(len(values)) if position not in fixed and position not in counters]
    found = body.only(written).run([number if position in counters else value for position, value in enumerate(values)])
    result: list[Value] = list(values)
    for position in counters:
        result[position] = Shape((Rows(counts[0].count),), scalar=True)
    for position, value in zip(written, found, strict=True):
        if not isinstance(value, Tensors) or not isinstance(value.length, Rows):
            raise Refusal(f"{NOT_ROW_WISE} (a loop over the rows hands something on from one to the next)")
        result[position] = value
    return tuple(result)
