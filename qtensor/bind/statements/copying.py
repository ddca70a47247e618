"""COPY ... TO: what is written, and how."""

from __future__ import annotations

from typing import get_args

from sqlglot import exp

from qtensor.bind.catalog import StatementCatalog
from qtensor.bind.context import Context
from qtensor.bind.select.query import bind_query
from qtensor.bind.statements.targets import refuse_parts
from qtensor.bind.text.support import raise_unsupported, reject_unsupported
from qtensor.bind.text.syntax import is_text
from qtensor.errors import ParseError, Span, UnsupportedError, suggestion
from qtensor.results.writing import FileFormat, FileOptions, written_format
from qtensor.statement import Copy

_FORMATS: dict[str, FileFormat] = {
    **{name: name for name in get_args(FileFormat)},
    "ipc": "arrow",
    "feather": "arrow",
    "arrows": "arrow",
}
_OPTIONS = {
    "csv": ("FORMAT", "HEADER", "DELIMITER", "DELIM", "SEP", "NULL", "NULLSTR", "COMPRESSION"),
    "json": ("FORMAT", "ARRAY", "COMPRESSION"),
    "parquet": ("FORMAT", "COMPRESSION"),
    "arrow": ("FORMAT",),
}
_COMPRESSIONS: dict[str, tuple[str, ...]] = {
    "csv": ("none", "gzip", "zstd"),
    "json": ("none", "gzip", "zstd"),
    "parquet": ("snappy", "zstd", "gzip", "brotli", "lz4", "none"),
}
_SPECIAL = '"\r\n'
_SYNONYMS = {"uncompressed": "none", "lz4_raw": "lz4", "gz": "gzip", "zst": "zstd"}
_TRUTH = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


def bind_copy(context: Context, catalog: StatementCatalog, node: exp.Copy) -> Copy:
    refuse_parts(context, node, ("this", "files", "params", "credentials"), {"kind": "COPY ... FROM"})
    if node.args.get("kind") and not context.source.find_words("FROM"):
        last = context.source.tokens[-1]
        raise ParseError("COPY needs TO and the name of a file", context.source.sql, [Span(last.start, last.end + 1)])
    if node.args.get("kind"):
        hint = "Read the file by its name: INSERT INTO t SELECT * FROM 'file.csv'."
        raise UnsupportedError("not supported yet: COPY ... FROM", context.source.sql, _spans(context, "FROM"), hint)
    files = node.args.get("files") or []
    if len(files) != 1 or not is_text(files[0]):
        raise context.error("COPY ... TO needs the name of one file, in single quotes", context.source.find_words("TO"))
    options = _options(context, files[0], node.args.get("params") or [])
    query = _query(node.this)
    reject_unsupported(query, context.source, catalog)
    plan = bind_query(context, query, {})
    raise_unsupported(context.findings, context.source)
    if not plan.schema:
        raise context.error("a file has at least one column", context.source.span(query))
    return Copy(plan, files[0].name, options)


def _query(node: exp.Expr) -> exp.Expr:
    """The query in parentheses, or that of a table and perhaps some of its columns."""
    match node:
        case exp.Schema():
            return exp.select(*(exp.Column(this=column) for column in node.expressions)).from_(node.this, copy=False)
        case exp.Table():
            return exp.select("*").from_(node, copy=False)
        case _:
            return node


def _options(context: Context, file: exp.Expr, given: list[exp.Expr]) -> FileOptions:
    """How the file is written: as the options say, else as its name tells, else as CSV."""
    by_name = _by_name(context, given)
    format, compression = written_format(file.name)
    if "FORMAT" in by_name:
        format = _format(context, by_name["FORMAT"])
    format = format or "csv"
    for name in by_name:
        if name not in _OPTIONS[format]:
            hint = suggestion(name, _OPTIONS[format]) or f"Known are {', '.join(_OPTIONS[format])}."
            raise UnsupportedError(
                f"not supported yet: the option {name} of COPY to {format}", context.source.sql, _spans(context, name), hint
            )
    if format not in ("csv", "json"):
        compression = None
    if "COMPRESSION" in by_name:
        compression = _compression(context, by_name["COMPRESSION"], format)
    delimiter = _text(context, by_name, ("DELIMITER", "DELIM", "SEP"), ",")
    if len(delimiter) != 1 or delimiter in _SPECIAL:
        message = "a DELIMITER is one character, and neither a quote nor the end of a line"
        raise context.error(message, context.source.find_words("DELIMITER"))
    null = _text(context, by_name, ("NULL", "NULLSTR"), "")
    if any(character in null for character in _SPECIAL + delimiter):
        raise context.error("NULL is written without quotes, delimiters and ends of lines", context.source.find_words("NULL"))
    return FileOptions(
        format,
        header=_truth(context, by_name.get("HEADER"), True),
        delimiter=delimiter,
        null=null,
        array=_truth(context, by_name.get("ARRAY"), False),
        footer=not file.name.lower().endswith(".arrows"),
        compression=compression,
    )


def _by_name(context: Context, given: list[exp.Expr]) -> dict[str, exp.Expr]:
    """The options by their names, each given once."""
    by_name: dict[str, exp.Expr] = {}
    for option in given:
        name = option.this.name.upper()
        if name in by_name:
            raise context.error(f"the option {name} is given twice", _place(context, option))
        by_name[name] = option
    return by_name


def _format(context: Context, option: exp.Expr) -> FileFormat:
    name = _word(option)
    if name not in _FORMATS:
        raise context.error(f'no format "{name}"', _place(context, option), suggestion(name, _FORMATS))
    return _FORMATS[name]


def _compression(context: Context, option: exp.Expr, format: FileFormat) -> str | None:
    name = _SYNONYMS.get(_word(option), _word(option))
    if name == "auto":
        return None
    if name not in _COMPRESSIONS[format]:
        hint = f"Known are {', '.join(_COMPRESSIONS[format])}."
        raise context.error(f'no compression "{name}" of {format}', _place(context, option), hint)
    return ("none" if format == "parquet" else None) if name == "none" else name


def _truth(context: Context, option: exp.Expr | None, usual: bool) -> bool:
    if option is None:
        return usual
    if option.args.get("expression") is None:
        return True
    word = _word(option)
    if word not in _TRUTH:
        raise context.error(f"{option.this.name.upper()} is true or false", _place(context, option))
    return _TRUTH[word]


def _text(context: Context, options: dict[str, exp.Expr], names: tuple[str, ...], usual: str) -> str:
    """The text of the option that has one of these names."""
    option = next((options[name] for name in names if name in options), None)
    value = option.args.get("expression") if option is not None else None
    if option is not None and (value is None or not is_text(value)):
        raise context.error(f"{option.this.name.upper()} needs a text in single quotes", _place(context, option))
    return usual if value is None else str(value.name)


def _word(option: exp.Expr) -> str:
    value = option.args.get("expression")
    if isinstance(value, exp.Boolean):
        return "true" if value.this else "false"
    return "" if value is None else str(value.name).lower()


def _place(context: Context, option: exp.Expr) -> Span | None:
    value = option.args.get("expression")
    own = context.source.span(value) if value is not None else None
    return own or context.source.find_words(option.this.name.upper())


def _spans(context: Context, word: str) -> list[Span]:
    span = context.source.find_words(word)
    return [span] if span else []
