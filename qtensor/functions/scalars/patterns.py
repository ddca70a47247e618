"""Functions of patterns: regular expressions, which RE2 matches here as in DuckDB, GLOB, and LIKE with other patterns by row."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from qtensor.functions.scalars.function import Overload, ScalarFunction, takes, vectorised
from qtensor.types import BOOLEAN, INTEGER, VARCHAR
from qtensor.values.like import PatternError, matches, quoted
from qtensor.values.texts import ConversionError

OPTIONS = "cilmnps"  # and g, of regexp_replace
GROUPS = 9  # a replacement names no more


def expression(pattern: str, options: str = "", allowed: str = OPTIONS) -> str:
    """`pattern` with its options written into it.

    >>> expression("a.", "i"), expression("a.", "l")
    ('(?i)a.', 'a\\\\.')

    Raises:
        ConversionError: an option or a pattern that there is none of.
    """
    for option in options:
        if option == "g" and "g" not in allowed:
            raise ConversionError("the option 'g' belongs to regexp_replace")
        if option not in allowed and not option.isspace():
            raise ConversionError(f"there is no option '{option}' of regular expressions")
    written = "".join(map(quoted, pattern)) if "l" in options else pattern
    flags = "".join(dict.fromkeys(option for option in options if option in "is"))
    if "c" in options and options.rfind("c") > options.rfind("i"):
        flags = flags.replace("i", "")
    checked = f"(?{flags}){written}" if flags else written
    run(pc.match_substring_regex, pa.array([""]), checked)
    return checked


def run(function: object, *arguments: object, **options: object) -> pa.Array:
    """A function of Arrow, its complaint of a pattern a ConversionError."""
    try:
        return function(*arguments, **options)  # type: ignore[operator]
    except pa.ArrowInvalid as error:
        raise ConversionError(str(error)) from error


def regexp_matches(texts: pa.Array, pattern: str, options: str = "") -> pa.Array:
    """Whether the pattern matches some part of the text."""
    return run(pc.match_substring_regex, texts, expression(pattern, options))


def regexp_full_match(texts: pa.Array, pattern: str, options: str = "") -> pa.Array:
    """Whether the pattern matches the whole text."""
    return run(pc.match_substring_regex, texts, rf"\A(?:{expression(pattern, options)})\z")


def regexp_replace(texts: pa.Array, pattern: str, replacement: str, options: str = "") -> pa.Array:
    """The first match, or with the option g all of them, replaced; \\1 stands for a group."""
    checked = expression(pattern, options, OPTIONS + "g")
    run(pc.replace_substring_regex, pa.array([""], pa.large_string()), checked, replacement)
    if "g" in options:
        return run(pc.replace_substring_regex, texts, checked, replacement)
    try:
        return pc.replace_substring_regex(texts, checked, replacement, max_replacements=1)
    except pa.ArrowInvalid:  # Arrow stumbles over matches of nothing, as of \\b: the text before the match is made part of it
        moved = re.sub(r"\\(.)", lambda found: later_group(found[1]), replacement)
        return run(pc.replace_substring_regex, texts, rf"(?s:\A(.*?))({checked})", rf"\1{moved}")


def later_group(character: str) -> str:
    """What follows a backslash in a replacement, two groups having been put before those that it names."""
    if not character.isdecimal():
        return "\\" + character
    if int(character) > GROUPS - 2:
        raise ConversionError(f"a replacement that names group {character} cannot be computed here")
    return f"\\{int(character) + 2}"


def regexp_extract(texts: pa.Array, pattern: str, group: int = 0, options: str = "") -> pa.Array:
    """The first match, or one of its groups; where there is none an empty text, or with the option k the text itself."""
    if not 0 <= group <= GROUPS:
        raise ConversionError(f"a group of a regular expression has a number from 0 to {GROUPS}")
    checked = expression(pattern, options, OPTIONS + "k")
    found = run(pc.match_substring_regex, texts, checked)
    # As little as possible before the match, and anything after it: the match is the one that a search finds.
    whole = rf"(?s:\A.*?)({checked})(?s:.*\z)" if group == 0 else rf"(?s:\A.*?)(?:{checked})(?s:.*\z)"
    nothing = texts if "k" in options else pa.scalar("", pa.large_string())
    try:
        extracted = pc.replace_substring_regex(texts, whole, rf"\{max(group, 1)}")
    except pa.ArrowInvalid as error:
        if "Rewrite schema requests" not in str(error):
            raise ConversionError(str(error)) from error
        return pc.if_else(found, nothing, nothing)  # the pattern has fewer groups
    return pc.if_else(found, extracted, nothing)


def regexp_nothing(texts: pa.Array, pattern: str, options: str = "") -> pa.Array:
    """What regexp_extract finds of a group that is NULL: an empty text, or with the option k the text itself."""
    expression(pattern, options, OPTIONS + "k")
    nothing = texts if "k" in options else pa.scalar("", pa.large_string())
    return pc.if_else(texts.is_valid(), nothing, nothing)


def glob(texts: pa.Array, pattern: str) -> pa.Array:
    """Whether the whole text is like the pattern: * is any text, ? any byte, [a-c] one of several, [!a-c] none of them."""
    regex = glob_regex(pattern.encode())
    if regex is None:
        return pc.and_(texts.is_valid(), False)
    return run(pc.match_substring_regex, texts.cast(pa.large_binary()), regex)


def glob_regex(pattern: bytes) -> str | None:
    r"""A GLOB pattern as a regular expression of bytes; None if it matches nothing, its bracket being open.

    >>> print(glob_regex(b"a*[!b-d]?"))
    (?s)\A\x61.*[^\x62-\x64].\z
    """
    parts, position = [], 0
    while position < len(pattern):
        byte = pattern[position : position + 1]
        position += 1
        if byte == b"\\":
            if position == len(pattern):
                return None
            parts.append(hexadecimal(pattern[position]))
            position += 1
        elif byte == b"[":
            negated = pattern[position : position + 1] == b"!"
            start = position + negated
            end = pattern.find(b"]", start + 1)
            if end < 0:
                return None
            parts.append(members(pattern[start:end], negated))
            position = end + 1
        else:
            parts.append({b"*": ".*", b"?": "."}.get(byte) or hexadecimal(byte[0]))
    return r"(?s)\A" + "".join(parts) + r"\z"


def hexadecimal(byte: int) -> str:
    return rf"\x{byte:02x}"


def members(written: bytes, negated: bool) -> str:
    """One of the bytes and ranges of bytes that stand in brackets, or none of them."""
    parts, position = [], 0
    while position < len(written):
        is_range = written[position + 1 : position + 2] == b"-" and position + 2 < len(written)
        first, last = written[position], written[position + 2 if is_range else position]
        if first <= last:
            parts.append(f"{hexadecimal(first)}-{hexadecimal(last)}" if is_range else hexadecimal(first))
        position += 3 if is_range else 1
    if not parts:
        return "." if negated else r"[^\x00-\xff]"
    return f"[{'^' * negated}{''.join(parts)}]"


def like(texts: pa.Array, pattern: str, escape: str = "", *, ignores_case: bool = False) -> pa.Array:
    try:
        return matches(texts, pattern, escape, ignores_case=ignores_case)
    except PatternError as error:
        raise ConversionError(str(error)) from error


def ilike(texts: pa.Array, pattern: str, escape: str = "") -> pa.Array:
    return like(texts, pattern, escape, ignores_case=True)


def tested(name: str, function: object, counts: Sequence[int]) -> ScalarFunction:
    """A test of a text by other texts."""
    overloads = tuple(takes(*[VARCHAR] * count, result=BOOLEAN) for count in counts)
    return ScalarFunction((name,), overloads, vectorised(function, BOOLEAN), fails=True, checked=True)  # type: ignore[arg-type]


PATTERNS: tuple[ScalarFunction, ...] = (
    tested("regexp_matches", regexp_matches, (2, 3)),
    tested("regexp_full_match", regexp_full_match, (2, 3)),
    tested("glob", glob, (2,)),
    # LIKE and ILIKE where the pattern differs by row.
    tested("like_escape", like, (2, 3)),
    tested("ilike_escape", ilike, (2, 3)),
    ScalarFunction(
        ("regexp_replace",),
        (takes(*[VARCHAR] * 3, result=VARCHAR), takes(*[VARCHAR] * 4, result=VARCHAR)),
        vectorised(regexp_replace, VARCHAR),
        fails=True,
        checked=True,
    ),
    ScalarFunction(
        ("regexp_nothing",),
        tuple(takes(*[VARCHAR] * count, result=VARCHAR) for count in (2, 3)),
        vectorised(regexp_nothing, VARCHAR),
        fails=True,
        checked=True,
    ),
    ScalarFunction(
        ("regexp_extract",),
        (
            Overload((VARCHAR, VARCHAR), VARCHAR),
            Overload((VARCHAR, VARCHAR, INTEGER), VARCHAR),
            Overload((VARCHAR, VARCHAR, INTEGER, VARCHAR), VARCHAR),
        ),
        vectorised(regexp_extract, VARCHAR),
        fails=True,
        checked=True,
    ),
)
