"""The headline query and TPC-H Q1 and Q6, qtensor and its rivals side by side in one run.

First the main job is shown, then all contestants' rows are compared, then they are timed in turns, each on all cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.status import Status
from rich.text import Text

from bench import headline, tpch
from bench.demo import show_module, show_query, show_training
from bench.first_call import first_call
from bench.headline import DuckDBHeadline, crime, qtensor_contestants
from bench.picture import draw
from bench.quiet import import_tensorflow
from bench.report import Section, as_json, machine, section_table, target_table, write_json
from bench.spark import spark_headline, spark_in_memory, spark_missing, spark_parquet, spark_session
from bench.targets import COMPILING, FIRST_CALL, judge, rows_name, tpch_name
from bench.timing import Contest, Contestant, Effort, Measured, contest
from qtensor.process.cores import available_cores

RESULTS = Path(__file__).resolve().parent / "results"
# A call of TensorFlow for each row: this many are asked of it and no more.
MOST_ROWS_ONE_BY_ONE = 2_000
WIDTH = 120


@dataclass(frozen=True)
class Settings:
    """What to measure.

    rows: sizes of the headline query; trained_on: sizes whose models are trained; scale: of TPC-H; first_calls: how many new
    processes for each of the sizes first_call_rows.
    """

    rows: tuple[int, ...]
    trained_on: tuple[int, ...]
    scale: float
    spark: bool
    effort: Effort
    first_calls: int
    first_call_rows: tuple[int, ...]


ROWS, TRAINED_ON = (200, 2_000, 2_000_000), (200, 2_000)
FULL = Settings(ROWS, TRAINED_ON, 1.0, True, Effort(rounds=15, least=5, seconds=40, warm_seconds=8), 5, ROWS)
LIGHT = Settings(ROWS, TRAINED_ON, 0.1, False, Effort(rounds=9, least=3, seconds=3, warm_seconds=1), 1, (2_000,))


@dataclass(frozen=True)
class Arena:
    """What all contests share. absent: by the name of a contestant, why it takes no part."""

    settings: Settings
    threads: int
    spark: Any | None
    absent: dict[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--light", action="store_true", help="without Spark and with less data: under a minute")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON file and the picture")
    options = parser.parse_args(arguments)
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=WIDTH)
    run(LIGHT if options.light else FULL, console, options.out, "seed-light" if options.light else "seed")
    return 0


def run(settings: Settings, console: Console, out: Path, stem: str) -> dict[str, Any]:
    """Show the main job, measure, report; the content of the JSON file, which with the picture is written to the folder `out`."""
    threads = available_cores()
    with console.status("importing TensorFlow"):
        import_tensorflow()
    models = show_training(console, settings.trained_on)
    show_module(console, show_query(console, crime(max(models)), models[max(models)]))
    console.print(Text("4  Side by side", "bold"))
    console.print(
        f"   Medians after warm-up. Every engine has {threads} cores, they take turns, and before that they gave the same rows.\n"
        "   12x: takes 12 times as long as the line in bold."
    )
    sections = []
    with arena(settings, threads, console) as shared, console.status("") as status:
        for section in (headline_section(shared, models, status), tpch_section(shared, status)):
            console.print("", section_table(section), *(indented(remark) for remark in section.remarks), sep="\n")
            sections.append(section)
    targets = judge({contest.name: contest for section in sections for contest in section.contests})
    if targets:
        console.print("", target_table(targets), sep="\n")
    if settings != FULL or shared.absent:
        console.print("   More targets need Spark and TPC-H at scale 1: make bench-seed", style="dim")
    content = as_json(sections, targets, rows=settings.rows, scale=settings.scale, spark=settings.spark)
    out.mkdir(parents=True, exist_ok=True)
    write_json(content, out / f"{stem}.json")
    draw(sections, caption(), out / f"{stem}.png")
    console.print(f"   Every sample is in {shown(out / stem)}.json, a picture in {shown(out / stem)}.png")
    return content


@contextmanager
def arena(settings: Settings, threads: int, console: Console) -> Iterator[Arena]:
    """Start what takes part, say what does not."""
    missing = {tpch.DATAFUSION: tpch.datafusion_missing(), tpch.SPARK: spark_missing() if settings.spark else None}
    absent = {name: reason for name, reason in missing.items() if reason}
    for name, reason in absent.items():
        console.print(f"   Without {name}: {reason}.", style="yellow")
    with ExitStack() as cleanup:
        spark = None
        if settings.spark and tpch.SPARK not in absent:
            with console.status("starting Spark"):
                spark = cleanup.enter_context(spark_session(threads))
        yield Arena(settings, threads, spark, absent)


def headline_section(shared: Arena, models: dict[int, Any], status: Status) -> Section:
    """The headline query at each size, with the model trained on as many rows or else on the most."""
    contests = []
    for rows in shared.settings.rows:
        status.update(f"the headline query over {rows:,} rows")
        contests.append(measure_headline(shared, rows, models.get(rows, models[max(models)])))
    chosen = [one.note for contest in contests for one in contest.measured if one.name == headline.DUCKDB]
    chosen = chosen[:1] if len(set(chosen)) == 1 else chosen
    remarks = [f"DuckDB calls TensorFlow for whole vectors of rows, in the way that was the faster one: {', '.join(chosen)}."]
    if shared.settings.first_calls and shared.settings.first_call_rows:
        remarks.append("A first call is made in a new process: from the query's text to its rows, no compiled code in any cache.")
    remarks += [f"{name}: {reason}." for name, reason in contests[-1].skipped.items() if name == headline.SPARK_ROW]
    return Section("The headline query", tuple(contests), headline.WARM, tuple(remarks))


def measure_headline(shared: Arena, rows: int, model: Any) -> Contest:
    """All contestants over the crime data of this size, and first calls in processes of their own."""
    settings, data, skipped = shared.settings, crime(rows), {}
    if reason := shared.absent.get(tpch.SPARK):
        skipped = {headline.SPARK_ROW: reason, headline.SPARK_PANDAS: reason}
    with tempfile.TemporaryDirectory(prefix="qtensor-bench-model-") as saved_model, ExitStack() as cleanup:
        save(model, saved_model)
        contestants: list[Contestant] = []
        if shared.spark is not None:
            by_row = rows <= MOST_ROWS_ONE_BY_ONE
            if not by_row:
                skipped[headline.SPARK_ROW] = (
                    f"one call of TensorFlow a row, not asked for more than {MOST_ROWS_ONE_BY_ONE:,} rows"
                )
            contestants += spark_headline(shared.spark, data, saved_model, by_row=by_row)
        duckdb = DuckDBHeadline(data, model, shared.threads)
        cleanup.callback(duckdb.close)
        contestants += [duckdb.contestant, *qtensor_contestants(data, model)]
        reference = headline.confusion(data, model)
        result = contest(rows_name(rows), contestants, settings.effort, reference=reference, skipped=skipped)
        calls = settings.first_calls if rows in settings.first_call_rows else 0
        return replace(result, measured=(*result.measured, *measure_first_calls(rows, saved_model, calls)))


def measure_first_calls(rows: int, saved_model: str, count: int) -> list[Measured]:
    """First calls in as many new processes, and of each the part that compiles."""
    if not count:
        return []
    calls = [first_call(rows, saved_model) for _ in range(count)]
    return [
        Measured(FIRST_CALL, tuple(call.total for call in calls)),
        Measured(COMPILING, tuple(call.compiling for call in calls)),
    ]


def save(model: Any, folder: str) -> None:
    """Write the model as a SavedModel, for other processes."""
    import tensorflow as tf

    tf.saved_model.save(model, folder, signatures=model.__call__)


def tpch_section(shared: Arena, status: Status) -> Section:
    """Q6 and Q1 in memory, Q6 from the Parquet file."""
    scale = shared.settings.scale
    status.update(f"TPC-H at scale {scale:g}, which is generated when first asked for")
    path = tpch.lineitem(scale)
    remarks = [
        "In memory: the columns that the queries read, as a table of each engine's own.",
        "Parquet, first: a new connection for each call, the file is read and decoded anew; compiled code is in the cache.",
        "Parquet, again: the same connection asked again; qtensor has kept encoded columns, the others decode anew.",
    ]
    if shared.spark is not None:
        remarks.append("Spark has one session for both, since starting one takes seconds.")
    contests = (*measure_in_memory(shared, path, status), *measure_parquet(shared, path, status))
    return Section(f"TPC-H, scale {scale:g}", contests, tpch.QTENSOR, tuple(remarks))


def measure_in_memory(shared: Arena, path: Path, status: Status) -> list[Contest]:
    """Q6 and Q1 over a table of each engine's own."""
    scale, threads, effort = shared.settings.scale, shared.threads, shared.settings.effort
    status.update(f"TPC-H Q6 and Q1 in memory, scale {scale:g}")
    data = tpch.read(path)
    with ExitStack() as cleanup:
        duckdb, qtensor = tpch.duckdb_in_memory(data, threads, cleanup), tpch.qtensor_in_memory(data, threads, cleanup)
        contestants = [duckdb(tpch.Q6), qtensor(tpch.Q6)]
        if tpch.DATAFUSION not in shared.absent:
            contestants.insert(1, tpch.datafusion_in_memory(data, threads)(tpch.Q6))
        if shared.spark is not None:
            contestants.insert(0, spark_in_memory(shared.spark, path, tpch.COLUMNS, tpch.Q6))
        return [
            contest(tpch_name("Q6", scale, "in memory"), contestants, effort, skipped=shared.absent),
            contest(tpch_name("Q1", scale, "in memory"), [duckdb(tpch.Q1), qtensor(tpch.Q1)], effort),
        ]


