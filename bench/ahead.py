"""A query shipped ahead of time beside the same query in a session: as a Python artifact and as a native library.

The headline query at three sizes, TPC-H Q6 and Q1, cold starts in processes of their own, and what exporting costs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich import box
from rich.console import Console
from rich.status import Status
from rich.table import Table

import qtensor
from bench import headline, tpch
from bench.cold_start import cold_starts
from bench.comparison import RESULTS, WIDTH, caption, indented, save, shown
from bench.headline import HEADLINE, confusion, crime, features, train
from bench.native_library import NativeLibrary, native_missing
from bench.picture import draw
from bench.quiet import import_tensorflow
from bench.report import Section, as_json, duration, section_table, target_table, write_json
from bench.targets import Target, rows_name, tpch_name
from bench.timing import Contest, Contestant, Effort, contest
from qtensor.process.cores import available_cores

SESSION = "qtensor, in the session"
ARTIFACT = "qtensor, Python artifact"
NATIVE = "qtensor, native library"
NATIVE_RETAINED = "qtensor, native library, data kept"
TENSORFLOW = "TensorFlow"


@dataclass(frozen=True)
class Settings:
    """rows: sizes of the headline query. starts: how many cold starts of each kind. spark: whether Spark starts too."""

    rows: tuple[int, ...]
    scale: float
    effort: Effort
    starts: int
    spark: bool


FULL = Settings((200, 2_000, 1_000_000), 1.0, Effort(rounds=15, least=5, seconds=30, warm_seconds=3), 5, spark=True)


@dataclass(frozen=True)
class Export:
    """What exporting one query cost: seconds and bytes; native is None where it was not built."""

    name: str
    artifact_seconds: float
    artifact_bytes: int
    native_seconds: float | None
    native_bytes: int | None


@dataclass(frozen=True)
class Shipped:
    """A query in all its forms."""

    relation: qtensor.Relation
    artifact: qtensor.Artifact
    native: NativeLibrary | None
    export: Export


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON file and the picture")
    options = parser.parse_args(arguments)
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=WIDTH)
    run(FULL, console, options.out, "aot")
    return 0


def run(settings: Settings, console: Console, out: Path, stem: str) -> dict[str, Any]:
    """Measure and report; the content of the JSON file, which with the picture is written to the folder `out`."""
    with console.status("importing TensorFlow"):
        import_tensorflow()
    missing = native_missing()
    if missing:
        console.print(f"   Without native libraries: {missing}.", style="yellow")
    console.print(
        f"   Medians after warm-up on {available_cores()} cores; all take turns, and before that they gave the same rows."
    )
    exports: list[Export] = []
    sections = []
    with tempfile.TemporaryDirectory(prefix="qtensor-bench-aot-") as folder, console.status("") as status:
        for section in measured_sections(settings, Path(folder), status, exports, native=not missing):
            console.print("", section_table(section), *(indented(remark) for remark in section.remarks), sep="\n")
            sections.append(section)
    console.print("", export_table(exports), sep="\n")
    targets = judge({contest.name: contest for section in sections for contest in section.contests})
    console.print("", target_table(targets), sep="\n")
    content = as_json(sections, targets, rows=settings.rows, scale=settings.scale, spark=settings.spark)
    content["exports"] = [export.__dict__ for export in exports]
    out.mkdir(parents=True, exist_ok=True)
    write_json(content, out / f"{stem}.json")
    draw(sections, caption(), out / f"{stem}.png")
    console.print(f"   Every sample is in {shown(out / stem)}.json, a picture in {shown(out / stem)}.png")
    return content


def measured_sections(
    settings: Settings, folder: Path, status: Status, exports: list[Export], *, native: bool
) -> Iterator[Section]:
    model = train(headline.TRAINED_ON)
    saved_model = folder / "model"
    save(model, str(saved_model))
    data = crime(headline.TRAINED_ON)
    with qtensor.connect() as connection:
        connection.create_function("classifier", model)
        status.update("exporting the headline query")
        with shipped(connection.register("data", data), HEADLINE, "headline", folder, native=native) as query:
            exports.append(query.export)
            contests = [measure_headline(settings, rows, query, model, status) for rows in settings.rows]
            yield Section(
                "The headline query, exported from 2,000 rows",
                tuple(contests),
                SESSION,
                ("A call takes an Arrow table and gives one; the session and the artifact have kept its encoded columns.",),
            )
            status.update("cold starts")
            starts = cold_starts(data, folder, saved_model, query.native, settings.starts, spark=settings.spark)
            yield Section(
                "Cold start: a new process until it has the result of 2,000 rows",
                (starts,),
                ARTIFACT,
                ("The artifact's time contains importing JAX and pyarrow; the native executable reads an Arrow file.",),
            )
    yield measure_tpch(settings, folder, status, exports, native=native)


@contextmanager
def shipped(connection: qtensor.Connection, query: str, name: str, folder: Path, *, native: bool) -> Iterator[Shipped]:
    """The query exported both ways and loaded."""
    relation = connection.sql(query)
    relation.arrow()
    path = folder / f"{name}.qta"
    start = time.perf_counter()
    relation.export(path)
    seconds = time.perf_counter() - start
    with ExitStack() as cleanup:
        library, native_seconds, native_bytes = None, None, None
        if native:
            NativeLibrary.prepare()
            start = time.perf_counter()
            relation.export_native(folder / name, name)
            native_seconds = time.perf_counter() - start
            library = cleanup.enter_context(NativeLibrary(folder / name, name))
            native_bytes = library.size
        export = Export(name, seconds, path.stat().st_size, native_seconds, native_bytes)
        yield Shipped(relation, qtensor.load(path, isolated=False), library, export)


def measure_headline(settings: Settings, rows: int, query: Shipped, model: Any, status: Status) -> Contest:
    """The query on data of this size, which the artifact and the library have not seen."""
    status.update(f"the headline query over {rows:,} rows")
    data = crime(rows)
    with qtensor.connect() as connection:
        relation = connection.register("data", data).create_function("classifier", model).sql(HEADLINE)
        contestants = [
            tensorflow_contestant(data, model),
            Contestant(SESSION, relation.arrow),
            Contestant(ARTIFACT, lambda: query.artifact(data=data)),
        ]
        if query.native is not None:
            contestants.append(Contestant(NATIVE, query.native.caller(data)))
        return contest(rows_name(rows), contestants, settings.effort, reference=confusion(data, model))


def tensorflow_contestant(data: pa.Table, model: Any) -> Contestant:
    """The whole query as one TensorFlow graph compiled by XLA, from arrays that are ready as tensors."""
    import tensorflow as tf

    batch, cluster = tf.constant(features(data)), tf.constant(data["cluster"].to_numpy())

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
    def counts(batch: Any, cluster: Any) -> Any:
        classes = tf.one_hot(tf.argmax(model.scores(batch), 1), headline.CLASSES, dtype=tf.int64)
        return tf.math.unsorted_segment_sum(classes, cluster, headline.CLASSES)

    def run() -> pa.Table:
        found = counts(batch, cluster).numpy()
        names = ["cluster", *(f"class{number + 1}" for number in range(headline.CLASSES))]
        kept = [(group, *row) for group, row in enumerate(found.tolist()) if sum(row)]
        return pa.table(dict(zip(names, map(list, zip(*kept, strict=True)), strict=True)))

    return Contestant(TENSORFLOW, run)


def measure_tpch(settings: Settings, folder: Path, status: Status, exports: list[Export], *, native: bool) -> Section:
    status.update(f"TPC-H at scale {settings.scale:g}, which is generated when first asked for")
    data = tpch.read(tpch.lineitem(settings.scale))
    contests = []
    with qtensor.connect() as connection:
        connection.register("lineitem", data)
        for name, text in (("Q6", tpch.Q6), ("Q1", tpch.Q1)):
            status.update(f"TPC-H {name}")
            with shipped(connection, text, name.lower(), folder, native=native) as query:
                exports.append(query.export)
                contestants = [Contestant(SESSION, query.relation.arrow), artifact_contestant(query, data)]
                if query.native is not None:
                    contestants.append(Contestant(NATIVE_RETAINED, query.native.keeper(data)))
                    contestants.append(Contestant(NATIVE, query.native.caller(data)))
                contests.append(contest(tpch_name(name, settings.scale, "in memory"), contestants, settings.effort))
    remarks = (
        "In the session, in the artifact and with data kept, columns were encoded before; the native library otherwise encodes",
        "Arrow's decimals, dates and texts in each call.",
    )
    return Section(f"TPC-H, scale {settings.scale:g}", tuple(contests), SESSION, (" ".join(remarks),))


def artifact_contestant(query: Shipped, data: pa.Table) -> Contestant:
    return Contestant(ARTIFACT, lambda: query.artifact(lineitem=data))


def export_table(exports: Sequence[Export]) -> Table:
    table = Table(title="Exporting", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for column in ("artifact", "size", "native library", "size"):
        table.add_column(column, justify="right")
    for export in exports:
        native = ("-", "-")
        if export.native_seconds is not None and export.native_bytes is not None:
            native = (duration(export.native_seconds), f"{export.native_bytes / 1024:,.0f} KiB")
        table.add_row(export.name, duration(export.artifact_seconds), f"{export.artifact_bytes / 1024:,.0f} KiB", *native)
    return table


def judge(contests: dict[str, Contest]) -> list[Target]:
    """The speeds that ahead-of-time compilation set out to reach, as far as both sides were measured."""
    targets = []
    for name in (tpch_name("Q6", 1, "in memory"), tpch_name("Q1", 1, "in memory")):
        ratio = contests[name].ratio(SESSION, NATIVE_RETAINED) if name in contests else None
        if ratio is not None:
            targets.append(Target(f"{name}: native library, data kept, beside the session", ratio, "x", at_least=0.8))
    small = contests.get(rows_name(2_000))
    call = small.median(NATIVE) if small else None
    if call is not None:
        targets.append(Target("headline, 2,000 rows: a call of the native library", call * 1e3, "ms", at_most=0.1))
    starts = contests.get("2,000 rows, cold")
    if starts is not None:
        native, beyond = starts.median("native executable"), starts.median("of that, beyond importing JAX")
        if native is not None:
            targets.append(Target("cold start of the native executable", native * 1e3, "ms", at_most=20))
        if beyond is not None:
            targets.append(Target("cold start of the artifact, beyond importing JAX", beyond, "s", at_most=0.3))
    return targets
