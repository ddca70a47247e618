"""The speeds that the seed set out to reach, each judged by what was measured in this run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench import headline, tpch
from bench.timing import Contest

Contests = Mapping[str, Contest]

FIRST_CALL = "qtensor, first call"
COMPILING = "of that, compiling"


@dataclass(frozen=True)
class Target:
    """`measured` is to be `at_least` or `at_most` a bound; `unit` is "x" for a ratio, "s" or "ms"."""

    name: str
    measured: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def reached(self) -> bool:
        return (self.at_least is None or self.measured >= self.at_least) and (
            self.at_most is None or self.measured <= self.at_most
        )

    @property
    def bound(self) -> str:
        """Such as ≥ 10x."""
        sign, value = ("≥", self.at_least) if self.at_least is not None else ("≤", self.at_most)
        return f"{sign} {value:,g}{self.space}{self.unit}"

    @property
    def found(self) -> str:
        """The measured figure with its unit."""
        digits = 0 if self.measured >= 100 else 1 if self.measured >= 10 else 2
        return f"{self.measured:,.{digits}f}{self.space}{self.unit}"

    @property
    def space(self) -> str:
        return "" if self.unit == "x" else " "


def rows_name(rows: int) -> str:
    """The name of the headline contest at a size."""
    return f"{rows:,} rows"


def tpch_name(query: str, scale: float, place: str) -> str:
    """The name of a TPC-H contest."""
    return f"{query} SF{scale:g} {place}"


def judge(contests: Contests) -> list[Target]:
    """Every target of which both sides were measured."""
    return [*headline_targets(contests), *tpch_targets(contests)]


def headline_targets(contests: Contests) -> list[Target]:
    def against(rows: int, slower: str, bound: float) -> list[Target]:
        contest = contests.get(rows_name(rows))
        ratio = contest.ratio(slower, headline.WARM) if contest else None
        name = f"headline, {rows_name(rows)}: faster than {slower}"
        return [] if ratio is None else [Target(name, ratio, "x", at_least=bound)]

    def growth(small: int, large: int, bound: float) -> list[Target]:
        before, after = (
            contests[name].median(headline.WARM) if name in contests else None for name in map(rows_name, (small, large))
        )
        name = f"headline, {rows_name(large)}: slower than {rows_name(small)}"
        return [] if before is None or after is None else [Target(name, after / before, "x", at_most=bound)]

    return [
        *against(2_000, headline.DUCKDB, 10),
        *against(2_000, headline.SPARK_ROW, 1_000),
        *growth(200, 2_000, 1.5),
        *against(2_000_000, headline.DUCKDB, 100),
        *overhead(contests.get(rows_name(2_000))),
        *first_call(contests.get(rows_name(2_000))),
    ]


def overhead(contest: Contest | None) -> list[Target]:
    """What qtensor.sql(same text).arrow() spends outside XLA."""
    if contest is None:
        return []
    asked, executed = contest.median(headline.ASKED_AGAIN), contest.median(headline.EXECUTION)
    if asked is None or executed is None:
        return []
    return [Target("headline, 2,000 rows, asked again: outside XLA", (asked - executed) * 1e3, "ms", at_most=0.2)]


def first_call(contest: Contest | None) -> list[Target]:
    seconds = contest.median(FIRST_CALL) if contest else None
    return [] if seconds is None else [Target("headline, 2,000 rows: first call, nothing cached", seconds, "s", at_most=1.5)]


def tpch_targets(contests: Contests) -> list[Target]:
    """At scale 1 only: on less data, what does not grow with the rows decides."""
    bounds = {
        tpch_name("Q6", 1, "in memory"): 4.0,
        tpch_name("Q1", 1, "in memory"): 3.0,
        tpch_name("Q6", 1, "Parquet, first"): 1.0,
        tpch_name("Q6", 1, "Parquet, again"): 1.0,
    }
    ratios = {name: contests[name].ratio(tpch.DUCKDB, tpch.QTENSOR) for name in bounds if name in contests}
    return [
        Target(f"{name}: faster than DuckDB", ratio, "x", at_least=bounds[name])
        for name, ratio in ratios.items()
        if ratio is not None
    ]
