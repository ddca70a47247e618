"""Tensor programs to XLA executables: lowered to StableHLO, compiled for this CPU, cached in memory and on disk."""

from __future__ import annotations

import functools
import hashlib
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import numpy as np

from qtensor.aot.machine.cache import ExecutableCache
from qtensor.aot.machine.loaded import Loaded
from qtensor.aot.machine.module_keys import ModuleKeys, digest_of
from qtensor.aot.machine.runtime import Code, compile_stablehlo, stablehlo
from qtensor.lowering.ir.physical import STOP_SLOTS, PhysicalPlan
from qtensor.lowering.models.model import WIDE, Model
from qtensor.lowering.program.program import NOTHING, Carried, Share, Shared, TensorProgram
from qtensor.lowering.program.swept import Sweep, SweptProgram
from qtensor.lowering.program.work import shape_of
from qtensor.process.calls import check
from qtensor.process.cores import available_cores

QUERIES_KEPT = 512
MODULES_KEPT = 1024

Arguments: TypeAlias = Sequence[jax.Array]
# A plan, the shapes of its models' weights, and for how many values of its parameters it is.
CompiledKey: TypeAlias = tuple[PhysicalPlan, tuple[tuple[tuple[int, ...], ...], ...], Sweep | None]


@dataclass(frozen=True)
class CompiledModule:
    """One compiled XLA module; called with its arguments flattened, returns its results flattened. Thread-safe."""

    name: str
    loaded: Loaded
    from_cache: bool
    seconds: float

    def __call__(self, arguments: Arguments) -> list[jax.Array]:
        return self.loaded.executable.execute(arguments)  # type: ignore[no-any-return]

    def hlo(self) -> str:
        """The optimised HLO that runs, without the tables of source lines that JAX appends to it."""
        return "\n".join(without_locations(module.to_string()) for module in self.loaded.hlo_modules())


@dataclass(frozen=True)
class CompiledStage:
    """One stage of a plan: `partial` for each share of its first table, then `final`. A stage of tables of one share is `final`
    alone, and one whose result are its table's rows `partial` alone.
    """

    pipelines: range
    partial: CompiledModule | None
    final: CompiledModule | None


@dataclass(frozen=True)
class CompiledQuery:
    """The stages of a plan; most have one."""

    plan: PhysicalPlan
    stages: tuple[CompiledStage, ...]

    @property
    def modules(self) -> tuple[CompiledModule, ...]:
        return tuple(module for stage in self.stages for module in (stage.partial, stage.final) if module is not None)