def measure_parquet(shared: Arena, path: Path, status: Status) -> list[Contest]:
    """Q6 over the file: by a new connection each time, and by the same one again."""
    scale, threads, effort = shared.settings.scale, shared.threads, shared.settings.effort
    status.update(f"TPC-H Q6 from Parquet, scale {scale:g}")
    with ExitStack() as cleanup:
        spark = [] if shared.spark is None else [spark_parquet(shared.spark, path, tpch.Q6)]
        first, again = tpch.parquet_first(tpch.Q6, path, threads), tpch.parquet_again(tpch.Q6, path, threads, cleanup)
        return [
            contest(tpch_name("Q6", scale, "Parquet, first"), [*spark, *first], effort, skipped=shared.absent),
            contest(tpch_name("Q6", scale, "Parquet, again"), [*spark, *again], effort, skipped=shared.absent),
        ]


def indented(remark: str) -> Padding:
    """A paragraph under a table."""
    return Padding(Text(remark, "dim"), (0, 0, 0, 3))


def caption() -> str:
    """Under the picture: where it was measured."""
    found = machine()
    versions = [f"{name} {version}" for name, version in found["versions"].items() if name in ("jax", "duckdb", "pyspark")]
    return ", ".join([found["processor"], f"{found['cores']} cores", f"Python {found['python']}", *versions])


def shown(path: Path) -> Path:
    """As short as it can be said from here."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path
