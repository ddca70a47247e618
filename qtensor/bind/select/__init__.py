"""Queries: clauses, relations and sets, bound to logical plans."""
