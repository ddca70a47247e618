"""From logical to physical plans: pipelines, and how they join, group and sort."""
