"""What every native library links: the engine and XLA's sort and matrix products, each compiled once and kept in the cache."""

from __future__ import annotations

import fcntl
import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from qtensor.aot.native.toolchain import HERE, Toolchain, toolchain
from qtensor.errors import NativeError
from qtensor.files.folders import cache_folder
from qtensor.process.cores import available_cores

PRODUCTS = {"float": "dot_float", "double": "dot_double", "int32_t": "dot_int32"}


def xla_sources(tools: Toolchain) -> dict[str, tuple[Path, tuple[str, ...]]]:
    """The source of each part of XLA's runtime, and the flags it needs beside the usual ones; the slowest first."""
    sort = tools.tensorflow / "xla_aot_runtime_src" / "xla" / "backends" / "cpu" / "runtime" / "sort_lib.cc"
    # Eigen's kernels for AVX-512 take seven times as long to compile as those for AVX2.
    narrow = ("-march=x86-64-v3",) if tools.cpu == "x86-64-v4" else ()
    products = {part: (HERE / "xla" / "dot.cc", ("-w", *narrow, f"-DQTENSOR_DOT={type}")) for type, part in PRODUCTS.items()}
    return {"sort_lib": (sort, ("-w",)), **products}


def engine_sources(tools: Toolchain) -> dict[str, tuple[Path, tuple[str, ...]]]:
    return {path.stem: (path, ("-O3", "-Wall", "-Wextra")) for path in sorted((HERE / "src").glob("*.cc"))}


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


def runtime_archives(progress: Progress | None = None) -> tuple[Path, Path]:
    """The archives that libraries are linked with, the engine's and XLA's; built when they are not in the cache yet.

    Safe against other processes that build them too, and against being killed. Raises NativeError: a tool is missing.
    """
    if progress is None:
        with progress_bars() as bars:
            return runtime_archives(bars)
    tools = toolchain()
    return archive(tools, "src", engine_sources(tools), progress), archive(tools, "xla", xla_sources(tools), progress)


def archive(tools: Toolchain, ours: str, parts: Mapping[str, tuple[Path, tuple[str, ...]]], progress: Progress) -> Path:
    """The archive of these parts; `ours` is the folder here that they depend on, beside compiler, flags and TensorFlow."""
    digest = hashlib.sha256("\0".join((tools.compiler, tools.compiler_version, tools.tensorflow_version, *tools.flags)).encode())
    for path in sorted(path for path in (HERE / ours).rglob("*") if path.suffix in (".cc", ".h")):
        digest.update(str(path.relative_to(HERE)).encode() + path.read_bytes())
    target = cache_folder() / "native" / f"{ours}_{digest.hexdigest()[:16]}" / "runtime.a"
    if target.exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name("lock")):
            if not target.exists():
                build(tools, parts, target, progress)
    except OSError as error:
        raise NativeError(f"the native runtime cannot be kept in {target.parent}: {error}") from error
    return target


def build(tools: Toolchain, parts: Mapping[str, tuple[Path, tuple[str, ...]]], target: Path, progress: Progress) -> None:
    """Compile all parts and put them together. The archive has its name only when it is whole."""
    task = progress.add_task("building the native runtime, once", total=len(parts))
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary, ThreadPoolExecutor(available_cores()) as pool:

        def compile_part(part: str) -> Path:
            source, flags = parts[part]
            made = Path(temporary) / f"{part}.o"
            tools.compile((*tools.flags, *flags, *tools.includes, "-c", source, "-o", made), f"the runtime's {part}")
            progress.advance(task)
            return made

        objects = list(pool.map(compile_part, parts))
        whole = Path(temporary) / target.name
        tools.run(["ar", "crs", whole, *objects], "the native runtime")
        whole.replace(target)


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
