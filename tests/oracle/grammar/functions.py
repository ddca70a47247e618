"""Calls of scalar functions, by the kind of their value. Arguments are such that none raises an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.oracle.grammar.expressions import Expressions

UNITS = ("year", "quarter", "month", "week", "day")
PARTS = (*UNITS, "dayofweek", "isodow", "dayofyear", "isoyear", "decade", "century")


def integer_call(e: Expressions, depth: int) -> str:
    draw = e.draw
    text, when = e.text(depth - 1), draw.either(lambda: e.date(depth - 1), lambda: e.moment(depth - 1))
    return draw.either(
        lambda: f"{draw.pick('length', 'strlen', 'ascii', 'unicode')}({text})",
        lambda: f"{draw.pick('position', 'strpos', 'instr')}({text}, {e.text(0)})".replace("position(", "strpos("),
        lambda: f"{draw.pick('year', 'month', 'day', 'quarter', 'week', 'dayofweek', 'dayofyear')}({when})",
        lambda: f"extract({draw.pick(*PARTS)} FROM {when})",
        lambda: f"date_part('{draw.pick(*PARTS, 'hour', 'minute')}', {e.moment(depth - 1)})",
        lambda: f"{draw.pick('date_diff', 'date_sub')}('{draw.pick(*UNITS)}', {e.date(0)}, {e.date(depth - 1)})",
        lambda: f"sign({e.integer(depth - 1)})",
        lambda: f"{draw.pick('greatest', 'least')}({e.integer(depth - 1)}, {e.integer(0)}, {e.integer(0)})",
        lambda: f"({e.integer(0)}::BIGINT {draw.pick('&', '|')} {e.integer(0)}::BIGINT)",
        lambda: f"xor({e.integer(0)}::BIGINT, {e.integer(0)}::BIGINT)",
        lambda: f"gcd({e.integer(0)}::BIGINT, {e.integer(0)}::BIGINT)",
        lambda: f"mod({e.integer(depth - 1)}::BIGINT, {draw.pick('3', '-2', '7')})",
        lambda: f"if({e.condition(0)}, {e.integer(0)}, {e.integer(depth - 1)})",
        lambda: f"ifnull({e.integer(depth - 1)}, {e.integer(0)})",
    )


def decimal_call(e: Expressions, depth: int) -> str:
    draw = e.draw
    return draw.either(
        lambda: f"round({e.decimal(depth - 1)}, {draw.pick('0', '1', '2', '-1')})",
        lambda: f"{draw.pick('floor', 'ceil', 'trunc', 'round')}({e.decimal(depth - 1)})",
        lambda: f"{draw.pick('greatest', 'least')}({e.decimal(0)}, {e.decimal(depth - 1)})",
        lambda: f"ifnull({e.decimal(depth - 1)}, {e.decimal(0)})",
    )


def floating_call(e: Expressions, depth: int) -> str:
    """Those that every machine computes exactly alike: their values are compared and grouped."""
    draw = e.draw
    if draw.models:
        return model_call(e, depth)
    return draw.either(
        lambda: f"{draw.pick('floor', 'ceil', 'trunc', 'round', 'abs')}({e.floating(depth - 1)})",
        lambda: f"sqrt(abs({e.number(0)}))",
        lambda: f"{draw.pick('greatest', 'least')}({e.floating(depth - 1)}, {e.floating(0)})",
        lambda: f"nullif({e.floating(depth - 1)}, {e.floating(0)})",
        lambda: f"if({e.condition(0)}, {e.floating(0)}, {e.floating(depth - 1)})",
    )


def model_call(e: Expressions, depth: int) -> str:
    """One of the models of `MODELS`; half of the arguments are columns, for which rules know a place."""
    draw = e.draw

    def argument() -> str:
        return draw.either(lambda: e.floating(depth - 1), lambda: e.column("integer", "1"), lambda: e.column("floating", "0.5e0"))

    return draw.either(
        lambda: f"model_of({argument()}, {argument()})",
        lambda: f"model_of({e.column('integer', '2')}, {e.column('integer', '2')})",
        lambda: f"careless({argument()}, {argument()})",
        lambda: f"filled({argument()})",
    )


def inexact_call(e: Expressions) -> str:
    """Those whose last digit may differ: for results only, never for what is compared."""
    draw, small = e.draw, e.draw.pick(e.small(), *e.columns("decimal"), "2")
    return draw.either(
        lambda: f"{draw.pick('sin', 'cos', 'atan', 'cbrt')}({small})",
        lambda: f"exp({small} / 100)",
        lambda: f"{draw.pick('ln', 'log10', 'log2')}(abs({small}) + 1)",
        lambda: f"power(abs({small}), {draw.pick('0.5', '2', '1.5')})",
        lambda: f"round({small} / 7, {draw.pick('1', '2', '3')})",
    )


def text_call(e: Expressions, depth: int) -> str:
    draw, text = e.draw, e.text(depth - 1)
    at = draw.pick("1", "2", "-1", "0", "3")
    return draw.either(
        lambda: f"{draw.pick('upper', 'lower', 'trim', 'ltrim', 'rtrim', 'reverse')}({text})",
        lambda: f"substring({text}, {at}{draw.pick('', ', 1', ', 2', ', 0')})",
        lambda: f"{draw.pick('left', 'right')}({text}, {draw.pick('1', '2', '-1', '0')})",
        lambda: f"{draw.pick('lpad', 'rpad')}({text}, {draw.pick('0', '1', '4')}, {draw.pick(repr('xy'), repr('*'))})",
        lambda: f"replace({text}, {e.text(0)}, {draw.pick(repr('z'), repr(''), repr('ab'))})",
        lambda: f"split_part({text}, 'a', {draw.pick('1', '2', '-1')})",
        lambda: f"({text} || {e.text(0)})",
        lambda: f"concat({text}, {e.text(0)})",
        lambda: f"concat_ws('-', {text}, {e.text(0)})",
        lambda: f"{text}[{draw.pick('1', '2', '-1', '1:2', '2:', ':1')}]",
        lambda: f"repeat({text}, {draw.pick('0', '1', '2')})",
        lambda: f"translate({text}, 'ab', 'xy')",
        lambda: (
            f"regexp_replace({text}, {draw.pick(repr('[ab]'), repr('^a'), repr('.'))}, '<>'{draw.pick('', ', ' + repr('g'))})"
        ),
        lambda: f"regexp_extract({text}, '[a-b]+')",
        lambda: f"strftime({draw.either(lambda: e.date(0), lambda: e.moment(0))}, '%Y-%m-%d')",
        lambda: f"{draw.pick('monthname', 'dayname')}({e.date(0)})",
        lambda: f"{draw.pick(*e.columns('boolean'), *e.columns('date'), *e.columns('integer'), '1')}::VARCHAR",
    )


def date_call(e: Expressions, depth: int) -> str:
    draw = e.draw
    return draw.either(
        lambda: f"last_day({e.date(depth - 1)})",
        lambda: f"make_date(1990 + {e.small()} % 1000, {draw.pick('1', '2', '12')}, {draw.pick('1', '28')})",
        lambda: f"{e.moment(depth - 1)}::DATE",
        lambda: f"{draw.pick('greatest', 'least')}({e.date(depth - 1)}, {e.date(0)})",
        lambda: f"nullif({e.date(depth - 1)}, {e.date(0)})",
    )


def moment_call(e: Expressions, depth: int) -> str:
    draw = e.draw
    return draw.either(
        lambda: f"date_trunc('{draw.pick(*UNITS, 'hour')}', {e.moment(depth - 1)})",
        lambda: f"{draw.pick('greatest', 'least')}({e.moment(depth - 1)}, {e.moment(0)})",
        lambda: f"nullif({e.moment(depth - 1)}, {e.moment(0)})",
    )


def condition_call(e: Expressions, depth: int) -> str:
    draw, text = e.draw, e.text(depth - 1)
    return draw.either(
        lambda: f"{draw.pick('starts_with', 'ends_with', 'contains')}({text}, {e.text(0)})",
        lambda: f"regexp_matches({text}, {draw.pick(repr('^a'), repr('b$'), repr('a.'))})",
        lambda: f"({text} {draw.pick('SIMILAR TO', 'NOT SIMILAR TO')} {draw.pick(repr('a.*'), repr('[a-c]+'))})",
        lambda: f"({text} GLOB {draw.pick(repr('a*'), repr('?'), repr('[ab]*'))})",
        lambda: f"{draw.pick('isnan', 'isinf', 'isfinite')}({e.floating(depth - 1)})",
        lambda: f"xor({e.condition(0)}::INTEGER, {e.condition(depth - 1)}::INTEGER)::BOOLEAN",
    )
