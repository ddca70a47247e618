"""Functions of text: each says here all there is to say of it."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from itertools import zip_longest

import pyarrow as pa
import pyarrow.compute as pc

from qtensor.expressions import LiteralValue
from qtensor.functions.scalars.function import Evaluated, HostArgument, Overload, ScalarFunction, each, takes, vectorised
from qtensor.optimise.enums import MEMBER, PLACE, TEXT, member, place, text_at
from qtensor.types import BIGINT, BOOLEAN, INTEGER, VARCHAR
from qtensor.values.texts import ConversionError

LENGTHS = (0, (1 << 31) - 1)  # no text is longer
MOST = 1 << 32  # beyond this, DuckDB refuses positions and lengths
LONGEST = 1 << 28  # characters: a text that a constant makes longer than this is an error, not a full memory
SPACES = "".join(map(chr, (0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)))  # Unicode's category Zs


def substring(texts: pa.Array, start: int, length: int | None = None) -> pa.Array:
    """`length` code points from `start` on, counted from 1; from the end if negative. A negative length goes to the left.

    >>> substring(pa.array(["abc"]), 2).to_pylist(), substring(pa.array(["abc"]), -2, 1).to_pylist()
    (['bc'], ['b'])
    """
    if not -MOST <= start < MOST or not -MOST <= (length or 0) < MOST:
        raise ConversionError("the start or the length of a substring is out of range")
    if start >= 0 and (length is None or length >= 0):
        first = max(start - 1, 0)
        last = None if length is None else max(start - 1 + length, first)
        return pc.utf8_slice_codeunits(texts, first, last)
    return pa.array([cut(text, start, length) for text in texts.to_pylist()], pa.large_string())


def cut(text: str, start: int, length: int | None) -> str:
    """One text's part: see `substring`."""
    first = start - 1 if start >= 0 else len(text) + start
    if length is None:
        return text[max(first, 0) :]
    if length < 0:
        first, length = first + length, -length
    return text[max(first, 0) : max(first + length, 0)]


def left(texts: pa.Array, count: int) -> pa.Array:
    """The first code points; all but the last ones if negative."""
    if count >= MOST:
        raise ConversionError("the length of a substring is out of range")
    return pc.utf8_slice_codeunits(texts, 0, max(count, -MOST))


def right(texts: pa.Array, count: int) -> pa.Array:
    """The last code points; all but the first ones if negative."""
    if count >= MOST:
        raise ConversionError("the length of a substring is out of range")
    if count == 0:
        return pc.utf8_slice_codeunits(texts, 0, 0)
    return pc.utf8_slice_codeunits(texts, min(-count, MOST))


_LEAST_OFFSET, _MOST_OFFSET = -(1 << 32), (1 << 32) - 1


def element(texts: pa.Array, position: int) -> pa.Array:
    """text[position]: one code point."""
    if not _LEAST_OFFSET <= position <= _MOST_OFFSET:
        raise ConversionError(f"positions in a text go from {_LEAST_OFFSET:,} to {_MOST_OFFSET:,}, and this is {position:,}")
    return pa.array([section(text, position, position) for text in texts.to_pylist()], pa.large_string())


def section(text: str, begin: int, end: int) -> str:
    """text[begin:end]: both counted from 1, from the end if negative.

    >>> section("abc", 2, 3), section("abc", -2, -2), section("abc", 0, 1)
    ('bc', 'b', 'a')
    """
    first = begin - 1 if begin > 0 else len(text) + begin if begin < 0 else 0 if end != 0 else 1
    last = end if end >= 0 else len(text) + end + 1
    return text[max(first, 0) : max(last, 0)]


