"""Models in queries beside their rivals: `bench/models.py` runs `bench/inference/benchmark.py`."""
