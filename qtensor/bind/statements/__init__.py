"""Statements that are no queries, bound."""
