"""The name that DuckDB gives to a column without an alias: its expression, printed in DuckDB's normal form."""

from __future__ import annotations

import re
from dataclasses import replace

from sqlglot import exp

from qtensor.bind.expressions.lists import in_brackets
from qtensor.bind.expressions.scalars import scalar_call
from qtensor.bind.select.window_syntax import WindowError, WrittenBound, written_window
from qtensor.bind.text.query_names import query_text
from qtensor.bind.text.source import QueryText
from qtensor.bind.text.syntax import call_arguments, connected, subscript_value
from qtensor.bind.text.words import quoted
from qtensor.functions.aggregates import AGGREGATES
from qtensor.values.intervals import unit_name

_OPERATORS: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.IntDiv: "//",
    exp.Mod: "%",
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.DPipe: "||",
    exp.Glob: "~~~",
    exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|",
    exp.BitwiseLeftShift: "<<",
    exp.BitwiseRightShift: ">>",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}
# What a comparison with ALL rows is the negation of, with ANY.
_NEGATED: dict[type[exp.Expr], str] = {
    exp.EQ: "!=",
    exp.NEQ: "=",
    exp.LT: ">=",
    exp.LTE: ">",
    exp.GT: "<=",
    exp.GTE: "<",
}
_LIKE = {(False, False): "~~", (False, True): "!~~", (True, False): "~~*", (True, True): "!~~*"}
_CALLS: dict[type[exp.Expr], str] = {
    exp.Abs: "abs",
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.Min: "min",
    exp.Max: "max",
    exp.Count: "count",
}
# The types that DuckDB's grammar knows as keywords are printed in one spelling, all others as the query writes them.
_GRAMMAR_TYPES = {
    "INT": "INTEGER",
    "INTEGER": "INTEGER",
    "SMALLINT": "SMALLINT",
    "BIGINT": "BIGINT",
    "REAL": "FLOAT",
    "FLOAT": "FLOAT",
    "DECIMAL": "DECIMAL",
    "DEC": "DECIMAL",
    "NUMERIC": "DECIMAL",
    "BOOLEAN": "BOOLEAN",
    "TIMESTAMP": "TIMESTAMP",
    "VARCHAR": "VARCHAR",
    "CHAR": "VARCHAR",
    "CHARACTER": "VARCHAR",
    "CHARACTER VARYING": "VARCHAR",
    "DOUBLE PRECISION": "DOUBLE",
    "INTERVAL": "INTERVAL",
}
_BIGINT_UNITS = ("HOUR", "MINUTE", "MICROSECOND")
_DOUBLE_UNITS = ("SECOND", "MILLISECOND")
_UNIT_PLURALS = {"MILLENNIUM": "millennia", "CENTURY": "centuries"}


