"""Which StableHLO of strangers may be compiled: a whitelist of what exports write, checked on the parsed program.

It runs in the process of
`aot/isolated/screening.py`. A program that passes has tensors of static shapes and bounded sizes, calls of its
own functions without recursion, sorts whose comparator is a strict order, and loops that end. How long they take, and how much
memory all of it together, it does not say: for that there are limits (`aot/isolated/isolation.py`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jaxlib.mlir import ir

LARGEST_TENSOR = 1 << 34  # bytes: sixteen times a column of the largest table that a form is for
MOST_OPERATIONS = 1 << 20  # with calls written out: a hundred times what large queries have
DEEPEST = 24  # regions within regions
LARGEST_STEP = 65_536  # of a convolution's window

ELEMENT_BYTES = {
    "i1": 1, "i8": 1, "ui8": 1, "i16": 2, "ui16": 2, "i32": 4, "ui32": 4, "i64": 8, "ui64": 8, "f16": 2, "bf16": 2,
    "f32": 4, "f64": 8,
}  # fmt: skip

# Operations of StableHLO that compute from tensors of static shapes, whatever they are given.
COMPUTING = frozenset(
    ("abs", "add", "and", "atan2", "bitcast_convert", "broadcast", "broadcast_in_dim", "case", "cbrt", "ceil", "clamp",
     "compare", "concatenate", "constant", "convert", "cosine", "count_leading_zeros", "divide", "dot", "dot_general",
     "dynamic_slice", "dynamic_update_slice", "exponential", "exponential_minus_one", "floor", "gather", "if", "iota",
     "is_finite", "log", "log_plus_one", "logistic", "maximum", "minimum", "multiply", "negate", "not",
     "optimization_barrier", "or", "pad", "popcnt", "power", "reduce", "reduce_precision", "reduce_window", "remainder",
     "reshape", "return", "reverse", "round_nearest_afz", "round_nearest_even", "rsqrt", "scatter", "select",
     "shift_left", "shift_right_arithmetic", "shift_right_logical", "sign", "sine", "slice", "sqrt", "subtract", "tan",
     "tanh", "transpose", "xor")
)  # fmt: skip
CHECKED = frozenset(("stablehlo.sort", "stablehlo.while", "stablehlo.composite", "stablehlo.convolution"))
STRUCTURE = frozenset(("builtin.module", "func.func", "func.call", "func.return"))

# Attributes that say something to XLA beside the operation itself (donated buffers, shardings, layouts) have a dialect's prefix.
KNOWN_ATTRIBUTES = frozenset(("mhlo.num_partitions", "mhlo.num_replicas", "jax.result_info"))


class RefusedError(Exception):
    """What a program has that exports do not write."""


def check_module(module: ir.Module) -> None:
    """Raise RefusedError for the first thing in a program that is not on the whitelist."""
    unknown: set[str] = set()
    functions: dict[str, Function] = {}
    for operation in module.body.operations:
        if operation.operation.name != "func.func":
            raise RefusedError(f"it has operations that no query needs: {operation.operation.name}")
        function = Function()
        functions[ir.StringAttr(operation.attributes["sym_name"]).value] = function
        check_attributes(operation.operation)
        walk(operation.operation, function, unknown, 0)
    if unknown:
        raise RefusedError(f"it has operations that no query needs: {', '.join(sorted(unknown))}")
    check_attributes(module.operation)
    check_calls(functions)


@dataclass
class Function:
    """What a function of a program is made of: how many operations, and which functions it calls, each as often as it does."""

    operations: int = 0
    calls: list[str] = field(default_factory=list)


def walk(operation: Any, function: Function, unknown: set[str], depth: int) -> None:
    if depth > DEEPEST:
        raise RefusedError("its regions are nested too deeply")
    for inner in itertools.chain.from_iterable(blocks_of(operation)):
        inner = inner.operation
        function.operations += 1
        name = inner.name
        dialect, _, short = name.partition(".")
        if not (name in STRUCTURE or name in CHECKED or (dialect == "stablehlo" and short in COMPUTING)):
            unknown.add(name)
            continue
        check_attributes(inner)
        for value in [*inner.results, *inner.operands, *arguments_of(inner)]:
            check_type(value.type)
        if name == "func.call":
            function.calls.append(ir.FlatSymbolRefAttr(inner.attributes["callee"]).value)
        elif name == "stablehlo.composite":
            check_composite(inner)
            function.calls.append(ir.FlatSymbolRefAttr(inner.attributes["decomposition"]).value)
        elif name == "stablehlo.sort":
            check_sort(inner)
        elif name == "stablehlo.while":
            check_loop(inner)
        elif name == "stablehlo.convolution":
            check_convolution(inner)
        walk(inner, function, unknown, depth + 1)


def blocks_of(operation: Any) -> Iterator[Any]:
    for region in operation.regions:
        yield from region.blocks


def arguments_of(operation: Any) -> list[Any]:
    return [argument for block in blocks_of(operation) for argument in block.arguments]


def check_type(type: Any) -> None:
    """A tensor of a static shape of numbers that takes no more than LARGEST_TENSOR bytes."""
    text = str(type)
    if not text.startswith("tensor<"):
        raise RefusedError(f"it has a value of type {text[:60]}, which is no tensor")
    shaped = ir.RankedTensorType(type)
    size = ELEMENT_BYTES.get(str(shaped.element_type))
    if size is None or shaped.encoding is not None or not shaped.has_static_shape:
        raise RefusedError(f"it has a tensor of a type that no query needs: {text[:60]}")
    for extent in shaped.shape:
        size *= extent
    if size > LARGEST_TENSOR:
        raise RefusedError(f"it has a tensor of {size:,} bytes; at most {LARGEST_TENSOR:,} are allowed")


def check_attributes(operation: Any) -> None:
    """No attribute that is the compiler's and not the operation's, neither on it nor on a function's arguments and results."""
    names = set(attribute_names(operation.attributes))
    for key in ("arg_attrs", "res_attrs"):
        if key in names:
            for dictionary in ir.ArrayAttr(operation.attributes[key]):
                names.update(attribute_names(ir.DictAttr(dictionary)))
    strange = sorted(name for name in names if "." in name and name not in KNOWN_ATTRIBUTES)
    if strange:
        raise RefusedError(f"it has attributes that no query needs: {', '.join(strange)}")


