"""A failing case made smaller by simple means: fewer rows, fewer clauses, parts of expressions in place of the whole."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pyarrow as pa
import sqlglot
from sqlglot import exp

from tests.oracle.checks import Case, Finding

SECONDS = 60.0
# Clauses that a query may do without. Not ORDER BY, which says which of several answers is meant.
CLAUSES = ("where", "having", "qualify", "distinct", "limit", "offset", "filter", "with_")
# Under these, order and ties decide what is right.
KEPT = (exp.Order, exp.Ordered, exp.DataType, exp.Interval, exp.Identifier)


def minimised(case: Case, finding: Finding, check: Callable[[Case], Finding], seconds: float = SECONDS) -> tuple[Case, Finding]:
    """The smallest case found in time that is wrong in the same way, and what is wrong with it."""
    stop = time.monotonic() + seconds
    case, finding = against_duckdb(case, finding, check)
    progress = True
    while progress and time.monotonic() < stop:
        progress = False
        for smaller in smaller_cases(case):
            if time.monotonic() > stop:
                break
            found = check(smaller)
            if found.outcome == "different" and signature(found) == signature(finding):
                case, finding, progress = smaller, found, True
                break
    return case, finding


def signature(finding: Finding) -> str:
    """The class of the error that was raised, or that no error was."""
    word = finding.message.split(":")[0]
    return word if word.endswith("Error") else "rows"


def against_duckdb(case: Case, finding: Finding, check: Callable[[Case], Finding]) -> tuple[Case, Finding]:
    """A query that DuckDB answers otherwise, where the case has one: only that can be cut down freely."""
    queries = [case.sql] if case.partition is None else [*case.partition.parts, case.partition.whole]
    for sql in queries:
        alone = Case(case.kind, case.tables, sql)
        found = check(alone)
        if found.outcome == "different":
            return alone, found
    return case, finding


def smaller_cases(case: Case) -> Iterator[Case]:
    """Every case that is one step smaller; the largest steps first."""
    for name, table in case.tables.items():
        for fewer in fewer_rows(table):
            yield replace(case, tables={**case.tables, name: fewer})
    if case.partition is None:
        for sql in sorted(set(shorter(case.sql)) - {case.sql}, key=len):
            yield replace(case, sql=sql)


def fewer_rows(table: pa.Table) -> Iterator[pa.Table]:
    size = table.num_rows
    while size >= 1:
        for start in range(0, table.num_rows, size):
            yield pa.concat_tables([table.slice(0, start), table.slice(start + size)])
        size //= 2


def shorter(sql: str) -> Iterator[str]:
    """The query with one clause, output, join or branch less, or one expression replaced by one of its operands."""
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    for position, node in enumerate(tree.walk()):
        if isinstance(node, KEPT) or node.find_ancestor(*KEPT):
            continue
        for edit in edits(node):
            copy = tree.copy()
            at = next(other for number, other in enumerate(copy.walk()) if number == position)
            changed = edit(at)
            yield (copy if changed is None else changed).sql("duckdb")


def edits(node: exp.Expr) -> Iterator[Callable[[exp.Expr], exp.Expr | None]]:
    """What may be done to a node; a function that returns a tree has replaced the whole query by it."""
    for clause in CLAUSES:
        if node.args.get(clause) is not None:
            yield lambda at, clause=clause: at.set(clause, None)  # type: ignore[misc]
    for name in ("joins", "expressions", "ifs"):
        items = node.args.get(name) or []
        if len(items) > (0 if name == "joins" else 1) and not isinstance(node, exp.Tuple | exp.Values | exp.DataType):
            for index in range(len(items)):
                yield lambda at, name=name, index=index: at.set(name, [x for i, x in enumerate(at.args[name]) if i != index])  # type: ignore[misc]
    if isinstance(node, exp.SetOperation | exp.Condition | exp.Paren | exp.Subquery) and not isinstance(
        node, exp.Column | exp.Literal
    ):
        for key, child in list(node.args.items()):
            if isinstance(child, exp.Condition | exp.Query | exp.Paren):
                yield lambda at, key=key: replaced(at, at.args[key])  # type: ignore[misc]


def replaced(node: exp.Expr, by: exp.Expr) -> exp.Expr | None:
    if node.parent is None:
        return by
    node.replace(by)
    return None


def reproducer(case: Case) -> str:
    """Python that asks the case: its tables with the columns that the query names, and its SQL."""
    used = {name: table for name, table in case.tables.items() if re.search(rf"\b{name}\b", case.sql)}
    lines = [f"{name} = pa.table({{{', '.join(columns_text(table, case.sql))}}})" for name, table in used.items()]
    return "\n".join([*lines, *([f"# {case.partition.whole}"] if case.partition else []), case.sql])


def columns_text(table: pa.Table, sql: str) -> Iterator[str]:
    for name in table.column_names:
        if "*" in sql or re.search(rf"\b{name}\b", sql):
            yield f'"{name}": pa.array({table[name].to_pylist()}, {type_text(table.schema.field(name).type)})'


def type_text(type: pa.DataType) -> str:
    names: Mapping[str, str] = {
        "double": "float64()",
        "float": "float32()",
        "bool": "bool_()",
        "timestamp[us]": "timestamp('us')",
    }
    text = str(type).replace("[day]", "")
    return f"pa.{names.get(text, text if '(' in text else f'{text}()')}"