def expression_name(node: exp.Expr, source: QueryText) -> str:
    """The output name of the expression `node` when it has no alias."""

    def name(part: exp.Expr) -> str:
        return expression_name(part, source)

    match node:
        case exp.Paren():
            return name(node.this)
        case exp.Column():
            return ".".join(name(part) if isinstance(part, exp.Star) else quoted(part.name) for part in node.parts)
        case exp.Identifier():
            return quoted(node.name)
        case exp.Literal():
            return "'" + node.name.replace("'", "''") + "'" if node.is_string else source.number_text(node)
        case exp.Null():
            return "NULL"
        case exp.Boolean():
            return "true" if node.this else "false"
        case exp.Star():
            return "*"
        case exp.Placeholder() | exp.Parameter():
            return f"${node.name}"
        case exp.Neg():
            return _negation_name(node, source)
        case exp.And() | exp.Or():
            word = " AND " if isinstance(node, exp.And) else " OR "
            return "(" + word.join(name(part) for part in connected(node)) + ")"
        case exp.Not():
            return _not_name(node, source)
        case exp.Is():
            return _is_name(node, source, negated=False)
        case exp.Between():
            return f"({name(node.this)} BETWEEN {name(node.args['low'])} AND {name(node.args['high'])})"
        case exp.In() if node.args.get("field") is not None:
            return f"contains({name(node.args['field'])}, {name(node.this)})"
        case exp.In() if in_brackets(node, source):
            return f"contains(list_value({', '.join(map(name, node.expressions))}), {name(node.this)})"
        case exp.In() if node.expressions:
            return f"({name(node.this)} IN ({', '.join(map(name, node.expressions))}))"
        case exp.In() if node.args.get("query") is not None:
            return f"({name(node.this)} = ANY({query_text(node.args['query'], name)}))"
        case exp.Exists():
            return f"EXISTS({query_text(node.this, name)})"
        case exp.Any():
            return f"ANY({query_text(node.this.unnest(), name)})"
        case exp.Subquery() | exp.Select():
            return f"({query_text(node, name)})"
        case exp.Binary() if type(node) in _NEGATED and isinstance(node.expression, exp.All):
            return f"(NOT ({name(node.this)} {_NEGATED[type(node)]} ANY({query_text(node.expression.this.unnest(), name)})))"
        case exp.Case():
            return _case_name(node, source)
        case exp.Cast():
            word = "TRY_CAST" if isinstance(node, exp.TryCast) else "CAST"
            return f"{word}({name(node.this)} AS {_type_name(node, source)})"
        case exp.Interval():
            return _interval_name(node, source)
        case exp.Escape() | exp.Like() | exp.ILike():
            return _like_name(node, source)
        case exp.Pow() if source.text(node) is None:
            return f"({name(node.this)} {_power_sign(node, source)} {name(node.expression)})"
        case exp.Try():
            return f"TRY({name(node.this)})"
        case exp.BitwiseNot():
            return f"(~({name(node.this)}))"
        case exp.Abs() if source.text(node) is None:
            return f"(@({name(node.this)}))"
        case exp.Binary() if type(node) in _OPERATORS and source.text(node) is None:
            return f"({name(node.this)} {_OPERATORS[type(node)]} {name(node.expression)})"
        case exp.Dot():
            return f"({name(node.this.unnest())}).{name(node.expression)}"
        case exp.Bracket():
            if isinstance(bounds := node.expressions[0], exp.Slice):
                ends = (bounds.args.get(key) for key in ("this", "expression"))
                return f"{name(node.this)}[{':'.join('' if end is None else name(end) for end in ends)}]"
            index = subscript_value(node)
            signed = index is None or isinstance(node.expressions[0].unnest(), exp.Anonymous)
            return f"{name(node.this)}[{name(node.expressions[0]) if signed else index}]"
        case exp.Filter():
            return f"{name(node.this)} FILTER (WHERE {name(node.expression.this)})"
        case exp.Distinct():
            return "DISTINCT " + ", ".join(map(name, node.expressions))
        case exp.Order():
            return f"{name(node.this)} ORDER BY {', '.join(_ordered_name(key, source) for key in node.expressions)}"
        case exp.Ordered():
            return _ordered_name(node, source)
        case exp.Tuple():
            return f'"row"({", ".join(map(name, node.expressions))})'
        case exp.IgnoreNulls():
            shown = name(node.this)  # sqlglot wraps every any_value so
            return shown if isinstance(node.this, exp.AnyValue) else f"{shown[:-1]} IGNORE NULLS)"
        case exp.Window():
            return _window_name(node, source)
        case exp.RespectNulls():
            return name(node.this)
        case exp.WithinGroup():
            return _within_group_name(node, source)
        case exp.Grouping() | exp.GroupingId():
            return f"GROUPING({', '.join(map(name, node.expressions))})"
        case exp.PropertyEQ() | exp.Kwarg():
            return f"{quoted(node.this.name)} := {name(node.expression)}"
        case exp.Array():
            return f"list_value({', '.join(map(name, node.expressions))})"
        case exp.Func() | exp.SimilarTo() | exp.BitwiseXor() | exp.Mod():
            return _call_name(node, source)
        case _:
            return node.sql("duckdb")


