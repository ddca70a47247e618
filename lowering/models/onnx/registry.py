"""ONNX operators as functions, and what these see of a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any  # np.ndarray of what is known when the model is imported, jax.Array of what depends on a row


class NotConvertedError(Exception):
    """What stands in the way of a node."""


@dataclass(frozen=True, eq=False)
class Text:
    """A tensor of texts: the numbers of `labels`."""

    number: Array
    labels: tuple[str, ...]


@dataclass
class Node:
    """An operator of a graph. attributes: its own, of which those that were read are `seen`.

    own: arrays made of attributes, which a program is given as weights; `given` are these while it is traced. made: what was
    computed of attributes once.
    """

    kind: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    opset: int
    seen: set[str] = field(default_factory=set)
    own: dict[str, NDArray[Any]] = field(default_factory=dict)
    given: Mapping[str, Any] | None = None
    made: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        self.seen.add(name)
        return self.attributes.get(name, default)

    def ignore(self, *names: str) -> None:
        self.seen.update(names)

    def weight(self, name: str, array: NDArray[Any]) -> Any:
        """An array made of attributes, as a weight."""
        self.own[name] = array
        return array if self.given is None else self.given[name]

    def unread(self) -> list[str]:
        return sorted(set(self.attributes) - self.seen)


Compute: TypeAlias = Callable[..., Any]  # of a node and its inputs (None where one is left out): its output, or a tuple of them
OPERATORS: dict[tuple[str, str], Compute] = {}


def operator(*kinds: str, domain: str = "") -> Callable[[Compute], Compute]:
    def register(compute: Compute) -> Compute:
        OPERATORS.update({(domain, kind): compute for kind in kinds})
        return compute

    return register


def static(value: Any, what: str) -> NDArray[Any]:
    """A value that must be known when the model is imported."""
    if not isinstance(value, np.ndarray):
        raise NotConvertedError(f"its {what} depends on the row")
    return value


def integers(value: Any, what: str) -> list[int]:
    return [int(one) for one in np.ravel(static(value, what))]


def same_rank(*values: Array) -> list[Array]:
    """Values with 1 put in front of their shapes, so that all have as many axes."""
    rank = max(np.ndim(value) for value in values)
    return [jnp.reshape(value, (1,) * (rank - np.ndim(value)) + np.shape(value)) for value in values]


def axis_of(value: int, rank: int) -> int:
    if not -rank <= value < max(rank, 1):
        raise NotConvertedError(f"has the axis {value} of a tensor of {rank} axes")
    return value % rank if rank else 0


def is_known(values: Sequence[Any]) -> bool:
    return all(value is None or isinstance(value, np.ndarray) for value in values)


def is_floating(value: Array) -> bool:
    return bool(jnp.issubdtype(value.dtype, jnp.floating))


def traced(value: Any) -> jax.Array:
    return jnp.asarray(value)
