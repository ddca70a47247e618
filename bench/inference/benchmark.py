"""Models in queries beside their own library, ONNX Runtime, DuckDB with a UDF, and Spark: rows are compared, then all take turns.

Networks and trees over tables of several sizes, as averages by group of half the rows; wide networks at several selectivities;
IMBridge's workloads; the first call of a query. Run as `python bench/models.py`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.comparison import RESULTS, caption, indented, shown
from bench.inference import star_schemas
from bench.inference.first_call import first_calls
from bench.inference.goals import MIDDLE, Measurement, judge
from bench.inference.onnx_models import onnx_model
from bench.inference.rivals import ONNX, QTENSOR, SPARK, duckdb_udf, library, onnx_runtime, qtensor_relation
from bench.inference.spark_rival import spark_udf
from bench.inference.workload import KINDS, Workload, workload
from bench.picture import draw
from bench.quiet import import_tensorflow
from bench.report import Section, as_json, duration, target_table, times, write_json
from bench.spark import spark_missing, spark_session
from bench.timing import Contest, Contestant, Effort, Measured, Sameness, contest
from qtensor.process.cores import available_cores

NETWORKS = "softmax,4-16-4,32-128-64-1,100-256-128-10,wide-deep,text,lstm,encoder,cnn"
TREES = "xgboost-100-6,xgboost-500-8,lightgbm-100-64,lightgbm-500-256,forest-100-0"
SIZES = (1_000, 100_000, 1_000_000)
MOST_BYTES = 500_000_000  # of features, where nobody asked for rows
SLOW = {"forest": 100_000, "lightgbm": 100_000, "xgboost": 100_000}  # rows whose library takes seconds for more
WIDTH = 160
# Scores are sums in float32 in another order; averages of scores may be near 0.
CLOSE = Sameness(relative=1e-4, absolute=1e-5)


@dataclass(frozen=True)
class Settings:
    """What to measure. rows: None for each workload's own of SIZES. selective: networks at `shares` of `selective_rows` rows."""

    networks: tuple[str, ...]
    rows: tuple[int, ...] | None
    kinds: tuple[str, ...]
    selective: tuple[str, ...]
    shares: tuple[float, ...]
    selective_rows: int
    star_rows: int
    first_calls: int
    spark: bool
    effort: Effort


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Raises WrongResultError where a query gives other rows than the model's own library."""
    options = parser().parse_args(arguments)
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=WIDTH)
    settings = Settings(
        networks=words(options.networks),
        rows=tuple(map(int, words(options.rows))) if options.rows else None,
        kinds=words(options.kinds),
        selective=words(options.selective),
        shares=tuple(map(float, words(options.shares))),
        selective_rows=options.selective_rows,
        star_rows=options.star_rows,
        first_calls=options.first_calls,
        spark=options.spark,
        effort=Effort(options.rounds, min(3, options.rounds), options.seconds, min(1.0, options.seconds)),
    )
    run(settings, console, options.out, options.json or options.out / "models.json")
    return 0


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = options.add_argument
    add(
        "--networks",
        default=f"{NETWORKS},{TREES}",
        help="names, also gru, mobile, and any widths of layers (default %(default)s)",
    )
    add("--rows", help=f"rows of the tables (default {', '.join(map(str, SIZES))}, as far as that takes seconds)")
    add("--kinds", default="group", help=f"of {', '.join(KINDS)} (default group)")
    add("--selective", default="32-128-64-1,100-256-128-10", help="networks of the selectivity series (default %(default)s)")
    add("--shares", default="0.01,0.1,1", help="shares of the rows (default %(default)s)")
    add("--selective-rows", type=int, default=300_000, help="(default %(default)s)")
    add("--star-rows", type=int, default=200_000, help="rows of IMBridge's fact tables, 0: leave them out (default %(default)s)")
    add("--first-calls", type=int, default=5, help="new processes (default %(default)s)")
    add("--spark", action="store_true", help="with Spark's predict_batch_udf")
    add("--rounds", type=int, default=9, help="turns of each contestant (default %(default)s)")
    add("--seconds", type=float, default=5.0, help="after three turns, no longer than this for a contest (default %(default)s)")
    add("--out", type=Path, default=RESULTS, help="folder of the JSON file and the picture")
    add("--json", type=Path, help="the JSON file, if elsewhere")
    return options


