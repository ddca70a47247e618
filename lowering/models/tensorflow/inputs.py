"""Names of a model's inputs, and whether their order is known: dictionaries have none of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class InputNames:
    """The inputs of a traced function in its order, and whether that is an order which its author wrote down."""

    names: tuple[str, ...]
    ordered: bool


def names_of_signature(signature: Any, nodes: Sequence[str]) -> InputNames:
    """The inputs of a function by what it was traced with, (arguments, keyword arguments); `nodes`: what TensorFlow calls them.

    An entry of a dictionary has its key for a name, also below sequences and other dictionaries: {"q": (1, 2)} are q_0 and q_1.
    """
    if signature is None:  # a function of a SavedModel that TensorFlow 1 wrote
        return InputNames(tuple(nodes), len(nodes) == 1)
    found = list(leaves(signature))
    if len(found) != len(nodes):  # ragged and sparse tensors are several
        return InputNames(tuple(nodes), is_ordered(signature))
    named = [key_of(path) or leaf.name or node for (path, leaf), node in zip(found, nodes, strict=True)]
    return InputNames(
        unique(named, [leaf.name or node for (_, leaf), node in zip(found, nodes, strict=True)]), is_ordered(signature)
    )


def names_of_structure(structure: Any, names: Sequence[str]) -> InputNames:
    """The inputs of a Keras model. structure: its inputs, each as its position; names: what the inputs are called themselves."""
    by_position = {position: key_of(path) for path, position in leaves(structure)}
    named = [by_position.get(position) or name for position, name in enumerate(names)]
    return InputNames(unique(named, names), is_ordered(structure))


def leaves(structure: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The tensors in a nest of dictionaries and sequences, with where they are, in TensorFlow's order: dictionaries by key."""
    match structure:
        case Mapping():
            for key in sorted(structure):
                yield from leaves(structure[key], (*path, str(key)))
        case tuple() if hasattr(structure, "_fields"):
            for field in structure._fields:
                yield from leaves(getattr(structure, field), (*path, field))
        case list() | tuple():
            for position, part in enumerate(structure):
                yield from leaves(part, (*path, position))
        case bool() | str() | float() | None:
            return  # a setting of the function, no tensor
        case _ if isinstance(structure, int) or hasattr(structure, "dtype"):
            yield path, structure
        case _:
            return


def is_ordered(structure: Any) -> bool:
    """Whether no dictionary in a nest holds several tensors.

    >>> is_ordered([0, (1, 2)]), is_ordered({"a": [0, 1]}), is_ordered([{"a": 0, "b": 1}])
    (True, True, False)
    """
    match structure:
        case Mapping():
            filled = [part for part in structure.values() if next(leaves(part), None) is not None]
            return len(filled) <= 1 and all(map(is_ordered, filled))
        case list() | tuple():
            return all(map(is_ordered, structure))
        case _:
            return True


def key_of(path: Path) -> str:
    """The name that dictionaries give a tensor; "" if it is in none.

    >>> key_of((0, "q", 1)), key_of((0, 1))
    ('q_1', '')
    """
    first = next((position for position, part in enumerate(path) if isinstance(part, str)), len(path))
    return "_".join(map(str, path[first:]))


def unique(names: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """`names`, or where some are the same `others`, or their numbers."""
    for candidate in (names, others):
        if len({name.lower() for name in candidate}) == len(candidate):
            return tuple(candidate)
    return tuple(f"input_{position}" for position in range(len(names)))
