"""GROUPING SETS, ROLLUP and CUBE: the sets of keys that they mean."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

from sqlglot import exp

from qtensor.bind.context import Context

MOST_SETS = 64  # each is a plan of its own

KeySet = tuple[exp.Expr, ...]


def grouping_sets(context: Context, elements: Sequence[exp.Expr]) -> list[KeySet]:
    """The sets of keys that a list of GROUP BY means: of each element one of its sets, in all combinations.

    Raises:
        BindError: a list of ROLLUP or CUBE is empty.
    """
    combined: list[KeySet] = [()]
    for element in elements:
        combined = [(*before, *keys) for before, keys in product(combined, _sets(context, element))]
        if len(combined) > MOST_SETS:
            context.unsupported(f"more than {MOST_SETS} grouping sets", context.source.span(element))
            return combined[:1]
    return combined


def _sets(context: Context, element: exp.Expr) -> list[KeySet]:
    match element:
        case exp.GroupingSets(expressions=inner):
            return [keys for part in inner for keys in _sets(context, part)]
        case exp.Rollup(expressions=inner) | exp.Cube(expressions=inner) if not inner:
            raise context.error(f"the list of {element.key.upper()} is empty", context.source.find_words(element.key.upper()))
        case exp.Rollup(expressions=inner):
            lists = [_keys(part) for part in inner]
            return [_joined(lists[:length]) for length in range(len(lists), -1, -1)]
        case exp.Cube(expressions=inner) if len(inner) >= MOST_SETS.bit_length():
            context.unsupported(f"more than {MOST_SETS} grouping sets", context.source.find_words("CUBE"))
            return [()]
        case exp.Cube(expressions=inner):
            lists = [_keys(part) for part in inner]
            return [_joined(chosen) for length in range(len(lists), -1, -1) for chosen in combinations(lists, length)]
        case _:
            return [_keys(element)]


def _keys(element: exp.Expr) -> KeySet:
    """The keys of `a`, of `(a, b)` or of `()`."""
    inner = element.unnest()
    return tuple(inner.expressions) if isinstance(inner, exp.Tuple) else (element,)


def _joined(lists: Sequence[KeySet]) -> KeySet:
    return tuple(key for keys in lists for key in keys)
