"""A query as C++ source: the constant `qtensor_query` that the engine reads (src/qtensor_query.h), and an adapter a program."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from qtensor.errors import InternalError, NativeError
from qtensor.expressions import Literal
from qtensor.lowering.host.inputs import HostInputs
from qtensor.lowering.ir.physical import LateSlot, OutputColumn, PlannedQuery, SizedTable, Slot, SourceColumn, SourceSlot
from qtensor.lowering.ir.values import (
    CalledDictionary,
    CodeOf,
    ColumnDictionary,
    Dictionary,
    Domain,
    FormatTable,
    FormattedDictionary,
    HostScalar,
    JoinedDictionary,
    LeastOf,
    LikeTable,
    ListedTable,
    LiteralDictionary,
    LiteralScalar,
    MappedDictionary,
    MemberTable,
    ModelTable,
    NumbersTable,
    NumberTable,
    ParsedTable,
    ParsesTable,
    PositionOf,
    RemapTable,
    ResultTable,
    ResultTest,
    UnionDictionary,
    WrittenDictionary,
)
from qtensor.types import VARCHAR, Array, Boolean, Date, Decimal, Float, Integer, Null, SqlType, Timestamp, Varchar

DTYPES = {
    "bool": "Bool", "int8": "Int8", "int16": "Int16", "int32": "Int32", "int64": "Int64",
    "float32": "Float32", "float64": "Float64",
}  # fmt: skip
NOWHERE = "{-1, false, false}"


@dataclass(frozen=True)
class Program:
    """A compiled function: its C++ name, and [dtype's name, shape] of its arguments and results."""

    name: str
    arguments: tuple[tuple[str, tuple[int, ...]], ...]
    results: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def generated_class(self) -> str:
        return f"Generated_{self.name}"


@dataclass(frozen=True)
class NativeForm:
    """A form with its programs, by function."""

    kind: str
    rows: int
    planned: PlannedQuery
    programs: Mapping[str, Program]


@dataclass(frozen=True)
class NativeQuery:
    """All of a query but its programs' code. strings: of VARCHAR columns, how many different ones at most, by index."""

    sql: str
    table: str | None
    columns: tuple[SourceColumn, ...]
    names: Mapping[int, str]
    types: Mapping[int, SqlType]
    strings: Mapping[int, int]
    forms: tuple[NativeForm, ...]
    weights: tuple[NDArray[Any], ...]

    @property
    def calls_models(self) -> bool:
        return bool(self.forms[0].planned.plan.models)


def program_source(program: Program) -> str:
    """The adapter of a program, around the class that tfcompile wrote."""
    return f"""\
#include "{program.name}.h"
#include "program.h"

{array("size_t", "argument_bytes", [str(size_of(shape, dtype)) for dtype, shape in program.arguments])}
{array("size_t", "result_bytes", [str(size_of(shape, dtype)) for dtype, shape in program.results])}
extern const qtensor::Program program_{program.name};
const qtensor::Program program_{program.name} = qtensor::program<{program.generated_class}>(argument_bytes, result_bytes);
"""


def query_source(query: NativeQuery, name: str) -> str:
    """The constant `qtensor_query`, with all that it points at. Weights are in an object of their own (`weights_source`)."""
    programs = [program for form in query.forms for program in form.programs.values()]
    positions = {column.index: position for position, column in enumerate(query.columns)}
    forms = [FormSource(f"form{number}", form, query.table, positions) for number, form in enumerate(query.forms)]
    written = [form.written() for form in forms]
    unsupported = sorted({problem for form in forms for problem in form.unsupported})
    if unsupported:
        raise NativeError("native libraries cannot do this yet:\n" + "\n".join(f"  {problem}" for problem in unsupported))
    weights = [f"{{weight{number}, {weight.nbytes}}}" for number, weight in enumerate(query.weights)]
    return "\n".join(
        (
            '#include "qtensor_query.h"',
            "using namespace qtensor;",
            "using Text = const char*;",
            *(f"extern const Program program_{program.name};" for program in programs),
            *(f"extern const char weight{number}[];" for number in range(len(weights))),
            *(declaration for form in forms for declaration in form.declarations),
            array("Column", "columns", [column_source(query, column) for column in query.columns]),
            array("Weight", "weights", weights),
            array("Form", "forms", written),
            f"extern const Query qtensor_query;\nconst Query qtensor_query = {{{text(name)}, {text(query.sql)}, "
            f"{'nullptr' if query.table is None else text(query.table)}, columns, {len(query.columns)}, forms, {len(forms)}, "
            f"weights, {len(weights)}}};\n",
        )
    )


def weights_source(folder: str, weights: Sequence[NDArray[Any]]) -> str:
    """The weights as assembly that includes the files `folder`/weight0.bin and so on: nothing for a compiler to read."""
    lines = ['.section .rodata.weights,"a"']
    for number in range(len(weights)):
        symbol = f"weight{number}"
        lines += [".balign 64", f".hidden {symbol}", f".globl {symbol}", f"{symbol}:", f'.incbin "{folder}/{symbol}.bin"']
    return "\n".join([*lines, ".balign 64", '.section .note.GNU-stack,"",%progbits', ""])


def column_source(query: NativeQuery, column: SourceColumn) -> str:
    low, high = (0, 0) if column.range is None else (column.range.low, column.range.high)
    parts = (
        text(query.names[column.index]), type_source(query.types[column.index]), dtype_source(column.dtype),
        boolean(column.nullable), boolean(column.range is not None), integer(low), integer(high), boolean(column.may_be_nan),
        str(query.strings.get(column.index, -1)),
    )  # fmt: skip
    return braces(parts)


@dataclass
class FormSource:
    """Writes one form; `declarations` collects the arrays that it points at, `unsupported` what cannot be written."""

    prefix: str
    form: NativeForm
    table: str | None
    columns: Mapping[int, int]  # position among the query's columns, by index in the table
    declarations: list[str] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)
    dictionaries: dict[Dictionary, int] = field(default_factory=dict)
    dictionary_sources: list[str] = field(default_factory=list)

    def written(self) -> str:
        planned, programs = self.form.planned, self.form.programs
        plan = planned.plan
        functions = [f"&program_{programs[name].name}" if name in programs else "nullptr"
                     for name in ("whole", "start", "step", "merge", "finish")]  # fmt: skip
        last = programs["whole"] if "whole" in programs else programs["finish"]
        kind = {"whole": "Whole", "by_rows": "ByRows", "by_state": "ByState"}[self.form.kind]
        if plan.source.rows > 1:
            self.unsupported.append("VALUES of several rows")
        parts = [f"Form::{kind}", str(self.form.rows), str(plan.source.chunk), *functions]
        parts += self.list("Literal", "literals", [self.literal(literal) for literal in planned.literals])
        scalars = [self.scalar(scalar) for scalar in plan.scalars]
        float_scalars = [str(self.float_scalar(scalar)) for scalar in plan.float_scalars]
        tables = [self.look_up(number, sized) for number, sized in enumerate(plan.tables)]
        outputs = [self.output(number, output) for number, output in enumerate(planned.output)]
        parts += self.list("Dictionary", "dictionaries", self.dictionary_sources)
        parts += self.list("Scalar", "scalars", scalars)
        parts += self.list("int32_t", "float_scalars", float_scalars)
        parts += self.list("Table", "tables", tables)
        parts += self.list("Text", "checks", [text(check.message) for check in planned.checks])
        parts += self.list("DType", "sink_types", [dtype_source(dtype) for dtype, _ in last.results[:-2]])
        parts += self.list("Output", "outputs", outputs)
        return braces(parts)

    def list(self, type: str, name: str, items: Sequence[str]) -> tuple[str, str]:
        """Declare an array: its name and its length."""
        full = f"{self.prefix}_{name}"
        self.declarations.append(array(type, full, items))
        return full, str(len(items))

    def literal(self, literal: Literal) -> str:
        value = literal.value
        whole, real, string = 0, 0.0, ""
        match value:
            case None:
                pass
            case bool() | int():
                whole, real = int(value), float(value)
            case float():
                real = value
            case str():
                string = value
            case _:
                self.unsupported.append(f"the literal {value!r} of type {literal.type}")
        if not -(1 << 63) <= whole < 1 << 63:
            whole = 0  # used by nothing that a program takes: scalars are checked below
        parts = (
            type_source(literal.type),
            boolean(value is None),
            integer(whole),
            double(real),
            text(string),
            byte_count(string),
        )
        return braces(parts)

    def scalar(self, scalar: HostScalar) -> str:
        match scalar:
            case LiteralScalar(literal, _, factor, clamp):
                value = self.form.planned.literals[literal].value
                if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
                    # Beyond 64 bits: what the program is given is known already, and a literal cannot change.
                    bound = HostInputs(self.form.planned.literals, no_dictionary).scalar(scalar)
                    return braces(("Scalar::Value", str(literal), "0", "true", integer(bound), integer(bound), "-1", "false"))
                low, high = (0, 0) if clamp is None else (clamp.low, clamp.high)
                parts = ("Scalar::Value", str(literal), integer(factor), boolean(clamp is not None), integer(low), integer(high),
                         "-1", "false")  # fmt: skip
            case CodeOf(literal, dictionary):
                parts = ("Scalar::CodeOf", str(literal), "1", "false", "0", "0", str(self.dictionary(dictionary)), "false")
            case PositionOf(literal, dictionary, inclusive):
                parts = ("Scalar::PositionOf", str(literal), "1", "false", "0", "0", str(self.dictionary(dictionary)),
                         boolean(inclusive))  # fmt: skip
            case LeastOf():
                raise InternalError("no program of a library is about blocks of its own")
            case _:
                assert_never(scalar)
        return braces(parts)

    def float_scalar(self, scalar: HostScalar) -> int:
        if not isinstance(scalar, LiteralScalar):
            raise InternalError("a scalar of type float64 is no literal")
        return scalar.literal

    def dictionary(self, dictionary: Dictionary) -> int:
        """The dictionary's number; those that it is made of stand before it."""
        if dictionary not in self.dictionaries:
            source = self.dictionary_source(dictionary)
            self.dictionaries[dictionary] = len(self.dictionary_sources)
            self.dictionary_sources.append(source)
        return self.dictionaries[dictionary]

    def dictionary_source(self, dictionary: Dictionary) -> str:
        nothing = ("nullptr", "nullptr", "0")
        match dictionary:
            case ColumnDictionary(column=column):
                return braces(("Dictionary::OfColumn", str(self.columns[column]), "nullptr", "0", *nothing))
            case LiteralDictionary(literals):
                members = self.numbers([str(literal) for literal in literals])
                return braces(("Dictionary::OfLiterals", "-1", *members, *nothing))
            case UnionDictionary(parts):
                members = self.numbers([str(self.dictionary(part)) for part in parts])
                return braces(("Dictionary::OfUnion", "-1", *members, *nothing))
            case MappedDictionary(call) if of_column(dictionary):
                self.unsupported.append(f"{call.function} of a VARCHAR column")
                return braces(("Dictionary::Static", "-1", "nullptr", "0", *nothing))
            case FormattedDictionary() | MappedDictionary():
                texts = HostInputs(self.form.planned.literals, no_dictionary).strings(dictionary).to_pylist()
                names, count = self.list("Text", f"texts{len(self.declarations)}", [text(string) for string in texts])
                sizes, _ = self.list("size_t", f"sizes{len(self.declarations)}", [byte_count(string) for string in texts])
                return braces(("Dictionary::Static", "-1", "nullptr", "0", names, sizes, count))
            case JoinedDictionary() | CalledDictionary():
                raise InternalError("texts that are made after a run are refused before code is generated")
            case WrittenDictionary():
                self.unsupported.append(f"texts of a {dictionary.type} of more values than can be listed")
                return braces(("Dictionary::Static", "-1", "nullptr", "0", *nothing))
            case _:
                assert_never(dictionary)

    def numbers(self, items: Sequence[str]) -> tuple[str, str]:
        return self.list("int32_t", f"numbers{len(self.declarations)}", items)

    def look_up(self, number: int, sized: SizedTable) -> str:
        end = (str(sized.size), dtype_source(sized.dtype))
        content, literals = "nullptr", ("nullptr", "0")
        kind, dictionary, target, pattern, escape, ignore_case = "Static", -1, -1, -1, -1, False
        match sized.table:
            case LikeTable(of, pattern_literal, escape_literal, ignores):
                kind, dictionary, pattern, ignore_case = "Like", self.dictionary(of), pattern_literal, ignores
                escape = -1 if escape_literal is None else escape_literal
            case MemberTable(of, members):
                kind, dictionary, literals = "Member", self.dictionary(of), self.numbers([str(member) for member in members])
            case RemapTable(of, onto):
                kind, dictionary, target = "Remap", self.dictionary(of), self.dictionary(onto)
            case FormatTable(of) | ParsedTable(of) | ParsesTable(of):
                content = self.static(number, sized, of, "a CAST")
            case ResultTable(call) | ResultTest(call):
                content = self.static(number, sized, MappedDictionary(call), call.function)
            case ListedTable():
                content = self.content(number, sized)
            case ModelTable(model=model):
                self.unsupported.append(f'text as an argument of the model "{model}"')
            case NumberTable(members) | NumbersTable(members):
                if any(self.form.planned.literals[member].parameter is not None for member in members):
                    self.unsupported.append(f"parameters among {len(members)} values of IN")
                content = self.content(number, sized)
            case _:
                assert_never(sized.table)
        parts = (f"Table::{kind}", str(dictionary), str(target), str(pattern), str(escape), boolean(ignore_case), *literals,
                 content, *end)  # fmt: skip
        return braces(parts)

    def static(self, number: int, sized: SizedTable, dictionary: Dictionary, what: str) -> str:
        """A table whose content is known now."""
        if of_column(dictionary):
            self.unsupported.append(f"{what} of a VARCHAR column")
            return "nullptr"
        return self.content(number, sized)

    def content(self, number: int, sized: SizedTable) -> str:
        values = HostInputs(self.form.planned.literals, no_dictionary).table(sized)
        words = np.frombuffer(values.tobytes() + bytes(-values.nbytes % 8), np.int64)
        name, _ = self.list("int64_t", f"content{number}", [integer(int(word)) for word in words])
        return name

    def output(self, number: int, output: OutputColumn) -> str:
        elements = self.list("Slot", f"elements{number}", [self.slot(slot) for slot in output.elements])
        dictionary = "-1" if output.dictionary is None else str(self.dictionary(output.dictionary))
        parts = (text(output.name), type_source(output.type), self.slot(output.data), self.slot(output.valid),
                 self.slot(output.low), *elements, dictionary)  # fmt: skip
        return braces(parts)

    def slot(self, slot: Slot | None) -> str:
        match slot:
            case None:
                return NOWHERE
            case SourceSlot(column, validity):
                return braces((str(self.columns[column]), "true", boolean(validity)))
            case LateSlot():
                raise InternalError("a library has no table beside its programs")
            case index:
                return braces((str(index), "false", "false"))


