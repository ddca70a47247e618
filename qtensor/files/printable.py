"""Text from files of strangers, as terminals may be given it: what it says is seen, and does nothing."""

from __future__ import annotations

KEPT = "\n\t"


def printable(text: str) -> str:
    r"""`text` with escapes for what is not to be seen: control characters, marks of direction, halves of surrogate pairs.

    Ends of lines and tabs stay.

    >>> print(printable("a\x1b[31mb\u202ec\ud800"), printable("é 数\n"), end="")
    a\x1b[31mb\u202ec\ud800 é 数
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character in KEPT else escaped(character) for character in text)


def escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
