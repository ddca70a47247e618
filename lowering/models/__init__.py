"""Models as row-wise JAX functions, and where they come from."""
