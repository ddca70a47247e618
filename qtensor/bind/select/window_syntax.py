"""What a window function sees, as the query writes it: OVER (...), OVER name, and names defined upon names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

# The window functions that are no aggregates, under the names that plans give them.
FUNCTIONS: dict[type[exp.Expr], str] = {
    exp.RowNumber: "row_number",
    exp.Rank: "rank",
    exp.DenseRank: "dense_rank",
    exp.PercentRank: "percent_rank",
    exp.CumeDist: "cume_dist",
    exp.Ntile: "ntile",
    exp.Lag: "lag",
    exp.Lead: "lead",
    exp.FirstValue: "first_value",
    exp.LastValue: "last_value",
    exp.First: "first_value",
    exp.Last: "last_value",
    exp.NthValue: "nth_value",
}
_BEFORE, _AFTER = "PRECEDING", "FOLLOWING"


class WindowError(Exception):
    """A window that makes no sense; the binder turns it into a BindError with a caret."""


@dataclass(frozen=True)
class WrittenBound:
    """An end of a frame: `side` PRECEDING, FOLLOWING or CURRENT ROW; without `offset` unbounded."""

    side: str
    offset: exp.Expr | None = None


@dataclass(frozen=True)
class WrittenWindow:
    """The parts of a window, those of the named windows it is based on among them."""

    partition: Sequence[exp.Expr]
    order: Sequence[exp.Ordered]
    unit: str = "RANGE"
    start: WrittenBound = WrittenBound(_BEFORE)
    end: WrittenBound = WrittenBound("CURRENT ROW")

    @property
    def default_frame(self) -> bool:
        return (self.unit, self.start, self.end) == ("RANGE", WrittenBound(_BEFORE), WrittenBound("CURRENT ROW"))


def written_window(node: exp.Window) -> WrittenWindow:
    """What `node`, a call with OVER, sees.

    Raises:
        WindowError: a name that is not defined, a clause that is there twice, or a frame that ends before it starts.
    """
    select = node.find_ancestor(exp.Select)
    defined: dict[str, exp.Window] = {}
    for definition in (select.args.get("windows") or ()) if select is not None else ():
        name = definition.this.name.lower()
        if name in defined:
            raise WindowError(f'the window "{definition.this.name}" is defined twice')
        defined[name] = definition
    return _resolved(node, defined)


def _resolved(node: exp.Window, defined: dict[str, exp.Window]) -> WrittenWindow:
    partition, order, spec = node.args.get("partition_by") or [], node.args.get("order"), node.args.get("spec")
    base = node.args.get("alias")
    keys = order.expressions if order is not None else []
    if base is not None:
        known = defined.get(base.name.lower())
        if known is None:
            raise WindowError(f'there is no window "{base.name}"')
        # A window sees only those that are defined before it.
        earlier = {
            name: item for name, item in defined.items() if list(defined).index(name) < list(defined).index(base.name.lower())
        }
        below = _resolved(known, earlier)
        if not partition and not keys and spec is None:
            return below
        for clause, own, inherited in (("PARTITION BY", partition, below.partition), ("ORDER BY", keys, below.order)):
            if own and inherited:
                raise WindowError(f'the window "{base.name}" has a {clause} already')
        if not below.default_frame:
            raise WindowError(f'the window "{base.name}" has a frame, and can only be used as it is')
        partition, keys = partition or list(below.partition), keys or list(below.order)
    return WrittenWindow(partition, keys) if spec is None else _with_frame(partition, keys, spec)


def _with_frame(partition: Sequence[exp.Expr], order: Sequence[exp.Ordered], spec: exp.WindowSpec) -> WrittenWindow:
    start = _bound(spec.args.get("start"), spec.args.get("start_side"))
    end = _bound(spec.args.get("end"), spec.args.get("end_side")) if spec.args.get("end") else WrittenBound("CURRENT ROW")
    if start == WrittenBound(_AFTER):
        raise WindowError("a frame cannot start at UNBOUNDED FOLLOWING")
    if end == WrittenBound(_BEFORE):
        raise WindowError("a frame cannot end at UNBOUNDED PRECEDING")
    places = [_BEFORE, "CURRENT ROW", _AFTER]
    if places.index(start.side) > places.index(end.side):
        raise WindowError(f"a frame that starts {_shown(start)} cannot end {_shown(end)}")
    return WrittenWindow(partition, order, str(spec.args.get("kind")).upper(), start, end)


def _bound(value: str | exp.Expr | None, side: str | None) -> WrittenBound:
    if isinstance(value, exp.Expr):
        return WrittenBound(str(side).upper(), value)
    return WrittenBound("CURRENT ROW") if value == "CURRENT ROW" else WrittenBound(str(side).upper())


def _shown(bound: WrittenBound) -> str:
    return "at the CURRENT ROW" if bound.side == "CURRENT ROW" else f"{bound.side} it"
