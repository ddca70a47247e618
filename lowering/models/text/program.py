"""Text programs: what a model makes of one text argument before numbers begin, as plain data.

A program is a list of nodes, each a function of earlier ones, named by their numbers. Every node is a function of one string, so
that a program is row-wise by construction. What a node gives for a string is one value, a list of any number of them (the
tokens of a text), or as many as its `width` says. Functions of a value are applied to each of a list's.

Artifacts hold programs, so all of it is data of a few types, and what can be evaluated is `text/evaluate.py`, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

Unit: TypeAlias = Literal["BYTE", "UTF8_CHAR"]
NumberType: TypeAlias = Literal["bool", "int8", "int16", "int32", "int64", "float32", "float64"]
TEXT_TYPE = "object"  # NumPy's name of the type that arguments of models have which are texts
Scalar: TypeAlias = bool | str | int | float


def type_called(dtype: object) -> str:
    """What people call the type of an argument.

    >>> type_called("object"), type_called("float32")
    ('text', 'float32')
    """
    return "text" if str(dtype) == TEXT_TYPE else str(dtype)


@dataclass(frozen=True)
class TextInput:
    """The argument."""


@dataclass(frozen=True)
class TextConstant:
    """The same value for each string: a text, or a number of `dtype`."""

    value: Scalar
    dtype: NumberType | None


@dataclass(frozen=True)
class CaseChange:
    """Upper or lower case, of ASCII or of all Unicode letters; of bytes that are no UTF-8 the latter makes U+FFFD."""

    text: int
    upper: bool
    unicode: bool


@dataclass(frozen=True)
class Strip:
    """Without ASCII white space at both ends."""

    text: int


@dataclass(frozen=True)
class Replace:
    """What matches a regular expression of RE2 is replaced: everywhere, or where it first matches."""

    text: int
    pattern: str
    rewrite: str
    everywhere: bool


@dataclass(frozen=True)
class FullMatch:
    """Whether a regular expression of RE2 matches the whole text. bool."""

    text: int
    pattern: str


@dataclass(frozen=True)
class TextLength:
    """How many bytes or characters. int32."""

    text: int
    unit: Unit


@dataclass(frozen=True)
class Slice:
    """The `length` units from `start` on, counted from the end if it is negative. It fails where that lies outside."""

    text: int
    start: int
    length: int
    unit: Unit


@dataclass(frozen=True)
class Joined:
    """Texts one behind the other, with `separator` between them."""

    parts: tuple[int, ...]
    separator: str


@dataclass(frozen=True)
class Parsed:
    """The number that a text is; it fails for others."""

    text: int
    dtype: Literal["int32", "int64", "float32", "float64"]


@dataclass(frozen=True)
class Written:
    """An integer or Boolean as text."""

    number: int


@dataclass(frozen=True)
class HashBucket:
    """The bucket, from 0 to `buckets` - 1, of a text: by FarmHash's Fingerprint64, or with a key by SipHash. int64.

    key: two unsigned integers of 64 bits.
    """

    text: int
    buckets: int
    key: tuple[int, int] | None


@dataclass(frozen=True)
class Fingerprint:
    """FarmHash's Fingerprint64 of a text, its bits read as an int64."""

    text: int


@dataclass(frozen=True)
class Found:
    """What a table has for a text or an integer: values[i] for keys[i], else `otherwise`; of `dtype`, None: a text."""

    item: int
    keys: tuple[str | int, ...]
    values: tuple[Scalar, ...]
    otherwise: Scalar
    dtype: NumberType | None


@dataclass(frozen=True)
class Computed:
    """A function of numbers, or a comparison of texts; `dtype` is what it gives (None: a text)."""

    function: str
    operands: tuple[int, ...]
    dtype: NumberType | None


@dataclass(frozen=True)
class Split:
    """The list of a text's parts between separators; "" splits at white space. most: how many splits, -1 for any number."""

    text: int
    separator: str
    most: int


@dataclass(frozen=True)
class Words:
    """The list of a text's words: runs of at least `shortest` letters, digits and underscores, of any alphabet (Python's \\w)."""

    text: int
    shortest: int


@dataclass(frozen=True)
class Without:
    """A list of texts without those that are among `left_out`."""

    items: int
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class CodePoints:
    """The list of a text's characters. int32. What is no UTF-8 is `replacement`, or left out (None)."""

    text: int
    replacement: int | None


@dataclass(frozen=True)
class Character:
    """The text of one character."""

    number: int


@dataclass(frozen=True)
class Grams:
    """The list of all runs of so many neighbours in a list of texts, of each width in turn."""

    items: int
    widths: tuple[int, ...]
    separator: str


@dataclass(frozen=True)
class Count:
    """How many values a list has. int64."""

    items: int


@dataclass(frozen=True)
class FirstOf:
    """The first `width` values of a list, `padding` in place of those that it lacks."""

    items: int
    width: int
    padding: Scalar


@dataclass(frozen=True)
class TextAt:
    """The text at a place of a list, `padding` where it is shorter."""

    items: int
    place: int
    padding: str


