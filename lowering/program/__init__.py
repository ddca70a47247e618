"""From physical plans to functions of arrays in jax.numpy."""
