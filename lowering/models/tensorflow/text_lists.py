"""TensorFlow operators that make, describe and end lists of texts: ragged tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qtensor.lowering.models.tensorflow.text_ops import (
    INT64,
    TEXT_OPS,
    Attributes,
    ByMachine,
    Input,
    constant_of,
    text_operator,
    texts_of,
)
from qtensor.lowering.models.tensorflow.text_shapes import sizes_of
from qtensor.lowering.models.tensorflow.text_values import (
    NUMBER_TYPES,
    TEXT,
    Batch,
    Cell,
    Cells,
    Ones,
    Programs,
    RowEnds,
    RowIds,
    RowSplits,
    Sizes,
    SparseShape,
    SplitIndices,
    Total,
    Wide,
)
from qtensor.lowering.models.tensorflow.values import NOT_ROW_WISE, Refusal, Static, integer
from qtensor.lowering.models.text.program import Character, CodePoints, Count, FirstOf, Grams, Histogram, Split, TextAt, bounds

MOST_TEXTS = 64  # of a list as features, each a node of its own


def one_text(programs: Programs, value: Input) -> Cell:
    """The only text of a row, [batch]."""
    cells = texts_of(programs, value)
    if cells.of_list is not None or cells.cells.ndim:
        raise Refusal("it makes lists of more than one text a row")
    return cells.flat[0]


def list_of(programs: Programs, cell: Cell, node: Any, dtype: np.dtype[Any], fails: str | None = None) -> tuple[Cell, Cells]:
    """A list, and its values."""
    made = programs.add(cell.argument, node, cell, fails=fails)
    return made, Cells.one(made, dtype, made)


@text_operator("StringSplitV2")
def split(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> tuple[Any, ...]:
    most = attributes.get("maxsplit", -1)
    assert isinstance(most, int)
    text = one_text(programs, inputs[0])
    made, values = list_of(programs, text, Split(text.node, constant_of(inputs[1], "the separator"), most), TEXT)
    return SplitIndices(made), values, SparseShape(made)


@text_operator("UnicodeDecode")
def decode(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> tuple[Any, ...]:
    if str(attributes.get("input_encoding")).lower() not in ("utf-8", "utf8") or attributes.get("replace_control_characters"):
        raise Refusal("only UTF-8 whose control characters stay is supported")
    errors, replacement = attributes.get("errors", "replace"), attributes.get("replacement_char", 65533)
    if errors not in ("replace", "ignore") or not isinstance(replacement, int):
        raise Refusal(f"errors = {errors!r} is not supported")
    text = one_text(programs, inputs[0])
    node = CodePoints(text.node, replacement if errors == "replace" else None)
    made, values = list_of(programs, text, node, np.dtype(np.int32))
    return RowSplits(made), values


@text_operator("UnicodeEncode")
def encode(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    """Characters, each a text of its own."""
    match inputs:
        case (Cells(of_list=Cell() as of_list) as cells, Ones(of)) if of == of_list and cells.cells.size == 1:
            cell = cells.flat[0]
            is_utf_8 = str(attributes.get("output_encoding")).lower() in ("utf-8", "utf8")
            if not is_utf_8 or attributes.get("errors") != "replace" or attributes.get("replacement_char") not in (65533, None):
                raise Refusal("only UTF-8 is supported")
            return Cells.one(programs.add(cell.argument, Character(cell.node), cell), TEXT, of_list)
        case _:
            raise Refusal("it joins characters")


@text_operator("StringNGrams")
def ngrams(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> tuple[Any, ...]:
    widths, separator = attributes["ngram_widths"], attributes.get("separator", "")
    if attributes.get("pad_width") not in (0, None) or attributes.get("preserve_short_sequences"):
        raise Refusal("padding and short sequences are not supported")
    assert isinstance(widths, tuple)
    match inputs:
        case (Cells(of_list=Cell() as of_list) as values, RowSplits(of, starts=False)) if of == of_list:
            cell = values.flat[0]
            node = Grams(cell.node, tuple(int(width) for width in widths), str(separator))  # type: ignore[arg-type]
            made, found = list_of(programs, cell, node, TEXT)
            return found, RowSplits(made)
        case _:
            raise Refusal("it takes no list of texts")


@text_operator("DenseBincount", "Bincount")
def count_values(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Cells:
    """Row ids, counted: how many values each list has."""
    match inputs:
        case (RowIds(of), Sizes(sizes=(Batch(),)), Static(weights)) if not weights.size and not attributes.get("binary_output"):
            return lengths(programs, of)
        case (Cells() as cells, *_) if cells.is_number:
            raise ByMachine
        case _:
            raise Refusal("it counts what is no list")


def lengths(programs: Programs, of: Cell) -> Cells:
    return Cells.one(programs.add(of.argument, Count(of.node), of), INT64)


@text_operator("Cumsum")
def cumulative(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> RowEnds:
    """Of the lengths of lists, over the rows: where they end."""
    lengths, axis = inputs
    if attributes.get("exclusive") or attributes.get("reverse") or not isinstance(axis, Static) or integer(axis, "the axis"):
        raise ByMachine
    if isinstance(lengths, Cells) and lengths.is_number and not lengths.cells.ndim:
        (cell,) = lengths.flat
        counted = list(programs.nodes[cell.argument])[cell.node]
        if isinstance(counted, Count):
            return RowEnds(Cell(cell.argument, counted.items))
    raise ByMachine


def keeping(name: str, *kinds: type) -> None:
    """Casts and identities of what describes lists."""
    plain = TEXT_OPS[name]

    def operator(programs: Programs, inputs: Sequence[Any], attributes: Attributes) -> Any:
        return inputs[0] if isinstance(inputs[0], kinds) else plain(programs, inputs, attributes)

    TEXT_OPS[name] = operator


keeping("Cast", RowIds, RowEnds, RowSplits, Sizes, SparseShape, SplitIndices, Ones)


def with_sizes(name: str, function: Callable[..., Any]) -> None:
    """Arithmetic of sizes beside that of values; `function` gives None for others."""
    plain = TEXT_OPS.get(name)

    def operator(programs: Programs, inputs: Sequence[Any], attributes: Attributes) -> Any:
        found = function(programs, inputs, attributes)
        if found is not None:
            return found
        if plain is None:
            raise ByMachine
        return plain(programs, inputs, attributes)

    TEXT_OPS[name] = operator


def multiplied(programs: Programs, inputs: Sequence[Any], attributes: Attributes) -> Any:
    for one, other in (inputs, reversed(inputs)):
        match one, other:
            case (Sizes() | Ones(), Static(array)) if array.size == 1 and array.reshape(-1)[0] == 1:
                return one
            case (Sizes(sizes=(size,), scalar=scalar), Sizes(sizes=(1,))):
                return Sizes((size,), scalar)
    return None


def added(programs: Programs, inputs: Sequence[Any], attributes: Attributes) -> Any:
    for one, other in (inputs, reversed(inputs)):
        match one, other:
            case (Sizes(sizes=(Total(of, more),), scalar=scalar), Static(array)) if array.size == 1:
                return Sizes((Total(of, more + int(array.reshape(-1)[0])),), scalar)
    return None


def subtracted(programs: Programs, inputs: Sequence[Any], attributes: Attributes) -> Any:
    match inputs:
        case (RowEnds(of), RowSplits(other, starts=True)) if of == other:
            return lengths(programs, of)
    return None


with_sizes("Mul", multiplied)
with_sizes("AddV2", added)
with_sizes("Sub", subtracted)


@text_operator("Range")
def number_range(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Ones:
    match inputs:
        case (Static(start), Sizes(sizes=(Total(of, 1),)), Static(delta)) if start.item() == 0 and delta.item() == 1:
            return Ones(of)
        case _:
            raise Refusal("it computes with the number of rows")


@text_operator("RaggedTensorToTensor")
def to_tensor(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Wide | Cells:
    target, values, padding, *partitions = inputs
    types = attributes["row_partition_types"]
    match types, partitions:
        case (("FIRST_DIM_SIZE", "VALUE_ROWIDS"), [_, RowIds(of)]) | (("ROW_SPLITS",), [RowSplits(of, starts=False)]):
            pass
        case _:
            raise Refusal("a ragged tensor of more than one list a row is not supported")
    if not isinstance(values, Cells) or values.of_list != of or values.cells.ndim:
        raise Refusal("its values are no list")
    sizes = sizes_of(target)
    width = sizes[-1]
    if len(sizes) != 2 or not (sizes[0] == -1 or isinstance(sizes[0], Batch)) or not isinstance(width, int) or width < 0:
        raise Refusal(
            f"{NOT_ROW_WISE} (it is as wide as the longest list of all rows: give it a width, as output_sequence_length= or "
            "to_tensor(shape=[None, k]))"
        )
    cell = values.flat[0]
    if values.dtype == TEXT:
        if width > MOST_TEXTS:
            raise Refusal(f"a tensor of {width} texts a row is not supported: look them up first")
        texts = np.empty(width, object)
        for place in range(width):
            node = TextAt(cell.node, place, str(constant_of(padding, "the default value")))
            texts[place] = programs.add(cell.argument, node, cell)
        return Cells(texts, TEXT)
    first = FirstOf(cell.node, width, constant_of(padding, "the default value"))
    return Wide(programs.add(cell.argument, first, cell), width, values.dtype)


@text_operator("RaggedBincount")
def ragged_bincount(programs: Programs, inputs: Sequence[Input], attributes: Attributes) -> Wide:
    splits, values, size, weights = inputs
    if not isinstance(splits, RowSplits) or not isinstance(values, Cells) or splits.of != values.of_list:
        raise Refusal("its values are no list")
    if not isinstance(weights, Static) or weights.array.size:
        raise Refusal("weights are not supported")
    cell = values.flat[0]
    binary, width = bool(attributes.get("binary_output")), int(constant_of(size, "the number of bins"))
    stored = NUMBER_TYPES["bool" if binary else "int32"]
    known = bounds(list(programs.nodes[cell.argument]), cell.node)
    fails = None if known is not None and known[0] >= 0 else "a negative number (RaggedBincount)"
    made = programs.add(cell.argument, Histogram(cell.node, width, binary, stored), cell, fails=fails)
    return Wide(made, width, weights.array.dtype)
