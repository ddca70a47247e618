"""What `qtensor inspect` says of an artifact: one plain structure, written as text for people or as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from qtensor.aot.artifact.container import Container
from qtensor.aot.artifact.manifest import UNLIMITED_STRINGS, AssumedColumn, Form, Input, Manifest
from qtensor.aot.artifact.trust import is_trusted
from qtensor.aot.machine.cache import machine_key
from qtensor.explain.plan_text import literal_text
from qtensor.files.printable import printable
from qtensor.lowering.ir.ranges import range_of_type
from qtensor.lowering.models.text.program import type_called
from qtensor.types import Schema, Varchar
from qtensor.values.texts import format_value

KINDS = {
    "whole": "up to {rows:,} rows at once",
    "by_rows": "any number of rows, {rows:,} at a time, streamed",
    "by_state": "any number of rows, {rows:,} at a time, with a state of fixed size",
}


def describe(container: Container) -> dict[str, Any]:
    """Everything about an artifact in dicts, lists, texts and numbers."""
    manifest = container.manifest
    sizes = {part.name: part.size for part in manifest.parts}
    return {
        "digest": container.digest,
        "trusted": is_trusted(container.digest),
        "size": container.size,
        "format": manifest.format,
        "versions": {"qtensor": manifest.qtensor, "jax": manifest.jax, "jaxlib": manifest.jaxlib},
        "sql": manifest.sql,
        "dialect": manifest.dialect,
        "inputs": [described_input(read) for read in manifest.inputs],
        "parameters": [
            {
                "name": parameter.name,
                "type": str(parameter.value.type),
                "default": literal_text(parameter.value),
                "fixed": parameter.fixed,
            }
            for parameter in manifest.parameters
        ],
        "output": described_fields(manifest.output),
        "models": [
            {
                "name": model.name,
                "arguments": [type_called(argument) for argument in model.arguments],
                "result": str(model.result),
                "classes": model.classes,
                "weights_size": sum(sizes[part] for part in model.weights),
                "digest": model.digest,
            }
            for model in manifest.models
        ],
        "variants": [described_form(form, manifest, sizes) for form in manifest.forms],
    }


def described_fields(schema: Schema) -> list[dict[str, str]]:
    return [{"name": field.name, "type": str(field.type)} for field in schema]


def described_input(read: Input) -> dict[str, Any]:
    columns = [
        {"name": field.name, "type": str(field.type), "assumed": list(assumptions(column, read))}
        for column in read.columns
        for field in [read.fields[column.column.index]]
    ]
    keys = [[read.fields[index].name for index in key] for key in read.unique]
    return {"table": read.table, "usual_rows": read.usual_rows, "columns": columns, "unique": keys}


def assumptions(column: AssumedColumn, read: Input) -> Iterator[str]:
    """What data must be for the programs to be right about it, and is checked to be."""
    expected, type = column.column, read.fields[column.column.index].type
    if not expected.nullable:
        yield "no NULL"
    if isinstance(type, Varchar):
        if column.strings is not None and column.strings < UNLIMITED_STRINGS:
            yield f"at most {column.strings:,} different strings"
        return
    if expected.range is not None and expected.range != range_of_type(type):
        yield f"values from {format_value(expected.range.low, type)} to {format_value(expected.range.high, type)}"
    if expected.dtype in ("float32", "float64") and not expected.may_be_nan:
        yield "no NaN and no denormal number"


def described_form(form: Form, manifest: Manifest, sizes: dict[str, int]) -> dict[str, Any]:
    native = {executable.module: executable for executable in manifest.executables}
    programs = [
        {
            "function": module.function,
            "stablehlo_size": sizes[module.part],
            "native_size": sizes[native[module.part].part] if module.part in native else None,
            "native_here": module.part in native and native[module.part].environment == machine_key(),
        }
        for module in form.modules
    ]
    sizes_of_tables = {read.table: size for read, size in zip(manifest.inputs, form.sizes, strict=True)}
    return {"kind": form.kind, "rows": form.rows, "sizes": sizes_of_tables, "programs": programs}


def as_text(path: str, described: dict[str, Any]) -> str:
    """The structure that `describe` makes, as people read it: nothing in the file is more than what it says on its own line."""
    shown = {key: printable(value) if key == "sql" else harmless(value) for key, value in described.items()}
    return "\n".join(text_lines(path, shown))


def harmless(value: Any) -> Any:
    """The same dicts and lists with texts that stay on one line."""
    match value:
        case dict():
            return {harmless(key): harmless(item) for key, item in value.items()}
        case list():
            return [harmless(item) for item in value]
        case str():
            return printable(value).replace("\n", "\\n").replace("\t", "\\t")
        case _:
            return value


def text_lines(path: str, described: dict[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in described["versions"].items())
    trusted = (
        "yes: its native code may run" if described["trusted"] else f"no: compiled anew; to change that: qtensor trust {path}"
    )
    yield f"{path}: {described['size']:,} bytes, made by {versions}"
    yield f"sha256   {described['digest']}"
    yield f"trusted  {trusted}"
    yield from section(f"SQL ({described['dialect']})", described["sql"].strip().splitlines())
    if not described["inputs"]:
        yield from section("Input", ["no table"])
    for read in described["inputs"]:
        rows = [(column["name"], column["type"], ", ".join(column["assumed"])) for column in read["columns"]]
        keys = [f"no two equal rows of ({', '.join(key)})" for key in read["unique"]]
        yield from section(f"Input: table {read['table']}, {read['usual_rows']:,} rows when exported", [*aligned(rows), *keys])
    parameters = [
        (f"${parameter['name']}", parameter["type"], parameter["default"], "fixed" if parameter["fixed"] else "")
        for parameter in described["parameters"]
    ]
    yield from section("Parameters, with their defaults", aligned(parameters))
    yield from section("Output", aligned((column["name"], column["type"]) for column in described["output"]))
    models = [
        (f"{model['name']}({', '.join(model['arguments'])})", model["result"], f"{model['weights_size']:,} bytes of weights")
        for model in described["models"]
    ]
    yield from section("Models", aligned(models))
    for form in described["variants"]:
        rows_of = [f"{size:,} of {table}" for table, size in form["sizes"].items()]
        several = f"up to so many rows: {', '.join(rows_of)}"
        limit = several if len(rows_of) > 1 else KINDS[form["kind"]].format(rows=form["rows"])
        yield from section(f"For {limit}", aligned(map(program_row, form["programs"])))


def program_row(program: dict[str, Any]) -> tuple[str, str, str]:
    native = "no native code"
    if program["native_size"] is not None:
        fits = "for this machine" if program["native_here"] else "for another CPU or jaxlib"
        native = f"{program['native_size']:,} bytes native code {fits}"
    return program["function"], f"{program['stablehlo_size']:,} bytes StableHLO", native


def section(title: str, lines: Iterable[str]) -> Iterator[str]:
    """A heading with indented lines; nothing without lines."""
    lines = list(lines)
    if lines:
        yield from ("", title, *(f"  {line}" for line in lines))


def aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """The rows as lines whose columns begin at the same places.

    >>> aligned([("a", "BIGINT"), ("cluster", "")])
    ['a        BIGINT', 'cluster']
    """
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
