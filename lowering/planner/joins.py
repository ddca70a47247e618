"""Joins as pipelines: the right side becomes rows to be found by key, the left side looks them up as its rows stream by.

A left row with at most one partner stays one row, and the partner's columns are `fetch` instructions in the same kernel.
Otherwise the left rows are kept, with where their partners start and how many they are, and the pairs are the rows of the next
pipeline. Keys become one integer, a mixed-radix code of the right side's ranges: it is an address where the codes are dense,
else rows are sorted by it and searched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from qtensor.errors import UnsupportedError
from qtensor.expressions import ColumnRef, Expr, Literal, children, with_children
from qtensor.logical import Join, NamedExpr, Plan, Project, Union
from qtensor.lowering.expressions.comparison import order_key
from qtensor.lowering.expressions.expressions import lower_condition, lower_operand
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.physical import (
    CollectSink,
    DirectLookupSink,
    ExpandSource,
    GroupKey,
    ResultSource,
    SortedLookupSink,
)
from qtensor.lowering.ir.ranges import BIT, Range
from qtensor.lowering.ir.values import Value
from qtensor.lowering.planner.pipelines import Pipelines
from qtensor.lowering.planner.pipelines import rounded_capacity as rounded_capacity  # qtensor/run/session.py takes it from here
from qtensor.lowering.planner.stream import Loader, Stored, Stream, rows_of, slots
from qtensor.lowering.planner.unions import plan_union
from qtensor.lowering.storage.layout import CHUNK
from qtensor.optimise.facts.uniqueness import has_unique_partner
from qtensor.types import BIGINT, BOOLEAN, Boolean, Float, Varchar

DIRECT_SMALL = 1 << 16  # a table of that many addresses is never too large
DIRECT_LIMIT = 1 << 26
DIRECT_SPARSITY = 16  # addresses for each row of the right side, at most
ADDRESSES_SHARE = 4  # many more addresses than rows hold row numbers, not the columns themselves
ADDRESSES_LIMIT = 1 << 25
WORD_LIMIT = 1 << 62
FAR = 1 << 17  # a look-up among so many rows costs by the row more than to bring a few live ones together first


@dataclass(frozen=True)
class Lookup:
    """A build side that is ready: pipeline `number` holds rows with `stored` columns. For the probe side at hand: `position` is
    the row's partner, or with duplicates its first, whose columns `loader` reads; `found` says whether there is one, `count` how
    many there are.
    """

    number: int
    stored: Stored
    position: Ref
    found: Ref
    count: Ref | None
    loader: Loader


def plan_join(pipelines: Pipelines, join: Join) -> Stream:
    """The stream of a join's rows."""
    if join.kind == "full":
        return pipelines.stream(full_as_union(join))
    exists = join.condition is None and join.kind in ("semi", "anti", "mark")
    unique = exists or has_unique_partner(join, pipelines.unique)
    probe = pipelines.stream(join.left)
    if not unique and not probe.bounded:
        probe = pipelines.bounded(probe)
    elif not unique:
        probe = pipelines.thinned(join.left, probe)
    build = pipelines.thinned(join.right, pipelines.bounded(pipelines.stream(join.right)))
    if unique and build.source.capacity >= FAR:
        probe = pipelines.thinned(join.left, probe)
    values = [] if exists else list(build.lowerer.columns)
    lookup = look_up(pipelines, join, probe, build, values, duplicates=not unique)
    if unique:
        return with_partner(probe, lookup, join)
    if join.kind == "single" and join.condition is None:
        return with_only_partner(probe, lookup)
    return expanded(pipelines, probe, lookup, join)


