"""From a node of sqlglot's syntax tree back to its place in the query's text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import pairwise, takewhile

from sqlglot import Token, TokenType, exp

from qtensor.bind.text.syntax import call_arguments, connected, is_text
from qtensor.errors import Span

TYPE_WORDS = frozenset({"DATE", "TIMESTAMP"})


@dataclass(frozen=True)
class WrittenType:
    """A type as the query writes it."""

    name: str
    parameters: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The type with its parameters."""
        return f"{self.name}({', '.join(self.parameters)})" if self.parameters else self.name


@dataclass
class QueryText:
    """The text of one query, its tokens, and the places of the syntax tree's nodes in it."""

    sql: str
    tokens: list[Token]
    _by_start: dict[int, int] = field(default_factory=dict)
    _by_end: dict[int, int] = field(default_factory=dict)
    _spans: dict[int, Span | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, token in enumerate(self.tokens):
            self._by_start[token.start] = index
            self._by_end[token.end + 1] = index

    def span(self, node: exp.Expr) -> Span | None:
        """Where `node` stands in the text, as well as its tokens tell; None for a node without any."""
        key = id(node)
        if key not in self._spans:
            self._spans[key] = self._find(node)
        return self._spans[key]

    def text(self, node: exp.Expr) -> str | None:
        """The text of a node that is a single token."""
        start = node.meta.get("start")
        return None if start is None else self.sql[start : node.meta["end"] + 1]

    def word(self, node: exp.Expr) -> str | None:
        """The name that a single token is, without quotes."""
        index = self._by_start.get(node.meta.get("start", -1))
        return None if index is None else self.tokens[index].text

    def extracted_part(self, node: exp.Extract) -> Token | None:
        """What stands between EXTRACT ( and FROM."""
        operand = self.span(node.expression)
        index = self.token_before(operand) if operand is not None else -1
        while index > 0 and self.upper_at(index) == "(":
            index -= 1
        return self.tokens[index - 1] if index > 0 and self.upper_at(index) == "FROM" else None

    def first_argument(self, node: exp.Func) -> Token | None:
        """The token after the opening parenthesis of the call `node`; None where the text does not tell."""
        name = self._by_start.get(node.meta.get("start", -1))
        is_call = name is not None and self.upper_at(name + 1) == "(" and name + 2 < len(self.tokens)
        return self.tokens[name + 2] if is_call and name is not None else None

    def upper_at(self, index: int) -> str:
        """The text of token `index` in upper case, "" outside of the query."""
        return self.tokens[index].text.upper() if 0 <= index < len(self.tokens) else ""

    def token_before(self, span: Span) -> int:
        """The index of the token before `span`."""
        return self._by_start.get(span.start, 0) - 1

    def token_after(self, span: Span) -> int:
        """The index of the token after `span`."""
        return self._by_end.get(span.end, len(self.tokens)) + 1

    def find_words(self, *words: str) -> Span | None:
        """The first place where these words stand one after the other."""
        for index in range(len(self.tokens) - len(words) + 1):
            if all(self.upper_at(index + offset) == word for offset, word in enumerate(words)):
                return Span(self.tokens[index].start, self.tokens[index + len(words) - 1].end + 1)
        return None

    def mentions(self, name: str) -> bool:
        """Whether the query has a word `name`."""
        return name in self.sql.lower() and any(token.text.lower() == name for token in self.tokens)

    def called(self, node: exp.Func, names: Collection[str]) -> str | None:
        """The function that a call names, where sqlglot keeps no place of it: the last of `names` before its arguments."""
        spans = [span for argument in call_arguments(node) if (span := self.span(argument))]
        index = self.token_before(spans[0]) if spans else -1
        while index >= 0 and self.upper_at(index) in ("(", ",", "-", "+", "NOT", "NULL", "DISTINCT", "CASE", "CAST"):
            index -= 1
        word = self.tokens[index].text if index >= 0 else ""
        return word if word.lower() in names else None

    def parameter_span(self, name: str) -> Span | None:
        """The first place of the parameter `$name`."""
        for marker, word in pairwise(self.tokens):
            if marker.token_type == TokenType.PARAMETER and word.text.lower() == name.lower():
                return Span(marker.start, word.end + 1)
        return None

    def number_text(self, node: exp.Literal) -> str:
        """The number `node` as the query writes it; sqlglot gives `.5`, alone without a place, as `0.5`."""
        return self.text(node) or (node.name[1:] if node.name.startswith("0.") else node.name)

    def interval_text(self, node: exp.Interval) -> str | None:
        """How the quantity after INTERVAL is written: a number, a text, or a text that holds the unit as well."""
        written = node.meta.get("written")
        index = self._interval_token(node) if written is None else None
        return written if index is None else self.tokens[index + 1].text

    def _interval_token(self, node: exp.Interval) -> int | None:
        """The word INTERVAL of `node`, found by what follows it: sqlglot keeps no place of quantity and unit."""
        quantity, unit = node.name, node.args["unit"].name.upper() if node.args.get("unit") else ""
        for index, (marker, word) in enumerate(pairwise(self.tokens)):
            if marker.text.upper() == "INTERVAL":
                is_number = word.token_type == TokenType.NUMBER and [word.text, self.upper_at(index + 2)] == [quantity, unit]
                if is_number or (
                    word.token_type == TokenType.STRING and word.text.upper().split() in ([quantity, unit], [quantity])
                ):
                    return index
        return None

    def written_type(self, node: exp.Cast) -> WrittenType | None:
        """The type that CAST, `::` or a typed literal names; None where the text does not tell."""
        operand = self.span(node.this)
        if operand is None:
            return self._type_of_null(node) if isinstance(node.this.unnest(), exp.Null) else None
        before, after = self.token_before(operand), self.token_after(operand)
        if is_text(node.this) and self.upper_at(before) in TYPE_WORDS:
            return WrittenType(self.tokens[before].text)
        while self.upper_at(after) == ")":
            after += 1
        return self._type_at(after)

    def _type_of_null(self, node: exp.Cast) -> WrittenType | None:
        """The type to which some NULL is cast that sqlglot reads as the type of `node`: NULLs have no place."""
        for index, token in enumerate(self.tokens):
            written = self._type_at(index + 1) if token.token_type == TokenType.NULL else None
            if written is not None and exp.DataType.build(written.text, dialect="duckdb", udt=True) == node.to:
                return written
        return None

    def _type_at(self, after: int) -> WrittenType | None:
        """The type behind AS or ::, which is token `after`."""
        if self.upper_at(after) not in ("AS", "::") or after + 1 >= len(self.tokens):
            return None
        word, parameters = self.tokens[after + 1], []
        if self.upper_at(after + 2) == "(":
            inside = takewhile(lambda token: token.text != ")", self.tokens[after + 3 :])
            parameters = [token.text for token in inside if token.text != ","]
        return WrittenType(word.text, tuple(parameters))

    def _find(self, node: exp.Expr) -> Span | None:
        start = node.meta.get("start")
        if start is not None:
            own = Span(start, node.meta["end"] + 1)
            opening = self.token_after(own)
            is_call = isinstance(node, exp.Func) and self.upper_at(opening) == "("
            return Span(start, self._closing(opening)) if is_call else own
        if isinstance(node, exp.Literal):
            return self._leading_point(node)
        # A long chain of AND is a deep tree: its leaves are visited without recursion.
        children = connected(node) if isinstance(node, exp.Connector) else node.iter_expressions()
        parts = [span for child in children if (span := self.span(child))]
        if not parts:
            index = self._interval_token(node) if isinstance(node, exp.Interval) else None
            return (
                None
                if index is None
                else Span(self.tokens[index].start, self._end(self._unit_token(node, index + 1), Span(0, 0)))
            )
        inner = Span(min(part.start for part in parts), max(part.end for part in parts))
        return self._widened(node, inner)

    def _leading_point(self, node: exp.Literal) -> Span | None:
        """The first place of a number like `.5`, to which sqlglot gives none."""
        for point, digits in pairwise(self.tokens):
            if point.text == "." and node.name == f"0.{digits.text}" and digits.start == point.end + 1:
                return Span(point.start, digits.end + 1)
        return None

    def _widened(self, node: exp.Expr, inner: Span) -> Span:
        """`inner`, the place of the operands, together with the words and parentheses that belong to `node`."""
        before, after = self.token_before(inner), self.token_after(inner)
        match node:
            case exp.Paren() | exp.Subquery() if self.upper_at(before) == "(":
                return Span(self.tokens[before].start, self._closing(before))
            case exp.Select():
                while before > 0 and self.upper_at(before) != "SELECT":
                    before -= 1
                return Span(self.tokens[max(before, 0)].start, inner.end)
            case exp.Interval() if before >= 0:
                end = self._end(self._unit_token(node, after - 1), inner)
                return Span(self.tokens[before].start, end)
            case exp.Not() | exp.Neg() if before >= 0:
                return Span(self.tokens[before].start, inner.end)
            case exp.Cast():
                return self._widened_cast(node, inner)
            case exp.Case():
                while before >= 0 and self.upper_at(before) != "CASE":
                    before -= 1
                while after < len(self.tokens) and self.upper_at(after) != "END":
                    after += 1
                return Span(self.tokens[max(before, 0)].start, self._end(after, inner))
            case exp.Bracket() if self.upper_at(after) == "[":
                while after < len(self.tokens) and self.upper_at(after) != "]":
                    after += 1
                return Span(inner.start, self._end(after, inner))
            case exp.In() | exp.Bracket() if self.upper_at(after) in (")", "]"):
                return Span(inner.start, self._end(after, inner))
            case exp.Func() if (name := self._call_name_before(node, before)) is not None:
                return Span(self.tokens[name].start, self._closing(name + 1))
            case exp.Is():
                while self.upper_at(after) in ("IS", "NOT"):
                    after += 1
                return Span(inner.start, self._end(after, inner))
            case _:
                return inner

    def _unit_token(self, node: exp.Expr, quantity: int) -> int:
        """The token of an interval's unit if it follows that of its quantity, else the quantity's."""
        unit = node.args["unit"].name.upper() if node.args.get("unit") else None
        return quantity + 1 if self.upper_at(quantity + 1) == unit else quantity

    def _call_name_before(self, node: exp.Func, before: int) -> int | None:
        """The token of the function's name, when the tokens up to `before` open its call."""
        depth = 0
        for index in range(before, 0, -1):
            text = self.tokens[index].text
            depth += (text == ")") - (text == "(")
            if depth < 0:
                return index - 1 if self.upper_at(index - 1) in node.sql_names() else None
        return None

    def _widened_cast(self, node: exp.Cast, inner: Span) -> Span:
        operand = self.span(node.this) or inner
        before, after = self.token_before(operand), self.token_after(operand)
        if self.upper_at(before) == "(" and self.upper_at(before - 1) in ("CAST", "TRY_CAST") and self.upper_at(after) == "AS":
            return Span(self.tokens[before - 1].start, self._closing(before))
        if is_text(node.this) and self.upper_at(before) in TYPE_WORDS:
            return Span(self.tokens[before].start, operand.end)
        if self.upper_at(after) == "::":
            end = self._end(after + 1, inner)
            return Span(inner.start, self._closing(after + 2) if self.upper_at(after + 2) == "(" else end)
        return inner

    def _end(self, index: int, inner: Span) -> int:
        return self.tokens[index].end + 1 if 0 <= index < len(self.tokens) else inner.end

    def _closing(self, opening: int) -> int:
        """The offset after the parenthesis that closes the one at token `opening`."""
        depth = 0
        for token in self.tokens[opening:]:
            depth += (token.text == "(") - (token.text == ")")
            if depth == 0:
                return token.end + 1
        return self.tokens[-1].end + 1
