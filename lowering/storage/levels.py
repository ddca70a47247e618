"""What the codes of a text column tell about its strings, from least to most: the cheaper, the less of it there is."""

from __future__ import annotations

from typing import Literal, TypeAlias

# plain: a code names a string, and that is all: several codes may stand for equal strings.
# unique: one code for each string, so that equal codes are equal strings, and different ones different.
# ordered: unique, and in the order of the strings.
Level: TypeAlias = Literal["plain", "unique", "ordered"]

LEVELS: tuple[Level, ...] = ("plain", "unique", "ordered")


def serves(level: Level, wanted: Level) -> bool:
    """Whether codes of `level` can do what those of `wanted` can.

    >>> serves("ordered", "unique"), serves("plain", "unique")
    (True, False)
    """
    return LEVELS.index(level) >= LEVELS.index(wanted)


def strongest(*levels: Level) -> Level:
    """The least level that serves for all of `levels`.

    >>> strongest("plain", "ordered", "unique"), strongest()
    ('ordered', 'plain')
    """
    return LEVELS[max(map(LEVELS.index, levels), default=0)]
