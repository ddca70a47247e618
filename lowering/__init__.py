"""From logical plans to tensor programs in jax.numpy: physical plans, models as JAX functions, and how data lies at rest."""
