"""TensorFlow Lite's files: read, and computed as its own kernels do."""
