"""SQL's scalar functions: one entry for each, with its types, its NULLs and, for those that the host evaluates, what it does."""
