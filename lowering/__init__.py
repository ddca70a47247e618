"""From logical plans to tensor programs written in jax.numpy."""
