"""Queries as native libraries: a C interface around ahead-of-time compiled programs, with neither Python nor TensorFlow."""
