"""Plans as JSON and back: frozen dataclasses by name and field, everything checked against its type annotations.

What is read may come from a hostile file: only the classes of plans are ever made, each field must have its declared type,
and anything else is a FormatError. There is no way from here to code.
"""

from __future__ import annotations

import builtins
import collections.abc
import dataclasses
import functools
import types
import typing
from types import NoneType
from typing import Any, TypeAlias

from qtensor import errors, expressions, logical
from qtensor import types as sql_types
from qtensor.aot.artifact import manifest
from qtensor.lowering.ir import physical, ranges, values
from qtensor.lowering.ir.kernel import Instruction
from qtensor.lowering.models.model import ModelOutput
from qtensor.lowering.models.text import program
from qtensor.optimise.facts.statistics import ColumnStatistics

JSON: TypeAlias = Any

_DIGITS = 76  # more than DuckDB's 38, for what decimals are in between
_ELEMENTS = 1 << 16
_DEPTH = 200  # of nesting: deeper than any plan that binds


class FormatError(ValueError):
    """JSON that is not what was to be read."""


def node_classes() -> dict[str, type]:
    """The classes that JSON may name."""
    modules = (expressions, logical, manifest, physical, program, ranges, values, sql_types)
    found = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == module.__name__
    ]
    return {cls.__name__: cls for cls in [*found, errors.Span, Instruction, ColumnStatistics, ModelOutput]}


_CLASSES = node_classes()


