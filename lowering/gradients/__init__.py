"""Queries as functions that JAX can differentiate."""
