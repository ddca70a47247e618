"""Ahead-of-time compilation of tensor programs, and the caches of what was compiled."""
