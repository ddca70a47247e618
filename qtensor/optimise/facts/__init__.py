"""What the optimiser and the planner know of plans and expressions, measured or proved."""