def pad(text: str, length: int, filling: str, at_left: bool) -> str:
    """`text` brought to `length` code points."""
    missing = length - len(text)
    if missing <= 0:
        return text[: max(length, 0)]
    if not filling:
        raise ConversionError("padding with an empty text")
    if length > LONGEST:
        raise ConversionError(f"a text of {length:,} characters is too long")
    padding = (filling * (missing // len(filling) + 1))[:missing]
    return padding + text if at_left else text + padding


def replace(texts: pa.Array, wanted: str, replacement: str) -> pa.Array:
    """Every place where `wanted` stands; an empty one stands nowhere."""
    return pc.replace_substring(texts, wanted, replacement) if wanted else texts


def repeat(texts: pa.Array, times: int) -> pa.Array:
    longest = pc.max(pc.binary_length(texts)).as_py() or 0
    if times * longest > LONGEST:
        raise ConversionError(f"a text of {times * longest:,} bytes is too long")
    return pc.binary_repeat(texts, max(times, 0))


def reverse(text: str) -> str:
    """From the last grapheme to the first: what combines with a character stays behind it.

    >>> reverse("abc"), reverse("e\\u0301a") == "ae\\u0301"
    ('cba', True)
    """
    if text.isascii():
        return text[::-1]
    clusters: list[str] = []
    for character in text:
        if clusters and continues(clusters[-1], character):
            clusters[-1] += character
        else:
            clusters.append(character)
    return "".join(reversed(clusters))


def continues(cluster: str, character: str) -> bool:
    """Whether `character` belongs to the grapheme before it: the main rules of Unicode's annex 29."""
    code = ord(character)
    if unicodedata.category(character) in ("Mn", "Me", "Mc") or character == "\u200d" or 0x1F3FB <= code <= 0x1F3FF:
        return True
    if cluster[-1] == "\u200d":
        return unicodedata.category(character) == "So"
    if 0x1F1E6 <= code <= 0x1F1FF:  # two regional indicators are a flag
        return len(cluster) == 1 and 0x1F1E6 <= ord(cluster) <= 0x1F1FF
    return 0x1160 <= code <= 0x11FF and 0x1100 <= ord(cluster[-1]) <= 0x11FF  # Hangul written in letters


def trimmed(kind: str, texts: pa.Array, characters: str | None = None) -> pa.Array:
    """Without the characters at either end; without spaces, of which a tab is none, if none are given."""
    functions = {"trim": pc.utf8_trim, "ltrim": pc.utf8_ltrim, "rtrim": pc.utf8_rtrim}
    return texts if characters == "" else functions[kind](texts, SPACES if characters is None else characters)


def split_part(text: str, separator: str, position: int) -> str:
    """One of the parts, counted from 1, or from the end if negative; empty where there is none."""
    parts = text.split(separator) if separator else list(text)
    index = position - 1 if position > 0 else len(parts) + position
    return parts[index] if position and 0 <= index < len(parts) else ""


def character(code: int) -> str:
    if not 0 <= code < 0x110000 or 0xD800 <= code < 0xE000:
        raise ConversionError(f"{code} is no code of a character")
    return chr(code)


def translate(text: str, characters: str, replacements: str) -> str:
    """Each of the characters by the one at the same place; those without one go."""
    table: dict[int, str] = {}
    for old, new in zip_longest(characters, replacements[: len(characters)], fillvalue=""):
        table.setdefault(ord(old), new)
    return text.translate(table)


def strip_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(c for c in decomposed if unicodedata.category(c) != "Mn"))


def levenshtein(first: str, second: str) -> int:
    """The least number of bytes to insert, delete or replace that makes one text the other.

    >>> levenshtein("kitten", "sitting")
    3
    """
    a, b = first.encode(), second.encode()
    row = list(range(len(b) + 1))
    for i, left_byte in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, right_byte in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (left_byte != right_byte))
    return row[-1]


def in_base(number: int, base: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, base)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + digits
    return digits or "0"


def joined(arguments: Sequence[HostArgument], length: int) -> Evaluated:
    """The texts of all arguments, one after the other; NULLs are passed over."""
    parts = [part if isinstance(part, pa.Array) else pa.array([part] * length, pa.large_string()) for part in arguments]
    # Arrow's own null_handling="skip" loses a row in which all are NULL.
    return Evaluated(pc.binary_join_element_wise(*(pc.fill_null(part, "") for part in parts), pa.scalar("", pa.large_string())))


def joined_by(separator: str | None, *texts: str | None) -> LiteralValue:
    return None if separator is None else separator.join(text for text in texts if text is not None)


def text_to_text(names: str, evaluate: object) -> ScalarFunction:
    return ScalarFunction(tuple(names.split()), (takes(VARCHAR, result=VARCHAR),), vectorised(evaluate, VARCHAR))  # type: ignore[arg-type]


def trimming(name: str) -> ScalarFunction:
    overloads = (takes(VARCHAR, result=VARCHAR), takes(VARCHAR, VARCHAR, result=VARCHAR))
    return ScalarFunction((name,), overloads, vectorised(lambda *arguments: trimmed(name, *arguments), VARCHAR))


def searching(names: str, function: object) -> ScalarFunction:
    """Whether a text is found in another in some way."""
    return ScalarFunction(
        tuple(names.split()),
        (takes(VARCHAR, VARCHAR, result=BOOLEAN),),
        vectorised(function, BOOLEAN),  # type: ignore[arg-type]
    )