def full_as_union(join: Join) -> Plan:
    """FULL JOIN: the left join, then the right rows without a partner, left columns NULL."""
    width = len(join.left.schema)
    keys = tuple(replace(key, left=key.right, right=key.left) for key in join.keys)
    condition = None if join.condition is None else exchanged(join.condition, width, len(join.right.schema))
    alone = Join(join.right, join.left, "anti", keys, condition)
    nulls = [NamedExpr(field.name, Literal(None, field.type)) for field in join.left.schema]
    columns = [NamedExpr(field.name, ColumnRef(i, field.type, field.name)) for i, field in enumerate(join.right.schema)]
    return Union((replace(join, kind="left"), Project(alone, (*nulls, *columns))))


def exchanged(condition: Expr, left: int, right: int) -> Expr:
    """A condition over left, then right columns as one over right, then left columns."""
    if isinstance(condition, ColumnRef):
        moved = condition.index + right if condition.index < left else condition.index - left
        return replace(condition, index=moved)
    return with_children(condition, tuple(exchanged(child, left, right) for child in children(condition)))


# --- the look-up ----------------------------------------------------------------------------------------------------------------


def look_up(pipelines: Pipelines, join: Join, probe: Stream, build: Stream, values: list[Value], duplicates: bool) -> Lookup:
    """Finish the build side, and find each probe row's partner in it."""
    stored_keys = [lower_operand(build.lowerer, key.right) for key in join.keys]
    build.flush()
    for key, value in zip(join.keys, stored_keys, strict=True):
        if not key.null_safe:
            build.keep(value.valid)  # NULL equals nothing
    before = len(probe.lowerer.pending)
    wanted = [lower_operand(probe.lowerer, key.left) for key in join.keys]
    checks = probe.lowerer.pending[before:]
    stored_keys = [
        value if key.null_safe else replace(value, valid=None) for key, value in zip(join.keys, stored_keys, strict=True)
    ]
    pairs = [matching(probe.lowerer, stored, value) for stored, value in zip(stored_keys, wanted, strict=True)]
    to_rank = too_wide([stored for stored, _ in pairs], build.source.capacity)
    if to_rank:
        build, values, pairs = ranked(pipelines, probe, build, values, pairs, to_rank)
    keys = tuple(digit_key(build.lowerer, stored) for stored, _ in pairs)
    code, inside = probe_code(probe.lowerer, keys, [value for _, value in pairs])
    lookup = closed(pipelines, probe, build, values, keys, code, inside, duplicates)
    if checks:  # where nothing can be found, nothing is looked for: keys that cannot be computed are no error then
        builder = probe.lowerer.builder
        there = builder.emit("any_row", dtype="bool", attribute=(lookup.number, None))
        failing = [(builder.definite(builder.both(condition, there)), check) for condition, check in checks]
        probe.lowerer.pending[before : before + len(checks)] = failing
    return lookup


