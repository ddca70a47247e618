"""A random grammar of SQL: tables with NULLs and duplicates, and queries whose one right answer does not raise errors."""