def _power_sign(node: exp.Pow, source: QueryText) -> str:
    """^ or **, as the query writes it."""
    operand = source.span(node.this)
    after = source.token_after(operand) if operand is not None else -1
    while source.upper_at(after) == ")":
        after += 1
    return source.upper_at(after) if source.upper_at(after) in ("^", "**") else "^"


def _negation_name(node: exp.Neg, source: QueryText) -> str:
    inner = node.this.unnest()
    shown = expression_name(inner, source)
    if isinstance(inner, exp.Literal) and not inner.is_string:
        return f"-{shown}"
    if isinstance(inner, exp.Neg) and isinstance(innermost := inner.this.unnest(), exp.Literal):
        return expression_name(innermost, source)
    return f"(-({shown}))"


def _not_name(node: exp.Not, source: QueryText) -> str:
    inner = node.this
    if isinstance(inner, exp.Is) and _is_not(inner, source):
        return _is_name(inner, source, negated=True)
    return f"(NOT {expression_name(inner, source)})"


def _is_not(node: exp.Is, source: QueryText) -> bool:
    """Whether the query says `x IS NOT ...` and not `NOT x IS ...`, for which sqlglot has one tree."""
    operand = source.span(node.this)
    if operand is None:
        return True
    after = source.token_after(operand)
    while source.upper_at(after) == ")":
        after += 1
    return source.upper_at(after) == "NOTNULL" or source.upper_at(after + 1) == "NOT"


def _is_name(node: exp.Is, source: QueryText, negated: bool) -> str:
    operand = expression_name(node.this, source)
    if isinstance(node.expression, exp.Null):
        return f"({operand} IS {'NOT ' if negated else ''}NULL)"
    relation = "IS DISTINCT FROM" if negated else "IS NOT DISTINCT FROM"
    return f"(CAST({operand} AS BOOLEAN) {relation} {expression_name(node.expression, source)})"


def _case_name(node: exp.Case, source: QueryText) -> str:
    subject = expression_name(node.this, source) if node.this else None
    parts = ["CASE "]
    for branch in node.args["ifs"]:
        condition = expression_name(branch.this, source)
        tested = f"({subject} = {condition})" if subject is not None else condition
        parts.append(f" WHEN ({tested}) THEN ({expression_name(branch.args['true'], source)})")
    default = node.args.get("default")
    parts.append(f" ELSE {expression_name(default, source) if default else 'NULL'} END")
    return "".join(parts)


def _type_name(node: exp.Cast, source: QueryText) -> str:
    written = source.written_type(node)
    if written is None:
        shown = node.to.sql("duckdb")
        return {"TEXT": "VARCHAR", "REAL": "FLOAT", "INT": "INTEGER"}.get(shown, shown)
    return replace(written, name=_GRAMMAR_TYPES.get(written.name.upper(), written.name)).text


def _interval_name(node: exp.Interval, source: QueryText) -> str:
    if node.this is None or node.args.get("unit") is None:
        return f"CAST({expression_name(node.this, source)} AS INTERVAL)"
    quantity = node.this.unnest()
    shown = expression_name(quantity, source)
    # sqlglot turns numbers into texts here, and a text of quantity and unit into two.
    if isinstance(quantity, exp.Literal) and quantity.is_string and source.text(quantity) is None:
        written = source.interval_text(node)
        if written is not None and written != quantity.name:
            return f"CAST('{written}' AS INTERVAL)"
        shown = quantity.name
    unit = unit_name(node.args["unit"].name) or node.args["unit"].name
    function = "to_" + _UNIT_PLURALS.get(unit, unit.lower() + "s")
    if unit in _DOUBLE_UNITS:
        return f"{function}(CAST({shown} AS DOUBLE))"
    width = "BIGINT" if unit in _BIGINT_UNITS else "INTEGER"
    return f"{function}(CAST(trunc(CAST({shown} AS DOUBLE)) AS {width}))"


