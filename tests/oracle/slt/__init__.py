"""A runner for files of sqllogictest, the format of SQLite's and DuckDB's suites: `make slt FILES=...`."""
