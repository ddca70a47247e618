"""The arguments of a model's call: by position, or by the names of its inputs, `m(fee := x, age := y)`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from qtensor.bind.catalog import Catalog, ModelSignature
from qtensor.bind.context import Context
from qtensor.bind.text.source import QueryText
from qtensor.bind.text.words import quoted
from qtensor.errors import Span, suggestion

NAMED = (exp.PropertyEQ, exp.Kwarg)  # `name := value` and `name => value`
MOST_LISTED = 20


def model_called(node: exp.Expr | None, source: QueryText, catalog: Catalog) -> ModelSignature | None:
    """The model that `node` calls; None if it is no call of a model."""
    return catalog.model(called_name(node, source)) if isinstance(node, exp.Func) else None


def called_name(node: exp.Expr, source: QueryText) -> str:
    """The name of a function as a query writes it, without quotes; "" where the text does not tell."""
    if isinstance(node, exp.Anonymous):
        return node.name
    written = source.text(node) or ""
    return written[1:-1].replace('""', '"') if written.startswith('"') else written


def in_order(context: Context, model: ModelSignature, nodes: Sequence[exp.Expr], span: Span | None) -> list[exp.Expr]:
    """The arguments of a call in the model's order.

    Raises:
        BindError: too many or too few arguments, an input that is unknown or named twice, or names that are needed and missing.
    """
    by_position = [node for node in nodes if not isinstance(node, NAMED)]
    if len(by_position) == len(nodes):
        if not model.ordered:
            raise context.error(
                f'the inputs of the model "{model.name}" have names and no order: {_listed(model)}', span, _by_name(model)
            )
        if len(nodes) != model.arguments:
            raise context.error(
                f'the model "{model.name}" takes {_count(model.arguments)}, not {len(nodes)}', span, _inputs_of(model)
            )
        return list(nodes)
    if by_position:
        raise context.error(
            f'arguments of the model "{model.name}" are given by position or by name, not both', span, _by_name(model)
        )
    given: dict[int, list[exp.Expr]] = {}
    for node in nodes:
        position = _input_named(context, model, node)
        if position in given:
            raise context.error(
                f'the input "{model.inputs[position][0]}" of the model "{model.name}" is given twice', _place(context, node)
            )
        given[position] = _values(context, model, position, node)
    missing = [name for position, (name, _) in enumerate(model.inputs) if position not in given]
    if missing:
        listed = ", ".join(f'"{name}"' for name in missing)
        raise context.error(
            f'a call of the model "{model.name}" without its input{"s" if len(missing) > 1 else ""} {listed}', span
        )
    return [value for position in range(len(model.inputs)) for value in given[position]]


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


def _values(context: Context, model: ModelSignature, position: int, node: exp.Expr) -> list[exp.Expr]:
    """The values of one input: several as `name := (a, b, c)` or `name := [a, b, c]`."""
    name, width = model.inputs[position]
    value = node.expression
    values = list(value.expressions) if isinstance(value, exp.Tuple | exp.Array) else [value]
    if len(values) != width:
        example = (
            f"{quoted(name)} := ({', '.join(f'x{number + 1}' for number in range(min(width, 3)))}{', ...' if width > 3 else ''})"
        )
        hint = f"Write {example}." if width > 1 else ""
        raise context.error(
            f'the input "{name}" of the model "{model.name}" takes {_count(width, "value")}, not {len(values)}',
            _place(context, node),
            hint,
        )
    return values


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
