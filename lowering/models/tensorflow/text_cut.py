"""Cut a graph where text ends: what is made of each text argument becomes a program for the host, the rest a graph of numbers.

One walk over the steps. A step that reads texts, or numbers which only one text decides, is done as a node of that argument's
program (`text_ops`, `text_shapes`, `text_lists`) as long as its operator is known there. Where it is not, the numbers that it
reads by row are new inputs of the graph, looked up by the code of the text. Tables of integers stay in the graph, as weights that
are searched; texts that a model gives are the numbers of its labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from qtensor.lowering.models.tensorflow import text_lists, text_shapes
from qtensor.lowering.models.tensorflow.graph import (
    Argument,
    Constant,
    Graph,
    Operation,
    Ref,
    Step,
    TableLeaf,
    WeightLeaf,
    pruned,
)
from qtensor.lowering.models.tensorflow.lookups import HANDING_ON
from qtensor.lowering.models.tensorflow.registry import OPS
from qtensor.lowering.models.tensorflow.text_ops import TEXT_OPS, ByMachine, is_plain
from qtensor.lowering.models.tensorflow.text_values import (
    NUMBER_TYPES,
    TEXT,
    Batch,
    Cell,
    Cells,
    Crossed,
    Programs,
    Sizes,
    TextValue,
    Wide,
    WrittenNumber,
)
from qtensor.lowering.models.tensorflow.values import Refusal, Static
from qtensor.lowering.models.text.program import Fingerprint, Found, TextOutput, TextProgram, choices, narrowest

TEXT_MODULES = (text_lists, text_shapes)  # importing them fills TEXT_OPS


@dataclass(frozen=True)
class TextTensor:
    """An input of the graph that is looked up by the code of a text: `dtype` [batch], or [batch, width].

    argument: which of the model's. output, failed: which of the outputs of all programs hold the numbers, and where there are
    none.
    """

    argument: int
    name: str
    dtype: np.dtype[Any]
    width: int | None
    output: int
    failed: int | None = None
    why: str = ""  # there may be none


@dataclass(frozen=True)
class Cut:
    """A graph of numbers: its inputs are the numeric ones of the model in their order, then `tensors`."""

    graph: Graph
    tensors: tuple[TextTensor, ...]
    programs: tuple[TextProgram, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class TextSource:
    """An input of the model that is text: [batch], or [batch, width]. first: the position of its first argument."""

    name: str
    first: int
    width: int | None


def cut(graph: Graph, inputs: Sequence[TextSource | None], fold: Callable[[Operation, list[Static]], Static | None]) -> Cut:
    """inputs: those of the graph in order, None for numbers. fold: an operator of constants."""
    reader = Reader(graph, inputs, fold)
    for number, step in enumerate(graph.steps):
        reader.read(number, step)
    return reader.finished()


@dataclass
class Reader:
    graph: Graph
    inputs: Sequence[TextSource | None]
    fold: Callable[[Operation, list[Static]], Static | None]
    programs: Programs = field(default_factory=Programs)
    values: list[Any] = field(default_factory=list)  # of each step its outputs: TextValue, Static, TableLeaf or None
    places: dict[tuple[int, int], Ref] = field(default_factory=dict)  # where an output is in the new graph
    steps: list[Step] = field(default_factory=list)
    weights: list[NDArray[np.generic]] = field(default_factory=list)
    tensors: list[TextTensor] = field(default_factory=list)
    tensor_refs: dict[tuple[Cell, int | None], Ref] = field(default_factory=dict)
    labels: set[tuple[int, int]] = field(default_factory=set)  # outputs of old steps that are labels in the new graph
    refused: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.weights = list(self.graph.weights)
        numeric = [number for number, source in enumerate(self.inputs) if source is None]
        self.steps = [Argument(position) for position in range(len(numeric))]
        self.arguments = {number: Ref(position) for position, number in enumerate(numeric)}
        self.first_free = len(numeric)

    # --- steps ----------------------------------------------------------------------------------------------------------------

    def read(self, number: int, step: Step) -> None:
        match step:
            case Argument(index):
                source = self.inputs[index]
                if source is None:
                    self.places[number, 0] = self.arguments[index]
                self.values.append((None if source is None else self.source(source),))
            case Constant(array):
                self.values.append((Static(array),))
            case TableLeaf():
                self.values.append((step,))
            case WeightLeaf():
                self.values.append((None,))
                self.places[number, 0] = self.emit(step)
            case Operation():
                self.values.append(self.operation(number, step))
            case _:
                assert_never(step)

    def source(self, source: TextSource) -> Cells:
        inputs = [self.programs.input(source.first + place) for place in range(source.width or 1)]
        cells = np.empty(len(inputs), object)
        cells[:] = inputs
        return Cells(cells.reshape(()) if source.width is None else cells, TEXT)

    def operation(self, number: int, step: Operation) -> Any:
        """The outputs of a step; those that are None are in the new graph."""
        if any(ref.step in self.refused for ref in step.inputs):
            self.refused.add(number)
            return (None,) * 8
        inputs = [self.values[ref.step][ref.output] if ref.output < len(self.values[ref.step]) else None for ref in step.inputs]
        try:
            return self.performed(number, step, inputs)
        except Refusal as refusal:
            self.problems.append(f"{step.op} (node {step.name}): {refusal}")
            self.refused.add(number)
            return (None,) * 8

    def performed(self, number: int, step: Operation, inputs: list[Any]) -> Any:
        match step.op, inputs:
            case "Identity", [TableLeaf() as table]:
                return (table,)
            case "LookupTableSizeV2", [TableLeaf() as table]:
                return (Static(np.asarray(len(table.keys), np.int64)),)
            case "LookupTableFindV2", [TableLeaf(), _, None]:
                inputs = [*inputs[:2], self.weight_of(step.inputs[2])]
            case _:
                pass
        if inputs and all(isinstance(value, Static) for value in inputs) and step.op in OPS:
            folded = self.fold(step, inputs)
            if folded is not None:
                return (folded,)
        if step.op == "StringToHashBucketFast" and isinstance(inputs[0], WrittenNumber):
            self.place(number, Operation(step.name, "HashedIntegers", (inputs[0].place,), step.attributes))
            return (None,)
        if any(is_textual(value) for value in inputs):
            known = TEXT_OPS.get(step.op)
            if known is not None:
                try:
                    found = known(self.programs, inputs, dict(step.attributes))
                    return found if isinstance(found, tuple) else (found,)
                except ByMachine:
                    pass
        return self.by_machine(number, step, inputs)

    def weight_of(self, ref: Ref) -> Static | None:
        """A weight as the constant that it is: the default of a table, which TensorFlow made outside of the function."""
        step = self.graph.steps[ref.step]
        while isinstance(step, Operation) and step.op == "Identity":
            step = self.graph.steps[step.inputs[0].step]
        return Static(self.graph.weights[step.index]) if isinstance(step, WeightLeaf) else None

    # --- the compiled part ----------------------------------------------------------------------------------------------------

    def emit(self, step: Step) -> Ref:
        self.steps.append(step)
        return Ref(len(self.steps) - 1)

    def by_machine(self, number: int, step: Operation, inputs: list[Any]) -> Any:
        """A step of the new graph. What it reads of texts is cut there."""
        match step.op:
            case "LookupTableFindV2":
                return self.look_up(number, step, inputs)
            case "SparseCross":
                return self.cross(step, inputs)
            case "AsString" if is_plain(dict(step.attributes)):
                return (WrittenNumber(self.ref(step.inputs[0], inputs[0])),)
            case "SparseToDense" if len(inputs) == 4 and all(isinstance(value, Crossed) for value in inputs[:3]):
                crossed = inputs[0]
                if [value.output for value in inputs[:3]] == [0, 2, 1] and {value.step for value in inputs[:3]} == {crossed.step}:
                    self.places[number, 0] = Ref(crossed.step)
                    return (None,)
                raise Refusal("it mixes two crosses")
            case _:
                pass
        is_label = [
            (ref.step, ref.output) in self.labels or (isinstance(value, Cells) and value.dtype == TEXT and value.of_list is None)
            for ref, value in zip(step.inputs, inputs, strict=True)
        ]
        texts = [isinstance(value, Static) and value.array.dtype == TEXT for value in inputs]
        if any(is_label) or any(texts):
            return self.label_step(number, step, inputs, is_label)
        self.place(
            number, replace(step, inputs=tuple(self.ref(one, value) for one, value in zip(step.inputs, inputs, strict=True)))
        )
        return (None,) * 8

    def place(self, number: int, step: Operation) -> None:
        made = self.emit(step)
        for output in range(64):
            self.places[number, output] = Ref(made.step, output)

    def ref(self, old: Ref, value: Any) -> Ref:
        """Where a value is in the new graph: put there, if it is not yet."""
        place = (old.step, old.output)
        if place not in self.places:
            match value:
                case Static(array):
                    self.places[place] = self.emit(Constant(array))
                case Cells() | Wide():
                    self.places[place] = self.cut(value)
                case Sizes():
                    self.places[place] = self.sizes(value)
                case None:
                    raise Refusal(f"it reads output {old.output} of a node, which is not supported")
                case _:
                    raise Refusal("it takes what describes the lists of a ragged tensor for numbers")
        return self.places[place]

    def sizes(self, value: Sizes) -> Ref:
        numbers: list[int] = []
        for size in value.sizes:
            if not isinstance(size, int | Batch):
                raise Refusal("it computes with how many values the lists of all rows have")
            numbers.append(size if isinstance(size, int) else -1)
        if -1 not in numbers:
            array = np.array(numbers, np.int32)
            return self.emit(Constant(array.reshape(()) if value.scalar else array))
        # Any input tells how many rows there are: filled in when all are known.
        attributes = (("scalar", value.scalar), ("sizes", tuple(numbers)))
        return self.emit(Operation("sizes", "BatchSizes", (Ref(-1),), attributes))

    def cut(self, value: Cells | Wide) -> Ref:
        """The numbers of a text as an input of the graph."""
        if isinstance(value, Wide):
            return self.tensor(value.cell, value.dtype, value.width)
        if value.dtype == TEXT and value.of_list is None:
            return self.chosen(value)
        if not value.is_number:
            what = "the values of a ragged tensor"
            raise Refusal(f"it reads {what}, of which nothing but numbers by row can be computed")
        if value.dtype.name not in NUMBER_TYPES:
            raise Refusal(f"numbers of type {value.dtype.name} that are made of text are not supported")
        shape = value.cells.shape
        if shape == ():
            return self.tensor(value.flat[0], value.dtype, None)
        if shape == (1,):
            return self.tensor(value.flat[0], value.dtype, 1)
        parts = tuple(self.tensor(cell, value.dtype, None) for cell in value.flat)
        packed = self.emit(Operation("features of texts", "Pack", parts, (("N", len(parts)), ("axis", 1))))
        if len(shape) == 1:
            return packed
        target = self.emit(Constant(np.array([-1, *shape], np.int32)))
        return self.emit(Operation("features of texts", "Reshape", (packed, target)))

    def chosen(self, value: Cells) -> Ref:
        """One of a few texts that are made of a text, as the number of a label."""
        cell = value.flat[0]
        texts = choices(list(self.programs.nodes[cell.argument]), cell.node) if value.cells.shape in ((), (1,)) else None
        if texts is None:
            raise Refusal("it reads a text, or gives one, that is made of a text: only a choice among constants is supported")
        node = Found(cell.node, texts, tuple(range(len(texts))), 0, "int32")
        number = self.programs.add(cell.argument, node, cell)
        place = self.tensor(number, np.dtype(np.int32), None if value.cells.shape == () else 1)
        return self.emit(Operation("texts", "LabelOf", (place, self.emit(Constant(np.array(texts, object))))))

    def tensor(self, cell: Cell, dtype: np.dtype[Any], width: int | None) -> Ref:
        key = (cell, width)
        if key not in self.tensor_refs:
            stored = narrowest(list(self.programs.nodes[cell.argument]), cell.node, NUMBER_TYPES[dtype.name])
            output = self.programs.output(cell.argument, TextOutput(cell.node, stored, width if width != 1 else None))
            failed, why = None, self.programs.fails.get(cell, "")
            if why:
                failed = self.programs.output(cell.argument, TextOutput(cell.node, "bool", None, failed=True))
            self.tensors.append(TextTensor(cell.argument, self.name_of(cell.argument), dtype, width, output, failed, why))
            self.tensor_refs[key] = self.emit(Argument(self.first_free + len(self.tensors) - 1))
        return self.tensor_refs[key]

    def name_of(self, argument: int) -> str:
        for source in self.inputs:
            if source is not None and source.first <= argument < source.first + (source.width or 1):
                return source.name
        return ""

    # --- tables and labels ----------------------------------------------------------------------------------------------------

    def look_up(self, number: int, step: Operation, inputs: list[Any]) -> Any:
        """Integers in a table: its keys in order, and what belongs to them, are weights of the new graph."""
        table, items, default = inputs
        if not isinstance(table, TableLeaf):
            raise Refusal("the table that it reads is not known")
        if (
            table.keys.dtype.kind not in "iu"
            or table.values.ndim != 1
            or not isinstance(default, Static)
            or default.array.size != 1
        ):
            raise Refusal(f"a table from {table.keys.dtype} to {table.values.dtype} of this kind is not supported")
        keys, values, otherwise = table.keys, table.values, default.array.reshape(-1)
        if not len(keys):
            keys, values = np.zeros(1, table.keys.dtype), otherwise
        order = np.argsort(keys, kind="stable")
        of_keys = self.weight(keys[order])
        item = self.ref(step.inputs[1], items)
        if values.dtype == TEXT:
            labels = np.concatenate([values[order], otherwise])
            made = Operation(step.name, "LookupLabels", (item, of_keys, self.emit(Constant(labels))))
            self.labels.add((number, 0))
        else:
            parts = (item, of_keys, self.weight(values[order]), self.emit(Constant(default.array.reshape(()))))
            made = Operation(step.name, "LookupIntegers", parts)
        self.place(number, made)
        return (None,)

    def weight(self, array: NDArray[Any]) -> Ref:
        self.weights.append(array)
        return self.emit(WeightLeaf(len(self.weights) - 1))

    def label_step(self, number: int, step: Operation, inputs: list[Any], is_label: list[bool]) -> Any:
        """A step that hands labels on, or chooses among texts."""
        if step.op in HANDING_ON and is_label[0] and not any(is_label[1:]):
            op = f"Label{step.op}"
        elif step.op == "FailsWhere" and is_label[0]:
            op = step.op
        elif step.op == "SelectV2" and not is_label[0] and not is_text(inputs[0]):
            op = "LabelSelect"
        elif step.op in ("GatherV2", "Gather") and is_text(inputs[0]) and not is_text(inputs[1]):
            op = "LabelGather"
        else:
            raise Refusal("it computes with texts that are no argument, or with a text that the model gives")
        refs = tuple(self.ref(one, value) for one, value in zip(step.inputs, inputs, strict=True))
        self.labels.add((number, 0))
        self.place(number, Operation(step.name, op, refs, step.attributes))
        return (None,)

    def cross(self, step: Operation, inputs: list[Any]) -> Any:
        """A hashed cross of dense columns: the hashes of texts come from their programs, what is made of them is computed."""
        attributes = dict(step.attributes)
        if not attributes.get("hashed_output") or attributes.get("N"):
            raise Refusal("only hashed crosses of dense columns are supported")
        parts = []
        for old, value in zip(step.inputs, inputs, strict=True):
            if isinstance(value, Cells) and value.dtype == TEXT:
                if value.cells.shape != (1,) or value.of_list is not None:
                    raise Refusal("a column of a cross must be one text a row")
                cell = value.flat[0]
                hashed = self.programs.add(cell.argument, Fingerprint(cell.node), cell)
                parts.append(self.tensor(hashed, np.dtype(np.int64), 1))
            else:
                parts.append(self.ref(old, value))
        known = tuple((name, attributes[name]) for name in ("hash_key", "num_buckets"))
        made = self.emit(Operation(step.name, "CrossedHash", tuple(parts), known))
        return tuple(Crossed(made.step, output) for output in range(3))

    # --- the end --------------------------------------------------------------------------------------------------------------

    def finished(self) -> Cut:
        output = Ref(0)
        if not self.problems:
            old = self.graph.output
            try:
                value = self.values[old.step][old.output]
                output = self.ref(old, value)
            except Refusal as refusal:
                self.problems.append(str(refusal))
        any_input = next((number for number, step in enumerate(self.steps) if isinstance(step, Argument)), None)
        steps = tuple(self.with_input(step, any_input) for step in self.steps)
        graph = Graph(steps, output, tuple(self.weights), self.graph.effects)
        programs = self.programs.written()
        first: dict[int, int] = {}
        for program in programs:
            first[program.argument] = sum(len(before.outputs) for before in programs if before.argument < program.argument)
        tensors = (
            replace(
                tensor,
                output=tensor.output + first[tensor.argument],
                failed=None if tensor.failed is None else tensor.failed + first[tensor.argument],
            )
            for tensor in self.tensors
        )
        return Cut(graph if self.problems else pruned(graph), tuple(tensors), programs, tuple(dict.fromkeys(self.problems)))

    def with_input(self, step: Step, any_input: int | None) -> Step:
        if isinstance(step, Operation) and step.op == "BatchSizes" and any_input is not None:
            return replace(step, inputs=(Ref(any_input),))
        return step


def is_textual(value: object) -> bool:
    """Whether a value is a matter of texts, or of the lists made of them."""
    return isinstance(value, TextValue)


def is_text(value: object) -> bool:
    return isinstance(value, Static) and value.array.dtype == TEXT
