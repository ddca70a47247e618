"""What an error of TensorFlow or Keras says, without where it came from: the sentence that helps, out of a page."""

from __future__ import annotations

import re

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_RAISED = re.compile(r"(?:\w+\.)*(\w*(?:Error|Exception|Refused)): (.+)")
_LOCATION = re.compile(r'File ".*", line \d+|in user code:|Exception encountered when calling|Call arguments received by')
_LONGEST = 500


def quoted(error: BaseException) -> str:
    r"""The message of an error on one line; its class where there is no message.

    Of a page that quotes the user's code, what was raised there; of Keras's, what stands before the list of arguments.

    >>> quoted(ValueError("Exception encountered when calling f().\n\n\x1b[1mexpected 4\x1b[0m\n\nArguments received by"))
    'expected 4'
    >>> quoted(TypeError('in user code:\n\n    File "m.py", line 3, in f  *\n        x @ y\n\n    ValueError: shapes differ\n'))
    'shapes differ'
    """
    lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines()]
    for end, line in enumerate(lines):
        if line.startswith(("Arguments received by", "Call arguments received by")):
            lines = lines[:end]
            break
    raised = [position for position, line in enumerate(lines) if _RAISED.fullmatch(line)]
    if raised:
        first = _RAISED.fullmatch(lines[raised[-1]])
        lines = [first[2] if first else "", *lines[raised[-1] + 1 :]]
    kept = [line for line in lines if line and not _LOCATION.match(line)]
    text = f"KeyError: {error}" if isinstance(error, KeyError) else " ".join(kept) or repr(error)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
