"""Scalar functions in the syntax tree: sqlglot's many classes of them in DuckDB's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import Token, TokenType, exp

from qtensor.bind.catalog import Catalog
from qtensor.bind.context import Context
from qtensor.bind.expressions.build import Operand
from qtensor.bind.expressions.functions import bind_function
from qtensor.bind.expressions.macros import MACROS
from qtensor.bind.text.grammar_units import GRAMMAR_UNITS
from qtensor.bind.text.source import QueryText
from qtensor.bind.text.syntax import call_arguments
from qtensor.errors import Span
from qtensor.functions.operators import StringLiteral
from qtensor.functions.scalars.registry import SCALARS
from qtensor.types import Null


@dataclass(frozen=True)
class ScalarCall:
    """A call as DuckDB has it: the function's name, its arguments, and the name that the query writes."""

    name: str
    arguments: tuple[exp.Expr, ...]
    written: str


# Classes whose DuckDB name or order of arguments differs from sqlglot's.
NAMES: dict[type[exp.Expr], str] = {
    exp.Pow: "power",
    exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|",
    exp.BitwiseXor: "xor",
    exp.BitwiseNot: "~",
    exp.BitwiseLeftShift: "<<",
    exp.BitwiseRightShift: ">>",
    exp.IsNan: "isnan",
    exp.IsInf: "isinf",
    exp.TimeToStr: "strftime",
    exp.ToDays: "to_days",
    exp.StrToTime: "strptime",
    exp.StrPosition: "strpos",
    exp.StartsWith: "starts_with",
    exp.EndsWith: "ends_with",
    exp.SplitPart: "split_part",
    exp.RegexpLike: "regexp_matches",
    exp.RegexpFullMatch: "regexp_full_match",
    exp.SimilarTo: "regexp_full_match",
    exp.MD5: "md5",
    exp.DayOfMonth: "day",
    exp.DayOfWeek: "dayofweek",
    exp.DayOfWeekIso: "isodow",
    exp.DayOfYear: "dayofyear",
    exp.WeekOfYear: "week",
    exp.Substring: "substring",
    exp.TimeToUnix: "epoch",
    exp.DateFromParts: "make_date",
    exp.TimestampFromParts: "make_timestamp",
}
# The names of those that are written as operators, or in words.
_OPERATORS: dict[type[exp.Expr], str] = {exp.StartsWith: "^@", exp.StrPosition: "position"}
# Functions that calls are bound to, and that a query cannot call by their names.
_UNWRITTEN = ("glob", "append", "log_of_base", "part_number", "finite_moment", "infinite_day", "regexp_nothing")
_SCALES = {"3": "epoch_ms", "6": "make_timestamp"}


def scalar_call(node: exp.Expr, source: QueryText, catalog: Catalog | None = None) -> ScalarCall | None:
    """The call of one of DuckDB's scalar functions that `node` is, as far as they are supported; None for all else.

    A model of the catalog comes before a function of the same name.
    """
    call = _read(node, source)
    if call is None or (catalog is not None and isinstance(node, exp.Func) and catalog.model(call.written) is not None):
        return None
    return call


