"""Queries as files: exported, described, trusted, loaded and called."""