@dataclass(frozen=True)
class Histogram:
    """How often each integer from 0 to `width` - 1 is in a list, or with `binary` whether it is. Greater ones count nowhere; it
    fails for negative ones.
    """

    items: int
    width: int
    binary: bool
    dtype: NumberType


TextNode: TypeAlias = (
    TextInput
    | TextConstant
    | CaseChange
    | Strip
    | Replace
    | FullMatch
    | TextLength
    | Slice
    | Joined
    | Parsed
    | Written
    | HashBucket
    | Fingerprint
    | Found
    | Computed
    | Split
    | Words
    | Without
    | CodePoints
    | Character
    | Grams
    | Count
    | FirstOf
    | TextAt
    | Histogram
)


@dataclass(frozen=True)
class TextOutput:
    """What the compiled part of a model takes of a program: for each string a number, or `width` of them, of `dtype`; or where
    `failed`, whether there is none, bool.
    """

    node: int
    dtype: NumberType
    width: int | None = None
    failed: bool = False


@dataclass(frozen=True)
class TextProgram:
    """What is computed of the text argument at position `argument` of a model."""

    argument: int
    nodes: tuple[TextNode, ...]
    outputs: tuple[TextOutput, ...]


# The fields of nodes that are numbers of other nodes.
_READS = frozenset(("text", "start", "length", "parts", "number", "item", "operands", "items"))


def reads(node: TextNode) -> tuple[int, ...]:
    """The nodes that a node is a function of."""
    found: list[int] = []
    for one in fields(node):
        if one.name in _READS:
            value = getattr(node, one.name)
            found += value if isinstance(value, tuple) else [value]
    return tuple(found)


def pruned(program: TextProgram) -> TextProgram:
    """The program without nodes that no output needs."""
    needed: set[int] = set()
    pending = [output.node for output in program.outputs]
    while pending:
        number = pending.pop()
        if number not in needed:
            needed.add(number)
            pending += reads(program.nodes[number])
    place = {number: position for position, number in enumerate(sorted(needed))}

    def moved(node: TextNode) -> TextNode:
        changes: dict[str, Any] = {}
        for one in fields(node):
            if one.name in _READS:
                value = getattr(node, one.name)
                changes[one.name] = tuple(place[part] for part in value) if isinstance(value, tuple) else place[value]
        return replace(node, **changes)

    nodes = tuple(moved(program.nodes[number]) for number in sorted(needed))
    return TextProgram(program.argument, nodes, tuple(replace(output, node=place[output.node]) for output in program.outputs))


MOST_CHOICES = 1 << 16  # texts that a node may give, to be listed


def choices(nodes: Sequence[TextNode], number: int) -> tuple[str, ...] | None:
    """The texts that a node may give, in order; None where nothing but its argument tells."""
    found: set[str] = set()
    pending = [number]
    while pending:
        match nodes[pending.pop()]:
            case TextConstant(str(value), None):
                found.add(value)
            case Found(values=values, otherwise=otherwise, dtype=None):
                found.update(map(str, (*values, otherwise)))
            case Computed("select", (_, *parts), None):
                pending += parts
            case _:
                return None
        if len(found) > MOST_CHOICES:
            return None
    return tuple(sorted(found))


def bounds(nodes: Sequence[TextNode], number: int) -> tuple[int, int] | None:
    """Between which integers all lie that a node gives; None where that is not known."""
    match nodes[number]:
        case TextConstant(int(value)):
            return value, value
        case HashBucket(buckets=buckets):
            return 0, buckets - 1
        case Found(values=values, otherwise=otherwise):
            integers = [value for value in (*values, otherwise) if isinstance(value, int)]
            return (min(integers), max(integers)) if len(integers) > len(values) else None
        case FirstOf(items, _, int(padding)):
            inner = bounds(nodes, items)
            return inner and (min(inner[0], padding), max(inner[1], padding))
        case Computed("select", (_, first, second)):
            one, other = bounds(nodes, first), bounds(nodes, second)
            return (min(one[0], other[0]), max(one[1], other[1])) if one and other else None
        case Computed("add" | "multiply" as function, (first, second)):
            one, other = bounds(nodes, first), bounds(nodes, second)
            if one is None or other is None:
                return None
            ends = [a + b if function == "add" else a * b for a in one for b in other]
            return min(ends), max(ends)
        case Computed("cast", (inner_number,)):
            return bounds(nodes, inner_number)
        case _:
            return None


def narrowest(nodes: Sequence[TextNode], number: int, dtype: NumberType) -> NumberType:
    """The least type that holds what a node gives, which is of `dtype`: tables of it take less memory."""
    node = nodes[number]
    if isinstance(node, Histogram):
        return node.dtype
    known = bounds(nodes, number)
    if known is None or not dtype.startswith("int"):
        return dtype
    types: tuple[tuple[NumberType, int], ...] = (("int8", 7), ("int16", 15), ("int32", 31))
    for narrow, bits in types:
        if -(1 << bits) <= known[0] and known[1] < 1 << bits:
            return narrow if int(dtype[3:]) > bits + 1 else dtype
    return dtype