def _like_name(node: exp.Escape | exp.Like | exp.ILike, source: QueryText) -> str:
    like = node.this if isinstance(node, exp.Escape) else node
    operand, pattern = expression_name(like.this, source), expression_name(like.expression, source)
    negated, ignores_case = bool(like.args.get("negate")), isinstance(like, exp.ILike)
    if not isinstance(node, exp.Escape):
        return f"({operand} {_LIKE[ignores_case, negated]} {pattern})"
    function = "ilike_escape" if ignores_case else "like_escape"
    call = f"{function}({operand}, {pattern}, {expression_name(node.expression, source)})"
    return f"(NOT {call})" if negated else call


def _ordered_name(node: exp.Ordered, source: QueryText) -> str:
    """A key of ORDER BY with the directions that the query writes."""
    words = []
    span = source.span(node.this)
    after = source.token_after(span) if span is not None else -1
    while source.upper_at(after) in ("ASC", "DESC", "NULLS", "FIRST", "LAST"):
        words.append(source.upper_at(after))
        after += 1
    return " ".join([expression_name(node.this, source), *words])


def _window_name(node: exp.Window, source: QueryText) -> str:
    """A call and its window, of a named one what it stands for."""
    try:
        window = written_window(node)
    except WindowError:  # which is an error of the binder
        return str(node.sql("duckdb"))
    shown = expression_name(node.this, source)
    for alone, known in (("count_star()", "count()"), ('"first"(', "first_value("), ('"last"(', "last_value(")):
        shown = known + shown.removeprefix(alone) if shown.startswith(alone) else shown
    shown = re.sub(r'^"(\w+)"\(', r"\1(", shown)  # unlike elsewhere, a function's name is not quoted
    parts = []
    if window.partition:
        parts.append("PARTITION BY " + ", ".join(expression_name(part, source) for part in window.partition))
    if window.order:
        parts.append("ORDER BY " + ", ".join(_ordered_name(key, source) for key in window.order))
    if not window.default_frame:
        parts.append(f"{window.unit} BETWEEN {_bound_name(window.start, source)} AND {_bound_name(window.end, source)}")
    return f"{shown} OVER ({' '.join(parts)})"


def _bound_name(bound: WrittenBound, source: QueryText) -> str:
    if bound.side == "CURRENT ROW":
        return bound.side
    return f"{'UNBOUNDED' if bound.offset is None else expression_name(bound.offset, source)} {bound.side}"


def _within_group_name(node: exp.WithinGroup, source: QueryText) -> str:
    keys = ", ".join(_ordered_name(key, source) for key in node.expression.expressions)
    if isinstance(node.this, exp.Mode):
        return f'"mode"() WITHIN GROUP ( ORDER BY {keys})'
    function = "quantile_cont" if isinstance(node.this, exp.PercentileCont) else "quantile_disc"
    return f"{function}({expression_name(node.this.this, source)} ORDER BY {keys})"


def _call_name(node: exp.Expr, source: QueryText) -> str:
    if isinstance(node, exp.Count) and (node.this is None or isinstance(node.this, exp.Star)):
        return "count_star()"
    call = scalar_call(node, source)
    if call is not None and call.written == "^@":
        return f"({' ^@ '.join(expression_name(argument, source) for argument in call.arguments)})"
    if call is not None and call.name == "+":
        return f"(+({expression_name(call.arguments[0], source)}))"
    if call is not None:
        return f"{quoted(call.written)}({', '.join(expression_name(argument, source) for argument in call.arguments)})"
    written = (
        source.word(node)
        or (source.called(node, AGGREGATES) if isinstance(node, exp.Func) else None)
        or _CALLS.get(type(node))
        or (node.sql_name() if isinstance(node, exp.Func) else node.key)
    )
    function = "COALESCE" if isinstance(node, exp.Coalesce) else quoted(written.lower())
    arguments = call_arguments(node)
    ordered = [argument for argument in arguments if isinstance(argument, exp.Order)]  # for sqlglot, an argument has the order
    shown = ", ".join(expression_name(argument.this if argument in ordered else argument, source) for argument in arguments)
    keys = ", ".join(_ordered_name(key, source) for order in ordered for key in order.expressions)
    return f"{function}({shown}{' ORDER BY ' if keys else ''}{keys})"
