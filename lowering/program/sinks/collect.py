"""Keep every row, in order, dead ones marked: the result of a query, or of a row-wise one."""

from __future__ import annotations

from dataclasses import dataclass

from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.physical import CollectSink
from qtensor.lowering.program.sinks.base import AllRows, Result, State, flat


@dataclass(frozen=True)
class Collect(AllRows):
    sink: CollectSink

    @property
    def refs(self) -> tuple[Ref, ...]:
        return self.sink.columns

    def finish(self, state: State) -> Result:
        *columns, live = flat(state)
        return Result(tuple(columns), live)
