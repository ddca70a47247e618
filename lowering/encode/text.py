"""Text functions: evaluated once for each string of the dictionary on the host, then one look-up for each row."""

from __future__ import annotations

from qtensor.errors import UnsupportedError
from qtensor.expressions import Call, Expr, Literal
from qtensor.lowering.encode.encoder import Encoder
from qtensor.lowering.values import LikeTable, Value
from qtensor.types import BOOLEAN


def lower_like(encoder: Encoder, call: Call, arguments: list[Value]) -> Value:
    """LIKE and ILIKE with a constant pattern: % is any text, _ any one character; NULL if text or pattern is."""
    value = arguments[0]
    assert value.dictionary is not None
    for argument in call.arguments[1:]:
        if isinstance(argument, Literal) and argument.value is None:
            return encoder.null(BOOLEAN)
    pattern, *escape = (constant_text(encoder, argument) for argument in call.arguments[1:])
    table = LikeTable(value.dictionary, pattern, escape[0] if escape else None, call.function == "ilike")
    data = encoder.look_up(table, encoder.bindings.size_of(value.dictionary), value.data, "bool")
    return Value(BOOLEAN, data, value.valid)


def constant_text(encoder: Encoder, expr: Expr) -> int:
    if not isinstance(expr, Literal) or not isinstance(expr.value, str):
        raise UnsupportedError("the pattern of LIKE must be a constant")
    return encoder.bindings.literal(expr)
