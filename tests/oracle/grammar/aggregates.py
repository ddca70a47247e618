"""Random calls of aggregates and of window functions, each with one right answer."""

from __future__ import annotations

from tests.oracle.grammar.expressions import Expressions


def aggregate(e: Expressions) -> str:
    """Sums and averages are of exact numbers or of columns, whose floats add up exactly."""
    draw = e.draw
    summand = draw.either(lambda: e.integer(1), lambda: e.decimal(1), lambda: e.column("floating", "1"))
    extreme = draw.either(lambda: e.number(0), lambda: e.text(1), lambda: e.date(1), lambda: e.condition(1))
    distinct = draw.pick("", "", "DISTINCT ")
    call = draw.either(
        lambda: "count(*)",
        lambda: f"count({distinct}{e.value(1)})",
        lambda: f"{draw.pick('sum', 'avg')}({distinct}{summand})",
        lambda: f"{draw.pick('min', 'max')}({extreme})",
        lambda: f"{draw.pick('min', 'max')}({extreme})",
        lambda: statistic(e, distinct),
    )
    return f"{call} FILTER (WHERE {e.condition(1)})" if draw.chance(0.2) else call


def aggregate_of(e: Expressions, kind: str) -> str:
    """An aggregate whose value is of a kind."""
    draw = e.draw
    match kind:
        case "integer":
            return draw.pick(
                "count(*)", f"count({e.value(0)})", f"min({e.integer(1)})", f"max({e.integer(1)})", f"sum({e.integer(0)})::BIGINT"
            )
        case "decimal":
            return f"{draw.pick('min', 'max')}({e.decimal(1)})"
        case "floating":
            return draw.pick(f"avg({e.integer(1)})", f"max({e.floating(0)})", f"sum({e.column('floating', '0.5e0')})")
        case "text":
            return f"{draw.pick('min', 'max')}({e.text(1)})"
        case "date":
            return f"{draw.pick('min', 'max')}({e.date(1)})"
        case "moment":
            return f"{draw.pick('min', 'max')}({e.moment(1)})"
        case _:
            return draw.pick(f"bool_and({e.condition(1)})", f"bool_or({e.condition(1)})", "(count(*) > 1)")


def statistic(e: Expressions, distinct: str) -> str:
    """The other aggregates, but for those of which several answers are right. Moments are of small exact numbers: DuckDB loses
    digits in others, and of equal ones makes up a variance.
    """
    draw, small = e.draw, e.exact()
    ordered = draw.either(lambda: e.number(0), lambda: e.column("date", "DATE '2000-01-01'"), lambda: e.moment(0))
    fraction = draw.pick("0.5", "0", "1", "0.31", "-0.2", "0.75e0")
    unique = ", ".join(e.scope.unique)
    moments = ("covar_pop", "covar_samp", "regr_count", "regr_avgx", "regr_sxx")
    return draw.either(
        lambda: f"{draw.pick('stddev', 'var_pop', 'var_samp', 'stddev_pop')}({distinct}{small})",
        lambda: f"{draw.pick(*moments)}({small}, {e.exact()})",
        lambda: f"{draw.pick('bool_and', 'bool_or', 'count_if')}({e.condition(1)})",
        lambda: f"{draw.pick('bit_and', 'bit_or', 'bit_xor')}({distinct}{e.integer(1)})",
        lambda: f"{draw.pick('first', 'last', 'any_value')}({e.value(1)} ORDER BY {e.value(1)}, {unique})",
        lambda: f"{draw.pick('arg_min', 'arg_max')}({e.value(1)}, {unique})" if len(e.scope.unique) == 1 else "count(*)",
        lambda: f"{draw.pick('quantile_cont', 'quantile_disc')}({distinct}{ordered}, {fraction})",
        lambda: f"median({distinct}{ordered})",
        lambda: f"count(DISTINCT ({e.value(1)}, {e.value(0)}))",
        lambda: f"avg({draw.either(lambda: e.date(0), lambda: e.moment(0))})",
    )


FRAMES = (
    "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
    "ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING",
    "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    "ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING",
    "ROWS 2 PRECEDING",
)
RANGES = (
    "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    "RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
)
DISTANCES = (
    "RANGE BETWEEN 1 PRECEDING AND 2 FOLLOWING",
    "RANGE BETWEEN 2 PRECEDING AND CURRENT ROW",
    "RANGE BETWEEN 1 FOLLOWING AND 5 FOLLOWING",
)


def direction(e: Expressions) -> str:
    return e.draw.pick("", " DESC", " NULLS FIRST", " DESC NULLS LAST")


def total_order(e: Expressions) -> str:
    """An order in which no two rows are equal."""
    first = f"coalesce({e.value(1)}){direction(e)}, " if e.draw.chance(0.7) else ""
    return first + ", ".join(f"{name}{direction(e)}" for name in e.scope.unique)


def windowed(e: Expressions) -> str:
    """A call of a window function."""
    draw = e.draw
    partition = (
        f"PARTITION BY {', '.join(e.value(draw.number(0, 1)) for _ in range(draw.number(1, 2)))} " if draw.chance(0.6) else ""
    )
    summed = f"{draw.pick('sum', 'avg', 'count', 'min', 'max')}({draw.either(lambda: e.integer(1), lambda: e.decimal(0), lambda: e.column('floating', '1'))})"
    called = draw.pick(summed, summed, "count(*)", f"{draw.pick('min', 'max')}({e.value(1)})", f"bool_or({e.condition(1)})")
    if draw.chance(0.2):
        called = draw.either(
            lambda: f"{draw.pick('median', 'avg', 'sum', 'count')}({draw.pick('', 'DISTINCT ')}{e.integer(1)})",
            lambda: f"count(DISTINCT {e.value(1)})",
            lambda: f"quantile_disc({e.number(1)}, {draw.pick('0.3', '1', '-0.5')})",
        )
    if draw.chance(0.2) and called != "count(*)":
        called += f" FILTER (WHERE {e.condition(1)})"
    value = e.value(1)
    ranked = draw.pick("rank()", "dense_rank()", "percent_rank()", "cume_dist()")
    moved = f"{draw.pick('lag', 'lead')}({value}{draw.pick('', ', 1', ', 2', ', 0', ', -1')})"
    placed = draw.pick(f"first_value({value})", f"last_value({value})", f"nth_value({value}, {draw.pick('1', '2')})")
    return draw.either(
        lambda: f"{draw.pick('row_number()', 'ntile(3)')} OVER ({partition}ORDER BY {total_order(e)})",
        lambda: f"{ranked} OVER ({partition}ORDER BY coalesce({e.value(1)}){direction(e)})",
        lambda: f"{moved} OVER ({partition}ORDER BY {total_order(e)})",
        lambda: f"{placed} OVER ({partition}ORDER BY {total_order(e)} {draw.pick('', *FRAMES)})",
        lambda: f"string_agg({e.text(1)}, ',') OVER ({partition}ORDER BY {total_order(e)} {draw.pick('', *FRAMES)})",
        lambda: f"{called} OVER ({partition})",
        lambda: f"{called} OVER ({partition}ORDER BY {total_order(e)} {draw.pick(*FRAMES)})",
        lambda: f"{called} OVER ({partition}ORDER BY coalesce({e.value(1)}){direction(e)} {draw.pick('', *RANGES)})",
        lambda: f"{called} OVER ({partition}ORDER BY {e.small()}::BIGINT{direction(e)} {draw.pick(*DISTANCES)})",
    )
