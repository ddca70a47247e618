"""The seed's benchmark: the headline query and TPC-H Q1 and Q6, qtensor and its rivals side by side in one run.

Run as `python bench/seed.py`, or with `--light` for what takes less than a minute: no Spark, a tenth of TPC-H's data. It first
shows the main job, then checks that all contestants give the same rows, then times them in turns, each on all cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # from bench/: the other modules of this folder are imported as bench.*

from rich.console import Console
from rich.text import Text

from bench import headline, tpch
from bench.demo import show_module, show_query, show_training
from bench.first_call import first_call
from bench.headline import DuckDBHeadline, crime, qtensor_contestants
from bench.picture import draw
from bench.quiet import import_tensorflow
from bench.report import Section, as_json, cores, machine, section_table, target_table, write_json
from bench.spark import spark_headline, spark_in_memory, spark_missing, spark_parquet, spark_session
from bench.targets import COMPILING, FIRST_CALL, judge, rows_name, tpch_name
from bench.timing import Contest, Contestant, Effort, Measured, contest

# A call of TensorFlow for each row: this many are asked of it and no more.
MOST_ROWS_ONE_BY_ONE = 2_000
WIDTH = 120


@dataclass(frozen=True)
class Settings:
    """What to measure. rows: sizes of the headline query; scale: of TPC-H; first_calls: new processes for each size."""

    rows: tuple[int, ...] = (200, 2_000, 2_000_000)
    trained_on: tuple[int, ...] = (200, 2_000)
    scale: float = 1.0
    spark: bool = True
    effort: Effort = Effort(rounds=15, least=5, seconds=60)
    first_calls: int = 5
    first_call_rows: tuple[int, ...] = (200, 2_000, 2_000_000)


LIGHT = Settings(scale=0.1, spark=False, effort=Effort(rounds=9, least=3, seconds=4), first_calls=1, first_call_rows=(2_000,))


@dataclass(frozen=True)
class Arena:
    """What all contests share. `absent`: why contestants take no part, by name."""

    settings: Settings
    threads: int
    session: Any | None
    absent: dict[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--light", action="store_true", help="without Spark and with less data: under a minute")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results", help="folder of the JSON file and the picture")
    options = parser.parse_args(arguments)
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=WIDTH)
    run(LIGHT if options.light else Settings(), console, options.out, "seed-light" if options.light else "seed")
    return 0


def run(settings: Settings, console: Console, out: Path, stem: str) -> dict[str, Any]:
    """Show the main job, measure, report; the content of the JSON file, which with the picture is written to the folder `out`."""
    threads = cores()
    with console.status("importing TensorFlow"):
        import_tensorflow(threads)
    models = show_training(console, settings.trained_on)
    largest_model = models[max(models)]
    show_module(console, show_query(console, crime(max(models)), largest_model))
    console.print(Text(f"4  Side by side: medians after warm-up, every engine on {threads} cores", "bold"))
    with arena(settings, threads, console) as shared:
        sections = []
        for section in measure_all(shared, models, console):
            console.print(section_table(section))
            sections.append(section)
    targets = judge({contest.name: contest for section in sections for contest in section.contests})
    console.print(target_table(targets))
    content = as_json(sections, targets, light=stem.endswith("light"), rows=settings.rows, scale=settings.scale)
    out.mkdir(parents=True, exist_ok=True)
    write_json(content, out / f"{stem}.json")
    draw(sections, caption(), out / f"{stem}.png")
    console.print(f"Every sample: {shown(out / stem)}.json, a picture: {shown(out / stem)}.png")
    return content


@contextmanager
def arena(settings: Settings, threads: int, console: Console) -> Iterator[Arena]:
    """Start what takes part, say what does not."""
    absent = {}
    if reason := tpch.datafusion_missing():
        absent[tpch.DATAFUSION] = reason
    spark_reason = spark_missing() if settings.spark else None
    if spark_reason:
        absent[tpch.SPARK] = spark_reason
    for name, reason in absent.items():
        console.print(f"   Without {name}: {reason}.", style="yellow")
    with ExitStack() as cleanup:
        session = None
        if settings.spark and not spark_reason:
            with console.status("starting Spark"):
                session = cleanup.enter_context(spark_session(threads))
        yield Arena(settings, threads, session, absent)


def measure_all(shared: Arena, models: dict[int, Any], console: Console) -> Iterator[Section]:
    """The sections, each when it is measured."""
    with console.status("the headline query") as status:
        contests = []
        for rows in shared.settings.rows:
            status.update(f"the headline query over {rows:,} rows")
            contests.append(
                measure_headline(shared, rows, models[max(size for size in models if size <= max(rows, min(models)))])
            )
        yield Section("The headline query", tuple(contests), headline.WARM)
        status.update("TPC-H")
        yield Section(f"TPC-H, scale {shared.settings.scale:g}", tuple(measure_tpch(shared)), tpch.QTENSOR)


def measure_headline(shared: Arena, rows: int, model: Any) -> Contest:
    """All contestants over the crime data of this size, and first calls in processes of their own."""
    data = crime(rows)
    reference = headline.confusion(data, model)
    skipped = dict(shared.absent)
    skipped.pop(tpch.DATAFUSION, None)
    with tempfile.TemporaryDirectory(prefix="qtensor-bench-model-") as saved_model, ExitStack() as cleanup:
        save(model, saved_model)
        contestants: list[Contestant] = []
        if shared.session is not None:
            by_row = rows <= MOST_ROWS_ONE_BY_ONE
            if not by_row:
                skipped[headline.SPARK_ROW] = f"calls TensorFlow for each row; run up to {MOST_ROWS_ONE_BY_ONE:,} rows"
            contestants += spark_headline(shared.session, data, saved_model, by_row=by_row)
        duckdb = DuckDBHeadline(data, model, shared.threads)
        cleanup.callback(duckdb.close)
        contestants += [duckdb.contestant, *qtensor_contestants(data, model)]
        result = contest(rows_name(rows), contestants, shared.settings.effort, reference=reference, skipped=skipped)
        if rows not in shared.settings.first_call_rows:
            return result
        calls = [first_call(rows, saved_model) for _ in range(shared.settings.first_calls)]
    first = Measured(FIRST_CALL, tuple(call.total for call in calls))
    compiling = Measured(COMPILING, tuple(call.compiling for call in calls))
    return Contest(result.name, (*result.measured, first, compiling), result.skipped)


def save(model: Any, folder: str) -> None:
    """Write the model as a SavedModel, for other processes."""
    import tensorflow as tf

    tf.saved_model.save(model, folder, signatures=model.__call__)


def measure_tpch(shared: Arena) -> Iterator[Contest]:
    """Q6 and Q1 in memory, Q6 from the Parquet file by a new connection each time and by the same one again."""
    scale, threads, effort = shared.settings.scale, shared.threads, shared.settings.effort
    path = tpch.lineitem(scale)
    with ExitStack() as cleanup:
        data = tpch.read(path)
        duckdb, qtensor = tpch.duckdb_in_memory(data, threads, cleanup), tpch.qtensor_in_memory(data, threads, cleanup)
        memory = [duckdb(tpch.Q6), qtensor(tpch.Q6)]
        if tpch.DATAFUSION not in shared.absent:
            memory.insert(1, tpch.datafusion_in_memory(data, threads)(tpch.Q6))
        if shared.session is not None:
            memory.insert(0, spark_in_memory(shared.session, path, tpch.COLUMNS, tpch.Q6))
        yield contest(tpch_name("Q6", scale, "in memory"), memory, effort, skipped=shared.absent)
        yield contest(tpch_name("Q1", scale, "in memory"), [duckdb(tpch.Q1), qtensor(tpch.Q1)], effort)
    with ExitStack() as cleanup:
        spark = [] if shared.session is None else [spark_parquet(shared.session, path, tpch.Q6)]
        first, again = tpch.parquet_first(tpch.Q6, path, threads), tpch.parquet_again(tpch.Q6, path, threads, cleanup)
        yield contest(tpch_name("Q6", scale, "Parquet, first"), [*spark, *first], effort, skipped=shared.absent)
        yield contest(tpch_name("Q6", scale, "Parquet, again"), [*spark, *again], effort, skipped=shared.absent)


def caption() -> str:
    """Under the picture: where it was measured."""
    found = machine()
    versions = ", ".join(
        f"{name} {version}" for name, version in found["versions"].items() if name in ("jax", "duckdb", "pyspark")
    )
    return f"{found['processor']}, {found['cores']} cores, Python {found['python']}, {versions}"


def shown(path: Path) -> Path:
    """As short as it can be said from here."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path


if __name__ == "__main__":
    sys.exit(main())
