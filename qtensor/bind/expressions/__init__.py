"""Expressions: names, types and functions, bound to typed ones."""
