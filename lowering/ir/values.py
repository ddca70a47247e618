"""What an SQL expression is while it is compiled, and what the host computes for a kernel before each run.

`Value` is an SQL value as references into a kernel. Text lives in dictionaries on the host: a kernel sees codes, and
whatever it must know of the text (the code of a literal, which codes match a pattern, how codes of one dictionary map
to another's) reaches it as run-time scalars and tables described here. Descriptions are data, so that new
dictionaries and literals need no new program.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal as Literals
from typing import TypeAlias

from qtensor.errors import Span
from qtensor.lowering.ir.kernel import DType, Ref
from qtensor.lowering.ir.ranges import Range
from qtensor.lowering.storage.levels import Level
from qtensor.types import SqlType

DOMAIN = 1 << 17  # values that a number may have as an argument of a function of the host: the seconds of a day are fewer
COMBINATIONS = 1 << 16  # of arguments that differ by row, where there are several


@dataclass(frozen=True)
class ColumnDictionary:
    """The strings of a table's column; distinct and sorted as far as `level` says."""

    table: str
    column: int
    level: Level = "ordered"


@dataclass(frozen=True)
class LiteralDictionary:
    """The sorted distinct values of VARCHAR literals, by their slots."""

    literals: tuple[int, ...]


@dataclass(frozen=True)
class UnionDictionary:
    """The sorted distinct strings of several dictionaries."""

    parts: tuple[Dictionary, ...]


@dataclass(frozen=True)
class FormattedDictionary:
    """The texts of all values of `type` from `low` to `high`, sorted: CAST of a small range to VARCHAR."""

    type: SqlType
    low: int
    high: int


@dataclass(frozen=True)
class Domain:
    """The values of `type` from `low` to `high`, as storage holds them: what an argument of few values may be."""

    type: SqlType
    low: int
    high: int


@dataclass(frozen=True)
class Choices:
    """An argument that differs by row: one of at most `size` values, or with `nullable` NULL, which stands at index `size`."""

    values: Dictionary | Domain
    size: int
    nullable: bool = False

    @property
    def stride(self) -> int:
        return self.size + self.nullable


@dataclass(frozen=True)
class HostCall:
    """A scalar function evaluated by the host for each combination of what its arguments may be.

    `arguments` are slots of literals and `Choices`; the index of a combination counts the last choice fastest.
    """

    function: str
    arguments: tuple[int | Choices, ...]

    @property
    def choices(self) -> tuple[Choices, ...]:
        return tuple(argument for argument in self.arguments if isinstance(argument, Choices))

    @property
    def size(self) -> int:
        """How many combinations there are."""
        return math.prod(choice.stride for choice in self.choices)


@dataclass(frozen=True)
class MappedDictionary:
    """The sorted distinct texts that a function gives."""

    call: HostCall


@dataclass(frozen=True)
class JoinedDictionary:
    """The texts that string_agg makes of the strings of `parts`, by the number of the group. There are none before a run:
    what is made of its list number `number` (see `ListAccumulator`) can be given out, and nothing else.
    """

    number: int
    parts: Dictionary
    separator: int  # the slot of a literal


@dataclass(frozen=True)
class WrittenDictionary:
    """The texts of values of `type`, which are too many to be written before a run: CAST to VARCHAR. A code is the value itself,
    int64, of a float its order key. The texts of a result's codes are written when it is decoded; they can be given out, and
    nothing else.
    """

    type: SqlType


@dataclass(frozen=True)
class LatePart:
    """An argument that differs by row: which of the value's `elements` hold its data and whether it is valid (None: always)."""

    type: SqlType
    data: int
    valid: int | None
    dictionary: Dictionary | None


@dataclass(frozen=True)
class LateCall:
    """A scalar function of text that is evaluated for the rows of a result. `arguments` are slots of literals, parts, and other
    such calls; `valid`: which element says that the call itself is not NULL, whatever its arguments are (None: none does).
    """

    function: str
    arguments: tuple[int | LatePart | LateCall, ...]
    valid: int | None = None
    span: Span | None = field(default=None, compare=False)

    def moved(self, by: int, valid: int | None) -> LateCall:
        """The same call where its elements begin at number `by`; `valid` as it is there."""
        arguments: list[int | LatePart | LateCall] = []
        for argument in self.arguments:
            match argument:
                case LatePart(type, data, own, dictionary):
                    arguments.append(LatePart(type, data + by, None if own is None else own + by, dictionary))
                case LateCall():
                    arguments.append(argument.moved(by, None if argument.valid is None else argument.valid + by))
                case _:
                    arguments.append(argument)
        return LateCall(self.function, tuple(arguments), valid, self.span)


@dataclass(frozen=True)
class CalledDictionary:
    """The texts that a function gives for the values of several columns which have too many combinations to be made before a run.
    A value has its arguments as `elements`. The texts of a result are made when it is decoded; they can be given out, and nothing
    else.
    """

    call: LateCall


