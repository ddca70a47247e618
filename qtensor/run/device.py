"""Encoded columns, literals and weights as XLA buffers; columns are shared with NumPy, not copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias
from weakref import WeakKeyDictionary

import jax
import numpy as np

from qtensor.aot.machine.runtime import to_device
from qtensor.lowering.host.inputs import HostInputs
from qtensor.lowering.ir.kernel import DType
from qtensor.lowering.ir.physical import PhysicalPlan, Pipeline, TableSource
from qtensor.lowering.models.model import Model
from qtensor.lowering.program.program import Share, Shared
from qtensor.lowering.storage import EncodedColumn
from qtensor.run.prepared import EncodedColumns
from qtensor.sources.table import Table

Buffers: TypeAlias = list[tuple[jax.Array, ...]]  # of a column, for each share: its data, and validity if the plan has one


class DeviceMemory:
    """The buffers of encoded columns, tables and models, kept as long as those are."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._columns: WeakKeyDictionary[EncodedColumn, dict[tuple[DType, bool, int], Buffers]] = WeakKeyDictionary()
        self._rows: WeakKeyDictionary[Table, dict[int, list[jax.Array]]] = WeakKeyDictionary()
        self._weights: WeakKeyDictionary[Model, tuple[jax.Array, ...]] = WeakKeyDictionary()

    def shares(self, pipeline: Pipeline, tables: Mapping[str, Table], encoded: EncodedColumns) -> list[Share]:
        """The columns that a pipeline reads, one Share for each core."""
        source = pipeline.source
        assert isinstance(source, TableSource)
        if not source.table:
            return [Share((), to_device(np.int32(source.rows)))]
        table = tables[source.table]
        layout = table.layout(self._threads).split(source.shares)
        kept = self._rows.setdefault(table, {})
        if source.shares not in kept:
            kept[source.shares] = [to_device(np.int32(layout.rows_in_share(share))) for share in range(source.shares)]
        rows = kept[source.shares]
        columns = [
            self.column(encoded[source.table, column.index], column.dtype, column.nullable, source.shares)
            for column in source.columns
        ]
        numbered = pipeline.numbered
        firsts = [to_device(np.int64(layout.first_row(share))) if numbered else None for share in range(source.shares)]
        return [
            Share(tuple(buffer for column in columns for buffer in column[share]), rows[share], firsts[share])
            for share in range(source.shares)
        ]

    def column(self, encoded: EncodedColumn, dtype: DType, nullable: bool, shares: int) -> Buffers:
        """A column's data in the plan's machine type, and validity if the plan allows for NULLs, for each share."""
        kept = self._columns.setdefault(encoded, {})
        key = dtype, nullable, shares
        if key not in kept:
            kept[key] = [column_on_device(encoded, share, shares, dtype, nullable) for share in range(shares)]
        return kept[key]

    def shared(self, plan: PhysicalPlan, host: HostInputs, models: Sequence[Model]) -> Shared:
        """Literals, look-up tables and weights."""
        scalars, float_scalars, *tables = host_inputs_on_device(plan, host)
        return Shared(scalars, float_scalars, tuple(tables), tuple(self.weights(model) for model in models))

    def weights(self, model: Model) -> tuple[jax.Array, ...]:
        if model not in self._weights:
            self._weights[model] = tuple(to_device(weight) for weight in model.weights)
        return self._weights[model]


def column_on_device(encoded: EncodedColumn, share: int, shares: int, dtype: DType, nullable: bool) -> tuple[jax.Array, ...]:
    """One of a column's shares in the plan's machine type, and its validity if the plan allows for NULLs: it may meet none."""
    data, valid = encoded.share(share, shares)
    with np.errstate(over="ignore"):  # a DOUBLE beyond FLOAT is an infinity to a model
        values = to_device(data.astype(dtype, copy=False))
    if not nullable:
        return (values,)
    return values, to_device(np.ones(data.shape, np.bool_) if valid is None else valid)


def host_inputs_on_device(plan: PhysicalPlan, host: HostInputs) -> list[jax.Array]:
    """What the host makes of literals and dictionaries: scalars, float scalars, look-up tables."""
    return list(map(to_device, host.arrays(plan)))
