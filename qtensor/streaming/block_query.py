"""A query over the blocks of a stream: planned and compiled for the first one, and run for each, while the next one is read.

What programs assume of a block is what was learned from all blocks before it (`Learned`). A block of which that is not true is
learned from, and the query planned anew. What the query makes of tables in memory, the build sides of joins, is made once.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields, is_dataclass

import jax
import pyarrow as pa

from qtensor.aot.machine.compile import CompiledQuery
from qtensor.logical import Plan, scans_of
from qtensor.lowering.ir.physical import PhysicalPlan, PlannedQuery
from qtensor.lowering.ir.values import ColumnDictionary, LeastOf
from qtensor.lowering.models.model import Model
from qtensor.lowering.storage import EncodedColumn
from qtensor.optimise.facts.text_levels import text_levels
from qtensor.process.calls import check
from qtensor.run.measured import MeasuredTables
from qtensor.run.prepared import Query
from qtensor.run.session import Session, refuse_too_many
from qtensor.streaming.blocks import Leaf, TableParts, Tables
from qtensor.streaming.tally import Tally

Columns = dict[tuple[str, int], EncodedColumn]


@dataclass
class Planned:
    """How blocks are computed, as long as `version` of what was learned holds.

    columns: those of tables in memory. before: the stages that read no block, and what they left; 0 where blocks' texts decide
    what they leave.
    """

    version: int
    query: PlannedQuery
    compiled: CompiledQuery
    columns: Columns
    before: int
    carried: Sequence[jax.Array]


@dataclass
class BlockQuery:
    """`plan` over each of the blocks of `leaf`, and over `tables` in memory; `query` is the text that errors are shown under."""

    session: Session
    query: Query
    plan: Plan
    leaf: Leaf
    tables: Tables
    models: Mapping[str, Model]
    tally: Tally
    capacities: Sequence[int] = ()
    planned: Planned | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        scans = scans_of(self.plan)
        self.levels = text_levels(self.plan)
        self.tables = {name: table for name, table in self.tables.items() if name in scans}
        self.wanted = {name: scans.get(name, ()) for name in self.leaf.learned}

    def results(self) -> Iterator[pa.Table]:
        """The rows of the plan for each block, in order."""
        table = self.leaf if isinstance(self.leaf, TableParts) else None
        if table is not None:
            self.tally.begin(table.rows)
        for block, columns in read_ahead(self.leaf.blocks(), self.read, self.tally):
            rows = self.result(block, columns)
            if table is not None:
                self.tally.add(sum(part.rows for part in block.values()), sum(column.size for column in columns.values()))
            del block, columns  # whoever takes the rows may keep them for long
            gc.collect(0)  # JAX lets go of the arrays that its buffers shared only when a collection ends
            yield rows

    def read(self, block: Tables) -> Columns:
        """The columns of a block that the query reads."""
        found: Columns = {}
        for name, indices in self.wanted.items():
            levels = [self.levels.get((name, index), "ordered") for index in indices]
            read = block[name].columns(indices, self.session.threads, levels)
            found |= {(name, index): column for index, column in zip(indices, read, strict=True)}
        return found

    def result(self, block: Tables, columns: Columns) -> pa.Table:
        """The rows of the plan for one block."""
        for name, learned in self.leaf.learned.items():
            own = {index: column for (table, index), column in columns.items() if table == name}
            learned.see(block[name], own, self.session.threads)
        while True:
            check()
            planned = self.planned_for(block)
            made = planned.query, planned.compiled, dict(self.tables), {**self.tables, **block}
            prepared = self.session.with_inputs(
                self.query, self.plan, self.plan, *made, self.models, {**planned.columns, **columns}
            )
            if planned.before and not planned.carried:
                planned.carried = self.session.carried(prepared, planned.before)
            run = self.session.execute(prepared, planned.before, planned.carried)
            if not run.overflows:
                return prepared.decoder.decode(run.parts)
            refuse_too_many(run.capacities)
            self.capacities, self.planned = run.capacities, None

    def planned_for(self, block: Tables) -> Planned:
        """How a block is computed: as the one before it, if what was learned since then changes nothing."""
        version = sum(learned.version for learned in self.leaf.learned.values())
        if self.planned is None or self.planned.version != version:
            self.planned = self.plan_for(block)
        return self.planned

    def plan_for(self, block: Tables) -> Planned:
        measured = MeasuredTables({**self.tables, **block}, self.session.threads, self.levels, self.leaf.learned)
        found = self.session.plan(self.query, self.plan, measured, self.models, self.capacities)
        columns = {key: column for key, column in measured.encoded.items() if key[0] not in block}
        measured.close()
        version = sum(learned.version for learned in self.leaf.learned.values())  # planning asks for keys, which are learned, too
        before = stages_before(found.plan, self.leaf.learned)
        return Planned(version, found, self.session.compiled(found, self.models), columns, before, [])


def read_ahead(blocks: Iterator[Tables], read: Callable[[Tables], Columns], tally: Tally) -> Iterator[tuple[Tables, Columns]]:
    """Each block with its columns, which another thread reads while the block before it is at work."""
    with ThreadPoolExecutor(1, thread_name_prefix="qtensor-read") as pool:
        ahead: tuple[Tables, Future[Columns]] | None = None
        for block in blocks:
            following = block, pool.submit(read, block)
            if ahead is not None:
                yield ahead[0], waited_for(ahead[1], tally)
            ahead = following
            del block, following
        if ahead is not None:
            yield ahead[0], waited_for(ahead[1], tally)


def waited_for(columns: Future[Columns], tally: Tally) -> Columns:
    """Columns that another thread reads."""
    start = time.monotonic()
    found = columns.result()
    tally.waited += time.monotonic() - start
    return found


def stages_before(plan: PhysicalPlan, blocks: Collection[str]) -> int:
    """How many stages come before the first that reads a block, and leave the same for all blocks."""
    first = next(number for number in plan.scans if plan.scan(number).table in blocks)
    before = next(number for number, stage in enumerate(plan.stages) if first in stage)
    made = {"scalar": plan.scalars, "float_scalar": plan.float_scalars, "table": plan.tables, "among": plan.tables}
    for pipeline in plan.pipelines[: plan.stages[before].start]:
        for instruction in pipeline.kernel:
            if instruction.op in made:
                assert isinstance(instruction.attribute, int)
                if mentions(made[instruction.op][instruction.attribute], blocks):
                    return 0
    return before


def mentions(part: object, tables: Collection[str]) -> bool:
    """Whether something that the host makes depends on the strings or the values of some tables."""
    if isinstance(part, ColumnDictionary | LeastOf):
        return part.table in tables
    if isinstance(part, tuple):
        return any(mentions(item, tables) for item in part)
    if is_dataclass(part):
        return any(mentions(getattr(part, item.name), tables) for item in fields(part))
    return False