def attribute_names(attributes: Any) -> Iterator[str]:
    for attribute in attributes:
        yield attribute if isinstance(attribute, str) else attribute.name


def check_composite(operation: Any) -> None:
    """A function of mathematics that the program also brings written out."""
    name = ir.StringAttr(operation.attributes["name"]).value
    if not name.startswith("chlo."):
        raise RefusedError(f"it has operations that no query needs: {name}")


def check_calls(functions: dict[str, Function]) -> None:
    """That every call is of a function of the program, that none leads back, and that together they are not too many."""
    expanded: dict[str, int] = {}
    for start in functions:
        path = [(start, iter(set(functions[start].calls)))]
        while path:
            name, rest = path[-1]
            called = next(rest, None)
            if called is None:
                path.pop()
                expanded[name] = functions[name].operations + sum(expanded[call] for call in functions[name].calls)
                if expanded[name] > MOST_OPERATIONS:
                    raise RefusedError(f"it has more than {MOST_OPERATIONS:,} operations")
            elif called not in functions:
                raise RefusedError(f"it calls a function that it does not have: {called}")
            elif any(called == above for above, _ in path):
                raise RefusedError(f"it has a function that calls itself: {called}")
            elif called not in expanded:
                path.append((called, iter(set(functions[called].calls))))


def check_sort(operation: Any) -> None:
    """A stable sort by a strict order: LESS or GREATER, total on its type, of the same function of each side's values."""
    problem = "it sorts in a way that no query needs: {}"
    is_stable = "is_stable" in set(attribute_names(operation.attributes)) and ir.BoolAttr(operation.attributes["is_stable"]).value
    if not is_stable:
        raise RefusedError(problem.format("not stable"))
    (block,) = operation.regions[0].blocks
    (returned,) = list(block.operations)[-1].operands
    compare = owner_of(returned)
    if compare is None or compare.name != "stablehlo.compare" or not is_strict(compare):
        raise RefusedError(problem.format("its comparator is no strict order"))
    left, right = compare.operands
    if not mirrored(left, right, block, 0):
        raise RefusedError(problem.format("its comparator does not compare the same of both sides"))


