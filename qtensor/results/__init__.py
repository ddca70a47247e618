"""Rows as people and other libraries take them: as texts, tables, arrays and files."""
