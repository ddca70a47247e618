"""The main job, shown before anything is timed: a trained classifier, the query over it, and that both are one XLA module."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

import qtensor
from bench.headline import HEADLINE, accuracy, confusion, crime, train
from bench.timing import WrongResultError, rows_of, same_rows

OPERATION = re.compile(r"^\s*(?:ROOT )?%?[\w.-]+ = .*? ([a-z][a-z-]*)\(", re.MULTILINE)


def show_training(console: Console, sizes: Sequence[int]) -> dict[int, Any]:
    """Train a model for each size and say how right it is. Raises WrongResultError unless it classifies all rows right."""
    console.print(Text("1  A classifier, trained by TensorFlow", "bold"))
    models = {}
    for rows in sizes:
        start = time.perf_counter()
        models[rows] = train(rows)
        seconds = time.perf_counter() - start
        right = accuracy(confusion(crime(rows), models[rows]))
        console.print(
            f"   softmax regression on {rows:,} rows of the crime data: {right:.0%} classified right, {seconds:.1f} s of training"
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
    """What runs: how many modules, entries, calls out of them, and which operations."""
    hlo = relation.hlo()
    modules, entries, calls = count_parts(hlo)
    console.print(Text("3  What runs is one XLA module", "bold"))
    console.print(f"   HloModule {modules} · ENTRY {entries} · custom calls (to Python, to TensorFlow, to anything) {calls}")
    operations = Counter(OPERATION.findall(hlo))
    shown = ", ".join(
        f"{operations[name]} {name}" for name in ("while", "fusion", "multiply", "compare", "sort") if operations[name]
    )
    console.print(f"   {sum(operations.values())} operations, among them {shown}.")
    console.print("   The network, the CASE expressions and the grouping share one loop over the rows.\n")


def count_parts(hlo: str) -> tuple[int, int, int]:
    """How many modules, entry computations and custom calls the text of HLO modules has.

    >>> count_parts("HloModule whole\\n\\nENTRY %main (x: f32[]) -> f32[] {\\n  ROOT %y = f32[] custom-call(%x)\\n}")
    (1, 1, 1)
    """
    modules, entries = (len(re.findall(rf"^{word}\b", hlo, re.MULTILINE)) for word in ("HloModule", "ENTRY"))
    return modules, entries, OPERATION.findall(hlo).count("custom-call")
