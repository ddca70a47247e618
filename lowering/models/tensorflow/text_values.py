"""What a tensor that depends on text is while a graph is cut: nodes of text programs, and what ragged tensors are made of.

A tensor [batch, ...features] of texts, or of numbers made of them, is an array of cells, one for each feature: each is a node of
the program of one argument. So what moves features about is NumPy's indexing of cells. The rows of a ragged tensor are lists,
and TensorFlow describes them by tensors that depend on all rows (row ids, splits): these are values of their own here, which mean
"of this list" and nothing else, so that nothing can be computed of them that would depend on other rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qtensor.lowering.models.tensorflow.graph import Ref
from qtensor.lowering.models.tensorflow.values import Refusal
from qtensor.lowering.models.text.program import NumberType, TextInput, TextNode, TextOutput, TextProgram, pruned

TEXT = np.dtype(object)  # of cells that are texts
NUMBER_TYPES: dict[str, NumberType] = {name: name for name in ("bool", "int8", "int16", "int32", "int64", "float32", "float64")}


@dataclass(frozen=True)
class Cell:
    """Node number `node` of the program of argument number `argument`."""

    argument: int
    node: int


@dataclass(frozen=True, eq=False)
class Cells:
    """A tensor [batch, *features] of `dtype`: `cells` has the shape [*features]. Or, of a list, its values [number of values]."""

    cells: NDArray[Any]
    dtype: np.dtype[Any]
    of_list: Cell | None = None

    @staticmethod
    def one(cell: Cell, dtype: np.dtype[Any], of_list: Cell | None = None) -> Cells:
        """A tensor [batch] of one cell, or the values of a list."""
        cells = np.empty(1, object)
        cells[0] = cell
        return Cells(cells.reshape(()), dtype, of_list)

    @property
    def flat(self) -> list[Cell]:
        return list(self.cells.reshape(-1))

    @property
    def is_number(self) -> bool:
        """Whether it is a tensor of numbers by row, as the compiled part of a model takes them."""
        return self.dtype != TEXT and self.of_list is None


@dataclass(frozen=True)
class Wide:
    """A tensor [batch, width] of numbers that one node gives; `dtype` is what TensorFlow has."""

    cell: Cell
    width: int
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class SplitIndices:
    """int64[values, 2]: of each value of a list its row, and its place in the list."""

    of: Cell


@dataclass(frozen=True)
class RowIds:
    """Of each value of a list its row."""

    of: Cell


@dataclass(frozen=True)
class RowEnds:
    """Where each row's list ends among the values of all."""

    of: Cell


@dataclass(frozen=True)
class RowSplits:
    """0, and where each row's list ends. starts: without the last of them; ends: without the first."""

    of: Cell
    starts: bool = False


@dataclass(frozen=True)
class Ones:
    """Splits of lists of one value each: 0, 1, ... to the number of values of the list."""

    of: Cell


@dataclass(frozen=True)
class Total:
    """How many values all lists have together, and `more`."""

    of: Cell
    more: int = 0


@dataclass(frozen=True)
class Batch:
    """How many rows there are."""


Size: TypeAlias = int | Total | Batch


@dataclass(frozen=True)
class Sizes:
    """A vector of sizes, or one."""

    sizes: tuple[Size, ...]
    scalar: bool = False


@dataclass(frozen=True)
class SparseShape:
    """int64[2]: how many rows, and the length of the longest list."""

    of: Cell


@dataclass(frozen=True)
class Crossed:
    """Output `output` of a SparseCross of columns, which is `step` of the new graph as a dense tensor."""

    step: int
    output: int


@dataclass(frozen=True)
class WrittenNumber:
    """The texts of integers that the compiled part has, at `place` of the new graph."""

    place: Ref


TextValue: TypeAlias = (
    WrittenNumber | Cells | Wide | SplitIndices | RowIds | RowEnds | RowSplits | Ones | Sizes | SparseShape | Crossed
)


@dataclass
class Programs:
    """The programs of all arguments while they are written; equal nodes are one."""

    nodes: dict[int, dict[TextNode, int]] = field(default_factory=dict)
    outputs: dict[int, list[TextOutput]] = field(default_factory=dict)
    fails: dict[Cell, str] = field(default_factory=dict)  # cells that may have no value, and why

    def input(self, argument: int) -> Cell:
        return self.add(argument, TextInput())

    def add(self, argument: int, node: TextNode, *reads: Cell, fails: str | None = None) -> Cell:
        """The cell of a node that reads the cells `reads` of the same argument. fails: why it may have no value itself."""
        if any(cell.argument != argument for cell in reads):
            raise Refusal("it computes with the texts of two arguments at once")
        known = self.nodes.setdefault(argument, {})
        cell = Cell(argument, known.setdefault(node, len(known)))
        why = [self.fails[read] for read in reads if read in self.fails] + ([fails] if fails else [])
        if why:
            self.fails[cell] = " or ".join(dict.fromkeys(why))
        return cell

    def output(self, argument: int, output: TextOutput) -> int:
        """The number of an output among those of its argument."""
        known = self.outputs.setdefault(argument, [])
        if output not in known:
            known.append(output)
        return known.index(output)

    def written(self) -> tuple[TextProgram, ...]:
        """The programs of the arguments of which anything is taken, by argument."""
        return tuple(
            pruned(TextProgram(argument, tuple(self.nodes[argument]), tuple(outputs)))
            for argument, outputs in sorted(self.outputs.items())
        )
