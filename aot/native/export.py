"""A query as a native library: its forms compiled and linked with the engine, written beside a header and an example."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from rich.progress import Progress

from qtensor.aot.artifact.export import Exportable
from qtensor.aot.artifact.facts import TableFacts
from qtensor.aot.artifact.forms import FormPlanner, PlannedForm, lowered
from qtensor.aot.native.generate import NativeForm, NativeQuery, Program, query_source, weights_source
from qtensor.aot.native.programs import compile_programs, program_of
from qtensor.aot.native.runtime import progress_bars, runtime_archives
from qtensor.aot.native.toolchain import HERE, Toolchain, toolchain
from qtensor.errors import NativeError
from qtensor.logical import scans_of
from qtensor.lowering.ir.physical import SourceColumn
from qtensor.optimise.driver import optimise
from qtensor.optimise.unsupported_columns import refuse_passed_on
from qtensor.version import __version__

VERBS = ("open", "step", "step_file", "merge", "finish", "error", "close")


@dataclass(frozen=True)
class NativeObjects:
    """A query compiled: everything but the engine, and the folder that it was made in."""

    folder: Path
    query: NativeQuery
    objects: tuple[Path, ...]


def export_native(query: Exportable, folder: str | os.PathLike[str], name: str = "score") -> None:
    """Write lib<name>.so, <name>.h, <name>.pc, main.c, a Makefile and <name>_main into `folder`; all of them or none.

    Raises NativeError: a tool is missing, the query calls what libraries cannot compute, the folder cannot be written.
    UnsupportedError: what planning does not support.
    """
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
        raise NativeError(f"{name!r} cannot be the name of a library: letters, digits and _, a letter first")
    target = Path(folder)
    tools = toolchain()
    try:
        target.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix="qtensor_") as work,
            tempfile.TemporaryDirectory(dir=target, prefix=".writing_") as written,
            progress_bars() as progress,
        ):
            compiled = compile_query(tools, query, name, Path(work), progress)
            link(tools, compiled, name, runtime_archives(progress), Path(written))
            for path in sorted(Path(written).iterdir()):
                path.replace(target / path.name)
    except OSError as error:
        raise NativeError(f"the library cannot be written to {target}: {error}") from error


def compile_query(tools: Toolchain, query: Exportable, name: str, work: Path, progress: Progress) -> NativeObjects:
    """The query's own object files, made in `work`."""
    native, programs = native_query(query)
    for number, weight in enumerate(native.weights):  # what cannot be written is refused before anything is compiled
        (work / f"weight{number}.bin").write_bytes(np.ascontiguousarray(weight).tobytes())
    sources = {
        "query.cc": query_source(native, name),
        "weights.S": weights_source(str(work), native.weights),
        "library.cc": filled("library.cc", native, name),
    }
    objects = compile_programs(tools, programs, work, progress, native.calls_models)
    (work / f"{name}.h").write_text(filled("library.h", native, name))
    for file, source in sources.items():
        (work / file).write_text(source)
        target = work / f"{Path(file).stem}_source.o"
        flags = (*tools.flags, f"-I{work}", *tools.includes)
        tools.compile((*flags, "-c", work / file, "-o", target), f"the query's {file}")
        objects.append(target)
    return NativeObjects(work, native, tuple(objects))


def native_query(query: Exportable) -> tuple[NativeQuery, dict[Program, jax.stages.Lowered]]:
    """The query's description, and its programs lowered."""
    optimised = optimise(query.bound, None, query.statistics)
    refuse_passed_on(optimised)
    scans = scans_of(optimised)
    if len(scans) > 1:
        raise NativeError(f"native libraries read one table, the query reads {', '.join(scans)}: use Relation.export")
    of_tables = {table: query.facts(table, columns) for table, columns in scans.items()}
    forms = FormPlanner(optimised, of_tables, query.models).forms()
    if any(len(form.planned.plan.scans) > 1 or form.planned.plan.capacities for form in forms):
        raise NativeError("native libraries read a table once, the query reads it several times: use Relation.export")
    table = next(iter(scans), None)
    facts = TableFacts((), {}, {}, 0) if table is None else of_tables[table]
    models = [query.models[use.name] for use in forms[0].planned.plan.models]
    programs: dict[Program, jax.stages.Lowered] = {}
    described = []
    for form in forms:
        functions = lowered(form, models)
        of_form = {function: program_of(f"{form.name}_{function}", functions[function]) for function in form.functions}
        programs |= {program: functions[function] for function, program in of_form.items()}
        described.append(NativeForm(form.kind, form.rows, form.planned, of_form))
    columns = source_columns(forms)
    native = NativeQuery(
        query.sql,
        table,
        columns,
        {column.index: facts.fields[column.index].name for column in columns},
        {column.index: facts.fields[column.index].type for column in columns},
        facts.strings,
        tuple(described),
        tuple(np.asarray(weight) for model in models for weight in model.weights),
    )
    return native, programs


def source_columns(forms: Sequence[PlannedForm]) -> tuple[SourceColumn, ...]:
    """The columns that all forms read."""
    columns = forms[0].planned.plan.source.columns
    assert all(form.planned.plan.source.columns == columns for form in forms)
    return columns


def link(
    tools: Toolchain, compiled: NativeObjects, name: str, runtime: Sequence[Path], folder: Path, flags: Sequence[str] = ()
) -> None:
    """Write all files of the library into `folder`. flags: for compiler and linker, in tests.

    The library shows its C functions and nothing else, so that several libraries live in one process.
    """
    exported = "; ".join(f"{name}_{verb}" for verb in VERBS)
    script = compiled.folder / "exported.map"
    script.write_text(f"{{ global: {exported}; local: *; }};\n")
    for template, file in (
        ("library.h", f"{name}.h"),
        ("library.pc", f"{name}.pc"),
        ("main.c", "main.c"),
        ("Makefile", "Makefile"),
        ("NOTICE", "NOTICE"),
    ):
        (folder / file).write_text(filled(template, compiled.query, name))
    common = ("-Wl,--gc-sections", "-Wl,-O1", "-pthread", *flags)
    shared = ("-shared", f"-Wl,-soname,lib{name}.so", f"-Wl,--version-script,{script}", "-Wl,-z,defs")
    library = folder / f"lib{name}.so"
    tools.compile((*shared, *common, "-s", *compiled.objects, *runtime, "-o", library), f"the library lib{name}.so")
    main = compiled.folder / "main.o"
    tools.compile(("-x", "c", "-O2", f"-I{folder}", *flags, "-c", folder / "main.c", "-o", main), "the example main.c")
    static = ("-static-libstdc++", "-static-libgcc", "-s")
    executable = folder / f"{name}_main"
    tools.compile((*common, *static, main, *compiled.objects, *runtime, "-o", executable), f"the program {name}_main")


def filled(template: str, query: NativeQuery, name: str) -> str:
    """A template with its @WORDS@ replaced."""
    title = " ".join(query.sql.split())
    words: Mapping[str, str] = {
        "NAME": name,
        "PREFIX": name.upper(),
        "GUARD": f"QTENSOR_{name.upper()}_H",
        "VERSION": __version__,
        "TITLE": title,
        "SQL": "\n".join(f" *     {line}".rstrip() for line in query.sql.replace("*/", "* /").strip().splitlines()),
        "NO_TABLE": "" if query.table else " && 0",
    }
    text = (HERE / "templates" / template).read_text()
    return re.sub("@([A-Z_]+)@", lambda found: words[found[1]], text)
