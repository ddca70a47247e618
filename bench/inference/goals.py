"""What models in queries are to reach, each judged by what was measured in this run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.inference.rivals import DUCKDB, QTENSOR
from bench.inference.trees import LIBRARIES
from bench.inference.workload import TENSORFLOW
from bench.targets import Target
from bench.timing import Contest

SMALL, MIDDLE, WIDE, TEXT = ("softmax", "4-16-4"), "32-128-64-1", "100-256-128-10", "text"
OWN = (TENSORFLOW, *LIBRARIES.values())


@dataclass(frozen=True)
class Measurement:
    """A contest over `rows` rows of which `share` were chosen. workload, kind: of the model and of the query."""

    workload: str
    rows: int
    share: float
    kind: str
    contest: Contest


def judge(found: Sequence[Measurement], first_calls: Contest | None) -> list[Target]:
    """Every goal of which both sides were measured."""
    targets = [*own_library(found), *duckdb(found), *selectivity(found)]
    texts = [one.contest.ratio(TENSORFLOW, QTENSOR) for one in found if one.workload == TEXT]
    targets += least("texts: faster than TensorFlow", [ratio for ratio in texts if ratio], 10)
    seconds = first_calls.median(QTENSOR) if first_calls else None
    if seconds is not None:
        targets.append(Target(f"first call of a query with {MIDDLE}", seconds, "s", at_most=0.5))
    return targets


def own_library(found: Sequence[Measurement]) -> list[Target]:
    """The least ratio to the model's own library, from columns."""
    ratios = [(ratio, one.contest.name) for one in found for own in OWN if (ratio := one.contest.ratio(own, QTENSOR))]
    if not ratios:
        return []
    ratio, name = min(ratios)
    return [Target(f"never slower than its own library, least: {name}", ratio, "x", at_least=1)]


def duckdb(found: Sequence[Measurement]) -> list[Target]:
    targets = []
    for names, bound in ((SMALL, 10), ((MIDDLE,), 3)):
        for name in names:
            ratios = [one.contest.ratio(DUCKDB, QTENSOR) for one in found if one.workload == name]
            targets += least(f"{name}: faster than {DUCKDB}", [ratio for ratio in ratios if ratio], bound)
    return targets


def selectivity(found: Sequence[Measurement]) -> list[Target]:
    """How much less time 1 % of the rows of a wide model takes than all of them."""
    times = {one.share: one.contest.median(QTENSOR) for one in found if one.workload == WIDE and one.kind == "group"}
    few, all_of_them = times.get(0.01), times.get(1.0)
    return (
        []
        if not few or not all_of_them
        else [Target(f"{WIDE}: 1 % of rows faster than all", all_of_them / few, "x", at_least=20)]
    )


def least(name: str, ratios: Sequence[float], bound: float) -> list[Target]:
    return [Target(name, min(ratios), "x", at_least=bound)] if ratios else []
