"""The arguments of a model's call: by position, or by the names of its inputs, `m(fee := x, age := y)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from qtensor.bind.catalog import Catalog, ModelSignature
from qtensor.bind.context import Context
from qtensor.bind.expressions.build import Operand
from qtensor.bind.text.source import QueryText
from qtensor.bind.text.words import quoted
from qtensor.errors import Span, suggestion
from qtensor.expressions import Call, Cast, Expr, Literal
from qtensor.types import INTEGER, Array, Boolean, Decimal, Float, Integer, SqlType

NAMED = (exp.PropertyEQ, exp.Kwarg)  # `name := value` and `name => value`
MOST_LISTED = 20
MOST_DIGITS = 18  # of a DECIMAL that 64 bits hold


@dataclass(frozen=True)
class Argument:
    """An argument as a call writes it, and its values: several of a star, a list, and the scores of another model."""

    node: exp.Expr
    values: tuple[Operand, ...]


def model_called(node: exp.Expr | None, source: QueryText, catalog: Catalog) -> ModelSignature | None:
    """The model that `node` calls; None if it is no call of a model."""
    return catalog.model(called_name(node, source)) if isinstance(node, exp.Func) else None


def is_argument(node: exp.Expr, source: QueryText, catalog: Catalog) -> bool:
    """Whether `node` is an argument of a model, also under the name of an input, or a part of a list that is one."""
    parent = node.parent
    if isinstance(parent, exp.Tuple | exp.Array):
        parent = parent.parent
    if isinstance(parent, NAMED):
        parent = parent.parent
    return model_called(parent, source, catalog) is not None


def called_name(node: exp.Expr, source: QueryText) -> str:
    """The name of a function as a query writes it, without quotes; "" where the text does not tell."""
    if isinstance(node, exp.Anonymous):
        return node.name
    written = source.text(node) or ""
    return written[1:-1].replace('""', '"') if written.startswith('"') else written


def written_values(node: exp.Expr) -> list[exp.Expr]:
    """The parts of an argument, each of which is a value or stands for several: those of `(a, b)` and `[a, b]`, else itself."""
    value = node.expression if isinstance(node, NAMED) else node
    return list(value.expressions) if isinstance(value, exp.Tuple | exp.Array) else [value]


def has_outputs(node: exp.Expr | None, source: QueryText, catalog: Catalog) -> ModelSignature | None:
    """The model of several outputs that `node` calls; None if it is no call of one."""
    model = model_called(None if node is None else node.unnest(), source, catalog)
    return model if model is not None and model.outputs else None


def output_of(context: Context, model: ModelSignature, wanted: str | int | None, span: Span | None) -> tuple[str, SqlType]:
    """The output that a call wants by its name or its number from 1 on, as in `m(x).risk` and `m(x)[2]`, and its type.

    Without a wish it is "", all of them, which are an ARRAY of scores. Raises BindError: no such output, or no ARRAY.
    """
    if wanted is None:
        if not model.outputs or isinstance(model.result, Array):
            return "", model.result
        raise context.error(f'the model "{model.name}" has several outputs', span, f"Choose one: {_choices(model)}.")
    names = [name for name, _ in model.outputs]
    if isinstance(wanted, int):
        position = wanted - 1 if 1 <= wanted <= len(names) else None
    elif wanted in names:
        position = names.index(wanted)
    else:
        alike = [place for place, name in enumerate(names) if name.lower() == wanted.lower()]
        position = alike[0] if len(alike) == 1 else None
    if position is None:
        hint = suggestion(str(wanted), names) or f"Choose one: {_choices(model)}."
        raise context.error(f'the model "{model.name}" has no output "{wanted}"', span, hint)
    return model.outputs[position]


def _choices(model: ModelSignature) -> str:
    names = [name for name, _ in model.outputs]
    listed = [f"{quoted(model.name)}(...).{quoted(name)}" for name in names[:MOST_LISTED]]
    return ", ".join([*listed, "..."] if len(names) > MOST_LISTED else listed)


def scores_of(vector: Expr) -> list[Expr]:
    """The elements of an ARRAY, one by one."""
    assert isinstance(vector.type, Array)
    count, type = vector.type.length, vector.type.element
    return [Call("subscript", (vector, Literal(number, INTEGER)), type) for number in range(1, count + 1)]


def in_order(context: Context, model: ModelSignature, given: Sequence[Argument], span: Span | None) -> list[Operand]:
    """The values of a call in the model's order.

    Raises:
        BindError: too many or too few values, an input that is unknown or named twice, or names that are needed and missing.
    """
    by_position = [argument for argument in given if not isinstance(argument.node, NAMED)]
    if len(by_position) == len(given):
        if not model.ordered:
            raise context.error(
                f'the inputs of the model "{model.name}" have names and no order: {_listed(model)}', span, _by_name(model)
            )
        values = [value for argument in given for value in argument.values]
        if len(values) != model.arguments:
            raise context.error(
                f'the model "{model.name}" takes {_count(model.arguments)}, not {len(values)}', span, _inputs_of(model)
            )
        return values
    if by_position:
        raise context.error(
            f'arguments of the model "{model.name}" are given by position or by name, not both', span, _by_name(model)
        )
    named: dict[int, tuple[Operand, ...]] = {}
    for argument in given:
        position = _input_named(context, model, argument.node)
        if position in named:
            raise context.error(
                f'the input "{model.inputs[position][0]}" of the model "{model.name}" is given twice',
                _place(context, argument.node),
            )
        named[position] = _values(context, model, position, argument)
    missing = [name for position, (name, _) in enumerate(model.inputs) if position not in named]
    if missing:
        listed = ", ".join(f'"{name}"' for name in missing)
        raise context.error(
            f'a call of the model "{model.name}" without its input{"s" if len(missing) > 1 else ""} {listed}', span
        )
    return [value for position in range(len(model.inputs)) for value in named[position]]


def _input_named(context: Context, model: ModelSignature, node: exp.Expr) -> int:
    """The position of the input that a named argument is for; case counts only where two names differ by it."""
    wanted = node.this.name
    names = [name for name, _ in model.inputs]
    if wanted in names:
        return names.index(wanted)
    alike = [position for position, name in enumerate(names) if name and name.lower() == wanted.lower()]
    if len(alike) == 1:
        return alike[0]
    known = [name for name in names if name]
    hint = suggestion(wanted, known) or (f"Its inputs: {_listed(model)}." if known else "Give its arguments by position.")
    raise context.error(f'the model "{model.name}" has no input "{wanted}"', _place(context, node), hint)


def _values(context: Context, model: ModelSignature, position: int, argument: Argument) -> tuple[Operand, ...]:
    """The values of one input: several as `name := (a, b, c)`, `name := [a, b, c]` or `name := COLUMNS(...)`."""
    name, width = model.inputs[position]
    if len(argument.values) != width:
        example = (
            f"{quoted(name)} := ({', '.join(f'x{number + 1}' for number in range(min(width, 3)))}{', ...' if width > 3 else ''})"
        )
        hint = f"Write {example}." if width > 1 else ""
        raise context.error(
            f'the input "{name}" of the model "{model.name}" takes {_count(width, "value")}, not {len(argument.values)}',
            _place(context, argument.node),
            hint,
        )
    return argument.values


def is_taken(argument: Expr, whole: SqlType | None) -> bool:
    """Whether a model takes every value of an argument but NULL. whole: the type of the numbers, if they must be whole."""
    match whole, argument:
        case None, _:
            return True
        case Boolean(), Cast(operand=operand):
            return isinstance(operand.type, Boolean)
        case Integer(), Literal(value=int() as value):
            return whole.minimum <= value <= whole.maximum
        case Integer(), _ if isinstance(argument.type, Integer):
            return whole.minimum <= argument.type.minimum and argument.type.maximum <= whole.maximum
        case _:
            return False


def is_small(argument: Expr) -> bool:
    """Whether all numbers that an argument may be have magnitudes up to 2**64, as far as its types tell."""
    match argument, argument.type:
        case Literal(value=int() | float() as value), _:
            return abs(value) <= 1 << 64
        case Call(function="coalesce", arguments=parts), _:
            return all(map(is_small, parts))
        case Cast(operand=operand, type=Integer() | Float()), _:
            return is_small(operand)
        case _, Integer(bits=bits):
            return bits <= 64
        case _, Decimal(precision=precision):
            return precision <= MOST_DIGITS
        case _, other:
            return isinstance(other, Boolean)


def _place(context: Context, node: exp.Expr) -> Span | None:
    return context.source.span(node) or context.source.span(node.expression)


def _listed(model: ModelSignature) -> str:
    shown = [f'"{name}"' + (f" (of {width} values)" if width > 1 else "") for name, width in model.inputs]
    others = [f"{len(shown) - MOST_LISTED:,} more"] if len(shown) > MOST_LISTED else []
    return ", ".join([*shown[:MOST_LISTED], *others])


def _inputs_of(model: ModelSignature) -> str:
    return f"Its inputs: {_listed(model)}." if len(model.inputs) > 1 and all(name for name, _ in model.inputs) else ""


def _by_name(model: ModelSignature) -> str:
    parts = [f"{quoted(name)} := {'...' if width == 1 else '(...)'}" for name, width in model.inputs if name]
    parts[MOST_LISTED:] = ["..."] if len(parts) > MOST_LISTED else []
    return (
        f"Write {quoted(model.name)}({', '.join(parts)}), or register it with inputs=[...] in the order of your calls."
        if parts
        else ""
    )


def _count(number: int, what: str = "argument") -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
