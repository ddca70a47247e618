"""How a table knows what it was made of: for good, if a user registered it, or only as long as somebody else has it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from numpy.typing import NDArray

Reference: TypeAlias = Callable[[], Any]  # gives the object, None once it is gone
Gone: TypeAlias = Callable[[], None]  # called when an object that is held weakly goes


def strongly(source: object) -> Reference:
    """`source`, kept alive."""
    return lambda: source


def weakly(source: object, gone: Gone | None = None) -> Reference:
    """`source` as long as somebody else keeps it alive; types that know no weak references are kept alive."""
    try:
        return weakref.ref(source, None if gone is None else lambda _: gone())
    except TypeError:
        return strongly(source)


class WeakArrays(Mapping[Any, Any]):
    """A dict of arrays as it was, which keeps none of them alive: of one that is gone the value is None.

    Dicts know no weak references, arrays do; a dict with the very same arrays under the same names is as good as this one.
    """

    def __init__(self, arrays: Mapping[Any, NDArray[Any]], gone: Gone | None = None) -> None:
        self._references = {name: weakly(array, gone) for name, array in arrays.items()}

    def __getitem__(self, name: Any) -> Any:
        return self._references[name]()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)

    def are_those_of(self, arrays: object) -> bool:
        """Whether `arrays` is a dict of the very same ones, in the same order."""
        if not isinstance(arrays, dict) or list(arrays) != list(self):
            return False
        return all(array is not None and array is self[name] for name, array in arrays.items())