Dictionary: TypeAlias = (
    ColumnDictionary
    | LiteralDictionary
    | UnionDictionary
    | FormattedDictionary
    | MappedDictionary
    | JoinedDictionary
    | WrittenDictionary
    | CalledDictionary
)


@dataclass(frozen=True)
class LiteralScalar:
    """A numeric literal times `factor`, brought into [low, high] if given: a comparison cannot tell the difference."""

    literal: int
    dtype: DType
    factor: int = 1
    clamp: Range | None = None


@dataclass(frozen=True)
class CodeOf:
    """The code of a VARCHAR literal in a dictionary, -1 when it is not there. int64."""

    literal: int
    dictionary: Dictionary


@dataclass(frozen=True)
class PositionOf:
    """How many strings of the dictionary are less than the literal (`inclusive`: or equal to it). int64."""

    literal: int
    dictionary: Dictionary
    inclusive: bool


@dataclass(frozen=True)
class LeastOf:
    """The least value of a table's column in the block at hand; 0 where there is none. int64."""

    table: str
    column: int


HostScalar: TypeAlias = LiteralScalar | CodeOf | PositionOf | LeastOf


@dataclass(frozen=True)
class LikeTable:
    """bool[dictionary]: which strings match a LIKE pattern."""

    dictionary: Dictionary
    pattern: int
    escape: int | None
    ignore_case: bool


@dataclass(frozen=True)
class MemberTable:
    """bool[dictionary]: which strings are among the literals."""

    dictionary: Dictionary
    literals: tuple[int, ...]


@dataclass(frozen=True)
class RemapTable:
    """int32[source]: the code of each string of `source` in `target`, -1 if it is not there."""

    source: Dictionary
    target: Dictionary


@dataclass(frozen=True)
class FormatTable:
    """int32[high - low + 1]: the code of each value's text in a FormattedDictionary."""

    dictionary: FormattedDictionary


@dataclass(frozen=True)
class ParsedTable:
    """The strings of a dictionary converted to `type` (int64, float64 or bool [dictionary]); 0 where that fails."""

    dictionary: Dictionary
    type: SqlType


@dataclass(frozen=True)
class ParsesTable:
    """bool[dictionary]: which strings convert to `type`."""

    dictionary: Dictionary
    type: SqlType


@dataclass(frozen=True)
class ResultTable:
    """What a function gives for each combination, as storage holds it (int64, float64 or bool); 0 for NULL.

    Of texts, the codes in the function's MappedDictionary, int32.
    """

    call: HostCall
    type: SqlType


@dataclass(frozen=True)
class ResultTest:
    """bool[combinations]: where the result is not NULL (`test` "valid"), or where the function fails ("failed")."""

    call: HostCall
    test: Literals["valid", "failed"]


@dataclass(frozen=True)
class ListedTable:
    """The values of literals one after the other, 0 for the literal -1, which is NULL; of texts their codes in `dictionary`."""

    literals: tuple[int, ...]
    dictionary: LiteralDictionary | None


@dataclass(frozen=True)
class NumberTable:
    """bool[high - low + 1]: which of the integers from low to high are among the literals."""

    literals: tuple[int, ...]
    low: int
    high: int


@dataclass(frozen=True)
class NumbersTable:
    """int64[literals]: the literals in ascending order, the last one repeated; floats of `bits` bits by their order keys."""

    literals: tuple[int, ...]
    bits: int | None


@dataclass(frozen=True)
class ModelTable:
    """What a text program of a model gives for each string of a dictionary, as `dtype` of that output: [dictionary], or flat
    [dictionary * width]. output: its number among those of all the model's programs.
    """

    dictionary: Dictionary
    model: str
    output: int


HostTable: TypeAlias = (
    LikeTable
    | MemberTable
    | RemapTable
    | FormatTable
    | ParsedTable
    | ParsesTable
    | ResultTable
    | ResultTest
    | ListedTable
    | NumberTable
    | NumbersTable
    | ModelTable
)


@dataclass(frozen=True)
class Value:
    """An SQL value of a batch's rows: `data` and, where it can be NULL, `valid`, both [CHUNK].

    Integers, decimals (unscaled), dates, timestamps and codes of text carry the `range` of their data, also of invalid rows.
    `low` makes a two-limb integer: data * 2**32 + low with 0 <= low < 2**32. `elements` are the scores of an ARRAY, or
    what the text of a `CalledDictionary` is made of.
    `may_be_nan` is False for floats proven free of NaN and of denormal numbers, which the machine compares as SQL does.
    """

    type: SqlType
    data: Ref
    valid: Ref | None = None
    range: Range | None = None
    dictionary: Dictionary | None = None
    low: Ref | None = None
    elements: tuple[Ref, ...] = ()
    may_be_nan: bool = True
