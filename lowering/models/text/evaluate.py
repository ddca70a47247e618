"""Evaluates text programs: each node for all texts at once.

A program may come from a hostile file: what a node gives is bounded by `LARGEST`, what all give by `MOST_WORK`, and each takes
time by what it reads and gives. What no later node needs is let go of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from qtensor.errors import CapacityError
from qtensor.lowering.models.text import texts as of_texts
from qtensor.lowering.models.text.hashes import fingerprints, keyed_hashes
from qtensor.lowering.models.text.program import (
    CaseChange,
    Character,
    CodePoints,
    Computed,
    Count,
    Fingerprint,
    FirstOf,
    Found,
    FullMatch,
    Grams,
    HashBucket,
    Histogram,
    Joined,
    NumberType,
    Parsed,
    Replace,
    Scalar,
    Slice,
    Split,
    Strip,
    TextAt,
    TextConstant,
    TextInput,
    TextLength,
    TextNode,
    TextOutput,
    TextProgram,
    Without,
    Words,
    Written,
    reads,
)

LARGEST = 1 << 31  # bytes of what a node gives for all texts
MOST_WORK = 1 << 35  # bytes of what all nodes give, and as many again as their values are worth
_WORTH = 64  # bytes: of a value, whatever its size
_ROWS_AT_ONCE = 1 << 22  # entries of a histogram that are counted at a time

Numbers: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Result:
    """What a node gives for n texts: one value each, `width` values each (numbers [n, width]), or where `counts` says how many
    a list each. Texts are an Arrow array. A constant is one value, [] or a scalar of Arrow. failed: bool[n], None: nowhere.
    """

    values: Any
    counts: NDArray[np.int64] | None = None
    failed: NDArray[np.bool_] | None = None

    @property
    def is_text(self) -> bool:
        return isinstance(self.values, pa.Array | pa.Scalar)


NOTHING = Result(np.zeros(0))  # in place of what is needed no more


def evaluate(program: TextProgram, strings: pa.Array) -> list[Numbers]:
    """What each output gives for each string (large_string without NULL): [n] or [n, width]. Numbers of failed texts are any.

    Raises:
        CapacityError: it would be too large.
        ValueError, pa.ArrowInvalid: a program that nobody exported.
    """
    last = {read: number for number, node in enumerate(program.nodes) for read in reads(node)}
    kept = {output.node for output in program.outputs}
    evaluation = Evaluation(strings)
    work = 0
    for number, node in enumerate(program.nodes):
        result = evaluation.node(node)
        work += size_of(result)
        if work > MOST_WORK:
            raise CapacityError(
                "what a model makes of a dictionary of texts takes too long: these are too many, or too long, texts"
            )
        evaluation.results.append(result)
        for read in reads(node):
            if last[read] == number and read not in kept:
                evaluation.results[read] = NOTHING
    return [evaluation.output(output) for output in program.outputs]


def size_of(result: Result) -> int:
    """What a result cost: its bytes, and something for each value."""
    values = result.values
    if isinstance(values, pa.Scalar):
        return 0
    return int(values.nbytes) + _WORTH * (len(values) if isinstance(values, pa.Array) else values.size)


class Evaluation:
    def __init__(self, strings: pa.Array) -> None:
        self.strings = strings
        self.results: list[Result] = []

    def output(self, output: TextOutput) -> Numbers:
        result = self.results[output.node]
        rows = len(self.strings)
        if output.failed:
            return np.zeros(rows, np.bool_) if result.failed is None else result.failed
        if result.is_text or result.counts is not None:
            raise ValueError("an output of a text program is no number")
        shape = (rows,) if output.width is None else (rows, output.width)
        return np.broadcast_to(np.asarray(result.values).astype(output.dtype), shape)

    def node(self, node: TextNode) -> Result:
        """Nodes name earlier ones: later numbers are out of range."""
        match node:
            case TextInput():
                return Result(self.strings)
            case TextConstant(value, None):
                return Result(pa.scalar(str(value), pa.large_string()))
            case TextConstant(value, dtype):
                return Result(np.asarray(value, dtype))
            case CaseChange(text, upper, unicode):
                return self.each(text, lambda texts: of_texts.changed_case(texts, upper=upper, unicode=unicode))
            case Strip(text):
                return self.each(text, pc.ascii_trim_whitespace)
            case Replace():
                return self.replaced(node)
            case FullMatch(text, pattern):
                return self.each(text, lambda texts: numbers_of(pc.match_substring_regex(texts, whole(pattern))))
            case TextLength(text, unit):
                return self.each(text, lambda texts: of_texts.length(texts, unit))
            case Slice():
                return self.sliced(node)
            case Joined():
                return self.joined(node)
            case Parsed(text, "int32" | "int64" as kind):
                return self.failing(text, lambda texts: of_texts.integers(texts, int(kind[3:])))
            case Parsed(text, kind):
                return self.failing(text, lambda texts: of_texts.floats(texts, int(kind[5:])))
            case Written(number):
                return self.written(number)
            case HashBucket(text, buckets, key):
                return self.each(text, lambda texts: hashed(texts, buckets, key))
            case Fingerprint(text):
                return self.each(text, lambda texts: fingerprints(of_texts.buffer_of(texts)).view(np.int64))
            case Found():
                return self.found(node)
            case Computed(function, operands, dtype):
                return self.computed(function, operands, dtype)
            case Split() | CodePoints() | Words() | Without() | Grams():
                return self.listed(node)
            case Character(number):
                result = self.results[number]
                return Result(of_texts.characters(np.atleast_1d(result.values)), result.counts, result.failed)
            case Count(items):
                return Result(self.counts(items), None, self.results[items].failed)
            case FirstOf(items, width, padding):
                return self.first_of(items, width, padding)
            case TextAt(items, place, padding):
                return self.text_at(items, place, padding)
            case Histogram():
                return self.histogram(node)
            case _:
                assert_never(node)

    # --- functions of texts ---------------------------------------------------------------------------------------------------

    def texts(self, number: int) -> Result:
        """A node that gives texts, as an array."""
        result = self.results[number]
        if not result.is_text:
            raise ValueError("a text program takes a number for a text")
        if isinstance(result.values, pa.Scalar):
            return Result(pa.repeat(result.values, len(self.strings)), None, result.failed)
        return result

    def each(self, number: int, function: Callable[[pa.Array], Any]) -> Result:
        result = self.texts(number)
        values = function(result.values)
        affordable(values.nbytes)
        return Result(values, result.counts, result.failed)

    def failing(self, number: int, function: Callable[[pa.Array], tuple[Any, NDArray[np.bool_]]]) -> Result:
        """A function that says itself for which of the texts it fails."""
        result = self.texts(number)
        values, wrong = function(result.values)
        if result.counts is not None:
            owners = np.repeat(np.arange(len(self.strings)), result.counts)
            wrong = np.bincount(owners[wrong], minlength=len(self.strings)) > 0
        return Result(values, result.counts, either(result.failed, wrong))

    def replaced(self, node: Replace) -> Result:
        texts = self.texts(node.text)
        affordable((texts.values.nbytes + len(texts.values)) * len(node.rewrite.encode()) if len(node.rewrite) > 64 else 0)
        most = None if node.everywhere else 1
        return self.each(
            node.text,
            lambda values: pc.replace_substring_regex(
                values, pattern=node.pattern, replacement=node.rewrite, max_replacements=most
            ),
        )

    def sliced(self, node: Slice) -> Result:
        texts, start, length = self.texts(node.text), self.results[node.start], self.results[node.length]
        if texts.counts is not None:
            start, length = self.spread(start, texts.counts), self.spread(length, texts.counts)
        result = self.failing(node.text, lambda values: of_texts.sliced(values, start.values, length.values, node.unit))
        return Result(result.values, result.counts, either(result.failed, start.failed, length.failed))

    def joined(self, node: Joined) -> Result:
        parts, counts, failed = self.aligned(node.parts)
        rows = len(self.strings) if counts is None else int(counts.sum())
        arrays = [pa.repeat(part, rows) if isinstance(part, pa.Scalar) else part for part in parts]
        affordable(sum(array.nbytes for array in arrays) + rows * len(arrays) * len(node.separator.encode()))
        return Result(pc.binary_join_element_wise(*arrays, pa.scalar(node.separator, pa.large_string())), counts, failed)

    def written(self, number: int) -> Result:
        result = self.results[number]
        values = np.atleast_1d(result.values)
        if values.dtype == np.bool_:
            return Result(pa.array(np.where(values, "true", "false"), pa.large_string()), result.counts, result.failed)
        if values.dtype.kind != "i":
            raise ValueError("a text program writes floats")
        return Result(pa.array(values).cast(pa.large_string()), result.counts, result.failed)

    def found(self, node: Found) -> Result:
        result = self.results[node.item]
        items = result.values if isinstance(result.values, pa.Array) else pa.array(np.atleast_1d(result.values))
        if isinstance(result.values, pa.Scalar):
            items = pa.array([result.values.as_py()], pa.large_string())
        keys = pa.array(node.keys, items.type)
        place = pc.index_in(items, keys).fill_null(len(node.keys)).to_numpy(zero_copy_only=False)
        values = [*node.values, node.otherwise]
        if node.dtype is None:
            texts = pa.array(values, pa.large_string()).take(pa.array(place))
            affordable(texts.nbytes)
            return Result(texts, result.counts, result.failed)
        return Result(np.array(values, node.dtype)[place], result.counts, result.failed)

    # --- functions of values --------------------------------------------------------------------------------------------------

    def spread(self, result: Result, counts: NDArray[np.int64]) -> Result:
        """A value of each text as one of each of its list's values."""
        if result.counts is not None:
            if not np.array_equal(result.counts, counts):
                raise ValueError("a text program joins lists of different lengths")
            return result
        if isinstance(result.values, pa.Scalar) or (isinstance(result.values, np.ndarray) and result.values.ndim == 0):
            return result
        rows = np.repeat(np.arange(len(counts)), counts)
        values = result.values.take(pa.array(rows)) if isinstance(result.values, pa.Array) else result.values[rows]
        return Result(values, counts, result.failed)

    def aligned(self, numbers: Sequence[int]) -> tuple[list[Any], NDArray[np.int64] | None, NDArray[np.bool_] | None]:
        """The values of several nodes side by side: of lists, if one of them is one."""
        results = [self.results[number] for number in numbers]
        counts = next((result.counts for result in results if result.counts is not None), None)
        if counts is not None:
            results = [self.spread(result, counts) for result in results]
        return [result.values for result in results], counts, either(*(result.failed for result in results))

    def computed(self, function: str, numbers: Sequence[int], dtype: NumberType | None) -> Result:
        values, counts, failed = self.aligned(numbers)
        if any(isinstance(value, pa.Array | pa.Scalar) for value in values):
            kernel = TEXT_FUNCTIONS[function]
            found = kernel(
                *(value if isinstance(value, pa.Array | pa.Scalar) else pa.array(np.atleast_1d(value)) for value in values)
            )
            return Result(found if dtype is None else numbers_of(found), counts, failed)
        with np.errstate(all="ignore"):
            if function == "cast":
                return Result(np.asarray(values[0]).astype(dtype), counts, failed)
            return Result(FUNCTIONS[function](*values).astype(dtype), counts, failed)

    # --- lists ----------------------------------------------------------------------------------------------------------------

    def counts(self, number: int) -> NDArray[np.int64]:
        counts = self.results[number].counts
        if counts is None:
            raise ValueError("a text program takes a value for a list")
        return counts

    def listed(self, node: Split | CodePoints | Words | Without | Grams) -> Result:
        if isinstance(node, Without):
            return self.without(node)
        if isinstance(node, Grams):
            items, counts = self.texts(node.items), self.counts(node.items)
            affordable(sum(width * items.values.nbytes for width in node.widths))
            values, lengths = of_texts.grams(items.values, counts, node.widths, node.separator)
            return Result(values, lengths, items.failed)
        texts = self.texts(node.text)
        if texts.counts is not None:
            raise ValueError("a text program makes lists of lists")
        match node:
            case Split(_, separator, most):
                values, lengths = of_texts.split(texts.values, separator, most)
            case CodePoints(_, replacement):
                values, lengths = of_texts.code_points(texts.values, replacement)
            case Words(_, shortest):
                values, lengths = of_texts.words(texts.values, shortest)
            case _:
                assert_never(node)
        affordable(values.nbytes)
        return Result(values, lengths, texts.failed)

    def without(self, node: Without) -> Result:
        items, counts = self.texts(node.items), self.counts(node.items)
        kept = ~numbers_of(pc.is_in(items.values, pa.array(node.left_out, items.values.type)))
        owner = np.repeat(np.arange(len(counts)), counts)
        lengths = np.bincount(owner[kept], minlength=len(counts)).astype(np.int64)
        return Result(items.values.filter(pa.array(kept)), lengths, items.failed)

    def first_of(self, number: int, width: int, padding: Scalar) -> Result:
        counts, items = self.counts(number), self.results[number]
        values = np.asarray(items.values)
        affordable(len(counts) * width * values.itemsize)
        found = np.full((len(counts), width), padding, values.dtype)
        owner = np.repeat(np.arange(len(counts)), counts)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = place < width
        found[owner[kept], place[kept]] = values[kept]
        return Result(found, None, items.failed)

    def text_at(self, number: int, place: int, padding: str) -> Result:
        counts, items = self.counts(number), self.texts(number)
        first = np.cumsum(counts) - counts
        there = counts > place
        taken = items.values.take(pa.array(np.where(there, first + place, 0), mask=~there))
        affordable(taken.nbytes + len(counts) * len(padding.encode()))
        return Result(taken.fill_null(padding), None, items.failed)

    def histogram(self, node: Histogram) -> Result:
        counts, items = self.counts(node.items), self.results[node.items]
        values = np.asarray(items.values)
        rows, width = len(counts), node.width
        affordable(rows * width * np.dtype(node.dtype).itemsize)
        found = np.zeros((rows, width), node.dtype)
        owner = np.repeat(np.arange(rows), counts)
        wrong = np.bincount(owner[values < 0], minlength=rows) > 0
        ends = np.cumsum(counts)
        step = max(1, _ROWS_AT_ONCE // width)
        for first in range(0, rows, step):
            last = min(rows, first + step)
            span = slice(int(ends[first] - counts[first]), int(ends[last - 1]))
            inside = (values[span] >= 0) & (values[span] < width)
            place = (owner[span][inside] - first) * width + values[span][inside].astype(np.int64)
            times = np.bincount(place, minlength=(last - first) * width).reshape(last - first, width)
            found[first:last] = times > 0 if node.binary else times
        return Result(found, None, either(items.failed, wrong))


FUNCTIONS: dict[str, Callable[..., Numbers]] = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "floor_modulo": np.mod,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "select": np.where,
}
TEXT_FUNCTIONS: dict[str, Callable[..., Any]] = {"equal": pc.equal, "not_equal": pc.not_equal, "select": pc.if_else}


def hashed(texts: pa.Array, buckets: int, key: tuple[int, int] | None) -> NDArray[np.int64]:
    content = of_texts.buffer_of(texts)
    hashes = fingerprints(content) if key is None else keyed_hashes(content, key)
    return (hashes % np.uint64(buckets)).astype(np.int64)


def whole(pattern: str) -> str:
    """A pattern that matches a whole text where `pattern` does."""
    return rf"\A(?:{pattern})\z"


def numbers_of(array: Any) -> Numbers:
    values: Numbers = array.to_numpy(zero_copy_only=False) if isinstance(array, pa.Array) else np.asarray(array.as_py())
    return values


def either(*masks: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    found = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(found) if found else None


def affordable(size: int) -> None:
    """Raise CapacityError for a result of so many bytes."""
    if size > LARGEST:
        raise CapacityError(
            f"what a model makes of a dictionary of texts takes {size:,} bytes; at most {LARGEST:,} are supported"
        )
