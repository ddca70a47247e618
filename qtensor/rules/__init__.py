"""The optimiser's rules, one a file: each a function from plan to plan that returns the same object when it changes nothing."""
