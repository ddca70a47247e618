"""Subqueries as joins: the one rewriting that every plan needs."""
