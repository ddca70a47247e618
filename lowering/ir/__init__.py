"""Physical plans as plain data: kernels, pipelines, sinks, and what holds of them."""
