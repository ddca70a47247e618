"""What all parts of one binding share: the source, the catalog, the parameters, and what was found to be unsupported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from qtensor.bind.catalog import Catalog
from qtensor.bind.select.branches import Branch
from qtensor.bind.text.source import QueryText
from qtensor.errors import BindError, ExecutionError, Span, with_article
from qtensor.expressions import Literal
from qtensor.logical import Plan
from qtensor.optimise.unsupported_columns import unsupported_column
from qtensor.types import SqlType, Unsupported
from qtensor.values.literals import listed, parameter_literal
from qtensor.values.texts import ConversionError


@dataclass
class Parameters:
    """The values given for `?`, `$1` and `$name`; every one must be used, and every one used must be given."""

    given: dict[str, Literal]
    lists: dict[str, tuple[Literal, ...]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    @staticmethod
    def of(values: Sequence[object] | Mapping[str, object] | None) -> Parameters:
        """The parameters of `values`: numbered from 1 when it is a sequence.

        Raises:
            BindError: `values` is neither a sequence nor a mapping, or holds what has no SQL type.
        """
        match values:
            case None:
                return Parameters({})
            case Mapping():
                named = {str(name).lower(): value for name, value in values.items()}
            case Sequence() if not isinstance(values, str | bytes):
                named = {str(number): value for number, value in enumerate(values, 1)}
            case _:
                raise BindError(f"parameters are a sequence or a mapping, not {with_article(type(values).__name__)}")
        made = Parameters({})
        for name, value in named.items():
            try:
                if (items := listed(value)) is not None:
                    made.lists[name] = tuple(map(parameter_literal, items))
                else:
                    made.given[name] = parameter_literal(value)
            except ConversionError as error:
                raise BindError(f"parameter ${name}: {error}") from error
        return made

    def superfluous(self) -> list[str]:
        """The names of values that the query does not use."""
        return [name for name in (*self.given, *self.lists) if name not in self.used]


@dataclass
class Context:
    """One binding: what it reads, and what it collects on the way. views: the names of those around it, from the outermost.

    branches: the queries that are bound, by the number of their node, for ORDER BY of the set operations they are in. view_plans:
    the plans of views that were read, so that a view that is read twice is one plan.
    """

    source: QueryText
    catalog: Catalog
    parameters: Parameters
    findings: list[tuple[str, Span | None]] = field(default_factory=list)
    views: tuple[str, ...] = ()
    branches: dict[int, Branch] = field(default_factory=dict)
    view_plans: dict[str, Plan] = field(default_factory=dict)

    def unsupported(self, what: str, span: Span | None) -> None:
        """Remember that `what` is not supported; all such are raised together once the query is bound."""
        self.findings.append((what, span))

    def refuse_type(self, name: str, type: SqlType, span: Span | None) -> bool:
        """Whether the column `name`, used at `span`, is of a type that is not supported: then that is remembered."""
        if not isinstance(type, Unsupported):
            return False
        self.unsupported(unsupported_column(name, type), span)
        return True

    def error(self, message: str, span: Span | None, hint: str = "") -> BindError:
        """The error that shows `message` at `span`."""
        return BindError(message, self.source.sql, [span] if span else [], hint)

    def conversion_error(self, error: ConversionError, span: Span | None) -> ExecutionError:
        """The error of a constant that does not convert, at `span`."""
        return ExecutionError(str(error), self.source.sql, [span] if span else [])

    def parameter(self, name: str) -> Literal:
        """The value of the parameter `name`.

        Raises:
            BindError: none was given.
        """
        key = name.lower()
        self.parameters.used.add(key)
        if key in self.parameters.lists:
            message = f"the parameter ${name} is a list, which stands only after IN, as in x IN ${name}, and in ANY() and ALL()"
            raise self.error(message, self.source.parameter_span(name))
        if key not in self.parameters.given:
            raise self.error(f"no value was given for the parameter ${name}", self.source.parameter_span(name))
        return replace(self.parameters.given[key], parameter=key)

    def parameter_list(self, name: str) -> tuple[Literal, ...] | None:
        """The values of the list that the parameter `name` is; None for NULL.

        Raises:
            BindError: none was given, or one that is no list.
        """
        if name.lower() in self.parameters.lists:
            self.parameters.used.add(name.lower())
            return self.parameters.lists[name.lower()]
        value = self.parameter(name)
        if value.value is not None:
            message = f"the parameter ${name} is a list here, not {with_article(value.type)}"
            raise self.error(message, self.source.parameter_span(name), f"Pass a list, or write (${name}) for one value.")
        return None
