"""Whether a physical plan is well formed: machine types, slots, references, capacities. Planning checks its result in every test,
and for users where the environment has `QTENSOR_VERIFY=1`: a plan that lowering would misunderstand is an InternalError that says
where, not a wrong row.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, assert_never

from qtensor.errors import InternalError
from qtensor.lowering.ir.kernel import DType, Instruction, Kernel
from qtensor.lowering.ir.physical import (
    Accumulator,
    AnyAccumulator,
    CheckStep,
    CollectSink,
    CompactSink,
    DenseGroupSink,
    DirectLookupSink,
    ExpandSource,
    FetchFunction,
    FirstRowsSink,
    FrameFunction,
    GroupKey,
    ListAccumulator,
    ModeAccumulator,
    MomentsAccumulator,
    PhysicalPlan,
    PickAccumulator,
    Pipeline,
    PlaceFunction,
    QuantileAccumulator,
    ResultSource,
    Sink,
    SortedGroupSink,
    SortedLookupSink,
    SortSink,
    SortWord,
    TableSource,
    TopKSink,
    UnionSource,
    WindowFrame,
    WindowFunction,
    WindowSink,
)
from qtensor.lowering.ir.references import refs_outside
from qtensor.lowering.storage.layout import slots_for

SWITCH = "QTENSOR_VERIFY"

Types: TypeAlias = tuple[DType, ...]
# What an instruction gives for operands of some types; None: it takes no such operands.
Signature: TypeAlias = Callable[[Types], DType | None]

INTEGERS: Types = ("int8", "int16", "int32", "int64")
FLOATS: Types = ("float32", "float64")
NUMBERS: Types = (*INTEGERS, *FLOATS)


def verify(plan: PhysicalPlan) -> None:
    """Raise InternalError for the first thing in `plan` that does not fit."""
    for problem in problems(plan):
        raise InternalError(f"the physical plan is not well formed: {problem}")


def is_wanted() -> bool:
    """Whether plans are verified in this process."""
    return os.environ.get(SWITCH, "") not in ("", "0")


def problems(plan: PhysicalPlan) -> Iterator[str]:
    """What does not fit, pipeline by pipeline: each may rely on those before it."""
    for number in range(len(plan.pipelines)):
        yield from (f"pipeline {number}: {problem}" for problem in problems_of_pipeline(plan, number))
    if not plan.pipelines or not isinstance(plan.pipelines[-1].sink, CollectSink):
        yield "it does not end in a result"
    numbers = [pipeline.sink.number for pipeline in plan.pipelines if isinstance(pipeline.sink, CompactSink)]
    if numbers != list(range(len(numbers))):
        yield f"its estimates of capacity are numbered {numbers}"


def problems_of_pipeline(plan: PhysicalPlan, number: int) -> Iterator[str]:
    pipeline = plan.pipelines[number]
    slots = list(problems_of_source(plan, number))
    yield from slots
    if slots:
        return
    yield from problems_of_kernel(plan, number, slot_types(plan, pipeline))
    types = [instruction.dtype for instruction in pipeline.kernel]
    for step in pipeline.steps:
        if not 0 <= step.condition < len(types) or types[step.condition] != "bool":
            yield f"{step} asks for what is no condition"
        if isinstance(step, CheckStep) and not 0 <= step.check < plan.checks:
            yield f"{step} raises one of {plan.checks} flags"
    missing = sorted(ref for ref in refs_outside(pipeline) if not 0 <= ref < len(types))
    if missing:
        yield f"the sink reads {missing} of {len(types)} instructions"
    else:
        yield from problems_of_sink(pipeline, types)


# --- sources ------------------------------------------------------------------------------------------------------------------


def problems_of_source(plan: PhysicalPlan, number: int) -> Iterator[str]:
    source = plan.pipelines[number].source
    match source:
        case TableSource():
            if min(source.shares, source.chunks, source.chunk) < 1:
                yield f"a table in {source.shares} x {source.chunks} x {source.chunk} rows"
            if len({column.index for column in source.columns}) < len(source.columns):
                yield "a column of the table is read twice"
            for column in source.columns:
                if (column.dtype in INTEGERS) != (column.range is not None):
                    yield f"column {column.index} of type {column.dtype} has the range {column.range}"
        case ResultSource(pipeline=read):
            if not 0 <= read < number:
                yield f"it reads pipeline {read}"
            elif slots_for(result_rows(plan.pipelines[read])) > source.capacity:
                yield f"it reads {source.rows} rows of pipeline {read}, which leaves {result_rows(plan.pipelines[read])}"
        case ExpandSource(probe=probe, build=build):
            if not (0 <= probe < number and 0 <= build < number):
                yield f"it pairs pipelines {probe} and {build}"
                return
            sink = plan.pipelines[build].sink
            if not isinstance(sink, SortedLookupSink) and not (isinstance(sink, DirectLookupSink) and sink.duplicates):
                yield f"the rows of pipeline {build} are not in the order of their keys"
            elif source.width > len(sink.columns):
                yield f"{source.width} columns of pipeline {build}, which has {len(sink.columns)}"
            ends = result_types(plan.pipelines[probe])[-2:]
            if len(ends) < 2 or any(end not in INTEGERS for end in ends):
                yield f"pipeline {probe} does not say where partners are"
        case UnionSource(pipelines=numbers):
            if any(not 0 <= read < number for read in numbers) or not numbers:
                yield f"it reads pipelines {numbers}"
            elif len({result_types(plan.pipelines[read]) for read in numbers}) > 1:
                yield f"pipelines {numbers} leave columns of different types"
            elif source.rows < sum(result_rows(plan.pipelines[read]) for read in numbers):
                yield f"it reads {source.rows} rows of pipelines {numbers}, which leave more"
        case _:
            assert_never(source)


def slot_types(plan: PhysicalPlan, pipeline: Pipeline) -> Types:
    """The machine types of what the kernel may load."""
    source = pipeline.source
    match source:
        case TableSource(columns=columns):
            kinds: list[tuple[DType, ...]] = [
                (column.dtype, "bool") if column.nullable else (column.dtype,) for column in columns
            ]
            return tuple(kind for column in kinds for kind in column)
        case ResultSource(pipeline=number):
            return result_types(plan.pipelines[number])
        case UnionSource(pipelines=numbers):
            return result_types(plan.pipelines[numbers[0]])
        case ExpandSource(probe=probe, build=build, width=width):
            paired = result_types(plan.pipelines[build])[:width]
            return (*result_types(plan.pipelines[probe])[:-2], *paired, "int64", "bool")
        case _:
            assert_never(source)


# --- kernels ------------------------------------------------------------------------------------------------------------------


def alike(*among: DType) -> Signature:
    """Operands of one of the types `among`, all of the same; so is what it gives."""
    return lambda types: types[0] if types and types[0] in among and len(set(types)) == 1 else None


def compares(*among: DType) -> Signature:
    """The same, but it gives whether something holds."""
    return lambda types: "bool" if alike(*among)(types) else None


def maps(**types: DType) -> Signature:
    """One operand of one of some types, and what it gives for each."""
    return lambda operands: types.get(operands[0]) if len(operands) == 1 else None


def selects(types: Types) -> DType | None:
    return types[1] if len(types) == 3 and types[0] == "bool" and types[1] == types[2] else None


# fmt: off
SIGNATURES: dict[str, Signature] = {
    **dict.fromkeys((
        "add", "subtract", "multiply", "negate", "abs",
    ), alike(*NUMBERS)),
    **dict.fromkeys((
        "quotient", "ceiling_quotient", "floor_quotient", "rounded_quotient", "shift_left", "shift_right", "bit_count", "gcd",
        "add_months", "civil_year", "civil_month", "civil_day", "days_from_civil", "bit_and", "bit_or", "bit_xor",
    ), alike(*INTEGERS)),
    **dict.fromkeys((
        "divide", "sqrt", "cbrt", "exp", "ln", "log2", "log10", "sin", "cos", "tan", "cot", "asin", "acos", "atan", "sinh",
        "cosh", "tanh", "asinh", "acosh", "atanh", "degrees", "radians", "even", "lgamma", "power", "atan2", "nextafter",
        "round_away", "truncate", "floor", "ceil", "round_half_even", "round_half_away",
    ), alike(*FLOATS)),
    "remainder": alike(*NUMBERS),
    "copy": alike("bool", *NUMBERS),
    **dict.fromkeys(("and", "or", "not"), alike("bool")),
    **dict.fromkeys(("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"), compares("bool", *NUMBERS)),
    **dict.fromkeys(("add_wraps", "subtract_wraps", "multiply_wraps", "quotient_wraps"), compares(*INTEGERS)),
    **dict.fromkeys(("is_nan", "is_infinite", "is_finite", "sign_bit"), compares(*FLOATS)),
    "select": selects,
    "order_key": maps(float32="int32", float64="int64"),
    "from_order_key": maps(int32="float32", int64="float64"),
    "any_row": lambda types: None if types else "bool",
    "among": lambda types: "bool" if types == ("int64",) else None,
    "row": lambda types: None if types else "int64",
    "number": lambda types: None if types else "int32",
    "scalar": lambda types: None if types else "int64",
    "float_scalar": lambda types: None if types else "float64",
}
# fmt: on


def problems_of_kernel(plan: PhysicalPlan, number: int, slots: Types) -> Iterator[str]:
    kernel = plan.pipelines[number].kernel
    for ref, instruction in enumerate(kernel):
        if any(not 0 <= operand < ref for operand in instruction.operands):
            yield f"%{ref} {instruction.op} reads {instruction.operands}"
            return
        given = given_type(plan, number, slots, kernel, instruction)
        if given != instruction.dtype:
            operands = ", ".join(kernel[operand].dtype for operand in instruction.operands)
            what = f"%{ref} {instruction.op}({operands}) {instruction.attribute if instruction.attribute is not None else ''}"
            yield f"{what.rstrip()} is taken for {instruction.dtype}" + (f", and is {given}" if given else ", which it cannot be")


def given_type(plan: PhysicalPlan, number: int, slots: Types, kernel: Kernel, instruction: Instruction) -> DType | None:
    """The machine type that an instruction gives; None: its operands or its attribute are none that it takes."""
    types: Types = tuple(kernel[operand].dtype for operand in instruction.operands)
    attribute = instruction.attribute
    match instruction.op:
        case "load":
            return slots[attribute] if not types and isinstance(attribute, int) and 0 <= attribute < len(slots) else None
        case "constant":
            return instruction.dtype if not types and isinstance(attribute, str) else None
        case "convert":
            return instruction.dtype if len(types) == 1 else None
        case "table":
            return table_type(plan, attribute) if len(types) == 1 and types[0] in INTEGERS else None
        case "model":
            return instruction.dtype if is_call(plan, attribute) else None
        case "fetch":
            return fetched_type(plan, number, attribute) if len(types) == 1 and types[0] in INTEGERS else None
        case "search_left" | "search_right":
            return "int32" if types == ("int64",) and fetched_type(plan, number, attribute) == "int64" else None
        case op:
            signature = SIGNATURES.get(op)
            given = None if signature is None else signature(types)
            return given if given is None or has_input(plan, number, instruction) else None


def is_call(plan: PhysicalPlan, attribute: object) -> bool:
    """Whether an attribute names a model, what of its result, and tables of the texts that it takes."""
    match attribute:
        case (int(slot), _, *tables):
            known = all(isinstance(table, int) and 0 <= table < len(plan.tables) for table in tables)
            return known and 0 <= slot < len(plan.models)
        case _:
            return False


def table_type(plan: PhysicalPlan, attribute: object) -> DType | None:
    return plan.tables[attribute].dtype if isinstance(attribute, int) and 0 <= attribute < len(plan.tables) else None


def fetched_type(plan: PhysicalPlan, number: int, attribute: object) -> DType | None:
    """The type of a column of an earlier pipeline's result."""
    if not isinstance(attribute, tuple) or not 0 <= attribute[0] < number:
        return None
    read, column = attribute
    types = result_types(plan.pipelines[read])
    return "bool" if column is None else types[column] if 0 <= column < len(types) else None