class Compiler:
    """Compiles plans, each once: equal plans with models of equal graphs share an executable, and so do equal parts of plans."""

    def __init__(self, cache: ExecutableCache | None) -> None:
        self._cache = cache
        self._compiled: dict[CompiledKey, CompiledQuery] = {}
        self._under_way: dict[CompiledKey, Future[None]] = {}
        self._modules: dict[str, tuple[str, Loaded]] = {}  # with their keys, by the StableHLO they are compiled of
        self._lock = threading.Lock()

    def compile(self, plan: PhysicalPlan, models: Sequence[Model], sweep: Sweep | None = None) -> CompiledQuery:
        """The plan's modules; with `sweep` for several values of its parameters at once."""
        key = (plan, tuple(tuple(weight.shape for weight in model.weights) for model in models), sweep)
        while True:
            with self._lock:
                if key in self._compiled:
                    self._compiled[key] = self._compiled.pop(key)  # the most recently used is the last
                    return self._compiled[key]
                under_way = self._under_way.get(key)
                if under_way is None:
                    mine = self._under_way[key] = Future()
                    break
            wait([under_way])  # and look again: it may have failed, or been stopped
        try:
            compiled = self._build(plan, models, sweep)
            with self._lock:
                self._compiled[key] = compiled
                while len(self._compiled) > QUERIES_KEPT:
                    del self._compiled[next(iter(self._compiled))]
            return compiled
        finally:
            with self._lock:
                del self._under_way[key]
            mine.set_result(None)

    def _build(self, plan: PhysicalPlan, models: Sequence[Model], sweep: Sweep | None) -> CompiledQuery:
        alone = TensorProgram(plan, models)
        program = alone if sweep is None else SweptProgram(alone, sweep)
        shared = shared_shapes(plan, models, sweep)._replace(stop=shape_of((STOP_SLOTS,), np.dtype(np.int32)))
        keys = ModuleKeys(plan, shared, sweep)
        wide = any(model.work >= WIDE for model in models)
        if len(plan.stages) == 1 and plan.source.shares == 1:
            shares = tuple(share_shapes(plan, number) for number in plan.scans)
            traced = Traced(program.whole, lambda: (shares, shared), split_fusions=wide)
            whole = self._module("whole", keys.of("whole", plan.stages[0]), traced)
            return CompiledQuery(plan, (CompiledStage(plan.stages[0], None, whole),))
        carried: Callable[[], Carried] = lambda: NOTHING  # noqa: E731
        with ThreadPoolExecutor(available_cores()) as pool:  # XLA lets go of Python's lock while it compiles
            stages = []
            for pipelines in plan.stages:
                stage, carried = self._stage(program, pipelines, carried, shared, keys, pool, wide)
                stages.append(stage)
            return CompiledQuery(plan, tuple(stage() for stage in stages))

    def _stage(
        self,
        program: TensorProgram | SweptProgram,
        pipelines: range,
        carried: Callable[[], Carried],
        shared: Shared,
        keys: ModuleKeys,
        pool: ThreadPoolExecutor,
        wide: bool,
    ) -> tuple[Callable[[], CompiledStage], Callable[[], Carried]]:
        """One stage, being compiled, and what gives the shapes of what it carries on."""
        plan, first = program.plan, pipelines.start
        suffix = f"_{first}" if first else ""

        def compiling(kind: str, traced: Traced) -> Future[CompiledModule]:
            return pool.submit(copy_context().run, self._module, f"{kind}{suffix}", keys.of(kind, pipelines), traced)

        scans = [number for number in plan.scans if number in pipelines]
        if not (first in scans and plan.scan(first).shares > 1):
            shares = tuple(share_shapes(plan, number) for number in scans)
            alone = Traced(functools.partial(program.stage, pipelines), lambda: (shares, carried(), shared), split_fusions=wide)
            whole = compiling("stage", alone)
            return lambda: CompiledStage(pipelines, None, whole.result()), alone.result
        share = share_shapes(plan, first)
        per_share = Traced(functools.partial(program.partial, first), lambda: (share, carried(), shared))
        partial = compiling("partial", per_share)
        if plan.row_wise and pipelines.stop == len(plan.pipelines) and len(pipelines) == 1:
            return lambda: CompiledStage(pipelines, partial.result(), None), carried
        others = tuple(share_shapes(plan, number) for number in scans[1:])
        count = plan.scan(first).shares
        rest = Traced(
            functools.partial(program.final, pipelines),
            lambda: ((per_share.result(),) * count, others, carried(), shared),
        )
        final = compiling("final", rest)
        return lambda: CompiledStage(pipelines, partial.result(), final.result()), rest.result

    def _module(self, name: str, key: str, traced: Traced) -> CompiledModule:
        """A module from the cache on disk, else from memory if one of the same StableHLO is there, else compiled."""
        split = traced.split_fusions
        key = digest_of(f"{key} split") if split else key
        check()
        start = time.perf_counter()
        code = self._cache.load(key) if self._cache else None
        if code is not None:
            again = functools.partial(self._load, key, traced.stablehlo, split)
            return CompiledModule(name, Loaded(again, code), True, time.perf_counter() - start)
        bytecode = traced.stablehlo()
        check()
        digest = f"{hashlib.sha256(bytecode).hexdigest()}-{split}"
        if digest in self._modules:
            known, loaded = self._modules[digest]
            if self._cache:
                self._cache.share(known, key)
            return CompiledModule(name, loaded, True, time.perf_counter() - start)
        # Of the bytecode, and not of `traced`, which by now holds all that was traced.
        again = functools.partial(self._load, key, lambda: bytecode, split)
        loaded = Loaded(again, self._compile(key, bytecode, split))
        self._modules[digest] = (key, loaded)
        if len(self._modules) > MODULES_KEPT:
            self._modules.pop(next(iter(self._modules)), None)
        return CompiledModule(name, loaded, False, time.perf_counter() - start)

    def _load(self, key: str, bytecode: Callable[[], bytes], split: bool) -> Code:
        return (self._cache.load(key) if self._cache else None) or self._compile(key, bytecode(), split)

    def _compile(self, key: str, bytecode: bytes, split: bool) -> Code:
        code = compile_stablehlo(bytecode, split)
        if self._cache:
            self._cache.save(key, code)
        return code


