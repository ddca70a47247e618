"""The text programs of models over dictionaries: once for each dictionary, whichever queries ask for it."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qtensor.lowering.models.text.evaluate import evaluate
from qtensor.lowering.models.text.program import TextProgram

LARGEST_KEPT = 1 << 26  # bytes of what is kept of one program and dictionary: more is computed anew


class Kept:
    """Results by program and dictionary, as long as that dictionary is somebody's."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._results: dict[tuple[int, TextProgram], list[NDArray[Any]]] = {}
        self.evaluated = 0  # programs, since this process began

    def of(self, program: TextProgram, strings: pa.Array) -> list[NDArray[Any]]:
        key = (id(strings), program)
        with self._lock:
            found = self._results.get(key)
        if found is not None:
            return found
        found = evaluate(program, strings)
        self.evaluated += 1
        if sum(array.nbytes for array in found) <= LARGEST_KEPT:
            with self._lock:
                self._results[key] = found
            weakref.finalize(strings, self._results.pop, key, None).atexit = False
        return found


KEPT = Kept()


def made_of_texts(programs: Sequence[TextProgram], strings: pa.Array, output: int) -> NDArray[Any]:
    """Output number `output` of all those of `programs`, flat."""
    for program in programs:
        if output < len(program.outputs):
            return np.ascontiguousarray(KEPT.of(program, strings)[output]).reshape(-1)
        output -= len(program.outputs)
    raise IndexError("a model has no such output of a text")
