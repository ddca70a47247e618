"""Queries over more rows than memory holds: read block by block, and what must see all rows in parts, spilled to disk."""