def _read(node: exp.Expr, source: QueryText) -> ScalarCall | None:
    match node:
        case exp.Anonymous():
            name, arguments = node.name.lower(), list(node.expressions)
            if name in _UNWRITTEN:
                return None
        case exp.Extract():
            part = source.extracted_part(node)
            name, arguments = "date_part", [_unit(node.this) if part is None else _written_unit(part), node.expression]
        case exp.DateTrunc() | exp.TimestampTrunc():
            name, arguments = "date_trunc", [_unit(node.args["unit"], node, source), node.this]
        case exp.DateDiff():
            name, arguments = "date_diff", [_unit(node.args.get("unit"), node, source), node.expression, node.this]
        case exp.UnixToTime() if (scale := node.args.get("scale")) is not None and scale.name in _SCALES:
            name, arguments = _SCALES[scale.name], [node.this]
        case exp.Trim():
            name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or ""), "trim")
            arguments = [node.this] + ([node.expression] if node.args.get("expression") else [])
        case exp.Pad():
            name, arguments = "lpad" if node.args.get("is_left") else "rpad", call_arguments(node)
        case exp.RegexpILike():
            name, arguments = "regexp_matches", [node.this, node.expression, exp.Literal.string("i")]
        case exp.RegexpExtract():
            # sqlglot adds a group where none is written.
            written = [node.args.get(key) for key in ("this", "expression", "group", "parameters")]
            name, arguments = "regexp_extract", [part for part in written if part is not None]
            if isinstance(arguments[2], exp.Literal) and source.span(arguments[2]) is None and len(arguments) == 3:
                arguments.pop()
        case exp.SHA2() if node.args.get("length") is not None and node.args["length"].name == "256":
            name, arguments = "sha256", [node.this]
        case exp.Log():
            base = node.args.get("expression") is not None
            name, arguments = "log", [node.this] + ([node.expression] if base else [])
            if source.span(node.this) is None and base:  # log2(x) and log10(x), where sqlglot writes the base
                name, arguments = f"log{node.this.name}", [node.expression]
        case exp.Abs() if source.text(node) is None:
            name, arguments = "@", [node.this]
        case exp.Mod() if source.text(node) is not None:
            name, arguments = "mod", [node.this, node.expression]
        case exp.Glob():
            name, arguments = "glob", [node.this, node.expression]
        case exp.DPipe():
            name, arguments = "||", [node.this, node.expression]
        case exp.TimeToStr() | exp.StrToTime():
            name, arguments = NAMES[type(node)], [node.this, node.args["format"]]
            if arguments[1].name == "None" and "'None'" not in source.sql:  # what sqlglot makes of an empty format
                arguments[1] = exp.Literal.string("")
        case _ if type(node) in NAMES:
            name, arguments = NAMES[type(node)], call_arguments(node)
        case exp.Func():
            name, arguments = node.sql_name().lower(), call_arguments(node)
        case _:
            return None
    if (name not in SCALARS and name not in MACROS) or name.startswith("timezone"):  # date_part alone takes those
        return None
    shown = source.word(node) or _OPERATORS.get(type(node), name)
    return ScalarCall(name, tuple(arguments), shown.lower())


def _written_unit(part: Token) -> exp.Expr:
    """A part that EXTRACT names, as DuckDB prints it: keywords of its grammar in one spelling."""
    known = None if part.token_type in (TokenType.STRING, TokenType.IDENTIFIER) else GRAMMAR_UNITS.get(part.text.upper())
    return exp.Literal.string(known or part.text)


def _unit(unit: exp.Expr | None, node: exp.Func | None = None, source: QueryText | None = None) -> exp.Expr:
    """A unit as the text that DuckDB takes. sqlglot makes no difference between 'year' and a column of the name year."""
    if unit is None:
        return exp.Literal.string("DAY")
    if not isinstance(unit, exp.Var):
        return unit
    written = source.first_argument(node) if source is not None and node is not None else None
    if written is not None and written.token_type == TokenType.STRING and written.text.upper() == unit.name.upper():
        return exp.Literal.string(written.text)
    spelled = None if written is None else exp.TimeUnit.UNABBREVIATED_UNIT_NAME.get(written.text.upper(), written.text.upper())
    if written is not None and written.token_type != TokenType.STRING and spelled == unit.name.upper():
        column = exp.column(written.text)
        column.this.meta.update(start=written.start, end=written.end)
        return column
    shown = GRAMMAR_UNITS.get(unit.name.upper())
    return exp.Literal.string(shown or unit.name.lower())


def _is_ambiguous(name: str, operands: Sequence[Operand]) -> bool:
    """Whether DuckDB cannot choose between the overloads of texts and those of lists and structs, which are not here."""
    kinds = [operand.type for operand in operands]
    match name:
        case "contains":
            return len(kinds) == 2 and isinstance(kinds[1], Null) and isinstance(kinds[0], StringLiteral | Null)
        case "make_date":
            return len(kinds) == 1 and isinstance(kinds[0], StringLiteral)
        case _:
            return False


def bind_scalar(context: Context, call: ScalarCall, operands: Sequence[Operand], span: Span | None) -> Operand:
    """The value of a scalar call whose arguments are bound.

    Raises:
        BindError: no overload takes the operands, or a constant that the function does not know.
    """
    if _is_ambiguous(call.name, operands):
        message = f"{call.name} of these could mean texts or lists; an explicit cast is needed"
        raise context.error(message, span)
    if call.name in MACROS:
        return MACROS[call.name](context, operands, span)
    return bind_function(context, call.name, operands, span, call.written)