def has_input(plan: PhysicalPlan, number: int, instruction: Instruction) -> bool:
    """Whether the run-time input that an instruction numbers is there."""
    attribute = instruction.attribute
    match instruction.op:
        case "scalar":
            return isinstance(attribute, int) and 0 <= attribute < len(plan.scalars)
        case "float_scalar":
            return isinstance(attribute, int) and 0 <= attribute < len(plan.float_scalars)
        case "among":
            return table_type(plan, attribute) == "int64"
        case "any_row":
            return fetched_type(plan, number, attribute) == "bool"
        case _:
            return True


# --- sinks --------------------------------------------------------------------------------------------------------------------


def result_types(pipeline: Pipeline) -> Types:
    """The machine types of the columns that a pipeline leaves."""
    types = [instruction.dtype for instruction in pipeline.kernel]
    sink = pipeline.sink
    match sink:
        case DenseGroupSink(accumulators=accumulators):
            return tuple(kind for accumulator in accumulators for kind in accumulator_types(accumulator, types))
        case SortedGroupSink(carried=carried, accumulators=accumulators):
            made = (kind for accumulator in accumulators for kind in accumulator_types(accumulator, types))
            return (*(types[ref] for ref in carried), *made)
        case WindowSink(columns=columns, functions=functions):
            of_functions = (kind for function in functions for kind in function_types(function, types))
            return (*(types[ref] for ref in columns), *of_functions)
        case DirectLookupSink(columns=columns, duplicates=True):
            return (*(types[ref] for ref in columns), "int32")
        case SortedLookupSink(columns=columns):
            return (*(types[ref] for ref in columns), "int64")
        case SortSink() | FirstRowsSink() | TopKSink() | CollectSink() | CompactSink() | DirectLookupSink():
            return tuple(types[ref] for ref in sink.columns)
        case _:
            assert_never(sink)