def to_json(value: object) -> JSON:
    """`value`, made of dataclasses of plans, tuples and scalars, as JSON. Floats are written as hexadecimal text: exactly."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return {"@": "float", "hex": value.hex()}
        case sql_types.IntervalValue():
            return {"@": "IntervalValue", "parts": list(value)}
        case tuple():
            return [to_json(item) for item in value]
        case sql_types.Unsupported(name, remedy):  # a column that the file does not read
            return {"@": "Unsupported", "name": name, "remedy": remedy, "arrow": None}
        case _ if dataclasses.is_dataclass(value) and _CLASSES.get(type(value).__name__) is type(value):
            return {"@": type(value).__name__} | {
                field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)
            }
        case _:
            raise FormatError(f"a {type(value).__name__} cannot be written")


def from_json(hint: Any, json: JSON, depth: int = 0) -> Any:
    """The value of type `hint` that `to_json` wrote as `json`. Raises FormatError: it is none.

    >>> from qtensor.lowering.ir.ranges import Range
    >>> from_json(Range, to_json(Range(0, 3)))
    Range(low=0, high=3)
    >>> from_json(Range, {"@": "Range", "low": 0, "high": "3"})
    Traceback (most recent call last):
    qtensor.aot.artifact.codec.FormatError: expected int, found '3'
    """
    if depth > _DEPTH:
        raise FormatError("nested too deeply")
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _of_union(typing.get_args(hint), json, depth)
    if origin is tuple:
        return _of_tuple(typing.get_args(hint), json, depth)
    if origin is typing.Literal:
        if not isinstance(json, str) or json not in typing.get_args(hint):
            raise FormatError(f"expected one of {', '.join(map(str, typing.get_args(hint)))}, found {shown(json)}")
        return json
    if hint is collections.abc.Hashable:  # an attribute of an instruction
        return tuple(from_json(hint, item, depth + 1) for item in json) if isinstance(json, list) else _scalar(json)
    if hint is Any:  # the Arrow type of a column that is not read
        hint = type(None)
    if hint in (bool, int, str, type(None)):
        if type(json) is not hint:
            raise FormatError(f"expected {hint.__name__}, found {shown(json)}")
        return json
    if hint is float:
        return _float(json)
    if hint is sql_types.IntervalValue:
        return _interval(json)
    return _node(hint, json, depth)


def shown(json: JSON) -> str:
    text = repr(json)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _scalar(json: JSON) -> bool | int | str | None:
    if json is None or isinstance(json, bool | int | str):
        return json
    raise FormatError(f"expected a scalar, found {shown(json)}")


def _tag(json: JSON) -> str | None:
    tag = json.get("@") if isinstance(json, dict) else None
    return tag if isinstance(tag, str) else None


def _of_union(options: tuple[Any, ...], json: JSON, depth: int) -> Any:
    """The option that the JSON names, or whose kind of scalar or sequence it is."""
    tag = _tag(json)
    for option in options:
        origin = typing.get_origin(option)
        if tag is not None:
            chosen = isinstance(option, type) and option.__name__ == tag
        elif isinstance(json, list):
            chosen = origin is tuple
        elif origin is typing.Literal:
            chosen = json in typing.get_args(option)
        else:
            chosen = option is type(json) or (option is type(None) and json is None)
        if chosen:
            return from_json(option, json, depth + 1)
    names = " or ".join(getattr(option, "__name__", str(option)) for option in options)
    raise FormatError(f"expected {names}, found {shown(json)}")


def _of_tuple(items: tuple[Any, ...], json: JSON, depth: int) -> tuple[Any, ...]:
    if not isinstance(json, list):
        raise FormatError(f"expected a list, found {shown(json)}")
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(from_json(items[0], item, depth + 1) for item in json)
    if len(items) != len(json):
        raise FormatError(f"expected a list of {len(items)}, found {shown(json)}")
    return tuple(from_json(hint, item, depth + 1) for hint, item in zip(items, json, strict=True))


def _float(json: JSON) -> float:
    if _tag(json) == "float" and isinstance(json.get("hex"), str):
        try:
            return float.fromhex(json["hex"])
        except (ValueError, OverflowError):
            pass
    raise FormatError(f"expected float, found {shown(json)}")


def _interval(json: JSON) -> sql_types.IntervalValue:
    if _tag(json) == "IntervalValue":
        return sql_types.IntervalValue(*from_json(tuple[int, int, int], json.get("parts")))
    raise FormatError(f"expected IntervalValue, found {shown(json)}")


@functools.cache
def _field_types(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, localns={"Plan": logical.Plan})  # expressions.py knows it only while types are checked
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _node(hint: Any, json: JSON, depth: int) -> Any:
    cls = _CLASSES.get(getattr(hint, "__name__", ""))
    if cls is None or cls is not hint:
        raise FormatError(f"a {hint} cannot be read")
    if _tag(json) != cls.__name__:
        raise FormatError(f"expected {cls.__name__}, found {shown(json)}")
    expected = _field_types(cls)
    if set(json) - {"@"} != set(expected):
        raise FormatError(f"{cls.__name__} has the fields {', '.join(expected)}, found {', '.join(json)}")
    node = cls(**{name: from_json(hint, json[name], depth + 1) for name, hint in expected.items()})
    if not is_possible(node):
        raise FormatError(f"there is no {shown(node)}")
    return node


def is_possible(node: object) -> bool:
    """Whether a type is one that SQL has, and a literal's value one of its type. Powers of ten are made of a type's scale."""
    match node:
        case sql_types.Integer(bits):
            return bits in (8, 16, 32, 64, 128)
        case sql_types.Float(bits):
            return bits in (32, 64)
        case sql_types.Decimal(precision, scale):
            return 0 < precision <= _DIGITS and 0 <= scale <= _DIGITS
        case sql_types.Array(_, length):
            return 0 < length <= _ELEMENTS
        case expressions.Literal(value, type):
            return value is None or builtins_of(type) is builtins.type(value)
        case _:
            return True


def builtins_of(type: sql_types.SqlType) -> builtins.type[Any]:
    """What the values of a type are in Python; see `qtensor/expressions.py`."""
    match type:
        case sql_types.Null() | sql_types.Unsupported():
            return NoneType
        case sql_types.Boolean():
            return bool
        case sql_types.Integer() | sql_types.Decimal() | sql_types.Date() | sql_types.Timestamp():
            return int
        case sql_types.Float() | sql_types.Array():
            return float
        case sql_types.Varchar():
            return str
        case sql_types.Interval():
            return sql_types.IntervalValue
        case _:
            typing.assert_never(type)