def check_convolution(operation: Any) -> None:
    """A convolution as models have them, whose images are of a bounded size also with what is put between and around pixels."""
    names = set(attribute_names(operation.attributes))
    images = ir.RankedTensorType(operation.operands[0].type)
    size = ELEMENT_BYTES.get(str(images.element_type), 8) * math.prod(images.shape)

    def numbers(name: str) -> list[int]:
        return list(ir.DenseI64ArrayAttr(operation.attributes[name])) if name in names else []

    reversed_windows = "window_reversal" in names and any(ir.DenseBoolArrayAttr(operation.attributes["window_reversal"]))
    steps = [*numbers("window_strides"), *numbers("rhs_dilation"), *numbers("lhs_dilation")]
    groups = ir.IntegerAttr(operation.attributes["batch_group_count"]).value
    entries: Any = ir.DenseIntElementsAttr(operation.attributes["padding"]) if "padding" in names else ()
    padding = [int(number) for number in entries]
    if (
        reversed_windows
        or groups != 1
        or any(not 1 <= step <= LARGEST_STEP for step in steps)
        or min(padding, default=0) < -LARGEST_STEP
    ):
        raise RefusedError("it has a convolution that no query needs")
    size *= math.prod(numbers("lhs_dilation"))
    size *= math.prod(1 + max(0, before) + max(0, behind) for before, behind in zip(padding[::2], padding[1::2], strict=True))
    if size > LARGEST_TENSOR:
        raise RefusedError(f"it has a convolution over {size:,} bytes; at most {LARGEST_TENSOR:,} are allowed")


def is_strict(compare: Any) -> bool:
    """Whether a comparison is LESS or GREATER of a type whose values are all comparable: floats by their total order."""
    direction = enum_name(compare, "comparison_direction")
    element = str(ir.RankedTensorType(compare.operands[0].type).element_type)
    total = element not in ("f16", "bf16", "f32", "f64") or enum_name(compare, "compare_type") == "TOTALORDER"
    return direction in ("LT", "GT") and bool(total)


def mirrored(left: Any, right: Any, block: Any, depth: int) -> bool:
    """Whether `left` is of a comparator's first, third, ... arguments what `right` is of the second, fourth, ..."""
    if depth > DEEPEST:
        return False
    first, second = argument_number(left, block), argument_number(right, block)
    if first is not None or second is not None:
        return first is not None and second == first + 1 and first % 2 == 0
    one, other = owner_of(left), owner_of(right)
    if one is None or other is None:
        return False
    if one.name == "stablehlo.constant":
        return bool(other.name == one.name and one.attributes["value"] == other.attributes["value"])
    same = one.name == other.name and not list(one.regions) and attributes_of(one) == attributes_of(other)
    inputs = list(one.operands), list(other.operands)
    pairs = zip(*inputs, strict=False)
    return bool(same) and len(inputs[0]) == len(inputs[1]) and all(mirrored(mine, its, block, depth + 1) for mine, its in pairs)


def check_loop(operation: Any) -> None:
    """A loop that goes on at most while a counter is below a bound: one that each turn raises and that cannot pass it unseen."""
    condition = operation.regions[0].blocks[0]
    (wanted,) = list(condition.operations)[-1].operands
    if not any(is_counted(compare, operation) for compare in conjuncts(wanted)):
        raise RefusedError("it has a loop that may never end")


def conjuncts(value: Any) -> Iterator[Any]:
    """The operations all of which must give true for `value` to be true."""
    pending = [value]
    while pending:
        operation = owner_of(pending.pop())
        if operation is not None and operation.name == "stablehlo.and":
            pending += operation.operands
        elif operation is not None:
            yield operation


