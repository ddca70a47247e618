"""Part of the rule `push_filter_down`: the conditions above and of a join go to the side that has their columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qtensor.expressions import Expr, conjuncts
from qtensor.logical import Join
from qtensor.optimise.facts.expressions import rejects_nulls, stays
from qtensor.optimise.rewriting import columns_of, conjunction, key_condition, shifted
from qtensor.optimise.rules.derive_conditions import derived_conditions
from qtensor.optimise.rules.extract_join_keys import key_of


@dataclass(frozen=True)
class Split:
    """A join, and which conditions go where: to its left input, to its right one, over that one's columns; stay above it."""

    join: Join
    left: Sequence[Expr] = ()
    right: Sequence[Expr] = ()
    above: Sequence[Expr] = ()


def push_filter_into_join(join: Join, parts: Sequence[Expr]) -> Split:
    """Split `parts`, which must be true of the join's rows, and its own conditions.

    Sound: a condition on the left columns has one value for all rows that a left row takes part in, so it may be asked before,
    unless rows of the right side stand alone (full). A pair without partner is no pair, so the join's own conditions may be
    asked of the right rows before, and for inner and semi joins also of the left ones. A left join whose NULL-filled rows are
    dropped above is an inner join. What may raise an error is not moved to where it sees more rows, but for join keys; nor are
    models, see `infer_early`.
    """
    join = without_dropped_nulls(join, parts)
    if join.kind == "inner":
        return split_inner(join, parts)
    width = len(join.left.schema)
    left, above = divided(parts, lambda part: join.kind != "full" and of_left(part, width))
    own = [] if join.condition is None else conjuncts(join.condition)
    if join.kind == "full":
        return Split(join, above=above)
    if join.kind == "semi":
        mine, own = divided(own, lambda part: of_left(part, width))
        left += mine
    right, own = divided(own, lambda part: of_right(part, width))
    join = replace(join, condition=conjunction(own) if own else None)
    return Split(join, left, [shifted(part, -width) for part in right], above)


def without_dropped_nulls(join: Join, parts: Sequence[Expr]) -> Join:
    """Outer joins whose NULL-filled rows `parts` drop again."""
    width = len(join.left.schema)
    right = set(range(width, len(join.schema)))
    drops_right = any(rejects_nulls(part, right) for part in parts)
    drops_left = any(rejects_nulls(part, set(range(width))) for part in parts)
    match join.kind:
        case "left" if drops_right:
            return replace(join, kind="inner")
        case "full" if drops_left and drops_right:
            return replace(join, kind="inner")
        case "full" if drops_left:
            return replace(join, kind="left")
        case _:
            return join


def split_inner(join: Join, parts: Sequence[Expr]) -> Split:
    """All conditions of the join and above it are one list, and what follows from them."""
    width = len(join.left.schema)
    sides = set(range(width)), set(range(width, len(join.schema)))
    own = [] if join.condition is None else conjuncts(join.condition)
    kept = [part for part in own if stays(part)]
    above, movable = divided(parts, lambda part: stays(part) and key_of(part, width) is None)
    known = [part for part in own if not stays(part)] + movable
    derived = derived_conditions([*(key_condition(key, width) for key in join.keys), *known], sides)[len(join.keys) :]
    left, rest = divided(derived, lambda part: of_left(part, width))
    right, rest = divided(rest, lambda part: of_right(part, width))
    condition = [*dict.fromkeys((*rest, *kept))]
    new = replace(join, condition=conjunction(condition) if condition else None)
    return Split(new, left, [shifted(part, -width) for part in right], above)


def divided(parts: Sequence[Expr], chosen: Callable[[Expr], bool]) -> tuple[list[Expr], list[Expr]]:
    """Those for which `chosen` holds, and the others."""
    yes: list[Expr] = []
    no: list[Expr] = []
    for part in parts:
        (yes if chosen(part) else no).append(part)
    return yes, no


def of_left(part: Expr, width: int) -> bool:
    return all(index < width for index in columns_of(part)) and not stays(part)


def of_right(part: Expr, width: int) -> bool:
    columns = columns_of(part)
    return bool(columns) and min(columns) >= width and not stays(part)