def of_column(dictionary: Dictionary) -> bool:
    """Whether a dictionary is known only with the data."""
    match dictionary:
        case ColumnDictionary():
            return True
        case UnionDictionary(parts):
            return any(of_column(part) for part in parts)
        case MappedDictionary(call):
            return any(of_column(choice.values) for choice in call.choices if not isinstance(choice.values, Domain))
        case _:
            return False


def no_dictionary(table: str, column: int) -> Any:
    raise InternalError(f"column {column} of {table} is not known when a library is written")


def type_source(type: SqlType) -> str:
    """
    >>> print(type_source(Decimal(15, 2)))
    {Kind::Decimal, 0, true, 15, 2, 0, "DECIMAL(15,2)"}
    >>> from qtensor.types import Enum
    >>> print(type_source(Enum(("a", "b"))))
    {Kind::Varchar, 0, true, 0, 0, 0, "VARCHAR"}
    """
    bits, signed, precision, scale, length = 0, True, 0, 0, 0
    match type:
        case Integer():
            bits, signed = type.bits, type.signed
        case Decimal():
            precision, scale = type.precision, type.scale
        case Float():
            bits = type.bits
        case Array():
            bits, length = type.element.bits, type.length
        case Varchar():
            type = VARCHAR  # also an ENUM
        case Null() | Boolean() | Date() | Timestamp():
            pass
        case _:
            raise NativeError(f"native libraries have no {type}")
    kind = f"Kind::{type.__class__.__name__}"
    return braces((kind, str(bits), boolean(signed), str(precision), str(scale), str(length), text(str(type))))


