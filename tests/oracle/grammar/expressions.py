"""Random expressions over the columns in scope, by the kind of their value; none raises an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from tests.oracle.grammar import functions
from tests.oracle.grammar.draw import Draw
from tests.oracle.grammar.tables import COLUMNS, WIDE, Kind, Scope

Rule: TypeAlias = Callable[[int], str]

COMPARISONS = ("=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")
PATTERNS = ("'a%'", "'%b'", "'_'", "''", "'a$%' ESCAPE '$'", "'%'")
CALLS = 0.2  # how often an expression is a call of a scalar function


class Expressions:
    """Expressions of one scope.

    outer: the columns of the queries around, for subqueries. subqueries: how deep further ones may stand in it.
    """

    def __init__(self, draw: Draw, scope: Scope, outer: Scope | None = None, subqueries: int = 0) -> None:
        self.draw, self.scope, self.outer, self.subqueries = draw, scope, outer, subqueries

    def columns(self, kind: Kind) -> tuple[str, ...]:
        found = self.scope.of(kind)
        if self.outer is not None and self.outer.of(kind) and (not found or self.draw.chance(0.3)):
            return self.outer.of(kind)
        return found

    def column(self, kind: Kind, *otherwise: str) -> str:
        return self.draw.pick(*(self.columns(kind) or otherwise))

    def subquery(self, kind: Kind) -> str | None:
        """A scalar subquery, now and then."""
        if self.subqueries <= 0 or not self.draw.chance(0.15):
            return None
        from tests.oracle.grammar.subqueries import scalar_subquery  # subqueries are made of expressions, too

        return scalar_subquery(self, kind)

    def value(self, depth: int) -> str:
        if self.draw.models and self.draw.chance(0.5):
            return functions.model_call(self, depth)
        return self.of(self.draw.pick("integer", "decimal", "floating", "text", "date", "moment", "boolean"), depth)

    def of(self, kind: Kind, depth: int) -> str:
        rules: dict[Kind, Rule] = {
            "integer": self.integer,
            "decimal": self.decimal,
            "floating": self.floating,
            "text": self.text,
            "date": self.date,
            "moment": self.moment,
            "boolean": self.condition,
        }
        return rules[kind](depth)

    def small(self) -> str:
        """An integer of few digits."""
        return self.draw.pick(*([name for name in self.columns("integer") if not name.endswith(f".{WIDE}")] or ["1", "-2"]))

    def exact(self) -> str:
        """The same of a column of a table: what a subquery computed may be of many digits."""
        named = [name for name in self.columns("integer") if name.split(".")[-1] in COLUMNS and not name.endswith(f".{WIDE}")]
        return self.draw.pick(*(named or ["1", "-2"]))

    def integer(self, depth: int) -> str:
        """An integer; BIGINT where it is computed, so that it does not overflow."""
        draw = self.draw
        if depth <= 0:
            return draw.either(
                self.small, lambda: self.column("integer", "1", "-2"), lambda: str(draw.number(-5, 300)), lambda: "NULL::INTEGER"
            )
        if draw.chance(CALLS):
            return functions.integer_call(self, depth)

        def operand() -> str:
            return f"{self.integer(depth - 1)}::BIGINT"

        return self.subquery("integer") or draw.either(
            lambda: f"({operand()} {draw.pick('+', '-')} {operand()})",
            lambda: f"({operand()} * {draw.pick('2', '-3', *self.scope.of('integer')[:1])})",
            lambda: f"({operand()} {draw.pick('//', '%')} {draw.pick('2', '-3', f'nullif({self.small()}, 0)')})",
            lambda: f"abs({operand()})",
            lambda: f"-({operand()})",
            lambda: f"nullif({self.integer(depth - 1)}, {self.integer(depth - 1)})",
            lambda: f"TRY_CAST({self.castable()} AS {draw.pick('TINYINT', 'INTEGER', 'BIGINT')})",
            lambda: f"{self.condition(depth - 1)}::INTEGER",
            lambda: f"({self.date(0)} - {self.date(0)})",
            lambda: self.branched(self.integer, depth),
            lambda: self.integer(0),
        )

    def castable(self) -> str:
        return self.column(self.draw.pick("text", "floating", "decimal", "integer"), "'12'", "'x'")

    def decimal(self, depth: int) -> str:
        draw = self.draw

        def column() -> str:
            return self.column("decimal", "1.25", "-0.5")

        if depth <= 0:
            return draw.either(column, lambda: draw.pick("1.5", "-0.005", "0.00", "12.34"))
        if draw.chance(CALLS):
            return functions.decimal_call(self, depth)
        number = draw.pick(column(), self.small())
        return self.subquery("decimal") or draw.either(
            lambda: f"({self.decimal(0)} {draw.pick('+', '-')} {self.decimal(depth - 1)})",
            lambda: f"({self.decimal(0)} * {draw.pick(column(), '1.5', '-2', self.small())})",
            lambda: f"({self.decimal(0)} % {draw.pick('0.7', '3', f'nullif({column()}, 0)')})",
            lambda: f"{number}::DECIMAL({draw.pick('9, 1', '9, 2', '12, 4', '7, 0')})",
            lambda: f"abs({self.decimal(depth - 1)})",
            lambda: self.branched(self.decimal, depth),
            lambda: self.decimal(0),
        )

    def floating(self, depth: int) -> str:
        draw = self.draw
        if depth <= 0:
            constant = draw.pick("0.5e0", "-2e0", "'nan'::DOUBLE", "'inf'::DOUBLE")
            return draw.pick(self.column("floating", constant), constant)
        if draw.chance(CALLS):
            return functions.floating_call(self, depth)
        return self.subquery("floating") or draw.either(
            lambda: f"({self.floating(depth - 1)} {draw.pick('+', '-', '*', '/')} {self.number(depth - 1)})",
            lambda: f"({self.integer(depth - 1)} / {self.number(depth - 1)})",
            lambda: f"{self.number(depth - 1)}::DOUBLE",
            lambda: f"-({self.floating(depth - 1)})",
            lambda: self.branched(self.floating, depth),
            lambda: self.floating(0),
        )

    def number(self, depth: int) -> str:
        return self.draw.either(lambda: self.integer(depth), lambda: self.decimal(depth), lambda: self.floating(depth))

    def text(self, depth: int) -> str:
        draw = self.draw
        if depth <= 0:
            constant = draw.pick("'a'", "'zz'", "''")
            return draw.pick(self.column("text", constant), constant)
        if draw.chance(2 * CALLS):
            return functions.text_call(self, depth)
        return self.subquery("text") or draw.either(
            lambda: f"nullif({self.text(depth - 1)}, {self.text(depth - 1)})",
            lambda: self.branched(self.text, depth),
            lambda: self.text(0),
        )

    def date(self, depth: int) -> str:
        draw = self.draw
        if depth <= 0:
            constant = draw.pick("DATE '1970-01-01'", "DATE '1968-02-29'")
            return draw.pick(self.column("date", constant), constant)
        if draw.chance(CALLS):
            return functions.date_call(self, depth)
        return self.subquery("date") or draw.either(
            lambda: f"({self.date(depth - 1)} {draw.pick('+', '-')} {draw.pick(f'{self.small()}::INTEGER', '31')})",
            lambda: self.branched(self.date, depth),
            lambda: self.date(0),
        )

    def moment(self, depth: int) -> str:
        draw, constant = self.draw, "TIMESTAMP '1970-01-03 12:00:00'"
        if depth <= 0:
            return draw.either(lambda: self.column("moment", constant), lambda: constant)
        if draw.chance(CALLS):
            return functions.moment_call(self, depth)
        interval = draw.pick("1 MONTH", "13 MONTH", "2 YEAR", "36 HOUR", "5 DAY")
        return self.subquery("moment") or draw.either(
            lambda: f"({draw.pick(self.date(0), self.moment(0))} {draw.pick('+', '-')} INTERVAL {interval})",
            lambda: f"{self.date(0)}::TIMESTAMP",
            lambda: self.branched(self.moment, depth),
        )

    def branched(self, value: Rule, depth: int) -> str:
        first, second = value(depth - 1), value(depth - 1)
        return self.draw.either(
            lambda: f"CASE WHEN {self.condition(depth - 1)} THEN {first} ELSE {second} END",
            lambda: f"CASE WHEN {self.condition(depth - 1)} THEN {first} WHEN {self.condition(0)} THEN {second} END",
            lambda: f"coalesce({first}, {second})",
        )

    def simple_condition(self) -> str:
        """One without anything below it, but perhaps a model."""
        draw = self.draw
        if draw.models and draw.chance(0.5):
            return f"({functions.model_call(self, 0)} {draw.pick('>', '<=', '<>')} {draw.pick('0', '1', '-1')})"
        return draw.either(
            lambda: self.column("boolean", "TRUE"),
            lambda: f"({self.small()} {draw.pick('>', '<=', '<>')} {draw.pick('0', '1', '-1')})",
            lambda: f"({self.column('floating', '0.5e0')} < 1)",
            lambda: f"({self.column('text', repr('a'))} {draw.pick('=', '<', '>=')} 'a')",
            lambda: f"({self.column('decimal', '1.5')} <= 1.005)",
            lambda: f"({self.value(0)} IS {draw.pick('', 'NOT ')}NULL)",
        )

    def condition(self, depth: int) -> str:
        draw = self.draw
        if depth <= 0:
            return self.simple_condition()
        if self.subqueries > 0 and draw.chance(0.15):
            from tests.oracle.grammar.subqueries import predicate_subquery  # as above

            return predicate_subquery(self)
        if draw.chance(CALLS / 2):
            return functions.condition_call(self, depth)
        value: Rule = draw.pick(self.number, self.number, self.text, self.date, self.moment)

        def operand() -> str:
            return value(depth - 1)

        return draw.either(
            lambda: f"({operand()} {draw.pick(*COMPARISONS)} {operand()})",
            lambda: f"({operand()} {draw.pick(*COMPARISONS)} {operand()})",
            lambda: f"({operand()} {draw.pick('BETWEEN', 'NOT BETWEEN')} {operand()} AND {operand()})",
            lambda: f"({operand()} {draw.pick('IN', 'NOT IN')} ({operand()}, {operand()}, {draw.pick('NULL', operand())}))",
            lambda: f"({self.text(depth - 1)} {draw.pick('LIKE', 'NOT LIKE', 'ILIKE')} {draw.pick(*PATTERNS)})",
            lambda: f"({operand()} {draw.pick('IS NULL', 'IS NOT NULL')})",
            lambda: f"({self.condition(depth - 1)} {draw.pick('AND', 'OR')} {self.condition(depth - 1)})",
            lambda: f"(NOT {self.condition(depth - 1)})",
            lambda: f"({self.condition(depth - 1)} {draw.pick('IS TRUE', 'IS NOT FALSE', 'IS NULL', '= (1 > 0)')})",
            lambda: self.branched(self.condition, depth),
        )
