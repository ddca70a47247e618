"""What every native library links: the engine and XLA's sort and matrix products, each compiled once and kept in the cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from qtensor.aot.native.toolchain import HERE, Toolchain, toolchain
from qtensor.cores import available_cores
from qtensor.errors import NativeError
from qtensor.folders import cache_folder

SORT = "sort_lib"
PRODUCTS = {"float": "dot_float", "double": "dot_double", "int32_t": "dot_int32"}


def sources(tools: Toolchain) -> dict[str, tuple[Path, tuple[str, ...]]]:
    """The source of each part, and the flags it needs beside the usual ones."""
    engine = {f"engine_{path.stem}": (path, ("-Wall", "-Wextra")) for path in sorted((HERE / "src").glob("*.cc"))}
    products = {part: (HERE / "xla" / "dot.cc", (f"-DQTENSOR_DOT={type}",)) for type, part in PRODUCTS.items()}
    sort = tools.tensorflow / "xla_aot_runtime_src" / "xla" / "backends" / "cpu" / "runtime" / "sort_lib.cc"
    return {**engine, **products, SORT: (sort, ("-w",))}


def refuse_unsupported(headers: Iterable[str]) -> None:
    """Raise NativeError if programs call parts of XLA's runtime that are not there: all of them, by tfcompile's headers."""
    unknown: set[str] = set()
    for line in (line for header in headers for line in header.splitlines()):
        if "TypedMatMul<" in line:
            type = line.partition("TypedMatMul<")[2].partition(",")[0]
            unknown |= {f"matrix products of {type}"} - {f"matrix products of {known}" for known in PRODUCTS}
        elif "EigenConv" in line:
            unknown.add("convolutions")
        elif "rng_states[" in line:
            unknown.add("random numbers")
    if unknown:
        raise NativeError(f"native libraries cannot compute {', '.join(sorted(unknown))} yet: use Relation.export")


def runtime_folder(tools: Toolchain) -> Path:
    """Where the parts are kept, for this compiler, TensorFlow, CPU, and these sources of ours."""
    digest = hashlib.sha256("\0".join((tools.compiler, tools.compiler_version, tools.tensorflow_version, *tools.flags)).encode())
    for path in sorted(path for folder in ("src", "xla") for path in (HERE / folder).rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(HERE)).encode() + path.read_bytes())
    return cache_folder() / "native" / digest.hexdigest()[:16]


def runtime_archive(progress: Progress | None = None) -> Path:
    """The archive that libraries are linked with; built when it is not in the cache yet, which takes about half a minute.

    Safe against other processes that build it too, and against being killed. Raises NativeError: a tool is missing.
    """
    tools = toolchain()
    archive = runtime_folder(tools) / "libqtensor_native.a"
    if archive.exists():
        return archive
    if progress is None:
        with progress_bars() as bars:
            return runtime_archive(bars)
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with locked(archive.with_name("lock")):
            if not archive.exists():
                build(tools, archive, progress)
    except OSError as error:
        raise NativeError(f"the native runtime cannot be kept in {archive.parent}: {error}") from error
    return archive


def build(tools: Toolchain, archive: Path, progress: Progress) -> None:
    """Compile all parts and put them together. The archive has its name only when it is whole."""
    parts = sources(tools)
    task = progress.add_task("building the native runtime, once", total=len(parts))
    with tempfile.TemporaryDirectory(dir=archive.parent) as temporary, ThreadPoolExecutor(available_cores()) as pool:

        def compile_part(part: str) -> Path:
            source, flags = parts[part]
            target = Path(temporary) / f"{part}.o"
            tools.compile((*tools.flags, *flags, *tools.includes, "-c", source, "-o", target), f"the runtime's {part}")
            progress.advance(task)
            return target

        slowest_first = sorted(parts, key=lambda part: (part != SORT, part not in PRODUCTS.values(), part))
        objects = list(pool.map(compile_part, slowest_first))
        whole = Path(temporary) / archive.name
        tools.run(["ar", "crs", whole, *objects], "the native runtime")
        os.replace(whole, archive)


def progress_bars() -> Progress:
    """Bars on standard error that vanish when they are done; nothing is drawn where that is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for others that hold the lock. A process that dies lets go of it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
