"""The main job, shown before anything is timed: a trained classifier, the query over it, and that both are one XLA module."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

import qtensor
from bench.headline import HEADLINE, accuracy, confusion, crime, train
from bench.quiet import stderr_into
from bench.report import duration
from bench.timing import WrongResultError, rows_of, same_rows
from qtensor.aot.machine.subnormals import SET_ENVIRONMENT

OPERATION = re.compile(r"^\s*(?:ROOT )?%?[\w.-]+ = .*? ([a-z][a-z-]*)\(", re.MULTILINE)


def show_training(console: Console, sizes: Sequence[int]) -> dict[int, Any]:
    """Train a model for each size and say how right it is. Raises WrongResultError unless it classifies all rows right."""
    console.print(Text("1  A classifier, trained by TensorFlow", "bold"))
    models = {}
    for rows in sizes:
        start = time.perf_counter()
        with stderr_into(Path(os.devnull)):  # TensorFlow's notes on drivers; its errors are Python's
            models[rows] = train(rows)
        seconds = duration(time.perf_counter() - start)
        right = accuracy(confusion(crime(rows), models[rows]))
        console.print(
            f"   softmax regression on {rows:,} rows of the crime data: {right:.0%} classified right, trained in {seconds}"
        )
        if right != 1.0:
            raise WrongResultError(f"the model trained on {rows:,} rows classifies {right:.2%} of them right, not all")
    console.print()
    return models


def show_query(console: Console, data: pa.Table, model: Any) -> qtensor.Relation:
    """The query's text and its rows: clusters by classes."""
    qtensor.default_connection().create_function("classifier", model)
    console.print(Text("2  The headline query: classify each row, count the classes of each cluster", "bold"))
    console.print(Syntax(HEADLINE, "sql", background_color="default", padding=(0, 3)))
    relation = qtensor.sql(HEADLINE, data=data)
    expected = confusion(data, model)
    if not same_rows(rows_of(relation.arrow()), expected):
        raise WrongResultError(f"qtensor gives\n{relation}\nwhere TensorFlow and NumPy give\n{expected}")
    console.print(Text("\n".join(f"   {line}" for line in repr(relation).splitlines())))
    console.print("   Every row on the diagonal: all classified right, and as TensorFlow alone classifies them.\n")
    return relation


def show_module(console: Console, relation: qtensor.Relation) -> None:
    """What the compiled query consists of. Raises WrongResultError unless it is one module that calls nothing outside."""
    hlo = relation.hlo()
    parts = count_parts(hlo)
    operations = Counter(OPERATION.findall(hlo))
    console.print(Text("3  What runs is one XLA module", "bold"))
    console.print(
        f"   {parts.modules} HloModule, {parts.entries} ENTRY, {parts.custom_calls} custom calls (but libm's fesetenv): "
        "no way back to Python."
    )
    console.print(
        f"   The network, CASE, grouping and sorting: {operations.total()} operations in {operations['fusion']} fusions.\n"
    )
    if parts != Parts(modules=1, entries=1, custom_calls=0):
        raise WrongResultError(f"the headline query is not one module that calls nothing else: {parts}")


class Parts(NamedTuple):
    """How many modules, entry computations and custom calls the text of HLO modules has, but for `aot/machine/subnormals.py`."""

    modules: int
    entries: int
    custom_calls: int


def count_parts(hlo: str) -> Parts:
    """Count them.

    >>> count_parts("HloModule whole\\n\\nENTRY %main (x: f32[]) -> f32[] {\\n  ROOT %y = f32[] custom-call(%x)\\n}")
    Parts(modules=1, entries=1, custom_calls=1)
    """
    modules, entries = (len(re.findall(rf"^{word}\b", hlo, re.MULTILINE)) for word in ("HloModule", "ENTRY"))
    foreign = "\n".join(line for line in hlo.splitlines() if f'custom_call_target="{SET_ENVIRONMENT}"' not in line)
    return Parts(modules, entries, OPERATION.findall(foreign).count("custom-call"))
