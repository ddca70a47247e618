"""Commands about one query: run it, look inside it, time it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import click

from qtensor.cli.inputs import Inputs, read_sql
from qtensor.cli.options import input_options, output_options, query_options
from qtensor.cli.output import Output

LEVELS = ("sql", "logical", "rules", "physical", "model", "hlo", "timings")
BENCHMARKS = ("seed", "aot")


@click.command()
@query_options
@output_options
def run(sql: str | None, file: str | None, inputs: Inputs, output: Output) -> None:
    """Run a query and write its rows; or statements, with semicolons between them, and write what the last one answers.

    Tables are those of --table, and files named in FROM in quotes. Models are called by their names in the SQL. Where the SQL
    has parameters such as $since, put it in single quotes: in double ones, shells replace them.

    Unlike DuckDB's program, this one writes CSV into a pipe: a table drawn for people shows the first and the last rows only.

    \b
    Examples:
      qtensor run "SELECT * FROM 'data.parquet' LIMIT 5"
      qtensor run 'SELECT count(*) FROM t WHERE day >= $since' --table t=data.csv --param since=2026-01-01
      qtensor run -f query.sql --table t=data.parquet --model risk=models/risk -o out.parquet
      cat rows.arrow | qtensor run "SELECT g, max(x) FROM t GROUP BY g" --table t=- --format json
    """
    text = read_sql(sql, file, inputs.tables)
    with inputs.connection() as connection:
        relation = connection.sql(text, inputs.values, dialect=inputs.dialect)
        output.write_answer(relation)


@click.command()
@query_options
@click.option("--level", type=click.Choice(LEVELS), default="physical", show_default=True, help="The stage to look at.")
def explain(sql: str | None, file: str | None, inputs: Inputs, level: str) -> None:
    """Show a query at a stage of its life.

    \b
    sql       as it was read
    logical   the plan as bound, and as optimised
    rules     the plan after each rule of the optimiser that changed it
    physical  the pipelines that are compiled
    model     the models layer by layer, and what they cost
    hlo       the XLA module that runs
    timings   milliseconds by stage; runs the query once
    """
    text = read_sql(sql, file, inputs.tables)
    with inputs.connection() as connection:
        relation = inputs.query(connection, text)
        click.echo(relation.explain(level))  # type: ignore[arg-type]


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("sql", metavar="SQL|seed|aot")
@click.argument("rest", nargs=-1, type=click.UNPROCESSED)
@input_options
@click.option("--repeat", "-n", type=click.IntRange(min=1), default=20, show_default=True, help="How often the query is run.")
def bench(sql: str, rest: tuple[str, ...], inputs: Inputs, repeat: int) -> None:
    """Time a query of your own, or run a benchmark of the repository.

    Of a query: how long its preparation took by stage, then the times of running it and fetching its rows as Arrow, after one
    run that is not counted.

    The benchmarks need a checkout of the repository and take options of their own.

    \b
    Examples:
      qtensor bench "SELECT g, sum(x) FROM t GROUP BY g" --table t=data.parquet --repeat 50
      qtensor bench seed --light
    """
    if sql in BENCHMARKS:
        raise SystemExit(run_benchmark(sql, rest))
    if rest:
        raise click.UsageError(f"unexpected: {' '.join(rest)}")
    text = read_sql(sql, None, inputs.tables)
    with inputs.connection() as connection:
        relation = inputs.query(connection, text)
        prepared = relation._prepare()
        rows = relation.arrow().num_rows
        seconds = [timed(relation.arrow) for _ in range(repeat)]
    lines = [
        *prepared.seconds.items(),
        ("fastest run", min(seconds)),
        ("median run", statistics.median(seconds)),
        ("slowest run", max(seconds)),
    ]
    for name, spent in lines:
        click.echo(f"{name:<16} {spent * 1e3:10.3f} ms")
    cached = ", compiled code loaded from the cache" if prepared.from_cache else ""
    click.echo(f"({repeat} runs, {rows:,} rows each, {prepared.threads} threads{cached})")


def timed(work: object) -> float:
    assert callable(work)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run_benchmark(name: str, arguments: tuple[str, ...]) -> int:
    """Run bench/NAME.py of the checkout that this package lies in. Returns its exit code."""
    script = Path(__file__).resolve().parents[2] / "bench" / f"{name}.py"
    if not script.is_file():
        raise click.UsageError(
            f'the benchmark "{name}" is not installed: it needs a checkout of the repository, with bench/{name}.py'
        )
    return subprocess.run([sys.executable, script, *arguments], check=False).returncode
