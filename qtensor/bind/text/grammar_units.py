"""The units of time that are words of DuckDB's grammar, and how it spells them where a column has no alias."""

_UNITS = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "WEEK", "QUARTER", "DECADE")
GRAMMAR_UNITS = {
    **{unit + plural: unit for unit in _UNITS for plural in ("", "S")},
    **dict.fromkeys(("MILLISECOND", "MILLISECONDS"), "MILLISECONDS"),
    **dict.fromkeys(("MICROSECOND", "MICROSECONDS"), "MICROSECONDS"),
    **dict.fromkeys(("CENTURY", "CENTURIES"), "CENTURY"),
    **dict.fromkeys(("MILLENNIUM", "MILLENNIA"), "MILLENNIUM"),
}  # fmt: skip
