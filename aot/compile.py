"""Tensor programs to XLA executables: lowered to StableHLO, compiled for this CPU, cached in memory and on disk."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import numpy as np

from qtensor.aot.cache import ExecutableCache, environment_key
from qtensor.aot.runtime import COMPILER_OPTIONS, compile_stablehlo, stablehlo
from qtensor.lowering.model import Model
from qtensor.lowering.physical import PhysicalPlan
from qtensor.lowering.program import Progress, Share, Shared, TensorProgram

QUERIES_KEPT = 512

Arguments: TypeAlias = Sequence[jax.Array]


@dataclass(frozen=True)
class Module:
    """One compiled XLA module; called with its arguments flattened, returns its results flattened. Thread-safe."""

    name: str
    executable: Any  # jaxlib's LoadedExecutable, which has no public type
    from_cache: bool
    seconds: float

    def __call__(self, arguments: Arguments) -> list[jax.Array]:
        return self.executable.execute(arguments)  # type: ignore[no-any-return]

    def hlo(self) -> str:
        """The optimised HLO that runs, without the tables of source lines that JAX appends to it."""
        return "\n".join(without_locations(module.to_string()) for module in self.executable.hlo_modules())


@dataclass(frozen=True)
class CompiledQuery:
    """The modules of a plan: `whole`, or on several shares `partial` and `final` (a row-wise query has nothing to merge)."""

    plan: PhysicalPlan
    whole: Module | None
    partial: Module | None
    final: Module | None

    @property
    def modules(self) -> tuple[Module, ...]:
        return tuple(module for module in (self.whole, self.partial, self.final) if module is not None)


class Compiler:
    """Compiles plans, each once: equal plans with models of equal graphs share an executable."""

    def __init__(self, cache: ExecutableCache | None) -> None:
        self._cache = cache
        self._compiled: dict[tuple[PhysicalPlan, tuple[tuple[tuple[int, ...], ...], ...]], CompiledQuery] = {}
        self._lock = threading.Lock()

    def compile(self, plan: PhysicalPlan, models: Sequence[Model]) -> CompiledQuery:
        key = (plan, tuple(tuple(weight.shape for weight in model.weights) for model in models))
        with self._lock:
            compiled = self._compiled.pop(key, None) or self._build(plan, models)
            self._compiled[key] = compiled  # the most recently used is the last
            while len(self._compiled) > QUERIES_KEPT:
                del self._compiled[next(iter(self._compiled))]
            return compiled

    def _build(self, plan: PhysicalPlan, models: Sequence[Model]) -> CompiledQuery:
        program = TensorProgram(plan, models)
        share, shared = argument_shapes(plan, models)
        if plan.source.shares == 1:
            return CompiledQuery(plan, self._module("whole", program.whole, (share, shared), plan), None, None)
        with jax.enable_x64(True):
            progress: Progress = jax.eval_shape(program.partial, share, shared)
        partial = self._module("partial", program.partial, (share, shared), plan)
        if plan.row_wise:
            return CompiledQuery(plan, None, partial, None)
        final = self._module("final", program.final, ((progress,) * plan.source.shares, shared), plan)
        return CompiledQuery(plan, None, partial, final)

    def _module(self, name: str, function: Callable[..., Any], shapes: tuple[Any, ...], plan: PhysicalPlan) -> Module:
        start = time.perf_counter()
        key = hashlib.sha256(f"{environment_key()}\n{name}\n{COMPILER_OPTIONS}\n{plan!r}".encode()).hexdigest()
        executable = self._cache.load(key) if self._cache else None
        if executable is not None:
            return Module(name, executable, True, time.perf_counter() - start)
        with jax.enable_x64(True):
            lowered = jax.jit(function, keep_unused=True).lower(*shapes)
        executable = compile_stablehlo(stablehlo(lowered))
        if self._cache:
            self._cache.save(key, executable)  # before its first run: afterwards one that sorts does not serialise
        return Module(name, executable, False, time.perf_counter() - start)


def argument_shapes(plan: PhysicalPlan, models: Sequence[Model]) -> tuple[Share, Shared]:
    """The shapes and dtypes of a run's arguments."""
    source = plan.source
    grid = (source.chunks, source.chunk)
    columns: list[Any] = []
    for column in source.columns:
        columns.append(shape_of(grid, np.dtype(column.dtype)))
        if column.nullable:
            columns.append(shape_of(grid, np.bool_))
    vectors = [(len(plan.scalars), "int64"), (len(plan.float_scalars), "float64")]
    scalars, float_scalars = (shape_of((length,), np.dtype(dtype)) for length, dtype in vectors)
    tables = tuple(shape_of((table.size,), np.dtype(table.dtype)) for table in plan.tables)
    weights = tuple(tuple(shape_of(weight.shape, weight.dtype) for weight in model.weights) for model in models)
    rows = shape_of((), np.int32)
    return Share(tuple(columns), rows), Shared(scalars, float_scalars, tables, weights)


def without_locations(hlo: str) -> str:
    """HLO text less its stack frames and metadata, which name files of this machine.

    >>> without_locations('HloModule m\\n\\nFileNames\\n1 "a.py"\\n\\n%x = s32[] add(), metadata={op_name="add"}')
    'HloModule m\\n\\n%x = s32[] add()'
    """
    tables = ("FileNames", "FunctionNames", "FileLocations", "StackFrames")
    parts = [part for part in hlo.split("\n\n") if not part.lstrip().startswith(tables)]
    return re.sub(r", metadata=\{[^}]*\}", "", "\n\n".join(parts))


def shape_of(shape: tuple[int, ...], dtype: Any) -> Any:
    """What a program is lowered for, in place of an array."""
    return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]
