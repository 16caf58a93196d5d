"""Signatures per task, and writing versions that TensorFlow Serving can load."""