def accumulator_types(accumulator: AnyAccumulator, types: Sequence[DType]) -> Types:
    match accumulator:
        case Accumulator():
            return (accumulator.dtype,) * accumulator.limbs
        case MomentsAccumulator():
            spread: list[DType] = ["float64"] * (accumulator.width - 1)
            return ("int64", *spread)
        case PickAccumulator(columns=columns):
            return (*(types[ref] for ref in columns), "bool")
        case QuantileAccumulator(column=column, continuous=True):
            return ("int64", types[column], types[column], "float64")
        case QuantileAccumulator(column=column):
            return ("int64", types[column])
        case ModeAccumulator(column=column):
            return (types[column], "int64")
        case ListAccumulator():
            return ("int32", "int64")
        case _:
            assert_never(accumulator)


def function_types(function: WindowFunction, types: Sequence[DType]) -> Types:
    match function:
        case PlaceFunction():
            return ("int64",)
        case FetchFunction(columns=columns):
            return (*(types[ref] for ref in columns), "bool")
        case FrameFunction(accumulator=accumulator):
            return accumulator_types(accumulator, types)
        case _:
            assert_never(function)


def result_rows(pipeline: Pipeline) -> int:
    """How many rows a pipeline leaves, dead ones among them."""
    sink = pipeline.sink
    match sink:
        case DenseGroupSink():
            return sink.domain
        case SortedGroupSink(order=()):
            return 1
        case FirstRowsSink(count=count) | TopKSink(count=count):
            return count
        case CompactSink(capacity=capacity):
            return capacity
        case SortSink(capacity=int(capacity)):
            return capacity
        case DirectLookupSink(duplicates=False):
            return sink.domain
        case SortSink() | SortedGroupSink() | CollectSink() | WindowSink() | DirectLookupSink() | SortedLookupSink():
            return pipeline.source.capacity
        case _:
            assert_never(sink)


