"""Executables for this machine: compiled, cached in memory and on disk, loaded."""
