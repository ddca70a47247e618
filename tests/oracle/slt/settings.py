"""SET, PRAGMA and RESET of DuckDB's files: which of them change what later records mean, and of which records."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sqlglot import exp

from tests.oracle.slt.objects import tree_of

SETTING = re.compile(
    r"\s*(SET|RESET|PRAGMA)\s+(?:(?:GLOBAL|SESSION|LOCAL)\s+)?(VARIABLE\s+)?\"?([\w.]+)\"?\s*(?:=|TO\b|$|;)", re.IGNORECASE
)
OFF = re.compile(r"\s*PRAGMA\s+disable_(\w+)", re.IGNORECASE)
# How fast, with how much memory, how stored and what is printed beside: rows are the same.
HARMLESS = re.compile(
    r"threads|worker_threads|external_threads|(max_)?memory_limit|max_memory|.*profil\w*|tracked_metrics|.*verif\w*|debug_\w+|force_\w+|"
    r".*checkpoint\w*|temp_directory|max_temp\w*|preserve_insertion_order|.*progress\w*|explain_output|.*optimizer\w*|.*log\w*|"
    r".*parallel\w*|perfect_ht_threshold|.*_threshold|.*_cache\w*|.*vacuum\w*|immediate_transaction_mode|.*join\w*|http\w*|s3\w*|"
    r".*extension\w*|enable_external_access|storage_\w+|.*compression\w*|.*buffer\w*|errors_as_json|max_execution_time|"
    r"streaming\w*|index_scan\w*|home_directory|.*read_ahead\w*|.*shredding\w*|allocator\w*|lock_configuration|access_mode|user|password|"
    r"partitioned_write\w*|ordered_aggregate_threshold|zstd\w*|late_materialization\w*|write_buffer\w*|enable_object_cache",
    re.IGNORECASE,
)
NULL_ORDER = frozenset(("default_null_order", "null_order", "default_order"))


@dataclass
class Settings:
    """Settings that differ from what we compute with, since the SET was refused."""

    refused: list[str] = field(default_factory=list)

    def note(self, sql: str) -> None:
        """Note a refused statement, if it is one of these."""
        if used := re.match(r"\s*USE\s+\"?([\w.]+)", sql, re.IGNORECASE):
            sql = (
                f"RESET schema = {used[1]}" if used[1].lower() in ("memory", "main", "memory.main") else f"SET schema = {used[1]}"
            )
        found = SETTING.match(sql)
        if found is None:
            return
        word, name = found[1].upper(), found[3].lower()
        if found[2] or HARMLESS.fullmatch(name):
            return  # a variable is read by a function that would be refused itself
        if word == "PRAGMA" and "=" not in sql:
            return  # asks or does something, and changes no setting
        if name in self.refused:
            self.refused.remove(name)
        if word != "RESET":
            self.refused.append(name)

    def reasons(self, sql: str, *, error: bool = False) -> tuple[str, ...]:
        """Why other rows (or, if `error`, any rows) may be right for this query; () if no setting says so."""
        for name in self.refused:
            if name not in NULL_ORDER or (not error and sorts_by_default(sql)):
                return (f"on what was refused: SET {name}",)
        return ()


def sorts_by_default(sql: str) -> bool:
    """Whether the query sorts anything without saying where NULLs go or, for its direction, ASC or DESC."""
    tree = tree_of(sql)
    if tree is None:
        return re.search(r"\bORDER\s+BY\b", sql, re.IGNORECASE) is not None
    keys = sum(1 for _ in tree.find_all(exp.Ordered))
    said = len(re.findall(r"\bNULLS\s+(?:FIRST|LAST)\b", sql, re.IGNORECASE))
    return keys > said