TEXTS: tuple[ScalarFunction, ...] = (
    text_to_text("upper ucase", pc.utf8_upper),
    text_to_text("lower lcase", pc.utf8_lower),
    ScalarFunction(("reverse",), (takes(VARCHAR, result=VARCHAR),), each(reverse, VARCHAR)),
    ScalarFunction(("strip_accents",), (takes(VARCHAR, result=VARCHAR),), each(strip_accents, VARCHAR)),
    ScalarFunction(
        ("length", "len", "char_length", "character_length"),
        (takes(VARCHAR, result=BIGINT),),
        vectorised(pc.utf8_length, BIGINT),
        range=LENGTHS,
    ),
    ScalarFunction(("strlen",), (takes(VARCHAR, result=BIGINT),), vectorised(pc.binary_length, BIGINT), range=LENGTHS),
    ScalarFunction(("bit_length",), (takes(VARCHAR, result=BIGINT),), each(lambda text: 8 * len(text.encode()), BIGINT)),
    trimming("trim"),
    trimming("ltrim"),
    trimming("rtrim"),
    ScalarFunction(
        ("substring", "substr"),
        (takes(VARCHAR, BIGINT, result=VARCHAR), takes(VARCHAR, BIGINT, BIGINT, result=VARCHAR)),
        vectorised(substring, VARCHAR),
        fails=True,
    ),
    ScalarFunction(("left",), (takes(VARCHAR, BIGINT, result=VARCHAR),), vectorised(left, VARCHAR), fails=True),
    ScalarFunction(("right",), (takes(VARCHAR, BIGINT, result=VARCHAR),), vectorised(right, VARCHAR), fails=True),
    ScalarFunction(("array_extract",), (takes(VARCHAR, BIGINT, result=VARCHAR),), vectorised(element, VARCHAR), fails=True),
    ScalarFunction(("array_slice",), (takes(VARCHAR, BIGINT, BIGINT, result=VARCHAR),), each(section, VARCHAR)),
    ScalarFunction(
        ("lpad",),
        (takes(VARCHAR, INTEGER, VARCHAR, result=VARCHAR),),
        each(lambda text, length, filling: pad(text, length, filling, True), VARCHAR),
        fails=True,
    ),
    ScalarFunction(
        ("rpad",),
        (takes(VARCHAR, INTEGER, VARCHAR, result=VARCHAR),),
        each(lambda text, length, filling: pad(text, length, filling, False), VARCHAR),
        fails=True,
    ),
    ScalarFunction(("replace",), (takes(VARCHAR, VARCHAR, VARCHAR, result=VARCHAR),), vectorised(replace, VARCHAR)),
    ScalarFunction(("repeat",), (takes(VARCHAR, BIGINT, result=VARCHAR),), vectorised(repeat, VARCHAR), fails=True),
    # The operator ||, under a name that DuckDB does not have; concat is the same but for NULLs.
    ScalarFunction(("append",), (Overload((VARCHAR, VARCHAR), VARCHAR, variadic=True),), joined),
    ScalarFunction(("concat",), (Overload((VARCHAR,), VARCHAR, variadic=True),), joined, sees_nulls=True),
    ScalarFunction(
        ("concat_ws",),
        (Overload((VARCHAR, VARCHAR), VARCHAR, variadic=True),),
        each(joined_by, VARCHAR),
        sees_nulls=True,
        gives_null=True,
    ),
    ScalarFunction(
        ("strpos", "position", "instr"),
        (takes(VARCHAR, VARCHAR, result=BIGINT),),
        each(lambda text, wanted: text.find(wanted) + 1, BIGINT),
        range=LENGTHS,
    ),
    searching("starts_with prefix ^@", pc.starts_with),
    searching("ends_with suffix", pc.ends_with),
    searching("contains", pc.match_substring),
    ScalarFunction(("split_part",), (takes(VARCHAR, VARCHAR, BIGINT, result=VARCHAR),), each(split_part, VARCHAR)),
    ScalarFunction(("translate",), (takes(VARCHAR, VARCHAR, VARCHAR, result=VARCHAR),), each(translate, VARCHAR)),
    ScalarFunction(("ascii",), (takes(VARCHAR, result=INTEGER),), each(lambda text: ord(text[0]) if text else 0, INTEGER)),
    ScalarFunction(
        ("unicode", "ord"), (takes(VARCHAR, result=INTEGER),), each(lambda text: ord(text[0]) if text else -1, INTEGER)
    ),
    ScalarFunction(("chr",), (takes(INTEGER, result=VARCHAR),), each(character, VARCHAR), fails=True),
    ScalarFunction(
        ("md5",), (takes(VARCHAR, result=VARCHAR),), each(lambda text: hashlib.md5(text.encode()).hexdigest(), VARCHAR)
    ),
    ScalarFunction(
        ("sha256",), (takes(VARCHAR, result=VARCHAR),), each(lambda text: hashlib.sha256(text.encode()).hexdigest(), VARCHAR)
    ),
    ScalarFunction(("hex", "to_hex"), (takes(VARCHAR, result=VARCHAR),), each(lambda text: text.encode().hex().upper(), VARCHAR)),
    ScalarFunction((PLACE,), (takes(VARCHAR, VARCHAR, result=INTEGER),), each(place, INTEGER), fails=True, range=LENGTHS),
    ScalarFunction((TEXT,), (takes(INTEGER, VARCHAR, result=VARCHAR),), each(text_at, VARCHAR)),
    ScalarFunction((MEMBER,), (takes(VARCHAR, VARCHAR, result=VARCHAR),), each(member, VARCHAR), fails=True),
    ScalarFunction(
        ("levenshtein", "editdist3"), (takes(VARCHAR, VARCHAR, result=BIGINT),), each(levenshtein, BIGINT), range=LENGTHS
    ),
)
