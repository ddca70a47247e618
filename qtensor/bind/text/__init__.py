"""The text of a query: tokens, syntax trees, places and names."""
