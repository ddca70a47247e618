"""EXPLAIN: a query at the stage of its life that someone wants to see."""

from __future__ import annotations

import time
from typing import Literal, TypeAlias, get_args

from qtensor.bind import normalised
from qtensor.errors import QTensorError, UnsupportedError
from qtensor.explain.model_text import models_text
from qtensor.explain.pipeline_text import physical_text
from qtensor.explain.plan_text import plan_text
from qtensor.logical import definitions_of
from qtensor.optimise.driver import optimise
from qtensor.optimise.facts.estimates import Estimator
from qtensor.optimise.facts.model_calls import rows_of_models
from qtensor.run.measured import MeasuredTables
from qtensor.run.prepared import Prepared
from qtensor.run.session import Session
from qtensor.run.sweep import PreparedSweep, Runs, run_sweep
from qtensor.streaming.prepare import PreparedStream, Runnable
from qtensor.streaming.tally import Tally

Level: TypeAlias = Literal["sql", "logical", "rules", "physical", "model", "hlo", "timings"]


def explain(session: Session, prepared: Runnable, level: Level) -> str:
    """The text of one level; `session` runs the query for its timings. Raises QTensorError for a level that does not exist."""
    match level:
        case "sql":
            return normalised(prepared.query.sql, prepared.query.dialect)
        case "logical":
            return f"bound\n{plan_text(prepared.bound)}\n\noptimised\n{plan_text(prepared.optimised)}"
        case "rules":
            return rules(session, prepared)
        case "physical":
            return physical(prepared)
        case "model":
            return models_text(prepared.models, rows_of_models(prepared.optimised, estimator(session, prepared)))
        case "hlo":
            return hlo(prepared)
        case "timings":
            return timings(session, prepared)
        case _:
            raise QTensorError(f'there is no level "{level}": use {", ".join(map(repr, get_args(Level)))}')


def rules(session: Session, prepared: Runnable) -> str:
    """The plan as bound, and after each rule that changed it."""
    steps = [("bound", prepared.bound)]
    optimise(prepared.bound, lambda rule, plan: steps.append((rule, plan)), estimator(session, prepared).statistics)
    return "\n\n".join(f"{title}\n{plan_text(plan)}" for title, plan in steps)


def estimator(session: Session, prepared: Runnable) -> Estimator:
    """What is known of a query's tables, without reading what streams."""
    streamed = prepared.streamed if isinstance(prepared, PreparedStream) else ()
    measured = MeasuredTables(prepared.tables, session.threads, unread=tuple(streamed))
    return Estimator(measured, definitions_of(prepared.optimised))


def physical(prepared: Runnable) -> str:
    """The pipelines that are compiled; of a query that streams the plan, and what of it comes block by block."""
    if isinstance(prepared, Prepared):
        return physical_text(prepared.planned)
    if isinstance(prepared, PreparedSweep):
        return "\n".join(runs_text(prepared, runs) for runs in prepared.runs)
    lines = [
        f"{name}: {table.table.rows:,} rows in {len(table.parts()):,} blocks, read one after the other"
        for name, table in prepared.streamed.items()
    ]
    return "\n".join([*lines, plan_text(prepared.optimised)])


def runs_text(prepared: PreparedSweep, runs: Runs) -> str:
    """The pipelines of those runs of a sweep that one program computes, and for which values they are."""
    count, last = len(runs.alike.numbers), prepared.swept.described(runs.alike.numbers[-1])
    values = f"{prepared.swept.described(runs.alike.numbers[0])} to {last}" if count > 1 else last
    calls = "" if len(runs.calls) == 1 else f" in {len(runs.calls)} calls"
    return f"{count} runs{calls}, {values}\n{physical_text(runs.prepared[0].planned)}"


def hlo(prepared: Runnable) -> str:
    """The optimised HLO of the modules that run."""
    if isinstance(prepared, Prepared):
        return "\n".join(module.hlo() for module in prepared.compiled.modules)
    if isinstance(prepared, PreparedSweep):
        return "\n".join(module.hlo() for runs in prepared.runs for module in runs.prepared[0].compiled.modules)
    raise UnsupportedError(
        "not supported yet: the HLO of a query that reads a table block by block; its programs are made as it runs"
    )


def timings(session: Session, prepared: Runnable) -> str:
    """Seconds by stage: preparing as it was done once, running and fetching as they are now."""
    if isinstance(prepared, PreparedStream):
        return streamed_timings(session, prepared)
    if isinstance(prepared, PreparedSweep):
        return sweep_timings(session, prepared)
    start = time.perf_counter()
    run = session.execute(prepared)
    for part in run.parts:
        for array in part:
            array.block_until_ready()
    executed = time.perf_counter()
    prepared.decoder.decode(run.parts)
    seconds = {**prepared.seconds, "run": executed - start, "fetch": time.perf_counter() - executed}
    lines = [f"{stage:<16} {spent * 1e3:10.3f} ms" for stage, spent in seconds.items()]
    return "\n".join(lines) + ("\n(compiled code loaded from the disk cache)" if prepared.from_cache else "")


def sweep_timings(session: Session, prepared: PreparedSweep) -> str:
    """Seconds of all runs."""
    start = time.perf_counter()
    run_sweep(session, prepared)
    return f"{'run and fetch':<16} {(time.perf_counter() - start) * 1e3:10.3f} ms for {len(prepared.swept.runs)} values"


def streamed_timings(session: Session, prepared: PreparedStream) -> str:
    """Seconds, bytes and rows of a run."""
    start = time.perf_counter()
    tally = Tally()
    rows = sum(table.num_rows for table in prepared.batches(session, tally))
    seconds = {**prepared.seconds, "run": time.perf_counter() - start}
    lines = [f"{stage:<16} {spent * 1e3:10.3f} ms" for stage, spent in seconds.items()]
    return "\n".join([*lines, f"{'rows':<16} {rows:,}", tally.text()])