class Traced:
    """A function with the shapes of its arguments; traced when first needed, which takes as long as to load compiled code.

    split_fusions: whether XLA may cut its fusions in parts for the cores: where a wide model has but one share.
    """

    def __init__(self, function: Callable[..., Any], shapes: Callable[[], tuple[Any, ...]], split_fusions: bool = False) -> None:
        self.split_fusions = split_fusions
        self._function = function
        self._shapes = shapes
        self._lock = threading.Lock()

    def stablehlo(self) -> bytes:
        with self._lock, jax.enable_x64(True):
            return stablehlo(jax.jit(self._function, keep_unused=True).lower(*self._shapes()))

    def result(self) -> Any:
        """The shapes and dtypes of what the function gives."""
        with self._lock, jax.enable_x64(True):
            return self._result

    @functools.cached_property
    def _result(self) -> Any:
        return jax.eval_shape(self._function, *self._shapes())


def share_shapes(plan: PhysicalPlan, number: int) -> Share:
    """The shapes and dtypes of one share of the table that pipeline `number` reads."""
    source = plan.scan(number)
    grid = (source.chunks, source.chunk)
    columns: list[Any] = []
    for column in source.columns:
        columns.append(shape_of(grid, np.dtype(column.dtype)))
        if column.nullable:
            columns.append(shape_of(grid, np.bool_))
    first = shape_of((), np.int64) if plan.pipelines[number].numbered else None
    return Share(tuple(columns), shape_of((), np.int32), first)


def shared_shapes(plan: PhysicalPlan, models: Sequence[Model], sweep: Sweep | None = None) -> Shared:
    """The shapes and dtypes of what all parts of a run are given; in a sweep, what values change has them along a first axis."""
    one = () if sweep is None else (sweep.values,)
    of_tables = [()] * len(plan.tables) if sweep is None else [one if differs else () for differs in sweep.tables]
    vectors = [(len(plan.scalars), "int64"), (len(plan.float_scalars), "float64")]
    scalars, float_scalars = (shape_of((*one, length), np.dtype(dtype)) for length, dtype in vectors)
    tables = tuple(
        shape_of((*values, table.size), np.dtype(table.dtype)) for values, table in zip(of_tables, plan.tables, strict=True)
    )
    weights = tuple(tuple(shape_of(weight.shape, weight.dtype) for weight in model.weights) for model in models)
    return Shared(scalars, float_scalars, tables, weights)


def without_locations(hlo: str) -> str:
    """HLO text less its stack frames and metadata, which name files of this machine.

    >>> without_locations('HloModule m\\n\\nFileNames\\n1 "a.py"\\n\\n%x = s32[] add(), metadata={op_name="add"}')
    'HloModule m\\n\\n%x = s32[] add()'
    """
    tables = ("FileNames", "FunctionNames", "FileLocations", "StackFrames")
    parts = [part for part in hlo.split("\n\n") if not part.lstrip().startswith(tables)]
    return re.sub(r", metadata=\{[^}]*\}", "", "\n\n".join(parts))