def problems_of_sink(pipeline: Pipeline, types: Sequence[DType]) -> Iterator[str]:
    sink = pipeline.sink
    if result_rows(pipeline) < 1:
        yield f"it leaves {result_rows(pipeline)} rows"
    if isinstance(pipeline.source, ExpandSource) and keeps_rows(sink):
        yield f"a {type(sink).__name__} keeps the rows of a source of unknown size"
    yield from problems_of_words(words_of(sink), types)
    yield from problems_of_keys(sink.keys if isinstance(sink, DenseGroupSink | DirectLookupSink) else (), types)
    for accumulator in accumulators_of(sink):
        yield from problems_of_accumulator(accumulator, types)
    for frame in frames_of(sink):
        yield from problems_of_frame(frame, types)
    if isinstance(sink, DenseGroupSink) and sink.presence is not None and not is_count(sink, sink.presence):
        yield f"accumulator {sink.presence} does not count the rows of groups"


def keeps_rows(sink: Sink) -> bool:
    """Whether a sink's state grows with the rows that it is given."""
    match sink:
        case DenseGroupSink() | FirstRowsSink() | TopKSink() | CompactSink() | DirectLookupSink(duplicates=False):
            return False
        case SortedGroupSink() | SortSink() | CollectSink() | WindowSink() | DirectLookupSink() | SortedLookupSink():
            return True
        case _:
            assert_never(sink)