def closed(
    pipelines: Pipelines,
    probe: Stream,
    build: Stream,
    values: list[Value],
    keys: tuple[GroupKey, ...],
    code: Ref,
    inside: Ref | None,
    duplicates: bool,
) -> Lookup:
    """Finish the build side with the look-up that its keys allow."""
    builder = probe.lowerer.builder
    stored = Stored.of(build.lowerer, values)
    direct = DirectLookupSink(keys, stored.columns, duplicates)
    width = len(stored.columns)
    rows = min(build.source.capacity, pipelines.usual_rows or build.source.capacity)
    index = builder.convert(code, "int32")
    origin = None if duplicates else where_stored(build, stored)
    if origin is not None and DIRECT_SMALL < direct.domain <= ADDRESSES_LIMIT and direct.domain > ADDRESSES_SHARE * rows:
        row = build.lowerer.builder.convert(build.lowerer.builder.emit("row", dtype="int64"), "int32")
        number = pipelines.close(build, DirectLookupSink(keys, (row,), duplicates=False))
        position = builder.emit("fetch", index, dtype="int32", attribute=(number, 0))
        found = builder.emit("fetch", index, dtype="bool", attribute=(number, None))
        loader = rows_of(probe.lowerer, origin.pipeline, position, origin.slots)
        return Lookup(number, stored, position, builder.definite(builder.both(inside, found)), None, loader)
    if direct.domain <= max(DIRECT_SMALL, min(DIRECT_SPARSITY * rows, DIRECT_LIMIT)):
        number = pipelines.close(build, direct)
        if not duplicates:
            found = builder.emit("fetch", index, dtype="bool", attribute=(number, None))
            loader = rows_of(probe.lowerer, number, index)
            return Lookup(number, stored, index, builder.definite(builder.both(inside, found)), None, loader)
        following = builder.emit("add", index, probe.lowerer.integer(1, "int32"), dtype="int32")
        start, end = (builder.emit("fetch", at, dtype="int32", attribute=(number, width)) for at in (index, following))
    else:
        word = word_of(build.lowerer, keys)
        number = pipelines.close(build, SortedLookupSink(word, direct.domain, stored.columns))
        start = builder.emit("search_left", code, dtype="int32", attribute=(number, width))
        if not duplicates:
            same = builder.compare("equal", builder.emit("fetch", start, dtype="int64", attribute=(number, width)), code)
            loader = rows_of(probe.lowerer, number, start)
            return Lookup(number, stored, start, builder.definite(builder.both(inside, same)), None, loader)
        end = builder.emit("search_right", code, dtype="int32", attribute=(number, width))
    count = builder.emit("subtract", end, start, dtype="int32")
    if inside is not None:
        count = builder.select(inside, count, probe.lowerer.integer(0, "int32"))
    found = builder.compare("greater", count, probe.lowerer.integer(0, "int32"))
    return Lookup(number, stored, start, found, count, rows_of(probe.lowerer, number, start))


@dataclass(frozen=True)
class Origin:
    """An earlier pipeline's result that a build side reads as it is, and the column that each stored one is there."""

    pipeline: int
    slots: tuple[int, ...]


def where_stored(build: Stream, stored: Stored) -> Origin | None:
    """Where the stored columns lie already, so that the look-up need only say in which row."""
    if not isinstance(build.source, ResultSource):
        return None
    instructions = [build.lowerer.builder.instructions[ref] for ref in stored.columns]
    slots_read = [instruction.attribute for instruction in instructions if instruction.op == "load"]
    if len(slots_read) < len(instructions):
        return None
    return Origin(build.source.pipeline, tuple(slot for slot in slots_read if isinstance(slot, int)))


def matching(lowerer: Lowerer, stored: Value, wanted: Value) -> tuple[Value, Value]:
    """Both sides of a key as comparable data: text of the probe side as codes of the build side's dictionary, -1 if not there."""
    if isinstance(stored.type, Varchar):
        assert stored.dictionary is not None
        lowerer.require(stored, "unique")
        return stored, lowerer.translate(wanted, stored.dictionary)
    return stored, wanted


def is_unbounded(value: Value) -> bool:
    """Whether a key's values are too many to count: floats, and integers anywhere in 64 bits."""
    return isinstance(value.type, Float) or (value.range is not None and value.range.size >= WORD_LIMIT)


def too_wide(keys: list[Value], capacity: int) -> set[int]:
    """Which keys must become ranks, so that all together are one word: the widest, as few as that takes."""
    sizes = [WORD_LIMIT if is_unbounded(value) else (value.range or BIT).size + 1 for value in keys]
    chosen: set[int] = set()
    while prod(sizes) >= WORD_LIMIT:
        widest = max((index for index in range(len(sizes)) if index not in chosen), key=sizes.__getitem__, default=None)
        if widest is None:
            raise UnsupportedError("a join on so many keys of so many values is not supported")
        chosen.add(widest)
        sizes[widest] = capacity + 2
    return chosen


def key_word(lowerer: Lowerer, value: Value) -> Ref:
    """An unbounded key as int64: equal values, and only they, are equal."""
    data = order_key(lowerer, value) if isinstance(value.type, Float) else value.data
    return lowerer.builder.convert(data, "int64")


