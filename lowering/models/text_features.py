"""Features that are texts, in models whose rows are numbers: each text that a model knows stands there as its number.

Encoders of categories then compare numbers, whatever the categories are, and imputers fill in the number of a text. What is made
of the words of a text has a table of its own. The host makes both for each text of a dictionary (`text/program.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qtensor.lowering.models.text.program import (
    CaseChange,
    Found,
    Grams,
    Histogram,
    TextInput,
    TextNode,
    TextOutput,
    TextProgram,
    Without,
    Words,
)

MISSING = "\0"  # the text of a row that has none: no table holds a text with a zero byte
UNKNOWN_NUMBER, MISSING_NUMBER = -1, -2  # of texts that the model does not know, and of `MISSING`, which a feature has as NaN


@dataclass(frozen=True)
class CountedWords:
    """How often each word, or run of neighbours, of a vocabulary is in a text: words have at least `shortest` letters or digits.

    runs: of how many words, each number in turn. left_out: words that do not count as neighbours either. binary: only whether.
    """

    vocabulary: tuple[str, ...]
    shortest: int
    runs: tuple[int, ...]
    left_out: tuple[str, ...]
    lower: bool
    binary: bool

    def nodes(self, first: int) -> tuple[TextNode, ...]:
        """The program, whose first node has the number `first`; node 0 is the text."""
        found: list[TextNode] = []

        def added(node: TextNode) -> int:
            found.append(node)
            return first + len(found) - 1

        text = added(CaseChange(0, upper=False, unicode=True)) if self.lower else 0
        words = added(Words(text, self.shortest))
        if self.left_out:
            words = added(Without(words, self.left_out))
        if self.runs != (1,):
            words = added(Grams(words, self.runs, " "))
        width = len(self.vocabulary)
        number = added(Found(words, self.vocabulary, tuple(range(width)), width, "int32"))
        added(Histogram(number, width, self.binary, "int32"))
        return tuple(found)


@dataclass
class TextFeatures:
    """Which features of a model are texts, while its parts are made, and what is made of each."""

    numbers: dict[str, int] = field(default_factory=dict)  # of all texts that the model knows
    features: dict[int, list[CountedWords]] = field(default_factory=dict)
    own: dict[int, tuple[str, ...]] = field(default_factory=dict)  # of features whose texts have numbers of their own

    def is_text(self, feature: int) -> None:
        self.features.setdefault(feature, [])

    def labelled(self, feature: int, labels: tuple[str, ...]) -> None:
        """A feature's texts are `labels`, whose numbers are their places."""
        self.is_text(feature)
        self.own[feature] = labels

    def number(self, text: str) -> int:
        """The number by which features have a text."""
        return self.numbers.setdefault(text, len(self.numbers))

    def counted(self, feature: int, words: CountedWords) -> int:
        """Which of the tables that are made of a feature counts these words."""
        self.is_text(feature)
        self.features[feature].append(words)
        return len(self.features[feature])

    def program(self, feature: int, argument: int) -> TextProgram:
        """What the host makes of a feature: its number, and the tables of its words."""
        known = {text: number for number, text in enumerate(self.own[feature])} if feature in self.own else self.numbers
        keys, values = (*known, MISSING), (*known.values(), MISSING_NUMBER)
        nodes: list[TextNode] = [TextInput(), Found(0, keys, values, UNKNOWN_NUMBER, "int32")]
        outputs = [TextOutput(1, "int32")]
        for words in self.features[feature]:
            nodes += words.nodes(len(nodes))
            outputs.append(TextOutput(len(nodes) - 1, "int32", len(words.vocabulary)))
        return TextProgram(argument, tuple(nodes), tuple(outputs))


def is_missing(value: Any) -> bool:
    """Whether a category, or what is filled in, stands for what is missing: None, NaN and pandas.NA."""
    return value is None or type(value).__name__ == "NAType" or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def kinds_of(values: Sequence[Any]) -> set[str]:
    """What values are that are there: "text", "number", or the name of another type."""
    return {
        "text"
        if isinstance(value, str)
        else "number"
        if isinstance(value, int | float | np.number | np.bool_)
        else type(value).__name__
        for value in values
        if not is_missing(value)
    }