def words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


class Arena:
    """What all contests share, and why who takes no part in which."""

    def __init__(self, settings: Settings, console: Console, cleanup: ExitStack) -> None:
        self.settings, self.threads, self.spark = settings, available_cores(), None
        self.console, self.absent = console, {}
        self.folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="qtensor-bench-models-")))
        if settings.spark:
            reason = spark_missing()
            if reason:
                self.without(SPARK, reason)
            else:
                self.spark = cleanup.enter_context(spark_session(self.threads))
        try:
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
        except ImportError as error:
            self.without(ONNX, f"{error.name} is not installed")

    def under_way(self, title: str) -> AbstractContextManager[Any]:
        """Show what is being measured; where it would not go again, as a line."""
        if self.console.is_terminal:
            return self.console.status(title)
        self.console.print(f"   {title} ...", style="dim")
        return nullcontext()

    def without(self, name: str, reason: str) -> None:
        self.absent[name] = reason
        self.console.print(f"   Without {name}: {reason}.", style="yellow")


def run(settings: Settings, console: Console, out: Path, path: Path) -> dict[str, Any]:
    """Measure, show and write; the content of the JSON file."""
    import_tensorflow()
    sections, found = [], []
    console.print(
        f"   Medians after warm-up on {available_cores()} cores; all take turns, and before that they gave the same rows.\n"
        "   12x: takes 12 times as long as qtensor. A model's library and ONNX Runtime do the query's rest by NumPy."
    )
    with ExitStack() as cleanup:
        shared = Arena(settings, console, cleanup)
        for title, cases in (("Models in queries", sized(settings)), ("Selectivity", selective(settings))):
            measured = [measure(shared, *case) for case in cases]
            if measured:
                found += measured
                sections.append(show(console, title, [one.contest for one in measured]))
        if settings.star_rows:
            sections.append(show(console, "IMBridge's workloads", measure_star_schemas(shared)))
    first = measure_first_calls(settings)
    if first is not None:
        sections.append(show(console, "First call", [first]))
    targets = judge(found, first)
    console.print("", target_table(targets), sep="\n")
    content = as_json(sections, targets, **{name: value for name, value in settings.__dict__.items() if name != "effort"})
    content["absent"] = shared.absent
    for folder in (out, path.parent):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(content, path)
    draw(sections, caption(), out / "models.png")
    console.print(f"   Every sample is in {shown(path)}, a picture in {shown(out / 'models.png')}")
    return content


Case = tuple[str, int, float, str]  # a workload, rows, the share of them that is chosen, a kind of query


def sized(settings: Settings) -> list[Case]:
    """Every workload at every size, half of the rows chosen."""
    return [
        (name, rows, 0.5, kind)
        for name in settings.networks
        for rows in (settings.rows or sizes_of(name))
        for kind in settings.kinds
    ]


def sizes_of(name: str) -> list[int]:
    kind = name.partition("-")[0]
    most = SLOW[kind] if kind in SLOW else MOST_BYTES // (4 * len(workload(name, 1).columns))
    return [rows for rows in SIZES if rows <= most]


def selective(settings: Settings) -> list[Case]:
    return [(name, settings.selective_rows, share, "group") for name in settings.selective for share in settings.shares]


