"""Lowered functions to object files: StableHLO handed to `tfcompile.py` in a process of its own, then its headers to g++."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
from rich.progress import Progress

from qtensor.aot.machine.options import COMPILER_OPTIONS, WHOLE_FUSIONS
from qtensor.aot.machine.runtime import portable_stablehlo
from qtensor.aot.native.generate import Program, program_source
from qtensor.aot.native.runtime import refuse_unsupported
from qtensor.aot.native.toolchain import HERE, Toolchain
from qtensor.errors import NativeError
from qtensor.process.cores import available_cores


def xla_flags(calls_models: bool) -> str:
    """As in the session, and products in the thread that asks for them: a query's threads run whole programs.

    TensorFlow's version of XLA has two ways to write fusions. The newer one is twice as fast for sums in two limbs (a step of
    TPC-H Q1: 2.4 and 5.6 ms), but leaves the loop over a model's classes a loop (headline, 65,536 rows: 1.05 and 0.2 ms).
    """
    options = {
        "xla_cpu_multi_thread_eigen": "false",
        **COMPILER_OPTIONS,
        **WHOLE_FUSIONS,
        "xla_cpu_use_fusion_emitters": str(not calls_models),
    }
    return " ".join(f"--{option}={str(value).lower()}" for option, value in options.items())


def program_of(name: str, lowered: jax.stages.Lowered) -> Program:
    """The program's description; it takes all arguments of the function, also those that it does not use."""
    arguments: list[Any] = jax.tree.leaves(lowered.in_avals)
    results: list[Any] = jax.tree.leaves(lowered.out_info)
    described = [tuple((str(leaf.dtype), tuple(leaf.shape)) for leaf in leaves) for leaves in (arguments, results)]
    return Program(name, *described)


def compile_programs(
    tools: Toolchain, programs: Mapping[Program, jax.stages.Lowered], folder: Path, progress: Progress, calls_models: bool
) -> list[Path]:
    """The object files of the programs, made in `folder`: kernels, constants, and the adapter, of each."""
    task = progress.add_task("compiling programs", total=2 * len(programs))
    for program, lowered in programs.items():
        (folder / f"{program.name}.stablehlo").write_bytes(portable_stablehlo(lowered))
    for _ in tfcompile(tools, programs, folder, xla_flags(calls_models)):
        progress.advance(task)
    refuse_unsupported((folder / f"{program.name}.h").read_text() for program in programs)

    def compile_adapter(program: Program) -> Path:
        source = folder / f"{program.name}.cc"
        source.write_text(program_source(program))
        target = folder / f"{program.name}_adapter.o"
        flags = (*tools.flags, "-w", f"-I{folder}", *tools.includes)
        tools.compile((*flags, "-c", source, "-o", target), f"the program {program.name}")
        progress.advance(task)
        return target

    with ThreadPoolExecutor(available_cores()) as pool:
        adapters = list(pool.map(compile_adapter, programs))
    kernels = [folder / f"{program.name}{suffix}.o" for program in programs for suffix in ("", "_constants")]
    return [*(path for path in kernels if path.exists()), *adapters]


def tfcompile(tools: Toolchain, programs: Iterable[Program], folder: Path, flags: str) -> Iterable[str]:
    """Run tfcompile over what is in `folder`; the names of the programs as they are done."""
    described = [
        {"name": program.name, "class": program.generated_class, "arguments": program.arguments, "results": program.results}
        for program in programs
    ]
    (folder / "programs.json").write_text(json.dumps({"triple": tools.triple, "cpu": tools.cpu, "programs": described}))
    environment = {**os.environ, "XLA_FLAGS": flags, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    command = [sys.executable, "-P", str(HERE / "tfcompile.py"), str(folder)]
    log = folder / "tfcompile.log"
    with log.open("wb") as errors, subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield line.decode().strip()
    if process.returncode:
        said = "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-12:])
        raise NativeError(f"TensorFlow's compiler does not take the query's programs:\n{said}")