def ranked(
    pipelines: Pipelines,
    probe: Stream,
    build: Stream,
    values: list[Value],
    pairs: list[tuple[Value, Value]],
    to_rank: set[int],
) -> tuple[Stream, list[Value], list[tuple[Value, Value]]]:
    """Some keys replaced by their rank among the build side's, which are kept for that."""
    stored_keys = [stored for stored, _ in pairs]
    stored = Stored.of(build.lowerer, [*values, *stored_keys])
    capacity = build.source.capacity
    number = pipelines.close(build, CollectSink(stored.columns))
    kept = pipelines.begin(ResultSource(number, capacity))
    loaded = stored.load(slots(kept.lowerer))
    new_pairs = []
    for index, (value, (_, wanted)) in enumerate(zip(loaded[len(values) :], pairs, strict=True)):
        if index not in to_rank:
            new_pairs.append((value, wanted))
            continue
        words = pipelines.begin(ResultSource(number, capacity))
        again = stored.load(slots(words.lowerer))[len(values) + index]
        words.keep(again.valid)
        ordered = pipelines.close(words, SortedLookupSink(key_word(words.lowerer, again), None, ()))
        bounds = Range(0, capacity)
        own = rank(kept.lowerer, ordered, key_word(kept.lowerer, value))
        rank_value = Value(BIGINT, own, value.valid, range=bounds)
        word = key_word(probe.lowerer, wanted)
        position = rank(probe.lowerer, ordered, word)
        builder = probe.lowerer.builder
        there = builder.emit("fetch", position, dtype="bool", attribute=(ordered, None))
        same = builder.compare("equal", builder.emit("fetch", position, dtype="int64", attribute=(ordered, 0)), word)
        known = builder.definite(builder.both(there, same))
        code = builder.select(known, position, probe.lowerer.integer(-1, "int32"))
        new_pairs.append((rank_value, Value(BIGINT, code, wanted.valid, range=Range(-1, capacity))))
    return kept, loaded[: len(values)], new_pairs


def rank(lowerer: Lowerer, pipeline: int, word: Ref) -> Ref:
    return lowerer.builder.emit("search_left", word, dtype="int32", attribute=(pipeline, 0))


def digit_key(lowerer: Lowerer, value: Value) -> GroupKey:
    """A key of the build side as a digit."""
    if isinstance(value.type, Boolean):
        return GroupKey(lowerer.builder.convert(value.data, "int8"), 0, 2, value.valid)
    bounds = value.range or BIT
    return GroupKey(value.data, bounds.low, bounds.size, value.valid)


def probe_code(lowerer: Lowerer, keys: tuple[GroupKey, ...], values: list[Value]) -> tuple[Ref, Ref | None]:
    """The probe rows' codes, int64, 0 where there can be no partner; and whether there can be one (None: always)."""
    builder = lowerer.builder
    code: Ref | None = None
    inside: Ref | None = None
    for key, value in zip(keys, values, strict=True):
        data, bounds = value.data, value.range
        if isinstance(value.type, Boolean):
            data, bounds = builder.convert(data, "int8"), BIT
        data = builder.convert(data, "int64")
        allowed = Range(key.low, key.low + key.size - 1)
        possible: Ref | None = None
        if bounds is None or bounds not in allowed:
            above = builder.compare("greater_equal", data, lowerer.integer(allowed.low))
            below = builder.compare("less_equal", data, lowerer.integer(allowed.high))
            possible = builder.both(above, below)
        digit = builder.emit("subtract", data, lowerer.integer(key.low), dtype="int64")
        if value.valid is not None and key.valid is not None:
            digit = builder.select(value.valid, digit, lowerer.integer(key.size))
            possible = None if possible is None else builder.either(builder.negation(value.valid), possible)
        else:
            possible = builder.both(possible, value.valid)
        inside = builder.both(inside, possible)
        if code is None:
            code = digit
        else:
            scaled = builder.emit("multiply", code, lowerer.integer(key.radix), dtype="int64")
            code = builder.emit("add", scaled, digit, dtype="int64")
    if code is None:
        return lowerer.integer(0), None
    return (code if inside is None else builder.select(inside, code, lowerer.integer(0))), inside