def dtype_source(dtype: str) -> str:
    return f"DType::{DTYPES[dtype]}"


def array(type: str, name: str, items: Sequence[str]) -> str:
    """A constant array; C++ has none of no items, and one that nothing reads stands for it."""
    if not items:
        return f"static const {type}* const {name} = nullptr;"
    lines = ",\n".join(f"    {item}" for item in items)
    return f"static const {type} {name}[] = {{\n{lines}}};"


def braces(parts: Sequence[str]) -> str:
    return "{" + ", ".join(parts) + "}"


def boolean(value: bool) -> str:
    return "true" if value else "false"


def integer(value: int) -> str:
    """
    >>> integer(-(2**63))
    '(-9223372036854775807LL - 1)'
    """
    if value == -(1 << 63):
        return "(-9223372036854775807LL - 1)"
    return str(value) if abs(value) < 1 << 31 else f"{value}LL"


def double(value: float) -> str:
    if math.isfinite(value):
        return value.hex()
    return '__builtin_nan("")' if math.isnan(value) else f"{'-' if value < 0 else ''}__builtin_inf()"


def byte_count(value: str) -> str:
    return str(len(value.encode()))


def text(value: str) -> str:
    r"""A C string literal: what is not printable ASCII in octal, which ends after three digits.

    >>> print(text('say "é"?'))
    "say \"\303\251\"\?"
    """
    written = []
    for byte in value.encode():
        character = chr(byte)
        written.append(f"\\{character}" if character in '"\\?' else character if 32 <= byte < 127 else f"\\{byte:03o}")
    return '"' + "".join(written) + '"'


def size_of(shape: Sequence[int], dtype: str) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize
