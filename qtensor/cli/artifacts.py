"""Commands about exported queries: write one, run it, look at it, trust its native code."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qtensor.cli.inputs import Inputs, named_parameter, open_source, read_sql
from qtensor.cli.options import EXEC_PARAMETER, TABLE, THREADS, output_options, query_options
from qtensor.cli.output import Output

if TYPE_CHECKING:
    from qtensor.aot.artifact.artifact import Artifact

ARTIFACT = click.argument("artifact", metavar="FILE.qta")


@click.command()
@query_options
@click.option("--output", "-o", "path", metavar="FILE.qta", help="The file to write.")
@click.option("--native", "folder", metavar="FOLDER", help="Write a folder with a native library instead, or beside the file.")
@click.option("--types-only", is_flag=True, help="Assume nothing of the tables but the types of their columns.")
def export(sql: str | None, file: str | None, inputs: Inputs, path: str | None, folder: str | None, types_only: bool) -> None:
    """Compile a query and write it as one file, which runs without TensorFlow and SQL parser.

    The tables are samples: what is true of them (ranges of values, no NULLs, how many different strings) is what the exported
    query assumes, and data that is otherwise is refused. --types-only makes it take all data of the same types, and slower.

    \b
    Example:
      qtensor export 'SELECT id, risk(a, b) AS r FROM t WHERE a > $least' --table t=sample.parquet \\
          --model risk=models/risk --param least=0.5 -o risk.qta
      qtensor exec risk.qta --table t=data.parquet --param least=0.7
    """
    if path is None and folder is None:
        raise click.UsageError("say what to write: -o FILE.qta, or --native FOLDER")
    from qtensor.run.prepared import Query

    text = read_sql(sql, file, inputs.tables)
    only_types = [name.lower() for name, _ in inputs.tables] if types_only else []
    with inputs.connection() as connection:
        if path is not None:
            connection._export(Query(text, inputs.values, inputs.dialect), {}, path, only_types)
            click.echo(f"{path}: {Path(path).stat().st_size:,} bytes", err=True)
        if folder is not None:
            connection.sql(text, inputs.values, dialect=inputs.dialect).export_native(folder)
            click.echo(f"{folder}: written", err=True)


@click.command("exec")
@ARTIFACT
@TABLE
@EXEC_PARAMETER
@THREADS
@output_options
def exec_command(
    artifact: str,
    tables: tuple[tuple[str, str], ...],
    parameters: tuple[tuple[str, str], ...],
    threads: int | None,
    output: Output,
) -> None:
    """Run an exported query on its tables.

    Without --table, the only table comes from stdin. An Arrow stream is computed while it is read, so it may be longer
    than memory.

    \b
    Examples:
      qtensor exec score.qta --table t=data.parquet --param least=0.7
      producer | qtensor exec score.qta --format arrow | consumer
    """
    import pyarrow as pa

    from qtensor.aot.artifact.artifact import load

    query = load(artifact, threads)
    if len(query.tables) == 1 and not tables and not sys.stdin.isatty():
        tables = ((query.tables[0], "-"),)
    if wrong := [name for name, _ in tables if name.lower() not in map(str.lower, query.tables)]:
        raise click.UsageError(f"the query reads {', '.join(query.tables) or 'no table'}, not {wrong[0]}")
    given = [name.lower() for name, _ in tables]
    if wanted := [name for name in query.tables if given.count(name.lower()) != 1]:
        raise click.UsageError(f"the query reads the table {wanted[0]}: add --table {wanted[0]}=PATH, once")
    values = typed_parameters(query, dict(parameters))
    sources = {name: open_source(path) for name, path in tables}
    types = [str(field.type) for field in query.manifest.output]
    streamed = [source for source in sources.values() if isinstance(source, pa.RecordBatchReader)]
    as_stream = streamed and len(query.tables) == 1
    output.write(query.stream(*streamed, **values) if as_stream else query(**sources, **values), types)


def typed_parameters(query: Artifact, texts: Mapping[str, str]) -> dict[str, Any]:
    """The parameters as Python values; what was a text when the query was exported is one, whatever it looks like.

    Raises click.UsageError: a value is none of the type that its name says.
    """
    types = {parameter.name: str(parameter.value.type) for parameter in query.manifest.parameters}
    values: dict[str, Any] = {}
    for key, text in texts.items():
        is_text = types.get(key.removeprefix("$").lower()) == "VARCHAR"
        try:
            name, value = named_parameter(f"{key}:text" if is_text else key, text)
        except ValueError as error:
            raise click.UsageError(f"--param {error}") from None
        values[name] = value
    return values


@click.command()
@ARTIFACT
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def inspect(artifact: str, as_json: bool) -> None:
    """Show what an exported query is: SQL, table and what is assumed of it, result, parameters, models, compiled code.

    Nothing in the file is run.
    """
    from qtensor.aot.artifact.container import read_container
    from qtensor.cli.describe import as_text, describe

    described = describe(read_container(artifact))
    click.echo(json.dumps(described, indent=2) if as_json else as_text(artifact, described))


@click.command()
@click.argument("artifact", metavar="[FILE.qta]", required=False)
@click.option("--list", "listing", is_flag=True, help="List the digests that are trusted.")
@click.option("--remove", is_flag=True, help="Trust the file, or the digest given in its place, no longer.")
@click.option("--compile", "compiling", is_flag=True, help="Add native code for this machine to the file, and trust that.")
def trust(artifact: str | None, listing: bool, remove: bool, compiling: bool) -> None:
    """Let the native code of an exported query run.

    It can do whatever you can do: trust files only of people you trust. What you export yourself is trusted at once. A file
    that is not trusted works, too: its portable program is compiled on first use. Trust is in the file's SHA-256, so a file
    that changes loses it. QTENSOR_TRUST names another folder for what is trusted.
    """
    from qtensor.aot.artifact.container import read_container
    from qtensor.aot.artifact.trust import add_trust, remove_trust, trusted_digests

    if listing:
        if artifact or remove or compiling:
            raise click.UsageError("--list stands alone")
        for digest in trusted_digests():
            click.echo(digest)
        return
    if artifact is None:
        raise click.UsageError("name a file, or --list")
    if compiling:
        from qtensor.aot.artifact.machine_code import add_machine_code

        if remove:
            raise click.UsageError("--compile adds trust and --remove takes it away")
        click.echo(f"trusted: {add_machine_code(artifact)}")
        return
    if not remove:
        digest = read_container(artifact).digest
        add_trust(digest)
        click.echo(f"trusted: {digest}")
        return
    digest = artifact if re.fullmatch(r"[0-9a-f]{64}", artifact) else read_container(artifact).digest
    click.echo(f"{'no longer trusted' if remove_trust(digest) else 'was not trusted'}: {digest}")