def word_of(lowerer: Lowerer, keys: tuple[GroupKey, ...]) -> Ref:
    """The build rows' codes, int64."""
    builder = lowerer.builder
    code = lowerer.integer(0)
    for key in keys:
        data = builder.convert(key.code, "int64")
        digit = builder.emit("subtract", data, lowerer.integer(key.low), dtype="int64")
        if key.valid is not None:
            digit = builder.select(key.valid, digit, lowerer.integer(key.size))
        scaled = builder.emit("multiply", code, lowerer.integer(key.radix), dtype="int64")
        code = builder.emit("add", scaled, digit, dtype="int64")
    return code


# --- at most one partner --------------------------------------------------------------------------------------------------------


def with_partner(probe: Stream, lookup: Lookup, join: Join) -> Stream:
    """The probe side's rows with what was looked up, where each has one partner at most."""
    lowerer = probe.lowerer
    own = lowerer.columns
    fetched = lookup.stored.load(lookup.loader)
    match join.kind:
        case "inner":
            probe.keep(lookup.found)
            lowerer.columns = (*own, *fetched)
            if join.condition is not None:
                probe.filter(join.condition)
            return probe
        case "left" | "single":
            matched = matching_condition(probe, own, fetched, join.condition, lookup.found)
            lowerer.columns = (*own, *(only_where(lowerer, matched, value) for value in fetched))
            probe.ordered = False
            return probe
        case _:
            matched = matching_condition(probe, own, fetched, join.condition, lookup.found)
            lowerer.columns = own
            return marked(probe, join, matched)


def matching_condition(stream: Stream, own: tuple[Value, ...], fetched: list[Value], condition: Expr | None, found: Ref) -> Ref:
    """Whether a row has a partner for which the condition is true."""
    if condition is None:
        return found
    lowerer = stream.lowerer
    lowerer.columns = (*own, *(only_where(lowerer, found, value) for value in fetched))
    with lowerer.guarded(found):
        holds = lower_condition(lowerer, condition)
    stream.flush()
    return lowerer.builder.definite(lowerer.builder.both(found, holds))


def only_where(lowerer: Lowerer, condition: Ref, value: Value) -> Value:
    """NULL where the condition does not hold."""
    return replace(value, valid=lowerer.builder.both(condition, value.valid))


def marked(stream: Stream, join: Join, matched: Ref) -> Stream:
    """SEMI, ANTI and mark joins, once it is known which rows have a partner."""
    builder = stream.lowerer.builder
    match join.kind:
        case "semi":
            stream.keep(matched)
        case "anti":
            stream.keep(builder.negation(matched))
        case _:
            stream.lowerer.columns = (*stream.lowerer.columns, Value(BOOLEAN, matched))
    return stream


def with_only_partner(probe: Stream, lookup: Lookup) -> Stream:
    """A single join whose right side may hold several partners: an error if one row has two."""
    lowerer = probe.lowerer
    assert lookup.count is not None
    several = lowerer.builder.compare("greater", lookup.count, lowerer.integer(1, "int32"))
    lowerer.check(several, None, MORE_THAN_ONE_ROW, None)
    probe.flush()
    fetched = lookup.stored.load(lookup.loader)
    lowerer.columns = (*lowerer.columns, *(only_where(lowerer, lookup.found, value) for value in fetched))
    return probe


MORE_THAN_ONE_ROW = "a subquery used as a value has more than one row: use LIMIT 1, or an aggregate"


# --- several partners -----------------------------------------------------------------------------------------------------------


