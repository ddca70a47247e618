"""What the host computes for a program, before and after it runs."""
