"""The optimiser's rules: functions from plan to equivalent plan, each in a file of its own."""