def is_counted(compare: Any, loop: Any) -> bool:
    """Whether a conjunct of a loop's condition is `counter < bound`, the bound the same in each turn and the counter raised by a
    constant in each, so little that it cannot leave its type before it is seen to have reached the bound.
    """
    if compare.name != "stablehlo.compare" or enum_name(compare, "comparison_direction") not in ("LT", "GT"):
        return False
    condition, body = (region.blocks[0] for region in loop.regions)
    counter, bound = compare.operands
    if enum_name(compare, "comparison_direction") == "GT":
        counter, bound = bound, counter
    element = str(ir.RankedTensorType(counter.type).element_type)
    if element not in ("i32", "i64", "ui32", "ui64") or list(ir.RankedTensorType(counter.type).shape):
        return False
    number = argument_number(counter, condition)
    if number is None or not is_invariant(bound, condition, body, 0):
        return False
    step = raised_by(list(body.operations)[-1].operands[number], body, number)
    largest = (1 << int(element.strip("ui")) - element.startswith("i")) - 1
    passed_on = argument_number(bound, condition)
    most = upper_bound(bound if passed_on is None else loop.operands[passed_on], 0)
    return step is not None and step > 0 and (largest if most is None else most) + step - 1 <= largest


def is_invariant(value: Any, condition: Any, body: Any, depth: int) -> bool:
    """Whether a value of a loop's condition is the same in each turn: from outside, passed on as it is, made of such values."""
    if depth > DEEPEST:
        return False
    number = argument_number(value, condition)
    if number is not None:
        return argument_number(list(body.operations)[-1].operands[number], body) == number
    operation = owner_of(value)
    if operation is None or operation.block != condition:
        return True  # an argument of a function or of a region around the loop, or computed there
    return not list(operation.regions) and all(
        is_invariant(operand, condition, body, depth + 1) for operand in operation.operands
    )


def raised_by(value: Any, body: Any, number: int) -> int | None:
    """The constant that `value` is more than argument `number` of the body; None if it is something else."""
    add = owner_of(value)
    if add is None or add.name != "stablehlo.add":
        return None
    for counter, step in itertools.permutations(add.operands):
        if argument_number(counter, body) == number:
            return integer(step)
    return None


def upper_bound(value: Any, depth: int) -> int | None:
    """What an integer cannot be more than, as far as its operations tell: constants, minima, conversions."""
    operation = owner_of(value)
    if operation is None or depth > DEEPEST:
        return None
    match operation.name:
        case "stablehlo.constant":
            return integer(value)
        case "stablehlo.minimum":
            known = [bound for operand in operation.operands if (bound := upper_bound(operand, depth + 1)) is not None]
            return min(known, default=None)
        case "stablehlo.clamp":
            return upper_bound(operation.operands[2], depth + 1)
        case _:
            return None


def integer(value: Any) -> int | None:
    """The value of an integer constant, a scalar; None if it is something else."""
    operation = owner_of(value)
    if operation is None or operation.name != "stablehlo.constant" or list(ir.RankedTensorType(value.type).shape):
        return None
    try:
        return int(next(iter(ir.DenseIntElementsAttr(operation.attributes["value"]))))
    except (ValueError, TypeError):
        return None


def argument_number(value: Any, block: Any) -> int | None:
    """Which argument of `block` a value is; None if it is something else."""
    for number, argument in enumerate(block.arguments):
        if argument == value:
            return number
    return None


def owner_of(value: Any) -> Any:
    """The operation that gives a value; None for an argument."""
    owner = value.owner
    return None if isinstance(owner, ir.Block) else owner.operation if hasattr(owner, "operation") else owner


def attributes_of(operation: Any) -> dict[str, str]:
    return {name: str(operation.attributes[name]) for name in attribute_names(operation.attributes)}


def enum_name(operation: Any, name: str) -> str:
    """The name that an attribute such as #stablehlo<comparison_direction LT> holds, "" if it is not there."""
    if name not in set(attribute_names(operation.attributes)):
        return ""
    return str(operation.attributes[name]).rstrip(">").rpartition(" ")[2]
