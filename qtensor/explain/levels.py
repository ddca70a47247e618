"""EXPLAIN: a query at the stage of its life that someone wants to see."""

from __future__ import annotations

import time
from typing import Literal, TypeAlias

from qtensor.bind import normalised
from qtensor.errors import QTensorError
from qtensor.explain.pipeline_text import physical_text
from qtensor.explain.plan_text import plan_text
from qtensor.run.prepared import Prepared
from qtensor.run.session import Session

Level: TypeAlias = Literal["sql", "logical", "physical", "hlo", "timings"]


def explain(session: Session, prepared: Prepared, level: Level) -> str:
    """The text of one level; `session` runs the query for its timings. Raises QTensorError for a level that does not exist."""
    match level:
        case "sql":
            return normalised(prepared.query.sql, prepared.query.dialect)
        case "logical":
            return f"bound\n{plan_text(prepared.bound)}\n\noptimised\n{plan_text(prepared.optimised)}"
        case "physical":
            return physical(prepared)
        case "hlo":
            return "\n".join(module.hlo() for module in prepared.compiled.modules)
        case "timings":
            return timings(session, prepared)
        case _:
            raise QTensorError(f'there is no level "{level}": use "sql", "logical", "physical", "hlo" or "timings"')


def physical(prepared: Prepared) -> str:
    """The pipelines that are compiled."""
    return physical_text(prepared.planned)


def timings(session: Session, prepared: Prepared) -> str:
    """Seconds by stage: preparing as it was done once, running and fetching as they are now."""
    start = time.perf_counter()
    run = session.execute(prepared)
    for part in run.parts:
        for array in part:
            array.block_until_ready()
    executed = time.perf_counter()
    prepared.decoder.decode(run.parts)
    seconds = {**prepared.seconds, "run": executed - start, "fetch": time.perf_counter() - executed}
    loaded = any(module.from_cache for module in prepared.compiled.modules)
    lines = [f"{stage:<16} {spent * 1e3:10.3f} ms" for stage, spent in seconds.items()]
    return "\n".join(lines) + ("\n(compiled code loaded from the disk cache)" if loaded else "")
