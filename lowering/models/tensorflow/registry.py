"""The table of TensorFlow operators that a model may use, and the check of their attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import numpy as np

from qtensor.lowering.models.tensorflow.graph import AttributeValue, Function, Operation, Unreadable
from qtensor.lowering.models.tensorflow.values import Value


@dataclass(frozen=True, eq=False)
class Call:
    """A function of an operation, ready to be run within the walk that the operation is in.

    run: its outputs for inputs; what cannot be done is reported, and Reported raised. attempt: the same without a report. only: a
    call of some of its outputs only.
    """

    function: Function
    run: Callable[[Sequence[Value | None]], tuple[Value, ...]]
    attempt: Callable[[Sequence[Value | None]], tuple[Value, ...]]
    only: Callable[[Sequence[int]], Call]


Lowering: TypeAlias = Callable[..., "Value | tuple[Value, ...]"]
Lower = TypeVar("Lower", bound=Lowering)


@dataclass(frozen=True)
class Operator:
    """How one TensorFlow operator is written in JAX, and which of its attributes that takes into account.

    lower: a function of the input values, and of the attributes `read` as keywords.
    required: attributes that must have one of the listed values; lower knows no other meaning.
    ignored: attributes that say nothing about the result (a count of inputs, a hint for gradients).
    Type attributes (T, Tidx, ...) need no mention: types follow from the inputs.
    """

    lower: Lowering
    read: frozenset[str] = frozenset()
    required: Mapping[str, tuple[AttributeValue, ...]] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()

    def keywords(self, operation: Operation) -> dict[str, Any]:
        """The attributes of `operation` that `lower` takes."""
        return {name: value for name, value in operation.attributes if name in self.read}

    def objections(self, operation: Operation) -> list[str]:
        """What this operator does not understand of the attributes of `operation`."""
        problems = []
        for name, value in operation.attributes:
            parts = value if isinstance(value, tuple) else (value,)
            unreadable = [part.description for part in parts if isinstance(part, Unreadable)]
            is_type = bool(parts) and all(isinstance(part, np.dtype) for part in parts)
            if name in self.ignored:
                continue
            if unreadable:
                problems.append(f"{name} is a {unreadable[0]}")
            elif name in self.required:
                if value not in self.required[name]:
                    problems.append(f"{name} = {value!r} is not supported")
            elif not (name in self.read or is_type):
                problems.append(f"unknown attribute {name} = {value!r}")
        return problems


OPS: dict[str, Operator] = {}


def operator(
    *names: str,
    read: Iterable[str] = (),
    required: Mapping[str, tuple[AttributeValue, ...]] | None = None,
    ignored: Iterable[str] = (),
) -> Callable[[Lower], Lower]:
    """Register the decorated function as the lowering of the TensorFlow operators `names`."""

    def register(lower: Lower) -> Lower:
        for name in names:
            OPS[name] = Operator(lower, frozenset(read), required or {}, frozenset(ignored))
        return lower

    return register
