"""Benchmarks: seed.py compares the seed's queries side by side, dense_layers.py sets thresholds of the lowering."""