def expanded(pipelines: Pipelines, probe: Stream, lookup: Lookup, join: Join) -> Stream:
    """A join whose left rows may have several partners: they are kept, and the pairs are the rows of a new pipeline."""
    assert lookup.count is not None
    own = Stored.of(probe.lowerer, probe.lowerer.columns)
    capacity = probe.source.capacity
    number = pipelines.close(probe, CollectSink((*own.columns, lookup.position, lookup.count)))
    width = len(lookup.stored.columns)
    outer = join.kind == "left" and join.condition is None
    pairs = pipelines.begin(ExpandSource(number, lookup.number, width, outer, CHUNK))
    lowerer = pairs.lowerer
    left = own.load(slots(lowerer))
    right = lookup.stored.load(slots(lowerer, len(own.columns)))
    further = slots(lowerer, len(own.columns) + width)
    row, matched = further(0, "int64"), further(1, "bool")
    if outer:
        right = [only_where(lowerer, matched, value) for value in right]
    lowerer.columns = (*left, *right)
    if join.condition is not None:
        pairs.filter(join.condition)
    if join.kind == "inner" or outer:
        return pairs
    row_key = Value(BIGINT, row, range=Range(0, capacity - 1))
    back = pipelines.begin(ResultSource(number, capacity))
    back.lowerer.columns = tuple(own.load(slots(back.lowerer)))
    if join.kind in ("semi", "anti", "mark"):
        found = pipelines.close(pairs, DirectLookupSink((digit_key(lowerer, row_key),), (), duplicates=False))
        return marked(back, join, partner_of_row(back.lowerer, found))
    lowerer.columns = (*lowerer.columns, row_key)
    if join.kind == "single":
        return single_of_pairs(pipelines, pipelines.bounded(pairs), back, len(left))
    return left_of_pairs(pipelines, pairs, back, right)


def partner_of_row(lowerer: Lowerer, pipeline: int) -> Ref:
    """Whether the row at hand is among those that a pipeline has found, by their numbers."""
    row = lowerer.builder.convert(lowerer.builder.emit("row", dtype="int64"), "int32")
    return lowerer.builder.emit("fetch", row, dtype="bool", attribute=(pipeline, None))


def left_of_pairs(pipelines: Pipelines, pairs: Stream, back: Stream, right: list[Value]) -> Stream:
    """A LEFT JOIN whose pairs were filtered: the pairs that are left, then the left rows that have none of them."""
    joined, again = pipelines.twice(pairs)
    *_, row_key = again.lowerer.columns
    found = pipelines.close(again, DirectLookupSink((digit_key(again.lowerer, row_key),), (), duplicates=False))
    joined.lowerer.columns = joined.lowerer.columns[:-1]
    back.keep(back.lowerer.builder.negation(partner_of_row(back.lowerer, found)))
    back.lowerer.columns = (*back.lowerer.columns, *(back.lowerer.null(value.type) for value in right))
    return plan_union(pipelines, [joined, back])


def single_of_pairs(pipelines: Pipelines, pairs: Stream, back: Stream, width: int) -> Stream:
    """A single join whose pairs were filtered."""
    *values, row_key = pairs.lowerer.columns
    stored = Stored.of(pairs.lowerer, values[width:])
    number = pipelines.close(pairs, DirectLookupSink((digit_key(pairs.lowerer, row_key),), stored.columns, duplicates=True))
    lowerer = back.lowerer
    builder = lowerer.builder
    row = builder.convert(builder.emit("row", dtype="int64"), "int32")
    following = builder.emit("add", row, lowerer.integer(1, "int32"), dtype="int32")
    start, end = (builder.emit("fetch", at, dtype="int32", attribute=(number, len(stored.columns))) for at in (row, following))
    count = builder.emit("subtract", end, start, dtype="int32")
    found = builder.compare("greater", count, lowerer.integer(0, "int32"))
    lookup = Lookup(number, stored, start, found, count, rows_of(lowerer, number, start))
    return with_only_partner(back, lookup)