def is_count(sink: DenseGroupSink, number: int) -> bool:
    if not 0 <= number < len(sink.accumulators):
        return False
    accumulator = sink.accumulators[number]
    return isinstance(accumulator, Accumulator) and accumulator.op == "count"


def words_of(sink: Sink) -> list[SortWord]:
    """All words by which a sink compares rows."""
    words: list[SortWord] = []
    if isinstance(sink, SortedGroupSink | SortSink | TopKSink | WindowSink):
        words += sink.order
    if isinstance(sink, WindowSink):
        words += sink.partition
    if isinstance(sink, SortedLookupSink):
        words.append(SortWord(sink.word, sink.radix))
    for accumulator in accumulators_of(sink):
        match accumulator:
            case Accumulator(distinct=distinct, order=order):
                words += (*distinct, *order)
            case MomentsAccumulator(distinct=distinct):
                words += distinct
            case ModeAccumulator(order=order, sequence=sequence):
                words += (*order, *sequence)
            case PickAccumulator(order=order) | QuantileAccumulator(order=order) | ListAccumulator(order=order):
                words += order
            case _:
                assert_never(accumulator)
    return words


def accumulators_of(sink: Sink) -> Sequence[AnyAccumulator]:
    match sink:
        case DenseGroupSink(accumulators=accumulators) | SortedGroupSink(accumulators=accumulators):
            return accumulators
        case WindowSink(functions=functions):
            return [function.accumulator for function in functions if isinstance(function, FrameFunction)]
        case _:
            return ()


def frames_of(sink: Sink) -> list[WindowFrame]:
    if not isinstance(sink, WindowSink):
        return []
    frames = [function.frame for function in sink.functions if not isinstance(function, PlaceFunction)]
    return [frame for frame in frames if frame is not None]


def problems_of_words(words: Sequence[SortWord], types: Sequence[DType]) -> Iterator[str]:
    for word in words:
        if types[word.word] not in INTEGERS or (word.radix is not None and word.radix < 1):
            yield f"rows are compared by %{word.word}, {types[word.word]} below {word.radix}"


def problems_of_keys(keys: Sequence[GroupKey], types: Sequence[DType]) -> Iterator[str]:
    for key in keys:
        if types[key.code] not in INTEGERS or key.size < 1 or (key.valid is not None and types[key.valid] != "bool"):
            yield f"a key is %{key.code}, {types[key.code]} of {key.size} values"


def problems_of_accumulator(accumulator: AnyAccumulator, types: Sequence[DType]) -> Iterator[str]:
    if accumulator.mask is not None and types[accumulator.mask] != "bool":
        yield f"%{accumulator.mask}, {types[accumulator.mask]}, masks rows"
    match accumulator:
        case Accumulator(op=op, value=value):
            if (value is None) != (op == "count"):
                yield f"a {op} of {'nothing' if value is None else 'values'}"
            if op == "count" and accumulator.dtype != "int64":
                yield f"a count is {accumulator.dtype}"
            if accumulator.limbs == 2 and (op != "sum" or accumulator.dtype != "int64" or accumulator.range is None):
                yield f"a {op} of {accumulator.dtype} in two limbs"
        case MomentsAccumulator(values=values):
            if not 1 <= len(values) <= 2 or any(types[value] != "float64" for value in values):
                yield f"moments of {[types[value] for value in values]}"
        case QuantileAccumulator(fraction=fraction):
            if not -1 <= fraction <= 1:
                yield f"a quantile at {fraction}"
        case ListAccumulator(column=column):
            if types[column] not in INTEGERS:
                yield f"a list of {types[column]}"
        case PickAccumulator() | ModeAccumulator():
            pass
        case _:
            assert_never(accumulator)


def problems_of_frame(frame: WindowFrame, types: Sequence[DType]) -> Iterator[str]:
    for end in (frame.start, frame.end):
        if end.offset is not None and types[end.offset] != "int64":
            yield f"a frame ends {types[end.offset]} rows away"
    if frame.key is not None and types[frame.key] != "int64":
        yield f"a frame is searched by {types[frame.key]}"
    if frame.valid is not None and types[frame.valid] != "bool":
        yield f"a frame's key is there where {types[frame.valid]}"