def measure(shared: Arena, name: str, rows: int, share: float, kind: str) -> Measurement:
    """All contestants over one workload."""
    given, skipped = workload(name, rows, kind), dict(shared.absent)
    title = f"{name}, {rows:,} rows" + (f", {share:.0%}" if share != 0.5 else "") + (f", {kind}" if kind != "group" else "")
    with shared.under_way(title), ExitStack() as cleanup:
        contestants = [*library(given, share)]
        if ONNX not in skipped:
            contestants += onnx_contestant(given, share, skipped)
        contestants.append(cleanup.enter_context(duckdb_udf(given, share, shared.threads)))
        if shared.spark is not None and given.matrix is not None:
            contestants.append(cleanup.enter_context(spark_udf(shared.spark, given, share, shared.folder)))
        contestants.append(cleanup.enter_context(qtensor_relation(given, share)))
        sameness = Sameness(absolute=1 + rows / 1e5) if kind == "count" else CLOSE
        result = contest(title, contestants, shared.settings.effort, skipped=skipped, sameness=sameness)
    return Measurement(name, rows, share, kind, result)


def onnx_contestant(given: Workload, share: float, skipped: dict[str, str]) -> list[Contestant]:
    model = onnx_model(given.name, given.model)
    if model is None:
        skipped[ONNX] = "no ONNX file is built of this model here"
        return []
    return [onnx_runtime(given, share, model)]


def measure_star_schemas(shared: Arena) -> list[Contest]:
    """Each pipeline over its schema, in both kinds of query."""
    found = []
    for name, kind in star_schemas.PAIRS:
        schema = star_schemas.SCHEMAS[name](np.random.default_rng(0), shared.settings.star_rows)
        model = star_schemas.pipeline(schema, kind)
        for result, query in schema.queries().items():
            title = f"{name}, {kind}, {result}"
            with shared.under_way(title), star_schemas.contestants(schema, model, query, shared.threads) as contestants:
                sameness = Sameness(ordered=False)
                found.append(contest(title, contestants, shared.settings.effort, sameness=sameness))
    return found


def measure_first_calls(settings: Settings) -> Contest | None:
    if not settings.first_calls:
        return None
    calls = first_calls(MIDDLE, 10_000, settings.first_calls)
    parts = {QTENSOR: "total", "of that, compiling": "compiling", "registering, before": "registering"}
    measured = [Measured(name, tuple(call[part] for call in calls)) for name, part in parts.items()]
    return Contest(f"{MIDDLE}, 10,000 rows, new process", tuple(measured))


def show(console: Console, title: str, contests: Sequence[Contest]) -> Section:
    """A line for each contest, a column for each contestant."""
    names = dict.fromkeys(one.name for contest in contests for one in contest.measured)
    ordered = sorted(names, key=lambda name: name != QTENSOR)
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in ordered:
        table.add_column(name, justify="right", style="bold green" if name == QTENSOR else "")
    for one in contests:
        table.add_row(one.name, *(cell(one, name) for name in ordered))
    console.print("", table, sep="\n")
    section = Section(title, tuple(contests), QTENSOR, tuple(remarks(contests)))
    console.print(*(indented(remark) for remark in section.remarks), sep="\n")
    return section


def cell(contest: Contest, name: str) -> Text:
    seconds, ratio = contest.median(name), contest.ratio(name, QTENSOR)
    if seconds is None or ratio is None:
        return Text("-", style="dim")
    return Text(duration(seconds)) if name == QTENSOR else Text.assemble(duration(seconds), (f"{times(ratio):>7}", "dim"))


def remarks(contests: Sequence[Contest]) -> list[str]:
    """Which way each contestant went, and who took no part."""
    ways: Callable[[Contest], list[tuple[str, str]]] = lambda one: [(m.name, m.note) for m in one.measured if m.note]  # noqa: E731
    notes = dict.fromkeys(itertools.chain.from_iterable(map(ways, contests)))
    found = [
        f"{name}, in the way that was the fastest: {'; '.join(way for other, way in notes if other == name)}."
        for name in dict.fromkeys(name for name, _ in notes)
    ]
    skipped = {
        (name, reason): [one.name for one in contests if one.skipped.get(name) == reason]
        for one in contests
        for name, reason in one.skipped.items()
    }
    return found + [f"Without {name}: {reason} ({', '.join(where)})." for (name, reason), where in skipped.items()]
